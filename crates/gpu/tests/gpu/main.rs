//! Tests on a device: the first of the machine, which may be a renderer in software (Mesa's lavapipe). Without any they
//! pass and say so.

mod golden;
#[path = "../../../engine/tests/engine/graphs.rs"]
mod graphs;
mod programs;
mod shapes;
mod updates;

use resnet_gpu::{Gpu, GpuError};

/// The device, if there is one.
fn device() -> Option<Gpu> {
    match Gpu::open(0) {
        Ok(gpu) => Some(gpu),
        Err(GpuError::NoSuch { .. }) => {
            assert!(std::env::var_os("RESNET_TEST_GPU").is_none(), "no device to test");
            eprintln!("no device: nothing is tested");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

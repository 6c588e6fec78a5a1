//! bf16 gradients compared with those of fp32, tensor by tensor.

use resnet::Cpu;
use resnet_kernels::Isa;

use super::cases;
use crate::common::bf16::{Batches, Limits};

/// Large ones: a batch norm's statistics of eight pixels double every error.
const BATCHES: u64 = 8;
const IMAGES: usize = 32;
/// Largest error of a linear layer, which comes before any ReLU.
const LINEAR: f64 = 0.1;
const SCALE: [f64; 2] = [0.7, 1.35];

#[test]
fn bf16_is_fp32_and_noise() {
    for case in cases() {
        let last = format!("{}.", case.net.graph().nodes().last().unwrap().name);
        let [_, height, width] = case.size;
        let batches = Batches::new(case.net, [IMAGES, height, width], BATCHES);
        for isa in Isa::to_test() {
            let cpu = Cpu::with_isa(2, isa).unwrap();
            let what = format!("{} {isa}", case.name);
            batches.hold(&what, &cpu, |name| {
                let error = if name.starts_with(&last) { LINEAR } else { case.rounding };
                Limits { error, scale: SCALE[0]..=SCALE[1] }
            });
        }
    }
}

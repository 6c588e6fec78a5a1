//! bf16 gradients against those of fp32, tensor by tensor.

use resnet::Cpu;
use resnet_kernels::Isa;

use super::cases;
use crate::common::bf16::{Batches, Limits};

/// More than the golden networks take: these are narrower, and their last layers see one pixel.
const BATCHES: u64 = 16;

#[test]
fn bf16_is_fp32_and_noise() {
    for case in cases() {
        let batches = Batches::new(case.net, case.size, BATCHES);
        for isa in Isa::to_test() {
            let cpu = Cpu::with_isa(2, isa).unwrap();
            let what = format!("{} {isa}", case.name);
            batches.hold(&what, &cpu, |_| Limits { error: 0.7, scale: 0.7..=1.3 });
        }
    }
}

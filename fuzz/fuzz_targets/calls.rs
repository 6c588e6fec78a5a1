//! Calls of kernels and plans with arguments from the fuzzer: invalid ones must be rejected, valid ones
//! must succeed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use resnet_kernels::Isa;

#[path = "../../crates/engine/tests/misuse/caller.rs"]
mod caller;
#[path = "../../crates/engine/tests/misuse/conv.rs"]
mod conv;
#[path = "../../crates/engine/tests/misuse/driver.rs"]
mod driver;
#[path = "../../crates/engine/tests/misuse/layers.rs"]
mod layers;
#[path = "../../crates/engine/tests/misuse/norm.rs"]
mod norm;
#[path = "../../crates/engine/tests/misuse/plans.rs"]
mod plans;

fuzz_target!(|bytes: &[u8]| {
    let Some((&set, choices)) = bytes.split_first() else { return };
    let sets = Isa::available();
    let isa = sets[usize::from(set) % sets.len()];
    driver::round(choices, isa, &mut driver::Count::default());
});

//! Random calls of every public function of the kernels and of plans, in safe code. The result of a
//! valid call must not depend on earlier calls. A call with a wrong length, size, order or dtype
//! must panic before it computes anything, with a message that names the wrong argument.
//!
//! `RESNET_CALLS` is the number of calls (1,000 by default), `RESNET_CALLS_SEED` their seed. Under
//! the address sanitizer (`scripts/check-sanitizer`) a call that touches memory beyond its slices
//! is reported.

mod caller;
mod conv;
mod driver;
mod layers;
mod matrices;
mod norm;
mod plans;

use resnet_kernels::Isa;

fn number(name: &str, otherwise: u64) -> u64 {
    let Ok(text) = std::env::var(name) else { return otherwise };
    text.parse().unwrap_or_else(|_| panic!("{name}={text}: expected a whole number"))
}

/// The bytes that a case's choices are made of.
fn bytes(seed: u64, case: u64) -> Vec<u8> {
    let mut state = (seed << 32 ^ case).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 56) as u8
    };
    std::iter::repeat_with(next).take(64).collect()
}

#[test]
fn wrong_calls_are_refused_and_right_ones_answered() {
    let calls = number("RESNET_CALLS", 1000);
    let seed = number("RESNET_CALLS_SEED", 0);
    let sets = Isa::to_test();
    let mut done = driver::Count::default();
    let mut case = 0;
    while done.right + done.wrong < calls {
        let isa = sets[case as usize % sets.len()];
        driver::round(&bytes(seed, case), isa, &mut done);
        case += 1;
    }
    println!("{} right and {} wrong calls, {done}", done.right, done.wrong);
    assert!(done.right > 0 && done.wrong > 0);
    // Each kind of call gets its turn.
    assert!(case < 200 || done.kinds.len() == driver::KINDS.len(), "{done}");
}

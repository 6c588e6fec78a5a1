//! Memory that is freed goes back to the system. The process has this one test: others would allocate meanwhile.
#![cfg(all(target_os = "linux", target_env = "gnu"))]

use std::{fs, hint::black_box};

use resnet_kernels::give_freed_memory_back;

const MIB: usize = 1 << 20;
const BLOCKS: usize = 32;

/// Bytes that the process has of the system, to write to: the system counts them exactly.
fn mapped() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let kib = status.lines().find_map(|line| line.strip_prefix("VmData:")?.strip_suffix("kB"));
    kib.unwrap().trim().parse::<usize>().unwrap() << 10
}

#[test]
fn large_blocks_go_back_when_they_are_freed() {
    give_freed_memory_back();
    // Without the call, the C library would from here on keep blocks of this size.
    drop(black_box(vec![1_u8; MIB]));
    let (mut blocks, mut small) = (Vec::with_capacity(BLOCKS), Vec::with_capacity(BLOCKS));
    let before = mapped();
    for _ in 0..BLOCKS {
        blocks.push(black_box(vec![1_u8; MIB]));
        // What stays in use between them keeps the library from giving them back as one.
        small.push(black_box(Box::new([1_u8; 64])));
    }
    assert!(mapped() >= before + BLOCKS * MIB, "they are in use");
    drop(blocks);
    let left = mapped().saturating_sub(before);
    assert!(left < 2 * MIB, "{left} bytes stay with the process");
    drop(small);
}

//! Estimates training speed on GPUs that were not at hand, from the operations and bytes of a step:
//!
//!     cargo run -p resnet-gpu --example estimate
//!
//! Each operation takes the longer of two times: of its floating-point operations at half the device's fp32 peak, and of
//! its bytes at 70% of the memory's bandwidth; and 3 microseconds for each kernel. Those three numbers are guesses. Our
//! kernels multiply in fp32 on the ordinary units; tensor cores, which PyTorch uses in bf16, are not used.

use resnet_kernels::Dtype;
use resnet_network::Arch;
use resnet_program::lower::{Lowering, training};

/// Name, fp32 operations and bytes of memory per second.
const DEVICES: [(&str, f64, f64); 4] = [
    ("NVIDIA H100 SXM", 67e12, 3.35e12),
    ("NVIDIA RTX 4090", 82e12, 1.0e12),
    ("NVIDIA RTX 3060", 12.7e12, 0.36e12),
    ("integrated, 2 TFLOP/s, 60 GB/s", 2e12, 60e9),
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!(
        "| network | batch | GFLOP an image | MB an image | {} |",
        DEVICES.map(|d| d.0).join(" | ")
    );
    println!("|---|--:|--:|--:|{}", "--:|".repeat(DEVICES.len()));
    for (name, batch, side) in
        [("resnet18-cifar", 128, 32), ("resnet18-cifar", 512, 32), ("resnet50", 128, 224)]
    {
        let graph = name.parse::<Arch>()?.graph(if side == 32 { 10 } else { 1000 });
        let lowering = Lowering {
            graph: &graph,
            dtype: Dtype::Bf16,
            batch,
            height: side,
            width: side,
            frozen: &[],
            eval: &[],
        };
        let program = training(lowering, &mut |_| false)?;
        let flops: u64 = program.operations.iter().map(|one| one.flops).sum();
        let bytes: u64 = program.operations.iter().map(|one| one.bytes).sum();
        let each = |total: u64, unit: f64| total as f64 / batch as f64 / unit;
        print!("| {name} | {batch} | {:.2} | {:.1} |", each(flops, 1e9), each(bytes, 1e6));
        for (_, peak, bandwidth) in DEVICES {
            let time = |one: &resnet_program::program::Operation| {
                let arithmetic = one.flops as f64 / (0.5 * peak);
                let memory = one.bytes as f64 / (0.7 * bandwidth);
                arithmetic.max(memory) + 3e-6
            };
            let seconds: f64 = program.operations.iter().map(time).sum();
            print!(" {:.0} |", batch as f64 / seconds);
        }
        println!();
    }
    Ok(())
}

//! How activations are stored.

use std::fmt;

use resnet_kernels::Cpu;
use serde::{Deserialize, Serialize};

/// How activations and their gradients are stored. Weights are always 32-bit floating point.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Dtype {
    /// 32-bit floating point.
    #[default]
    Fp32,
    /// bfloat16.
    Bf16,
}

impl Dtype {
    /// What a new run trains in where nothing is asked for: the faster one of those that train to
    /// the same accuracy.
    pub fn fastest(cpu: &Cpu) -> Dtype {
        if cpu.isa().has_bf16_products() { Dtype::Bf16 } else { Dtype::Fp32 }
    }

    /// The dtype, and whether it is the fastest: `fp32: avx2 has no products of bfloat16`.
    pub fn explain(self, cpu: &Cpu) -> String {
        let isa = cpu.isa();
        let has = if isa.has_bf16_products() { "has" } else { "has no" };
        let other = Dtype::fastest(cpu);
        let but = if other == self { String::new() } else { format!(", {other} would be faster") };
        format!("{self}: {isa} {has} products of bfloat16{but}")
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Dtype::Fp32 => "fp32",
            Dtype::Bf16 => "bf16",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fastest_dtype_has_its_products() {
        for isa in resnet_kernels::Isa::to_test() {
            let cpu = Cpu::with_isa(1, isa).unwrap();
            let fastest = Dtype::fastest(&cpu);
            assert_eq!(fastest == Dtype::Bf16, isa.name() == "avx512-bf16");
            for dtype in [Dtype::Fp32, Dtype::Bf16] {
                let text = dtype.explain(&cpu);
                assert!(text.starts_with(&format!("{dtype}: {isa} has ")), "{text}");
                assert_eq!(text.contains("would be faster"), dtype != fastest, "{text}");
                assert_eq!(text.contains("has no"), fastest == Dtype::Fp32, "{text}");
            }
        }
    }
}

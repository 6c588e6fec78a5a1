use crate::Launcher;

/// Why MPI cannot be used.
#[derive(Clone, Debug, thiserror::Error)]
pub enum MpiError {
    /// None of the libraries of a launcher is installed.
    #[error(
        "{launcher} started this process, but no MPI library was found here (tried {}): \
         install or load the MPI of that launcher, or name its library: RESNET_MPI=/path/to/{}",
        .tried.join(", "), .example
    )]
    NoLibrary {
        /// Who started this process.
        launcher: Launcher,
        /// Names that were tried, with the reason where the file is there.
        tried: Vec<String>,
        /// The name of the library that fits the launcher.
        example: &'static str,
    },
    /// The library that `RESNET_MPI` names cannot be loaded.
    #[error(
        "{library} cannot be loaded ({reason}): give the path of an MPI library such as libmpi.so.40 or libmpi.so.12"
    )]
    CannotLoad {
        /// The library.
        library: String,
        /// What the system says.
        reason: String,
    },
    /// A library lacks a function of MPI.
    #[error(
        "{library} is no MPI library (it has no {symbol}): give the path of one such as libmpi.so.40 or libmpi.so.12"
    )]
    NotMpi {
        /// The library.
        library: String,
        /// What it lacks.
        symbol: &'static str,
    },
    /// An MPI whose handles are not known here.
    #[error(
        "{library} is an MPI of an unknown kind: name one of Open MPI, MPICH, Intel MPI, MVAPICH, \
         or one with the standard ABI of MPI 5 (libmpi_abi.so.1), by RESNET_MPI=/path/to/library"
    )]
    UnknownKind {
        /// The library.
        library: String,
    },
    /// A call failed.
    #[error("{library}: {call}: {text}")]
    Call {
        /// The library and its version.
        library: String,
        /// The function.
        call: &'static str,
        /// What MPI says.
        text: String,
    },
    /// The library was built for one thread.
    #[error(
        "{library} was built without threads (it lacks MPI_THREAD_FUNNELED): use an MPI that has them"
    )]
    NoThreads {
        /// The library and its version.
        library: String,
    },
    /// The launcher and the library are of different MPIs: each process believes to be alone.
    #[error(
        "{launcher} started {launched} processes, but {library} sees {found}: use the launcher of this library{}, \
         or name the launcher's library: RESNET_MPI=/path/to/library",
        if matches!(.launcher, Launcher::Slurm { .. }) { " or another of `srun --mpi=list`" } else { "" }
    )]
    Size {
        /// Who started this process.
        launcher: Launcher,
        /// Its number of processes, as far as it is known.
        launched: String,
        /// The library and its version.
        library: String,
        /// The library's number of processes.
        found: usize,
    },
    /// MPI can be started once in a process.
    #[error("MPI was started before in this process: it can be started once")]
    StartedBefore,
}

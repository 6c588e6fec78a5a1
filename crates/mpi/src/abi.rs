//! Three binary interfaces of MPI: what differs between them.

use std::{
    ffi::{c_int, c_void},
    ptr::without_provenance_mut,
};

use crate::{MpiError, library::Loaded};

/// A handle of Open MPI and of the standard.
pub(crate) type Pointer = *mut c_void;

/// Handles are of one type `H`, whatever they are handles of.
pub(crate) struct Abi<H> {
    /// `MPI_COMM_WORLD`
    pub(crate) world: H,
    /// `MPI_BYTE`
    pub(crate) byte: H,
    /// `MPI_ERRORS_RETURN`
    pub(crate) errors_return: H,
    /// `MPI_THREAD_FUNNELED`
    pub(crate) funneled: c_int,
    /// `MPI_ERR_TRUNCATE`
    pub(crate) truncated: c_int,
    /// Bytes of an `MPI_Status`: a multiple of 4, at most [`MOST_STATUS_BYTES`].
    pub(crate) status_bytes: usize,
    /// Where its member `MPI_ERROR` is.
    pub(crate) status_error: usize,
}

pub(crate) const MOST_STATUS_BYTES: usize = 32;

/// MPICH's `mpi.h`; kept by Intel MPI and MVAPICH (the MPICH ABI compatibility initiative).
pub(crate) const MPICH: Abi<c_int> = Abi {
    world: 0x4400_0000,
    byte: 0x4c00_010d,
    errors_return: 0x5400_0001,
    funneled: 1,
    truncated: 14,
    status_bytes: 20,
    status_error: 16,
};

/// MPI 5.0, appendix A; `mpi.h` of the MPI Forum's `mpi-abi-stubs`. (Drafts, and with them `libmpi_abi.so.1` of Intel
/// MPI 2021.18, have another value for `errors_return`: there an error ends the group with MPI's own words.)
pub(crate) const STANDARD: Abi<Pointer> = Abi {
    world: without_provenance_mut(0x101),
    byte: without_provenance_mut(0x247),
    errors_return: without_provenance_mut(0x143),
    funneled: 1024,
    truncated: 15,
    status_bytes: 32,
    status_error: 8,
};

/// Open MPI's `mpi.h`: handles are addresses of the library's variables.
pub(crate) fn open_mpi(library: &Loaded) -> Result<Abi<Pointer>, MpiError> {
    Ok(Abi {
        world: library.address(c"ompi_mpi_comm_world")?,
        byte: library.address(c"ompi_mpi_byte")?,
        errors_return: library.address(c"ompi_mpi_errors_return")?,
        funneled: 1,
        truncated: 15,
        status_bytes: 24,
        status_error: 8,
    })
}

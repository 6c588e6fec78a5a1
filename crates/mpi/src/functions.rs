//! The functions of MPI that are called, by their types in the standard. `H` is the type of handles.

use std::ffi::{c_char, c_int, c_void};

use crate::{MpiError, library::Loaded};

macro_rules! functions {
    ($($name:ident = $symbol:literal ($($argument:ty),*);)*) => {
        pub(crate) struct Functions<H> {
            $(pub(crate) $name: unsafe extern "C" fn($($argument),*) -> c_int,)*
        }

        impl<H: Copy> Functions<H> {
            /// # Safety
            /// `H` must be the type of the library's handles.
            pub(crate) unsafe fn of(library: &Loaded) -> Result<Self, MpiError> {
                Ok(Self {
                    // SAFETY: the types are those of the MPI standard, with the library's handles.
                    $($name: unsafe { library.function($symbol) }?,)*
                })
            }
        }
    };
}

functions! {
    init_thread = c"MPI_Init_thread" (*mut c_int, *mut *mut *mut c_char, c_int, *mut c_int);
    finalize = c"MPI_Finalize" ();
    abort = c"MPI_Abort" (H, c_int);
    comm_set_errhandler = c"MPI_Comm_set_errhandler" (H, H);
    comm_rank = c"MPI_Comm_rank" (H, *mut c_int);
    comm_size = c"MPI_Comm_size" (H, *mut c_int);
    isend = c"MPI_Isend" (*const c_void, c_int, H, c_int, c_int, H, *mut H);
    irecv = c"MPI_Irecv" (*mut c_void, c_int, H, c_int, c_int, H, *mut H);
    iprobe = c"MPI_Iprobe" (c_int, c_int, H, *mut c_int, *mut c_void);
    testsome = c"MPI_Testsome" (c_int, *mut H, *mut c_int, *mut c_int, *mut c_void);
    get_count = c"MPI_Get_count" (*const c_void, H, *mut c_int);
    error_class = c"MPI_Error_class" (c_int, *mut c_int);
    error_string = c"MPI_Error_string" (c_int, *mut c_char, *mut c_int);
    get_library_version = c"MPI_Get_library_version" (*mut c_char, *mut c_int);
}

/// More than `MPI_MAX_LIBRARY_VERSION_STRING` and `MPI_MAX_ERROR_STRING` of every MPI: 8,192 and 1,024.
const TEXT_BYTES: usize = 16_384;

impl<H: Copy> Functions<H> {
    /// What the library calls itself, such as `Open MPI v4.1.4`: the first line, up to a comma.
    pub(crate) fn version(&self) -> String {
        // SAFETY: both pointers are valid for what the function writes. MPI allows this call at any time.
        let text = text(|text, length| unsafe { (self.get_library_version)(text, length) });
        let line = text.lines().next().unwrap_or_default();
        crate::library::one_line(line.split(',').next().unwrap_or_default())
    }

    /// What MPI says of an error, in one line.
    ///
    /// # Safety
    /// MPI must be initialized, and this must be its thread.
    pub(crate) unsafe fn error_text(&self, code: c_int) -> String {
        // SAFETY: both pointers are valid for what the function writes; the caller vouches for the rest.
        let text = text(|text, length| unsafe { (self.error_string)(code, text, length) });
        crate::library::one_line(&text)
    }
}

/// The text that a function of MPI writes.
fn text(write: impl FnOnce(*mut c_char, *mut c_int) -> c_int) -> String {
    let mut bytes = vec![0u8; TEXT_BYTES];
    let mut length = 0;
    write(bytes.as_mut_ptr().cast(), &mut length);
    bytes.truncate(usize::try_from(length).unwrap_or(0));
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

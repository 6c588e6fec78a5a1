//! Finds and loads the library, and tells its kind.

use std::{
    error::Error,
    ffi::{CStr, OsStr, OsString, c_int, c_void},
    fmt,
    mem::ManuallyDrop,
};

use libloading::Library;

use crate::{Launcher, MpiError};

/// The binary interface of a library.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    OpenMpi,
    /// MPICH 3 and later, Intel MPI, MVAPICH.
    Mpich,
    /// MPI 5.0, chapter 20.
    Standard,
}

/// A library as messages name it.
pub(crate) struct Name {
    file: OsString,
    by_user: bool,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let setting = if self.by_user { "RESNET_MPI=" } else { "" };
        write!(f, "{setting}{}", self.file.to_string_lossy())
    }
}

/// A library that is loaded, and stays so: its threads and handlers outlive every use of it.
pub(crate) struct Loaded {
    library: ManuallyDrop<Library>,
    pub(crate) name: Name,
    pub(crate) kind: Kind,
}

#[cfg(not(target_os = "macos"))]
mod names {
    pub(super) const OPEN_MPI: &str = "libmpi.so.40";
    /// MPICH's own name and that of its ABI initiative. Debian's MPICH has only the former, so that the latter
    /// is an MPI which the user chose.
    pub(super) const MPICH: [&str; 2] = ["libmpi.so.12", "libmpich.so.12"];
    pub(super) const STANDARD: &str = "libmpi_abi.so.1";
}
#[cfg(target_os = "macos")]
mod names {
    pub(super) const OPEN_MPI: &str = "libmpi.40.dylib";
    pub(super) const MPICH: [&str; 2] = ["libmpi.12.dylib", "libmpich.12.dylib"];
    pub(super) const STANDARD: &str = "libmpi_abi.1.dylib";
}

/// Names of libraries to try: those that can speak to the launcher, the likeliest first.
fn candidates(launcher: Launcher) -> Vec<&'static str> {
    use names::{MPICH, OPEN_MPI, STANDARD};
    let [mpich, other] = MPICH;
    match launcher {
        Launcher::OpenMpi => vec![OPEN_MPI, STANDARD],
        Launcher::Hydra | Launcher::Mvapich => vec![mpich, other, STANDARD],
        Launcher::Slurm { pmix: false } => vec![mpich, other, STANDARD, OPEN_MPI],
        Launcher::Slurm { pmix: true } | Launcher::Pmix => vec![OPEN_MPI, STANDARD, mpich, other],
    }
}

/// Loads the library that `named` (`RESNET_MPI`) names, or else the first of a launcher's that is installed.
pub(crate) fn load(launcher: Launcher, named: Option<OsString>) -> Result<Loaded, MpiError> {
    if let Some(file) = named.filter(|file| !file.is_empty()) {
        let library = open(&file);
        let name = Name { file, by_user: true };
        return match library {
            Ok(library) => Loaded::new(library, name),
            Err(error) => {
                Err(MpiError::CannotLoad { library: name.to_string(), reason: reason(&error) })
            }
        };
    }
    let names = candidates(launcher);
    let mut tried = Vec::new();
    for &name in &names {
        match open(name.as_ref()) {
            Ok(library) => return Loaded::new(library, Name { file: name.into(), by_user: false }),
            Err(error) => tried.push(attempt(name, &reason(&error))),
        }
    }
    Err(MpiError::NoLibrary { launcher, tried, example: names[0] })
}

/// What the system says.
fn reason(error: &libloading::Error) -> String {
    one_line(&error.source().map_or_else(|| error.to_string(), ToString::to_string))
}

/// A name, with the reason if there is more to say than that there is no such file.
fn attempt(name: &str, reason: &str) -> String {
    let reason_is_plain = reason.contains(name) && reason.to_lowercase().contains("no such file");
    if reason_is_plain { name.to_owned() } else { format!("{name} ({reason})") }
}

pub(crate) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Open MPI's plugins look up the symbols of the library that loaded them, which must be global for that.
#[cfg(unix)]
fn open(file: &OsStr) -> Result<Library, libloading::Error> {
    use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_LAZY};
    // SAFETY: the constructors of an MPI library ask nothing of their caller. Which library it is, the system's
    // administrator or the user says, who could as well have had it preloaded.
    unsafe { Library::open(Some(file), RTLD_LAZY | RTLD_GLOBAL) }.map(Into::into)
}

#[cfg(not(unix))]
fn open(file: &OsStr) -> Result<Library, libloading::Error> {
    // SAFETY: see above.
    unsafe { Library::new(file) }
}

impl Loaded {
    fn new(library: Library, name: Name) -> Result<Self, MpiError> {
        let mut loaded = Self { library: ManuallyDrop::new(library), name, kind: Kind::Standard };
        loaded.address(c"MPI_Init_thread")?;
        let abi = loaded.abi_version();
        let found = kind(abi, &|symbol| loaded.address(symbol).is_ok());
        let unknown = || MpiError::UnknownKind { library: loaded.name.to_string() };
        loaded.kind = found.ok_or_else(unknown)?;
        Ok(loaded)
    }

    /// A function of the library.
    ///
    /// # Safety
    /// `F` must be the type of a pointer to that function.
    pub(crate) unsafe fn function<F: Copy>(&self, symbol: &'static CStr) -> Result<F, MpiError> {
        // SAFETY: the caller names the type. The library is never unloaded.
        let found = unsafe { self.library.get::<F>(symbol.to_bytes_with_nul()) };
        found.map(|function| *function).map_err(|_| self.lacks(symbol))
    }

    /// The address of a variable or function of the library.
    pub(crate) fn address(&self, symbol: &'static CStr) -> Result<*mut c_void, MpiError> {
        // SAFETY: an address of any type is one of `c_void`.
        unsafe { self.function::<*mut c_void>(symbol) }
    }

    fn lacks(&self, symbol: &'static CStr) -> MpiError {
        let symbol = symbol.to_str().unwrap_or("MPI's functions");
        MpiError::NotMpi { library: self.name.to_string(), symbol }
    }

    /// The version of the standard ABI that the library has.
    fn abi_version(&self) -> Option<c_int> {
        type AbiGetVersion = unsafe extern "C" fn(*mut c_int, *mut c_int) -> c_int;
        // SAFETY: the type is that of MPI 5.0, section 20.
        let get = unsafe { self.function::<AbiGetVersion>(c"MPI_Abi_get_version") }.ok()?;
        let (mut major, mut minor) = (-1, -1);
        // SAFETY: both pointers are to integers. MPI allows this call at any time.
        let code = unsafe { get(&mut major, &mut minor) };
        (code == 0 && major > 0).then_some(major)
    }
}

/// The kind of a library with a version of the standard ABI, or else with certain symbols.
fn kind(abi: Option<c_int>, has: &dyn Fn(&'static CStr) -> bool) -> Option<Kind> {
    if abi.is_some() {
        Some(Kind::Standard)
    } else if has(c"ompi_mpi_comm_world") {
        Some(Kind::OpenMpi)
    } else if has(c"MPI_UNWEIGHTED") {
        // A variable in MPICH and what stems from it, a constant in every other.
        Some(Kind::Mpich)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_is_told_by_symbols() {
        let of = |abi, symbols: &[&CStr]| kind(abi, &|symbol| symbols.contains(&symbol));
        assert_eq!(of(None, &[c"ompi_mpi_comm_world"]), Some(Kind::OpenMpi));
        assert_eq!(of(None, &[c"MPI_UNWEIGHTED"]), Some(Kind::Mpich));
        // The standard ABI of Open MPI 6 is a layer above a library with the old symbols.
        assert_eq!(of(Some(1), &[c"ompi_mpi_comm_world"]), Some(Kind::Standard));
        assert_eq!(of(None, &[]), None);
    }

    #[test]
    fn only_unusual_reasons_are_told() {
        let name = "libmpi.so.40";
        let missing = "libmpi.so.40: cannot open shared object file: No such file or directory";
        assert_eq!(attempt(name, missing), name);
        let part = "libhwloc.so.15: cannot open shared object file: No such file or directory";
        assert_eq!(attempt(name, part), format!("{name} ({part})"));
        let class = "libmpi.so.40: wrong ELF class: ELFCLASS32";
        assert_eq!(attempt(name, class), format!("{name} ({class})"));
    }

    #[test]
    fn a_launcher_without_a_library_is_told_what_was_tried() {
        let tried = candidates(Launcher::OpenMpi).iter().map(ToString::to_string).collect();
        let error = MpiError::NoLibrary {
            launcher: Launcher::OpenMpi,
            tried,
            example: candidates(Launcher::OpenMpi)[0],
        };
        #[cfg(target_os = "linux")]
        assert_eq!(
            error.to_string(),
            "Open MPI's mpirun started this process, but no MPI library was found here (tried libmpi.so.40, \
             libmpi_abi.so.1): install or load the MPI of that launcher, or name its library: \
             RESNET_MPI=/path/to/libmpi.so.40"
        );
    }

    #[test]
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    fn a_library_that_is_no_mpi_is_refused() {
        let error = load(Launcher::Hydra, Some("libm.so.6".into())).err().expect("an error");
        assert!(matches!(error, MpiError::NotMpi { symbol: "MPI_Init_thread", .. }), "{error}");
        let error =
            load(Launcher::Hydra, Some("/nowhere/libmpi.so".into())).err().expect("an error");
        assert!(matches!(error, MpiError::CannotLoad { .. }), "{error}");
    }
}

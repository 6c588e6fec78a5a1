//! From a launch to a transport.

use std::{
    env,
    ffi::c_int,
    ops::Range,
    ptr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use resnet_comm::{CommError, Completed, Ticket, Transport};

use crate::{
    Launch, MpiError,
    abi::{self, Abi},
    functions::Functions,
    library::{self, Kind, Loaded},
    world::World,
};

/// The processes that a launcher started, connected by MPI.
///
/// It lives in the thread that started it, which makes all calls of MPI (`MPI_THREAD_FUNNELED`); so it is not
/// `Send`:
///
/// ```compile_fail
/// fn send<T: Send>() {}
/// send::<resnet_mpi::Mpi>();
/// ```
///
/// Processes must agree on lengths. One that sends too little is reported by an error. So is one that sends too much,
/// but Open MPI (4.1.4 and 5.0.11) first writes past the end of the receiver's buffer if the message is of more than
/// about 4 kB, and the process then crashes. Small messages that compare versions and settings come first,
/// therefore.
///
/// If it is dropped without [`Transport::finish`], MPI stays initialized, and the buffers of messages that are
/// under way are leaked: MPI may still write to them. The launcher then ends the other processes as soon as this
/// one exits.
pub struct Mpi {
    world: Box<dyn Transport>,
    version: String,
}

/// Whether this process called `MPI_Init_thread`.
static STARTED: AtomicBool = AtomicBool::new(false);

impl Mpi {
    /// Loads the MPI library that `RESNET_MPI` names, or else the one that fits the launcher, and starts it.
    ///
    /// # Errors
    /// If no library is found or it is no MPI, if MPI reports an error, if MPI was started before in this process,
    /// or if MPI knows of another number of processes than the launcher: then the two do not belong together.
    pub fn start(launch: &Launch) -> Result<Self, MpiError> {
        let library = library::load(launch.launcher, env::var_os("RESNET_MPI"))?;
        // SAFETY: each table has the type of handles of its kind.
        unsafe {
            match library.kind {
                Kind::OpenMpi => start(launch, &library, abi::open_mpi(&library)?),
                Kind::Mpich => start(launch, &library, abi::MPICH),
                Kind::Standard => start(launch, &library, abi::STANDARD),
            }
        }
    }

    /// What the library calls itself, such as `Open MPI v4.1.4`.
    pub fn library_version(&self) -> &str {
        &self.version
    }
}

/// # Safety
/// `abi` must be that of the library.
unsafe fn start<H: Copy + 'static>(
    launch: &Launch,
    library: &Loaded,
    abi: Abi<H>,
) -> Result<Mpi, MpiError> {
    // SAFETY: `H` is the type of handles of `abi`.
    let functions = unsafe { Functions::<H>::of(library) }?;
    let version = functions.version();
    let named = || format!("{} ({version})", library.name);
    if STARTED.swap(true, Ordering::Relaxed) {
        return Err(MpiError::StartedBefore);
    }
    let mut threads: c_int = 0;
    // SAFETY: MPI was not started in this process. It allows null pointers for the arguments of `main`.
    let code = unsafe {
        (functions.init_thread)(ptr::null_mut(), ptr::null_mut(), abi.funneled, &mut threads)
    };
    if code != 0 {
        let text = format!("error {code}");
        return Err(MpiError::Call { library: named(), call: "MPI_Init_thread", text });
    }
    if threads < abi.funneled {
        return Err(MpiError::NoThreads { library: named() });
    }
    let (mut rank, mut size): (c_int, c_int) = (-1, -1);
    // SAFETY: MPI is initialized by this thread; the pointers are to integers.
    let codes = unsafe {
        [
            (
                "MPI_Comm_set_errhandler",
                (functions.comm_set_errhandler)(abi.world, abi.errors_return),
            ),
            ("MPI_Comm_rank", (functions.comm_rank)(abi.world, &mut rank)),
            ("MPI_Comm_size", (functions.comm_size)(abi.world, &mut size)),
        ]
    };
    if let Some((call, code)) = codes.into_iter().find(|(_, code)| *code != 0) {
        // SAFETY: MPI is initialized by this thread.
        let text = unsafe { functions.error_text(code) };
        return Err(MpiError::Call { library: named(), call, text });
    }
    // MPI never gives negative numbers.
    let (rank, size) = (rank as usize, size as usize);
    let launched = match launch.size {
        Some(launched) => (launched != size).then(|| launched.to_string()),
        None => (launch.rank >= size).then(|| format!("{} or more", launch.rank + 1)),
    };
    if let Some(launched) = launched {
        let library = named();
        // A process that is alone can end MPI alone.
        if size == 1 {
            // SAFETY: MPI is initialized by this thread, and not used again.
            unsafe { (functions.finalize)() };
        }
        return Err(MpiError::Size { launcher: launch.launcher, launched, library, found: size });
    }
    // SAFETY: MPI is initialized by this thread, and gave both numbers.
    let world = unsafe { World::new(functions, abi, rank, size) };
    Ok(Mpi { world: Box::new(world), version })
}

impl Transport for Mpi {
    fn rank(&self) -> usize {
        self.world.rank()
    }

    fn size(&self) -> usize {
        self.world.size()
    }

    fn send(
        &mut self,
        to: usize,
        tag: u16,
        bytes: &Arc<Vec<u8>>,
        range: Range<usize>,
    ) -> Result<Ticket, CommError> {
        self.world.send(to, tag, bytes, range)
    }

    fn receive(&mut self, from: usize, tag: u16, buffer: Vec<u8>) -> Result<Ticket, CommError> {
        self.world.receive(from, tag, buffer)
    }

    fn poll(&mut self, completed: &mut Vec<Completed>) -> Result<(), CommError> {
        self.world.poll(completed)
    }

    fn finish(&mut self, code: i32) -> Result<(), CommError> {
        self.world.finish(code)
    }

    fn abort(&mut self, code: i32) {
        self.world.abort(code)
    }
}

//! Ctrl-C and SIGTERM: the first requests a stop that saves the run, the second ends the process at
//! once. A closed terminal (SIGHUP) and SIGUSR1 stop a training too.

use std::{
    fmt, io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use resnet::train::StopFlag;
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    flag,
};

/// From now on a write beyond the limit on the size of a file (`ulimit -f`) is an error of that write,
/// as on a full disk. By default SIGXFSZ ends the process.
#[cfg(unix)]
pub(crate) fn outlive_file_size_limit() {
    use signal_hook::consts::SIGXFSZ;
    // A handler, which programs that this one starts do not inherit. Without it, nothing else changes.
    let _ = flag::register(SIGXFSZ, Arc::default());
}

#[cfg(not(unix))]
pub(crate) fn outlive_file_size_limit() {}

/// Whether a signal has requested a stop, and which.
#[derive(Clone)]
pub(crate) struct Interrupt {
    requested: Arc<AtomicBool>,
    signal: Arc<StopFlag>,
}

impl Interrupt {
    /// Installs the handlers of both signals.
    pub(crate) fn catch() -> io::Result<Self> {
        let interrupt = Interrupt::new();
        for number in [SIGINT, SIGTERM] {
            // The order matters: the first signal finds `requested` unset, then sets it.
            let requested = Arc::clone(&interrupt.requested);
            flag::register_conditional_shutdown(number, 128 + number, requested)?;
            interrupt.request_on(number)?;
        }
        Ok(interrupt)
    }

    /// The same for a process among others: a launcher may pass a signal on that the process also gets from the
    /// terminal, so the second one does nothing.
    fn catch_in_group() -> io::Result<Self> {
        let interrupt = Interrupt::new();
        [SIGINT, SIGTERM].into_iter().try_for_each(|number| interrupt.request_on(number))?;
        Ok(interrupt)
    }

    /// What a training catches: Ctrl-C and SIGTERM, as one of this many processes, SIGUSR1, and SIGHUP.
    pub(crate) fn of_training(processes: usize) -> io::Result<Self> {
        let interrupt =
            if processes == 1 { Interrupt::catch() } else { Interrupt::catch_in_group() }?;
        interrupt.catch_user_signal()?;
        interrupt.catch_hang_up()?;
        Ok(interrupt)
    }

    fn new() -> Self {
        let (requested, signal) = (Arc::default(), Arc::default());
        Interrupt { requested, signal }
    }

    /// From now on a signal requests a stop.
    fn request_on(&self, number: i32) -> io::Result<()> {
        flag::register(number, Arc::clone(&self.requested))?;
        flag::register_usize(number, Arc::clone(&self.signal), number as usize)?;
        Ok(())
    }

    /// From now on SIGUSR1 requests a stop: batch systems send it before the time of a job is over, and launchers
    /// pass it on to all processes.
    #[cfg(unix)]
    fn catch_user_signal(&self) -> io::Result<()> {
        self.request_on(signal_hook::consts::SIGUSR1)
    }

    #[cfg(not(unix))]
    fn catch_user_signal(&self) -> io::Result<()> {
        Ok(())
    }

    /// From now on SIGHUP (the terminal closes) requests a stop, unless `nohup` has it ignored. The shell may send it
    /// twice, so it never ends the process at once.
    #[cfg(unix)]
    fn catch_hang_up(&self) -> io::Result<()> {
        if ignores_hang_up() {
            return Ok(());
        }
        self.request_on(signal_hook::consts::SIGHUP)
    }

    #[cfg(not(unix))]
    fn catch_hang_up(&self) -> io::Result<()> {
        Ok(())
    }

    /// Does what Ctrl-C does, for a terminal in raw mode, which sends it as a key.
    pub(crate) fn request(&self) {
        self.signal.store(SIGINT as usize, Ordering::Relaxed);
        self.requested.store(true, Ordering::Relaxed);
    }

    /// From now on the first signal ends the process at once: there is nothing to save.
    pub(crate) fn release(self) {
        self.requested.store(true, Ordering::Relaxed);
    }

    /// Set by the first signal.
    pub(crate) fn requested(&self) -> &AtomicBool {
        &self.requested
    }

    /// The number of the signal, or 0.
    pub(crate) fn signal(&self) -> &StopFlag {
        &self.signal
    }

    /// Fails after a signal.
    pub(crate) fn check(&self) -> Result<(), Interrupted> {
        match self.signal.load(Ordering::Relaxed) {
            0 => Ok(()),
            signal => Err(Interrupted(signal)),
        }
    }
}

/// Whether this process was started with SIGHUP ignored.
#[cfg(unix)]
fn ignores_hang_up() -> bool {
    let status = resnet_formats::read_text(Path::new("/proc/self/status"), 1 << 20).ok();
    let ignored = status.as_deref().and_then(ignored_signals);
    // Where the system does not say: `nohup` takes stderr away from the terminal.
    ignored.map_or_else(
        || !io::IsTerminal::is_terminal(&io::stderr()),
        |mask| mask >> (signal_hook::consts::SIGHUP - 1) & 1 == 1,
    )
}

/// The mask of ignored signals in Linux's `/proc/self/status`.
#[cfg(unix)]
fn ignored_signals(status: &str) -> Option<u64> {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
    u64::from_str_radix(mask.trim(), 16).ok()
}

/// A signal stopped the command.
#[derive(Debug)]
pub(crate) struct Interrupted(pub(crate) usize);

impl Interrupted {
    /// The conventional exit code: 130 for Ctrl-C, 143 for SIGTERM, 129 for SIGHUP, 138 for SIGUSR1.
    pub(crate) fn exit_code(&self) -> u8 {
        u8::try_from(128 + self.0).unwrap_or(1)
    }
}

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("interrupted")
    }
}

impl std::error::Error for Interrupted {}

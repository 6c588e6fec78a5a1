//! Ctrl-C and SIGTERM: the first asks what is under way to save and stop, the second ends the
//! process at once.

use std::{
    fmt, io,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use resnet::train::StopFlag;
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    flag,
};

/// The wish to stop.
#[derive(Clone)]
pub(crate) struct Interrupt {
    asked: Arc<AtomicBool>,
    signal: Arc<StopFlag>,
}

impl Interrupt {
    /// Catches both signals from now on.
    pub(crate) fn catch() -> io::Result<Self> {
        let asked = Arc::new(AtomicBool::new(false));
        let signal = Arc::new(AtomicUsize::new(0));
        for number in [SIGINT, SIGTERM] {
            // In this order: the first signal finds `asked` unset, and sets it.
            flag::register_conditional_shutdown(number, 128 + number, Arc::clone(&asked))?;
            flag::register(number, Arc::clone(&asked))?;
            flag::register_usize(number, Arc::clone(&signal), number as usize)?;
        }
        Ok(Interrupt { asked, signal })
    }

    /// From now on a hang-up of the terminal counts as a first signal. The shell may well send
    /// another, so that it never ends the process at once.
    #[cfg(unix)]
    pub(crate) fn catch_hang_up(&self) -> io::Result<()> {
        use signal_hook::consts::SIGHUP;
        flag::register(SIGHUP, Arc::clone(&self.asked))?;
        flag::register_usize(SIGHUP, Arc::clone(&self.signal), SIGHUP as usize)?;
        Ok(())
    }

    #[cfg(not(unix))]
    pub(crate) fn catch_hang_up(&self) -> io::Result<()> {
        Ok(())
    }

    /// Does what Ctrl-C does, where the terminal hands it over as a key.
    pub(crate) fn ask(&self) {
        self.signal.store(SIGINT as usize, Ordering::Relaxed);
        self.asked.store(true, Ordering::Relaxed);
    }

    /// For when there is nothing to save: from now on the first signal ends the process at once.
    pub(crate) fn release(self) {
        self.asked.store(true, Ordering::Relaxed);
    }

    /// Set by the first signal.
    pub(crate) fn asked(&self) -> &AtomicBool {
        &self.asked
    }

    /// The number of the signal, or 0.
    pub(crate) fn signal(&self) -> &StopFlag {
        &self.signal
    }

    /// Fails once a signal has come.
    pub(crate) fn check(&self) -> Result<(), Interrupted> {
        match self.signal.load(Ordering::Relaxed) {
            0 => Ok(()),
            signal => Err(Interrupted(signal)),
        }
    }
}

/// A signal ended the command, and its state is saved.
#[derive(Debug)]
pub(crate) struct Interrupted(pub(crate) usize);

impl Interrupted {
    /// The exit code by custom: 130 for Ctrl-C, 143 for SIGTERM.
    pub(crate) fn exit_code(&self) -> ExitCode {
        u8::try_from(128 + self.0).map_or(ExitCode::FAILURE, ExitCode::from)
    }
}

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("interrupted")
    }
}

impl std::error::Error for Interrupted {}

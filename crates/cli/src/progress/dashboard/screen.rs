//! The terminal, taken over and given back.

use std::{
    io::{self, BufWriter, Stderr, stderr},
    panic,
    sync::{
        Once,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use ratatui::{
    Frame, Terminal,
    backend::CrosstermBackend,
    crossterm::{
        cursor::Show,
        execute,
        terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode},
    },
    layout::{Position, Rect},
};

/// Whether the terminal is ours.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// The alternate screen of the terminal at stderr, without echo. Given back when dropped, and when
/// the process panics.
pub(super) struct Screen {
    terminal: Terminal<CrosstermBackend<BufWriter<Stderr>>>,
}

impl Screen {
    pub(super) fn open() -> io::Result<Self> {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let hook = panic::take_hook();
            panic::set_hook(Box::new(move |panic| {
                give_back();
                hook(panic);
            }));
        });
        let terminal = Terminal::new(CrosstermBackend::new(BufWriter::new(stderr())))?;
        let mut screen = Screen { terminal };
        screen.take()?;
        Ok(screen)
    }

    fn take(&mut self) -> io::Result<()> {
        enable_raw_mode()?;
        TAKEN.store(true, Relaxed);
        execute!(stderr(), EnterAlternateScreen)?;
        // All is drawn anew. `clear` would ask the terminal where its cursor is, through stdout.
        let size = self.terminal.size()?;
        self.terminal.resize(Rect::from((Position::ORIGIN, size)))
    }

    /// Draws, unless a panic has given the terminal back.
    pub(super) fn draw(&mut self, draw: impl FnOnce(&mut Frame)) -> io::Result<()> {
        if TAKEN.load(Relaxed) {
            self.terminal.draw(draw)?;
        }
        Ok(())
    }

    /// Stops the process, as Ctrl-Z does where the terminal is its own master.
    #[cfg(unix)]
    pub(super) fn suspend(&mut self) -> io::Result<()> {
        give_back();
        signal_hook::low_level::raise(signal_hook::consts::SIGSTOP)?;
        self.take()
    }

    #[cfg(not(unix))]
    pub(super) fn suspend(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

fn give_back() {
    if TAKEN.swap(false, Relaxed) {
        let _ = execute!(stderr(), LeaveAlternateScreen, Show);
        let _ = disable_raw_mode();
    }
}

//! The alternate screen of the terminal.

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
use resnet_formats::is_caught;

/// Whether the alternate screen is active.
static ACTIVE: AtomicBool = AtomicBool::new(false);

/// The alternate screen on stderr, in raw mode. Dropping it restores the terminal; so does a panic.
pub(super) struct Screen {
    terminal: Terminal<CrosstermBackend<BufWriter<Stderr>>>,
}

impl Screen {
    pub(super) fn open() -> io::Result<Self> {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let hook = panic::take_hook();
            panic::set_hook(Box::new(move |panic| {
                // A lost GPU is an error, after which the dashboard closes as usual.
                if !is_caught() {
                    restore();
                }
                hook(panic);
            }));
        });
        let terminal = Terminal::new(CrosstermBackend::new(BufWriter::new(stderr())))?;
        let mut screen = Screen { terminal };
        screen.enter()?;
        Ok(screen)
    }

    fn enter(&mut self) -> io::Result<()> {
        enable_raw_mode()?;
        ACTIVE.store(true, Relaxed);
        execute!(stderr(), EnterAlternateScreen)?;
        // Redraws everything. `clear` would query the cursor position through stdout.
        let size = self.terminal.size()?;
        self.terminal.resize(Rect::from((Position::ORIGIN, size)))
    }

    /// Draws, unless a panic has restored the terminal.
    pub(super) fn draw(&mut self, draw: impl FnOnce(&mut Frame)) -> io::Result<()> {
        if ACTIVE.load(Relaxed) {
            self.terminal.draw(draw)?;
        }
        Ok(())
    }

    /// Suspends the process, as Ctrl-Z does outside raw mode.
    #[cfg(unix)]
    pub(super) fn suspend(&mut self) -> io::Result<()> {
        restore();
        signal_hook::low_level::raise(signal_hook::consts::SIGSTOP)?;
        self.enter()
    }

    #[cfg(not(unix))]
    pub(super) fn suspend(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        restore();
    }
}

fn restore() {
    if ACTIVE.swap(false, Relaxed) {
        let _ = execute!(stderr(), LeaveAlternateScreen, Show);
        let _ = disable_raw_mode();
    }
}

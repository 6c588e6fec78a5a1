//! A dashboard that fills the terminal (`--ui full`).
//!
//! Training only notes what happened; a thread of its own draws that a few times a second and
//! listens to keys. Whatever ends it, a plain bar takes over, which first prints the rows that it
//! would have printed until then.

mod charts;
mod palette;
mod screen;
mod series;
mod state;
mod view;

use std::{
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use ratatui::crossterm::event::{self, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use resnet::train::Event;

use self::{palette::Palette, screen::Screen, state::State};
use super::bar::EpochBar;
use crate::interrupt::Interrupt;

/// Time between two pictures where something has happened, and where nothing has.
const REDRAW: Duration = Duration::from_millis(200);
const REDRAW_IDLE: Duration = Duration::from_secs(1);

/// A dashboard, until somebody leaves it.
pub(crate) struct Dashboard {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// What training and drawing share.
#[derive(Default)]
struct Shared {
    told: Mutex<Told>,
    /// Set when the run has ended.
    over: AtomicBool,
}

/// What training has told.
#[derive(Default)]
struct Told {
    state: State,
    /// Whether something has happened since the last picture.
    changed: bool,
    /// The events of which a bar leaves a trace on the terminal.
    lasting: Vec<Event>,
    /// Who shows events once the dashboard is left.
    bar: Option<EpochBar>,
}

impl Dashboard {
    /// Takes over the terminal. A hang-up of the terminal interrupts the run from now on.
    pub(crate) fn open(interrupt: &Interrupt) -> io::Result<Dashboard> {
        let screen = Screen::open()?;
        interrupt.catch_hang_up()?;
        let shared = Arc::<Shared>::default();
        let thread = thread::Builder::new().name("dashboard".into()).spawn({
            let (shared, interrupt) = (Arc::clone(&shared), interrupt.clone());
            move || shared.watch(screen, &interrupt)
        })?;
        Ok(Dashboard { shared, thread: Some(thread) })
    }

    /// Shows an event.
    pub(crate) fn show(&mut self, event: &Event) {
        let mut told = self.shared.told();
        if let Some(bar) = &mut told.bar {
            return bar.show(event);
        }
        told.state.update(event, Instant::now());
        told.changed = true;
        if matches!(
            event,
            Event::Started(_) | Event::Note(_) | Event::IsaChanged { .. } | Event::EpochEnd { .. }
        ) {
            told.lasting.push(event.clone());
        }
    }
}

impl Drop for Dashboard {
    fn drop(&mut self) {
        self.shared.over.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        // Where the thread has panicked.
        self.shared.told().leave();
    }
}

impl Shared {
    fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Draws until the run has ended or somebody leaves, and then gives the terminal back.
    fn watch(&self, mut screen: Screen, interrupt: &Interrupt) {
        let wish = self.show_on(&mut screen, interrupt);
        drop(screen);
        self.told().leave();
        if matches!(wish, Ok(Wish::Interrupt)) {
            // The terminal is as it was: another Ctrl-C is a signal again.
            interrupt.ask();
        }
    }

    /// Draws on a terminal until it fails, or somebody wishes to leave.
    fn show_on(&self, screen: &mut Screen, interrupt: &Interrupt) -> io::Result<Wish> {
        let palette = Palette::of_stderr();
        let mut drawn: Option<Instant> = None;
        while !self.over.load(Relaxed) && interrupt.check().is_ok() {
            let due = |pause| drawn.is_none_or(|drawn| drawn.elapsed() >= pause);
            let state = {
                let mut told = self.told();
                let due = due(REDRAW_IDLE) || told.changed && due(REDRAW);
                due.then(|| {
                    told.changed = false;
                    told.state.clone()
                })
            };
            if let Some(state) = state {
                screen.draw(|frame| view::draw(frame, &state, palette, Instant::now()))?;
                drawn = Some(Instant::now());
            }
            if !event::poll(REDRAW / 2)? {
                continue;
            }
            match event::read()? {
                event::Event::Key(key) if key.kind != KeyEventKind::Release => match wish(key) {
                    Some(Wish::Suspend) => {
                        screen.suspend()?;
                        drawn = None;
                    }
                    Some(wish) => return Ok(wish),
                    None => {}
                },
                event::Event::Resize(..) => drawn = None,
                _ => {}
            }
        }
        Ok(Wish::Leave)
    }
}

impl Told {
    /// Gives the run to a bar.
    fn leave(&mut self) {
        if self.bar.is_none() {
            let estimate = self.state.estimate.clone();
            self.bar = Some(EpochBar::taking_over(&self.lasting, estimate));
            self.lasting = Vec::new();
        }
    }
}

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish {
    Leave,
    Interrupt,
    Suspend,
}

fn wish(key: KeyEvent) -> Option<Wish> {
    match (key.code, key.modifiers.contains(KeyModifiers::CONTROL)) {
        (KeyCode::Char('q' | 'Q') | KeyCode::Esc, false) => Some(Wish::Leave),
        (KeyCode::Char('c'), true) => Some(Wish::Interrupt),
        (KeyCode::Char('z'), true) => Some(Wish::Suspend),
        _ => None,
    }
}

//! A full-screen dashboard (`--ui full`).
//!
//! Training only records events. A separate thread draws them a few times per second and reads
//! keys. When the dashboard ends, a plain progress bar continues; it first prints the rows of the
//! epochs so far.

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
use super::{bar::EpochBar, position::Position};
use crate::interrupt::Interrupt;

/// Time between two frames: after new events, and without any.
const REDRAW: Duration = Duration::from_millis(200);
const REDRAW_IDLE: Duration = Duration::from_secs(1);

/// A dashboard, until the user leaves it.
pub(crate) struct Dashboard {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// State shared by the training thread and the drawing thread.
#[derive(Default)]
struct Shared {
    inner: Mutex<Inner>,
    /// Set when the run has ended.
    ended: AtomicBool,
}

/// What the mutex protects.
#[derive(Default)]
struct Inner {
    state: State,
    /// Whether there are events since the last frame.
    changed: bool,
    /// The events that a bar prints permanently.
    replay: Vec<Event>,
    /// The bar that shows events once the dashboard is left.
    bar: Option<EpochBar>,
}

impl Dashboard {
    /// Switches the terminal to the dashboard of a run, which may have a position among others.
    pub(crate) fn open(position: Option<Position>, interrupt: &Interrupt) -> io::Result<Dashboard> {
        let screen = Screen::open()?;
        let inner = Inner { state: State::new(position), ..Inner::default() };
        let shared = Arc::new(Shared { inner: inner.into(), ..Shared::default() });
        let thread = thread::Builder::new().name("dashboard".into()).spawn({
            let (shared, interrupt) = (Arc::clone(&shared), interrupt.clone());
            move || shared.watch(screen, &interrupt)
        })?;
        Ok(Dashboard { shared, thread: Some(thread) })
    }

    /// Shows an event.
    pub(crate) fn show(&mut self, event: &Event) {
        let mut inner = self.shared.lock();
        if let Some(bar) = &mut inner.bar {
            return bar.show(event);
        }
        inner.state.update(event, Instant::now());
        inner.changed = true;
        if matches!(
            event,
            Event::Started(_)
                | Event::Note(_)
                | Event::DeviceChanged { .. }
                | Event::EpochEnd { .. }
                | Event::Finished { .. }
        ) {
            inner.replay.push(event.clone());
        }
    }
}

impl Drop for Dashboard {
    fn drop(&mut self) {
        self.shared.ended.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        // In case the thread has panicked.
        self.shared.lock().switch_to_bar();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Draws until the run ends or the user leaves, then restores the terminal.
    fn watch(&self, mut screen: Screen, interrupt: &Interrupt) {
        let action = self.show_on(&mut screen, interrupt);
        drop(screen);
        self.lock().switch_to_bar();
        if matches!(action, Ok(Action::Interrupt)) {
            // The terminal is restored: another Ctrl-C is a signal again.
            interrupt.request();
        }
    }

    /// Draws until the terminal fails or the user leaves.
    fn show_on(&self, screen: &mut Screen, interrupt: &Interrupt) -> io::Result<Action> {
        let palette = Palette::of_stderr();
        let mut drawn: Option<Instant> = None;
        while !self.ended.load(Relaxed) && interrupt.check().is_ok() {
            let due = |pause| drawn.is_none_or(|drawn| drawn.elapsed() >= pause);
            let state = {
                let mut inner = self.lock();
                let due = due(REDRAW_IDLE) || inner.changed && due(REDRAW);
                due.then(|| {
                    inner.changed = false;
                    inner.state.clone()
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
                event::Event::Key(key) if key.kind != KeyEventKind::Release => match action(key) {
                    Some(Action::Suspend) => {
                        screen.suspend()?;
                        drawn = None;
                    }
                    Some(action) => return Ok(action),
                    None => {}
                },
                event::Event::Resize(..) => drawn = None,
                _ => {}
            }
        }
        Ok(Action::Leave)
    }
}

impl Inner {
    /// Continues with a progress bar.
    fn switch_to_bar(&mut self) {
        if self.bar.is_none() {
            let estimate = self.state.estimate.clone();
            self.bar = Some(EpochBar::replay(&self.replay, estimate));
            self.replay = Vec::new();
        }
    }
}

/// What a key does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Leave,
    Interrupt,
    Suspend,
}

fn action(key: KeyEvent) -> Option<Action> {
    match (key.code, key.modifiers.contains(KeyModifiers::CONTROL)) {
        (KeyCode::Char('q' | 'Q') | KeyCode::Esc, false) => Some(Action::Leave),
        (KeyCode::Char('c'), true) => Some(Action::Interrupt),
        (KeyCode::Char('z'), true) => Some(Action::Suspend),
        _ => None,
    }
}

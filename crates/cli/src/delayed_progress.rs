//! A bar that shows up only when the wait gets long.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How long work goes on before the bar shows up.
const PATIENCE: Duration = Duration::from_secs(2);

/// Images done of all, and the time left, on stderr.
pub(crate) struct LateBar {
    bar: ProgressBar,
    began: Instant,
    hidden: bool,
}

impl LateBar {
    /// For so many images; a `hidden` one never shows up. `what` is said before it.
    pub(crate) fn new(what: &str, images: usize, hidden: bool) -> Self {
        let template = "{prefix} {wide_bar} {pos} of {len} images, {eta} left";
        let style = ProgressStyle::with_template(template)
            .expect("a constant template")
            .progress_chars("━╸─");
        let bar = ProgressBar::with_draw_target(Some(images as u64), ProgressDrawTarget::hidden());
        let bar = bar.with_style(style).with_prefix(what.to_owned());
        LateBar { bar, began: Instant::now(), hidden }
    }

    /// So many images are done.
    pub(crate) fn set(&self, done: usize) {
        if !self.hidden && self.bar.is_hidden() && self.began.elapsed() > PATIENCE {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        self.bar.set_position(done as u64);
    }

    /// One more is done.
    pub(crate) fn tick(&self) {
        self.set(self.bar.position() as usize + 1);
    }

    /// Says something while the bar is away.
    pub(crate) fn suspend(&self, say: impl FnOnce()) {
        self.bar.suspend(say);
    }

    /// Takes the bar away.
    pub(crate) fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

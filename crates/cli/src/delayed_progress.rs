//! A progress bar that appears only after a delay.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Short work ends before this and shows no bar.
const DELAY: Duration = Duration::from_secs(2);

/// Images or other things done of the total, and the time left, on stderr.
pub(crate) struct DelayedProgress {
    bar: ProgressBar,
    began: Instant,
    hidden: bool,
}

impl DelayedProgress {
    /// A bar for this many images, labelled `activity`. A `hidden` one never appears.
    pub(crate) fn new(activity: &str, images: usize, hidden: bool) -> Self {
        DelayedProgress::counting("images", activity, images, hidden)
    }

    /// The same for other things than images.
    pub(crate) fn counting(what: &str, activity: &str, total: usize, hidden: bool) -> Self {
        let template = format!("{{prefix}} {{wide_bar}} {{pos}} of {{len}} {what}, {{eta}} left");
        let style = ProgressStyle::with_template(&template)
            .expect("a valid template")
            .progress_chars("━╸─");
        let bar = ProgressBar::with_draw_target(Some(total as u64), ProgressDrawTarget::hidden());
        let bar = bar.with_style(style).with_prefix(activity.to_owned());
        DelayedProgress { bar, began: Instant::now(), hidden }
    }

    /// Sets the number of images done.
    pub(crate) fn set(&self, done: usize) {
        if !self.hidden && self.bar.is_hidden() && self.began.elapsed() > DELAY {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
        }
        self.bar.set_position(done as u64);
    }

    /// Adds one image.
    pub(crate) fn tick(&self) {
        self.set(self.bar.position() as usize + 1);
    }

    /// Hides the bar while `print` writes to stderr.
    pub(crate) fn suspend(&self, print: impl FnOnce()) {
        self.bar.suspend(print);
    }

    /// Removes the bar.
    pub(crate) fn clear(&self) {
        self.bar.finish_and_clear();
    }
}

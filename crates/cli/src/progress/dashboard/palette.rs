//! Colours of the dashboard.

use anstream::{AutoStream, ColorChoice};
use ratatui::style::{Color, Style};

/// Colours of the terminal's own palette, which are legible on its background. Nothing is conveyed
/// by colour alone.
#[derive(Clone, Copy, Debug)]
pub(super) struct Palette {
    pub(super) coloured: bool,
}

impl Palette {
    /// Without colour if the terminal has none or the user sets `NO_COLOR`.
    pub(super) fn of_stderr() -> Self {
        let choice = AutoStream::choice(&std::io::stderr());
        Palette { coloured: choice != ColorChoice::Never }
    }

    fn colour(self, colour: Color) -> Style {
        if self.coloured { Style::new().fg(colour) } else { Style::new() }
    }

    pub(super) fn train(self) -> Style {
        self.colour(Color::Green)
    }

    pub(super) fn test(self) -> Style {
        self.colour(Color::Magenta)
    }

    pub(super) fn validation(self) -> Style {
        self.colour(Color::Red)
    }
}

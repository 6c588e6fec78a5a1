//! Shows the progress of training: a bar per epoch or a dashboard in a terminal, otherwise log
//! lines.

mod bar;
mod dashboard;
mod estimate;
mod header;
mod lines;
mod position;

use std::{
    env,
    ffi::OsString,
    io::{self, IsTerminal},
};

use resnet::train::Event;

use self::{bar::EpochBar, dashboard::Dashboard, header::header, lines::Lines};
use crate::{
    args::{Global, Ui},
    device::why_cpu,
    interrupt::Interrupt,
    print,
};

pub(crate) use self::position::Position;

/// Shows the events of a run.
pub(crate) enum Progress {
    Silent,
    Log(Lines),
    Bar(Box<EpochBar>),
    Full(Dashboard),
}

impl Progress {
    /// The display of `--ui`, or the default for stderr, of a run that may have a position among others.
    /// `json` is whether results are printed on stdout as JSON.
    pub(crate) fn new(
        ui: Option<Ui>,
        json: bool,
        position: Option<Position>,
        global: &Global,
        interrupt: &Interrupt,
    ) -> Self {
        let terminal = io::stderr().is_terminal();
        let is_dumb = is_dumb(env::var_os("TERM"));
        let plain = if terminal && !is_dumb { Ui::Bar } else { Ui::Log };
        let ui = match ui {
            _ if global.quiet => return Progress::Silent,
            Some(Ui::Full) => {
                match open_dashboard(json, position, [terminal, is_dumb], interrupt) {
                    Ok(dashboard) => return Progress::Full(dashboard),
                    Err(why) => {
                        let instead = if plain == Ui::Bar { "a progress bar" } else { "log lines" };
                        global
                            .note(format!("--ui full is not available ({why}): showing {instead}"));
                        plain
                    }
                }
            }
            ui => ui.unwrap_or(plain),
        };
        if ui == Ui::Log {
            Progress::Log(Lines::new(position))
        } else {
            Progress::Bar(Box::new(EpochBar::new(position)))
        }
    }

    /// Shows an event.
    pub(crate) fn show(&mut self, event: &Event) {
        match self {
            Progress::Silent => {}
            Progress::Log(lines) => {
                let line = lines.of(event);
                match event {
                    Event::Started(run) => print::status(header(run, why_cpu())),
                    // `resnet train` itself prints how the run ended, and its folder.
                    Event::Saved { .. } | Event::Stopped { .. } => {}
                    Event::Finished { .. } => event.best_line().iter().for_each(print::status),
                    _ => line.iter().for_each(print::status),
                }
            }
            Progress::Bar(bar) => bar.show(event),
            Progress::Full(dashboard) => dashboard.show(event),
        }
    }
}

/// Whether the terminal that `TERM` names cannot move its cursor.
fn is_dumb(term: Option<OsString>) -> bool {
    term.map_or(cfg!(unix), |term| term == "dumb")
}

/// Opens the dashboard, or returns why that is not possible.
fn open_dashboard(
    json: bool,
    position: Option<Position>,
    [terminal, is_dumb]: [bool; 2],
    interrupt: &Interrupt,
) -> Result<Dashboard, String> {
    if !terminal {
        return Err("stderr is not a terminal".into());
    }
    if is_dumb {
        return Err("TERM is unset or dumb".into());
    }
    if json && io::stdout().is_terminal() {
        return Err("--json prints to the same terminal".into());
    }
    Dashboard::open(position, interrupt)
        .map_err(|error| format!("the terminal does not support it: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dumb_terminals_are_known_by_their_name() {
        assert!(is_dumb(Some("dumb".into())) && !is_dumb(Some("xterm-256color".into())));
        assert_eq!(is_dumb(None), cfg!(unix));
    }
}

//! What a training run looks like: a bar an epoch or a dashboard at a terminal, lines of text
//! elsewhere.

mod bar;
mod dashboard;
mod estimate;
mod header;

use std::io::{self, IsTerminal};

use resnet::train::Event;

use self::{bar::EpochBar, dashboard::Dashboard, header::header};
use crate::{
    args::{Global, TrainArgs, Ui},
    interrupt::Interrupt,
    print,
};

/// A listener to a run.
pub(crate) enum Progress {
    Silent,
    Log,
    Bar(Box<EpochBar>),
    Full(Dashboard),
}

impl Progress {
    /// What was asked for, or else what suits stderr.
    pub(crate) fn new(args: &TrainArgs, global: &Global, interrupt: &Interrupt) -> Self {
        let terminal = io::stderr().is_terminal();
        let plain = if terminal { Ui::Bar } else { Ui::Log };
        let ui = match args.ui {
            _ if global.quiet => return Progress::Silent,
            Some(Ui::Full) => match full(args, terminal, interrupt) {
                Ok(dashboard) => return Progress::Full(dashboard),
                Err(why) => {
                    let instead = if terminal { "a bar" } else { "lines of text" };
                    global.note(format!("{instead} in place of --ui full: {why}"));
                    plain
                }
            },
            ui => ui.unwrap_or(plain),
        };
        if ui == Ui::Log { Progress::Log } else { Progress::Bar(Box::default()) }
    }

    /// Shows an event.
    pub(crate) fn show(&mut self, event: &Event) {
        match self {
            Progress::Silent => {}
            Progress::Log => match event {
                Event::Started(run) => print::talk(header(run)),
                // The verb itself says how it ended, and in which folder everything is.
                Event::Saved { .. } | Event::Stopped { .. } | Event::Finished { .. } => {}
                _ => event.log_line().iter().for_each(print::talk),
            },
            Progress::Bar(bar) => bar.show(event),
            Progress::Full(dashboard) => dashboard.show(event),
        }
    }
}

/// A dashboard, or why there can be none.
fn full(args: &TrainArgs, terminal: bool, interrupt: &Interrupt) -> Result<Dashboard, String> {
    if !terminal {
        return Err("stderr is not a terminal".into());
    }
    if args.output.json && io::stdout().is_terminal() {
        return Err("--json prints on the same terminal".into());
    }
    Dashboard::open(interrupt).map_err(|error| format!("the terminal refuses: {error}"))
}

//! Shows the progress of training: a bar per epoch or a dashboard in a terminal, otherwise log
//! lines.

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

/// Shows the events of a run.
pub(crate) enum Progress {
    Silent,
    Log,
    Bar(Box<EpochBar>),
    Full(Dashboard),
}

impl Progress {
    /// The display of `--ui`, or the default for stderr.
    pub(crate) fn new(args: &TrainArgs, global: &Global, interrupt: &Interrupt) -> Self {
        let terminal = io::stderr().is_terminal();
        let plain = if terminal { Ui::Bar } else { Ui::Log };
        let ui = match args.ui {
            _ if global.quiet => return Progress::Silent,
            Some(Ui::Full) => match open_dashboard(args, terminal, interrupt) {
                Ok(dashboard) => return Progress::Full(dashboard),
                Err(why) => {
                    let instead = if terminal { "a progress bar" } else { "log lines" };
                    global.note(format!("--ui full is not available ({why}): showing {instead}"));
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
                Event::Started(run) => print::status(header(run)),
                // `resnet train` itself prints how the run ended, and its folder.
                Event::Saved { .. } | Event::Stopped { .. } => {}
                Event::Finished { .. } => event.best_line().iter().for_each(print::status),
                _ => event.log_line().iter().for_each(print::status),
            },
            Progress::Bar(bar) => bar.show(event),
            Progress::Full(dashboard) => dashboard.show(event),
        }
    }
}

/// Opens the dashboard, or returns why that is not possible.
fn open_dashboard(
    args: &TrainArgs,
    terminal: bool,
    interrupt: &Interrupt,
) -> Result<Dashboard, String> {
    if !terminal {
        return Err("stderr is not a terminal".into());
    }
    if args.output.json && io::stdout().is_terminal() {
        return Err("--json prints to the same terminal".into());
    }
    Dashboard::open(interrupt).map_err(|error| format!("the terminal does not support it: {error}"))
}

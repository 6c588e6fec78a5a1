//! The `resnet` command.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

mod args;
mod class_names;
mod class_weights;
mod completion;
mod config;
mod cores;
mod data;
mod delayed_progress;
mod device;
mod error;
mod evaluation;
mod interrupt;
mod model;
mod overrides;
mod photo_folder;
mod photos;
mod pictures;
mod print;
mod processes;
mod progress;
mod protocols;
mod reference;
mod runs;
mod table;
mod verbs;
mod weights;

#[cfg(test)]
mod documents;

use std::process::ExitCode;

use clap::CommandFactory;
use clap_complete::CompleteEnv;

use crate::args::{Cli, DataVerb, Verb};

fn main() -> ExitCode {
    // Answers the shell and exits if it asks for completions.
    CompleteEnv::with_factory(Cli::command).var(completion::VARIABLE).complete();
    let cli = match Cli::from_command_line() {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    interrupt::outlive_file_size_limit();
    run(&cli).unwrap_or_else(|e| error::report(&e))
}

/// The name of a verb that a launcher's processes would do once each. Of the others `train` and `bench` share it among
/// them, and the rest only print, or are of use on every machine.
fn one_process(verb: &Verb) -> Option<&'static str> {
    Some(match verb {
        Verb::Experiment(_) => "experiment",
        Verb::LrFind(_) => "lr-find",
        Verb::Eval(_) => "eval",
        Verb::Show(_) => "show",
        Verb::Report(_) => "report",
        Verb::Predict(_) => "predict",
        Verb::Similar(_) => "similar",
        Verb::Serve(_) => "serve",
        Verb::Convert(_) => "convert",
        Verb::Data(DataVerb::Preview(_)) => "data preview",
        Verb::Data(DataVerb::Suspects(_)) => "data suspects",
        _ => return None,
    })
}

fn run(cli: &Cli) -> anyhow::Result<ExitCode> {
    let global = &cli.global;
    if let Some(verb) = one_process(&cli.verb) {
        processes::refuse_several(verb)?;
    }
    device::check(global.device)?;
    match &cli.verb {
        Verb::Train(args) => return verbs::train::run(args, global),
        Verb::Experiment(args) => return verbs::experiment::run(args, global),
        Verb::LrFind(args) => verbs::lr_find::run(args, global)?,
        Verb::Eval(args) => verbs::eval::run(args, global)?,
        Verb::Show(args) => verbs::show::run(args, global)?,
        Verb::Report(args) => verbs::report::run(args, global)?,
        Verb::Predict(args) => verbs::predict::run(args, global)?,
        Verb::Similar(args) => verbs::similar::run(args, global)?,
        Verb::Serve(args) => verbs::serve::run(args, global)?,
        Verb::Convert(args) => verbs::convert::run(args, global)?,
        Verb::Summary(args) => verbs::summary::run(args, global)?,
        Verb::Archs(output) => verbs::archs::run(*output)?,
        Verb::Devices(output) => verbs::devices::run(*output, global)?,
        Verb::Recipes(output) => verbs::recipes::run(*output, global)?,
        Verb::Bench(args) => return verbs::bench::run(args, global),
        Verb::Data(verb) => verbs::data::run(verb, global)?,
        Verb::Completions(args) => verbs::completions::run(args)?,
        Verb::Man(args) => verbs::man::run(args)?,
    }
    Ok(ExitCode::SUCCESS)
}

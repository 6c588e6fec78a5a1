//! `resnet experiment`: the paper's experiments, whose runs are trained one after another.

mod decide;
mod figure;
mod files;
mod models;
mod net_responses;
mod output;
mod responses;
mod setup;
mod training;

use std::process::ExitCode;

use anyhow::Context;
use resnet::experiment::{Kind, Results, lock_folder};
use resnet_formats::quoted_path;

use self::{output::Output, setup::Setup, training::Training};
use crate::{
    args::{ExperimentArgs, Global},
    error::Usage,
    interrupt::{Interrupt, Interrupted},
};

pub(crate) fn run(args: &ExperimentArgs, global: &Global) -> anyhow::Result<ExitCode> {
    let kind = Kind::from(args.name);
    if !args.models.is_empty() {
        if kind != Kind::Responses {
            return Err(
                Usage(format!("--model is for `experiment responses`, not for {kind}")).into()
            );
        }
        models::run(args, global)?;
        return Ok(ExitCode::SUCCESS);
    }
    let setup = Setup::new(args)?;
    let asked = setup.experiment()?;
    let mut experiment = asked.clone().in_folder(&setup.folder)?;
    let interrupt = Interrupt::of_training(1).context("cannot catch Ctrl-C")?;
    if experiment.decided.is_none() {
        experiment.decided = Some(decide::decide(&setup, global, &interrupt)?);
    }
    let _lock = lock_folder(&setup.folder)?;
    // Another process may have begun it meanwhile.
    let begun = asked.in_folder(&setup.folder)?;
    if begun.decided.is_some() {
        experiment = begun;
    }
    experiment.write(&setup.folder)?;
    let decided = &experiment.decided.context("it was decided above")?;
    let global = &decide::on_its_device(decided, &setup.folder, global)?;
    let training = Training { setup: &setup, decided, global, interrupt: &interrupt };
    let output = Output { setup: &setup, decided };
    let stopped = training.run(&mut || {
        let runs = training.histories()?;
        output.write(&runs, &Results::new(kind, &setup.nets, &runs))
    })?;
    if let Some(signal) = stopped {
        global.status(format!(
            "stopped, and all is saved in {}: the same command continues",
            quoted_path(&setup.folder)
        ));
        return Ok(Interrupted(signal).exit_code().into());
    }
    let runs = training.histories()?;
    let results = Results::new(kind, &setup.nets, &runs);
    output.write(&runs, &results)?;
    let responses = match kind {
        Kind::Responses => Some(responses::of_runs(&setup, &runs, decided, global, &interrupt)?),
        _ => None,
    };
    output.print(&results, responses.as_deref())?;
    Ok(ExitCode::SUCCESS)
}

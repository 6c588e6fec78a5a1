//! Changes the length of a run.

use resnet_formats::{Shown, quoted_path};

use super::{TrainError, state::initial_state};
use crate::{
    checkpoint,
    metrics::{Progress, State},
    run::{RunError, RunFolder},
};

/// Says that a run was over before it was resumed, and how it goes on.
pub(super) fn already_over(run: &RunFolder, state: &State) -> String {
    let (config, Progress { step, epoch, .. }) = (run.config(), state.progress.clone());
    let done = epoch - 1;
    let has_whole_epochs = step == done.saturating_mul(config.steps_per_epoch());
    let is_stuck = config.recipe.patience.is_some_and(|n| state.is_out_of_patience(n));
    let mut text = format!("this run was over already, after epoch {done}");
    if has_whole_epochs && !is_stuck {
        let run = quoted_path(run.path());
        text += &format!("; --resume {run} --epochs N trains on, to N epochs in all");
    }
    text
}

/// Changes the length of a run to `epochs` epochs in all, whether or not it is finished, and records
/// that in its `config.toml`: at once, or, if the run was [resumed](RunFolder::resume) from an earlier
/// checkpoint than its last, when [`train`](super::train()) begins and makes that the last one.
/// From its next step on, the learning rate is that of a run of this length.
/// Returns a message for the user; none if the run has this length already.
///
/// # Errors
/// If the run has trained more epochs, its last epoch is incomplete, or a file cannot be read or
/// written.
pub fn set_epochs(run: &mut RunFolder, epochs: u64) -> Result<Option<String>, TrainError> {
    let config = run.config();
    let state = match run.resume_from() {
        Some(file) => checkpoint::state(file, config).map_err(TrainError::resume(run, file))?,
        None => initial_state(config),
    };
    if let Some(patience) = config.recipe.patience.filter(|&n| state.is_out_of_patience(n)) {
        return Err(TrainError::Length(format!(
            "{} is over: none of its last {patience} epochs was better than one before (its recipe has patience = \
             {patience}); start a new run from its weights with --init {}",
            run.path().shown(),
            quoted_path(run.path())
        )));
    }
    let State { progress: Progress { step, epoch, batch, .. }, .. } = state;
    let trained = epoch - u64::from(batch == 0);
    let folder = run.path();
    if epochs < trained {
        let part = if batch > 0 { " and a part of the next" } else { "" };
        return Err(TrainError::Length(format!(
            "{} has trained {} epochs{part} already: --epochs must be at least {trained}",
            folder.shown(),
            epoch - 1
        )));
    }
    let total_steps = epochs.saturating_mul(config.steps_per_epoch());
    if total_steps == config.total_steps {
        return Ok(None);
    }
    if step < (epoch - 1).saturating_mul(config.steps_per_epoch()) {
        let had = step - (epoch - 2) * config.steps_per_epoch();
        return Err(TrainError::Length(format!(
            "the last epoch of {} had {had} of {} steps (by its recipe or --budget), so no epochs can \
             follow it: start a new run from its weights with --init {}",
            folder.shown(),
            config.steps_per_epoch(),
            quoted_path(folder)
        )));
    }
    let mut longer = config.clone();
    longer.change_length(step, total_steps);
    longer.check().map_err(RunError::Invalid)?;
    let mut note =
        format!("the run has {epochs} epochs in all now, instead of {}", config.epochs());
    note += &match step < total_steps {
        true => format!(
            ": from epoch {epoch} on, the learning rate is that of a run of {epochs} epochs \
             ({:.3e} first)",
            longer.lr_at(step)
        ),
        false => ", and is over".to_owned(),
    };
    run.change_length(longer)?;
    Ok(Some(note))
}

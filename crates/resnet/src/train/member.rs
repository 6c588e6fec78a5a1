//! A process's part in a run: the first owns the folder, the others compute.

use std::{
    fs,
    hash::{DefaultHasher, Hasher},
    io,
    path::Path,
};

use resnet_comm::{CommError, Group};

use super::{Event, TrainError, hello::json, trainer::Trainer};
use crate::{
    checkpoint,
    config::TrainConfig,
    metrics::{EpochMetrics, State},
    run::{BEST, LAST, METRICS, RunFolder},
};

/// Where a process writes the run.
#[derive(Clone, Copy)]
pub(super) struct Output<'a> {
    pub(super) config: &'a TrainConfig,
    /// The folder; none for the processes that write nothing.
    pub(super) run: Option<&'a RunFolder>,
    /// The step that training begins at, or resumes from.
    pub(super) first_step: u64,
    /// The earlier checkpoint that the run resumes from, if its last one stays until a batch is trained. It does not
    /// if it is missing, or the run has another length now.
    pub(super) back_to: Option<&'a Path>,
}

impl<'a> Output<'a> {
    /// Of process 0.
    pub(super) fn of_run(run: &'a RunFolder, state: &State) -> Self {
        let has_other_last = !run.has_new_length() && run.path().join(LAST).exists();
        let back_to = run.earlier_checkpoint().filter(|_| has_other_last);
        Output { config: run.config(), run: Some(run), first_step: state.progress.step, back_to }
    }

    fn folder(&self) -> &'a Path {
        self.run.map_or(Path::new(""), RunFolder::path)
    }

    /// What to resume once [`Output::save_last`] has saved this state.
    pub(super) fn resume(&self, state: &State) -> &'a Path {
        let is_back = state.progress.step == self.first_step;
        self.back_to.filter(|_| is_back).unwrap_or(self.folder())
    }

    /// Whether the state after `step` is to be saved now: it is the first one of a run that goes back.
    pub(super) fn is_first_of_a_way_back(&self, step: u64) -> bool {
        self.back_to.is_some() && step == self.first_step + 1
    }

    /// What to resume if the state after `step` cannot be saved.
    fn resume_unsaved(&self, run: &'a RunFolder, step: u64) -> &'a Path {
        let is_back = step == self.first_step || self.is_first_of_a_way_back(step);
        run.earlier_checkpoint().filter(|_| is_back).unwrap_or(run.path())
    }

    pub(super) fn diverged(&self, state: &State) -> TrainError {
        TrainError::diverged(self.config, self.run, state)
    }

    /// Writes a checkpoint, unless a weight is not finite.
    pub(super) fn save(
        &self,
        name: &str,
        trainer: &Trainer<'_>,
        state: &State,
        listen: &mut dyn FnMut(&Event),
    ) -> Result<(), TrainError> {
        let Some(run) = self.run else { return Ok(()) };
        let stored = trainer.stored()?;
        if !stored.network.values().iter().all(|value| value.is_finite()) {
            return Err(self.diverged(state));
        }
        let (path, device) = (run.path().join(name), trainer.device_name());
        checkpoint::save(&path, self.config, stored, state, &device)
            .map_err(TrainError::save(self.resume_unsaved(run, state.progress.step), &path))?;
        listen(&Event::Saved { path });
        Ok(())
    }

    /// Removes the best checkpoint of a run that goes back, if it is of an epoch that is dropped.
    fn drop_best(&self, state: &State) -> Result<(), TrainError> {
        let Some(run) = self.run else { return Ok(()) };
        let best = run.path().join(BEST);
        match checkpoint::progress(&best) {
            Some(progress) if progress.step > state.progress.step => {
                let resume = self.resume_unsaved(run, state.progress.step);
                fs::remove_file(&best).map_err(TrainError::save(resume, &best))
            }
            _ => Ok(()),
        }
    }

    /// Saves what a run begins with. If that is an earlier checkpoint, and the last one need not stay, it is the last
    /// one from now on, then its metrics are those of the run, and then its length: each of these may be the last step
    /// of a process that is killed.
    pub(super) fn save_first(
        &self,
        trainer: &Trainer<'_>,
        state: &State,
        listen: &mut dyn FnMut(&Event),
    ) -> Result<(), TrainError> {
        let Some(run) = self.run.filter(|_| self.back_to.is_none()) else { return Ok(()) };
        let is_back = run.earlier_checkpoint().is_some();
        if is_back {
            self.drop_best(state)?;
            self.save(LAST, trainer, state, listen)?;
            if state.is_best() && state.progress.batch == 0 {
                self.save(BEST, trainer, state, listen)?;
            }
        }
        // An earlier process may have been killed before it wrote them.
        self.write_metrics(state)?;
        if is_back && run.has_new_length() {
            run.write_config()?;
        }
        Ok(())
    }

    /// Saves the last checkpoint, and the metrics that it has. Before a resumed run has trained on a batch, there is
    /// nothing to save.
    pub(super) fn save_last(
        &self,
        trainer: &Trainer<'_>,
        state: &State,
        listen: &mut dyn FnMut(&Event),
    ) -> Result<(), TrainError> {
        let is_resumed = self.run.is_some_and(|run| run.resume_from().is_some());
        if is_resumed && state.progress.step == self.first_step {
            return Ok(());
        }
        if self.is_first_of_a_way_back(state.progress.step) {
            self.drop_best(state)?;
        }
        self.save(LAST, trainer, state, listen)?;
        self.write_metrics(state)
    }

    /// Saves what is left of an epoch that cannot go on.
    pub(super) fn lost(
        &self,
        source: crate::data::DataError,
        trainer: &Trainer<'_>,
        state: &State,
        listen: &mut dyn FnMut(&Event),
    ) -> TrainError {
        if self.run.is_none() {
            return source.into();
        }
        match self.save_last(trainer, state, listen) {
            Ok(()) => {
                let resume = self.resume(state).to_owned();
                TrainError::Lost { source: source.into(), resume }
            }
            Err(error) => error,
        }
    }

    /// The same if it cannot go on because of its images.
    pub(super) fn images_lost(
        &self,
        error: TrainError,
        trainer: &Trainer<'_>,
        state: &State,
        listen: &mut dyn FnMut(&Event),
    ) -> TrainError {
        match error {
            TrainError::Images(error) => self.lost(error, trainer, state, listen),
            error => error,
        }
    }

    /// An error of the device, with what to do.
    pub(super) fn device_lost(&self, error: TrainError) -> TrainError {
        match (error, self.run) {
            (TrainError::Engine(source), Some(run))
                if source.is_lost() && run.path().join(LAST).exists() =>
            {
                TrainError::Device { source, run: run.path().to_owned() }
            }
            (error, _) => error,
        }
    }

    /// An error of processes that cannot go on together, with where the run is, whose machine is silent, and what to
    /// resume.
    pub(super) fn link_lost(&self, error: TrainError, trainer: &Trainer<'_>) -> TrainError {
        let TrainError::Communication(source) = error else { return error };
        let step = trainer.begun_steps.max(self.first_step + 1);
        TrainError::Link {
            epoch: (step - 1) / self.config.steps_per_epoch() + 1,
            step,
            hosts: trainer.hosts.of(source.processes().iter().copied()),
            resume: self.run.map(|run| self.resume_unsaved(run, step - 1).to_owned()),
            source,
        }
    }

    /// Writes the PyTorch files: state dict, and checkpoint with optimizer.
    pub(super) fn save_torch(
        &self,
        trainer: &Trainer<'_>,
        state: &State,
        listen: &mut dyn FnMut(&Event),
    ) -> Result<(), TrainError> {
        let Some(run) = self.run else { return Ok(()) };
        for (path, format) in run.torch_files() {
            let model = trainer.torch_model(state, format)?;
            model.save(&path, format).map_err(TrainError::save(run.path(), &path))?;
            listen(&Event::Saved { path });
        }
        Ok(())
    }

    /// Writes `metrics.jsonl`.
    pub(super) fn write_metrics(&self, state: &State) -> Result<(), TrainError> {
        let Some(run) = self.run else { return Ok(()) };
        let error =
            |error: io::Error| TrainError::save(run.path(), &run.path().join(METRICS))(error);
        run.write_metrics(&state.history).map_err(error)
    }
}

/// The metrics of process 0, which alone has the whole evaluation; none if they are not finite.
pub(super) fn agree_on_metrics(
    group: &Group,
    metrics: Option<EpochMetrics>,
) -> Result<Option<EpochMetrics>, CommError> {
    if group.size() == 1 {
        return Ok(metrics);
    }
    let bytes = group.broadcast(json(&metrics))?;
    Ok(serde_json::from_slice(&bytes).expect("process 0 wrote JSON"))
}

/// Checks that all processes have the same weights, bit for bit.
pub(super) fn compare_weights(
    group: &Group,
    trainer: &Trainer<'_>,
    epoch: u64,
) -> Result<(), TrainError> {
    if group.size() == 1 {
        return Ok(());
    }
    let mut hasher = DefaultHasher::new();
    let network = trainer.engine.store()?.0;
    for values in [network.values(), network.running_values()] {
        values.iter().for_each(|value| hasher.write_u32(value.to_bits()));
    }
    match other_than_first(group, hasher.finish())? {
        None => Ok(()),
        Some(process) => Err(TrainError::Processes(format!(
            "process {process} has other weights than process 0 after epoch {epoch}: memory or processor of its \
             machine may be faulty. Go on from the epoch before on other machines"
        ))),
    }
}

/// The first process that has another hash than process 0, if there is one.
pub(super) fn other_than_first(group: &Group, hash: u64) -> Result<Option<usize>, CommError> {
    let all = group.gather(hash.to_le_bytes().to_vec())?;
    let other = all.iter().position(|hash| *hash != all[0]);
    let verdict =
        group.broadcast(other.map_or(String::new(), |rank| rank.to_string()).into_bytes())?;
    Ok(String::from_utf8_lossy(&verdict).parse().ok())
}

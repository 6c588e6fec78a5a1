//! A process's part in a run: the first owns the folder, the others compute.

use std::{
    fs,
    hash::{DefaultHasher, Hasher},
    io,
    path::Path,
};

use resnet_comm::{CommError, Group, tree};
use serde::{Deserialize, Serialize};

use super::{Event, TrainError, trainer::Trainer};
use crate::{
    Cpu, checkpoint,
    config::TrainConfig,
    data::Parts,
    metrics::{EpochMetrics, State},
    run::{BEST, LAST, METRICS, RunFolder},
};

/// What a process says of itself before the first step.
#[derive(Serialize, Deserialize)]
struct Hello {
    version: String,
    isa: String,
    data: Vec<u8>,
    host: String,
}

/// Checks that this many processes can share a run.
///
/// # Errors
/// [`TrainError::Shards`] if its shards cannot be shared by them.
pub fn check_processes(config: &TrainConfig, processes: usize) -> Result<(), TrainError> {
    let parallel = config.recipe.parallel;
    if !tree::allows(parallel.shards, processes) {
        let list = list(&tree::processes(parallel.shards));
        return Err(TrainError::Shards(format!(
            "{processes} processes cannot share batches of {} shards: start {list}, or a new run with --shards \
             {processes}",
            parallel.shards
        )));
    }
    if parallel.sync_batch_norm && processes != parallel.shards {
        return Err(TrainError::Shards(format!(
            "with --sync-batch-norm every process has one shard: the run has {}, so start {} processes, not \
             {processes}",
            parallel.shards, parallel.shards
        )));
    }
    Ok(())
}

/// Checks that the processes of a group can train a run together.
///
/// # Errors
/// If they are too many or too few for its shards, or a process has another version, instruction set or data
/// than the first.
pub(super) fn check(
    group: &Group,
    config: &TrainConfig,
    data: &Parts,
    cpu: &Cpu,
) -> Result<(), TrainError> {
    check_processes(config, group.size())?;
    if group.size() == 1 {
        return Ok(());
    }
    let hello = Hello {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        isa: cpu.isa().name().to_owned(),
        data: data.digest().to_vec(),
        host: host(),
    };
    let all = group.gather(json(&hello))?;
    let all = all.iter().map(|bytes| serde_json::from_slice::<Hello>(bytes).ok());
    let mut verdict = String::new();
    for (rank, process) in all.enumerate() {
        let who = |host: &str| format!("process {rank} on {host}");
        verdict = match process {
            None => format!(
                "process {rank} is another version of this program: use one on all machines"
            ),
            Some(it) if it.version != hello.version => format!(
                "{} is version {}, process 0 on {} is {}: use one on all machines",
                who(&it.host),
                it.version,
                hello.host,
                hello.version
            ),
            Some(it) if it.isa != hello.isa => format!(
                "{} computes with {}, process 0 on {} with {}, and their results differ in rounding: choose \
                 instructions that all machines have with RESNET_ISA",
                who(&it.host),
                it.isa,
                hello.host,
                hello.isa
            ),
            Some(it) if it.data != hello.data => format!(
                "{} has other images, labels or classes than process 0 on {}: bring the same data to all \
                 machines",
                who(&it.host),
                hello.host
            ),
            Some(_) => continue,
        };
        break;
    }
    let verdict = group.broadcast(verdict.into_bytes())?;
    match String::from_utf8_lossy(&verdict) {
        empty if empty.is_empty() => {
            group.watch();
            Ok(())
        }
        verdict => Err(TrainError::Processes(verdict.into_owned())),
    }
}

/// `1, 2 or 4`.
fn list(numbers: &[usize]) -> String {
    let mut list: Vec<String> = numbers.iter().map(ToString::to_string).collect();
    match list.pop() {
        Some(last) if !list.is_empty() => format!("{} or {last}", list.join(", ")),
        last => last.unwrap_or_default(),
    }
}

/// The machine's name, from Linux.
fn host() -> String {
    let name = resnet_formats::read_text(Path::new("/proc/sys/kernel/hostname"), 256);
    name.map_or_else(|_| "an unnamed machine".to_owned(), |name| name.trim().to_owned())
}

fn json(value: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(value).expect("it is written as JSON")
}

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

    /// What to resume if this state cannot be saved.
    fn resume_unsaved(&self, run: &'a RunFolder, state: &State) -> &'a Path {
        let step = state.progress.step;
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
            .map_err(TrainError::save(self.resume_unsaved(run, state), &path))?;
        listen(&Event::Saved { path });
        Ok(())
    }

    /// Removes the best checkpoint of a run that goes back, if it is of an epoch that is dropped.
    fn drop_best(&self, state: &State) -> Result<(), TrainError> {
        let Some(run) = self.run else { return Ok(()) };
        let best = run.path().join(BEST);
        match checkpoint::progress(&best) {
            Some(progress) if progress.step > state.progress.step => {
                let resume = self.resume_unsaved(run, state);
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

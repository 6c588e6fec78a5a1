//! Trains the runs of an experiment, one after another.

use std::{fs, path::PathBuf};

use anyhow::Context;
use resnet::{
    Arch,
    experiment::{Decided, ExperimentError, PlannedRun, RunHistory, runs},
    run::{CONFIG, LAST, PHOTOS},
    summary::Summary,
    train::{Group, Outcome, TrainError},
};
use resnet_formats::Shown;

use super::setup::Setup;
use crate::{
    args::{Cli, Global},
    interrupt::{Interrupt, Interrupted},
    print,
    progress::Position,
    verbs::train::{Session, resume, start},
};

/// The runs of an experiment, and what they are trained with.
pub(super) struct Training<'a> {
    pub(super) setup: &'a Setup<'a>,
    pub(super) decided: &'a Decided,
    pub(super) global: &'a Global,
    pub(super) interrupt: &'a Interrupt,
}

impl Training<'_> {
    fn runs(&self) -> Vec<PlannedRun> {
        runs(&self.setup.nets, self.setup.args.seeds as u64)
    }

    /// What the runs have recorded that have begun.
    pub(super) fn histories(&self) -> anyhow::Result<Vec<RunHistory>> {
        let mut found = Vec::new();
        for run in self.runs() {
            let Some(history) = RunHistory::read(&self.setup.folder, run)? else { continue };
            if let Some(difference) = difference(&history, self.decided) {
                let path = self.setup.folder.join(run.folder());
                let message = format!("{difference}: move it away, and it is trained again");
                return Err(ExperimentError::Damaged { path, message }.into());
            }
            found.push(history);
        }
        Ok(found)
    }

    /// Trains what is not finished, and calls `after` after each run. Returns the number of a signal that
    /// stopped it.
    pub(super) fn run(
        &self,
        after: &mut dyn FnMut() -> anyhow::Result<()>,
    ) -> anyhow::Result<Option<usize>> {
        let histories = self.histories()?;
        // A run that diverged would do so again.
        let has_ended = |run: &PlannedRun| {
            let ended = |history: &RunHistory| history.is_finished() || history.diverged;
            histories.iter().any(|history| history.run == *run && ended(history))
        };
        let all = self.runs();
        let costs: Vec<f64> = all.iter().map(|run| self.cost(run.net)).collect::<Result<_, _>>()?;
        let left = |index: &usize| !has_ended(&all[*index]);
        let to_train: Vec<usize> = (0..all.len()).filter(left).collect();
        if to_train.len() < all.len() {
            let runs = print::counted(all.len() as u64, "run");
            self.global.status(format!("{} of {runs} ended before", all.len() - to_train.len()));
        }
        // Notes about the data are the same for every run.
        let silent = Global { quiet: true, ..*self.global };
        for (done, &index) in to_train.iter().enumerate() {
            let run = all[index];
            let later: f64 = to_train[done + 1..].iter().map(|&later| costs[later]).sum();
            let position =
                Position { run: index + 1, runs: all.len(), later: later / costs[index].max(1.0) };
            let PlannedRun { net, seed } = run;
            self.global.status(format!("run {} of {}: {net}, seed {seed}", index + 1, all.len()));
            let loading = if done == 0 { self.global } else { &silent };
            let outcome = match self.one(run, position, loading) {
                Err(error) => match (error.downcast_ref(), error.downcast_ref()) {
                    (Some(TrainError::Diverged { .. }), _) => {
                        self.global
                            .note(format!("{net}, seed {seed}: {error}; the other runs go on"));
                        continue;
                    }
                    // Before it was trained.
                    (_, Some(&Interrupted(signal))) => return Ok(Some(signal)),
                    _ => return Err(error),
                },
                Ok(outcome) => outcome,
            };
            match outcome {
                Outcome::Finished(last) => {
                    let accuracy = last.held_out().map(|(part, _, accuracy)| {
                        format!(": {part} error {:.2}%", 100.0 - accuracy)
                    });
                    let accuracy = accuracy.unwrap_or_default();
                    self.global.status(format!("{net}, seed {seed}{accuracy}\n"));
                }
                Outcome::Interrupted(signal) => return Ok(Some(signal)),
            }
            after()?;
        }
        Ok(None)
    }

    /// How long a run of a net takes, relative to others.
    fn cost(&self, net: Arch) -> anyhow::Result<f64> {
        let side = self.setup.image_size(net)?;
        let classes = net.default_classes();
        let summary = Summary::new(&net.graph(classes), side, side)
            .with_context(|| format!("{net} cannot take images of {side}x{side} pixels"))?;
        Ok(summary.macs as f64)
    }

    /// Checks that a new run would see the photos that the others saw.
    fn check_photos(&self) -> anyhow::Result<()> {
        let Some(before) = &self.decided.photos else { return Ok(()) };
        match self.setup.photos()? {
            Some(now) if now != *before => {
                let root = PathBuf::from(self.setup.data.to_string());
                let (before, now) = (before.count, now.count);
                Err(ExperimentError::Photos { root, before, now }.into())
            }
            _ => Ok(()),
        }
    }

    /// Starts or resumes a run.
    fn one(
        &self,
        run: PlannedRun,
        position: Position,
        loading: &Global,
    ) -> anyhow::Result<Outcome> {
        let Training { setup, global, interrupt, .. } = self;
        let folder = setup.folder.join(run.folder());
        let config = folder.join(CONFIG);
        let has = |name: &str| folder.join(name).symlink_metadata().is_ok();
        if setup.data.is_folder() && has(CONFIG) && !has(PHOTOS) && !has(LAST) {
            // It was killed before its photos were noted, so that nothing is lost.
            fs::remove_file(&config)
                .with_context(|| format!("cannot start {} again", folder.shown()))?;
        }
        let (run_folder, data, note, device) = if has(CONFIG) {
            let mut args = Cli::train();
            args.images.reading = setup.args.images.reading.clone();
            args.data_dir = setup.args.data_dir.clone();
            let (folder, data, note) = resume(&args, &folder, loading, interrupt)?;
            let device = global.resumed_device(&folder, 1)?;
            (folder, data, note, device)
        } else {
            self.check_photos()?;
            let args = setup.train_args(run, Some(self.decided));
            let (folder, data, device) =
                start(&Group::alone(), &args, loading, interrupt, &mut None)?;
            (folder, data, None, device)
        };
        let session = Session {
            group: &Group::alone(),
            device: &device,
            global,
            interrupt,
            ui: setup.args.ui,
            json: setup.args.output.json,
            tensorboard: false,
        };
        session.train(&run_folder, data, note, Some(position), &mut |_| {})
    }
}

/// The first thing in which a run differs from what all have.
fn difference(run: &RunHistory, decided: &Decided) -> Option<String> {
    let Decided { epochs, batch_size, lr, .. } = *decided;
    // Epochs follow from steps and batch.
    if (run.batch_size, run.lr) != (batch_size, lr) {
        return Some(format!(
            "it has batches of {} at a rate of {}, the runs of the experiment batches of {batch_size} at {lr}",
            run.batch_size, run.lr
        ));
    }
    if let Some(epochs) = epochs.filter(|&epochs| epochs != run.planned) {
        let own = print::counted(run.planned, "epoch");
        return Some(format!("it has {own}, the runs of the experiment have {epochs}"));
    }
    None
}

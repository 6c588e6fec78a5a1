//! What a run of an experiment has recorded.

use std::path::Path;

use super::{ExperimentError, PlannedRun};
use crate::{
    config::TrainConfig,
    metrics::EpochMetrics,
    run::{CONFIG, RunError, history},
    train::{Ending, segments},
};

/// What a run of an experiment has recorded so far.
#[derive(Clone, Debug, PartialEq)]
pub struct RunHistory {
    /// Which run.
    pub run: PlannedRun,
    /// Parameters of its net.
    pub parameters: usize,
    /// Epochs of the whole run.
    pub planned: u64,
    /// Images per step.
    pub batch_size: usize,
    /// The learning rate.
    pub lr: f64,
    /// Its epochs so far.
    pub epochs: Vec<EpochMetrics>,
    /// Whether it ended because its numbers were no longer finite.
    pub diverged: bool,
}

impl RunHistory {
    /// Reads a run in the folder of an experiment; none if it has not begun.
    ///
    /// # Errors
    /// If its files cannot be read, or the folder has another net's run or another seed's.
    pub fn read(experiment: &Path, run: PlannedRun) -> Result<Option<RunHistory>, ExperimentError> {
        let folder = experiment.join(run.folder());
        let path = folder.join(CONFIG);
        if path.symlink_metadata().is_err() {
            return Ok(None);
        }
        let config = TrainConfig::read(&path).map_err(RunError::from)?;
        if (config.arch, config.seed) != (run.net, run.seed) {
            let message = format!(
                "it is the run of {} with seed {}, not of {} with seed {}",
                config.arch, config.seed, run.net, run.seed
            );
            return Err(ExperimentError::Damaged { path, message });
        }
        let (channels, classes) = (config.data.normalisation.mean.len(), config.data.classes.len());
        let graph = config.arch.graph_with(channels, classes, config.arch.width());
        let nodes = graph.nodes();
        let of_node = |node: &crate::graph::Node| {
            let inputs = node.inputs.first().map_or(0, |&input| nodes[input].channels);
            let (weights, biases) = node.parameters(inputs);
            weights + biases
        };
        Ok(Some(RunHistory {
            run,
            parameters: nodes.iter().map(of_node).sum(),
            planned: config.epochs(),
            batch_size: config.recipe.batch_size,
            lr: config.recipe.lr,
            epochs: history(&folder)?,
            diverged: diverged(&folder),
        }))
    }

    /// Whether all its epochs are trained.
    pub fn is_finished(&self) -> bool {
        self.epochs.last().is_some_and(|last| last.epoch >= self.planned)
    }
}

/// Whether the last process that trained a run noted that it diverged. A damaged note is none.
fn diverged(folder: &Path) -> bool {
    let last = segments(folder).ok().flatten().and_then(|segments| segments.last().cloned());
    last.is_some_and(|last| last.outcome == Some(Ending::Diverged))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::{
        config::tests::sample,
        run::{METRICS, RUN_INFO},
    };

    #[test]
    fn a_run_is_read_and_must_be_the_planned_one() {
        let dir = tempfile::tempdir().unwrap();
        let run = PlannedRun { net: sample().arch, seed: sample().seed };
        let read = |run| RunHistory::read(dir.path(), run);
        assert_eq!(read(run).unwrap(), None);
        let folder = dir.path().join(run.folder());
        fs::create_dir(&folder).unwrap();
        sample().write(&folder.join(CONFIG)).unwrap();
        let begun = read(run).unwrap().unwrap();
        assert_eq!((begun.planned, begun.is_finished(), begun.epochs.len()), (3, false, 0));
        let recipe = sample().recipe;
        assert_eq!((begun.batch_size, begun.lr), (recipe.batch_size, recipe.lr));
        let network = crate::Network::new(sample().arch.graph(2), crate::network::Init::PyTorch, 0);
        assert_eq!(begun.parameters, network.values().len());
        let mut lines = String::new();
        for epoch in 1..=3 {
            lines += &format!(
                "{{\"epoch\":{epoch},\"step\":{epoch},\"train_loss\":1.0,\"train_accuracy\":50.0,\
                 \"learning_rate\":0.1,\"seconds\":1.0,\"images_per_second\":10.0}}\n"
            );
        }
        fs::write(folder.join(METRICS), lines).unwrap();
        assert!(read(run).unwrap().unwrap().is_finished());
        // As it is written by a run whose loss is no number.
        let segment = |outcome| {
            format!(
                "{{\"started\":\"2026-01-01T00:00:00Z\",\"ended\":\"2026-01-01T00:00:01Z\",\"outcome\":\"{outcome}\",\
                 \"from_step\":0,\"to_step\":1,\"isa\":\"avx2\",\"threads\":1,\"dtype\":\"fp32\",\
                 \"dtype_reason\":\"\",\"version\":\"0\"}}"
            )
        };
        for (outcome, expected) in [("interrupted", false), ("diverged", true)] {
            let text = format!("{{\"segments\":[{}]}}", segment(outcome));
            fs::write(folder.join(RUN_INFO), text).unwrap();
            assert_eq!(read(run).unwrap().unwrap().diverged, expected);
        }

        let other = PlannedRun { seed: 8, ..run };
        fs::rename(&folder, dir.path().join(other.folder())).unwrap();
        let error = read(other).unwrap_err().to_string();
        assert!(error.contains("it is the run of resnet8 with seed 7"), "{error}");
    }
}

//! What the runs of an experiment come to.

use serde::Serialize;

use super::{Difference, Kind, Published, RunHistory, Spread, published};
use crate::{
    metrics::{self, EpochMetrics},
    models::Arch,
};

/// The test errors, percent, for which the epochs are counted until a net has reached them.
pub const LEVELS: [f64; 6] = [50.0, 40.0, 30.0, 20.0, 15.0, 10.0];

/// The errors after an epoch, percent: means over seeds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Point {
    /// The epoch, from 1.
    pub epoch: u64,
    /// On the augmented training images, during the epoch.
    pub train_error: f64,
    /// On the test images, or the validation set of data without any, after the epoch.
    pub test_error: Option<f64>,
}

/// The epoch of a run that is best on its validation set.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct BestEpoch {
    /// The epoch, from 1.
    pub epoch: u64,
    /// Its training error, percent.
    pub train_error: f64,
    /// The test error after it, percent; none without images to test on.
    pub test_error: Option<f64>,
}

/// One run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunResult {
    /// Its seed.
    pub seed: u64,
    /// Epochs that it was trained for.
    pub epochs: u64,
    /// Whether these are all.
    pub finished: bool,
    /// Whether it ended because its numbers were no longer finite.
    pub diverged: bool,
    /// Training error of its last epoch, percent.
    pub train_error: Option<f64>,
    /// Test error after its last epoch, percent.
    pub test_error: Option<f64>,
    /// Its best epoch so far, where it has a validation set.
    pub best_epoch: Option<BestEpoch>,
}

/// A net over all its seeds.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NetResult {
    /// The architecture.
    pub net: String,
    /// Its parameters; none before its first run began.
    pub parameters: Option<usize>,
    /// Training error of the last epoch, percent, over its finished runs.
    pub train_error: Option<Spread>,
    /// Test error after the last epoch, percent, over its finished runs.
    pub test_error: Option<Spread>,
    /// Test error after the [best epoch](BestEpoch), percent, over its finished runs.
    pub best_test_error: Option<Spread>,
    /// Mean number of epochs until the test error was at most each of [`LEVELS`]; none unless every
    /// finished run has reached it.
    pub epochs_to: Vec<Option<f64>>,
    /// What the paper states.
    pub paper: Option<Published>,
    /// Its runs, by seed.
    pub runs: Vec<RunResult>,
    /// Mean errors of each epoch.
    #[serde(skip)]
    pub curve: Vec<Point>,
}

/// The deepest net of a kind against the shallowest: differences of errors. Above 0 the deeper net is worse.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// The deepest net.
    pub deeper: String,
    /// The shallowest one.
    pub shallower: String,
    /// Finished runs of the deepest net.
    pub deeper_seeds: usize,
    /// Finished runs of the shallowest one.
    pub shallower_seeds: usize,
    /// Difference of the training errors.
    pub train_error: Difference,
    /// Difference of the test errors, where both have one.
    pub test_error: Option<Difference>,
}

/// The results of an experiment.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Results {
    /// The images of which the test errors are: `test`, or `validation` of data without any to test on.
    pub part: &'static str,
    /// The test errors of [`NetResult::epochs_to`], percent.
    pub levels: [f64; LEVELS.len()],
    /// The nets, in the order of the experiment.
    pub nets: Vec<NetResult>,
    /// Plain nets, then residual ones, as far as there are two depths with results.
    pub comparisons: Vec<Comparison>,
}

impl Results {
    /// Compares the runs of nets.
    pub fn new(kind: Kind, nets: &[Arch], runs: &[RunHistory]) -> Results {
        let results: Vec<NetResult> = nets.iter().map(|&net| of_net(kind, net, runs)).collect();
        let held_out = |run: &RunHistory| run.epochs.last()?.held_out();
        let part = runs.iter().find_map(held_out).map_or("test", |(part, _, _)| part);
        let of_kind = |residual: bool| {
            let mut depths: Vec<(usize, &NetResult)> = nets
                .iter()
                .zip(&results)
                .filter(|(net, result)| net.residual == residual && result.train_error.is_some())
                .map(|(net, result)| (net.depth, result))
                .collect();
            depths.sort_by_key(|&(depth, _)| depth);
            compared(depths.last()?, depths.first()?)
        };
        let comparisons = match kind {
            Kind::Shortcuts => Vec::new(),
            _ => [false, true].into_iter().filter_map(of_kind).collect(),
        };
        Results { part, levels: LEVELS, nets: results, comparisons }
    }
}

fn compared(
    (deep, deeper): &(usize, &NetResult),
    (shallow, shallower): &(usize, &NetResult),
) -> Option<Comparison> {
    let seeds = |net: &NetResult| net.runs.iter().filter(|run| run.finished).count();
    let (deeper_seeds, shallower_seeds) = (seeds(deeper), seeds(shallower));
    let difference = |error: fn(&NetResult) -> Option<Spread>| {
        Some(Difference::new((error(deeper)?, deeper_seeds), (error(shallower)?, shallower_seeds)))
    };
    let (train_error, test_error) =
        (difference(|net| net.train_error)?, difference(|net| net.test_error));
    (deep > shallow).then(|| Comparison {
        deeper: deeper.net.clone(),
        shallower: shallower.net.clone(),
        deeper_seeds,
        shallower_seeds,
        train_error,
        test_error,
    })
}

fn train_error(epoch: &EpochMetrics) -> f64 {
    100.0 - epoch.train_accuracy
}

fn test_error(epoch: &EpochMetrics) -> Option<f64> {
    epoch.held_out().map(|(_, _, accuracy)| 100.0 - accuracy)
}

fn best_epoch(run: &RunHistory) -> Option<BestEpoch> {
    // Chosen on the test images it would be no test.
    let best = metrics::best(&run.epochs).filter(|best| best.validation_accuracy.is_some())?;
    // Nor would it be one on the images of the validation set.
    let test_error = best.test_accuracy.map(|accuracy| 100.0 - accuracy);
    Some(BestEpoch { epoch: best.epoch, train_error: train_error(best), test_error })
}

fn of_net(kind: Kind, net: Arch, runs: &[RunHistory]) -> NetResult {
    let own: Vec<&RunHistory> = runs.iter().filter(|run| run.run.net == net).collect();
    let finished: Vec<&RunHistory> = own.iter().copied().filter(|run| run.is_finished()).collect();
    let over_seeds = |error: &dyn Fn(&RunHistory) -> Option<f64>| {
        let errors: Option<Vec<f64>> = finished.iter().map(|&run| error(run)).collect();
        Spread::of(&errors?)
    };
    let until = |level: f64| {
        let reaches = |epoch: &&EpochMetrics| test_error(epoch).is_some_and(|error| error <= level);
        let first =
            |run: &&RunHistory| run.epochs.iter().find(reaches).map(|epoch| epoch.epoch as f64);
        let epochs: Option<Vec<f64>> = finished.iter().map(first).collect();
        Spread::of(&epochs?).map(|spread| spread.mean)
    };
    let result = |run: &&RunHistory| {
        let last = run.epochs.last();
        RunResult {
            seed: run.run.seed,
            epochs: last.map_or(0, |last| last.epoch),
            finished: run.is_finished(),
            diverged: run.diverged && !run.is_finished(),
            train_error: last.map(train_error),
            test_error: last.and_then(test_error),
            best_epoch: best_epoch(run),
        }
    };
    NetResult {
        net: net.to_string(),
        parameters: own.first().map(|run| run.parameters),
        train_error: over_seeds(&|run| run.epochs.last().map(train_error)),
        test_error: over_seeds(&|run| run.epochs.last().and_then(test_error)),
        best_test_error: over_seeds(&|run| best_epoch(run)?.test_error),
        epochs_to: LEVELS.map(until).to_vec(),
        paper: published(kind, net),
        runs: own.iter().map(result).collect(),
        curve: curve(if finished.is_empty() { &own } else { &finished }),
    }
}

/// Means over runs, of the epochs that all of them have.
fn curve(runs: &[&RunHistory]) -> Vec<Point> {
    let epochs = runs.iter().map(|run| run.epochs.len()).min().unwrap_or(0);
    let mean = |values: Vec<f64>| Spread::of(&values).map(|spread| spread.mean);
    let point = |index: usize| {
        let of_runs = || runs.iter().map(|run| &run.epochs[index]);
        let tests: Option<Vec<f64>> = of_runs().map(test_error).collect();
        Some(Point {
            epoch: runs.first()?.epochs[index].epoch,
            train_error: mean(of_runs().map(train_error).collect())?,
            test_error: tests.and_then(mean),
        })
    };
    (0..epochs).filter_map(point).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::experiment::{CIFAR10, PlannedRun};

    /// A run with these training and test errors by epoch, of `planned` epochs.
    fn run(net: &str, seed: u64, planned: u64, errors: &[(f64, f64)]) -> RunHistory {
        let epoch = |(index, &(train, test)): (usize, &(f64, f64))| EpochMetrics {
            epoch: index as u64 + 1,
            step: 0,
            train_loss: 0.0,
            train_accuracy: 100.0 - train,
            test_loss: Some(0.0),
            test_accuracy: Some(100.0 - test),
            validation_loss: None,
            validation_accuracy: None,
            evaluated_images: None,
            chosen_by: None,
            learning_rate: 0.1,
            seconds: 1.0,
            images_per_second: 1.0,
            communication_seconds: None,
        };
        let run = PlannedRun { net: net.parse().unwrap(), seed };
        let epochs = errors.iter().enumerate().map(epoch).collect();
        let (batch_size, lr) = (128, 0.1);
        RunHistory { run, parameters: 7, planned, batch_size, lr, epochs, diverged: false }
    }

    fn results(nets: &[&str], runs: &[RunHistory]) -> Results {
        let nets: Vec<Arch> = nets.iter().map(|net| net.parse().unwrap()).collect();
        Results::new(Kind::Degradation, &nets, runs)
    }

    #[test]
    fn a_table_of_known_runs() {
        let runs = [
            run("plain20", 0, 3, &[(60.0, 48.0), (35.0, 39.0), (20.0, 24.0)]),
            run("plain20", 1, 3, &[(64.0, 52.0), (31.0, 41.0), (22.0, 20.0)]),
            run("plain56", 0, 3, &[(80.0, 70.0), (60.0, 55.0), (40.0, 38.0)]),
            // Stopped.
            run("plain56", 1, 3, &[(80.0, 70.0), (60.0, 1.0)]),
            run("resnet20", 0, 3, &[(50.0, 40.0), (25.0, 20.0), (10.0, 15.0)]),
        ];
        let found = results(&["plain20", "plain56", "resnet20", "resnet56"], &runs);
        let [plain20, plain56, resnet20, resnet56] = &found.nets[..] else { panic!("four nets") };
        let (mean, std) = (22.0, Some(8f64.sqrt()));
        assert_eq!(plain20.test_error, Some(Spread { mean, std }));
        assert_eq!(plain20.train_error.unwrap().mean, 21.0);
        // To 50% after 1 and 2 epochs, to 40% after 2 and 3, to 30% after 3, and to 20% only once.
        let epochs = [Some(1.5), Some(2.5), Some(3.0), None, None, None];
        assert_eq!(plain20.epochs_to, epochs);
        // What is not finished does not count.
        assert_eq!(plain56.test_error, Some(Spread { mean: 38.0, std: None }));
        assert_eq!(plain56.runs.iter().map(|run| run.finished).collect::<Vec<_>>(), [true, false]);
        assert_eq!(plain56.curve.len(), 3);
        assert_eq!(resnet20.epochs_to[3..], [Some(2.0), Some(3.0), None]);
        let paper = resnet20.paper.unwrap();
        assert_eq!((paper.error, paper.data), (8.75, CIFAR10));
        assert_eq!((resnet56.test_error, resnet56.parameters), (None, None));
        assert!(resnet56.runs.is_empty() && resnet56.curve.is_empty());
        let point = Point { epoch: 2, train_error: 33.0, test_error: Some(40.0) };
        assert_eq!(plain20.curve[1], point);
        // One depth of residual nets has no results yet.
        let [plain] = &found.comparisons[..] else { panic!("{:?}", found.comparisons) };
        assert_eq!((&*plain.deeper, &*plain.shallower), ("plain56", "plain20"));
        let points = |difference: Difference| (difference.points, difference.std);
        assert_eq!((plain.deeper_seeds, plain.shallower_seeds), (1, 2));
        assert_eq!(points(plain.train_error), (19.0, None));
        assert_eq!(points(plain.test_error.unwrap()), (16.0, None));
    }

    #[test]
    fn the_deepest_net_is_compared_with_the_shallowest() {
        let errors = [("resnet8", [20.0, 22.0, 24.0]), ("resnet14", [12.0, 13.0, 14.0])];
        let runs: Vec<RunHistory> = errors
            .iter()
            .flat_map(|(net, errors)| {
                (0..).zip(errors).map(move |(seed, error)| (*net, seed, *error))
            })
            .map(|(net, seed, error)| run(net, seed, 1, &[(2.0 * error, error)]))
            .collect();
        let comparison = |runs: &[RunHistory]| {
            results(&["resnet8", "resnet14"], runs).comparisons.pop().unwrap()
        };
        let found = comparison(&runs);
        assert_eq!((found.deeper_seeds, found.shallower_seeds), (3, 3));
        let test = found.test_error.unwrap();
        assert_eq!((test.points, test.std), (-9.0, Some(2.5f64.sqrt())));
        assert_eq!(found.train_error.points, -18.0);
        assert!((found.train_error.std.unwrap() - 10f64.sqrt()).abs() < 1e-12);

        // Without held-out images the training errors are compared.
        let mut alone = runs;
        for epoch in alone.iter_mut().flat_map(|run| &mut run.epochs) {
            (epoch.test_loss, epoch.test_accuracy) = (None, None);
        }
        let found = comparison(&alone);
        assert_eq!((found.train_error.points, found.test_error), (-18.0, None));
    }

    #[test]
    fn without_a_finished_run_there_is_a_curve_but_no_result() {
        let found = results(&["resnet8"], &[run("resnet8", 0, 9, &[(60.0, 48.0)])]);
        assert_eq!(found.nets[0].test_error, None);
        assert_eq!(found.nets[0].curve.len(), 1);
        assert!(found.comparisons.is_empty());
    }

    #[test]
    fn errors_are_named_after_the_images_that_they_are_of() {
        let tested = run("resnet8", 0, 1, &[(60.0, 48.0)]);
        let mut validated = tested.clone();
        for epoch in &mut validated.epochs {
            epoch.validation_loss = epoch.test_loss.take();
            epoch.validation_accuracy = epoch.test_accuracy.take();
        }
        for (run, part) in [(tested, "test"), (validated, "validation")] {
            let found = results(&["resnet8"], &[run]);
            assert_eq!((found.part, found.nets[0].test_error.unwrap().mean), (part, 48.0));
            // Of the images by which the epoch was chosen it would be no test.
            let best = found.nets[0].runs[0].best_epoch;
            assert_eq!(best.map(|best| best.test_error), (part == "validation").then_some(None));
            assert_eq!(found.nets[0].best_test_error, None);
        }
    }

    #[test]
    fn the_best_epoch_is_that_of_the_validation_set() {
        let errors = [(60.0, 48.0), (35.0, 39.0), (20.0, 42.0)];
        let tested = [run("resnet8", 0, 3, &errors), run("resnet8", 1, 3, &errors)];
        let found = results(&["resnet8"], &tested);
        assert_eq!((found.nets[0].best_test_error, found.nets[0].runs[0].best_epoch), (None, None));
        // The second epoch of one, and the last of the other.
        let mut validated = tested;
        let accuracies = [[50.0, 70.0, 60.0], [50.0, 60.0, 70.0]];
        for (run, accuracies) in validated.iter_mut().zip(accuracies) {
            for (epoch, accuracy) in run.epochs.iter_mut().zip(accuracies) {
                (epoch.validation_loss, epoch.validation_accuracy) = (Some(0.0), Some(accuracy));
            }
        }
        let found = results(&["resnet8"], &validated);
        let best = |epoch, train_error, test_error| {
            Some(BestEpoch { epoch, train_error, test_error: Some(test_error) })
        };
        let runs = &found.nets[0].runs;
        assert_eq!(runs[0].best_epoch, best(2, 35.0, 39.0));
        assert_eq!(runs[1].best_epoch, best(3, 20.0, 42.0));
        assert_eq!(found.nets[0].best_test_error.unwrap().mean, 40.5);
        assert_eq!(found.nets[0].test_error.unwrap().mean, 42.0);
    }

    #[test]
    fn of_one_depth_there_is_no_comparison() {
        let found = results(&["resnet8"], &[run("resnet8", 0, 1, &[(60.0, 48.0)])]);
        assert!(found.nets[0].test_error.is_some() && found.comparisons.is_empty());
    }
}

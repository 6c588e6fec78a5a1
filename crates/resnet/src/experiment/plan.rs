//! Which nets an experiment has, and which runs.

use std::{fmt, time::Duration};

use crate::{
    models::{Arch, UnknownArch},
    train::Speed,
};

/// An experiment of the paper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Plain and residual nets of two depths (figures 1, 4 and 6).
    Degradation,
    /// Shortcuts of options A, B and C (section 4.1, table 3).
    Shortcuts,
    /// Residual nets of many depths (table 6).
    Depth,
    /// Standard deviations of the layers' responses (figure 7).
    Responses,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 4] = [Kind::Degradation, Kind::Shortcuts, Kind::Depth, Kind::Responses];

    /// Its name, as on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Degradation => "degradation",
            Kind::Shortcuts => "shortcuts",
            Kind::Depth => "depth",
            Kind::Responses => "responses",
        }
    }

    /// The depths of its nets, where none are given.
    pub fn depths(self) -> &'static [usize] {
        match self {
            Kind::Degradation | Kind::Responses => &[20, 56],
            Kind::Shortcuts => &[20],
            Kind::Depth => &[20, 32, 44, 56, 110],
        }
    }

    /// Its nets of these depths: the plain ones first, in the order of the depths.
    ///
    /// # Errors
    /// If there is no such net.
    pub fn nets(self, depths: &[usize]) -> Result<Vec<Arch>, UnknownArch> {
        let named = |before: &str, after: &str| -> Vec<String> {
            depths.iter().map(|depth| format!("{before}{depth}{after}")).collect()
        };
        // Without a letter the CIFAR nets have option A, those of ImageNet option B.
        let option = |of_cifar: &str, of_imagenet: &str| -> Vec<String> {
            let name = |depth: &usize| {
                let has_letter = format!("resnet{depth}-a").parse::<Arch>().is_ok();
                format!("resnet{depth}{}", if has_letter { of_imagenet } else { of_cifar })
            };
            depths.iter().map(name).collect()
        };
        let names = match self {
            Kind::Degradation | Kind::Responses => [named("plain", ""), option("", "-a")].concat(),
            Kind::Shortcuts => [option("", "-a"), option("-b", ""), option("-c", "-c")].concat(),
            Kind::Depth => named("resnet", ""),
        };
        names.iter().map(|name| name.parse()).collect()
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A run of an experiment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlannedRun {
    /// The net.
    pub net: Arch,
    /// The seed of the run: of initial weights, order and augmentation.
    pub seed: u64,
}

impl PlannedRun {
    /// The name of its run folder.
    pub fn folder(&self) -> String {
        format!("{}-seed{}", self.net, self.seed)
    }
}

/// The runs of an experiment in their order: all nets with seed 0, then all with seed 1, and so on.
pub fn runs(nets: &[Arch], seeds: u64) -> Vec<PlannedRun> {
    (0..seeds).flat_map(|seed| nets.iter().map(move |&net| PlannedRun { net, seed })).collect()
}

/// The number of epochs, the same for all nets, for which all runs fit into a time budget: at least 1. Each
/// net has its measured speed and its steps per epoch, and is trained with each of `seeds` seeds.
pub fn epochs_within(budget: Duration, nets: &[(Speed, u64)], seeds: u64) -> u64 {
    let seconds = |epochs: u64| -> f64 {
        let net =
            |(speed, steps): &(Speed, u64)| speed.seconds(epochs.saturating_mul(*steps), *steps);
        seeds as f64 * nets.iter().map(net).sum::<f64>()
    };
    let budget = budget.as_secs_f64();
    // All epochs but the first take the same time.
    let (first, later) = (seconds(1), seconds(2) - seconds(1));
    let more = ((budget - first) / later.max(1e-9)).floor();
    1 + more.clamp(0.0, 1e9) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(kind: Kind, depths: &[usize]) -> Vec<String> {
        kind.nets(depths).unwrap().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn nets_are_those_of_the_paper() {
        let two = ["plain20", "plain56", "resnet20", "resnet56"];
        assert_eq!(names(Kind::Degradation, Kind::Degradation.depths()), two);
        // Figure 4 and table 2 have option A.
        let four = ["plain18", "plain34", "resnet18-a", "resnet34-a"];
        assert_eq!(names(Kind::Degradation, &[18, 34]), four);
        assert_eq!(names(Kind::Shortcuts, &[34]), ["resnet34-a", "resnet34", "resnet34-c"]);
        assert_eq!(names(Kind::Shortcuts, &[20]), ["resnet20", "resnet20-b", "resnet20-c"]);
        assert_eq!(names(Kind::Depth, &[110, 1202]), ["resnet110", "resnet1202"]);
        for kind in Kind::ALL {
            assert!(kind.nets(kind.depths()).is_ok());
            assert!(kind.nets(&[21]).unwrap_err().to_string().contains("21"));
        }
        // Bottlenecks have option B.
        assert!(Kind::Shortcuts.nets(&[50]).is_err());
    }

    #[test]
    fn all_nets_are_trained_with_a_seed_before_the_next() {
        let nets = Kind::Depth.nets(&[8, 14]).unwrap();
        let folders: Vec<_> = runs(&nets, 2).iter().map(PlannedRun::folder).collect();
        assert_eq!(folders, ["resnet8-seed0", "resnet14-seed0", "resnet8-seed1", "resnet14-seed1"]);
        assert!(runs(&nets, 0).is_empty());
    }

    #[test]
    fn a_budget_is_shared_so_that_all_nets_get_the_same_epochs() {
        let slow = Speed { start: 0.0, step: 0.2, first_step: 0.3, epoch_end: 1.0 };
        let fast = Speed { start: 0.0, step: 0.1, first_step: 0.1, epoch_end: 0.5 };
        let nets = [(slow, 10), (fast, 20)];
        // The first epoch takes 4 + 2.5 s, each other one 3 + 2.5 s, and everything is done twice.
        let epochs = |seconds| epochs_within(Duration::from_secs(seconds), &nets, 2);
        for (seconds, expected) in [(1, 1), (13, 1), (23, 1), (25, 2), (34, 2), (36, 3), (124, 11)]
        {
            assert_eq!(epochs(seconds), expected, "{seconds} s");
        }
    }
}

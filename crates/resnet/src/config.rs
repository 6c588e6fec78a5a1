//! The configuration of a run (`config.toml`): everything that is needed to repeat it.
//!
//! [`TrainConfig::new`] makes one for a new run, [`TrainConfig::read`] reads a file; a
//! [run folder](crate::run::RunFolder) is made from a configuration.

use std::{
    io,
    path::{Path, PathBuf},
};

use resnet_formats::{Shown, atomic_write, brief, printable, read_text};
use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use self::{
    check::MAX_BATCH_SIZE,
    data::{DataConfig, PhotosConfig},
    lengths::EarlierLength,
    load::resize,
};
use crate::{models::Arch, optim::Rates, recipe::Recipe};

mod check;
mod data;
mod explanation;
mod lengths;
mod load;
mod new;

/// The configuration of a run: architecture, data and recipe.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// The architecture.
    #[serde(with = "arch_name")]
    pub arch: Arch,
    /// Seed of all random numbers.
    pub seed: u64,
    /// Steps in the whole run: the recipe's length, or as many as fit a time budget.
    pub total_steps: u64,
    /// File with the initial weights; none for random ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init_from: Option<PathBuf>,
    /// Which weights of that file, as `--weights` names them; none for the usual ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init_weights: Option<String>,
    /// If training resumes from that file with its optimiser's momentum: the epochs that it was
    /// trained for. None: only its weights are used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub continues_after: Option<u64>,
    /// The lengths that the run had before it was changed, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub earlier_lengths: Vec<EarlierLength>,
    /// Whether each epoch also writes PyTorch files.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub save_torch: bool,
    /// The data.
    pub data: DataConfig,
    /// The recipe, with all changes to it.
    pub recipe: Recipe,
}

impl TrainConfig {
    /// Steps per epoch. The last batch of an epoch may be smaller.
    pub fn steps_per_epoch(&self) -> u64 {
        self.data.train_images.div_ceil(self.recipe.batch_size.max(1)).max(1) as u64
    }

    /// Epochs in the whole run, an incomplete last one included.
    pub fn epochs(&self) -> u64 {
        self.total_steps.div_ceil(self.steps_per_epoch())
    }

    /// The first epoch of the run: 1, or the one after [`TrainConfig::continues_after`].
    pub fn first_epoch(&self) -> u64 {
        self.continues_after.unwrap_or(0).saturating_add(1)
    }

    /// The steps of an epoch, as (first, one after the last). Epochs count from 1.
    pub fn steps_of_epoch(&self, epoch: u64) -> (u64, u64) {
        let first = epoch.saturating_sub(1).saturating_mul(self.steps_per_epoch());
        let end = first.saturating_add(self.steps_per_epoch());
        (first.min(self.total_steps), end.min(self.total_steps))
    }

    /// The learning rate of a step, which counts from 0: that of the recipe for a run of the length that
    /// was planned at that step.
    pub fn lr_at(&self, step: u64) -> f32 {
        self.recipe.lr_at(step, self.steps_per_epoch(), self.length_at(step))
    }

    /// The learning rates of a step, likewise.
    pub fn rates_at(&self, step: u64) -> Rates {
        self.recipe.rates_at(step, self.steps_per_epoch(), self.length_at(step))
    }

    /// Rows and columns of the training images at a step, which counts from 0: those of the recipe for a
    /// run of the length that was planned at that step.
    pub fn image_size_at(&self, step: u64) -> usize {
        let size = self.recipe.image_size_at(step, self.length_at(step));
        size.unwrap_or(self.data.image_size)
    }

    /// Steps of the whole run, as planned at a step.
    pub(crate) fn length_at(&self, step: u64) -> u64 {
        lengths::length_at(&self.earlier_lengths, step).unwrap_or(self.total_steps)
    }

    /// Changes the length from a step on. The learning rates of the steps before it stay.
    pub(crate) fn change_length(&mut self, step: u64, total_steps: u64) {
        let before = step.checked_sub(1).map(|last| self.length_at(last));
        self.earlier_lengths.retain(|earlier| earlier.until_step < step);
        if let Some(before) = before.filter(|&before| before != total_steps) {
            self.earlier_lengths.push(EarlierLength { until_step: step, total_steps: before });
        }
        self.total_steps = total_steps;
    }

    /// Reads a `config.toml`.
    ///
    /// # Errors
    /// If it cannot be read, is not a valid configuration, or a number is out of range.
    pub fn read(path: &Path) -> Result<TrainConfig, ConfigError> {
        let error = |message: String| ConfigError { path: path.to_owned(), message };
        let text = read_text(path, MAX_BYTES).map_err(|e| error(format!("cannot be read: {e}")))?;
        if text.trim().is_empty() {
            return Err(error("is empty: it must have the settings of a run".to_owned()));
        }
        let config: TrainConfig = toml::from_str(&text).map_err(|e| error(in_a_line(&e, &text)))?;
        config.check().map_err(error)?;
        Ok(config)
    }

    /// Writes a `config.toml` atomically.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let text = toml::to_string(self).map_err(io::Error::other)?;
        atomic_write(path, |file| file.write_all(text.as_bytes()))
    }
}

/// The parser's error in one line, with the line of the file.
fn in_a_line(error: &toml::de::Error, text: &str) -> String {
    let message = brief(&error.message().trim().replace('\n', "; ")).to_string();
    let Some(before) = error.span().and_then(|span| text.get(..span.start)) else {
        return message;
    };
    let number = before.matches('\n').count();
    let line = text.lines().nth(number).unwrap_or_default().trim().chars();
    let line: String = line.take(60).collect();
    format!("line {} ({}): {message}", number + 1, printable(&line))
}

/// Far more than any list of class names needs. Parsing takes up to 100 times as much memory.
const MAX_BYTES: u64 = 2 << 20;

/// Why a `config.toml` cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{}: {message}", path.shown())]
pub struct ConfigError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong.
    pub message: String,
}

/// Serialises an architecture as its name.
mod arch_name {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use crate::models::Arch;

    pub(super) fn serialize<S: Serializer>(arch: &Arch, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(arch)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Arch, D::Error> {
        String::deserialize(d)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::fs;

    use super::*;
    use crate::{data::Normalisation, recipe::SizePhase, schedule::Schedule};

    /// A small run: 10 images in batches of 4, for 2.5 epochs.
    pub(crate) fn sample() -> TrainConfig {
        let arch = "resnet8".parse().unwrap();
        let mut recipe = Recipe::named("walkthrough", arch).unwrap();
        recipe.batch_size = 4;
        recipe.lr = 0.2;
        recipe.schedule = Schedule::one_cycle(0.2);
        TrainConfig {
            arch,
            seed: 7,
            total_steps: 8,
            init_from: None,
            init_weights: None,
            continues_after: None,
            earlier_lengths: Vec::new(),
            save_torch: false,
            data: DataConfig {
                name: "synthetic".into(),
                dir: Some("data".into()),
                classes: vec!["disc".into(), "a \"b\"".into()],
                image_size: 32,
                train_images: 10,
                validation: 2,
                limit_train: Some(12),
                limit_test: None,
                normalisation: Normalisation::cifar10(),
                photos: None,
            },
            recipe,
        }
    }

    #[test]
    fn survives_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.toml");
        sample().write(&path).unwrap();
        assert_eq!(TrainConfig::read(&path).unwrap(), sample());
        let text = fs::read_to_string(&path).unwrap();
        assert!(
            text.contains("arch = \"resnet8\"") && text.contains("mean = [0.4914, 0.4822, 0.4465]"),
            "{text}"
        );
        // The validation set's name in version 0.1.0.
        assert!(text.contains("\nvalidation = 2\n"), "{text}");
        fs::write(&path, text.replace("\nvalidation = ", "\nsplit = ")).unwrap();
        assert_eq!(TrainConfig::read(&path).unwrap(), sample());
    }

    #[test]
    fn counts_steps_and_epochs() {
        let config = sample();
        assert_eq!(config.steps_per_epoch(), 3); // 4 + 4 + 2 images
        assert_eq!(config.epochs(), 3); // 3 + 3 + 2 steps
        let steps = [1, 2, 3, 4].map(|epoch| config.steps_of_epoch(epoch));
        assert_eq!(steps, [(0, 3), (3, 6), (6, 8), (8, 8)]);
        assert_eq!(config.steps_of_epoch(u64::MAX), (8, 8));
    }

    #[test]
    fn a_damaged_file_is_an_error_with_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.toml");
        let message = || TrainConfig::read(&path).unwrap_err().to_string();
        assert!(message().contains("config.toml"));
        sample().write(&path).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        for (from, to, complaint) in [
            ("resnet8", "resnet9", "unknown architecture 'resnet9'"),
            ("total_steps = 8", "total_steps = 0", "--epochs"),
            ("batch_size = 4", "batch_size = 0", "--batch-size"),
            ("batch_size = 4", "batch_size = 99999999999", "from 1 to 65536 (--batch-size)"),
            ("image_size = 32", "image_size = 0", "the image size is 0"),
            ("limit_train = 12", "limit_train = 0", "limit_train is 0"),
            ("lr = 0.2", "lr = nan", "--lr"),
            ("lr = 0.2", "lr = 1e300", "--lr"),
            (
                "dtype = \"fp32\"",
                "dtype = \"fp64\"",
                "unknown variant `fp64`, expected `fp32` or `bf16`",
            ),
            ("peak = 0.2", "peak = -1.0", "peak"),
            (
                "[recipe.schedule]",
                "[[recipe.image_sizes]]\nuntil = 0.5\nsize = 33\n\n[recipe.schedule]",
                "image_sizes",
            ),
            ("pad = 4", "pad = 33", "padding"),
            ("pad = 4", "pad = 32\npadding_mode = \"reflect\"", "augment.pad"),
            ("pad = 4", "pad = 4\ncutout = 33", "augment.cutout"),
            (
                "[recipe.schedule]",
                "[recipe.warm_up]\nsteps = 4\nfactor = nan\n\n[recipe.schedule]",
                "factor",
            ),
            ("mean = [0.4914, ", "mean = [nan, ", "--mean"),
            ("mean = [0.4914, ", "mean = [-inf, ", "--mean"),
            ("std = [0.2023, ", "std = [1e-40, ", "--std"),
            ("std = [0.2023, ", "std = [", "--std"),
            ("std = [0.2023, ", "std = [0.0, ", "--std"),
            ("seed = 7", "sead = 7", "sead"),
            ("seed = 7", "seed = -7", "line 2 (seed = -7): "),
            ("seed = 7", "seed = [7", "line 3 (total_steps = 8): missing comma"),
            (
                "seed = 7",
                "seed = 'x'",
                "line 2 (seed = 'x'): invalid type: string \"x\", expected u64",
            ),
        ] {
            assert!(text.contains(from), "{from} is not in\n{text}");
            fs::write(&path, text.replace(from, to)).unwrap();
            assert!(message().contains(complaint), "{}", message());
            assert_eq!(message().lines().count(), 1, "{}", message());
        }
        fs::write(&path, "\n").unwrap();
        assert!(message().contains("config.toml: is empty"), "{}", message());
    }

    fn earlier(config: &TrainConfig) -> Vec<(u64, u64)> {
        config.earlier_lengths.iter().map(|e| (e.until_step, e.total_steps)).collect()
    }

    #[test]
    fn rates_and_sizes_before_a_change_stay_and_those_after_it_are_of_the_new_length() {
        let short = TrainConfig { total_steps: 9, ..sample() };
        let long = TrainConfig { total_steps: 18, ..sample() };
        let phases = [SizePhase { until: 0.25, size: 16 }, SizePhase { until: 0.5, size: 24 }];
        let sizes = |config: &TrainConfig| {
            let mut config = config.clone();
            config.recipe.image_sizes = phases.to_vec();
            (0..18).map(|step| config.image_size_at(step)).collect::<Vec<_>>()
        };
        let mut config = short.clone();
        config.change_length(6, 18);
        let changed = [&[16; 3][..], &[24; 2], &[32], &[24; 3], &[32; 9]].concat();
        assert_eq!(sizes(&config), changed);
        config = short.clone();
        config.change_length(9, 18);
        assert_eq!(sizes(&config)[..9], sizes(&short)[..9]);
        assert_eq!(sizes(&config)[9..], sizes(&long)[9..]);
        assert_eq!((config.total_steps, earlier(&config)), (18, vec![(9, 9)]));
        for step in 0..18 {
            let expected = if step < 9 { &short } else { &long };
            assert_eq!(config.lr_at(step), expected.lr_at(step), "{step}");
        }
        // Changed again before another step, and back.
        config.change_length(9, 12);
        assert_eq!((config.total_steps, earlier(&config)), (12, vec![(9, 9)]));
        config.change_length(9, 9);
        assert_eq!(config, short);
        // Changed later, and then from a checkpoint in the middle.
        config.change_length(6, 12);
        config.change_length(10, 15);
        assert_eq!(earlier(&config), [(6, 9), (10, 12)]);
        config.change_length(8, 18);
        assert_eq!(earlier(&config), [(6, 9), (8, 12)]);
        assert_eq!(config.lr_at(7), TrainConfig { total_steps: 12, ..sample() }.lr_at(7));
        config.change_length(0, 6);
        assert_eq!((config.total_steps, earlier(&config)), (6, vec![]));
    }

    #[test]
    fn impossible_lengths_are_refused() {
        let with = |list: &[(u64, u64)]| {
            let entry = |&(until_step, total_steps)| EarlierLength { until_step, total_steps };
            TrainConfig { earlier_lengths: list.iter().map(entry).collect(), ..sample() }.check()
        };
        with(&[]).unwrap();
        with(&[(3, 5), (4, 5)]).unwrap();
        for list in [&[(4, 5), (3, 5)][..], &[(3, 5), (3, 5)], &[(3, 0)], &[(3, 5); 1001]] {
            assert!(with(list).unwrap_err().contains("earlier_lengths"));
        }
    }
}

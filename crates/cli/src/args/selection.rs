//! Options of classes of unequal size, and of the epoch that is kept. They override a recipe.

use std::path::PathBuf;

use clap::{
    Args, ValueEnum,
    builder::{PathBufValueParser, TypedValueParser},
};
use resnet::{data::Sampling, metrics::Metric};

use super::values;

#[derive(Clone, Debug, Default, Args)]
pub(crate) struct SelectionArgs {
    /// Weights of the classes in the loss: `balanced` (by their number of training images), `none`, or a file
    /// with a line NAME,WEIGHT for each class [default: the recipe's]
    #[arg(long, value_name = "balanced|none|FILE", value_parser = ClassWeightsArg::parser())]
    pub(crate) class_weights: Option<ClassWeightsArg>,
    /// Images of an epoch: `shuffle` takes each once, `balanced` as many of each class, with replacement
    /// [default: the recipe's]
    #[arg(long, value_enum, value_name = "NAME")]
    pub(crate) sampling: Option<SamplingName>,
    /// What `best` is chosen by, and --patience looks at: accuracy, the mean F1 of all classes, or balanced
    /// accuracy, the mean recall of all classes [default: the recipe's]
    #[arg(long, value_enum, value_name = "NAME")]
    pub(crate) metric: Option<MetricName>,
    /// Stop after N epochs that are no better than one before [default: the recipe's]
    #[arg(long, value_name = "N", value_parser = values::count)]
    pub(crate) patience: Option<usize>,
}

/// Where the weights of the classes come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ClassWeightsArg {
    None,
    Balanced,
    File(PathBuf),
}

impl ClassWeightsArg {
    fn parser() -> impl TypedValueParser<Value = ClassWeightsArg> {
        PathBufValueParser::new().map(|path| match path.to_str() {
            Some("none") => ClassWeightsArg::None,
            Some("balanced") => ClassWeightsArg::Balanced,
            _ => ClassWeightsArg::File(path),
        })
    }
}

/// Samplings by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SamplingName {
    Shuffle,
    Balanced,
}

impl From<SamplingName> for Sampling {
    fn from(name: SamplingName) -> Self {
        match name {
            SamplingName::Shuffle => Sampling::Shuffle,
            SamplingName::Balanced => Sampling::Balanced,
        }
    }
}

/// Metrics by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum MetricName {
    Accuracy,
    F1,
    Balanced,
}

impl From<MetricName> for Metric {
    fn from(name: MetricName) -> Self {
        match name {
            MetricName::Accuracy => Metric::Accuracy,
            MetricName::F1 => Metric::F1,
            MetricName::Balanced => Metric::Balanced,
        }
    }
}

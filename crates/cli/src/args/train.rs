//! Arguments of `resnet train`.

use std::{path::PathBuf, time::Duration};

use clap::{
    Arg, ArgMatches, Args, Command, ValueEnum,
    builder::{PossibleValuesParser, TypedValueParser},
    parser::ValueSource,
};
use resnet::{
    Arch,
    data::transform::{CenterCrop, Crop, Policy, Transform},
    recipe::Recipe,
};

use super::{
    data::{DataArg, PhotoReadingArgs, Share},
    fine_tuning::FineTuningArgs,
    init::InitArg,
    optimizer::OptimizerArgs,
    parallel::ParallelArgs,
    selection::SelectionArgs,
    shared::{DEFAULT_ARCH, DataDir, Dtype, NormalisationArgs, Output, WeightsArg},
    values,
};
use crate::completion;

#[derive(Clone, Debug, Args)]
#[command(allow_negative_numbers = true)]
pub(crate) struct TrainArgs {
    /// Data set to train on: cifar10, cifar100, mnist, fashion-mnist or synthetic, or a folder of photos
    /// with a folder for each class. A missing data set is downloaded
    #[arg(value_name = "DATA", default_value = "cifar10", value_parser = DataArg::parser(), add = completion::data_or_folder())]
    pub(crate) data: DataArg,
    /// Network architecture (`resnet archs` lists them) [default: that of the file in --init, --resume
    /// or --config; else resnet18 for photos, and of a recipe resnet11-sprint (sprint), resnet20 (paper) or
    /// resnet18-cifar (any other)]
    #[arg(long, value_name = "NAME", default_value = DEFAULT_ARCH, hide_default_value = true, add = completion::archs())]
    pub(crate) arch: Arch,
    #[command(flatten)]
    pub(crate) start: StartArgs,
    #[command(flatten)]
    pub(crate) recipe: RecipeArgs,
    #[command(flatten)]
    pub(crate) parallel: ParallelArgs,
    #[command(flatten)]
    pub(crate) images: ImagesArgs,
    #[command(flatten, next_help_heading = "Data")]
    pub(crate) data_dir: DataDir,
    /// Run folder, for configuration, metrics, log and checkpoints [default:
    /// a new one, runs/<arch>-<data>-<time>]
    #[arg(long, value_name = "DIR", help_heading = "Output")]
    pub(crate) out: Option<PathBuf>,
    /// Also save PyTorch files after each epoch: the state dict <arch>_<data>_state_dict.pt, and
    /// <arch>_<data>_all.tar with the optimizer
    #[arg(long, help_heading = "Output")]
    pub(crate) save_torch: bool,
    /// Show a progress bar per epoch, a full-screen dashboard, or log lines [default: bar in a
    /// terminal that can move its cursor, otherwise log]
    #[arg(long, value_enum, help_heading = "Output")]
    pub(crate) ui: Option<Ui>,
    /// Also write TensorBoard event files, in the folder `tensorboard` of the run
    #[arg(long, help_heading = "Output")]
    pub(crate) tensorboard: bool,
    #[command(flatten, next_help_heading = "Output")]
    pub(crate) output: Output,
    /// Names of the settings given on the command line.
    #[arg(skip)]
    pub(crate) given: Vec<String>,
}

impl TrainArgs {
    /// Whether an option was given, by its name with dashes.
    pub(crate) fn is_given(&self, option: &str) -> bool {
        self.given.iter().any(|given| given == option)
    }

    /// Names of the options and arguments that set up a run, of those given on the command line. A
    /// resumed run keeps its own settings.
    pub(super) fn settings(command: &Command, matches: &ArgMatches) -> Vec<String> {
        const OTHERS: [&str; 12] = [
            "resume",
            "ui",
            "tensorboard",
            "json",
            "data-dir",
            "threads",
            "device",
            "quiet",
            "comm-timeout",
            "workers",
            "cache",
            "cache-size",
        ];
        let given = command.get_arguments().filter(|argument| {
            let long = argument.get_long().unwrap_or_default();
            let source = matches.value_source(argument.get_id().as_str());
            source == Some(ValueSource::CommandLine) && !OTHERS.contains(&long)
        });
        let name = |argument: &Arg| match argument.get_long() {
            Some(long) => format!("--{long}"),
            None => argument.get_id().to_string().to_uppercase(),
        };
        given.map(name).collect()
    }
}

/// Where a run starts from.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Resume and initial weights")]
pub(crate) struct StartArgs {
    /// Resume a run, bit-exact and with its own settings: its folder, a checkpoint in it, or `last`
    /// for the newest run. With --epochs N it gets N epochs in all, also after its end; from there on
    /// the learning rate is that of a run of N epochs. With any other checkpoint file, start a new
    /// run with the options given here, from its weights, momentum and epoch
    #[arg(long, value_name = "DIR|FILE|last", conflicts_with_all = ["init", "budget"], add = completion::runs())]
    pub(crate) resume: Option<PathBuf>,
    /// Initialise the weights from a model file (safetensors, PyTorch, ONNX), a run folder, `last`, or
    /// those of torchvision's and timm's ImageNet weights that `resnet archs` lists, by their names, such as
    /// resnet18 or resnet50.a1_in1k, which are downloaded; `none` for random ones.
    /// Layers that the file lacks, or has with another shape, such as a classifier for other classes, are
    /// initialised at random [default: for photos the published weights of the architecture, else none]
    #[arg(long, value_name = "NAME|FILE|DIR|last|none", value_parser = InitArg::parser(), add = completion::initial_weights())]
    pub(crate) init: Option<InitArg>,
    #[command(flatten)]
    pub(crate) weights: WeightsArg,
    /// Start a new run with the settings of a config.toml, or of a run folder or `last`; the options
    /// given here override them
    #[arg(long, value_name = "FILE|DIR|last", conflicts_with = "resume", add = completion::runs())]
    pub(crate) config: Option<PathBuf>,
}

/// A recipe, and options that override its hyperparameters.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Recipe")]
pub(crate) struct RecipeArgs {
    /// Training recipe (`resnet recipes` prints them in full); the options below override it [default:
    /// finetune from the weights of another training, such as the published ones of photos; else fast with an
    /// architecture, a file to resume from or photos; else sprint]
    #[arg(
        long,
        value_name = "NAME",
        default_value = Recipe::ALL[0].0,
        hide_default_value = true,
        ignore_case = true,
        value_parser = PossibleValuesParser::new(Recipe::ALL.map(|(name, _)| name))
            .map(|name| name.to_lowercase()),
    )]
    pub(crate) recipe: String,
    /// Number of epochs [default: the recipe's]
    #[arg(long, value_name = "N", value_parser = values::count, conflicts_with = "budget")]
    pub(crate) epochs: Option<usize>,
    /// Training time, such as 30m or 1h30m; the number of steps is chosen to fit
    #[arg(long, value_name = "TIME", value_parser = values::time)]
    pub(crate) budget: Option<Duration>,
    /// Images per batch [default: the recipe's]
    #[arg(long, value_name = "N", value_parser = values::batch_size)]
    pub(crate) batch_size: Option<usize>,
    #[command(flatten)]
    pub(crate) optimizer: OptimizerArgs,
    #[command(flatten)]
    pub(crate) fine_tuning: FineTuningArgs,
    #[command(flatten)]
    pub(crate) selection: SelectionArgs,
    /// Label smoothing, from 0 to below 1 [default: the recipe's]
    #[arg(long, value_name = "X", value_parser = values::fraction)]
    pub(crate) label_smoothing: Option<f32>,
    #[command(flatten)]
    pub(crate) augmentation: AugmentationArgs,
    /// Seed of initial weights, shuffling, augmentation and --validation
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = values::seed)]
    pub(crate) seed: u64,
    /// Data type of activations and their gradients; weights are always fp32 [default: bf16 if the
    /// CPU has bfloat16 dot products, otherwise fp32]
    #[arg(long, value_enum, ignore_case = true)]
    pub(crate) dtype: Option<Dtype>,
}

/// What is done to training images; these options override a recipe too.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct AugmentationArgs {
    /// Augmentation of photos: a random resized crop and flip, alone or with the operations of
    /// torchvision's RandAugment or TrivialAugmentWide, or none but a centre crop. `none` also leaves the images
    /// of a data set as they are [default: the recipe's]
    #[arg(long, value_enum, value_name = "NAME")]
    pub(crate) augment: Option<AugmentName>,
    /// Mix pairs of images and their labels: the alpha of mixup's Beta distribution, such as 0.2
    /// [default: the recipe's]
    #[arg(long, value_name = "X", value_parser = values::alpha)]
    pub(crate) mixup: Option<f64>,
    /// Show a part of another image in each: the alpha of CutMix's Beta distribution, such as 1
    /// [default: the recipe's]
    #[arg(long, value_name = "X", value_parser = values::alpha)]
    pub(crate) cutmix: Option<f64>,
}

/// Which images to train and test on, and their normalisation.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Data")]
pub(crate) struct ImagesArgs {
    /// Use N training images, or this fraction of them, as the validation set, and choose `best` on it
    /// [default: none; 0.2 of photos that have no part for validation or testing]
    #[arg(long, visible_alias = "split", value_name = "N|FRACTION")]
    pub(crate) validation: Option<Share>,
    /// Train on the first N training images only, or, of photos, on N random ones, of each class the
    /// same share
    #[arg(long, value_name = "N", value_parser = values::count)]
    pub(crate) limit_train: Option<usize>,
    /// Test on the first N test images only, or, of photos, on N random ones, of each class the
    /// same share
    #[arg(long, value_name = "N", value_parser = values::count)]
    pub(crate) limit_test: Option<usize>,
    /// Rows and columns of the images that a network gets: photos are cropped to them, the images of a data
    /// set enlarged or shrunk [default: those that the architecture was designed for of photos, a data set's
    /// own]
    #[arg(long, value_name = "N", value_parser = values::image_size)]
    pub(crate) image_size: Option<usize>,
    /// CSV or TSV file with the paths and labels of the photos [default: their folders]
    #[arg(long, value_name = "FILE")]
    pub(crate) labels: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) reading: PhotoReadingArgs,
    #[command(flatten)]
    pub(crate) normalisation: NormalisationArgs,
    /// Subtract the mean image of the training images, pixel by pixel, in place of the mean of each
    /// channel, as in the paper; the deviations stay. For images in memory
    #[arg(long)]
    pub(crate) mean_image: bool,
}

/// Augmentations of photos by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum AugmentName {
    None,
    Crop,
    RandAugment,
    TrivialAugment,
}

impl AugmentName {
    /// The augmentation in place of a recipe's, whose other operations stay, for photos whose shorter side is
    /// `resize` in evaluation.
    pub(crate) fn of(self, recipe: Option<Transform>, resize: usize) -> Transform {
        let policy = match self {
            AugmentName::None => {
                let crop = Crop::Center(CenterCrop { resize: Some(resize) });
                return Transform { crop, horizontal_flip: 0.0, ..Transform::default() };
            }
            AugmentName::Crop => None,
            AugmentName::RandAugment => Some(Policy::RandAugment(Default::default())),
            AugmentName::TrivialAugment => Some(Policy::TrivialAugmentWide(Default::default())),
        };
        Transform { policy, ..recipe.unwrap_or_default() }
    }
}

/// How to show progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Ui {
    Bar,
    Full,
    Log,
}

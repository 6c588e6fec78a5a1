//! Options that several verbs share.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use resnet::{
    Arch, Cpu, Device,
    config::TrainConfig,
    data::{self, DataError},
    model_file::{LoadOptions, Weights},
    run::RunFolder,
    train,
};

use resnet_formats::{printable, quoted_path};

use super::values::{self, Mean, Std};
use crate::{
    completion, cores,
    device::{self, DeviceArg, Work},
    print,
};

/// The default architecture.
pub(crate) const DEFAULT_ARCH: &str = "resnet18-cifar";

/// Options of every verb.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Number of CPU threads [default: all cores; under mpirun or srun those of the machine divided by its
    /// processes]
    #[arg(long, global = true, value_name = "N", value_parser = values::threads)]
    pub(crate) threads: Option<usize>,
    /// What runs networks: the CPU; a GPU, by its number in `resnet devices` if you like; or `auto`: a card or
    /// another GPU that is faster than the CPU, else the CPU
    #[arg(
        long,
        global = true,
        value_name = "auto|cpu|gpu[:N]",
        default_value = "auto",
        add = completion::devices()
    )]
    pub(crate) device: DeviceArg,
    /// Print only results and errors
    #[arg(long, short, global = true)]
    pub(crate) quiet: bool,
}

impl Global {
    /// The CPU with the given number of threads.
    pub(crate) fn cpu(&self) -> anyhow::Result<Cpu> {
        Ok(Cpu::new(self.cpu_threads())?)
    }

    /// What some work is done with.
    pub(crate) fn device(&self, work: Work<'_>) -> anyhow::Result<Device> {
        device::choose(self.device, &self.cpu()?, None, work, self.later_note())
    }

    /// What a run goes on with, in so many processes: unless a device is asked for, one that was on the CPU stays there, so
    /// that its bits are those of an uninterrupted run.
    pub(crate) fn resumed_device(
        &self,
        folder: &RunFolder,
        processes: usize,
    ) -> anyhow::Result<Device> {
        let before = train::segments(folder.path()).ok().flatten();
        let last = before.as_ref().and_then(|segments| segments.last());
        match last {
            Some(last) if last.machine.gpu.is_none() && self.device == DeviceArg::Auto => {
                Ok((&self.cpu()?).into())
            }
            _ => self.training_device(folder.config(), processes),
        }
    }

    /// What a run trains with, in so many processes.
    pub(crate) fn training_device(
        &self,
        config: &TrainConfig,
        processes: usize,
    ) -> anyhow::Result<Device> {
        let channels = config.data.normalisation.mean.len();
        let classes = config.data.classes.len();
        let graph = config.arch.graph_with(channels, classes, config.arch.width());
        let needs_cpu = train::needs_cpu(config, processes);
        let work = Work::training(&graph, config);
        device::choose(self.device, &self.cpu()?, needs_cpu, work, self.later_note())
    }

    /// Number of threads.
    pub(crate) fn cpu_threads(&self) -> usize {
        self.threads.unwrap_or_else(cores::default_threads)
    }

    /// Prints a note on stderr, unless `--quiet` is given.
    pub(crate) fn note(&self, text: impl AsRef<str>) {
        note(self.quiet, text.as_ref());
    }

    /// [`Global::note`] for whoever has something to say later.
    fn later_note(&self) -> impl Fn(&str) + Clone + Send + 'static + use<> {
        let quiet = self.quiet;
        move |text: &str| note(quiet, text)
    }

    /// Prints a status message on stderr, unless `--quiet` is given.
    pub(crate) fn status(&self, text: impl AsRef<str>) {
        if !self.quiet {
            print::status(text);
        }
    }
}

/// Prints a note on stderr.
fn note(quiet: bool, text: &str) {
    if !quiet {
        print::status(format!("note: {}", printable(text)));
    }
}

/// How results are printed.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Output {
    /// Print results as JSON, one object per line
    #[arg(long)]
    pub(crate) json: bool,
}

/// Which weights of a model file.
#[derive(Clone, Debug, Args)]
pub(crate) struct WeightsArg {
    /// Which weights of a model file with several: `ema` (their average), `model` (the trained weights), or a
    /// key or part of the tensors' names, such as `teacher` [default: the average if there is one]
    #[arg(long, value_name = "ema|model|KEY")]
    pub(crate) weights: Option<Weights>,
}

impl WeightsArg {
    /// What to load of a model file.
    pub(crate) fn options(&self, arch: Option<Arch>) -> LoadOptions {
        LoadOptions { arch, weights: self.weights.clone().unwrap_or_default() }
    }
}

/// Where data sets are kept.
#[derive(Clone, Debug, Args)]
pub(crate) struct DataDir {
    /// Folder of the data sets [default: $RESNET_DATA, or the user's cache folder]
    #[arg(long = "data-dir", value_name = "DIR")]
    pub(crate) path: Option<PathBuf>,
    /// The folder in the configuration of a run. That file may be untrusted, so nothing is
    /// downloaded into it.
    #[arg(skip)]
    pub(crate) from_run: Option<PathBuf>,
}

impl DataDir {
    /// The folder: `--data-dir`, else the run's, else the default.
    pub(crate) fn folder(&self) -> Result<PathBuf, DataError> {
        self.path.clone().or(self.from_run.clone()).map_or_else(data::default_data_dir, Ok)
    }

    /// `--data-dir`, else that of a run.
    pub(crate) fn or_of_run(&self, folder: Option<PathBuf>) -> DataDir {
        DataDir { path: self.path.clone(), from_run: folder }
    }

    /// The folder to download into: `--data-dir`, else the default.
    pub(crate) fn own_folder(&self) -> Result<PathBuf, DataError> {
        self.path.clone().map_or_else(data::default_data_dir, Ok)
    }

    /// The run's folder, unless `--data-dir` overrides it.
    pub(crate) fn only_from_run(&self) -> Option<&Path> {
        if self.path.is_some() { None } else { self.from_run.as_deref() }
    }

    /// `--data-dir` as it was given, for a command in a message, with a space before it.
    pub(crate) fn as_option(&self) -> String {
        self.path
            .as_deref()
            .map_or_else(String::new, |folder| format!(" --data-dir {}", quoted_path(folder)))
    }
}

/// How pixels are normalised.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct NormalisationArgs {
    /// Mean per channel, of pixels scaled to [0, 1]; needs --std [default: the model's, or
    /// else the data set's, or else those usual for the network]
    #[arg(long, value_name = "R,G,B", requires = "std", allow_hyphen_values = true)]
    pub(crate) mean: Option<Mean>,
    /// Standard deviation per channel, of pixels scaled to [0, 1]; needs --mean [default: as
    /// for --mean]
    #[arg(long, value_name = "R,G,B", requires = "mean", allow_hyphen_values = true)]
    pub(crate) std: Option<Std>,
}

/// Data type of activations and their gradients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Dtype {
    #[value(alias = "float32")]
    Fp32,
    #[value(alias = "bfloat16")]
    Bf16,
}

impl From<Dtype> for resnet::Dtype {
    fn from(dtype: Dtype) -> Self {
        match dtype {
            Dtype::Fp32 => resnet::Dtype::Fp32,
            Dtype::Bf16 => resnet::Dtype::Bf16,
        }
    }
}

impl From<resnet::Dtype> for Dtype {
    fn from(dtype: resnet::Dtype) -> Self {
        match dtype {
            resnet::Dtype::Fp32 => Dtype::Fp32,
            resnet::Dtype::Bf16 => Dtype::Bf16,
        }
    }
}

/// The views of test-time augmentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Tta {
    /// The image alone
    None,
    /// The image and its mirror image
    Flip,
    /// Both, with half the weight, and both moved by a pixel up and left, and down and right
    Six,
}

impl Tta {
    pub(crate) fn views(self) -> Option<resnet::evaluate::Tta> {
        match self {
            Tta::None => None,
            Tta::Flip => Some(resnet::evaluate::Tta::Flip),
            Tta::Six => Some(resnet::evaluate::Tta::Six),
        }
    }
}

/// What to benchmark or plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    Train,
    Eval,
}

impl Mode {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Mode::Train => "train",
            Mode::Eval => "eval",
        }
    }
}

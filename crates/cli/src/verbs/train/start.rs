//! Starts a new run: its settings, its data, its folder.

use std::{
    ops::ControlFlow::{Break, Continue},
    path::{Path, PathBuf},
    time::SystemTime,
};

use resnet::{
    Arch, Device,
    config::TrainConfig,
    data::{self as sets, Flip, Normalisation, Parts},
    model_file::{Partial, PublishedWeights, Weights},
    run::{Place, RunError, RunFolder},
    train::{self, Group},
};

use super::announce::announce;
use crate::{
    args::{DataArg, Global, InitArg, TrainArgs},
    config::{self, Settings, StartingPoint},
    data::{self, Limits},
    error::Usage,
    interrupt::{Interrupt, Interrupted},
    model, overrides, photo_folder, print, runs, weights,
};

/// A new run, before it has a folder.
pub(in crate::verbs) struct NewRun {
    settings: Settings,
    start: StartingPoint,
    pub(in crate::verbs) data: Parts,
    pub(in crate::verbs) config: TrainConfig,
    pub(in crate::verbs) device: Device,
}

/// Loads the data of a new run and the file of published weights, and makes its configuration, for the device that so many
/// processes train on. `examine` gets the arguments and the architecture before anything slow.
pub(in crate::verbs) fn configure(
    args: &TrainArgs,
    global: &Global,
    interrupt: &Interrupt,
    processes: usize,
    examine: impl FnOnce(&TrainArgs, Arch) -> anyhow::Result<()>,
) -> anyhow::Result<NewRun> {
    let (settings, cpu) = (Settings::new(args, global)?, &global.cpu()?);
    let args = &settings.args;
    if let Some(message) = args.images.reading.misuse(args.data.is_folder()) {
        return Err(Usage(message).into());
    }
    let mut start = starting_point(args, &settings, global)?;
    examine(args, start.arch)?;
    let data = load(args, start.arch, global, interrupt)?;
    weights::note_default(args, global);
    if let Some(published) = start.published {
        let file = weights::fetch(published, &args.data_dir, global, interrupt)?;
        start.checkpoint = Some(file);
    }
    let mut config = config::build(&settings, &start, &data, None, cpu, global)?;
    let device = global.training_device(&config, processes)?;
    fit_batch(&mut config, args, &data, &device, global)?;
    Ok(NewRun { settings, start, data, config, device })
}

/// Fits batches into the memory of the device, those of photos next to their cache. A batch that was asked for stays as it
/// is; one of photos is refused if there is no room for it. Without photos, training does that.
fn fit_batch(
    config: &mut TrainConfig,
    args: &TrainArgs,
    data: &Parts,
    device: &Device,
    global: &Global,
) -> anyhow::Result<()> {
    let kept = photo_folder::cache_memory(data, config);
    match args.recipe.batch_size {
        None => config::fit_memory(config, args, kept, device, global),
        Some(_) if args.data.is_folder() => config::check_memory(config, kept, device, "free some"),
        Some(_) => Ok(()),
    }
}

/// Starts a new run: loads its data, writes its configuration, creates its folder. The other processes of the group, whose
/// first this is, only measure its speed, if there is a `--budget`.
pub(in crate::verbs) fn start(
    group: &Group,
    args: &TrainArgs,
    global: &Global,
    interrupt: &Interrupt,
    planned_seconds: &mut Option<f64>,
) -> anyhow::Result<(RunFolder, Parts, Device)> {
    let mut default = PathBuf::new();
    let examine = |args: &TrainArgs, arch| {
        default = runs::folder(&default_name(arch, args));
        Ok(RunFolder::examine(place(args, &default))?)
    };
    let NewRun { settings, start, data, mut config, device } =
        configure(args, global, interrupt, group.size(), examine)?;
    let (args, cpu) = (&settings.args, device.cpu());
    train::check_processes(&config, group.size())?;
    if let Some(budget) = args.recipe.budget {
        // Before it takes time. Whatever it plans, the run has another epoch.
        let total_steps = config.first_epoch().saturating_mul(config.steps_per_epoch());
        check(&TrainConfig { total_steps, ..config.clone() }, args)?;
        let of = match group.size() {
            1 => String::new(),
            processes => format!(" of {processes} processes together"),
        };
        global.status(format!(
            "measuring the training speed{of} to fit {}",
            humantime::format_duration(budget)
        ));
        let folder = existing(args.out.as_deref().unwrap_or(&default));
        let mut feature_seconds = 0.0;
        let mut fit = |config: &mut TrainConfig| -> anyhow::Result<f64> {
            interrupt.check()?;
            announce(group, false, config, &data)?;
            let stop = interrupt.signal();
            let speed =
                match train::measure_in_group(group, config, &data, &device, stop, Some(folder))? {
                    Continue(speed) => speed,
                    Break(signal) => return Err(Interrupted(signal).into()),
                };
            feature_seconds = speed.start;
            let an_epoch = config.steps_per_epoch();
            let steps = speed.steps_within(budget, an_epoch);
            // After those that another program has trained.
            config.total_steps = steps + (config.first_epoch() - 1) * an_epoch;
            config.earlier_lengths.clear();
            overrides::freeze_within(&args.recipe, config);
            *planned_seconds = Some(speed.seconds(steps, an_epoch));
            Ok(config.total_steps as f64 / an_epoch as f64)
        };
        let epochs = fit(&mut config)?;
        // The recipe may follow its length.
        let mut planned = config::build(&settings, &start, &data, Some(epochs), cpu, global)?;
        planned.recipe.length = config.recipe.length;
        planned.total_steps = config.total_steps;
        overrides::freeze_within(&args.recipe, &mut planned);
        fit_batch(&mut planned, args, &data, &device, global)?;
        if planned.recipe != config.recipe {
            config = planned;
            fit(&mut config)?;
        }
        if args.recipe.fine_tuning.freeze_epochs.is_some() {
            // The length decides which part of the run is frozen, and that the length.
            for _ in 0..3 {
                let before = config.total_steps as f64;
                fit(&mut config)?;
                if (config.total_steps as f64 / before - 1.0).abs() < 0.02 {
                    break;
                }
            }
        }
        overrides::end_freeze(&args.recipe, &mut config)?;
        if feature_seconds >= budget.as_secs_f64() {
            global.note(format!(
                "what enters the classifier takes {} to compute, before the first step: nothing of --budget {} is \
                 left for training, so the run has one step. Give more time, or use fewer images (--limit-train)",
                print::clock(feature_seconds),
                humantime::format_duration(budget)
            ));
        }
    }
    interrupt.check()?;
    if !args.data.may_be_mirrored() && config.recipe.augment.flip == Flip::Never {
        global.note(format!(
            "the images of {} are not mirrored: a mirrored digit is none",
            args.data
        ));
    }
    check(&config, args)?;
    let run = RunFolder::create(place(args, &default), &config)?;
    // Other processes may take long to load theirs: a run that is killed meanwhile can be resumed.
    run.save_photos(&data).inspect_err(|_| run.abandon())?;
    Ok((run, data, device))
}

/// Checks the configuration of a new run.
pub(in crate::verbs) fn check(config: &TrainConfig, args: &TrainArgs) -> anyhow::Result<()> {
    config.check().map_err(|message| match args.start.config {
        // All settings are options, or follow from them.
        None => Usage(message).into(),
        Some(_) => RunError::Invalid(message).into(),
    })
}

/// The folder that is there already, in which a path is or will be.
pub(in crate::verbs) fn existing(path: &Path) -> &Path {
    path.ancestors().find(|path| path.is_dir()).unwrap_or(Path::new("."))
}

/// `--out`, or a new folder.
fn place<'a>(args: &'a TrainArgs, default: &'a Path) -> Place<'a> {
    args.out.as_deref().map_or(Place::Numbered(default), Place::Exactly)
}

/// The model that a new run starts from. Its architecture is `--arch`, else the file's.
fn starting_point(
    args: &TrainArgs,
    settings: &Settings,
    global: &Global,
) -> anyhow::Result<StartingPoint> {
    let start = &args.start;
    let known = settings.arch_is_known().then_some(args.arch);
    let weights = start.weights.weights.as_ref().map(ToString::to_string);
    let init = if start.resume.is_none() { weights::of_run(args, global) } else { None };
    let file = match (&start.resume, init) {
        (Some(file), _) => file.clone(),
        (None, Some(InitArg::Path(path))) => path,
        (None, Some(InitArg::Nothing)) => {
            check_weights(weights.as_deref(), None)?;
            return Ok(StartingPoint::random(args.arch));
        }
        (None, Some(InitArg::Published(published, _))) => {
            let arch = known.unwrap_or(published.arch());
            let published = Some(published);
            let normalisation = Some(Normalisation::imagenet());
            let start = StartingPoint::random(arch);
            return Ok(StartingPoint { published, weights, normalisation, ..start });
        }
        (None, None) => {
            let mut start = settings.starting_point();
            check_weights(weights.as_deref(), start.checkpoint.as_deref())?;
            start.weights = weights.or(start.weights);
            // The cache of published weights may be that of another machine.
            let is_there = start.checkpoint.as_ref().is_none_or(|file| file.exists());
            let published = start.checkpoint.as_deref().and_then(PublishedWeights::of_file);
            return Ok(StartingPoint { published: published.filter(|_| !is_there), ..start });
        }
    };
    let mut options = start.weights.options(known);
    if start.resume.is_some() && options.weights == Weights::Usual {
        // The optimizer's state is of the weights themselves, not of their average.
        options.weights = Weights::Model;
    }
    if start.resume.is_none() {
        weights::check_path(&file)?;
    }
    let model = match model::open(&file, &options, global) {
        Ok(model) => model,
        Err(error) if start.resume.is_none() => {
            // Without a head, or with another stem.
            let Ok(partial) = Partial::load(&runs::resolve(&file)?, &options) else {
                return Err(error);
            };
            let checkpoint = Some(file);
            return Ok(StartingPoint {
                checkpoint,
                weights,
                ..StartingPoint::random(partial.arch)
            });
        }
        Err(error) => return Err(error),
    };
    if start.resume.is_some() {
        // Before anything is downloaded.
        if let DataArg::Named(source) = args.data {
            let info = sets::info(source.name(), Path::new(""))?;
            model.check_fit(info.name, info.classes.len(), info.channels)?;
        }
    }
    let finished_epochs = start.resume.is_some().then(|| model.epochs.unwrap_or(0));
    Ok(StartingPoint {
        checkpoint: Some(model.path),
        weights,
        finished_epochs,
        normalisation: model.normalisation,
        ..StartingPoint::random(model.arch)
    })
}

/// Refuses `--weights` where there is no file that they could be in.
fn check_weights(weights: Option<&str>, file: Option<&Path>) -> Result<(), Usage> {
    if weights.is_some() && file.is_none() {
        let message = "--weights chooses between the weights of a file, and the run starts from none: name one \
                       with --init";
        return Err(Usage(message.into()));
    }
    Ok(())
}

/// Loads the data of a new run of a network. Photos stay on disk.
pub(in crate::verbs) fn load(
    args: &TrainArgs,
    arch: Arch,
    global: &Global,
    interrupt: &Interrupt,
) -> anyhow::Result<Parts> {
    let limits = Limits { train: args.images.limit_train, test: args.images.limit_test };
    match &args.data {
        DataArg::Named(source) => {
            if args.is_given("DATA") {
                data::note_folder(*source, global);
            }
            let set = data::load(*source, &args.data_dir, limits, global, interrupt)?;
            Ok(data::resized(set, args.images.image_size, global)?.into())
        }
        DataArg::Folder(root) => photo_folder::open(root, args, arch, global),
    }
}

/// `resnet20-cifar10-20261124-044826`, in UTC.
fn default_name(arch: Arch, args: &TrainArgs) -> String {
    let time = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    let time: String = time.chars().filter(char::is_ascii_digit).collect();
    let (date, time) = time.split_at(8);
    format!("{arch}-{}-{date}-{time}", args.data.in_a_name())
}

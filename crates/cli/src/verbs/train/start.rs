//! Starts a new run: its settings, its data, its folder.

use std::{path::Path, time::SystemTime};

use resnet::{
    Arch, Cpu,
    config::TrainConfig,
    data::{self as sets, Flip, Parts},
    model_file::{Partial, Weights},
    run::{Place, RunFolder},
    train,
};

use crate::{
    args::{DataArg, Global, TrainArgs},
    config::{self, Settings, StartingPoint},
    data::{self, Limits},
    interrupt::Interrupt,
    model, overrides,
    photo_folder::{self, RunPhotos},
    runs,
};

/// Starts a new run: loads its data, writes its configuration, creates its folder.
pub(in crate::verbs) fn start(
    args: &TrainArgs,
    cpu: &Cpu,
    global: &Global,
    interrupt: &Interrupt,
    planned_seconds: &mut Option<f64>,
) -> anyhow::Result<(RunFolder, Parts)> {
    let settings = Settings::new(args, global)?;
    let args = &settings.args;
    let start = starting_point(args, &settings, global)?;
    let default = runs::folder(&default_name(start.arch, args));
    let place = args.out.as_deref().map_or(Place::Numbered(&default), Place::Exactly);
    // Before anything slow.
    RunFolder::examine(place)?;
    let data = load(args, start.arch, global, interrupt)?;
    let mut config = config::build(&settings, &start, &data, None, cpu, global)?;
    if args.data.is_folder() {
        let kept = photo_folder::cache_memory(&args.images.reading, &config);
        config::fit_memory(&mut config, args, kept, cpu, global)?;
    }
    if let Some(budget) = args.recipe.budget {
        global.status(format!(
            "measuring the training speed to fit {}",
            humantime::format_duration(budget)
        ));
        let mut fit = |config: &mut TrainConfig| -> anyhow::Result<f64> {
            let (speed, an_epoch) = (train::measure(config, &data, cpu)?, config.steps_per_epoch());
            config.total_steps = speed.steps_within(budget, an_epoch);
            config.earlier_lengths.clear();
            overrides::end_freeze(&args.recipe, config)?;
            *planned_seconds = Some(speed.seconds(config.total_steps, an_epoch));
            Ok(config.total_steps as f64 / an_epoch as f64)
        };
        let epochs = fit(&mut config)?;
        // The recipe may follow its length.
        let mut planned = config::build(&settings, &start, &data, Some(epochs), cpu, global)?;
        planned.recipe.length = config.recipe.length;
        planned.total_steps = config.total_steps;
        overrides::end_freeze(&args.recipe, &mut planned)?;
        if args.data.is_folder() {
            let kept = photo_folder::cache_memory(&args.images.reading, &planned);
            config::fit_memory(&mut planned, args, kept, cpu, global)?;
        }
        if planned.recipe != config.recipe {
            config = planned;
            fit(&mut config)?;
        }
    }
    interrupt.check()?;
    if !args.data.may_be_mirrored() && config.recipe.augment.flip == Flip::Never {
        global.note(format!(
            "the images of {} are not mirrored: a mirrored digit is none",
            args.data
        ));
    }
    let run = RunFolder::create(place, &config)?;
    if let Some(photos) = RunPhotos::of(&run, &data) {
        photos.save().inspect_err(|_| run.abandon())?;
    }
    Ok((run, data))
}

/// The model that a new run starts from. Its architecture is `--arch`, else the file's.
fn starting_point(
    args: &TrainArgs,
    settings: &Settings,
    global: &Global,
) -> anyhow::Result<StartingPoint> {
    let start = &args.start;
    let Some(file) = start.resume.as_ref().or(start.init.as_ref()) else {
        return Ok(settings.starting_point());
    };
    let arch = settings.arch_is_known().then_some(args.arch);
    let mut options = start.weights.options(arch);
    if start.resume.is_some() && options.weights == Weights::Usual {
        // The optimizer's state is of the weights themselves, not of their average.
        options.weights = Weights::Model;
    }
    let weights = start.weights.weights.as_ref().map(ToString::to_string);
    let model = match model::open(file, &options, global) {
        Ok(model) => model,
        Err(error) if start.init.is_some() => {
            // Without a head, or with another stem.
            let Ok(partial) = Partial::load(&runs::resolve(file)?, &options) else {
                return Err(error);
            };
            let checkpoint = Some(file.clone());
            return Ok(StartingPoint {
                arch: partial.arch,
                checkpoint,
                weights,
                finished_epochs: None,
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
    Ok(StartingPoint { arch: model.arch, checkpoint: Some(model.path), weights, finished_epochs })
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

//! `resnet train`: starts or resumes a run.

use std::{
    path::Path,
    process::ExitCode,
    time::{Instant, SystemTime},
};

use anyhow::Context;
use resnet::{
    Arch, Cpu,
    config::{DataConfig, TrainConfig},
    data::{self as sets, DataSource, Flip, Parts},
    model_file::{Partial, Weights},
    run::{CONFIG, Place, RunFolder},
    train::{self, EpochMetrics, Event, Log, Outcome, RunInfo, TensorBoard},
};
use resnet_formats::{Shown, quoted_path};

use crate::{
    args::{DataArg, DataDir, Global, TrainArgs},
    config::{self, Settings, StartingPoint},
    data::{self, Limits},
    error::Usage,
    interrupt::{Interrupt, Interrupted},
    model,
    photo_folder::{self, RunPhotos},
    print,
    progress::Progress,
    runs,
};

pub(crate) fn run(args: &TrainArgs, global: &Global) -> anyhow::Result<ExitCode> {
    let cpu = global.cpu()?;
    let interrupt = Interrupt::catch().context("cannot catch Ctrl-C")?;
    // Seconds of training that a --budget planned.
    let mut planned = None;
    let (folder, data, note) = match &args.start.resume {
        Some(target) if !is_standalone_checkpoint(target) => {
            resume(args, target, global, &interrupt)?
        }
        _ => {
            let (folder, data) = start(args, &cpu, global, &interrupt, &mut planned)?;
            (folder, data, None)
        }
    };
    let mut log = Log::open(folder.path()).inspect_err(|_| folder.abandon())?;
    if let Some(note) = note {
        log.write(&Event::Note(note.clone()));
        global.note(note);
    }
    let mut info = Some(RunInfo::open(folder.path()).unwrap_or_else(|error| {
        let note = format!("{error}: writing a new one");
        log.write(&Event::Note(note.clone()));
        global.note(note);
        RunInfo::empty(folder.path())
    }));
    // Once they are known.
    let mut names = RunPhotos::of(&folder, &data).filter(|photos| !photos.are_read());
    let mut board = args.tensorboard.then(|| TensorBoard::new(&folder));
    let mut progress = Progress::new(args, global, &interrupt);
    let (mut printed, mut lines) = (Ok(()), 0);
    let began = Instant::now();
    let outcome = train::train(&folder, data, &cpu, interrupt.signal(), &mut |event| {
        log.write(event);
        progress.show(event);
        let mut note = |text: String| {
            let note = Event::Note(text);
            log.write(&note);
            progress.show(&note);
        };
        if let Some(Err(error)) = info.as_mut().map(|info| info.write(event)) {
            note(format!("{error}: it is no longer updated"));
            info = None;
        }
        if let Some(Err(error)) = board.as_mut().map(|board| board.write(event)) {
            note(format!("{error}: no more TensorBoard events are written"));
            board = None;
        }
        if let Event::EpochEnd { .. } = event
            && let Some(Err(error)) = names.take().map(|photos| photos.save())
        {
            note(format!("{error:#}: photos that change before --resume are not named"));
        }
        if let Event::EpochEnd { metrics, .. } = event
            && args.output.json
            && printed.is_ok()
        {
            printed = print::json(metrics);
            lines += 1;
        }
    });
    drop(progress);
    match outcome? {
        Outcome::Finished(last) => {
            printed?;
            if let Some(planned) = planned {
                let note = drift(planned, began.elapsed().as_secs_f64());
                log.write(&Event::Note(note.clone()));
                global.status(note);
            }
            if args.output.json && lines == 0 {
                // The run was complete already.
                print::json(&last)?;
            } else if !args.output.json {
                print::line(result(&last, began, folder.path()))?;
            }
            Ok(ExitCode::SUCCESS)
        }
        Outcome::Interrupted(signal) => {
            global.status(format!(
                "stopped, and the run is saved. Resume it with:\n  resnet train --resume {}",
                quoted_path(folder.path())
            ));
            Ok(Interrupted(signal).exit_code())
        }
    }
}

/// Whether this is a checkpoint outside a run folder: it is resumed in a new run.
fn is_standalone_checkpoint(target: &Path) -> bool {
    target.is_file() && !target.with_file_name(CONFIG).is_file()
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
pub(super) fn load(
    args: &TrainArgs,
    arch: Arch,
    global: &Global,
    interrupt: &Interrupt,
) -> anyhow::Result<Parts> {
    let limits = Limits { train: args.images.limit_train, test: args.images.limit_test };
    match &args.data {
        DataArg::Named(source) => {
            Ok(data::load(*source, &args.data_dir, limits, global, interrupt)?.into())
        }
        DataArg::Folder(root) => photo_folder::open(root, args, arch, global),
    }
}

/// Starts a new run: loads its data, writes its configuration, creates its folder.
fn start(
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
    let kept = |config: &TrainConfig| {
        let DataConfig { train_images, validation, image_size, .. } = config.data;
        let photos = train_images.saturating_add(validation);
        photo_folder::cache_memory(&args.images.reading, photos, image_size)
    };
    if args.data.is_folder() {
        let kept = kept(&config);
        config::fit_memory(&mut config, args, kept, cpu, global)?;
        if start.checkpoint.is_none() {
            global.note("the weights start at random; --init FILE starts from those of a model");
        }
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
            *planned_seconds = Some(speed.seconds(config.total_steps, an_epoch));
            Ok(config.total_steps as f64 / an_epoch as f64)
        };
        let epochs = fit(&mut config)?;
        // The recipe may follow its length.
        let mut planned = config::build(&settings, &start, &data, Some(epochs), cpu, global)?;
        planned.recipe.length = config.recipe.length;
        if args.data.is_folder() {
            let kept = kept(&planned);
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

/// Resumes a run: loads its configuration and its data. With `--epochs` it gets another length, and
/// there may be a note about it.
fn resume(
    args: &TrainArgs,
    target: &Path,
    global: &Global,
    interrupt: &Interrupt,
) -> anyhow::Result<(RunFolder, Parts, Option<String>)> {
    let others: Vec<&str> =
        args.given.iter().map(String::as_str).filter(|&given| given != "--epochs").collect();
    if !others.is_empty() {
        return Err(Usage(format!(
            "--resume cannot be used with {}: a resumed run keeps its own settings, and only --epochs \
             changes its length. For other settings start a new run from its weights: --init {}",
            others.join(", "),
            quoted_path(target)
        ))
        .into());
    }
    let mut folder = RunFolder::resume(&runs::resolve(target)?)?;
    let config = &folder.config().data;
    if config.photos.is_some() {
        let reading = &args.images.reading;
        let data = photo_folder::of_run(folder.path(), folder.config(), reading, global)?;
        let note = new_length(args, &mut folder)?;
        return Ok((folder, data, note));
    }
    let data_dir = DataDir { path: args.data_dir.path.clone(), from_run: config.dir.clone() };
    let limits = Limits { train: config.limit_train, test: config.limit_test };
    let source: DataSource = config.name.parse()?;
    // Before anything is downloaded.
    let classes = sets::info(source.name(), Path::new(""))?.classes;
    train::check_classes(folder.config(), &classes)?;
    let data = data::load(source, &data_dir, limits, global, interrupt)?;
    let note = new_length(args, &mut folder)?;
    Ok((folder, data.into(), note))
}

/// Gives a run that is resumed the length of `--epochs`.
fn new_length(args: &TrainArgs, folder: &mut RunFolder) -> anyhow::Result<Option<String>> {
    let epochs = args.recipe.epochs.map(|epochs| epochs as u64);
    Ok(epochs.map(|epochs| train::set_epochs(folder, epochs)).transpose()?.flatten())
}

/// `resnet20-cifar10-20261124-044826`, in UTC.
fn default_name(arch: Arch, args: &TrainArgs) -> String {
    let time = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    let time: String = time.chars().filter(char::is_ascii_digit).collect();
    let (date, time) = time.split_at(8);
    let data = match &args.data {
        DataArg::Named(source) => source.name().to_owned(),
        DataArg::Folder(root) => {
            let root = root.canonicalize().unwrap_or_else(|_| root.clone());
            let name = root.file_name().unwrap_or_default().to_string_lossy();
            name.chars().map(|c| if c.is_alphanumeric() { c } else { '-' }).take(40).collect()
        }
    };
    format!("{arch}-{data}-{date}-{time}")
}

/// How the time of a run compares with the plan of its --budget.
fn drift(planned: f64, took: f64) -> String {
    let change = 100.0 * (took / planned - 1.0);
    let speed = if change > 0.0 { "slower" } else { "faster" };
    format!(
        "planned {}, took {}: the machine was {:.1}% {speed} than when its speed was measured",
        print::clock(planned),
        print::clock(took),
        change.abs()
    )
}

/// The last line: accuracy, time and folder.
fn result(last: &EpochMetrics, began: Instant, folder: &Path) -> String {
    let accuracy = last
        .held_out()
        .map_or(String::new(), |(name, _, accuracy)| format!("{name} accuracy {accuracy:.2}% "));
    let took = print::clock(began.elapsed().as_secs_f64());
    format!("{accuracy}in {took}, saved in {}", folder.shown())
}

//! `resnet experiment responses --model`: responses of given models.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use resnet::{
    Arch,
    data::{CacheOptions, ImageSet, Normalisation, PhotoOptions, Photos, mark_output, resize_for},
    experiment::{Experiment, PlannedRun, is_experiment},
    model_file::Model,
    run::CONFIG,
};
use resnet_formats::{Shown, create_numbered};
use serde::Serialize;

use super::{net_responses::NetResponses, responses};
use crate::{
    args::{DataArg, ExperimentArgs, Global},
    config,
    data::{self, Limits},
    error::Usage,
    evaluation::{self, TrainingData},
    interrupt::Interrupt,
    model, photo_folder,
    photos::json_name,
    print, runs,
};

/// The output of `--json`.
#[derive(Serialize)]
struct Record<'a> {
    experiment: &'static str,
    data: String,
    folder: String,
    responses: &'a [NetResponses],
}

/// Measures the models of `--model`, prints a table and draws them.
pub(super) fn run(args: &ExperimentArgs, global: &Global) -> anyhow::Result<()> {
    for (option, is_given) in [
        ("--depths", !args.depths.is_empty()),
        ("--nets", !args.nets.is_empty()),
        ("--epochs", args.epochs.is_some()),
        ("--budget", args.budget.is_some()),
        ("--batch-size", args.batch_size.is_some()),
        ("--dtype", args.dtype.is_some()),
        ("--seeds", args.seeds != 1),
        ("--validation", args.images.validation.is_some()),
        ("--limit-train", args.images.limit_train.is_some()),
        ("--mean-image", args.images.mean_image),
    ] {
        if is_given {
            let message = format!("{option} is for training: leave it out with --model");
            return Err(Usage(message).into());
        }
    }
    let interrupt = Interrupt::catch().context("cannot catch Ctrl-C")?;
    let mut named = Vec::new();
    for path in &args.models {
        named.extend(models(path)?);
    }
    let first = model::open(&named[0].1, &Default::default(), global)?;
    let of_run = match &args.data {
        Some(_) => None,
        None => Some(evaluation::training_data(&first)?),
    };
    let data = match (&args.data, &of_run) {
        (Some(data), _) => data.clone(),
        (None, Some(TrainingData::Named(source, _))) => DataArg::Named(*source),
        (None, Some(TrainingData::Photos(root, ..))) => DataArg::Folder(root.into()),
        (None, None) => unreachable!("one of them was asked for"),
    };
    let (mut found, mut first) = (Vec::new(), Some(first));
    for (name, path) in &named {
        interrupt.check()?;
        let model = match first.take() {
            Some(first) => first,
            None => model::open(path, &Default::default(), global)?,
        };
        let name = name.clone().unwrap_or_else(|| model.arch.to_string());
        let (images, normalisation) =
            images(&model, (&data, of_run.as_ref()), args, global, &interrupt)?;
        let (arch, network) = (model.arch.to_string(), &model.network);
        found.push(responses::of_net(
            &name,
            &arch,
            network,
            &images,
            &normalisation,
            global,
            &interrupt,
        )?);
    }
    make_distinct(&mut found, &named);
    let default = runs::folder(&format!("experiment-responses-{}", data.in_a_name()));
    let folder = make_folder(args.out.as_deref(), &default)?;
    responses::write(&folder, &found, &format!("Responses of layers on {}", data.in_a_name()))?;
    if args.output.json {
        return print::json(&Record {
            experiment: "responses",
            data: match &data {
                DataArg::Named(source) => source.to_string(),
                DataArg::Folder(root) => json_name(root),
            },
            folder: json_name(&folder),
            responses: &found,
        });
    }
    print::line(format!("{}\n\nsaved in {}", responses::table(&found), folder.shown()))?;
    Ok(())
}

/// The models of a path, by name: one, or those of an experiment with seed 0.
fn models(path: &Path) -> anyhow::Result<Vec<(Option<String>, PathBuf)>> {
    if !is_experiment(path) {
        return Ok(vec![(None, path.to_owned())]);
    }
    let mut found = Vec::new();
    for name in Experiment::read(path)?.nets {
        let net = name.parse::<Arch>().with_context(|| format!("{}: its nets", path.shown()))?;
        let run = path.join(PlannedRun { net, seed: 0 }.folder());
        if run.join(CONFIG).is_file() {
            found.push((Some(name), run));
        }
    }
    if found.is_empty() {
        bail!("{}: none of the experiment's runs has begun", path.shown());
    }
    Ok(found)
}

/// The images to measure a model on: those to test on, in the size that the model states; of the run of the
/// first model, where no data were named.
fn images(
    model: &Model,
    (data, of_run): (&DataArg, Option<&TrainingData>),
    args: &ExperimentArgs,
    global: &Global,
    interrupt: &Interrupt,
) -> anyhow::Result<(ImageSet, Normalisation)> {
    let given = config::given_normalisation_of(args.images.normalisation, &model.network)?;
    let known = given.or(model.normalisation.clone());
    match data {
        DataArg::Named(source) => {
            let limits = Limits { train: Some(1), test: args.images.limit_test };
            let of_run = match of_run {
                Some(TrainingData::Named(_, folder)) => folder.clone(),
                _ => None,
            };
            let folder = args.data_dir.or_of_run(of_run);
            let set = data::load(*source, &folder, limits, global, interrupt)?;
            model.check_fit(&set.name, set.classes.len(), set.test.channels)?;
            let stated = Some(model.image_size).filter(|_| model.states_image_size);
            let set = data::resized(set, args.images.image_size.or(stated), global)?;
            Ok((ImageSet::Memory(set.test), known.unwrap_or(set.normalisation)))
        }
        DataArg::Folder(root) => {
            let (mut list, classes) = match of_run {
                Some(TrainingData::Photos(_, list, _, classes)) => (list.clone(), classes.clone()),
                _ => {
                    let labels = args.images.labels.as_deref();
                    let (list, _, classes) =
                        photo_folder::to_evaluate(root, labels, model, global)?;
                    (list, classes)
                }
            };
            let channels = model.network.graph().in_channels();
            model.check_fit(&root.to_string_lossy(), classes.len(), channels)?;
            photo_folder::limit_test_photos(&mut list, args.images.limit_test, 0);
            let imagenet = || Normalisation::imagenet().for_channels(channels);
            let normalisation = known.unwrap_or_else(imagenet);
            let mut preparation = model.preparation(&normalisation).with_context(|| {
                format!("{} takes neither grey nor colour images", model.path.shown())
            })?;
            if let Some(side) = args.images.image_size {
                preparation.image_size = side;
                preparation.resize = Some(resize_for(side));
            }
            let options = PhotoOptions { workers: global.cpu_threads(), cache: CacheOptions::None };
            Ok((ImageSet::Photos(Photos::new(list, preparation, options)), normalisation))
        }
    }
}

/// Adds the path to names that occur twice.
fn make_distinct(found: &mut [NetResponses], named: &[(Option<String>, PathBuf)]) {
    let names: Vec<String> = found.iter().map(|net| net.name.clone()).collect();
    for (net, (_, path)) in found.iter_mut().zip(named) {
        if names.iter().filter(|name| **name == net.name).count() > 1 {
            net.name = format!("{} ({})", net.name, path.shown());
        }
    }
}

/// Creates `--out`, or a new folder of the default name. A new folder is marked, since it may be in a folder of photos.
fn make_folder(out: Option<&Path>, default: &Path) -> anyhow::Result<PathBuf> {
    let create = |folder: &Path| fs::create_dir(folder).and_then(|()| mark_output(folder));
    let made = match out {
        Some(out) if out.is_dir() => Ok(out.to_owned()),
        Some(out) => {
            fs::create_dir_all(out).and_then(|()| mark_output(out)).map(|()| out.to_owned())
        }
        None => fs::create_dir_all(default.parent().unwrap_or(Path::new("")))
            .and_then(|()| create_numbered(default, "", create))
            .map(|(folder, ())| folder),
    };
    let name = out.unwrap_or(default);
    made.with_context(|| format!("cannot make the folder {} (--out)", name.shown()))
}

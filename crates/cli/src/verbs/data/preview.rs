//! `resnet data preview`: what a network gets to see in training.

use std::path::Path;

use anyhow::Context;
use resnet::{config::TrainConfig, train};
use resnet_formats::Shown;
use resnet_pictures::{Picture, Theme, labelled};
use serde::Serialize;

use crate::{
    args::{Cli, Global, PreviewArgs, TrainArgs},
    config::{self, Settings},
    error::Usage,
    interrupt::Interrupt,
    photos::json_name,
    pictures, print,
    verbs::train::{check, load},
};

/// The output of `--json`.
#[derive(Serialize)]
struct Record<'a> {
    file: String,
    images: usize,
    height: usize,
    width: usize,
    labels: &'a [String],
}

pub(crate) fn run(args: &PreviewArgs, global: &Global) -> anyhow::Result<()> {
    pictures::is_svg(args.out.as_deref())?;
    let cpu = global.cpu()?;
    let interrupt = Interrupt::catch().context("cannot catch Ctrl-C")?;
    let settings = Settings::new(&as_train(args), global)?;
    let start = settings.starting_point();
    let data = load(&settings.args, start.arch, global, &interrupt)?;
    interrupt.check()?;
    interrupt.release();
    let config = config::build(&settings, &start, &data, None, &cpu, global)?;
    check(&config, &settings.args)?;
    let classes = data.classes.clone();
    if args.epoch as u64 > config.epochs() {
        let message = format!("--epoch {}: the run has {}", args.epoch, config.epochs());
        return Err(Usage(message).into());
    }
    let seen = train::preview(&config, data, args.epoch as u64, args.count)?;
    seen.notes.iter().for_each(|note| global.note(note));
    let label = |shares: &Vec<(u32, f32)>| -> String {
        let name = |class: u32| classes[class as usize].clone();
        match shares[..] {
            [(class, _)] => name(class),
            _ => {
                let parts = shares
                    .iter()
                    .map(|&(class, share)| format!("{:.0}% {}", 100.0 * share, name(class)));
                parts.collect::<Vec<_>>().join(", ")
            }
        }
    };
    let labels: Vec<String> = seen.classes.iter().map(label).collect();
    let len = seen.pixels.len().checked_div(labels.len()).unwrap_or(1).max(1);
    let channels = len / (seen.height * seen.width).max(1);
    let picture = |pixels| Picture::from_channels(seen.width, seen.height, channels, pixels);
    let images: Vec<_> = seen.pixels.chunks(len).map(picture).zip(labels.clone()).collect();
    let title = title(&config, args.epoch, images.len(), [seen.width, seen.height]);
    let draw = |theme: &Theme| labelled(&images, (&*title.0, &*title.1), theme);
    let path = pictures::write_one(args.out.as_deref(), "preview", draw)?;
    match args.output.json {
        true => print::json(&Record {
            file: json_name(&path),
            images: images.len(),
            height: seen.height,
            width: seen.width,
            labels: &labels,
        })?,
        false => print::line(path.shown().to_string())?,
    }
    if args.open {
        open::that_detached(&path).with_context(|| format!("cannot open {}", path.shown()))?;
    }
    Ok(())
}

/// The arguments of `resnet train` for the run that is meant.
fn as_train(args: &PreviewArgs) -> TrainArgs {
    let mut train = Cli::train();
    let mut given = |name: &str| train.given.push(name.to_owned());
    if let Some(data) = &args.data {
        given("DATA");
        train.data = data.clone();
    }
    if let Some(arch) = args.arch {
        given("--arch");
        train.arch = arch;
    }
    if let Some(seed) = args.seed {
        given("--seed");
        train.recipe.seed = seed;
    }
    if args.images.validation.is_some() {
        given("--validation");
    }
    if args.images.limit_train.is_some() {
        given("--limit-train");
    }
    train.start.config.clone_from(&args.config);
    train.recipe.augmentation = args.augmentation.clone();
    train.images = args.images.clone();
    train.data_dir = args.data_dir.clone();
    train
}

fn title(
    config: &TrainConfig,
    epoch: usize,
    images: usize,
    [width, height]: [usize; 2],
) -> (String, String) {
    let data = Path::new(Path::new(&config.data.name).file_name().unwrap_or_default());
    let headline = format!("What {} sees", config.arch);
    let detail = format!(
        "{}: the first {images} images of epoch {epoch}, {width}x{height} pixels, recipe {}, seed {}",
        data.shown(),
        config.recipe.name,
        config.seed
    );
    (headline, detail)
}

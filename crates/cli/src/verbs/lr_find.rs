//! `resnet lr-find`: the learning rate range test.

use std::path::Path;

use anyhow::Context;
use resnet::{
    config::TrainConfig,
    train::{self, LrCurve, LrRange},
};
use resnet_formats::Shown;
use resnet_pictures::{Axis, Curve, Stroke, Theme, curves};
use serde::Serialize;

use crate::{
    args::{Cli, Global, LrFindArgs, TrainArgs},
    delayed_progress::DelayedProgress,
    error::Usage,
    interrupt::Interrupt,
    photos::json_name,
    pictures, print,
    table::{Align::Right, table},
    verbs::train::{NewRun, check, configure},
};

/// The output of `--json`.
#[derive(Serialize)]
struct Record<'a> {
    arch: String,
    data: &'a str,
    recipe: &'a str,
    batch_size: usize,
    seed: u64,
    #[serde(flatten)]
    curve: &'a LrCurve,
    file: String,
}

pub(crate) fn run(args: &LrFindArgs, global: &Global) -> anyhow::Result<()> {
    let range = LrRange { start: args.from, end: args.to, steps: args.steps as u64 };
    if range.start >= range.end {
        return Err(Usage(format!("--from {} is not below --to {}", range.start, range.end)).into());
    }
    let others = [
        ("--resume", args.start.resume.is_some()),
        ("--lr", args.recipe.optimizer.lr.is_some()),
        ("--budget", args.recipe.budget.is_some()),
    ];
    if let Some((option, _)) = others.into_iter().find(|&(_, is_given)| is_given) {
        let message = "lr-find tries learning rates in the first steps of a new run";
        return Err(Usage(format!("{message}: leave out {option}")).into());
    }
    pictures::is_svg(args.out.as_deref())?;
    let interrupt = Interrupt::catch().context("cannot catch Ctrl-C")?;
    let of_run = as_train(args);
    let NewRun { data, config, device, .. } =
        configure(&of_run, global, &interrupt, 1, |_, _| Ok(()))?;
    check(&config, &of_run)?;
    let activity = "trying learning rates";
    let progress = DelayedProgress::counting("steps", activity, args.steps, global.quiet);
    let mut listen = |step: u64| progress.set(step as usize);
    let curve = train::lr_find(&config, data, range, &device, interrupt.signal(), &mut listen);
    progress.clear();
    interrupt.check()?;
    let curve = curve?;
    curve.notes.iter().for_each(|note| global.note(note));
    let draw = |theme: &Theme| draw(&config, &curve, theme);
    let path = pictures::write_one(args.out.as_deref(), "lr-find", draw)?;
    if args.output.json {
        print::json(&Record {
            arch: config.arch.to_string(),
            data: &config.data.name,
            recipe: &config.recipe.name,
            batch_size: config.recipe.batch_size,
            seed: config.seed,
            curve: &curve,
            file: json_name(&path),
        })?;
    } else {
        show(&curve, &config, &path)?;
    }
    if args.open {
        open::that_detached(&path).with_context(|| format!("cannot open {}", path.shown()))?;
    }
    Ok(())
}

/// The arguments of `resnet train` for the run whose first steps are done.
fn as_train(args: &LrFindArgs) -> TrainArgs {
    let mut train = Cli::train();
    train.data = args.data.clone();
    train.arch = args.arch;
    train.start = args.start.clone();
    train.recipe = args.recipe.clone();
    train.images = args.images.clone();
    train.data_dir = args.data_dir.clone();
    train.given.clone_from(&args.given);
    train
}

fn show(curve: &LrCurve, config: &TrainConfig, file: &Path) -> anyhow::Result<()> {
    let headers = [("learning rate", Right), ("loss", Right), ("smoothed", Right)];
    let rows = curve.points.iter().map(|point| {
        let losses = [point.loss, point.smoothed_loss].map(|loss| format!("{loss:.4}"));
        [&[rate(point.learning_rate)], &losses[..]].concat()
    });
    print::line(table(&headers, rows))?;
    let end = if curve.diverged { "the loss diverged" } else { "all steps were done" };
    print::line(format!("\n{end}; the recipe's learning rate is {}", rate(config.recipe.lr)))?;
    for (name, suggested) in [("valley", curve.valley), ("steepest", curve.steepest)] {
        let suggested = suggested.map_or_else(|| "none, too few steps".to_owned(), rate);
        print::line(format!("{name:<10}{suggested}"))?;
    }
    print::line(format!("wrote {}", file.shown()))?;
    Ok(())
}

/// Two digits say enough.
fn rate(lr: f64) -> String {
    format!("{lr:.1e}")
}

fn draw(config: &TrainConfig, curve: &LrCurve, theme: &Theme) -> String {
    let points = |loss: fn(&train::LrPoint) -> f64| -> Vec<[f64; 2]> {
        curve.points.iter().map(|point| [point.learning_rate, loss(point)]).collect()
    };
    let smoothed = points(|point| point.smoothed_loss);
    let losses = points(|point| point.loss);
    let finite = |points: &[[f64; 2]]| -> Vec<f64> {
        points.iter().map(|point| point[1]).filter(|loss| loss.is_finite()).collect()
    };
    // A single high loss does not hide the rest.
    let most = finite(&smoothed).into_iter().fold(0.0, f64::max);
    let least = finite(&losses).into_iter().fold(most, f64::min);
    let room = 0.1 * (most - least).max(1e-3);
    let range = [least - room, most + room];
    let curve_of = |label: &str, points, stroke, colour| Curve {
        label: label.to_owned(),
        points,
        stroke,
        colour,
    };
    let mut drawn = vec![
        curve_of("loss", losses, Stroke::Thin, 4),
        curve_of("smoothed", smoothed, Stroke::Bold, 0),
    ];
    // Labels at different heights.
    for (name, lr, below, colour) in
        [("valley", curve.valley, 0.02, 2), ("steepest", curve.steepest, 0.08, 1)]
    {
        drawn.extend(lr.map(|lr| {
            let top = range[1] - below * (range[1] - range[0]);
            let label = format!("{name} {}", rate(lr));
            curve_of(&label, vec![[lr, range[0]], [lr, top]], Stroke::Dashed, colour)
        }));
    }
    let x = Axis { label: "learning rate".into(), logarithmic: true, ..Axis::default() };
    let y = Axis { label: "loss".into(), range: Some(range), ..Axis::default() };
    let name = Path::new(Path::new(&config.data.name).file_name().unwrap_or_default());
    let detail = format!(
        "{} on {}: recipe {}, batches of {}, seed {}",
        config.arch,
        name.shown(),
        config.recipe.name,
        config.recipe.batch_size,
        config.seed
    );
    curves(&drawn, [&x, &y], ("Loss by learning rate", &*detail), theme)
}

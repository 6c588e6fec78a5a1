//! `resnet show`: draws predictions, confusion matrix, mistakes, filters and class activation maps.

use std::path::PathBuf;

use anyhow::Context;
use resnet::{
    cam::ActivationMaps,
    data::{ImageSet, photo::prepare_images},
    engine::Input,
    random::{Purpose, Random},
};
use resnet_formats::{Shown, printable};
use resnet_pictures::{Cell, HeatMap, Theme, cam, confusion, filters, grid, report::Part};
use serde::Serialize;

use crate::{
    args::{Global, ResizingArgs, ShowArgs},
    evaluation::{self, Beside, Evaluated},
    pictures::{self, cell, model_on_data},
    print,
    table::{
        Align::{Left, Right},
        table,
    },
};

/// Maximum number of class activation maps.
const MAPS: usize = 16;

pub(crate) fn run(args: &ShowArgs, global: &Global) -> anyhow::Result<()> {
    let evaluated =
        evaluation::evaluate(&args.evaluation, ResizingArgs::default(), Beside::default(), global)?;
    let classes = evaluated.model.class_names();
    let shown = chosen(evaluated.predictions.len(), args.count, args.seed);
    let cells: Vec<Cell> = shown.iter().map(|&i| cell(&evaluated, &classes, i)).collect();
    let heat = if args.cam { Some(maps(args, global, &evaluated, &shown)?) } else { None };
    let draw = |theme: &Theme| draw(args, &evaluated, &classes, &cells, heat.as_deref(), theme);
    // All pictures are drawn before the first is written.
    let drawn = pictures::encode(args.format, draw)?;
    let folder = pictures::make_folder(args.out.as_deref(), &evaluated.model.path, "pictures")?;
    let files = pictures::write(&folder, drawn)?;
    let report = Report::new(&evaluated, &shown, cells, &files);
    if args.output.json {
        print::json(&report)?
    } else {
        report.print()?
    }
    if args.open {
        let first = &files[0];
        open::that_detached(first).with_context(|| format!("cannot open {}", first.shown()))?;
    }
    Ok(())
}

/// Indices of the images to show: the first `count`, or random ones.
fn chosen(images: usize, count: usize, seed: Option<u64>) -> Vec<usize> {
    let mut order: Vec<usize> = (0..images).collect();
    if let Some(seed) = seed {
        Random::new(seed, Purpose::Show, &[]).shuffle(&mut order);
    }
    order.truncate(count);
    order
}

/// The SVG pictures, each with the stem of its file name.
fn draw(
    args: &ShowArgs,
    evaluated: &Evaluated,
    classes: &[String],
    cells: &[Cell],
    heat: Option<&[HeatMap]>,
    theme: &Theme,
) -> Vec<(&'static str, String)> {
    let Evaluated { model, data, part, result, predictions, .. } = evaluated;
    let (what, part) = (model_on_data(model, data), part.word());
    let images = print::grouped(result.images);
    let accuracy = format!("{:.2}%", result.accuracy);

    let correct = cells.iter().filter(|cell| cell.correct).count();
    let which = match args.seed {
        Some(seed) => format!("{} random {part}images (seed {seed})", cells.len()),
        None => format!("the first {} {part}images", cells.len()),
    };
    let headline = format!("{correct} of {} correct", cells.len());
    let detail = format!("{what}: {which}. Accuracy on all {images}: {accuracy}");
    let predictions_svg = grid(cells, (&*headline, &*detail), theme);

    let headline = format!("Confusion matrix, {accuracy} accuracy");
    let detail = format!("{what}, {images} {part}images");
    let counts = pictures::confusion(evaluated);
    let confusion_svg = confusion(&counts, classes, (&*headline, &*detail), theme);

    let wrong = predictions.mistakes(evaluated.images.labels());
    let worst: Vec<Cell> =
        wrong.iter().take(args.count).map(|&i| cell(evaluated, classes, i)).collect();
    let (headline, detail) = match worst.len() {
        0 => ("No mistakes".into(), format!("{what}: all {images} {part}images are correct")),
        n => (
            "Most confident mistakes".to_owned(),
            format!(
                "{what}: {n} of {} mistakes on {images} {part}images",
                print::grouped(wrong.len())
            ),
        ),
    };
    let mistakes_svg = grid(&worst, (&*headline, &*detail), theme);

    let (weights, shape) = pictures::first_layer(&model.network);
    let headline = format!("{} filters of {}x{}", shape[0], shape[2], shape[3]);
    let detail = format!("{what}: weights of the first convolution");
    let filters_svg = filters(&weights, shape, (&*headline, &*detail), theme);

    let mut drawn = vec![
        ("predictions", predictions_svg),
        ("confusion", confusion_svg),
        ("mistakes", mistakes_svg),
        ("filters", filters_svg),
    ];
    if let Some(heat) = heat {
        let pairs: Vec<_> = cells.iter().cloned().zip(heat.iter().cloned()).collect();
        let detail = format!("{what}: each image, and the heat map of its predicted class");
        drawn.push(("cam", cam(&pairs, ("Class activation maps", &*detail), theme)));
    }
    drawn
}

/// Class activation maps of the first images, for their predicted classes.
fn maps(
    args: &ShowArgs,
    global: &Global,
    evaluated: &Evaluated,
    shown: &[usize],
) -> anyhow::Result<Vec<HeatMap>> {
    let Evaluated { model, images, normalisation, preparation, predictions, .. } = evaluated;
    let shown = &shown[..shown.len().min(MAPS)];
    let (dtype, batch, cpu) = (args.evaluation.model.dtype.into(), shown.len(), global.cpu()?);
    let [mut height, mut width, _] = images.size();
    let mut pixels: Vec<u8> = shown.iter().flat_map(|&i| images.image(i).into_owned()).collect();
    if let (ImageSet::Memory(images), Some(preparation)) = (images, *preparation) {
        (height, width) = (preparation.image_size, preparation.image_size);
        pixels = prepare_images(images, &pixels, preparation, cpu.threads())?;
    }
    let mut plan = ActivationMaps::new(&model.network, dtype, batch, height, width, &cpu)?;
    plan.forward(Input::Bytes(&pixels, normalisation), batch);
    let heat = |(place, &image)| {
        let map = plan.map(place, predictions.class(image));
        HeatMap { rows: map.rows, columns: map.columns, values: map.values }
    };
    Ok(shown.iter().enumerate().map(heat).collect())
}

/// The output of `resnet show --json`.
#[derive(Serialize)]
struct Report<'a> {
    arch: String,
    data: &'a str,
    /// All images of the part.
    images: usize,
    #[serde(skip)]
    part: Part,
    accuracy: f64,
    shown: usize,
    right: usize,
    predictions: Vec<Prediction>,
    files: Vec<String>,
}

#[derive(Serialize)]
struct Prediction {
    /// Index in the data set, from 0.
    image: usize,
    predicted: String,
    #[serde(rename = "true")]
    truth: String,
    correct: bool,
    probability: f32,
}

impl<'a> Report<'a> {
    fn new(evaluated: &'a Evaluated, shown: &[usize], cells: Vec<Cell>, files: &[PathBuf]) -> Self {
        let Evaluated { model, data, result, predictions, .. } = evaluated;
        let prediction = |(&image, cell): (&usize, Cell)| Prediction {
            image,
            predicted: cell.predicted,
            truth: cell.truth,
            correct: cell.correct,
            probability: predictions.confidence(image),
        };
        Report {
            arch: model.arch.to_string(),
            data,
            images: result.images,
            part: evaluated.part,
            accuracy: result.accuracy,
            shown: cells.len(),
            right: cells.iter().filter(|cell| cell.correct).count(),
            predictions: shown.iter().zip(cells).map(prediction).collect(),
            files: files.iter().map(|file| file.to_string_lossy().into_owned()).collect(),
        }
    }

    fn print(&self) -> anyhow::Result<()> {
        let rows = self.predictions.iter().map(|p| {
            let mark = if p.correct { "✓" } else { "✗" };
            let probability = format!("{:.1}%", 100.0 * p.probability);
            vec![
                p.image.to_string(),
                mark.into(),
                p.predicted.clone(),
                probability,
                p.truth.clone(),
            ]
        });
        let headers =
            [("image", Right), ("", Left), ("predicted", Left), ("", Right), ("true", Left)];
        print::line(table(&headers, rows))?;
        print::line(format!(
            "\n{} of {} correct; accuracy on all {} {}images: {:.2}%",
            self.right,
            self.shown,
            print::grouped(self.images),
            self.part.word(),
            self.accuracy
        ))?;
        self.files.iter().try_for_each(|file| print::line(format!("wrote {}", printable(file))))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_the_first_or_random() {
        assert_eq!(chosen(5, 3, None), [0, 1, 2]);
        assert_eq!(chosen(2, 3, None), [0, 1]);
        let drawn = chosen(1000, 32, Some(1));
        assert_eq!(drawn, chosen(1000, 32, Some(1)));
        assert_ne!(drawn, chosen(1000, 32, Some(2)));
        assert!(drawn.len() == 32 && drawn.iter().all(|&i| i < 1000));
    }
}

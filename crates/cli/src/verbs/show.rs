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
    device::Work,
    evaluation::{self, Evaluated, Extras},
    photos::json_name,
    pictures::{self, cell, model_on_data},
    print,
    table::{
        Align::{Left, Right},
        table,
    },
};

/// Maximum number of class activation maps.
const MAPS: usize = 16;
/// Photos that are listed as mistakes.
const LISTED: usize = 10;

pub(crate) fn run(args: &ShowArgs, global: &Global) -> anyhow::Result<()> {
    let evaluated =
        evaluation::evaluate(&args.evaluation, ResizingArgs::default(), Extras::default(), global)?;
    let classes = evaluated.model.class_names();
    let shown = chosen(evaluated.predictions.len(), args.count, args.seed);
    let wrong = evaluated.predictions.mistakes(evaluated.images.labels());
    let worst = &wrong[..wrong.len().min(args.count)];
    let pictured = |images: &[usize]| -> anyhow::Result<Pictured> {
        let cells = images.iter().map(|&i| cell(&evaluated, &classes, i)).collect();
        let maps = if args.cam { maps(args, global, &evaluated, images)? } else { Vec::new() };
        Ok(Pictured { cells, maps })
    };
    let (grid, mistakes) = (pictured(&shown)?, pictured(worst)?);
    let draw =
        |theme: &Theme| draw(args, &evaluated, &classes, [&grid, &mistakes], wrong.len(), theme);
    // All pictures are drawn before the first is written.
    let drawn = pictures::encode(args.format, draw)?;
    let folder = pictures::make_folder(args.out.as_deref(), &evaluated.model.path, "pictures")?;
    let files = pictures::write(&folder, drawn)?;
    let report = Report::new(&evaluated, &classes, &shown, worst, &files);
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

/// Images with their predictions.
struct Pictured {
    cells: Vec<Cell>,
    /// Heat maps of the first ones.
    maps: Vec<HeatMap>,
}

impl Pictured {
    fn cam(&self, headline: &str, detail: &str, theme: &Theme) -> String {
        let pairs: Vec<_> = self.cells.iter().cloned().zip(self.maps.iter().cloned()).collect();
        cam(&pairs, (headline, detail), theme)
    }
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

/// The SVG pictures, each with the stem of its file name: of the images to show, and of mistakes, the worst
/// of `wrong` ones.
fn draw(
    args: &ShowArgs,
    evaluated: &Evaluated,
    classes: &[String],
    [shown, mistakes]: [&Pictured; 2],
    wrong: usize,
    theme: &Theme,
) -> Vec<(&'static str, String)> {
    let Evaluated { model, data, part, result, .. } = evaluated;
    let (what, part) = (model_on_data(model, data), part.word());
    let images = print::grouped(result.images);
    let accuracy = format!("{:.2}%", result.accuracy);

    let cells = &shown.cells;
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

    let (worst, of_worst) = match mistakes.cells.len() {
        0 => ("No mistakes", format!("{what}: all {images} {part}images are correct")),
        n => (
            "Most confident mistakes",
            format!("{what}: {n} of {} mistakes on {images} {part}images", print::grouped(wrong)),
        ),
    };
    let mistakes_svg = grid(&mistakes.cells, (worst, &*of_worst), theme);

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
    if !shown.maps.is_empty() {
        let detail = format!("{what}: each image, and the heat map of its predicted class");
        drawn.push(("cam", shown.cam("Class activation maps", &detail, theme)));
    }
    if !mistakes.maps.is_empty() {
        let detail = format!("{what}: what speaks for the wrong class");
        drawn.push(("mistakes-cam", mistakes.cam("Most confident mistakes", &detail, theme)));
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
    if shown.is_empty() {
        return Ok(Vec::new());
    }
    let (dtype, batch) = (args.evaluation.model.network.dtype.into(), shown.len());
    let [mut height, mut width, _] = images.size();
    let mut pixels: Vec<u8> = shown.iter().flat_map(|&i| images.image(i).into_owned()).collect();
    if let (ImageSet::Memory(images), Some(preparation)) = (images, *preparation) {
        (height, width) = (preparation.image_size, preparation.image_size);
        pixels = prepare_images(images, &pixels, preparation, global.cpu_threads())?;
    }
    let device = global.device(Work::evaluation(model.network.graph(), dtype, [height, width]))?;
    let mut plan = ActivationMaps::new(&model.network, dtype, batch, height, width, &device)?;
    plan.forward(Input::Bytes(&pixels, normalisation), batch)?;
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
    /// The most confident ones.
    mistakes: Vec<Prediction>,
    files: Vec<String>,
}

#[derive(Serialize)]
struct Prediction {
    /// Index in the data set, from 0.
    image: usize,
    /// Path of a photo below its folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    predicted: String,
    #[serde(rename = "true")]
    truth: String,
    correct: bool,
    probability: f32,
}

impl<'a> Report<'a> {
    fn new(
        evaluated: &'a Evaluated,
        classes: &[String],
        shown: &[usize],
        mistakes: &[usize],
        files: &[PathBuf],
    ) -> Self {
        let Evaluated { model, data, images, result, predictions, .. } = evaluated;
        let prediction = |&image: &usize| {
            let label = images.labels()[image];
            Prediction {
                image,
                file: pictures::photo(images, image).map(json_name),
                predicted: classes[predictions.class(image)].clone(),
                truth: evaluated.classes[label as usize].clone(),
                correct: predictions.is_right(image, label),
                probability: predictions.confidence(image),
            }
        };
        let shown: Vec<Prediction> = shown.iter().map(prediction).collect();
        Report {
            arch: model.arch.to_string(),
            data,
            images: result.images,
            part: evaluated.part,
            accuracy: result.accuracy,
            shown: shown.len(),
            right: shown.iter().filter(|prediction| prediction.correct).count(),
            predictions: shown,
            mistakes: mistakes.iter().map(prediction).collect(),
            files: files.iter().map(|file| json_name(file)).collect(),
        }
    }

    fn print(&self) -> anyhow::Result<()> {
        print::line(rows(&self.predictions))?;
        print::line(format!(
            "\n{} of {} correct; accuracy on all {} {}images: {:.2}%",
            self.right,
            self.shown,
            print::grouped(self.images),
            self.part.word(),
            self.accuracy
        ))?;
        if self.mistakes.iter().any(|mistake| mistake.file.is_some()) {
            let listed = &self.mistakes[..self.mistakes.len().min(LISTED)];
            print::line(format!("\nmost confident mistakes\n{}\n", rows(listed)))?;
        }
        self.files.iter().try_for_each(|file| print::line(format!("wrote {}", printable(file))))?;
        Ok(())
    }
}

/// A table of predictions, which names photos by their files, and other images by their numbers.
fn rows(predictions: &[Prediction]) -> String {
    let rows = predictions.iter().map(|p| {
        let mark = if p.correct { "✓" } else { "✗" };
        let probability = format!("{:.1}%", 100.0 * p.probability);
        let name = p.file.clone().unwrap_or_else(|| p.image.to_string());
        vec![name, mark.into(), p.predicted.clone(), probability, p.truth.clone()]
    });
    let are_files = predictions.iter().any(|prediction| prediction.file.is_some());
    let image = if are_files { ("photo", Left) } else { ("image", Right) };
    table(&[image, ("", Left), ("predicted", Left), ("", Right), ("true", Left)], rows)
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

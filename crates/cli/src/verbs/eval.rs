//! `resnet eval`: evaluates a trained network on test images.

use std::io::{self, IsTerminal};

use anyhow::{Context, bail};
use ratatui::crossterm::terminal;
use resnet::{
    evaluate::{self, Evaluation, Score, Tta},
    predictions::Scores as ClassScores,
};
use resnet_formats::{Destination, Shown, printable};
use resnet_pictures::report::Part;
use serde::Serialize;
use unicode_width::UnicodeWidthStr;

use crate::{
    args::{EvalArgs, Global, Tta as TtaArg},
    error::{Usage, refuse_stdout},
    evaluation::{self, Evaluated, Extras},
    photos::json_name,
    print,
    protocols::{self, MoreResults, Scores, Timed, ViewScores},
    table::{
        Align::{Left, Right},
        table,
    },
};

/// The most confusions that are listed.
const CONFUSIONS: usize = 10;
/// Columns of a page.
const PAGE: usize = 100;

pub(crate) fn run(args: &EvalArgs, global: &Global) -> anyhow::Result<()> {
    refuse_stdout("--logits", args.logits.as_deref())?;
    let (tta, protocols) = (args.tta.and_then(TtaArg::views), protocols::asked(args));
    if tta.is_some() && !args.with.is_empty() {
        let message = "--tta is of one model: leave it out with --with, or take --ten-crop";
        return Err(Usage(message.into()).into());
    }
    let others = protocols::open_others(args, global)?;
    let extras = Extras { tta, protocols: &protocols };
    let evaluated = evaluation::evaluate(&args.evaluation, args.resizing, extras, global)?;
    if let Some(path) = &args.logits {
        let predictions = &evaluated.predictions;
        evaluate::save_logits(
            Destination::Follow(path),
            predictions.all_logits(),
            predictions.classes(),
        )
        .with_context(|| format!("cannot write {}", path.shown()))?;
    }
    // If it fails, what was evaluated before is not lost.
    let mut more = MoreResults::default();
    let outcome = protocols::run(&evaluated, &others, args, global, &mut more);
    let printed = if args.output.json {
        print::json(&Results::new(&evaluated, more))
    } else {
        show(&evaluated, &more)
    };
    outcome?;
    let predictions = &evaluated.predictions;
    let bad = predictions.not_finite();
    if bad > 0 {
        bail!("the network's output is NaN or infinite for {bad} of {} images", predictions.len());
    }
    printed
}

/// All results.
#[derive(Serialize)]
struct Results<'a> {
    model: String,
    arch: String,
    data: &'a str,
    part: Part,
    #[serde(flatten)]
    evaluation: &'a Evaluation,
    #[serde(flatten)]
    more: MoreResults,
}

impl<'a> Results<'a> {
    fn new(evaluated: &'a Evaluated, more: MoreResults) -> Self {
        let Evaluated { model, data, part, result, .. } = evaluated;
        Results {
            model: json_name(&model.path),
            arch: model.arch.to_string(),
            data,
            part: *part,
            evaluation: result,
            more,
        }
    }
}

/// What was evaluated, on what: `runs/a/best.safetensors (resnet8) on the test images of cifar10`.
fn subject(evaluated: &Evaluated) -> String {
    let Evaluated { model, data, part, .. } = evaluated;
    let (path, part) = (model.path.shown(), part.word());
    format!("{path} ({}) on the {part}images of {}", model.arch, printable(data))
}

fn show(evaluated: &Evaluated, more: &MoreResults) -> anyhow::Result<()> {
    let result = &evaluated.result;
    print::line(subject(evaluated))?;
    let tta = result.tta.map(|tta| {
        let label = match tta.views {
            Tta::Flip => "TTA flip",
            Tta::Six => "TTA six",
        };
        (label, percent(tta.accuracy))
    });
    for (label, value) in [("accuracy", percent(result.accuracy))].into_iter().chain(tta).chain([
        ("balanced", percent(result.balanced_accuracy)),
        ("top-5", percent(result.top5_accuracy)),
        ("loss", format!("{:.4}", result.loss)),
        ("ECE", percent(result.calibration_error)),
        ("images", print::grouped(result.images)),
        ("time", format!("{:.1} s", result.seconds)),
    ]) {
        print::line(format!("{label:<10}{value}"))?;
    }
    if !more.is_empty() {
        print::line(format!("\n{}", by_views(result, more)))?;
    }
    print::line(format!("\n{}", by_class(result)))?;
    if result.per_class.len() > 1 {
        print::line(format!("\n{}", confusion(result, columns())))?;
    }
    Ok(())
}

/// Results of all protocols and models.
fn by_views(result: &Evaluation, more: &MoreResults) -> String {
    let row = |model: &str, views: String, timed: Timed| {
        let Score { accuracy, top5_accuracy, loss, images } = timed.score;
        let mut row = vec![views, percent(accuracy), percent(top5_accuracy), format!("{loss:.4}")];
        row.extend([print::grouped(images), format!("{:.1} s", timed.seconds)]);
        if !more.models.is_empty() {
            row.insert(0, model.to_owned());
        }
        row
    };
    let rows = |model: &str, single: Timed, views: &ViewScores| {
        let mut rows = vec![row(model, "single view".into(), single)];
        rows.extend(views.ten_crop.map(|timed| row(model, "ten crops".into(), timed)));
        rows.extend(views.scales.as_ref().map(|scales| {
            let sides: Vec<String> = scales.sides.iter().map(usize::to_string).collect();
            row(model, format!("scales {}", sides.join(", ")), scales.score)
        }));
        rows
    };
    let of = |scores: &Scores| {
        let name = scores.model.as_ref().map_or("ensemble".into(), |path| path.shown().to_string());
        rows(&name, scores.single_view, &scores.views)
    };
    let mut headers = vec![("views", Left)];
    headers.extend(["top-1", "top-5", "loss", "images", "time"].map(|name| (name, Right)));
    if !more.models.is_empty() {
        headers.insert(0, ("model", Left));
        return table(&headers, more.models.iter().chain(&more.ensemble).flat_map(of));
    }
    let score = Score {
        accuracy: result.accuracy,
        top5_accuracy: result.top5_accuracy,
        loss: result.loss,
        images: result.images,
    };
    table(&headers, rows("", Timed { score, seconds: result.seconds }, &more.views))
}

/// Scores of each class and their means, laid out as scikit-learn's `classification_report`.
fn by_class(result: &Evaluation) -> String {
    let row = |name: &str, images: usize, scores: ClassScores| {
        let scores = [scores.precision, scores.recall, scores.f1].map(percent);
        [&[name.to_owned(), print::grouped(images)], &scores[..]].concat()
    };
    let classes = result.per_class.iter().map(|c| row(&c.class, c.images, c.scores));
    let means =
        [("macro average", result.macro_average), ("weighted average", result.weighted_average)];
    let means = means.map(|(name, scores)| row(name, result.images, scores));
    let headers = [
        ("class", Left),
        ("images", Right),
        ("precision", Right),
        ("recall", Right),
        ("F1", Right),
    ];
    table(&headers, classes.chain(means))
}

/// The confusion matrix, or the most frequent confusions if it is wider than this many columns.
fn confusion(result: &Evaluation, columns: usize) -> String {
    let matrix = || {
        "confusion matrix: a row for each class, a column for each prediction\n".to_owned()
            + &confusion_matrix(result)
    };
    // A column takes at least three characters.
    let fits = |text: &String| {
        text.lines().all(|line| anstream::adapter::strip_str(line).to_string().width() <= columns)
    };
    let matrix = (3 * result.per_class.len() < columns).then(matrix).filter(fits);
    matrix.unwrap_or_else(|| worst_confusions(result))
}

fn confusion_matrix(result: &Evaluation) -> String {
    let numbers: Vec<String> = (0..result.per_class.len()).map(|i| i.to_string()).collect();
    let mut headers = vec![("", Right), ("class", Left)];
    headers.extend(numbers.iter().map(|number| (number.as_str(), Right)));
    let rows = result.per_class.iter().enumerate().map(|(i, class)| {
        let counts = result.confusion.row(i).iter().map(u64::to_string);
        [i.to_string(), class.class.clone()].into_iter().chain(counts).collect()
    });
    table(&headers, rows)
}

fn worst_confusions(result: &Evaluation) -> String {
    let pairs = result.confusion.worst();
    if pairs.is_empty() {
        return "no image is confused".into();
    }
    let rows = pairs.into_iter().take(CONFUSIONS).map(|(truth, predicted)| {
        let [truth_name, predicted_name] =
            [truth, predicted].map(|class| result.per_class[class].class.clone());
        let images = result.confusion.count(truth, predicted) as usize;
        let share = 100.0 * images as f64 / result.per_class[truth].images as f64;
        vec![truth_name, predicted_name, print::grouped(images), percent(share)]
    });
    let headers = [
        ("most confused", Left),
        ("predicted as", Left),
        ("images", Right),
        ("of the class", Right),
    ];
    table(&headers, rows)
}

/// Width of the terminal, or of a page if stdout is none.
fn columns() -> usize {
    let size = if io::stdout().is_terminal() { terminal::size().ok() } else { None };
    size.map_or(PAGE, |(columns, _)| columns.into())
}

fn percent(x: f64) -> String {
    format!("{x:.2}%")
}

#[cfg(test)]
mod tests {
    use resnet::{evaluate::ClassResult, predictions::Predictions};

    use super::*;

    /// Results of six images; only names and the confusion matrix matter.
    fn result(classes: usize) -> Evaluation {
        let predicted = [0, 1, 1, 0, 2, 1];
        let logits = predicted.map(|p| (0..classes).map(|c| f32::from(c == p)).collect::<Vec<_>>());
        let confusion = Predictions::new(logits.concat(), classes).confusion(&[0, 0, 0, 1, 2, 2]);
        let class = |i| ClassResult {
            class: format!("c{i}"),
            images: confusion.images_of(i) as usize,
            accuracy: 0.0,
            scores: ClassScores::default(),
        };
        Evaluation {
            accuracy: 0.0,
            tta: None,
            top5_accuracy: 0.0,
            loss: 0.0,
            calibration_error: 0.0,
            images: 6,
            seconds: 0.0,
            balanced_accuracy: 0.0,
            f1: 0.0,
            macro_average: ClassScores::default(),
            weighted_average: ClassScores::default(),
            per_class: (0..classes).map(class).collect(),
            confusion,
        }
    }

    #[test]
    fn a_matrix_that_does_not_fit_becomes_its_largest_entries() {
        let plain = |classes, columns| {
            let text = confusion(&result(classes), columns);
            anstream::adapter::strip_str(&text).to_string()
        };
        let matrix = plain(3, 80);
        let lines: Vec<&str> = matrix.lines().skip(1).collect();
        assert_eq!(
            lines,
            ["   class  0  1  2", "0  c0     1  2  0", "1  c1     1  0  0", "2  c2     0  1  1"]
        );
        let pairs = plain(3, 16);
        let lines: Vec<Vec<&str>> =
            pairs.lines().skip(1).map(|l| l.split_whitespace().collect()).collect();
        assert_eq!(lines[0], ["c0", "c1", "2", "66.67%"]);
        assert_eq!(lines.len(), 3);
        assert!(plain(1000, 80).starts_with("most confused"));
    }
}

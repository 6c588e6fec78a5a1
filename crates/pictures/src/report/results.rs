//! The evaluation of a run.

use std::{cmp::Reverse, fmt::Write};

use super::{
    data::{Bin, Evaluation, Example, Run, Scores},
    escape,
    format::{counted, grouped, loss, percent},
};
use crate::{Cell, Theme, confusion, grid};

/// Above this many classes, their table has a scroll bar.
const TALL: usize = 24;
/// Number of confidence bins.
const BINS: f64 = 15.0;

/// The metrics, tables and pictures of a run. Pictures are added while there is room for their
/// bytes.
pub(super) fn section(run: &Run, room: &mut usize) -> String {
    let note = run.note.iter().map(|note| format!("<p class=\"note\">{}</p>", escape::text(note)));
    let mut out: String = note.collect();
    let Some(evaluation) = &run.evaluation else { return out };
    out += &metrics(evaluation);
    let _ = write!(
        out,
        "<div class=\"pair\"><div>{}</div><div>{}</div></div>",
        classes(evaluation),
        reliability(evaluation)
    );
    let mut left_out = Vec::new();
    for (heading, label, draw) in pictures(evaluation) {
        let svg = draw();
        let html = format!(
            "<h3>{heading}</h3><p class=\"hint caption\">{label}</p><div class=\"scroll picture\" \
             tabindex=\"0\" role=\"img\" aria-label=\"{heading}: {label}\">{svg}</div>"
        );
        if html.len() <= *room {
            *room -= html.len();
            out += &html;
        } else {
            left_out.push(heading);
        }
    }
    if !left_out.is_empty() {
        let _ = write!(
            out,
            "<p class=\"note\">Left out to keep this page small: {}. A report of this run alone has \
             more room.</p>",
            left_out.join(", ").to_lowercase()
        );
    }
    out
}

fn metrics(e: &Evaluation) -> String {
    let correct = (e.accuracy / 100.0 * e.images as f64).round() as u64;
    let cards = [
        ("Accuracy", percent(Some(e.accuracy)), counted(correct, "image") + " correct"),
        ("Balanced accuracy", percent(Some(e.balanced_accuracy)), "mean over classes".to_owned()),
        ("Top-5 accuracy", percent(Some(e.top5_accuracy)), "among the 5 most probable".to_owned()),
        ("Loss", loss(Some(e.loss)), "mean cross-entropy".to_owned()),
        ("Calibration error", percent(Some(e.calibration_error)), "expected (ECE)".to_owned()),
    ];
    let mut out = format!(
        "<p>{} on {}.</p><dl class=\"cards\">",
        escape::text(&e.checkpoint),
        counted(e.images, &format!("{}image", e.part.word()))
    );
    for (label, value, more) in cards {
        let _ = write!(out, "<div><dt>{label}</dt><dd>{value}<small>{more}</small></dd></div>");
    }
    out + "</dl>"
}

/// Accuracy (which is recall), precision and F1 per class, with the class that it is most often
/// confused with, and the means.
fn classes(e: &Evaluation) -> String {
    let share = |class: usize| {
        let (images, correct) = e.of_class(class);
        correct as f64 / images.max(1) as f64
    };
    let mut order: Vec<usize> = (0..e.classes.len()).collect();
    order.sort_by(|&a, &b| share(b).total_cmp(&share(a)));
    let tall = if order.len() > TALL { " tall" } else { "" };
    let mut out = format!(
        "<h3>Accuracy per class</h3><div class=\"scroll{tall}\" tabindex=\"0\" role=\"region\" \
         aria-label=\"Accuracy per class\"><table class=\"classes\"><thead><tr>\
         <th scope=\"col\">Class<th scope=\"col\" colspan=\"2\">Accuracy, recall\
         <th scope=\"col\">Precision<th scope=\"col\">F1\
         <th scope=\"col\">Most confused with</thead><tbody>"
    );
    for class in order {
        let (images, _) = e.of_class(class);
        let accuracy = 100.0 * share(class);
        let accuracy_text =
            if images == 0 { "no images".to_owned() } else { format!("{accuracy:.1}%") };
        let row = e.confusion.get(class).map_or(&[][..], Vec::as_slice);
        let others = row.iter().enumerate().filter(|&(other, &n)| other != class && n > 0);
        let taken = others.min_by_key(|&(_, &n)| Reverse(n)).map_or_else(String::new, |(i, n)| {
            format!("{} <small>{}</small>", escape::name(&e.classes[i]), grouped(*n))
        });
        let _ = write!(
            out,
            "<tr><th scope=\"row\">{}<td class=\"bar\"><span style=\"width:{accuracy:.1}%\"></span>\
             <td>{accuracy_text}{}<td class=\"taken\">{taken}",
            escape::name(&e.classes[class]),
            precision_and_f1(e.scores.get(class))
        );
    }
    out += "</tbody><tfoot>";
    for (name, means) in
        [("Macro average", &e.macro_average), ("Weighted average", &e.weighted_average)]
    {
        let _ = write!(
            out,
            "<tr><th scope=\"row\">{name}<td class=\"bar\"><td>{:.1}%{}<td>",
            means.recall,
            precision_and_f1(Some(means))
        );
    }
    out + "</tfoot></table></div>"
}

fn precision_and_f1(scores: Option<&Scores>) -> String {
    match scores {
        Some(Scores { precision, f1, .. }) => format!("<td>{precision:.1}%<td>{f1:.1}%"),
        None => "<td><td>".into(),
    }
}

/// The reliability diagram: accuracy per confidence bin. A calibrated network has bars on the
/// diagonal.
fn reliability(e: &Evaluation) -> String {
    let bins = &e.reliability;
    if bins.is_empty() {
        return String::new();
    }
    let (left, side) = (44.0, 260.0);
    let mut svg = format!(
        "<svg class=\"reliability\" viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"Reliability \
         diagram, expected calibration error {:.2}%\">",
        left + side + 24.0,
        side + 48.0,
        e.calibration_error
    );
    let y = |part: f64| 8.0 + side * (1.0 - part);
    for tick in [0.0, 0.25, 0.5, 0.75, 1.0] {
        let (x, y, percent) = (left + side * tick, y(tick), 100.0 * tick);
        let _ = write!(
            svg,
            "<path class=\"rule\" d=\"M{left} {y}h{side}\"/>\
             <text x=\"{}\" y=\"{}\" text-anchor=\"end\">{percent}%</text>\
             <text x=\"{x}\" y=\"{}\" text-anchor=\"middle\">{percent}%</text>",
            left - 8.0,
            y + 4.0,
            side + 26.0
        );
    }
    let width = side / BINS;
    for &Bin { images, accuracy, confidence } in bins {
        let place = (confidence / 100.0 * BINS).ceil().clamp(1.0, BINS) - 1.0;
        let x = left + place * width + 1.0;
        let (inner, top, height) = (width - 2.0, y(accuracy / 100.0), side * accuracy / 100.0);
        let _ = write!(
            svg,
            "<g><title>{}: mean confidence {confidence:.0}%, accuracy {accuracy:.1}%</title>\
             <rect class=\"hit\" x=\"{x:.2}\" y=\"8\" width=\"{inner:.2}\" height=\"{side}\"/>\
             <rect class=\"bar\" x=\"{x:.2}\" y=\"{top:.2}\" width=\"{inner:.2}\" \
             height=\"{height:.2}\"/><path class=\"sure\" d=\"M{x:.2} {:.2}h{inner:.2}\"/></g>",
            counted(images, "image"),
            y(confidence / 100.0)
        );
    }
    let _ = write!(
        svg,
        "<path class=\"diagonal\" d=\"M{left} {}L{} {}\"/>\
         <text class=\"axis\" x=\"{}\" y=\"{}\" text-anchor=\"middle\">confidence</text></svg>",
        y(0.0),
        left + side,
        y(1.0),
        left + side / 2.0,
        side + 44.0
    );
    let confidence: f64 = bins.iter().map(|b| b.confidence * b.images as f64).sum::<f64>()
        / bins.iter().map(|b| b.images).sum::<u64>().max(1) as f64;
    let verdict = match e.accuracy - confidence {
        ..-0.5 => "overconfident",
        0.5.. => "underconfident",
        _ => "well calibrated on average",
    };
    format!(
        "<h3>Calibration</h3>{svg}<p class=\"hint\">Reliability diagram. Bars: accuracy of the images \
         in each confidence bin. Short lines: their mean confidence. The network is {verdict}: mean \
         confidence {:.1}%, accuracy {:.1}%.</p>",
        confidence, e.accuracy
    )
}

type Drawn<'a> = (&'static str, String, Box<dyn Fn() -> String + 'a>);

/// Headings, descriptions and drawings.
fn pictures(e: &Evaluation) -> Vec<Drawn<'_>> {
    let mut pictures: Vec<Drawn<'_>> = Vec::new();
    let n = e.classes.len();
    if n > 0 && e.confusion.len() == n && e.confusion.iter().all(|row| row.len() == n) {
        let label = "Rows: true class. Columns: predicted class.".to_owned();
        let draw = || confusion(&e.confusion, &e.classes, "", &Theme::CSS);
        pictures.push(("Confusion matrix", label, Box::new(draw)));
    }
    let draw = |examples: &'_ [Example]| {
        grid(&examples.iter().map(Cell::from).collect::<Vec<_>>(), "", &Theme::CSS)
    };
    if !e.first.is_empty() {
        let correct = e.first.iter().filter(|example| example.correct).count();
        let the_first = if e.first.len() == 1 { "" } else { "the first " };
        let images = counted(e.first.len() as u64, &format!("{}image", e.part.word()));
        let are = if correct == 1 { "is" } else { "are" };
        let label = format!("{correct} of {the_first}{images} {are} correct.");
        pictures.push(("Predictions", label, Box::new(move || draw(&e.first))));
    }
    if !e.mistakes.is_empty() {
        let label = "Wrong predictions, the highest probability first.".to_owned();
        pictures.push(("Most confident mistakes", label, Box::new(move || draw(&e.mistakes))));
    }
    pictures
}

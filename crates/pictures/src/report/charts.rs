//! The data of the curves: as JSON for the page's script, and as tables.

use std::fmt::Write;

use serde::Serialize;

use super::{
    data::{Epoch, Part, Run},
    escape,
    format::{loss, percent, rate, throughput, time},
};

/// Maximum epochs of all runs in a page. Above it, only every second, third, ... epoch is kept.
const MAX_EPOCHS: usize = 4000;

/// The runs' curves.
#[derive(Serialize)]
pub(super) struct Curves<'a> {
    runs: Vec<Curve<'a>>,
}

/// The metrics of a run by column; `null` if a value is missing or not a number.
#[derive(Serialize)]
struct Curve<'a> {
    name: &'a str,
    epoch: Vec<u64>,
    train_loss: Vec<Option<f64>>,
    test_loss: Vec<Option<f64>>,
    validation_loss: Vec<Option<f64>>,
    train_accuracy: Vec<Option<f64>>,
    test_accuracy: Vec<Option<f64>>,
    validation_accuracy: Vec<Option<f64>>,
    learning_rate: Vec<Option<f64>>,
    images_per_second: Vec<Option<f64>>,
}

impl<'a> Curves<'a> {
    pub(super) fn new(runs: &'a [Run], every: usize) -> Self {
        let curve = |run: &'a Run| {
            let epochs = thin(&run.metrics, every);
            let column =
                |value: fn(&Epoch) -> Option<f64>| epochs.iter().map(|e| short(value(e))).collect();
            Curve {
                name: &run.name,
                epoch: epochs.iter().map(|e| e.epoch).collect(),
                train_loss: column(|e| e.train_loss),
                test_loss: column(|e| e.test_loss),
                validation_loss: column(|e| e.validation_loss),
                train_accuracy: column(|e| e.train_accuracy),
                test_accuracy: column(|e| e.test_accuracy),
                validation_accuracy: column(|e| e.validation_accuracy),
                learning_rate: column(|e| e.learning_rate),
                images_per_second: column(|e| e.images_per_second),
            }
        };
        Curves { runs: runs.iter().map(curve).collect() }
    }
}

/// The interval of the epochs to keep, so that the page stays small.
pub(super) fn every(runs: &[Run]) -> usize {
    let epochs: usize = runs.iter().map(|run| run.metrics.len()).sum();
    epochs.div_ceil(MAX_EPOCHS).max(1)
}

/// One epoch in `every`, with the first and the last.
fn thin(epochs: &[Epoch], every: usize) -> Vec<&Epoch> {
    let last = epochs.len().saturating_sub(1);
    let kept = epochs.iter().enumerate().filter(|(i, _)| i % every == 0 || *i == last);
    kept.map(|(_, epoch)| epoch).collect()
}

/// Seven digits are enough for a chart.
fn short(value: Option<f64>) -> Option<f64> {
    format!("{:.6e}", value.filter(|x| x.is_finite())?).parse().ok()
}

/// Collapsed tables of the epochs of every run.
pub(super) fn tables(runs: &[Run], every: usize) -> String {
    let mut out = String::new();
    for run in runs.iter().filter(|run| !run.metrics.is_empty()) {
        let validation = run.metrics.iter().any(|e| e.validation_accuracy.is_some());
        let test = run.part() == Part::Test;
        let some = |is: bool, heads: &'static [&str]| if is { heads } else { &[] };
        let heads = ["Epoch", "Train loss", "Train accuracy"]
            .iter()
            .chain(some(test, &["Test loss", "Test accuracy"]))
            .chain(some(validation, &["Validation loss", "Validation accuracy"]))
            .chain(&["Learning rate", "Time", "Images/s"]);
        let mut rows = String::new();
        for e in thin(&run.metrics, every) {
            let mut cells = vec![loss(e.train_loss), percent(e.train_accuracy)];
            if test {
                cells.extend([loss(e.test_loss), percent(e.test_accuracy)]);
            }
            if validation {
                cells.extend([loss(e.validation_loss), percent(e.validation_accuracy)]);
            }
            let seconds = e.seconds.map_or_else(|| loss(None), time);
            cells.extend([rate(e.learning_rate), seconds, throughput(e.images_per_second)]);
            let _ = write!(rows, "<tr><th scope=\"row\">{}", e.epoch);
            cells.iter().for_each(|cell| rows += &format!("<td>{cell}"));
        }
        let heads: String = heads.map(|head| format!("<th scope=\"col\">{head}")).collect();
        let _ = writeln!(
            out,
            "<details class=\"epochs\"><summary>Metrics per epoch of {}</summary><div class=\"scroll\" \
             tabindex=\"0\" role=\"region\" aria-label=\"Metrics per epoch\"><table class=\"numbers\">\
             <thead><tr>{heads}</thead><tbody>{rows}</tbody></table></div></details>",
            escape::name(&run.name)
        );
    }
    if every > 1 {
        let _ = writeln!(
            out,
            "<p class=\"note\">To stay small, this page has one epoch in {every}, and the last.</p>"
        );
    }
    out
}

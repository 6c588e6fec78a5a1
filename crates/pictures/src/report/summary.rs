//! The summary: the main metrics of a run, or a comparison of several.

use super::{
    data::{Epoch, Part, Run, State},
    escape,
    format::{count, counted, grouped, loss, percent, throughput, time},
};

/// A sentence and the main metrics.
pub(super) fn header(runs: &[Run]) -> String {
    match runs {
        [run] => format!("<p class=\"lead\">{}</p>{}", sentence(run), cards(run)),
        runs => {
            let (lead, table) = (comparison(runs), table(runs));
            format!("<p class=\"lead\">{lead}</p>{table}{}", differences(runs))
        }
    }
}

fn sentence(run: &Run) -> String {
    let what = format!(
        "<b>{}</b>, a {} with {} parameters",
        escape::name(&run.name),
        escape::text(&run.arch),
        count(run.parameters)
    );
    let on = format!("{} images of {}", grouped(run.train_images), escape::text(&run.data));
    let Some(last) = run.last() else {
        return format!("{what}, to be trained on {on}. {}", progress(run));
    };
    format!(
        "{what}, trained for {} on {on}. {} accuracy: <b>{}</b>. {}",
        counted(run.metrics.len() as u64, "epoch"),
        title(run.part()),
        percent(run.accuracy(last)),
        progress(run)
    )
}

/// The first word of a label: `Test`, `Validation`.
fn title(part: Part) -> &'static str {
    match part {
        Part::Validation => "Validation",
        Part::Test | Part::Whole => "Test",
    }
}

/// The part by which all runs are judged, if it is one.
fn common_part(runs: &[Run]) -> Option<Part> {
    let part = runs.first()?.part();
    runs.iter().all(|run| run.part() == part).then_some(part)
}

/// The progress of an unfinished run.
fn progress(run: &Run) -> String {
    let done = run.last().map_or(0, |last| last.epoch);
    let state = match run.state {
        State::Finished => return String::new(),
        State::Training => "Training",
        State::Stopped => "Stopped",
        State::Diverged => "Diverged",
    };
    format!("<span class=\"state\">{state}: {done} of {} done</span>", counted(run.epochs, "epoch"))
}

fn comparison(runs: &[Run]) -> String {
    let accuracy = |run: &Run| run.accuracy(run.best()?);
    let which = common_part(runs).map_or("", Part::word);
    let mut known: Vec<(&Run, f64)> =
        runs.iter().filter_map(|run| Some((run, accuracy(run)?))).collect();
    known.sort_by(|a, b| b.1.total_cmp(&a.1));
    match known[..] {
        [(best, first), (next, second), ..] => {
            let epoch = best.best().map_or(0, |e| e.epoch);
            let lead = first - second;
            let ahead = if lead > 0.0 {
                format!("{lead:.2} points above {}", escape::name(&next.name))
            } else {
                format!("equal to {}", escape::name(&next.name))
            };
            format!(
                "Of {} runs, <b>{}</b> reaches the highest {which}accuracy in its best epoch: \
                 <b>{first:.2}%</b> in epoch {epoch}, {ahead}.",
                runs.len(),
                escape::name(&best.name)
            )
        }
        _ => format!("Comparison of {}.", counted(runs.len() as u64, "run")),
    }
}

/// What an epoch was chosen by, if that is not the accuracy that is shown.
fn chosen_by(run: &Run, epoch: &Epoch) -> String {
    match (&epoch.chosen_by, run.part(), epoch.validation_accuracy) {
        (Some(other), ..) => format!(", by {} {:.2}%", other.name(), other.value),
        (None, Part::Test, Some(validation)) => {
            format!(", by validation accuracy {validation:.2}%")
        }
        _ => String::new(),
    }
}

fn cards(run: &Run) -> String {
    let Some(last) = run.last() else { return String::new() };
    let epoch = |epoch: u64| format!("epoch {epoch} of {}", run.epochs);
    let best = run.best();
    let device = run.machine.iter().find(|(label, _)| label == "GPU").or(run.machine.first());
    let machine = device.map_or_else(String::new, |(_, value)| value.clone());
    let train = format!("training {}", percent(last.train_accuracy));
    let part = run.part();
    let mut cards = vec![
        (format!("{} accuracy", title(part)), percent(run.accuracy(last)), train),
        (
            format!("Best {}accuracy", part.word()),
            percent(best.and_then(|epoch| run.accuracy(epoch))),
            best.map_or_else(String::new, |b| epoch(b.epoch) + &chosen_by(run, b)),
        ),
    ];
    if part == Part::Test && last.validation_accuracy.is_some() {
        let loss = format!("loss {}", loss(last.validation_loss));
        cards.push(("Validation accuracy".into(), percent(last.validation_accuracy), loss));
    }
    let train_loss = format!("training {}", loss(last.train_loss));
    let epochs = counted(run.metrics.len() as u64, "epoch");
    cards.extend([
        (format!("{} loss", title(part)), loss(run.loss(last)), train_loss),
        ("Parameters".into(), count(run.parameters), run.arch.clone()),
        ("Training time".into(), time(run.seconds()), epochs),
        ("Images per second".into(), throughput(run.images_per_second()), machine),
    ]);
    let card = |(label, value, more): (String, String, String)| {
        let more = escape::text(&more);
        format!("<div><dt>{label}</dt><dd>{value}<small>{more}</small></dd></div>")
    };
    format!("<dl class=\"cards\">{}</dl>", cards.into_iter().map(card).collect::<String>())
}

/// Whether higher or lower values of a column are better.
#[derive(Clone, Copy, PartialEq)]
enum Better {
    Higher,
    Lower,
    Neither,
}

/// A column of the comparison: its header, and its values as numbers and as text.
struct Column {
    head: String,
    better: Better,
    values: Vec<Option<f64>>,
    texts: Vec<String>,
}

fn table(runs: &[Run]) -> String {
    let columns = columns(runs);
    let heads: String = columns.iter().map(|c| format!("<th scope=\"col\">{}", c.head)).collect();
    let mut out = format!(
        "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Runs compared\">\
         <table class=\"numbers comparison\"><thead><tr><th scope=\"col\">Run{heads}</thead><tbody>"
    );
    for (i, run) in runs.iter().enumerate() {
        out += &format!(
            "<tr><th scope=\"row\"><span class=\"swatch\" data-run=\"{i}\"></span>\
             <a href=\"#run-{}\">{}</a>{}",
            i + 1,
            escape::name(&run.name),
            progress(run)
        );
        for column in &columns {
            out += &match column.is_best(i) {
                true => format!(
                    "<td class=\"best\"><span aria-hidden=\"true\">★ </span>{}\
                     <span class=\"unseen\"> (best)</span>",
                    column.texts[i]
                ),
                false => format!("<td>{}", column.texts[i]),
            };
        }
    }
    out + "</tbody></table></div><p class=\"hint\">★ marks the best value of a column.</p>"
}

/// The table of settings that differ: one row per setting, one column per run.
fn differences(runs: &[Run]) -> String {
    let settings = differing(runs);
    if settings.is_empty() {
        return "<p class=\"hint\">All runs have the same settings.</p>".to_owned();
    }
    let head = |(i, run): (usize, &Run)| {
        let name = escape::name(&run.name);
        format!("<th scope=\"col\"><span class=\"swatch\" data-run=\"{i}\"></span>{name}")
    };
    let mut out = format!(
        "<h3>Different settings</h3><div class=\"scroll\" tabindex=\"0\" role=\"region\" \
         aria-label=\"Different settings\"><table class=\"numbers settings\"><thead><tr>\
         <th scope=\"col\">Setting{}</thead><tbody>",
        runs.iter().enumerate().map(head).collect::<String>()
    );
    for (key, values) in settings {
        out += &format!("<tr><th scope=\"row\">{}", escape::text(key));
        values.iter().for_each(|value| out += &format!("<td>{}", escape::text(value)));
    }
    out + "</tbody></table></div>"
}

fn columns(runs: &[Run]) -> Vec<Column> {
    let column = |head: &str,
                  better: Better,
                  value: &dyn Fn(&Run) -> Option<f64>,
                  text: &dyn Fn(Option<f64>) -> String| {
        let values: Vec<Option<f64>> = runs.iter().map(value).collect();
        let texts = values.iter().map(|&value| text(value)).collect();
        Column { head: head.to_owned(), better, values, texts }
    };
    let whole = |value: Option<f64>| value.map_or_else(|| percent(None), |x| count(x as u64));
    let which = common_part(runs).map_or("", Part::word);
    let heads = [format!("Final {which}accuracy"), format!("Best {which}accuracy")];
    let loss_head = common_part(runs).map_or("Loss".into(), |part| format!("{} loss", title(part)));
    let mut columns = vec![
        column(&heads[0], Better::Higher, &|r| r.accuracy(r.last()?), &percent),
        column(&heads[1], Better::Higher, &|r| r.accuracy(r.best()?), &percent),
        column(&loss_head, Better::Lower, &|r| r.loss(r.last()?), &loss),
        column("Epochs", Better::Neither, &|r| Some(r.metrics.len() as f64), &whole),
        column("Parameters", Better::Neither, &|r| Some(r.parameters as f64), &whole),
        column("Time", Better::Neither, &|r| Some(r.seconds()), &|s| time(s.unwrap_or(0.0))),
        column("Images/s", Better::Higher, &|r| r.images_per_second(), &throughput),
    ];
    if runs.iter().any(|run| run.evaluation.is_some()) {
        let of = |f: fn(&super::Evaluation) -> f64| move |r: &Run| r.evaluation.as_ref().map(f);
        let top5 = of(|e| e.top5_accuracy);
        let ece = of(|e| e.calibration_error);
        columns.insert(2, column("Top-5 accuracy", Better::Higher, &top5, &percent));
        columns.insert(4, column("ECE", Better::Lower, &ece, &percent));
    }
    columns
}

impl Column {
    /// Whether a run has the best value, if not all are equal.
    fn is_best(&self, run: usize) -> bool {
        let known = || self.values.iter().flatten().copied();
        let (low, high) = (known().fold(f64::MAX, f64::min), known().fold(f64::MIN, f64::max));
        let best = match self.better {
            Better::Higher => high,
            Better::Lower => low,
            Better::Neither => return false,
        };
        low < high && self.values[run] == Some(best)
    }
}

/// The settings that differ between runs, with the value of each run.
fn differing(runs: &[Run]) -> Vec<(&str, Vec<&str>)> {
    let mut keys: Vec<&str> = Vec::new();
    for (key, _) in runs.iter().flat_map(|run| &run.settings) {
        if !keys.contains(&key.as_str()) {
            keys.push(key);
        }
    }
    let value = |run: &'_ Run, key: &str| run.settings.iter().position(|(k, _)| k == key);
    let values = |key: &str| -> Vec<&str> {
        let text = |run| value(run, key).map_or("–", |i| run.settings[i].1.as_str());
        runs.iter().map(text).collect()
    };
    let rows = keys.into_iter().map(|key| (key, values(key)));
    rows.filter(|(_, values)| values.iter().any(|v| *v != values[0])).collect()
}

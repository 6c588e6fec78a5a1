//! The table, the figure and the other files of an experiment.

use resnet::{
    Dtype,
    experiment::{
        CIFAR10, Comparison, Decided, Difference, IMAGENET, Published, Results, RunHistory, Spread,
    },
    metrics::EpochMetrics,
};
use resnet_formats::Shown;
use resnet_pictures::Theme;
use serde::Serialize;

use super::{
    figure,
    files::write,
    net_responses::NetResponses,
    responses,
    setup::{RECIPE, Setup},
};
use crate::{
    args::{DataArg, PictureFormat},
    photos::json_name,
    pictures, print,
    table::{
        Align::{Left, Right},
        table,
    },
};

/// A line for every epoch of every run.
const METRICS: &str = "metrics.jsonl";
/// What `--json` prints.
const RESULTS: &str = "results.json";
/// The figure, without its suffix.
const FIGURE: &str = "figure";

/// The output of `--json`.
#[derive(Serialize)]
struct Record<'a> {
    experiment: &'static str,
    data: String,
    recipe: &'static str,
    epochs: Option<u64>,
    seeds: usize,
    batch_size: usize,
    dtype: Dtype,
    folder: String,
    #[serde(flatten)]
    results: &'a Results,
    #[serde(skip_serializing_if = "Option::is_none")]
    responses: Option<&'a [NetResponses]>,
}

/// A line of the experiment's `metrics.jsonl`.
#[derive(Serialize)]
struct Line<'a> {
    net: String,
    seed: u64,
    #[serde(flatten)]
    metrics: &'a EpochMetrics,
}

/// Where the output of an experiment goes.
pub(super) struct Output<'a> {
    pub(super) setup: &'a Setup<'a>,
    pub(super) decided: &'a Decided,
}

impl Output<'_> {
    /// Writes `metrics.jsonl`, `results.json` and the figure.
    pub(super) fn write(&self, runs: &[RunHistory], results: &Results) -> anyhow::Result<()> {
        let Setup { folder, .. } = self.setup;
        let lines = runs.iter().flat_map(|history| {
            let net = history.run.net.to_string();
            let line = move |metrics| Line { net: net.clone(), seed: history.run.seed, metrics };
            history.epochs.iter().map(line)
        });
        write(&folder.join(METRICS), |file| {
            for line in lines {
                serde_json::to_writer(&mut *file, &line)?;
                file.write_all(b"\n")?;
            }
            Ok(())
        })?;
        write(&folder.join(RESULTS), |file| {
            serde_json::to_writer_pretty(&mut *file, &self.record(results, None))?;
            file.write_all(b"\n")
        })?;
        let (headline, detail) = self.title();
        let draw =
            |theme: &Theme| vec![(FIGURE, figure::errors(results, (&*headline, &*detail), theme))];
        pictures::write(folder, pictures::encode(PictureFormat::Both, draw)?)?;
        Ok(())
    }

    /// Prints the table, or everything as JSON.
    pub(super) fn print(
        &self,
        results: &Results,
        of_layers: Option<&[NetResponses]>,
    ) -> anyhow::Result<()> {
        if self.setup.args.output.json {
            return print::json(&self.record(results, of_layers));
        }
        let (headline, detail) = self.title();
        print::line(format!("{headline}: {detail}\n"))?;
        print::line(errors(results, &self.data()))?;
        let mut text = String::new();
        for compared in &results.comparisons {
            text += &format!("\n{}", comparison(compared, results.part));
        }
        for net in &results.nets {
            let diverged = net.runs.iter().filter(|run| run.diverged).count();
            if diverged > 0 {
                let all = print::counted(net.runs.len() as u64, "run");
                text += &format!("\n{}: {diverged} of {all} diverged, without a result", net.net);
            }
        }
        if let Some(of_layers) = of_layers {
            text += &format!("\n\n{}", responses::table(of_layers));
        }
        print::line(format!("{text}\nsaved in {}", self.setup.folder.shown()))?;
        Ok(())
    }

    fn record<'r>(
        &self,
        results: &'r Results,
        responses: Option<&'r [NetResponses]>,
    ) -> Record<'r> {
        let Decided { epochs, dtype, batch_size, .. } = *self.decided;
        Record {
            experiment: self.setup.kind.name(),
            data: self.data(),
            recipe: RECIPE,
            epochs,
            seeds: self.setup.args.seeds,
            batch_size,
            dtype,
            folder: json_name(&self.setup.folder),
            results,
            responses,
        }
    }

    fn data(&self) -> String {
        match &self.setup.data {
            DataArg::Named(source) => source.name().to_owned(),
            DataArg::Folder(root) => json_name(root),
        }
    }

    /// What the experiment is, and how it was done.
    fn title(&self) -> (String, String) {
        let headline = figure::headline(self.setup.kind, &self.setup.data.in_a_name());
        let length = match self.decided.epochs {
            Some(epochs) => print::counted(epochs, "epoch"),
            None => "64,000 steps".to_owned(),
        };
        let seeds = match self.setup.args.seeds {
            1 => "one seed".to_owned(),
            seeds => format!("means of {seeds} seeds"),
        };
        let side = self.setup.args.images.image_size;
        let side = side.map_or(String::new(), |side| format!(", images of {side}x{side}"));
        let batch = self.decided.batch_size;
        (headline, format!("recipe {RECIPE}, {length}, batches of {batch}{side}, {seeds}"))
    }
}

/// The table of errors.
fn errors(results: &Results, data: &str) -> String {
    let reached: Vec<usize> = (0..results.levels.len())
        .filter(|&level| results.nets.iter().any(|net| net.epochs_to[level].is_some()))
        .collect();
    let levels: Vec<String> = reached
        .iter()
        .enumerate()
        .map(|(index, &level)| {
            let until = format!("{:.0}%", results.levels[level]);
            if index == 0 { format!("epochs to {until}") } else { until }
        })
        .collect();
    let held_out = format!("{} error %", results.part);
    let mut headers =
        vec![("net", Left), ("parameters", Right), ("train error %", Right), (&*held_out, Right)];
    let has_best = results.nets.iter().any(|net| net.best_test_error.is_some());
    headers.extend(has_best.then_some(("of the best epoch", Right)));
    headers.push(("paper", Left));
    headers.extend(levels.iter().map(|level| (&**level, Right)));
    let rows =
        results.nets.iter().map(|net| {
            let mut row = vec![
                net.net.clone(),
                net.parameters.map_or_else(none, print::grouped),
                spread(net.train_error),
                spread(net.test_error),
            ];
            row.extend(has_best.then(|| spread(net.best_test_error)));
            row.push(net.paper.map_or_else(none, |paper| published(paper, data)));
            row.extend(reached.iter().map(|&level| {
                net.epochs_to[level].map_or_else(none, |epochs| format!("{epochs:.1}"))
            }));
            row
        });
    table(&headers, rows)
}

/// A sentence about the deepest net and the shallowest.
fn comparison(compared: &Comparison, part: &str) -> String {
    let Comparison { deeper, shallower, train_error, test_error, .. } = compared;
    let points = |difference: &Difference| {
        let side = if difference.points < 0.0 { "better" } else { "worse" };
        let deviations = difference.deviations();
        let deviations = deviations.map(|n| format!(" ({n:.1} standard deviations)"));
        let deviations = deviations.unwrap_or_default();
        format!("{:.2} points{deviations} {side}", difference.points.abs())
    };
    let train = points(train_error);
    match test_error {
        Some(test_error) => format!(
            "{deeper} is {} than {shallower} on the {part} images, {train} on those it was trained on",
            points(test_error)
        ),
        None => format!("{deeper} is {train} than {shallower} on the images it was trained on"),
    }
}

fn none() -> String {
    "-".to_owned()
}

fn spread(spread: Option<Spread>) -> String {
    match spread {
        None => none(),
        Some(Spread { mean, std: None }) => format!("{mean:.2}"),
        Some(Spread { mean, std: Some(std) }) => format!("{mean:.2} ± {std:.2}"),
    }
}

/// An error of the paper, and what it is of where that is something else.
fn published(paper: Published, data: &str) -> String {
    let mut text = format!("{:.2}", paper.error);
    if let Some((mean, std)) = paper.spread {
        text += &format!(" ({mean:.2} ± {std:.2})");
    }
    match paper.data {
        of if of == data => text,
        CIFAR10 => text + " on CIFAR-10",
        IMAGENET => format!("{text} ({} on ImageNet)", paper.net),
        other => format!("{text} on {other}"),
    }
}

#[cfg(test)]
mod tests {
    use resnet::experiment::{Kind, PlannedRun};

    use super::*;

    fn run(net: &str, seed: u64, errors: &[f64]) -> RunHistory {
        let epoch = |(index, error): (usize, &f64)| EpochMetrics {
            epoch: index as u64 + 1,
            step: 0,
            train_loss: 0.0,
            train_accuracy: 99.0 - error,
            test_loss: Some(0.0),
            test_accuracy: Some(100.0 - error),
            validation_loss: None,
            validation_accuracy: None,
            evaluated_images: None,
            chosen_by: None,
            learning_rate: 0.1,
            seconds: 1.0,
            images_per_second: 1.0,
            communication_seconds: None,
        };
        RunHistory {
            run: PlannedRun { net: net.parse().unwrap(), seed },
            parameters: 123_456,
            planned: errors.len() as u64,
            batch_size: 128,
            lr: 0.1,
            epochs: errors.iter().enumerate().map(epoch).collect(),
            diverged: false,
        }
    }

    #[test]
    fn the_table_has_what_was_found_next_to_that_of_the_paper() {
        let runs = [
            run("plain20", 0, &[55.0, 18.0]),
            run("resnet20", 0, &[45.0, 12.0]),
            run("resnet20", 1, &[51.0, 10.0]),
        ];
        let nets: Vec<_> = runs[..2].iter().map(|run| run.run.net).collect();
        let results = Results::new(Kind::Degradation, &nets, &runs);
        let text = anstream::adapter::strip_str(&errors(&results, "cifar10")).to_string();
        let lines: Vec<Vec<&str>> = text
            .lines()
            .map(|line| line.split("  ").map(str::trim).filter(|w| !w.is_empty()).collect())
            .collect();
        let headers = [
            "net",
            "parameters",
            "train error %",
            "test error %",
            "paper",
            "epochs to 50%",
            "40%",
            "30%",
            "20%",
            "15%",
        ];
        assert_eq!(lines[0], headers, "{text}");
        let plain = ["plain20", "123,456", "19.00", "18.00", "-", "2.0", "2.0", "2.0", "2.0", "-"];
        assert_eq!(lines[1], plain, "{text}");
        let resnet = [
            "resnet20",
            "123,456",
            "12.00 ± 1.41",
            "11.00 ± 1.41",
            "8.75",
            "1.5",
            "2.0",
            "2.0",
            "2.0",
            "2.0",
        ];
        assert_eq!(lines[2], resnet, "{text}");
        let elsewhere = errors(&results, "synthetic");
        assert!(elsewhere.contains("8.75 on CIFAR-10"), "{elsewhere}");
        assert!(!text.contains("best epoch"), "{text}");
        let mut chosen = results.clone();
        chosen.nets[0].best_test_error = Some(Spread { mean: 17.5, std: None });
        let chosen = errors(&chosen, "cifar10");
        assert!(chosen.contains("of the best epoch") && chosen.contains("17.50"), "{chosen}");
        let validated = errors(&Results { part: "validation", ..results }, "cifar10");
        assert!(validated.contains("validation error %") && !validated.contains("test error"));
    }

    #[test]
    fn a_comparison_says_how_sure_it_is() {
        let mut compared = Comparison {
            deeper: "plain14".into(),
            shallower: "plain8".into(),
            deeper_seeds: 2,
            shallower_seeds: 2,
            train_error: Difference { points: -2.0, std: None },
            test_error: Some(Difference { points: 3.0, std: Some(1.2) }),
        };
        assert_eq!(
            comparison(&compared, "test"),
            "plain14 is 3.00 points (2.5 standard deviations) worse than plain8 on the test images, 2.00 points \
             better on those it was trained on"
        );
        compared.test_error = None;
        assert_eq!(
            comparison(&compared, "test"),
            "plain14 is 2.00 points better than plain8 on the images it was trained on"
        );
    }

    #[test]
    fn the_papers_number_says_what_it_is_of() {
        let of = |kind, net: &str, data| {
            published(resnet::experiment::published(kind, net.parse().unwrap()).unwrap(), data)
        };
        assert_eq!(of(Kind::Depth, "resnet110", "cifar10"), "6.43 (6.61 ± 0.16)");
        let option = of(Kind::Shortcuts, "resnet20-c", "cifar10");
        assert_eq!(option, "24.19 (ResNet-34 C on ImageNet)");
        assert_eq!(of(Kind::Degradation, "plain34", "x"), "28.54 (plain-34 on ImageNet)");
    }
}

//! Reads the data of a report from a run folder.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use resnet::{
    config::TrainConfig,
    run::{self, CONFIG, METRICS},
    summary::Summary,
    train::{self, Ending, Segment},
};
use resnet_formats::{self as formats, Shown, brief};
use resnet_pictures::report::{Epoch, Run, State};
use toml::{Table, Value};

use super::{
    machine::{machine, machine_of_checkpoint, waiting},
    reproduce::{Reproduction, reproduce},
};

/// The content of a run folder.
pub(super) struct Gathered {
    /// Without the evaluation of its network.
    pub(super) run: Run,
    pub(super) config: TrainConfig,
    /// None in folders of earlier versions.
    pub(super) segments: Vec<Segment>,
}

/// Reads a run folder, without its checkpoints.
pub(super) fn gather(folder: &Path) -> anyhow::Result<Gathered> {
    let path = folder.join(CONFIG);
    if !path.is_file() {
        bail!(
            "{} is not a run folder: it has no {CONFIG}. Give folders that `resnet train` wrote",
            folder.shown()
        );
    }
    let config = TrainConfig::read(&path)?;
    let text = read(&path)?;
    let metrics = metrics(&folder.join(METRICS))?;
    let segments = train::segments(folder)?.unwrap_or_default();
    let done = metrics.last().map_or(0, |last| last.epoch);
    let ending = segments.last().and_then(|last| last.outcome);
    // With --patience a run may end before its last epoch.
    let has_ended = config.recipe.patience.is_some() && ending == Some(Ending::Finished);
    let state = if done >= config.epochs() || has_ended {
        State::Finished
    } else if run::is_training(folder) {
        State::Training
    } else if ending == Some(Ending::Diverged) {
        State::Diverged
    } else {
        State::Stopped
    };
    let mut machine = match segments.is_empty() {
        true => machine_of_checkpoint(folder, &config),
        false => machine(&segments),
    };
    machine.extend(run::history(folder).ok().and_then(|epochs| waiting(&epochs)));
    let Reproduction { command, note } = reproduce(&config);
    let run = Run {
        name: name(folder),
        arch: config.arch.to_string(),
        data: config.data.name.clone(),
        train_images: config.data.train_images as u64,
        parameters: parameters(&config)?,
        state,
        epochs: config.epochs(),
        metrics,
        settings: settings(&text).with_context(|| format!("cannot read {}", path.shown()))?,
        config: text,
        command,
        command_note: note,
        machine,
        evaluation: None,
        note: None,
    };
    Ok(Gathered { run, config, segments })
}

/// Far above the size of any file that a run writes.
const MAX_BYTES: u64 = 24 << 20;

fn read(path: &Path) -> anyhow::Result<String> {
    let bytes = formats::read(path, MAX_BYTES);
    let bytes = bytes.with_context(|| format!("cannot read {}", path.shown()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The lines of `metrics.jsonl`; none if the file does not exist yet.
fn metrics(path: &Path) -> anyhow::Result<Vec<Epoch>> {
    if fs::metadata(path).is_err_and(|e| e.kind() == ErrorKind::NotFound) {
        return Ok(Vec::new());
    }
    let text = read(path)?;
    let mut epochs: Vec<Epoch> = Vec::new();
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    for (i, line) in lines {
        let place = || format!("{} line {}", path.shown(), i + 1);
        let epoch: Epoch = match serde_json::from_str(line) {
            Ok(epoch) => epoch,
            // The parser numbers lines within its input, which is one line.
            Err(error) => bail!(
                "{} is damaged: {}; correct or delete the line",
                place(),
                brief(&error.to_string().replace("line 1 column", "column"))
            ),
        };
        if let Some(last) = epochs.last().filter(|last| last.epoch >= epoch.epoch) {
            bail!(
                "{} is damaged: epoch {} comes after epoch {}; correct or delete the line",
                place(),
                epoch.epoch,
                last.epoch
            );
        }
        epochs.push(epoch);
    }
    Ok(epochs)
}

fn parameters(config: &TrainConfig) -> anyhow::Result<u64> {
    let channels = config.data.normalisation.mean.len();
    let graph = config.arch.graph_with(channels, config.data.classes.len(), config.arch.width());
    let side = config.arch.image_size();
    Ok(Summary::new(&graph, side, side)?.parameters as u64)
}

/// The name of the folder itself: `runs` for `runs/a/..`.
fn name(folder: &Path) -> String {
    let whole = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let name = whole.file_name().map_or_else(|| whole.clone(), PathBuf::from);
    name.shown().to_string()
}

/// Makes names distinct: runs of equal name get their whole path, equal folders also a number.
pub(super) fn make_distinct(runs: &mut [Run], folders: &[PathBuf]) {
    let names: Vec<String> = runs.iter().map(|run| run.name.clone()).collect();
    for (i, run) in runs.iter_mut().enumerate() {
        if names.iter().filter(|name| **name == names[i]).count() > 1 {
            run.name = folders[i].shown().to_string();
        }
    }
    for i in 0..runs.len() {
        let plain = runs[i].name.clone();
        let mut number = 2;
        while runs[..i].iter().any(|other| other.name == runs[i].name) {
            runs[i].name = format!("{plain} ({number})");
            number += 1;
        }
    }
}

/// Tables that are left out of the names of their settings.
const UNNAMED: [&str; 5] = ["data", "recipe", "sgd", "adamw", "length"];

/// Every setting of a `config.toml`, by its name.
fn settings(config: &str) -> anyhow::Result<Vec<(String, String)>> {
    let mut settings = Vec::new();
    flatten("", &config.parse::<Table>()?, &mut settings);
    settings.sort();
    Ok(settings)
}

fn flatten(parent: &str, table: &Table, settings: &mut Vec<(String, String)>) {
    for (key, value) in table {
        let name = match (parent, key.as_str()) {
            ("data" | "recipe", "name") => parent.to_owned(),
            (parent, key) if parent.is_empty() || UNNAMED.contains(&parent) => key.to_owned(),
            (parent, key) => format!("{parent}.{key}"),
        };
        match value {
            Value::Table(table) => flatten(key, table, settings),
            // The data folder does not change the results.
            _ if (parent, key.as_str()) == ("data", "dir") => {}
            Value::Array(classes) if name == "classes" => {
                settings.push((name, classes.len().to_string()));
            }
            Value::Array(pixels) if name == "normalisation.mean_image" => {
                settings.push((name, format!("{} values", pixels.len())));
            }
            Value::String(text) => settings.push((name, text.clone())),
            Value::Array(values) => {
                let values: Vec<String> = values.iter().map(Value::to_string).collect();
                settings.push((name, values.join(", ")));
            }
            value => settings.push((name, value.to_string())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_flattened() {
        let text = "arch = 'resnet8'\n[data]\nname = 'cifar10'\ndir = '/x'\nclasses = ['a', 'b']\n[data.normalisation]\n\
                    mean = [0.5, 0.25]\nmean_image = [0.5, 0.5, 0.25]\n[recipe]\nname = 'fast'\nlr = 0.2\n[recipe.schedule]\nkind = 'one_cycle'\n\
                    [recipe.sgd]\nmomentum = 0.9\n[recipe.length]\nepochs = 4\n";
        let pairs = settings(text).unwrap();
        let pairs: Vec<(&str, &str)> =
            pairs.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        let expected = [
            ("arch", "resnet8"),
            ("classes", "2"),
            ("data", "cifar10"),
            ("epochs", "4"),
            ("lr", "0.2"),
            ("momentum", "0.9"),
            ("normalisation.mean", "0.5, 0.25"),
            ("normalisation.mean_image", "3 values"),
            ("recipe", "fast"),
            ("schedule.kind", "one_cycle"),
        ];
        assert_eq!(pairs, expected);
    }

    #[test]
    fn names_are_made_distinct() {
        let folders = ["a/run", "b/run", "c", "c", "a/run"].map(PathBuf::from);
        let named = |name: &str| Run { name: name.into(), ..Run::default() };
        let mut runs = ["run", "run", "c", "c", "run"].map(named);
        make_distinct(&mut runs, &folders);
        assert_eq!(runs.map(|r| r.name), ["a/run", "b/run", "c", "c (2)", "a/run (2)"]);
    }
}

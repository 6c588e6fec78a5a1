//! A run whose length is changed: it goes on as a run that had these lengths from its start, and can be
//! interrupted there too.

use std::{fs, path::Path};

use resnet::{
    config::TrainConfig,
    run::{BEST, CONFIG, LAST, LOG, Place, RunFolder},
    train::{Event, Outcome, set_epochs},
};

use crate::{
    common::{
        outcome::{assert_same, result, run},
        small_run::config,
    },
    going_back::{at_once, with_first_epoch},
};

fn to_the_end(folder: &RunFolder) -> u64 {
    match run(folder, 2, |_| false) {
        Outcome::Finished(last) => last.epoch,
        stopped => panic!("{stopped:?}"),
    }
}

fn stopped_at(folder: &RunFolder, step: u64) {
    let at_step = |event: &Event| matches!(event, Event::Batch(b) if b.step == step);
    assert_eq!(run(folder, 2, at_step), Outcome::Interrupted(2));
}

/// The `config.toml` of a run whose length was changed repeats the run.
fn assert_repeated(path: &Path) {
    let again = path.with_extension("again");
    let config = TrainConfig::read(&path.join(CONFIG)).unwrap();
    to_the_end(&RunFolder::create(&again, &config).unwrap());
    assert_same(&result(&again), &result(path), "repeated");
}

#[test]
fn a_finished_run_gets_more_epochs() {
    let runs = tempfile::tempdir().unwrap();
    let path = runs.path().join("run");
    to_the_end(&RunFolder::create(&path, &config()).unwrap());
    let before = result(&path);
    let mut longer = RunFolder::resume(&path).unwrap();
    let note = set_epochs(&mut longer, 5).unwrap().unwrap();
    assert!(note.contains("5 epochs in all now, instead of 3: from epoch 4 on"), "{note}");
    assert_eq!(to_the_end(&longer), 5);
    drop(longer);
    let after = result(&path);
    assert_eq!(after.metrics.len(), 5);
    assert_eq!(after.metrics[..3], before.metrics);
    // The rate of step 13 of 20, of which the peak is at step 4.
    let five = TrainConfig { total_steps: 20, ..config() };
    let rates = [11, 15, 19].map(|step| five.lr_at(step));
    assert_eq!(rates[2].to_string(), after.metrics[4]["learning_rate"].to_string());
    assert_eq!(rates[1].to_string(), after.metrics[3]["learning_rate"].to_string());
    assert_ne!(rates[0].to_string(), after.metrics[2]["learning_rate"].to_string());
    assert_repeated(&path);

    // The same, stopped before its first batch, in the middle of an epoch and in the next one.
    let stopped = runs.path().join("stopped");
    to_the_end(&RunFolder::create(&stopped, &config()).unwrap());
    set_epochs(&mut RunFolder::resume(&stopped).unwrap(), 5).unwrap().unwrap();
    for step in [14, 17] {
        stopped_at(&RunFolder::resume(&stopped).unwrap(), step);
    }
    let mut last = RunFolder::resume(&stopped).unwrap();
    assert_eq!(set_epochs(&mut last, 5).unwrap(), None, "it has this length already");
    to_the_end(&last);
    assert_same(&result(&stopped), &after, "stopped");
}

#[test]
fn an_unfinished_run_gets_another_length() {
    let runs = tempfile::tempdir().unwrap();
    for epochs in [2, 4] {
        let path = runs.path().join(epochs.to_string());
        stopped_at(&RunFolder::create(&path, &config()).unwrap(), 6);
        let mut other = RunFolder::resume(&path).unwrap();
        set_epochs(&mut other, epochs).unwrap().unwrap();
        assert_eq!(to_the_end(&other), epochs);
        drop(other);
        assert_repeated(&path);
    }
    // Before its first step, it is as if it had been started with it.
    let path = runs.path().join("new");
    drop(RunFolder::create(&path, &config()).unwrap());
    set_epochs(&mut RunFolder::resume(&path).unwrap(), 1).unwrap().unwrap();
    let expected = TrainConfig { total_steps: 4, ..config() };
    assert_eq!(TrainConfig::read(&path.join(CONFIG)).unwrap(), expected);
}

/// Its last checkpoint, its metrics and its length belong together: they change at once, whatever stops it.
#[test]
fn a_run_that_goes_back_gets_another_length() {
    let runs = tempfile::tempdir().unwrap();
    let path = runs.path().join("run");
    let first = with_first_epoch(&path);
    let files = || [LAST, BEST, CONFIG].map(|name| fs::read(path.join(name)).unwrap());
    let before = files();
    let shorter = || {
        let mut folder = RunFolder::resume(&first).unwrap();
        let note = set_epochs(&mut folder, 2).unwrap().unwrap();
        assert!(note.contains("2 epochs in all now, instead of 3: from epoch 2 on"), "{note}");
        folder
    };
    // Killed before it begins.
    drop(shorter());
    assert!(files() == before);
    assert_eq!(run(&shorter(), 2, at_once), Outcome::Interrupted(2));
    assert_eq!(result(&path).metrics.len(), 1);
    assert_eq!(TrainConfig::read(&path.join(CONFIG)).unwrap().total_steps, 8);
    let text = fs::read_to_string(path.join(LOG)).unwrap();
    assert!(text.contains(" goes back to epoch 1 and drops epochs 2 to 3\n"), "{text}");
    assert_eq!(to_the_end(&RunFolder::resume(&path).unwrap()), 2);
    assert_repeated(&path);

    // To the end of the run.
    let mut over = RunFolder::resume(&first).unwrap();
    let note = set_epochs(&mut over, 1).unwrap().unwrap();
    assert!(note.ends_with("1 epochs in all now, instead of 2, and is over"), "{note}");
    assert_eq!(to_the_end(&over), 1);
    assert_eq!(result(&path).metrics.len(), 1);
    assert!(!fs::read_to_string(path.join(LOG)).unwrap().contains("over already"));
}

#[test]
fn impossible_lengths_change_nothing() {
    let runs = tempfile::tempdir().unwrap();
    let path = runs.path().join("run");
    let message = |epochs| {
        let before = fs::read(path.join(CONFIG)).unwrap();
        let error = set_epochs(&mut RunFolder::resume(&path).unwrap(), epochs).unwrap_err();
        assert_eq!(fs::read(path.join(CONFIG)).unwrap(), before);
        error.to_string()
    };
    let first = RunFolder::create(Place::Numbered(&path), &config()).unwrap();
    stopped_at(&first, 6);
    drop(first);
    let few = message(1);
    assert!(
        few.ends_with(
            "has trained 1 epochs and a part of the next already: --epochs must be at least 2"
        ),
        "{few}"
    );
    fs::remove_dir_all(&path).unwrap();
    let cut = TrainConfig { total_steps: 6, ..config() };
    to_the_end(&RunFolder::create(&path, &cut).unwrap());
    let few = message(1);
    assert!(few.contains("has trained 2 epochs already: --epochs must be at least 2"), "{few}");
    for epochs in [2, 3] {
        let incomplete = message(epochs);
        assert!(incomplete.contains("the last epoch of "), "{incomplete}");
        assert!(incomplete.contains("--init "), "{incomplete}");
    }
}

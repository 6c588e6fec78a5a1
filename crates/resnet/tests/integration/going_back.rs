//! A run that goes back to an earlier checkpoint than its last.

use std::{
    fs,
    path::{Path, PathBuf},
};

use resnet::{
    run::{BEST, CONFIG, LAST, LOG, METRICS, RunFolder},
    train::{Event, Outcome},
};

use crate::common::{
    outcome::{assert_same, result, run},
    small_run::config,
};

/// Trains to the end, and keeps the checkpoint of the first epoch.
pub(crate) fn with_first_epoch(folder: &Path) -> PathBuf {
    let (last, first) = (folder.join(LAST), folder.join("first.safetensors"));
    let keep_first = |event: &Event| {
        if !first.exists() && matches!(event, Event::Saved { path } if *path == last) {
            fs::copy(&last, &first).unwrap();
        }
        false
    };
    run(&RunFolder::create(folder, &config()).unwrap(), 2, keep_first);
    first
}

/// Before the first batch.
pub(crate) fn at_once(event: &Event) -> bool {
    matches!(event, Event::Started(_))
}

/// What follows an earlier checkpoint is dropped, which is said, and not before a batch is trained.
#[test]
fn a_run_that_goes_back_keeps_its_files_until_it_trains() {
    let runs = tempfile::tempdir().unwrap();
    let folder = runs.path().join("run");
    let first = with_first_epoch(&folder);
    let expected = result(&folder);
    // A best epoch that is dropped.
    fs::copy(folder.join(LAST), folder.join(BEST)).unwrap();
    let files = || [LAST, BEST, METRICS, CONFIG].map(|name| fs::read(folder.join(name)).unwrap());
    let (before, log) = (files(), || fs::read_to_string(folder.join(LOG)).unwrap());
    assert_eq!(run(&RunFolder::resume(&first).unwrap(), 2, at_once), Outcome::Interrupted(2));
    assert!(files() == before);
    let note = |drops: &str| {
        let first = first.display();
        format!("{first} goes back to epoch 1 and drops {drops} once a batch is trained\n")
    };
    assert_eq!(log().matches(&note("epochs 2 to 3")).count(), 1, "{}", log());
    // The run itself would go on from its end.
    assert!(log().ends_with(&format!("--resume {}\n", first.display())), "{}", log());

    // The files are those of the state that is saved next.
    let at_step = |event: &Event| matches!(event, Event::Batch(b) if b.step == 6);
    assert_eq!(run(&RunFolder::resume(&first).unwrap(), 2, at_step), Outcome::Interrupted(2));
    assert!(log().ends_with(&format!("--resume {}\n", folder.display())), "{}", log());
    assert!(!folder.join(BEST).exists());
    fs::copy(&first, folder.join(BEST)).unwrap();
    assert_eq!(result(&folder).metrics, expected.metrics[..1]);
    assert_eq!(run(&RunFolder::resume(&first).unwrap(), 2, at_once), Outcome::Interrupted(2));
    assert_eq!(log().matches(&note("a part of epoch 2")).count(), 1, "{}", log());
    run(&RunFolder::resume(&folder).unwrap(), 2, |_| false);
    assert_eq!(log().matches("goes back").count(), 3, "{}", log());
    assert_eq!(log().matches("over already").count(), 0, "{}", log());
    assert_eq!(result(&folder).metrics, expected.metrics);
    assert!(result(&folder).last == expected.last);
    run(&RunFolder::resume(&folder).unwrap(), 2, |_| false);
    let over = format!("over already, after epoch 3; --resume {} --epochs N", folder.display());
    assert!(log().contains(&over), "{}", log());
}

/// There is nothing to keep then, and the run can be resumed by its folder again.
#[test]
fn a_run_without_its_last_checkpoint_goes_back_at_once() {
    let runs = tempfile::tempdir().unwrap();
    let folder = runs.path().join("run");
    let first = with_first_epoch(&folder);
    let expected = result(&folder);
    fs::remove_file(folder.join(LAST)).unwrap();
    assert!(RunFolder::resume(&folder).is_err());
    assert_eq!(run(&RunFolder::resume(&first).unwrap(), 2, at_once), Outcome::Interrupted(2));
    assert_eq!(fs::read_to_string(folder.join(METRICS)).unwrap().lines().count(), 1);
    let log = fs::read_to_string(folder.join(LOG)).unwrap();
    assert!(log.contains(" goes back to epoch 1 and drops epochs 2 to 3\n"), "{log}");
    assert!(log.ends_with(&format!("--resume {}\n", folder.display())), "{log}");
    run(&RunFolder::resume(&folder).unwrap(), 2, |_| false);
    assert_same(&result(&folder), &expected, "gone back");
}

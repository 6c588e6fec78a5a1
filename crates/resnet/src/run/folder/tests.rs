use std::fs::File;

use super::*;
use crate::{config::tests::sample, data::is_output, run::is_training};

#[test]
fn a_new_run_is_found_and_resumed() {
    let runs = tempfile::tempdir().unwrap();
    let path = runs.path().join("deep/run");
    let run = RunFolder::create(&path, &sample()).unwrap();
    assert_eq!((run.path(), run.resume_from()), (&*path, None));
    drop(run);
    let run = RunFolder::resume(&path).unwrap();
    assert_eq!((run.config(), run.resume_from()), (&sample(), None));
}

#[test]
fn a_run_is_known_as_output_among_photos() {
    let runs = tempfile::tempdir().unwrap();
    let path = runs.path().join("run");
    let run = RunFolder::create(&path, &sample()).unwrap();
    assert!(!is_output(&path), "any program has a config.toml");
    fs::write(path.join(PHOTOS), "").unwrap();
    assert!(is_output(&path));
    fs::remove_file(path.join(PHOTOS)).unwrap();
    run.write_metrics(&[]).unwrap();
    assert!(is_output(&path));
}

#[test]
fn a_checkpoint_names_its_run() {
    let runs = tempfile::tempdir().unwrap();
    let path = runs.path().join("run");
    drop(RunFolder::create(&path, &sample()).unwrap());
    for name in [LAST, BEST] {
        fs::write(path.join(name), b"").unwrap();
        let run = RunFolder::resume(&path.join(name)).unwrap();
        assert_eq!((run.path(), run.resume_from()), (&*path, Some(&*path.join(name))));
    }
    let run = RunFolder::resume(&path).unwrap();
    assert_eq!(run.resume_from(), Some(&*path.join(LAST)));
}

#[test]
fn a_run_that_has_trained_does_not_start_again() {
    let runs = tempfile::tempdir().unwrap();
    let path = runs.path().join("run");
    drop(RunFolder::create(&path, &sample()).unwrap());
    let epochs = crate::metrics::tests::sample().history;
    let resumed = RunFolder::resume(&path).unwrap();
    // Killed before its first epoch was recorded.
    resumed.write_metrics(&[]).unwrap();
    assert_eq!(resumed.resume_from(), None);
    drop(resumed);
    fs::write(path.join(BEST), b"").unwrap();
    let resumed = RunFolder::resume(&path).unwrap();
    assert_eq!(resumed.resume_from(), Some(&*path.join(BEST)));
    // With a recorded epoch, `last` is lost.
    resumed.write_metrics(&epochs).unwrap();
    drop(resumed);
    let message = || RunFolder::resume(&path).unwrap_err().to_string();
    let best = path.join(BEST);
    assert!(message().contains("has finished epochs"), "{}", message());
    assert!(message().ends_with(&format!("--resume {}", best.display())), "{}", message());
    let metrics = fs::read(path.join(METRICS)).unwrap();
    fs::write(path.join(METRICS), b"{").unwrap();
    assert!(message().contains("metrics.jsonl: line 1 is damaged"), "{}", message());
    fs::write(path.join(METRICS), metrics).unwrap();
    fs::remove_file(best).unwrap();
    assert!(message().ends_with(&format!("--config {}", path.display())), "{}", message());
    fs::write(path.join(LAST), b"").unwrap();
    assert_eq!(RunFolder::resume(&path).unwrap().resume_from(), Some(&*path.join(LAST)));
}

#[test]
fn two_runs_do_not_share_a_folder() {
    let runs = tempfile::tempdir().unwrap();
    let path = runs.path().join("run");
    let run = RunFolder::create(&path, &sample()).unwrap();
    assert!(matches!(RunFolder::create(&path, &sample()), Err(RunError::Taken(_))));
    assert!(matches!(RunFolder::examine(&path), Err(RunError::Taken(_))));
    assert!(matches!(RunFolder::resume(&path), Err(RunError::Busy(_))));
    assert!(is_training(&path));
    drop(run);
    assert!(!is_training(&path) && !is_training(runs.path()));
    let again = RunFolder::create(&path, &sample()).unwrap_err();
    assert!(again.to_string().contains("--resume"), "{again}");
    assert_eq!(TrainConfig::read(&path.join(CONFIG)).unwrap(), sample());
}

#[test]
fn a_numbered_folder_is_always_new() {
    let runs = tempfile::tempdir().unwrap();
    let path = runs.path().join("deep/run");
    let place = Place::Numbered(&path);
    RunFolder::examine(place).unwrap();
    assert!(!runs.path().join("deep").exists());
    let folders = std::thread::scope(|scope| {
        [(); 4]
            .map(|()| scope.spawn(|| RunFolder::create(place, &sample()).unwrap()))
            .map(|thread| thread.join().unwrap())
    });
    let mut found = names(&runs.path().join("deep"));
    found.sort();
    assert_eq!(found, ["run", "run-2", "run-3", "run-4"]);
    RunFolder::examine(place).unwrap();
    // A folder of somebody else's counts too.
    fs::create_dir(runs.path().join("deep/run-5")).unwrap();
    let sixth = RunFolder::create(place, &sample()).unwrap();
    assert_eq!(sixth.path(), runs.path().join("deep/run-6"));
    sixth.abandon();
    drop(folders);
    assert_eq!(names(&runs.path().join("deep")).len(), 5);
}

#[test]
fn other_folders_are_refused() {
    let runs = tempfile::tempdir().unwrap();
    assert!(matches!(RunFolder::resume(runs.path()), Err(RunError::NotARun(_))));
    assert!(matches!(RunFolder::resume(&runs.path().join("x")), Err(RunError::Missing(_))));
    assert!(matches!(RunFolder::newest(runs.path()), Err(RunError::NoRuns(_))));
    assert!(matches!(RunFolder::newest(&runs.path().join("x")), Err(RunError::NoRuns(_))));
}

#[test]
fn a_run_that_cannot_start_leaves_no_folder() {
    let runs = tempfile::tempdir().unwrap();
    let path = runs.path().join("run");
    let mut config = sample();
    config.total_steps = 0;
    assert!(matches!(RunFolder::create(&path, &config), Err(RunError::Invalid(_))));
    assert!(!path.exists());
    fs::write(&path, b"a file").unwrap();
    assert!(matches!(RunFolder::create(&path, &sample()), Err(RunError::Io { .. })));
    assert!(matches!(RunFolder::examine(&path.join("run")), Err(RunError::Io { .. })));

    let path = runs.path().join("deep/run");
    RunFolder::create(&path, &sample()).unwrap().abandon();
    assert!(!runs.path().join("deep").exists());
    // A folder that existed before stays.
    fs::create_dir_all(&path).unwrap();
    fs::write(path.join(LOG), b"a diary").unwrap();
    RunFolder::create(&path, &sample()).unwrap().abandon();
    assert_eq!(names(&path), [LOG]);
    drop(RunFolder::create(&path, &sample()).unwrap());
    RunFolder::resume(&path).unwrap().abandon();
    assert!(path.join(CONFIG).exists(), "an existing run stays");
}

fn names(folder: &Path) -> Vec<std::ffi::OsString> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect()
}

#[test]
fn examining_a_folder_leaves_it_as_it_was() {
    let runs = tempfile::tempdir().unwrap();
    let path = runs.path().join("deep/run");
    RunFolder::examine(&path).unwrap();
    assert!(!runs.path().join("deep").exists());
    // A user's folder, with a file that a run would overwrite.
    fs::create_dir_all(&path).unwrap();
    RunFolder::examine(&path).unwrap();
    fs::write(path.join(".lock"), b"mine").unwrap();
    RunFolder::examine(&path).unwrap();
    RunFolder::create(&path, &sample()).unwrap().abandon();
    assert_eq!(fs::read(path.join(".lock")).unwrap(), b"mine");
    fs::remove_file(path.join(".lock")).unwrap();
    fs::write(path.join(CONFIG), b"[somebody]").unwrap();
    assert!(matches!(RunFolder::examine(&path), Err(RunError::Exists(_))));
    assert!(matches!(RunFolder::create(&path, &sample()), Err(RunError::Exists(_))));
    assert_eq!(names(&path), [CONFIG]);
}

#[test]
fn the_newest_run_is_the_last_started() {
    let runs = tempfile::tempdir().unwrap();
    fs::create_dir(runs.path().join("z-empty")).unwrap();
    for (name, age) in [("b", 30), ("a", 10), ("c", 20)] {
        drop(RunFolder::create(&runs.path().join(name), &sample()).unwrap());
        let config = File::options().append(true).open(runs.path().join(name).join(CONFIG));
        let begun = SystemTime::now() - std::time::Duration::from_secs(age);
        config.unwrap().set_modified(begun).unwrap();
    }
    assert_eq!(RunFolder::newest(runs.path()).unwrap(), runs.path().join("a"));
    // Those of an experiment are in a folder of their own; others further down are not looked for.
    let experiment = runs.path().join("experiment");
    for folder in [experiment.join("net-seed0"), runs.path().join("mine/d")] {
        drop(RunFolder::create(&folder, &sample()).unwrap());
    }
    assert_eq!(RunFolder::newest(runs.path()).unwrap(), runs.path().join("a"));
    fs::write(experiment.join(EXPERIMENT), "").unwrap();
    assert_eq!(RunFolder::newest(runs.path()).unwrap(), experiment.join("net-seed0"));
    let all = ["a", "b", "c", "experiment/net-seed0"].map(|run| runs.path().join(run));
    assert_eq!(RunFolder::all(runs.path()).unwrap(), all);
}

#[test]
fn resuming_removes_temporary_files() {
    let runs = tempfile::tempdir().unwrap();
    let path = runs.path().join("run");
    drop(RunFolder::create(&path, &sample()).unwrap());
    let half = path.join(".unfinished-x");
    fs::write(&half, b"half").unwrap();
    assert!(is_temporary(&half));
    drop(RunFolder::resume(&path).unwrap());
    assert!(!half.exists());
}

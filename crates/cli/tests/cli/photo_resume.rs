//! Runs on photos that are killed, or whose photos are gone or elsewhere, go on.

use std::{
    fs,
    path::PathBuf,
    thread,
    time::{Duration, Instant, SystemTime},
};

use crate::common::{
    Sandbox,
    photo_runs::{make_photos, metrics, names, train},
    small, tensors,
};

#[test]
fn a_killed_run_is_resumed_to_the_bit_with_other_threads_and_caches() {
    let s = Sandbox::new();
    make_photos(&s);
    let of = |out| ["--epochs", "4", "--out", out, "--quiet"];
    s.run(&train(&[&of("whole")[..], &["--cache", "none"]].concat())).success();
    let whole = tensors(&s.path("whole"));
    let run = s.path("run");
    let more = ["--cache", "cache", "--workers", "3"];
    let mut child = s.spawn(&train(&[&of("run")[..], &more].concat()));
    let start = Instant::now();
    while metrics(&run).is_empty() && start.elapsed() < Duration::from_secs(120) {
        thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    // The cache as the kill left it, and cut off.
    let files: Vec<PathBuf> =
        fs::read_dir(s.path("cache")).unwrap().map(|file| file.unwrap().path()).collect();
    let [file] = &files[..] else { panic!("{files:?}") };
    let bytes = fs::read(file).unwrap();
    fs::write(file, &bytes[..bytes.len() * 2 / 3]).unwrap();
    let resume = ["train", "--resume", "run", "--cache", "cache", "--workers", "1", "--quiet"];
    s.run(&resume).success();
    assert!(tensors(&run) == whole);
}

#[test]
fn a_run_whose_photos_are_gone_stops_and_goes_on_when_they_are_back() {
    let s = Sandbox::new();
    let photos = make_photos(&s);
    s.run(&train(&["--epochs", "2", "--out", "whole", "--quiet"])).success();
    s.run(&train(&["--epochs", "1", "--out", "run", "--quiet"])).success();
    fs::rename(&photos, s.path("away")).unwrap();
    s.run(&["train", "--resume", "run", "--epochs", "2", "--quiet"])
        .fails(1, &["can be read any more", "the run is saved", "--resume run"]);
    fs::rename(s.path("away"), &photos).unwrap();
    s.run(&["train", "--resume", "run", "--quiet"]).success();
    // Of a run that is longer from its second epoch on.
    s.run(&train(&["--epochs", "1", "--out", "other", "--quiet"])).success();
    s.run(&["train", "--resume", "other", "--epochs", "2", "--quiet"]).success();
    assert!(tensors(&s.path("run")) == tensors(&s.path("other")));
    assert_eq!(metrics(&s.path("run")).len(), metrics(&s.path("whole")).len());
}

#[test]
fn a_run_takes_its_photos_from_another_folder() {
    let s = Sandbox::new();
    let photos = make_photos(&s);
    for out in ["run", "same"] {
        s.run(&train(&["--epochs", "1", "--out", out, "--quiet"])).success();
    }
    s.run(&["train", "--resume", "same", "--epochs", "2", "--quiet"]).success();
    fs::rename(&photos, s.path("away")).unwrap();
    fs::create_dir(s.path("empty")).unwrap();
    let parts = ["photos is not there", "resnet train FOLDER --resume run, or name it"];
    for model in ["run", "run/last.safetensors"] {
        s.run(&["eval", model]).fails_behind_notes(1, &parts);
    }
    let parts = ["empty/", "and 44 more photos of the run are not there", "the same names"];
    s.run(&["train", "empty", "--resume", "run"]).fails_behind_notes(1, &parts);
    s.run(&["train", "synthetic", "--resume", "run"]).fails(2, &["cannot be used with DATA"]);
    let config = fs::read(s.path("run/config.toml")).unwrap();
    let wrong = ["train", "away", "--resume", "run", "--cache", "none", "--cache-size", "5G"];
    s.run(&wrong).fails(2, &["leave out --cache-size"]);
    assert!(fs::read(s.path("run/config.toml")).unwrap() == config);

    // Copies have times of their own.
    let then = SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 30);
    for name in names(&s.path("run"), "") {
        let photo = fs::File::options().append(true).open(s.path("away").join(name)).unwrap();
        photo.set_modified(then).unwrap();
    }
    let resumed = s.run(&["train", "away", "--resume", "run", "--epochs", "2"]).success();
    assert!(!resumed.stderr.contains("has changed"), "{resumed:#?}");
    assert!(tensors(&s.path("run")) == tensors(&s.path("same")));
    assert_eq!(s.json(&["eval", "run", "--json"])[0]["images"], 9);
    s.run(&small(&["--epochs", "1", "--out", "other", "-q"])).success();
    s.run(&["train", "away", "--resume", "other"]).fails(2, &["away", "synthetic, not on photos"]);
}

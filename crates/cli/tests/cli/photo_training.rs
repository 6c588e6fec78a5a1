//! Training on a folder of photos.

use std::{fs, path::Path};

use crate::common::{
    Finished, Sandbox,
    photo_runs::{CLASSES, OF_CLASS, make_photos, metrics, names, photo, train},
    small, tensors,
};

#[test]
fn a_folder_is_trained_on_and_its_validation_photos_are_evaluated() {
    let s = Sandbox::new();
    make_photos(&s);
    let out = s.run(&train(&["--epochs", "3", "--out", "run"])).success();
    assert!(out.stderr.contains("the weights start at random"), "{out:#?}");
    assert!(out.stdout.contains("validation accuracy"), "{out:#?}");
    let run = s.path("run");
    let epochs = metrics(&run);
    assert_eq!(epochs.len(), 3);
    for epoch in &epochs {
        assert!(epoch["validation_accuracy"].is_number(), "{epoch}");
        assert!(epoch.get("test_accuracy").is_none() && epoch.get("test_loss").is_none());
    }
    let (validation, trained) = (names(&run, "validation"), names(&run, "train"));
    assert_eq!((validation.len(), trained.len()), (9, 36));
    assert!(validation.iter().all(|name| !trained.contains(name)));
    for class in CLASSES {
        assert_eq!(validation.iter().filter(|name| name.starts_with(class)).count(), 3);
    }
    let config = fs::read_to_string(run.join("config.toml")).unwrap();
    for line in ["image_size = 32", "validation = 9", "train_images = 36", "[recipe.transform"] {
        assert!(config.contains(line), "{line} is not in\n{config}");
    }

    // `best` is the epoch with the highest validation accuracy.
    let best =
        epochs.iter().map(|e| e["validation_accuracy"].as_f64().unwrap()).fold(0.0, f64::max);
    let logits = ["--logits", "logits.npy", "--dtype", dtype(&config)];
    let eval = &s.json(&[&["eval", "run", "--json"][..], &logits].concat())[0];
    assert_eq!((eval["images"].as_u64(), eval["accuracy"].as_f64()), (Some(9), Some(best)));
    let all = s.run(&["eval", "run", "photos", "--json"]).success();
    assert!(all.stdout.contains("\"images\":45,"), "{all:#?}");
    assert!(all.stderr.contains("36 of these 45 photos"), "{all:#?}");

    // A prediction is that of the evaluation.
    let logits: Vec<f64> = fs::read(s.path("logits.npy")).unwrap()[128..]
        .as_chunks::<4>()
        .0
        .iter()
        .map(|&x| f32::from_le_bytes(x).into())
        .collect();
    let photo = Path::new("photos").join(&validation[4]);
    let predict = ["predict", "run", photo.to_str().unwrap(), "--json", "--dtype", dtype(&config)];
    let prediction = &s.json(&predict)[0];
    let sum: f64 = logits[12..15].iter().map(|x| x.exp()).sum();
    let most = logits[12..15].iter().map(|x| x.exp() / sum).fold(0.0, f64::max);
    let top = prediction["top"].as_array().unwrap();
    let probability = top[0]["probability"].as_f64().unwrap();
    assert!((probability - most).abs() < 1e-5, "{prediction} {most}");

    let shown = s.run(&["show", "run", "--cam"]).success();
    assert!(shown.stdout.contains("accuracy on all 9 validation images: "), "{shown:#?}");
    s.run(&["report", "run", "--out", "page.html"]).success();
    let page = fs::read_to_string(s.path("page.html")).unwrap();
    for text in ["Validation accuracy: <b>", "on 9 validation images"] {
        assert!(page.contains(text), "{text}");
    }
    // A repetition has the same photos.
    s.run(&["train", "--config", "run", "--out", "again", "--epochs", "3", "-q"]).success();
    assert_eq!(names(&s.path("again"), ""), names(&run, ""));
    assert!(tensors(&s.path("again")) == tensors(&run));
    // What would do nothing is refused.
    assert!(config.contains("pad = 0"), "{config}");
    fs::write(s.path("padded.toml"), config.replace("pad = 0", "pad = 4")).unwrap();
    let parts = ["[recipe.augment]", "does nothing"];
    s.run(&["train", "--config", "padded.toml"]).fails_behind_notes(1, &parts);
}

fn dtype(config: &str) -> &str {
    if config.contains("dtype = \"bf16\"") { "bf16" } else { "fp32" }
}

#[test]
fn a_data_set_is_meant_where_a_folder_has_its_name() {
    let s = Sandbox::new();
    fs::create_dir_all(s.path("synthetic/a")).unwrap();
    let note = "synthetic is the data set; the folder of this name is ./synthetic";
    let out = s.run(&small(&["--epochs", "1", "--out", "run"])).success();
    assert!(out.stderr.contains(note), "{out:#?}");
    let out = s.run(&["train", "--config", "run", "--out", "again"]).success();
    assert!(!out.stderr.contains(note), "it was not named: {out:#?}");
    let out = s.run(&["eval", "run", "synthetic", "--limit-test", "9"]).success();
    assert!(out.stderr.contains(note), "{out:#?}");
    fs::remove_dir(s.path("synthetic/a")).unwrap();
    let out = s.run(&["eval", "run", "synthetic", "--limit-test", "9"]).success();
    assert!(!out.stderr.contains(note), "no folder of photos: {out:#?}");
}

/// In the folder of the photos, where runs and heat maps are written too.
#[test]
fn what_the_program_wrote_is_not_trained_on() {
    let s = Sandbox::new();
    make_photos(&s);
    let run = |args: &[&str]| {
        let output = s.command(args).current_dir(s.path("photos")).output().unwrap();
        Finished::of(args, output).success()
    };
    let train = ["train", ".", "--arch", "resnet8", "--batch-size", "8", "--epochs", "1"];
    run(&train);
    run(&["show", "last", "--cam"]);
    run(&["predict", "demo", ".", "--cam"]);
    let again = run(&[&train[..], &["--out", "again"]].concat());
    assert!(again.stderr.contains("left out 2 folders that resnet wrote, such as "), "{again:#?}");
    let names = names(&s.path("photos/again"), "");
    assert_eq!(names.len(), 3 * OF_CLASS);
    assert!(names.iter().all(|name| name.ends_with(".ppm")), "{names:?}");
    let predicted = run(&["predict", "demo", ".", "--json"]);
    assert_eq!(predicted.stdout.lines().count(), names.len());
    assert!(predicted.stderr.contains("left out 3 folders that resnet wrote"), "{predicted:#?}");
}

#[test]
fn damaged_photos_are_named_and_left_out() {
    let s = Sandbox::new();
    let photos = make_photos(&s);
    fs::write(photos.join("square/3.ppm"), "P6 40 40 255\n").unwrap();
    fs::write(photos.join("circle/7.ppm"), "").unwrap();
    let out = s.run(&train(&["--epochs", "2", "--out", "run", "--ui", "log"])).success();
    for (name, what) in [("square/3.ppm", "truncated"), ("circle/7.ppm", "is empty")] {
        let lines: Vec<&str> = out.stderr.lines().filter(|line| line.contains(name)).collect();
        assert_eq!(lines.len(), 1, "{out:#?}");
        assert!(lines[0].contains(what) && lines[0].contains("left out"), "{lines:?}");
    }
    let log = fs::read_to_string(s.path("run/log.txt")).unwrap();
    assert!(log.contains("square/3.ppm"), "{log}");
    // One that is deleted between epochs, one that changes, and a new one, which the run does not know.
    let trained = names(&s.path("run"), "train");
    fs::remove_file(photos.join(&trained[0])).unwrap();
    let changed = photos.join(&trained[1]);
    fs::write(&changed, photo(1, 4)).unwrap();
    fs::write(photos.join("circle/new.ppm"), photo(0, 1)).unwrap();
    let resumed = s.run(&["train", "--resume", "run", "--epochs", "3"]).success();
    assert!(resumed.stderr.contains("cannot be read"), "{resumed:#?}");
    let line = format!("{} has changed since the run began to read it", changed.display());
    assert_eq!(resumed.stderr.matches(&line).count(), 1, "{resumed:#?}");
    assert_eq!(resumed.stderr.matches("has changed").count(), 1, "{resumed:#?}");
    assert_eq!(metrics(&s.path("run")).len(), 3);
    let eval = &s.json(&["eval", "run", "photos", "--json"])[0];
    assert_eq!(eval["images"], 43);
    // It is known now.
    let resumed = s.run(&["train", "--resume", "run", "--epochs", "4"]).success();
    assert!(!resumed.stderr.contains("has changed"), "{resumed:#?}");
}

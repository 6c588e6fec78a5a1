//! Training on a folder of photos.

use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant, SystemTime},
};

use serde_json::Value;

use crate::common::{Finished, Sandbox, small, tensors, write_photos};

const OF_CLASS: usize = 15;
const CLASSES: [&str; 3] = ["circle", "naïve name", "square"];

/// Writes a folder `photos` of three classes.
fn make_photos(s: &Sandbox) -> PathBuf {
    let root = s.path("photos");
    for (class, name) in CLASSES.into_iter().enumerate() {
        fs::create_dir_all(root.join(name)).unwrap();
        for index in 0..OF_CLASS {
            let path = root.join(name).join(format!("{index}.ppm"));
            fs::write(path, photo(class, index)).unwrap();
        }
    }
    root
}

/// A PPM of its own size.
fn photo(class: usize, index: usize) -> Vec<u8> {
    let (width, height) = (30 + 3 * index, 70 - 2 * index);
    let mut bytes = format!("P6 {width} {height} 255\n").into_bytes();
    for i in 0..width * height {
        let (x, y) = (i % width, i / width);
        bytes.extend([(x * (class + 2)) as u8, (y * 3 + index) as u8, (90 * class) as u8]);
    }
    bytes
}

fn train<'a>(more: &[&'a str]) -> Vec<&'a str> {
    let usual = ["train", "photos", "--arch", "resnet8", "--batch-size", "8", "--threads", "2"];
    [&usual[..], more].concat()
}

fn metrics(run: &Path) -> Vec<Value> {
    let text = fs::read_to_string(run.join("metrics.jsonl")).unwrap_or_default();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The photos of a part of a run.
fn names(run: &Path, part: &str) -> Vec<String> {
    let text = fs::read_to_string(run.join("photos.tsv")).unwrap();
    let lines = text.lines().filter(|line| line.starts_with(part));
    lines.map(|line| line.split('\t').nth(2).unwrap().to_owned()).collect()
}

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

#[test]
fn parts_of_their_own_are_used() {
    let s = Sandbox::new();
    let photos = make_photos(&s);
    let all = s.path("all");
    for part in ["train", "val", "test"] {
        for class in CLASSES {
            fs::create_dir_all(all.join(part).join(class)).unwrap();
        }
    }
    for class in CLASSES {
        for index in 0..OF_CLASS {
            let part = ["train", "train", "train", "val", "test"][index % 5];
            let name = format!("{index}.ppm");
            let to = all.join(part).join(class).join(&name);
            fs::copy(photos.join(class).join(&name), to).unwrap();
        }
    }
    let args = ["train", "all", "--arch", "resnet8", "--batch-size", "8", "--epochs", "1"];
    s.run(&[&args[..], &["--out", "run", "-q"]].concat()).success();
    let run = s.path("run");
    assert_eq!(["train", "validation", "test"].map(|p| names(&run, p).len()), [27, 9, 9]);
    let epoch = &metrics(&run)[0];
    assert!(epoch["validation_accuracy"].is_number() && epoch["test_accuracy"].is_number());
    let eval = &s.json(&["eval", "run", "--json"])[0];
    assert_eq!(eval["accuracy"], epoch["test_accuracy"]);
    s.run(&[&args[..], &["--validation", "5"]].concat()).fails(2, &["--validation"]);
}

#[test]
fn shares_of_photos_are_held_out_and_limits_keep_every_class() {
    let s = Sandbox::new();
    make_photos(&s);
    for (options, expected) in [
        (&["--split", "0.4"][..], [27, 18]),
        (&["--validation", "6"], [39, 6]),
        (&["--limit-train", "20", "--validation", "0.25"], [15, 5]),
    ] {
        let out = format!("run{}", expected[0]);
        s.run(&train(&[&["--epochs", "1", "--out", &out, "-q"][..], options].concat())).success();
        let run = s.path(&out);
        assert_eq!(["train", "validation"].map(|part| names(&run, part).len()), expected);
        for class in CLASSES {
            assert!(names(&run, "train").iter().any(|name| name.starts_with(class)));
        }
    }
    let out = s.run(&train(&["--epochs", "1", "--out", "few", "--limit-test", "2"])).success();
    assert!(out.stderr.contains("--limit-test does nothing here"), "{out:#?}");
    assert_eq!(names(&s.path("few"), "validation").len(), 9);
    s.run(&train(&["--limit-train", "2"])).fails(1, &["2 photos are too few"]);
    s.run(&train(&["--split", "45"])).fails(1, &["45 of 45"]);
    let sprint = s.run(&train(&["--recipe", "sprint"]));
    sprint.fails_behind_notes(2, &["whiten", "--recipe fast"]);
}

#[test]
fn an_experiment_on_photos_is_continued() {
    let s = Sandbox::new();
    make_photos(&s);
    let usual = ["experiment", "degradation", "photos", "--nets", "plain8,resnet8"];
    let length = ["--epochs", "1", "--batch-size", "8", "--threads", "2", "--out", "out"];
    let args = [&usual[..], &length].concat();
    let out = s.run(&args).success();
    let table: Vec<&str> = out.stdout.lines().filter(|line| line.contains("lain8 ")).collect();
    assert!(!table.is_empty(), "{out:#?}");
    assert!(out.stdout.contains("validation error %"), "{out:#?}");
    assert!(!out.stdout.contains("of the best epoch"), "{out:#?}");
    let [plain, residual] =
        ["plain8", "resnet8"].map(|net| s.path("out").join(format!("{net}-seed0")));
    // The same photos are held out.
    assert_eq!(names(&plain, "validation"), names(&residual, "validation"));
    // As if it were killed before the photos of the second run were noted.
    let before = tensors(&residual);
    for name in [
        "photos.tsv",
        "last.safetensors",
        "best.safetensors",
        "metrics.jsonl",
        "run.json",
        "log.txt",
    ] {
        fs::remove_file(residual.join(name)).unwrap();
    }
    let again = s.run(&args).success();
    assert_eq!(again.stdout, out.stdout);
    assert!(tensors(&residual) == before, "bit-identical");
    // Responses are measured on the photos that were held out.
    let model = ["experiment", "responses", "--model", "out/resnet8-seed0", "--json"];
    let measured = &s.json(&model)[0]["responses"][0]["images"];
    assert_eq!(*measured, names(&residual, "validation").len());
    // More seeds, but not with other photos.
    let more = [&args[..], &["--seeds", "2"]].concat();
    let photo = s.path("photos/circle/0.ppm");
    let added = s.path("photos/circle/added.ppm");
    fs::copy(photo, &added).unwrap();
    let out = s.run(&more);
    out.fails_behind_notes(1, &["other photos than when the experiment began (", "--out"]);
    assert!(!s.path("out/plain8-seed1").exists());
    fs::remove_file(added).unwrap();
    s.run(&more).success();
    assert!(tensors(&residual) == before);
    // A net of the other family takes larger images, unless --image-size is given.
    s.run(&["experiment", "degradation", "photos", "--nets", "resnet8,resnet18"])
        .fails(2, &["different sizes", "--image-size"]);
}

#[test]
fn a_table_may_lie_next_to_the_folder_of_its_photos() {
    let s = Sandbox::new();
    write_photos(&s, &["cat", "dog"], 6);
    let row = |(class, index)| format!("photos/{class}/{index:02}.ppm,{class}\n");
    let rows = ["cat", "dog"].into_iter().flat_map(|class| (0..6).map(move |index| (class, index)));
    fs::write(s.path("table.csv"), format!("path,label\n{}", rows.map(row).collect::<String>()))
        .unwrap();
    let table = ["--labels", "table.csv"];
    let of = |out| ["--epochs", "1", "--out", out, "--quiet"];
    s.run(&train(&[&table[..], &of("run")].concat())).success();
    assert!(names(&s.path("run"), "").iter().all(|name| name.starts_with("photos/")));
    // The run finds them again, and knows those that it was trained on.
    assert_eq!(s.json(&["eval", "run", "--json"])[0]["images"], 2);
    let eval = [&["eval", "run", "photos", "--json"][..], &table].concat();
    let all = s.run(&eval).success();
    assert!(all.stderr.contains("10 of these 12 photos"), "{all:#?}");
    assert_eq!(s.json(&[&eval[..], &["--limit-test", "1"]].concat())[0]["images"], 1);
    s.run(&[&["eval", "run"][..], &table].concat()).fails(2, &["--labels", "MODEL FOLDER"]);
    s.run(&[&["train", "--config", "run"][..], &of("again")].concat()).success();
    assert!(tensors(&s.path("again")) == tensors(&s.path("run")));
    s.run(&["train", "--resume", "run", "--epochs", "2", "--quiet"]).success();

    // Of another folder it says nothing.
    fs::rename(s.path("photos"), s.path("others")).unwrap();
    s.run(&[&["train", "others", "--config", "run"][..], &of("other")].concat()).success();
    assert!(names(&s.path("other"), "").iter().all(|name| !name.starts_with("photos/")));
    let config = fs::read_to_string(s.path("other/config.toml")).unwrap();
    assert!(!config.contains("labels = "), "{config}");
    // Random weights are not several.
    let random = ["train", "others", "--config", "run", "--weights", "ema"];
    s.run(&random).fails(2, &["--weights", "--init"]);
}

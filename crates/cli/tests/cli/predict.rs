//! `resnet predict`: one photo and several, in every output format.

use std::{fs, path::Path, process::Stdio};

use serde_json::Value;

use crate::common::{Finished, Sandbox};

const PRETRAINED: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../resnet/tests/pretrained/resnet20-12fca82f.th");
const PHOTOS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../data/tests/photos");
const IMAGENET: [&str; 4] = ["--mean", "0.485,0.456,0.406", "--std", "0.229,0.224,0.225"];

fn predict(s: &Sandbox, args: &[&str]) -> Finished {
    s.run(&[&["predict", PRETRAINED, "--quiet"], &IMAGENET[..], args].concat())
}

fn records(finished: &Finished) -> Vec<Value> {
    finished.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn copy(s: &Sandbox, from: &str, to: &str) {
    let to = s.path(to);
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    fs::copy(Path::new(PHOTOS).join(from), to).unwrap();
}

#[test]
fn a_photo_and_its_five_classes() {
    let s = Sandbox::new();
    copy(&s, "rgb.png", "a.png");
    let text = predict(&s, &["a.png"]).success().stdout;
    assert_eq!(text.lines().next(), Some("a.png"));
    assert_eq!(text.lines().filter(|line| line.contains('%')).count(), 5, "{text}");
    assert_eq!(predict(&s, &["a.png", "--top", "3"]).success().stdout.lines().count(), 4);
    let record = &records(&predict(&s, &["a.png", "--json", "--top", "99"]).success())[0];
    assert_eq!(record["file"], "a.png");
    let top = record["top"].as_array().unwrap();
    let probabilities: Vec<f64> = top.iter().map(|c| c["probability"].as_f64().unwrap()).collect();
    assert_eq!(top.len(), 10);
    assert!((probabilities.iter().sum::<f64>() - 1.0).abs() < 1e-5);
    assert!(probabilities.is_sorted_by(|a, b| a >= b));
}

/// Other photos, their order and the number of threads do not matter.
#[test]
fn probabilities_do_not_depend_on_the_batch() {
    let s = Sandbox::new();
    let many = predict(&s, &["--json", "--top", "10", "--threads", "2", PHOTOS]).success();
    let many = records(&many);
    assert!(many.len() > 40);
    for index in [0, 7, 31, 32, many.len() - 1] {
        let file = many[index]["file"].as_str().unwrap();
        let alone = predict(&s, &["--json", "--top", "10", "--threads", "1", file]).success();
        assert_eq!(records(&alone), many[index..=index]);
    }
}

#[test]
fn folders_patterns_and_standard_input() {
    let s = Sandbox::new();
    for name in ["b.png", "a.png", "in/c.PNG", ".hidden/d.png", "in/.d.png", "[1].png"] {
        copy(&s, "rgb.png", &format!("photos/{name}"));
    }
    fs::write(s.path("photos/notes.txt"), "no photo").unwrap();
    let files = |args: &[&str]| -> Vec<String> {
        let finished = predict(&s, &[&["--json"], args].concat()).success();
        records(&finished).iter().map(|r| r["file"].as_str().unwrap().to_owned()).collect()
    };
    let all = ["photos/[1].png", "photos/a.png", "photos/b.png", "photos/in/c.PNG"];
    assert_eq!(files(&["photos"]), all);
    assert_eq!(files(&["photos/*.png"]), all[..3]);
    assert_eq!(files(&["photos/**/c*"]), all[3..]);
    assert_eq!(
        files(&["photos/[1].png", "photos/[ab].png"]),
        all[..3],
        "an existing file is not a pattern"
    );
    assert_eq!(
        files(&["photos/b.png", "photos/a.png"]),
        [all[2], all[1]],
        "in the order of the arguments"
    );

    let args = [&["predict", PRETRAINED, "--json", "-"], &IMAGENET[..]].concat();
    let stdin = Stdio::from(fs::File::open(s.path("photos/a.png")).unwrap());
    let output = s.command(&args).stdin(stdin).output().unwrap();
    let piped = records(&Finished::of(&args, output).success());
    let named = records(&predict(&s, &["--json", "photos/a.png"]).success());
    assert_eq!((&piped[0]["file"], &piped[0]["top"]), (&"-".into(), &named[0]["top"]));
}

#[test]
fn unreadable_photos_are_named_and_skipped() {
    let s = Sandbox::new();
    copy(&s, "rgb.png", "good.png");
    fs::write(s.path("bad.png"), "text").unwrap();
    fs::create_dir(s.path("empty")).unwrap();
    predict(&s, &["bad.png"]).fails(1, &["bad.png is not an image"]);
    predict(&s, &["nowhere.png"]).fails(1, &["nowhere.png cannot be read: No such file"]);
    predict(&s, &["empty"]).fails(1, &["the folder empty has no images"]);
    predict(&s, &["*.gif"]).fails(1, &["*.gif matches no file"]);
    let args = ["--json", "bad.png", "good.png", "empty", "nowhere.png"];
    let mixed = predict(&s, &args).fails_behind_notes(1, &["3 of 4 images could not be read"]);
    assert_eq!(records(&mixed).len(), 1);
    let skipped: Vec<_> = mixed.stderr.lines().filter(|l| l.starts_with("skipped: ")).collect();
    assert_eq!(skipped.len(), 3, "{mixed:?}");
    s.run(&["predict", "nowhere", "good.png"]).fails(1, &["nowhere"]);
    s.run(&["predict", PRETRAINED]).fails(2, &["required"]);
    predict(&s, &["good.png", "--csv", "--json"]).fails(2, &["--csv", "--json"]);
}

#[test]
fn several_photos_make_a_table_or_csv() {
    let s = Sandbox::new();
    for name in ["a, \"b\".png", "c.png"] {
        copy(&s, "rgb.png", name);
    }
    let files = ["a, \"b\".png", "c.png"];
    let csv = predict(&s, &[&["--csv", "--top", "2"], &files[..]].concat()).success().stdout;
    let lines: Vec<_> = csv.lines().collect();
    assert_eq!(lines[0], "file,index_1,class_1,probability_1,index_2,class_2,probability_2");
    let json = records(&predict(&s, &[&["--json"], &files[..]].concat()).success());
    let [first, second] = [0, 1].map(|i| &json[0]["top"][i]);
    let fields = format!(
        "{},{},{},{},{},{}",
        first["index"],
        first["class"].as_str().unwrap(),
        first["probability"],
        second["index"],
        second["class"].as_str().unwrap(),
        second["probability"]
    );
    assert_eq!(lines[1], format!("\"a, \"\"b\"\".png\",{fields}"));
    assert_eq!(lines[2], format!("c.png,{fields}"));
    assert_eq!(lines.len(), 3);
    let table = predict(&s, &files).success().stdout;
    assert_eq!(table.lines().count(), 3, "{table}");
    assert!(table.starts_with("file") && !table.contains('\u{1b}'));
}

/// Classes, normalisation and image size come from the run. A missing normalisation is noted.
#[test]
fn a_run_states_its_preprocessing() {
    let s = Sandbox::new();
    let train = ["train", "synthetic", "--arch", "resnet8", "--epochs", "1", "--out", "run"];
    s.run(&[&train[..], &["--limit-train", "64", "--limit-test", "10"]].concat()).success();
    copy(&s, "grey.jpg", "a.jpg");
    let of_run = s.run(&["predict", "run", "a.jpg", "--json"]).success();
    assert_eq!(of_run.stderr, "");
    let classes = s.json(&["data", "info", "synthetic", "--json"])[0]["classes"].clone();
    assert!(classes.as_array().unwrap().contains(&records(&of_run)[0]["top"][0]["class"]));
    let unknown = s.run(&["predict", PRETRAINED, "a.jpg", "--dtype", "bf16"]).success();
    assert!(unknown.stderr.contains("using the values of CIFAR-10 (override them"), "{unknown:?}");
}

#[test]
fn options_choose_the_preprocessing() {
    let s = Sandbox::new();
    copy(&s, "subsampling-0.jpg", "a.jpg");
    let top = |options: &[&str]| {
        let found = predict(&s, &[&["--json", "--top", "10", "a.jpg"], options].concat()).success();
        records(&found)[0]["top"].clone()
    };
    let usual = top(&[]);
    assert_eq!(top(&["--interpolation", "bilinear"]), usual);
    assert_eq!(top(&["--crop-mode", "squash"]), usual);
    assert_eq!(top(&["--image-size", "32"]), usual);
    let options = [
        &["--interpolation", "bicubic"][..],
        &["--resize", "40"],
        &["--resize", "40", "--crop", "28"],
        &["--crop", "28"],
        &["--crop-mode", "center"],
        &["--crop-mode", "border"],
    ];
    let others: Vec<Value> = options.iter().map(|options| top(options)).collect();
    for (index, other) in others.iter().enumerate() {
        assert_ne!(*other, usual, "{:?}", options[index]);
        assert!(!others[..index].contains(other), "{:?}", options[index]);
    }
    predict(&s, &["a.jpg", "--resize", "20"]).fails(2, &["fewer than the 32", "--resize 32"]);
    predict(&s, &["a.jpg", "--crop", "20", "--image-size", "20"]).fails(2, &["--crop"]);
    predict(&s, &["a.jpg", "--interpolation", "cubic"]).fails(2, &["invalid value 'cubic'"]);
}

/// What was chosen in a file is kept by conversion.
#[test]
fn converted_files_keep_the_preprocessing() {
    let s = Sandbox::new();
    let mut model = resnet::model_file::Model::demo();
    (model.resize, model.classes) = (Some(40), None);
    model.interpolation = resnet::data::photo::Interpolation::Lanczos;
    model.crop_mode = resnet::data::photo::CropMode::Border;
    let format = resnet::model_file::SaveFormat::Safetensors;
    model.save(&*s.path("a.safetensors"), format).unwrap();
    copy(&s, "subsampling-0.jpg", "a.jpg");
    let top = |model: &str, options: &[&str]| {
        let args = [&["predict", model, "a.jpg", "--json", "--top", "10"], options].concat();
        records(&s.run(&args).success())[0]["top"].clone()
    };
    s.run(&["convert", "a.safetensors", "b.tar"]).success();
    let stated = top("a.safetensors", &[]);
    assert_eq!(top("b.tar", &[]), stated);
    let chosen = ["--resize", "40", "--crop-mode", "border", "--interpolation", "lanczos"];
    let demo = top("demo", &chosen);
    assert_eq!(demo[0]["probability"], stated[0]["probability"]);
}

#[test]
fn images_that_are_not_read_are_named() {
    let s = Sandbox::new();
    copy(&s, "rgb.png", "roll/a.png");
    copy(&s, "grey.jpg", "roll/b.HEIC");
    fs::write(s.path("roll/c.heic"), b"\0\0\0\x18ftypheic\0\0\0\0mif1heic").unwrap();
    fs::write(s.path("roll/d.tga"), [0; 40]).unwrap();
    fs::write(s.path("roll/e"), b"II*\0\x08\0\0\0").unwrap();
    fs::write(s.path("roll/notes.txt"), "no photo").unwrap();
    let found = predict(&s, &["roll", "--json"]);
    let found = found.fails_behind_notes(1, &["3 of 5 images could not be read"]);
    assert_eq!(records(&found).len(), 2);
    for text in [
        "roll/c.heic is HEIC, which is not supported",
        "roll/d.tga is not an image",
        "roll/e is truncated",
    ] {
        assert!(found.stderr.contains(text), "{found:?}");
    }
}

#[test]
fn class_names_come_from_a_file() {
    let s = Sandbox::new();
    copy(&s, "rgb.png", "a.png");
    let names: Vec<String> = (0..10).map(|class| format!("name {class}")).collect();
    fs::write(s.path("names.txt"), names.join("\n")).unwrap();
    fs::write(s.path("two.json"), r#"["a", "b"]"#).unwrap();
    let record =
        &records(&predict(&s, &["a.png", "--json", "--class-names", "names.txt"]).success())[0];
    for candidate in record["top"].as_array().unwrap() {
        assert_eq!(candidate["class"], format!("name {}", candidate["index"]));
    }
    let wrong = predict(&s, &["a.png", "--class-names", "two.json"]);
    wrong.fails(1, &["two.json has 2 class names, but the network has 10 classes"]);
    predict(&s, &["a.png", "--class-names", "none"]).fails(1, &["none cannot be read"]);
}

/// Names that differ only in the middle, where a table cuts them.
#[test]
fn long_class_names_are_whole_in_csv() {
    let s = Sandbox::new();
    copy(&s, "rgb.png", "a.png");
    let name = |class: usize| format!("{}{class}{}", "a".repeat(200), "z".repeat(200));
    fs::write(s.path("names.txt"), (0..10).map(name).collect::<Vec<_>>().join("\n")).unwrap();
    let csv = ["a.png", "--class-names", "names.txt", "--csv", "--top", "10"];
    let csv = predict(&s, &csv).success().stdout;
    let fields: Vec<&str> = csv.lines().nth(1).unwrap().split(',').collect();
    for class in fields[1..].chunks(3) {
        assert_eq!(class[1], name(class[0].parse().unwrap()));
    }
    let table = predict(&s, &["a.png", "--class-names", "names.txt"]).success().stdout;
    assert!(table.lines().all(|line| line.len() < 300), "{table}");
}

#[cfg(target_os = "linux")]
#[test]
fn names_that_are_not_utf8_stay_apart() {
    use std::{ffi::OsStr, os::unix::ffi::OsStrExt};
    let s = Sandbox::new();
    for name in [&b"caf\xe8.png"[..], b"caf\xe9.png"] {
        copy(&s, "rgb.png", "p/x");
        fs::rename(s.path("p/x"), s.path("p").join(OsStr::from_bytes(name))).unwrap();
    }
    let found = records(&predict(&s, &["p", "--json"]).success());
    assert_eq!(found[0]["file"], r"$'p/caf\xe8.png'");
    assert_eq!(found[1]["file"], r"$'p/caf\xe9.png'");
}

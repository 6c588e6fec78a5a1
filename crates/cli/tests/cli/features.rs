//! `predict --features` and `--cam`, and `similar`: what enters the head of a network.

use std::{fs, path::Path};

use resnet::model_file::Model;
use resnet_formats::safetensors;
use serde_json::Value;

use crate::common::Sandbox;

const PHOTOS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../data/tests/photos");
const NAMES: [&str; 3] = ["grey.jpg", "rgb.png", "subsampling-0.jpg"];

/// Three photos, and a file that is none, in the folder `photos`.
fn photos() -> Sandbox {
    let s = Sandbox::new();
    fs::create_dir(s.path("photos")).unwrap();
    for name in NAMES {
        fs::copy(Path::new(PHOTOS).join(name), s.path("photos").join(name)).unwrap();
    }
    fs::write(s.path("photos/no.png"), "text").unwrap();
    s
}

fn records(stdout: &str) -> Vec<Value> {
    stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// `predict demo` of the folder: its records, and what it says.
fn predict(s: &Sandbox, options: &[&str]) -> (Vec<Value>, String) {
    let args = [&["predict", "demo", "photos", "--json", "--top", "10"], options].concat();
    let done = s.run(&args).fails_behind_notes(1, &["1 of 4 images could not be read"]);
    (records(&done.stdout), done.stderr)
}

/// The features in a file, and the names of their photos.
fn features(path: &Path) -> (Vec<f32>, Vec<String>) {
    let (tensors, metadata) = safetensors::read(path).unwrap();
    let [(name, features)] = &tensors[..] else { panic!("one tensor") };
    assert_eq!((name.as_str(), features.shape[1]), ("features", 64));
    (features.as_f32().unwrap().to_vec(), serde_json::from_str(&metadata["files"]).unwrap())
}

/// `softmax(features * W^T + b)`
fn probabilities(features: &[f32]) -> Vec<f64> {
    let net = Model::demo().network;
    let [.., weight, bias] = net.params() else { panic!("a head") };
    let (weight, bias) = (&net.values()[weight.range.clone()], &net.values()[bias.range.clone()]);
    let product = |row: &[f32]| -> f64 {
        row.iter().zip(features).map(|(&w, &x)| f64::from(w) * f64::from(x)).sum()
    };
    let rows = weight.chunks_exact(features.len()).zip(bias);
    let powers: Vec<f64> = rows.map(|(row, &b)| (product(row) + f64::from(b)).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.iter().map(|power| power / sum).collect()
}

#[test]
fn features_times_the_head_are_the_predictions() {
    let s = photos();
    let (found, said) = predict(&s, &["--features", "f.safetensors"]);
    assert!(said.contains("wrote 64 features of 3 photos to f.safetensors"), "{said}");
    assert_eq!(found, predict(&s, &[]).0, "and change no prediction");
    let (values, names) = features(&s.path("f.safetensors"));
    assert_eq!((values.len(), names.len()), (3 * 64, 3));
    for ((row, name), record) in values.chunks_exact(64).zip(&names).zip(&found) {
        assert_eq!(record["file"], name.as_str());
        let expected = probabilities(row);
        for class in record["top"].as_array().unwrap() {
            let p = class["probability"].as_f64().unwrap();
            let index = class["index"].as_u64().unwrap() as usize;
            assert!((p - expected[index]).abs() < 1e-5, "{p} for {}", expected[index]);
        }
    }

    predict(&s, &["--features", "f.npy"]);
    let npy = fs::read(s.path("f.npy")).unwrap();
    let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
    assert!(npy.ends_with(&bytes) && npy[..128].ends_with(b"\n"));
    assert_eq!(npy.len(), 128 + bytes.len());
    assert!(String::from_utf8_lossy(&npy[..128]).contains("(3, 64, )"));
    assert_eq!(fs::read_to_string(s.path("f.txt")).unwrap(), names.join("\n") + "\n");

    // Alone, a photo has the same bits.
    let alone = ["predict", "demo", &*names[1], "--threads", "1", "--features", "g.safetensors"];
    s.run(&alone).success();
    assert_eq!(features(&s.path("g.safetensors")).0, values[64..128]);
    s.run(&["predict", "demo", "photos", "--features", "f.csv"]).fails(2, &["--features", ".npy"]);
}

#[test]
fn a_file_of_features_and_its_names_belong_together() {
    let s = photos();
    let save = |file: &str| s.run(&["predict", "demo", "photos/rgb.png", "--features", file]);
    fs::write(s.path("notes.txt"), "mine").unwrap();
    save("notes.npy").fails_behind_notes(1, &["would replace notes.txt", "--features"]);
    assert_eq!(fs::read_to_string(s.path("notes.txt")).unwrap(), "mine");
    for _ in 0..2 {
        save("f.npy").success();
    }
    // The names cannot be written.
    fs::remove_file(s.path("f.txt")).unwrap();
    fs::create_dir(s.path("f.txt")).unwrap();
    save("f.npy").fails_behind_notes(1, &["cannot write f.txt"]);
    assert!(!s.path("f.npy").exists());
}

#[test]
fn heat_maps_are_drawn_one_for_each_photo() {
    let s = photos();
    fs::create_dir(s.path("photos/sub")).unwrap();
    fs::copy(s.path("photos/rgb.png"), s.path("photos/sub/RGB.png")).unwrap();
    let args = ["predict", "demo", "photos", "--json", "--cam", "--format", "both"];
    let done = s.run(&args).fails_behind_notes(1, &["1 of 5 images"]);
    assert!(done.stderr.contains("wrote 4 heat maps into demo-cam"), "{done:?}");
    let expected = ["grey-cam", "rgb-cam", "RGB-cam-2", "subsampling-0-cam"];
    let found = records(&done.stdout);
    let mut files: Vec<&str> = Vec::new();
    for record in &found {
        files.extend(record["pictures"].as_array().unwrap().iter().map(|p| p.as_str().unwrap()));
    }
    files.sort_unstable();
    let mut names: Vec<String> = expected
        .iter()
        .flat_map(|name| ["png", "svg"].map(|suffix| format!("demo-cam/{name}.{suffix}")))
        .collect();
    names.sort_unstable();
    assert_eq!(files, names);
    assert_eq!(fs::read_dir(s.path("demo-cam")).unwrap().count(), 9, "with the mark");
    let png = fs::read(s.path("demo-cam/rgb-cam.png")).unwrap();
    assert!(png.starts_with(b"\x89PNG"));
    let svg = fs::read_to_string(s.path("demo-cam/rgb-cam.svg")).unwrap();
    let rgb = found.iter().find(|record| record["file"] == "photos/rgb.png").unwrap();
    assert!(svg.contains("photos/rgb.png") && svg.matches("<image ").count() == 3);
    for class in rgb["top"].as_array().unwrap() {
        assert!(svg.contains(class["class"].as_str().unwrap()), "{class}");
    }

    // The same bits alone; another folder, which no earlier picture is in.
    let alone = ["predict", "demo", "photos/rgb.png", "--cam", "--threads", "1"];
    s.run(&alone).success();
    assert_eq!(fs::read(s.path("demo-cam-2/rgb-cam.png")).unwrap(), png);
    // A picture does not replace a photo.
    let photo = fs::read(s.path("photos/rgb.png")).unwrap();
    s.run(&[&alone[..], &["--out", "photos"]].concat()).success();
    assert_eq!(fs::read(s.path("photos/rgb.png")).unwrap(), photo);
    assert_eq!(fs::read(s.path("photos/rgb-cam.png")).unwrap(), png);
    s.run(&["predict", "demo", "photos", "--out", "maps"]).fails(2, &["required"]);
}

#[test]
fn similar_photos_are_sorted_by_the_cosine() {
    let s = photos();
    fs::copy(s.path("photos/rgb.png"), s.path("photos/copy.png")).unwrap();
    s.run(&["predict", "demo", "photos", "--features", "f.safetensors"])
        .fails_behind_notes(1, &["1 of 5"]);
    let (values, names) = features(&s.path("f.safetensors"));
    let row = |name: &str| {
        let index = names.iter().position(|other| other == name).unwrap();
        &values[64 * index..][..64]
    };
    let similar = |more: &[&str]| {
        let args = [&["similar", "demo", "photos", "photos/rgb.png"], more].concat();
        s.run(&args).fails_behind_notes(1, &["1 of 5 images could not be compared"])
    };
    let done = similar(&["--json"]);
    assert!(done.stderr.contains("skipped: photos/no.png"), "{done:?}");
    let found = records(&done.stdout);
    assert_eq!(found.len(), 3, "all but the photo itself");
    assert_eq!(found[0]["file"], "photos/copy.png");
    assert!((found[0]["similarity"].as_f64().unwrap() - 1.0).abs() < 1e-6);
    let mut last = 2.0;
    for record in &found {
        let (a, b) = (row("photos/rgb.png"), row(record["file"].as_str().unwrap()));
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
        let expected = dot(a, b) / (dot(a, a).sqrt() * dot(b, b).sqrt());
        let similarity = record["similarity"].as_f64().unwrap();
        assert!((similarity - f64::from(expected)).abs() < 1e-5 && similarity <= last);
        last = similarity;
    }
    let csv = similar(&["--csv", "--top", "1"]).stdout;
    let similarity = csv.trim_end().strip_prefix("file,similarity\nphotos/copy.png,").unwrap();
    assert_eq!(similarity.parse::<f64>().ok(), found[0]["similarity"].as_f64());
    let text = similar(&[]).stdout;
    assert_eq!(text.lines().count(), 4, "{text}");
    s.run(&["similar", "demo", "photos", "photos/no.png"]).fails(1, &["no.png is not an image"]);
    let nothing = s.run(&["similar", "demo", "nowhere", "photos/rgb.png"]);
    nothing.fails_behind_notes(1, &["no photo of nowhere could be compared"]);
}

#[test]
fn a_photo_with_a_long_name_has_a_heat_map_too() {
    let s = Sandbox::new();
    fs::create_dir(s.path("long")).unwrap();
    let names = ["猫", "x"].map(|c| c.repeat(250 / c.len()) + ".png");
    for name in &names {
        fs::copy(Path::new(PHOTOS).join("rgb.png"), s.path("long").join(name)).unwrap();
    }
    let done = s.run(&["predict", "demo", "long", "--cam"]).success();
    assert!(done.stderr.contains("wrote 2 heat maps"), "{done:#?}");
    for start in ["猫".repeat(73), "x".repeat(220)] {
        assert!(s.path("demo-cam").join(start + "-cam.png").is_file());
    }
}

#[test]
fn features_before_an_error_are_written() {
    let s = photos();
    // The second picture cannot be.
    fs::create_dir_all(s.path("maps/rgb-cam.png/full")).unwrap();
    let args = ["predict", "demo", "photos/grey.jpg", "photos/rgb.png", "--features"];
    let pictures = ["--cam", "--format", "png", "--out", "maps"];
    s.run(&[&args[..], &["f.safetensors"], &pictures].concat())
        .fails_behind_notes(1, &["rgb-cam.png"]);
    assert_eq!(features(&s.path("f.safetensors")).1, ["photos/grey.jpg"]);
}

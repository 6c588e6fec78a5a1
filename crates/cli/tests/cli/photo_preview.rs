//! `resnet data preview`.

use std::fs;

use crate::common::Sandbox;

#[test]
fn the_images_of_an_epoch_are_drawn() {
    let s = Sandbox::new();
    let images = ["--limit-train", "40", "--limit-test", "4"];
    let preview = |more: &[&str]| {
        let args = [&["data", "preview", "synthetic", "--json"][..], &images, more].concat();
        s.json(&args).remove(0)
    };
    let first = preview(&["--count", "6"]);
    assert_eq!((&first["file"], &first["images"]), (&"preview.png".into(), &6.into()));
    // The usual recipe begins with small images.
    assert_eq!((&first["height"], &first["width"]), (&16.into(), &16.into()));
    assert_eq!(preview(&["--epoch", "11", "--out", "last.png"])["height"], 32);
    assert!(fs::read(s.path("preview.png")).unwrap().starts_with(b"\x89PNG"));
    // Another epoch and another seed show others; nothing is replaced.
    let second = preview(&["--count", "6", "--epoch", "2"]);
    assert_eq!(second["file"], "preview-2.png");
    assert_ne!(second["labels"], first["labels"]);
    assert_ne!(preview(&["--count", "6", "--seed", "1"])["labels"], first["labels"]);

    // Mixed images have the labels of both.
    let out = s.path("mixed.svg");
    let mixed = preview(&["--mixup", "1", "--out", out.to_str().unwrap()]);
    let labels: Vec<&str> =
        mixed["labels"].as_array().unwrap().iter().filter_map(|label| label.as_str()).collect();
    assert!(labels.iter().any(|label| label.contains("% ") && label.contains(", ")), "{labels:?}");
    assert_eq!(fs::read_to_string(out).unwrap().matches("<image").count(), labels.len());

    s.run(&["data", "preview", "synthetic", "--out", "x.jpg"]).fails(2, &[".png or .svg"]);
    s.run(&["data", "preview", "synthetic", "--epoch", "1000"]).fails(2, &["--epoch 1000"]);
    s.run(&["data", "preview", "no/such"]).fails(1, &["cannot read", "no/such"]);
}

/// There is nothing to save. The command is blocked, since nobody reads the whole picture.
#[cfg(unix)]
#[test]
fn a_signal_ends_it_at_once() {
    use std::process::Command;
    let s = Sandbox::new();
    assert!(Command::new("mkfifo").arg(s.path("pipe.svg")).status().unwrap().success());
    let images = ["--limit-train", "400", "--limit-test", "4", "--count", "400"];
    let preview = ["data", "preview", "synthetic", "--out", "pipe.svg"];
    let mut child = s.spawn(&[&preview[..], &images].concat());
    // Waits for the writer.
    let reader = fs::File::open(s.path("pipe.svg")).unwrap();
    let kill = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(kill.unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    drop(reader);
}

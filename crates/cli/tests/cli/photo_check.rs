//! `resnet data check`: tables, JSON, the page and `--strict`.

use std::fs;

use crate::common::Sandbox;

/// Writes a PNG of 48x40 pixels: waves of a direction.
fn write(s: &Sandbox, name: &str, direction: f32) {
    let pixel = |i: usize| {
        let (x, y) = ((i % 48) as f32, (i / 48) as f32);
        let wave = ((x * direction.cos() + y * direction.sin()) * 0.2).sin();
        [(128.0 + 100.0 * wave) as u8, 90, (128.0 - 60.0 * wave) as u8]
    };
    let pixels: Vec<u8> = (0..48 * 40).flat_map(pixel).collect();
    fs::create_dir_all(s.path(name).parent().unwrap()).unwrap();
    let mut encoder = png::Encoder::new(fs::File::create(s.path(name)).unwrap(), 48, 40);
    encoder.set_color(png::ColorType::Rgb);
    encoder.write_header().unwrap().write_image_data(&pixels).unwrap();
}

/// Two classes with a duplicate in the validation part, a photo with two labels, and a damaged one.
fn folder() -> Sandbox {
    let s = Sandbox::new();
    for (name, direction) in [
        ("p/train/a/1.png", 0.3),
        ("p/val/a/again.png", 0.3),
        ("p/train/a/2.png", 1.2),
        ("p/train/b/2.png", 1.2),
    ] {
        write(&s, name, direction);
    }
    fs::write(s.path("p/train/b/<i>.jpg"), "no photo").unwrap();
    fs::write(s.path("p/train/README.jpg"), "").unwrap();
    s
}

#[test]
fn problems_are_in_a_table_and_in_json() {
    let s = folder();
    let out = s.run(&["data", "check", "p"]).success();
    for part in [
        "train/b/<i>.jpg is not an image in a supported format",
        "photos in several parts           1  train/a/1.png and val/a/again.png",
        "photos with several labels        1  train/a/2.png and train/b/2.png",
    ] {
        assert!(out.stdout.contains(part), "{part}: {out:#?}");
    }
    let notes = [
        "left out a photo outside the class folders",
        "val has no photos of b",
        "--html page.html",
    ];
    assert!(notes.iter().all(|note| out.stderr.contains(note)), "{out:#?}");

    let json = &s.json(&["data", "check", "p", "--json", "--quiet"])[0];
    assert_eq!((&json["photos"], &json["folder"]), (&5.into(), &"p".into()));
    assert_eq!(json["classes"][0]["name"], "a");
    assert_eq!(json["classes"][1]["damaged"], 1);
    assert_eq!(json["damaged"][0]["photo"], "train/b/<i>.jpg");
    let duplicates = json["duplicates"].as_array().unwrap();
    assert_eq!(duplicates.len(), 2);
    assert_eq!(duplicates[0]["across_parts"], true);
    assert_eq!(duplicates[1]["photos"][1]["class"], "b");
    assert_eq!(json["notes"].as_array().unwrap().len(), 2);
}

#[test]
fn the_page_shows_the_photos() {
    let s = folder();
    s.run(&["data", "check", "p", "--html", "page.html", "--quiet"]).success();
    let page = fs::read_to_string(s.path("page.html")).unwrap();
    // Two pairs, and three of the classes' own photos; the damaged one cannot be shown.
    assert_eq!(page.matches("<img src=\"data:image/png;base64,").count(), 4 + 3);
    for part in [
        "In several parts",
        "With several labels",
        "train/b/&lt;i&gt;.jpg",
        "val has no photos of b",
    ] {
        assert!(page.contains(part), "{part}");
    }
    assert!(!page.contains("<i>") && !page.contains("<script"));
}

#[test]
fn strict_fails_for_what_spoils_training() {
    let s = folder();
    let complaints = [
        "1 photo damaged or unreadable",
        "1 photo in several parts",
        "1 photo with several labels",
    ];
    s.run(&["data", "check", "p", "--strict", "--quiet"]).fails(1, &complaints);
    fs::remove_dir_all(s.path("p/val")).unwrap();
    fs::remove_file(s.path("p/train/b/<i>.jpg")).unwrap();
    fs::remove_file(s.path("p/train/a/2.png")).unwrap();
    let out = s.run(&["data", "check", "p", "--strict"]).success();
    assert!(out.stdout.contains("2 photos, and nothing is wrong with them"), "{out:#?}");
}

#[test]
fn tables_of_labels_and_wrong_folders() {
    let s = folder();
    fs::write(s.path("labels.csv"), "path,label\ntrain/a/1.png,x\ntrain/a/2.png,y\n").unwrap();
    let json = &s.json(&["data", "check", "p", "--labels", "labels.csv", "--json"])[0];
    assert_eq!((&json["photos"], &json["classes"][1]["name"]), (&2.into(), &"y".into()));
    s.run(&["data", "check", "none"]).fails(1, &["cannot read none"]);
    s.run(&["data", "check", "p/train/a"]).fails(1, &["p/train/a has 2 photos", "--labels FILE"]);
    fs::write(s.path("labels.csv"), "path,label\nno.png,x\n").unwrap();
    s.run(&["data", "check", "p", "--labels", "labels.csv"])
        .fails(1, &["1 of the 1 photos in labels.csv is missing: no.png (line 2)"]);
}

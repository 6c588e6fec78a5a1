//! Which photos a run trains on, and which are held out: folders, shares, limits and tables.

use std::fs;

use crate::common::{
    Sandbox,
    photo_runs::{CLASSES, OF_CLASS, make_photos, metrics, names, train},
    tensors, write_photos,
};

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

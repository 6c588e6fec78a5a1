//! Where classes, parts and photos are found.

use super::*;
use crate::output::mark_output;

#[test]
fn a_folder_of_classes() {
    let folder = Folder::new(&["dog/b.png", "dog/a.JPG", "cat/1.webp", "cat/10.gif", "cat/2.bmp"]);
    let set = folder.open();
    assert_eq!(set.classes, ["cat", "dog"]);
    assert_eq!(
        photos(&set, &set.train),
        ["cat: cat/1.webp cat/10.gif cat/2.bmp", "dog: dog/a.JPG dog/b.png"]
    );
    assert_eq!(set.train.path(0), folder.path("cat/1.webp"));
    assert_eq!((set.train.len(), set.train.labels()), (5, &[0, 0, 0, 1, 1][..]));
    assert!(set.validation.is_none() && set.test.is_none() && set.notes.is_empty());
}

#[test]
fn classes_are_sorted_as_torchvision_sorts_them() {
    let names = ["10", "2", "9", "Zebra", "apple", "ä", "кот", "猫", "🐈", "e\u{301}"];
    let files = names.map(|name| format!("{name}/a.jpg"));
    let set = Folder::new(&files.each_ref().map(String::as_str)).open();
    // sorted() of Python.
    let sorted = ["10", "2", "9", "Zebra", "apple", "e\u{301}", "ä", "кот", "猫", "🐈"];
    assert_eq!(set.classes, sorted);
}

/// The order of torchvision's `ImageFolder.samples`: `sorted(os.walk(folder))`, then sorted names.
#[test]
fn nested_folders_belong_to_their_class() {
    let folder = Folder::new(&[
        "a/z.jpg",
        "a/b/2.jpg",
        "a/b/1.jpg",
        "a/b/c/0.jpg",
        "a/b-c/3.jpg",
        "a/B/4.jpg",
        "b/x.jpg",
    ]);
    let set = folder.open();
    assert_eq!(
        photos(&set, &set.train)[0],
        "a: a/z.jpg a/B/4.jpg a/b/1.jpg a/b/2.jpg a/b-c/3.jpg a/b/c/0.jpg"
    );
}

#[test]
fn parts_are_found_by_name() {
    for (train, validation, test) in [
        ("train", "val", "test"),
        ("Training", "valid", "Testing"),
        ("train", "Validation", "test"),
    ] {
        let folder = Folder::new(&[]);
        for (part, classes) in [(train, "abc"), (validation, "ca"), (test, "b")] {
            classes.chars().for_each(|c| folder.write(&format!("{part}/{c}/1.jpg"), ""));
        }
        let set = folder.open();
        assert_eq!(set.classes, ["a", "b", "c"]);
        assert_eq!(set.train.labels(), [0, 1, 2]);
        let [validation_list, test_list] =
            [&set.validation, &set.test].map(|l| l.as_ref().unwrap());
        assert_eq!((validation_list.labels(), test_list.labels()), (&[0, 2][..], &[1][..]));
        assert_eq!(validation_list.path(1), folder.path(&format!("{validation}/c/1.jpg")));
        let notes =
            [format!("{validation} has no photos of b"), format!("{test} has no photos of a, c")];
        assert_eq!(set.notes, notes);
    }
}

#[test]
fn a_class_of_trains_is_no_part() {
    let set = Folder::new(&["bus/1.jpg", "car/1.jpg", "train/1.jpg"]).open();
    assert_eq!(set.classes, ["bus", "car", "train"]);
    assert_eq!(set.notes, ["train is a class here, for there are folders next to it"]);
    let set = Folder::new(&["bus/1.jpg", "test/1.jpg", "train/1.jpg"]).open();
    assert_eq!(set.classes, ["bus", "test", "train"]);

    let parts = ["train/a/1.jpg", "train/b/1.jpg", "val/a/1.jpg", "annotations/a/1.xml"];
    let set = Folder::new(&parts).open();
    assert_eq!(set.classes, ["a", "b"]);
    let notes = ["val has no photos of b", "left out a folder next to train, annotations"];
    assert_eq!(set.notes, notes);
}

/// The photos of a contest's test part have no labels.
#[test]
fn a_test_part_without_labels_is_left_out() {
    for (file, note) in [
        ("test/1.jpg", "test has 1 photo without class folders: it is left out"),
        ("test/unknown/1.jpg", "test has no photos of the classes: it is left out"),
        ("test/", "test has no photos: it is left out"),
        ("val/", "val has no photos: it is left out"),
        ("val/a/", "val has no photos of the classes: it is left out"),
    ] {
        let set = Folder::new(&["train/a/1.jpg", "train/b/1.jpg", file]).open();
        assert!(set.test.is_none() && set.validation.is_none());
        assert_eq!(set.notes, [note]);
    }
}

#[test]
fn other_files_are_left_out_with_a_note() {
    let folder = Folder::new(&[
        "a/1.jpg",
        "b/1.jpg",
        ".git/x/1.jpg",
        "__MACOSX/a/._1.jpg",
        ".ipynb_checkpoints/1.jpg",
        "a/.DS_Store",
        "a/._1.jpg",
        "b/Thumbs.db",
        "a/README.txt",
        "b/notes/x.json",
        "a/2.heic",
        "3.jpg",
        "labels.csv",
    ]);
    folder.write("a/without suffix", "\u{89}");
    fs::write(folder.path("b/photo"), b"\xFF\xD8\xFF\xE0").unwrap();
    let set = folder.open();
    assert_eq!(set.classes, ["a", "b"]);
    assert_eq!(photos(&set, &set.train), ["a: a/1.jpg", "b: b/1.jpg b/photo"]);
    let starts = [
        "left out 6 hidden files and folders, such as ",
        "left out 3 files that are no photos, such as ",
        "left out a photo in a format that is not read, a/2.heic: convert them to JPEG or PNG",
        "left out a photo outside the class folders, 3.jpg",
    ];
    assert_eq!(set.notes.len(), starts.len(), "{:?}", set.notes);
    assert!(
        set.notes.iter().zip(starts).all(|(note, start)| note.starts_with(start)),
        "{:?}",
        set.notes
    );
}

/// A run, an experiment with a run, and heat maps.
#[test]
fn what_the_program_wrote_is_no_class() {
    let write = |folder: &Folder, runs: &[&str]| {
        for run in runs {
            for file in ["config.toml", "metrics.jsonl", "pictures/cam.png"] {
                folder.write(&format!("{run}/{file}"), "");
            }
        }
    };
    let files = ["a/1.jpg", "b/1.jpg", "demo-cam/1-cam.png", "a/maps/1-cam.png"];
    let folder = Folder::new(&files);
    write(&folder, &["runs/x", "runs/paper/net", "mine", "b/mine"]);
    for file in ["paper/experiment.toml", "paper/figure.png", "report.html", "nohup.out"] {
        folder.write(&format!("runs/{file}"), "");
    }
    for name in ["demo-cam", "a/maps"] {
        mark_output(&folder.path(name)).unwrap();
    }
    let set = folder.open();
    assert_eq!(photos(&set, &set.train), ["a: a/1.jpg", "b: b/1.jpg"]);
    let [note] = &set.notes[..] else { panic!("{:?}", set.notes) };
    assert!(note.starts_with("left out 5 folders that resnet wrote, such as "), "{note}");

    let folder = Folder::new(&["train/a/1.jpg", "train/b/1.jpg"]);
    write(&folder, &["runs/x"]);
    let set = folder.open();
    assert_eq!(set.classes, ["a", "b"]);
    assert_eq!(set.notes, ["left out a folder that resnet wrote, runs"]);

    // A folder that is no part may make `train` a class, but it is counted once.
    let files = ["train/a/1.jpg", "train/b/1.jpg", "val/a/1.jpg", "val/b/1.jpg", "notes/x.txt"];
    let folder = Folder::new(&files);
    write(&folder, &["train/mine"]);
    let notes = [
        "left out a folder next to train, notes",
        "left out a folder that resnet wrote, train/mine",
    ];
    assert_eq!(folder.open().notes, notes);

    // Photos next to a run, and a configuration of another program.
    let folder = Folder::new(&["a/1.jpg", "b/c/1.jpg", "c/config.toml", "c/1.jpg"]);
    write(&folder, &["b/run"]);
    assert_eq!(folder.open().classes, ["a", "b", "c"]);
}

#[test]
fn what_is_no_data_set_says_what_to_do() {
    for (files, error) in [
        (&[][..], "ROOT has no photos: give a folder that has a folder of photos for each class"),
        (
            &["b.jpg", "a.jpg", "README"],
            "ROOT has 2 photos, such as a.jpg, but no class folders: sort them into a folder for each \
             class, or give a table of their labels with --labels FILE",
        ),
        (&["a.jpg", "l.tsv"], "give a table of their labels with --labels ROOT/l.tsv"),
        (
            &["cat/1.jpg", "cat/2.jpg"],
            "ROOT has photos of one class, cat: there is nothing to learn",
        ),
        (
            &["photos/cat/1.jpg", "photos/dog/2.jpg"],
            "one class, photos: there is nothing to learn; if the classes are the folders in it, give \
             ROOT/photos",
        ),
        (&["train/cat/1.jpg"], "ROOT has photos of one class, cat: "),
        (
            &["cat/1.jpg", "dog/", "emu/x.txt", "fox/"],
            "no photos in the class folders dog, emu, fox (left out a file that is no photo, emu/x.txt): \
             put photos there, or remove the folder",
        ),
        (&["cat/1.jpg", "dog/1.heic"], "dog (left out a photo in a format that is not read"),
        (
            &["val/cat/1.jpg", "test/cat/2.jpg"],
            "ROOT has val but no folder train: add it, or give ROOT/val itself as a folder of classes",
        ),
        (
            &["train/a/1.jpg", "val/a/1.jpg", "valid/a/1.jpg"],
            "ROOT has two folders of the same part, val and valid: keep one",
        ),
        (
            &["train/a/1.jpg", "train/b/1.jpg", "val/1.jpg"],
            "ROOT/val has 1 photo, such as 1.jpg, but no class",
        ),
        (
            &["train/1.jpg", "val/a/1.jpg"],
            "ROOT/train has 1 photo, such as 1.jpg, but no class folders",
        ),
        (
            &["train/a/1.jpg", "train/b/1.jpg", "val/c/1.jpg", "val/d/1.jpg", "val/a/1.jpg"],
            "val has photos of c, d, which train has not: add photos to train, or remove them",
        ),
        (
            &["train/Cat/1.jpg", "train/b/1.jpg", "val/cat/1.jpg"],
            "val has photos of cat, which train has not: train has Cat, another name",
        ),
    ] {
        let message = Folder::new(files).error();
        assert!(message.contains(error), "{files:?}: {message}");
    }
    let folder = Folder::new(&["a.jpg"]);
    let error = |name| PhotoSet::open(&folder.path(name), None).unwrap_err().to_string();
    assert!(error("a.jpg").contains("a.jpg is not a folder: give one that has"));
    assert!(error("none").starts_with("cannot read "));
}

#[test]
fn names_that_look_alike_are_noted() {
    let note = |a: &str, b: &str| {
        let set = Folder::new(&[&format!("{a}/1.jpg"), &format!("{b}/1.jpg")]).open();
        assert_eq!(set.classes.len(), 2);
        set.notes.concat()
    };
    assert!(note("Cat", "cat").contains("differ only in case"));
    assert!(note("e\u{301}", "é").contains("differ only in Unicode normalisation"));
}

#[test]
fn ten_thousand_classes() {
    let folder = Folder::new(&[]);
    (0..10_000).for_each(|class| folder.write(&format!("{class}/1.jpg"), ""));
    let set = folder.open();
    assert_eq!((set.classes.len(), set.train.len()), (10_000, 10_000));
    assert_eq!(set.classes[..4], ["0", "1", "10", "100"]);
    assert!(set.train.labels().is_sorted());
}

#[test]
fn a_search_can_be_stopped() {
    let folder = Folder::new(&["a/1.jpg", "b/1.jpg"]);
    let mut calls = 0;
    let stopped = PhotoSet::list(folder.0.path(), None, &mut |_| {
        calls += 1;
        if calls == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert_eq!(folder.shown(stopped), "the search for photos was stopped");
}

#[test]
fn classes_are_matched_with_those_of_a_model() {
    let mut set = Folder::new(&["b/1.jpg", "c/1.jpg"]).open();
    let classes = ["c", "a", "b"].map(str::to_owned);
    let error = set.match_classes(&classes[..2], "the model").unwrap_err().to_string();
    assert!(error.contains("has photos of b, which the model does not know: "), "{error}");
    assert_eq!(set.train.labels(), [0, 1]);
    set.match_classes(&classes, "the model").unwrap();
    assert_eq!((set.train.labels(), &set.classes[..]), (&[2, 0][..], &classes[..]));
}

#[test]
fn sets_are_told_apart_by_names_classes_and_parts() {
    let identity = |files: &[&str]| Folder::new(files).open().identity();
    let files = ["train/a/1.jpg", "train/a/2.jpg", "train/b/1.jpg", "val/a/3.jpg", "val/b/3.jpg"];
    let (count, md5) = identity(&files);
    assert_eq!((count, md5.len()), (5, 32));
    assert_eq!(identity(&files), (count, md5.clone()));
    for (index, other) in [
        (0, "train/a/4.jpg"), // another name
        (1, "train/b/2.jpg"), // another class
        (1, "val/a/2.jpg"),   // another part
        (2, "train/c/1.jpg"), // another class name
    ] {
        let mut changed = files;
        changed[index] = other;
        if other.starts_with("train/c") {
            changed[4] = "val/c/3.jpg";
        }
        let (now, other) = identity(&changed);
        assert!(now == count && other != md5, "{changed:?}");
    }
    assert_eq!(identity(&[&files[..], &["val/a/5.jpg"]].concat()).0, 6);
}

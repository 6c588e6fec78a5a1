//! Links, and names that are not UTF-8.

use std::{
    ffi::OsStr,
    os::unix::{ffi::OsStrExt, fs::symlink},
};

use super::*;

#[test]
fn links_are_followed_once() {
    let folder = Folder::new(&["a/1.jpg", "a/in/2.jpg", "b/1.jpg"]);
    let outside = Folder::new(&["3.jpg", "deep/4.jpg"]);
    let link = |target: &str, name: &str| symlink(target, folder.path(name)).unwrap();
    let elsewhere = outside.0.path().to_str().unwrap();
    link(elsewhere, "b/out");
    link(elsewhere, "c");
    link("../a/1.jpg", "b/same.jpg");
    link(".", "a/loop");
    link("../..", "a/in/root");
    link("/nowhere", "a/dead.jpg");
    let set = folder.open();
    assert_eq!(
        photos(&set, &set.train),
        [
            "a: a/1.jpg a/in/2.jpg",
            "b: b/1.jpg b/same.jpg b/out/3.jpg b/out/deep/4.jpg",
            "c: c/3.jpg c/deep/4.jpg"
        ]
    );
    // The photos of other classes, in the root, are none of this class.
    assert_eq!(
        set.notes,
        [
            "left out a link to a folder that is in the class already, a/loop",
            "left out a link to a folder that contains the class, a/in/root",
            "left out a link that leads nowhere, a/dead.jpg"
        ]
    );
}

#[test]
fn folders_come_before_links_to_them() {
    let folder = Folder::new(&["a/deep/real/1.jpg", "b/1.jpg"]);
    let outside = Folder::new(&["in/2.jpg"]);
    let elsewhere = outside.0.path();
    let link = |target: &Path, name: &str| symlink(target, folder.path(name)).unwrap();
    link(Path::new("deep/real"), "a/link");
    link(elsewhere, "a/x");
    link(&elsewhere.join("in"), "a/deep/y");
    let set = folder.open();
    assert_eq!(
        photos(&set, &set.train)[0],
        "a: a/deep/real/1.jpg a/deep/y/2.jpg",
        "links follow in the order of their paths"
    );
    assert_eq!(
        set.notes,
        ["left out 2 links to folders that are in the class already, such as a/link"]
    );
}

#[test]
fn file_names_need_not_be_utf8_but_classes_must() {
    let folder = Folder::new(&["a/1.jpg", "b/1.jpg"]);
    let name = OsStr::from_bytes(b"caf\xe9");
    let write = |class: &OsStr| {
        fs::create_dir_all(folder.0.path().join(class)).unwrap();
        fs::write(folder.0.path().join(class).join(name).with_extension("jpg"), "").unwrap();
    };
    write(OsStr::new("a"));
    let set = folder.open();
    let path = set.train.path(1);
    assert!(path.is_file() && path.to_str().is_none());
    write(name);
    let error = folder.error();
    assert!(
        error.starts_with(r"ROOT/caf\xe9 is not UTF-8, as the name of a class must be"),
        "{error}"
    );
}

#[test]
fn pipes_are_no_photos() {
    let folder = Folder::new(&["a/1.jpg", "b/1.jpg"]);
    let made =
        std::process::Command::new("mkfifo").arg(folder.path("a/pipe.jpg")).status().unwrap();
    assert!(made.success());
    assert_eq!(folder.open().notes, ["left out a file that is no photo, a/pipe.jpg"]);
}

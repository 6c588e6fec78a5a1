//! A folder with everything that a check finds.

use std::{fs, path::Path};

use image::{GrayImage, RgbImage, imageops};
use tempfile::TempDir;

use super::*;

/// A picture of soft blobs, by its number.
fn picture(number: u32, side: u32) -> RgbImage {
    RgbImage::from_fn(side, side * 3 / 4, |x, y| {
        let [x, y] = [x, y].map(|p| p as f32 / side as f32 * 6.0);
        let wave = |channel: u32| {
            let k = (number * 7 + channel * 3) as f32;
            let value = (x * (1.0 + k % 2.3) + k).sin() + (y * (1.0 + k % 1.7) - k).cos();
            (128.0 + 55.0 * value) as u8
        };
        image::Rgb([wave(0), wave(1), wave(2)])
    })
}

fn save(root: &Path, name: &str, picture: &RgbImage) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    picture.save(path).unwrap();
}

fn folder() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    for (class, number) in [("a", 0), ("a", 1), ("a", 2), ("b", 3), ("b", 4)] {
        save(root, &format!("train/{class}/{number}.png"), &picture(number, 120));
    }
    // Equal files within a class, in another part, and in another class.
    let copy = |from: &str, to: &str| {
        fs::create_dir_all(root.join(to).parent().unwrap()).unwrap();
        fs::copy(root.join(from), root.join(to)).unwrap();
    };
    copy("train/a/0.png", "train/a/copy of 0.png");
    copy("train/a/1.png", "val/a/1.png");
    copy("train/a/2.png", "train/b/2.png");
    // Resized, and in another format.
    let small = imageops::resize(&picture(3, 120), 60, 45, imageops::FilterType::Triangle);
    save(root, "val/b/3 small.png", &small);
    save(root, "train/b/4.bmp", &picture(4, 120));
    save(root, "val/b/mirrored.png", &imageops::flip_horizontal(&picture(0, 120)));
    save(root, "train/a/black.png", &RgbImage::new(40, 50));
    save(root, "train/a/icon.png", &picture(9, 16));
    GrayImage::from_fn(64, 64, |x, y| image::Luma([(x * y / 16) as u8]))
        .save(root.join("train/b/grey.png"))
        .unwrap();
    let whole = fs::read(root.join("train/a/0.png")).unwrap();
    fs::write(root.join("train/b/cut.png"), &whole[..whole.len() / 2]).unwrap();
    fs::write(root.join("val/a/text.jpg"), "no photo").unwrap();
    dir
}

fn names(photos: &[Located]) -> Vec<&str> {
    photos.iter().map(|photo| photo.photo.as_str()).collect()
}

#[test]
fn everything_is_found_whatever_the_threads() {
    let folder = folder();
    let set = PhotoSet::open(folder.path(), None).unwrap();
    let of = |threads| {
        let mut calls = 0;
        let found = check(&set, threads, &mut |done| {
            calls += 1;
            assert_eq!(done, calls);
            ControlFlow::Continue(())
        });
        assert_eq!(calls, 16);
        found.unwrap()
    };
    let found = of(1);
    let json = serde_json::to_string(&found).unwrap();
    assert_eq!(serde_json::to_string(&of(4)).unwrap(), json);
    assert_eq!(found.photos, 16);
    assert_eq!(names(&found.single_colour), ["train/a/black.png"]);
    assert_eq!(names(&found.tiny), ["train/a/icon.png"]);
    let damaged: Vec<_> =
        found.damaged.iter().map(|d| format!("{} {}", d.photo.photo, d.reason)).collect();
    assert_eq!(damaged.len(), 2, "{damaged:?}");
    assert!(damaged[0].starts_with("train/b/cut.png is truncated"), "{damaged:?}");
    assert!(damaged[1].starts_with("val/a/text.jpg is not an image"), "{damaged:?}");

    let groups: Vec<_> = found
        .duplicates
        .iter()
        .map(|g| (names(&g.photos), g.exact(), g.across_parts, g.across_classes))
        .collect();
    assert_eq!(
        groups,
        [
            (vec!["train/a/1.png", "val/a/1.png"], 1, true, false),
            (vec!["train/b/3.png", "val/b/3 small.png"], 0, true, false),
            (vec!["train/a/2.png", "train/b/2.png"], 1, false, true),
            (vec!["train/a/0.png", "train/a/copy of 0.png"], 1, false, false),
            (vec!["train/b/4.bmp", "train/b/4.png"], 0, false, false),
        ]
    );

    let [a, b] = &found.classes[..] else { panic!("two classes") };
    assert_eq!((a.train, a.validation, a.test, a.damaged), (6, Some(2), None, 1));
    assert_eq!((b.train, b.validation, b.damaged), (6, Some(2), 1));
    let sizes = [a.smallest, a.median, a.largest].map(Option::unwrap);
    assert_eq!(sizes, [[16, 12], [120, 90], [120, 90]]);
    let counts: Vec<usize> = found.sizes.iter().map(|size| size.photos).collect();
    assert_eq!(counts, [1, 2, 11, 0, 0, 0, 0, 0]);
}

#[test]
fn a_check_can_be_stopped() {
    let folder = folder();
    let set = PhotoSet::open(folder.path(), None).unwrap();
    let mut done = 0;
    let stopped = check(&set, 3, &mut |n| {
        done = n;
        if n == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert!(matches!(stopped, Err(DataError::Photos(crate::PhotoSetError::Stopped))));
    assert_eq!(done, 3);
}

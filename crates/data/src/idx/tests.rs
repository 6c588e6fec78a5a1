//! A small data set with both names of files.

use std::{fs, io::Write};

use flate2::{Compression, write::GzEncoder};
use md5::Md5;

use super::*;
use crate::digest::digest;

/// Images (three for training, two for testing) and labels, as IDX files.
fn contents() -> [Vec<u8>; 4] {
    let header = |dimensions: &[u32]| {
        let mut bytes = vec![0, 0, 8, dimensions.len() as u8];
        dimensions.iter().for_each(|n| bytes.extend(n.to_be_bytes()));
        bytes
    };
    let images = |n: u32| {
        let mut bytes = header(&[n, 28, 28]);
        bytes.extend((0..n * 784).map(|i| (i % 251) as u8));
        bytes
    };
    let labels = |labels: &[u8]| [header(&[labels.len() as u32]), labels.to_vec()].concat();
    [images(3), labels(&[7, 0, 9]), images(2), labels(&[1, 2])]
}

fn set() -> IdxSet {
    let mut set = IdxSet { elsewhere: &["MNIST/raw"], ..MNIST };
    for (file, content) in set.files.iter_mut().zip(contents()) {
        file.bytes = Some(content.len() as u64);
        file.md5 = digest::<Md5>(&content).leak();
    }
    set
}

fn gz(content: &[u8]) -> Vec<u8> {
    let mut gz = GzEncoder::new(Vec::new(), Compression::fast());
    gz.write_all(content).unwrap();
    gz.finish().unwrap()
}

/// Writes the files, compressed if it is said so.
fn write(folder: &Path, compressed: [bool; 4]) {
    fs::create_dir_all(folder).unwrap();
    for ((file, content), compressed) in MNIST.files.iter().zip(contents()).zip(compressed) {
        match compressed {
            true => fs::write(folder.join(format!("{}.gz", file.name)), gz(&content)).unwrap(),
            false => fs::write(folder.join(file.name), content).unwrap(),
        }
    }
}

#[test]
fn images_are_read_compressed_or_not() {
    for compressed in [[true; 4], [false; 4], [true, false, false, true]] {
        let data_dir = tempfile::tempdir().unwrap();
        write(&data_dir.path().join("MNIST/raw"), compressed);
        let options = LoadOptions {
            data_dir: Some(data_dir.path().into()),
            limit_train: Some(2),
            limit_test: None,
        };
        let data = set().load(&options).unwrap();
        assert_eq!((&data.train.labels[..], &data.test.labels[..]), (&[7, 0][..], &[1, 2][..]));
        assert_eq!([data.train.height, data.train.width, data.train.channels], [28, 28, 3]);
        // Grey in three channels.
        let grey = |i: usize| [(i % 251) as u8; 3];
        let expected: Vec<u8> = (0..2 * 784).flat_map(grey).collect();
        assert_eq!(data.train.pixels, expected);
        assert_eq!(data.test.pixels, expected);
        assert_eq!(data.normalisation.mean, [0.1307; 3]);
    }
}

#[test]
fn a_folder_of_the_other_set_is_not_taken() {
    let data_dir = tempfile::tempdir().unwrap();
    let folder = || set().folder(data_dir.path());
    let own = data_dir.path().join("mnist");
    assert_eq!(folder(), own);
    // The same names, with other labels.
    write(data_dir.path(), [false; 4]);
    let labels = data_dir.path().join(MNIST.files[3].name);
    fs::write(&labels, &contents()[1]).unwrap();
    assert_eq!(folder(), own);
    write(data_dir.path(), [true; 4]);
    assert_eq!(folder(), own, "the file that is not compressed counts");
    fs::remove_file(labels).unwrap();
    assert_eq!(folder(), data_dir.path());
    write(&own, [true; 4]);
    assert_eq!(folder(), own);
}

#[test]
fn damage_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let set = set();
    let states = || {
        let state = |file| set.verify(file, folder.path(), |_| Ok(())).unwrap().1;
        set.files.each_ref().map(state)
    };
    assert_eq!(states(), [const { FileState::Missing }; 4]);
    write(folder.path(), [true, false, true, false]);
    assert_eq!(states(), [const { FileState::Good }; 4]);
    let file = |index: usize, suffix: &str| {
        folder.path().join(format!("{}{suffix}", set.files[index].name))
    };
    let mut other = contents()[0].clone();
    other[100] ^= 1;
    fs::write(file(0, ".gz"), gz(&other)).unwrap();
    fs::write(file(1, ""), "short").unwrap();
    fs::write(file(2, ".gz"), &gz(&contents()[2])[..40]).unwrap();
    fs::write(file(3, ""), vec![0; contents()[3].len()]).unwrap();
    let [images, labels, test_images, test_labels] = states();
    assert_eq!(images, FileState::Damaged(digest::<Md5>(&other)));
    assert_eq!(labels, FileState::Length(5));
    let FileState::Unreadable(reason) = test_images else { panic!("{test_images:?}") };
    assert!(reason.starts_with("cannot be decompressed: "), "{reason}");
    assert!(matches!(test_labels, FileState::Damaged(_)));
    // A bomb is read up to the length of the file.
    fs::write(file(0, ".gz"), gz(&vec![0; 100 << 20])).unwrap();
    assert!(matches!(states()[0], FileState::Damaged(_)));
}

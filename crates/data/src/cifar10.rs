//! CIFAR-10 (Krizhevsky 2009) in its official binary layout: files of 10,000 records, each a
//! label byte, then 1024 red, 1024 green and 1024 blue bytes, row by row.

use std::{
    io::{ErrorKind, Read},
    path::{Path, PathBuf},
};

use md5::Md5;
use resnet_network::preprocess::Normalisation;

use crate::{DataError, Dataset, Images, LoadOptions, digest::digest};

pub(crate) const NAME: &str = "cifar10";

/// Folder of the files, in the official archive and under the data folder.
pub(crate) const FOLDER: &str = "cifar-10-batches-bin";

pub(crate) const CLASSES: [&str; 10] =
    ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

/// Rows and columns of an image.
pub(crate) const SIDE: usize = 32;
const PLANE: usize = SIDE * SIDE;

/// Bytes of a label and its image.
pub(crate) const RECORD: usize = 1 + 3 * PLANE;

/// A file of records.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BatchFile {
    pub name: &'static str,
    pub images: usize,
    /// MD5 of the official file, in hexadecimal.
    pub md5: &'static str,
}

impl BatchFile {
    pub(crate) fn bytes(&self) -> u64 {
        (self.images * RECORD) as u64
    }
}

const fn batch(name: &'static str, md5: &'static str) -> BatchFile {
    BatchFile { name, images: 10_000, md5 }
}

/// All files: five training batches, then the test batch.
pub(crate) const FILES: [BatchFile; 6] = [
    batch("data_batch_1.bin", "5dd7e06a14cb22eb9f671a540d1b7c25"),
    batch("data_batch_2.bin", "5ea93a67294ea407fff1d09f752e9692"),
    batch("data_batch_3.bin", "942cd6a4bcdd0dd3c604fbe906cb4421"),
    batch("data_batch_4.bin", "ae636b3ba5c66a11e91e8cb52e771fcb"),
    batch("data_batch_5.bin", "53f37980c15c3d472c316c40844f3f0d"),
    batch("test_batch.bin", "803d5f7f4d78ea53de84dbe85f74fb6d"),
];

/// The folder of the files: `data_dir` itself if it has some of them, else [`FOLDER`] in it.
pub(crate) fn folder(data_dir: &Path) -> PathBuf {
    if FILES.iter().any(|file| data_dir.join(file.name).is_file()) {
        data_dir.to_owned()
    } else {
        data_dir.join(FOLDER)
    }
}

pub(crate) fn load(options: &LoadOptions) -> Result<Dataset, DataError> {
    let folder = folder(&options.data_dir);
    let (train, test) = FILES.split_at(5);
    Ok(Dataset {
        name: NAME.to_owned(),
        classes: CLASSES.map(str::to_owned).to_vec(),
        normalisation: Normalisation::cifar10(),
        train: read_files(&folder, train, options.limit_train)?,
        test: read_files(&folder, test, options.limit_test)?,
    })
}

/// The images of several files, up to a limit. Files past the limit are not opened.
fn read_files(
    folder: &Path,
    files: &[BatchFile],
    limit: Option<usize>,
) -> Result<Images, DataError> {
    let total: usize = files.iter().map(|file| file.images).sum();
    let mut wanted = total.min(limit.unwrap_or(usize::MAX));
    let mut images = Images { height: SIDE, width: SIDE, channels: 3, ..Images::default() };
    images.pixels.reserve_exact(wanted * images.image_len());
    images.labels.reserve_exact(wanted);
    for file in files {
        if wanted == 0 {
            break;
        }
        let path = folder.join(file.name);
        let records = read_file(&path, file)?;
        let used = wanted.min(file.images);
        append(&mut images, &records[..used * RECORD]);
        wanted -= used;
    }
    Ok(images)
}

/// All records of one file. Its MD5 must be the published one, which detects even a single flipped
/// bit.
fn read_file(path: &Path, file: &BatchFile) -> Result<Vec<u8>, DataError> {
    let mut input = resnet_formats::open(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => DataError::Missing { name: NAME, file: path.to_owned() },
        _ => DataError::io("read", path)(error),
    })?;
    let wrong_size = |got| DataError::WrongSize {
        name: NAME,
        file: path.to_owned(),
        expected: file.bytes(),
        got,
    };
    // The length is checked before anything is read or reserved.
    let got = input.metadata().map_err(DataError::io("read", path))?.len();
    if got != file.bytes() {
        return Err(wrong_size(got));
    }
    let mut records = vec![0; file.images * RECORD];
    input.read_exact(&mut records).map_err(DataError::io("read", path))?;
    let got = digest::<Md5>(&records);
    if got != file.md5 {
        let (file, expected) = (path.to_owned(), file.md5);
        return Err(DataError::WrongDigest { name: NAME, file, expected, got });
    }
    Ok(records)
}

/// Turns records into pixels and labels.
fn append(images: &mut Images, records: &[u8]) {
    for bytes in records.chunks_exact(RECORD) {
        let (label, planes) = (bytes[0], &bytes[1..]);
        images.labels.push(label.into());
        let (red, rest) = planes.split_at(PLANE);
        let (green, blue) = rest.split_at(PLANE);
        let pixels = red.iter().zip(green).zip(blue);
        images.pixels.extend(pixels.flat_map(|((&r, &g), &b)| [r, g, b]));
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn record(label: u8, first_red: u8) -> Vec<u8> {
        let mut record = vec![label];
        record.extend((0..PLANE).map(|i| first_red.wrapping_add(i as u8)));
        record.extend((0..PLANE).map(|i| 100 + (i / SIDE) as u8));
        record.extend(vec![200; PLANE]);
        record
    }

    fn two() -> Vec<u8> {
        [record(3, 0), record(9, 7)].concat()
    }

    /// Reads a file with this content, where the content of [`two`] is expected.
    fn read(content: &[u8], limit: Option<usize>) -> Result<Images, DataError> {
        let folder = tempfile::tempdir().unwrap();
        let file = BatchFile { name: "two.bin", images: 2, md5: digest::<Md5>(&two()).leak() };
        fs::write(folder.path().join(file.name), content).unwrap();
        read_files(folder.path(), &[file], limit)
    }

    #[test]
    fn planes_become_pixels() {
        let images = read(&two(), None).unwrap();
        assert_eq!(images.labels, [3, 9]);
        assert_eq!(images.image(0)[..6], [0, 100, 200, 1, 100, 200]);
        assert_eq!(images.image(1)[..3], [7, 100, 200]);
        let second_row = &images.image(1)[3 * SIDE..3 * SIDE + 3];
        assert_eq!(second_row, [39, 101, 200]);
        assert_eq!(images.pixels.len(), 2 * 3 * PLANE);
    }

    #[test]
    fn a_limit_takes_the_first_images() {
        let images = read(&two(), Some(1)).unwrap();
        assert_eq!(images.labels, [3]);
        assert_eq!(images.pixels.len(), 3 * PLANE);
        assert!(read(&two(), Some(0)).unwrap().is_empty());
    }

    #[test]
    fn errors_name_the_damaged_file_and_the_damage() {
        let error = |content: &[u8]| read(content, None).unwrap_err().to_string();
        let truncated = error(&record(0, 0));
        assert!(truncated.contains("two.bin"), "{truncated}");
        assert!(truncated.contains("expected 6146 bytes, got 3073"), "{truncated}");
        assert!(truncated.contains("resnet data fetch cifar10"), "{truncated}");
        let oversized = error(&[0; 2 * RECORD + 1]);
        assert!(oversized.contains("got 6147"), "{oversized}");
        let mut flipped = two();
        flipped[2 * RECORD - 1] ^= 1;
        // The MD5 covers the whole file, also past the limit.
        for limit in [None, Some(1)] {
            let damaged = read(&flipped, limit).unwrap_err().to_string();
            let (expected, got) = (digest::<Md5>(&two()), digest::<Md5>(&flipped));
            let digests = format!(
                "two.bin is damaged or a different file: expected MD5 {expected}, got {got}"
            );
            assert!(damaged.contains(&digests), "{damaged}");
            assert!(damaged.contains("resnet data fetch cifar10"), "{damaged}");
        }
    }

    #[test]
    fn missing_files_have_their_own_error() {
        let folder = tempfile::tempdir().unwrap();
        let options = LoadOptions { data_dir: folder.path().to_owned(), ..LoadOptions::default() };
        let error = load(&options).unwrap_err();
        assert!(matches!(error, DataError::Missing { .. }), "{error}");
        assert!(error.to_string().contains("cifar-10-batches-bin"), "{error}");
    }

    #[test]
    fn the_data_folder_may_contain_the_files_directly() {
        let data_dir = tempfile::tempdir().unwrap();
        assert_eq!(folder(data_dir.path()), data_dir.path().join(FOLDER));
        fs::write(data_dir.path().join("test_batch.bin"), "").unwrap();
        assert_eq!(folder(data_dir.path()), data_dir.path());
    }
}

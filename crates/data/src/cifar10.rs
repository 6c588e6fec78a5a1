//! CIFAR-10 (Krizhevsky 2009) in its official binary layout: files of 10,000 records, each a
//! label byte, then 1024 red, 1024 green and 1024 blue bytes, row by row. The Python version is read too.

use std::path::{Path, PathBuf};

use resnet_network::preprocess::Normalisation;

use crate::{DataError, Dataset, Images, LoadOptions, published::PublishedFile};

mod files;
mod python;

use files::PLANE;
pub(crate) use files::{FILES, NAME, RECORD, SIDE, images};

/// Folder of the files, in the official archive and under the data folder.
pub(crate) const FOLDER: &str = "cifar-10-batches-bin";

pub(crate) const CLASSES: [&str; 10] =
    ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"];

/// The published versions. Their images are the same, in the same order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    Binary,
    Python,
}

impl Version {
    /// Name of a file. That of the Python version has no suffix.
    fn name(self, file: &PublishedFile) -> &'static str {
        match self {
            Version::Binary => file.name,
            Version::Python => file.name.trim_end_matches(".bin"),
        }
    }
}

/// The files of a data folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Location {
    pub folder: PathBuf,
    pub version: Version,
}

impl Location {
    /// The files of the binary version, unless only those of the Python version are complete: in
    /// `data_dir` itself, or in the folder of the archive in it.
    pub(crate) fn new(data_dir: &Path) -> Location {
        let binary = Location { folder: folder(data_dir), version: Version::Binary };
        let python = [data_dir.to_owned(), data_dir.join(python::FOLDER)]
            .map(|folder| Location { folder, version: Version::Python });
        let mut found = [binary.clone()].into_iter().chain(python);
        found.find(Location::is_complete).unwrap_or(binary)
    }

    pub(crate) fn path(&self, file: &PublishedFile) -> PathBuf {
        self.folder.join(self.version.name(file))
    }

    /// Whether all files exist.
    pub(crate) fn is_complete(&self) -> bool {
        FILES.iter().all(|file| self.path(file).is_file())
    }
}

/// The records of a file of the Python version, or their MD5 if it is not the published one.
pub(crate) fn python_records(
    path: &Path,
    file: &PublishedFile,
) -> Result<Result<Vec<u8>, String>, DataError> {
    let (records, md5) = python::records(path, file)?;
    Ok(if md5 == file.md5 { Ok(records) } else { Err(md5) })
}

/// The folder of the binary version: `data_dir` itself if it has some of its files, else [`FOLDER`] in
/// it.
pub(crate) fn folder(data_dir: &Path) -> PathBuf {
    if FILES.iter().any(|file| data_dir.join(file.name).is_file()) {
        data_dir.to_owned()
    } else {
        data_dir.join(FOLDER)
    }
}

pub(crate) fn load(options: &LoadOptions) -> Result<Dataset, DataError> {
    let location = Location::new(&options.folder()?);
    let (train, test) = FILES.split_at(5);
    Ok(Dataset {
        name: NAME.to_owned(),
        classes: CLASSES.map(str::to_owned).to_vec(),
        normalisation: Normalisation::cifar10(),
        train: read_files(&location, train, options.limit_train)?,
        test: read_files(&location, test, options.limit_test)?,
    })
}

/// The images of several files, up to a limit. Files past the limit are not opened.
fn read_files(
    location: &Location,
    files: &[PublishedFile],
    limit: Option<usize>,
) -> Result<Images, DataError> {
    let total: usize = files.iter().map(images).sum();
    let mut wanted = total.min(limit.unwrap_or(usize::MAX));
    let mut read = empty(wanted);
    for file in files {
        if wanted == 0 {
            break;
        }
        let path = location.path(file);
        let records = match location.version {
            Version::Binary => file.read(NAME, &path)?,
            Version::Python => python_records(&path, file)?
                .map_err(|got| DataError::wrong_digest(NAME, &path, file.md5, got))?,
        };
        let used = wanted.min(images(file));
        for record in records[..used * RECORD].chunks_exact(RECORD) {
            append(&mut read, record[0], &record[1..]);
        }
        wanted -= used;
    }
    Ok(read)
}

/// No images, with room for `n` of CIFAR's size.
pub(crate) fn empty(n: usize) -> Images {
    let mut images = Images { height: SIDE, width: SIDE, channels: 3, ..Images::default() };
    images.pixels.reserve_exact(n * images.image_len());
    images.labels.reserve_exact(n);
    images
}

/// Adds an image of 1024 red, 1024 green and 1024 blue bytes.
pub(crate) fn append(images: &mut Images, label: u8, planes: &[u8]) {
    images.labels.push(label.into());
    let (red, rest) = planes.split_at(PLANE);
    let (green, blue) = rest.split_at(PLANE);
    let pixels = red.iter().zip(green).zip(blue);
    images.pixels.extend(pixels.flat_map(|((&r, &g), &b)| [r, g, b]));
}

#[cfg(test)]
mod tests {
    use std::fs;

    use md5::Md5;

    use super::*;
    use crate::digest::digest;

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

    fn two_images(name: &'static str, md5: &'static str) -> PublishedFile {
        PublishedFile { name, bytes: Some(2 * RECORD as u64), md5 }
    }

    /// Reads a file with this content, where the content of [`two`] is expected.
    fn read(content: &[u8], limit: Option<usize>) -> Result<Images, DataError> {
        let folder = tempfile::tempdir().unwrap();
        let file = two_images("two.bin", digest::<Md5>(&two()).leak());
        fs::write(folder.path().join(file.name), content).unwrap();
        let location = Location { folder: folder.path().to_owned(), version: Version::Binary };
        read_files(&location, &[file], limit)
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
        let options =
            LoadOptions { data_dir: Some(folder.path().into()), ..LoadOptions::default() };
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

    /// A pickled dict of Python 2, of images that are [`two`]'s unless changed.
    fn pickled(records: &[u8]) -> Vec<u8> {
        let (images, _) = records.as_chunks::<RECORD>();
        let mut bytes = b"\x80\x02}(U\x06labels](".to_vec();
        images.iter().for_each(|image| bytes.extend([b'K', image[0]]));
        bytes.extend(b"eU\x04datacnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n");
        bytes.extend(b"K\x00\x85U\x01b\x87R(K\x01K");
        bytes.push(images.len() as u8);
        bytes.extend(b"M\x00\x0c\x86cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNN");
        bytes.extend(b"J\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T");
        bytes.extend(((images.len() * (RECORD - 1)) as u32).to_le_bytes());
        images.iter().for_each(|image| bytes.extend(&image[1..]));
        bytes.extend(b"tbu.");
        bytes
    }

    #[test]
    fn the_python_version_has_the_same_images() {
        let folder = tempfile::tempdir().unwrap();
        let location = Location { folder: folder.path().to_owned(), version: Version::Python };
        let file = two_images("two.bin", digest::<Md5>(&two()).leak());
        let read = |bytes: &[u8]| {
            fs::write(folder.path().join("two"), bytes).unwrap();
            read_files(&location, &[file], None)
        };
        let binary = super::tests::read(&two(), None).unwrap();
        let python = read(&pickled(&two())).unwrap();
        assert_eq!((python.pixels, python.labels), (binary.pixels, binary.labels));
        let mut other = two();
        other[0] = 4;
        for (bytes, complaint) in [
            (pickled(&other), "two is damaged or a different file: expected MD5 "),
            (pickled(&other[..RECORD]), "two has 1 images, not 2; "),
            (b"x\n".to_vec(), "two has a damaged pickle: "),
        ] {
            let error = read(&bytes).unwrap_err().to_string();
            assert!(error.contains(complaint), "{error}");
            assert!(error.contains("resnet data fetch cifar10"), "{error}");
        }
    }

    #[test]
    fn the_python_version_is_used_where_only_it_is_complete() {
        let data_dir = tempfile::tempdir().unwrap();
        let write = |folder: &Path, version: Version, files: &[PublishedFile]| {
            fs::create_dir_all(folder).unwrap();
            files.iter().for_each(|file| fs::write(folder.join(version.name(file)), "").unwrap());
        };
        let expect = |folder: &Path, version| {
            let location = Location { folder: folder.to_owned(), version };
            assert_eq!(Location::new(data_dir.path()), location);
        };
        let [binary, python] = [FOLDER, python::FOLDER].map(|name| data_dir.path().join(name));
        write(&python, Version::Python, &FILES[1..]);
        expect(&binary, Version::Binary);
        write(&binary, Version::Binary, &FILES[1..]);
        write(&python, Version::Python, &FILES);
        expect(&python, Version::Python);
        write(data_dir.path(), Version::Python, &FILES);
        expect(data_dir.path(), Version::Python);
        write(&binary, Version::Binary, &FILES);
        expect(&binary, Version::Binary);
    }
}

//! The photos of a run in a file, so that a resumed run has the same ones in the same order.
//!
//! A line has the part (`train`, `validation`, `test`), the label and the path in the folder,
//! with tabs between them. In a path, `\t`, `\n` and `\\` stand for tab, newline and backslash.
//! When the files were read, their identities follow
//! ([`Photos::identities`](crate::Photos::identities)), in hexadecimal.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
};

use resnet_formats::{atomic_write, open};

use crate::PhotoList;

/// The parts of a data set, in the order of the file.
const PARTS: [&str; 3] = ["train", "validation", "test"];

/// More bytes than the names of any data set have.
const MOST: u64 = 1 << 30;

/// Photos, and the identity of each file, or 0 if it was not read yet.
pub type NamedPhotos = (PhotoList, Vec<u64>);

/// Writes the photos to train on, for validation and to test on.
///
/// # Errors
/// If the file cannot be written.
pub fn write_photo_names(path: &Path, parts: &[Option<NamedPhotos>; 3]) -> io::Result<()> {
    atomic_write(path, |file| {
        let mut file = io::BufWriter::new(file);
        write_parts(&mut file, parts)?;
        file.flush()
    })
}

/// What such a file contains.
pub fn format_photo_names(parts: &[Option<NamedPhotos>; 3]) -> Vec<u8> {
    let mut bytes = Vec::new();
    write_parts(&mut bytes, parts).expect("memory takes every byte");
    bytes
}

fn write_parts(to: &mut impl Write, parts: &[Option<NamedPhotos>; 3]) -> io::Result<()> {
    for (part, list) in PARTS.into_iter().zip(parts) {
        let Some((list, identities)) = list else { continue };
        for (index, identity) in (0..list.len()).zip(identities) {
            write!(to, "{part}\t{}\t", list.labels()[index])?;
            for &byte in list.bytes(index) {
                match byte {
                    b'\t' => to.write_all(b"\\t")?,
                    b'\n' => to.write_all(b"\\n")?,
                    b'\\' => to.write_all(b"\\\\")?,
                    byte => to.write_all(&[byte])?,
                }
            }
            if *identity != 0 {
                write!(to, "\t{identity:016x}")?;
            }
            to.write_all(b"\n")?;
        }
    }
    Ok(())
}

/// Reads the photos of a folder `root` to train on, for validation and to test on.
///
/// # Errors
/// If the file cannot be read or is damaged.
pub fn read_photo_names(path: &Path, root: &Path) -> io::Result<[Option<NamedPhotos>; 3]> {
    parse_photo_names(open(path)?, root)
}

/// The same of what such a file contains.
///
/// # Errors
/// If it is damaged.
pub fn parse_photo_names(names: impl Read, root: &Path) -> io::Result<[Option<NamedPhotos>; 3]> {
    let mut parts: [Option<NamedPhotos>; 3] = Default::default();
    let (mut file, mut line, mut number) = (BufReader::new(names.take(MOST)), Vec::new(), 0);
    loop {
        line.clear();
        number += 1;
        if file.read_until(b'\n', &mut line)? == 0 {
            return Ok(parts);
        }
        let (part, label, name, identity) = parsed(&line)
            .ok_or_else(|| io::Error::other(format!("its line {number} is damaged")))?;
        let (list, identities) =
            parts[part].get_or_insert_with(|| (PhotoList::new(root), Vec::new()));
        list.push(&name, label);
        identities.push(identity);
    }
}

/// Photos as if they were not read yet: copies have other times.
pub fn unread_photos(parts: [Option<NamedPhotos>; 3]) -> [Option<NamedPhotos>; 3] {
    parts.map(|part| part.map(|(list, identities)| (list, vec![0; identities.len()])))
}

/// The first of the photos that are not where they should be, and the number of others.
pub fn missing_photos(parts: &[Option<NamedPhotos>; 3]) -> Option<(PathBuf, usize)> {
    let lists = parts.iter().flatten().map(|(list, _)| list);
    let paths = lists.flat_map(|list| (0..list.len()).map(|index| list.path(index)));
    let mut missing = paths.filter(|path| !path.is_file());
    Some((missing.next()?, missing.count()))
}

fn parsed(line: &[u8]) -> Option<(usize, u32, Vec<u8>, u64)> {
    let mut fields = line.strip_suffix(b"\n")?.splitn(4, |&byte| byte == b'\t');
    let mut text = || std::str::from_utf8(fields.next()?).ok();
    let part = text()?;
    let label = text()?.parse().ok()?;
    let part = PARTS.iter().position(|&known| known == part)?;
    let (mut name, mut bytes) = (Vec::new(), fields.next()?.iter());
    while let Some(&byte) = bytes.next() {
        name.push(match byte {
            b'\\' => match bytes.next()? {
                b't' => b'\t',
                b'n' => b'\n',
                b'\\' => b'\\',
                _ => return None,
            },
            byte => byte,
        });
    }
    let identity = match fields.next() {
        Some(digits) => u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?,
        None => 0,
    };
    // Elsewhere than on Unix, names are Unicode.
    (cfg!(unix) || std::str::from_utf8(&name).is_ok()).then_some((part, label, name, identity))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_name_survives_its_file() {
        let dir = tempfile::tempdir().unwrap();
        let (file, root) = (dir.path().join("photos.tsv"), Path::new("root"));
        let mut train = PhotoList::new(root);
        let names = ["a/b.jpg", "tab\there\\t.png", "line\nbreak\\", "смех/🙂.JPG", " "];
        (0..).zip(names).for_each(|(label, name)| train.push(name.as_bytes(), label));
        #[cfg(unix)]
        train.push(b"not \xFF utf-8", 7);
        let test = train.select([1, 0]);
        let identities = (0..train.len() as u64).map(|i| i * (u64::MAX / 7)).collect();
        let parts = [Some((train, identities)), None, Some((test, vec![0, 1]))];
        write_photo_names(&file, &parts).unwrap();
        assert_eq!(read_photo_names(&file, root).unwrap(), parts);
        assert_eq!(format_photo_names(&parts), std::fs::read(&file).unwrap());
    }

    #[test]
    fn a_damaged_line_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("photos.tsv");
        for line in [
            "train\t1\ta",
            "train\t1\n",
            "tests\t1\ta\n",
            "test\tx\ta\n",
            "test\t1\ta\\x\n",
            "test\t1\ta\tx\n",
        ] {
            std::fs::write(&file, format!("train\t0\tgood.jpg\n{line}")).unwrap();
            let error = read_photo_names(&file, Path::new("root")).unwrap_err().to_string();
            assert_eq!(error, "its line 2 is damaged", "{line:?}");
        }
    }
}

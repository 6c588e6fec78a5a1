use std::io::Write as _;

use super::*;
use crate::{FormatErrorKind, budget::Budget};

fn budget(bytes: &[u8]) -> Budget {
    Budget::for_file_of(bytes.len())
}

fn sample() -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = Writer::new(&mut bytes);
    writer.add_bytes("a/first", b"hello").unwrap();
    writer.add_bytes("a/second", &[7; 1000]).unwrap();
    writer.add_bytes("a/empty", b"").unwrap();
    writer.finish().unwrap();
    bytes
}

#[test]
fn the_end_of_a_large_archive_is_checked() {
    let looked = |bytes: &[u8]| {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        look(&mut file, bytes.len() as u64)
    };
    let archive = sample();
    looked(&archive).unwrap();
    looked(&[&archive[..], &[0; 100_000]].concat()).unwrap_err();
    looked(b"PK\x03\x04").unwrap_err();
    // Another format.
    looked(&[0x80, 2, 0]).unwrap();
}

/// The entries, or the first error.
fn read_all(bytes: &[u8]) -> Result<Vec<(String, Vec<u8>)>, FormatErrorKind> {
    let mut budget = budget(bytes);
    let archive = Archive::new(bytes, &mut budget)?;
    let names: Vec<_> = archive.names().collect();
    let read = |name: &str| {
        let data = archive.read(name, &mut budget)?.expect("it is in the list");
        Ok((name.to_owned(), data.into_owned()))
    };
    names.into_iter().map(read).collect()
}

/// Offset of the description of the n-th entry in the directory.
fn central(bytes: &[u8], n: usize) -> usize {
    let magic = CENTRAL.to_le_bytes();
    let at = bytes.windows(4).enumerate().filter(|(_, window)| *window == magic);
    at.map(|(at, _)| at).nth(n).unwrap()
}

#[track_caller]
fn refused(bytes: &[u8], why: &str) {
    match read_all(bytes) {
        Err(FormatErrorKind::Zip(found)) => assert!(found.contains(why), "{found}"),
        other => panic!("{why}: {other:?}"),
    }
}

#[test]
fn what_is_written_is_read() {
    let bytes = sample();
    let archive = Archive::new(&bytes, &mut budget(&bytes)).unwrap();
    assert_eq!(archive.names().collect::<Vec<_>>(), ["a/empty", "a/first", "a/second"]);
    let read = |name| archive.read(name, &mut budget(&bytes)).unwrap();
    assert_eq!(read("a/first").as_deref(), Some(&b"hello"[..]));
    assert_eq!(read("a/second").as_deref(), Some(&[7; 1000][..]));
    assert_eq!(read("a/third"), None);
}

#[test]
fn entries_are_aligned() {
    let bytes = sample();
    for data in [&b"hello"[..], &[7; 1000]] {
        let at = bytes.windows(data.len()).position(|window| window == data).unwrap();
        assert_eq!(at % 64, 0);
    }
}

#[test]
fn truncated_anywhere_is_an_error() {
    let bytes = sample();
    for end in 0..bytes.len() {
        assert!(read_all(&bytes[..end]).is_err(), "{end}");
    }
    refused(&[bytes, vec![0]].concat(), "trailing data");
}

#[test]
fn every_flipped_bit_is_detected_or_harmless() {
    let bytes = sample();
    let whole = read_all(&bytes).unwrap();
    for at in 0..bytes.len() * 8 {
        let mut bytes = bytes.clone();
        bytes[at / 8] ^= 1 << (at % 8);
        // Padding, times and versions are not read.
        if let Ok(read) = read_all(&bytes) {
            assert_eq!(read, whole, "bit {at}");
        }
    }
}

#[test]
fn two_entries_of_one_name_are_an_error() {
    let mut bytes = Vec::new();
    let mut writer = Writer::new(&mut bytes);
    writer.add_bytes("same", b"one").unwrap();
    writer.add_bytes("same", b"two").unwrap();
    writer.finish().unwrap();
    let error = read_all(&bytes).unwrap_err();
    assert!(matches!(error, FormatErrorKind::DuplicateName(name) if name == "same"));
}

#[test]
fn two_entries_of_the_same_bytes_are_an_error() {
    let mut bytes = Vec::new();
    let mut writer = Writer::new(&mut bytes);
    writer.add_bytes("one", b"same").unwrap();
    writer.add_bytes("two", b"same").unwrap();
    writer.finish().unwrap();
    // Both now refer to the first, whose name its header must have.
    let second = central(&bytes, 1);
    bytes[second + 42..second + 46].fill(0);
    bytes[second + 46..second + 49].copy_from_slice(b"one");
    refused(&bytes, "overlap");
}

#[test]
fn a_false_checksum_is_an_error() {
    let mut bytes = sample();
    let at = bytes.windows(5).position(|window| window == b"hello").unwrap();
    bytes[at] = b'j';
    refused(&bytes, "checksum of 'a/first'");
}

/// As `torch.serialization.set_crc32_options(False)` writes them.
#[test]
fn files_without_checksums_are_read() {
    let mut bytes = sample();
    for n in 0..3 {
        let at = central(&bytes, n);
        bytes[at + 16..at + 20].fill(0);
    }
    assert_eq!(read_all(&bytes).unwrap()[1], ("a/first".to_owned(), b"hello".to_vec()));
}

#[test]
fn encryption_and_other_methods_are_errors() {
    let bytes = sample();
    let entry = central(&bytes, 0);
    let with = |at: usize, value: u8| {
        let mut bytes = bytes.clone();
        bytes[entry + at] = value;
        bytes
    };
    refused(&with(8, 1), "encrypted");
    refused(&with(10, 12), "another method");
}

/// An archive of one deflated entry.
fn deflated(data: &[u8], claimed: usize) -> Vec<u8> {
    let mut packer = flate2::write::DeflateEncoder::new(Vec::new(), Default::default());
    packer.write_all(data).unwrap();
    let mut bytes = Vec::new();
    let mut writer = Writer::new(&mut bytes);
    writer.add_bytes("x", &packer.finish().unwrap()).unwrap();
    writer.finish().unwrap();
    let entry = central(&bytes, 0);
    bytes[8] = 8;
    bytes[entry + 10] = 8;
    bytes[entry + 16..entry + 20].copy_from_slice(&crc32fast::hash(data).to_le_bytes());
    bytes[entry + 24..entry + 28].copy_from_slice(&(claimed as u32).to_le_bytes());
    bytes
}

#[test]
fn deflated_entries_are_read() {
    let data = b"hello hello hello hello";
    assert_eq!(read_all(&deflated(data, data.len())).unwrap()[0].1, data);
    refused(&deflated(data, data.len() + 1), "as long as it should be");
    refused(&deflated(data, data.len() - 1), "checksum");
    let mut bytes = deflated(data, data.len());
    let at = bytes.iter().position(|&byte| byte == b'Z').unwrap();
    bytes[at + 31..at + 40].fill(0xff);
    assert!(read_all(&bytes).is_err());
}

#[test]
fn bombs_are_not_inflated() {
    // A thousand to one.
    let bytes = deflated(&vec![0; 64 << 20], 64 << 20);
    assert!(bytes.len() < 1 << 20);
    assert!(matches!(read_all(&bytes), Err(FormatErrorKind::TooLarge)));
    // Nor if their stated size is wrong.
    refused(&deflated(&vec![0; 64 << 20], 1000), "checksum");
}

#[test]
fn absurd_directories_are_errors() {
    let bytes = sample();
    let end = bytes.len() - 22;
    let with = |at: usize, value: &[u8]| {
        let mut bytes = bytes.clone();
        bytes[end + at..][..value.len()].copy_from_slice(value);
        bytes
    };
    refused(&with(8, &[0xff; 4]), "shorter than its number of entries");
    refused(&with(8, &[2, 0, 2, 0]), "does not end where it should");
    refused(&with(12, &[0xff; 4]), "not where it should be");
    refused(&with(16, &[0xff; 4]), "not where it should be");
    refused(&with(4, &[1]), "several volumes");
}

//! Unusual images: a prediction or one line of error, within a memory limit.
#![cfg(unix)]

use std::{
    ffi::OsStr,
    fs,
    os::unix::{ffi::OsStrExt, fs::symlink},
    path::Path,
    process::Command,
};

use crate::common::{Finished, Sandbox};

const PRETRAINED: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../resnet/tests/pretrained/resnet20-12fca82f.th");
const PHOTOS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../data/tests/photos");

fn photo(name: &str) -> Vec<u8> {
    fs::read(Path::new(PHOTOS).join(name)).unwrap()
}

fn refused(name: &str) -> Vec<u8> {
    fs::read(format!("{PHOTOS}/../refused-photos/{name}")).unwrap()
}

/// A PNG of one colour, which ends after `rows` rows.
fn png(
    width: u32,
    height: u32,
    colour: png::ColorType,
    depth: png::BitDepth,
    rows: u32,
) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(colour);
    encoder.set_depth(depth);
    encoder.set_compression(png::Compression::Fastest);
    let mut writer = encoder.write_header().unwrap();
    let mut stream = writer.stream_writer().unwrap();
    let bits = u64::from(width) * (depth as u64) * colour.samples() as u64;
    let row = vec![0x55; usize::try_from(bits.div_ceil(8)).unwrap()];
    for _ in 0..rows {
        std::io::Write::write_all(&mut stream, &row).unwrap();
    }
    // Too few rows are an error that leaves what was written.
    let _ = stream.finish();
    drop(writer);
    bytes
}

fn rgb8(width: u32, height: u32) -> Vec<u8> {
    png(width, height, png::ColorType::Rgb, png::BitDepth::Eight, height)
}

/// A copy with other bytes at some place.
fn patched(mut bytes: Vec<u8>, at: usize, with: &[u8]) -> Vec<u8> {
    bytes[at..at + with.len()].copy_from_slice(with);
    bytes
}

/// Where the frame header of a JPEG has its precision; height and width follow.
fn frame(jpeg: &[u8]) -> usize {
    jpeg.windows(2).position(|pair| pair[0] == 0xFF && (0xC0..=0xC2).contains(&pair[1])).unwrap()
        + 4
}

/// The header of a WebP of this size.
fn webp_header(width: u32, height: u32) -> Vec<u8> {
    let side = |n: u32| (n - 1).to_le_bytes()[..3].to_vec();
    let body =
        [&b"WEBPVP8X"[..], &[10, 0, 0, 0, 0x10, 0, 0, 0], &side(width), &side(height)].concat();
    let data = [&body[..], b"VP8L", &[8, 0, 0, 0, 0x2F, 0, 0, 0, 0, 0, 0, 0]].concat();
    [&b"RIFF"[..], &(data.len() as u32).to_le_bytes(), &data].concat()
}

/// A file name, its content, and the expected error, or none for a prediction.
type Case = (&'static str, Vec<u8>, Option<&'static str>);

fn good() -> Vec<Case> {
    let trailing = |name| [photo(name), b"and more".repeat(1000)].concat();
    vec![
        ("1x1.png", rgb8(1, 1), None),
        ("1x300.png", rgb8(1, 300), None),
        ("20000x10.png", rgb8(20_000, 10), None),
        ("10x20000.png", rgb8(10, 20_000), None),
        ("65535x1.png", rgb8(65_535, 1), None),
        ("bit1.png", png(33, 7, png::ColorType::Grayscale, png::BitDepth::One, 7), None),
        ("rgba16.png", png(9, 9, png::ColorType::Rgba, png::BitDepth::Sixteen, 9), None),
        ("4-megapixels.png", rgb8(2000, 2000), None),
        ("png-called.jpg", photo("rgb.png"), None),
        ("jpeg-called.png", photo("grey.jpg"), None),
        ("webp-called.bmp", photo("lossy.webp"), None),
        ("without-suffix", photo("rgb.png"), None),
        ("trailing.jpg", trailing("grey.jpg"), None),
        ("trailing.png", trailing("rgb.png"), None),
        ("trailing.gif", trailing("palette.gif"), None),
        ("trailing.bmp", trailing("rgb.bmp"), None),
        ("trailing.webp", trailing("lossy.webp"), None),
    ]
}

fn bad() -> Vec<Case> {
    let half = |name| {
        let bytes = photo(name);
        bytes[..bytes.len() / 2].to_vec()
    };
    let jpeg = photo("subsampling-0.jpg");
    let at = frame(&jpeg);
    let idat = photo("rgb.png").windows(4).position(|kind| kind == b"IDAT").unwrap();
    let huge = png(20_000, 15_000, png::ColorType::Rgb, png::BitDepth::Eight, 0);
    let too_large = Some("(300 megapixels), above the limit of 134");
    vec![
        ("empty.jpg", vec![], Some("is empty")),
        ("one-byte.png", vec![0x89], Some("is not an image")),
        ("signature.png", b"\x89PNG\r\n\x1a\n".to_vec(), Some("is truncated")),
        ("start.jpg", vec![0xFF, 0xD8, 0xFF], Some("is truncated")),
        ("text.jpg", b"no photo at all\n".to_vec(), Some("is not an image")),
        ("page.png", b"<!DOCTYPE html><p>404".to_vec(), Some("is not an image")),
        ("zeros.bmp", vec![0; 5000], Some("is not an image")),
        ("half.jpg", half("subsampling-2.jpg"), Some("is truncated")),
        ("half-progressive.jpg", half("progressive.jpg"), Some("is truncated")),
        ("half-exif.jpg", photo("exif-6.jpg")[..40].to_vec(), Some("is truncated")),
        ("without-end.jpg", jpeg[..jpeg.len() - 2].to_vec(), Some("is truncated")),
        ("half.png", half("rgb.png"), Some("half.png is ")),
        ("half-interlaced.png", half("interlaced.png"), Some("half-interlaced.png is ")),
        ("half.gif", half("palette.gif"), Some("half.gif is ")),
        ("half.bmp", half("rgb.bmp"), Some("half.bmp is ")),
        ("half.webp", half("lossy.webp"), Some("half.webp is ")),
        ("half-lossless.webp", half("lossless.webp"), Some("half-lossless.webp is ")),
        (
            "bad-crc.png",
            patched(photo("rgb.png"), idat + 20, &[0x5A]),
            Some("bad-crc.png is damaged"),
        ),
        ("no-pixels.png", patched(photo("rgb.png"), 16, &[0; 4]), Some("no-pixels.png is ")),
        ("no-pixels.jpg", patched(jpeg.clone(), at + 1, &[0; 4]), Some("no-pixels.jpg is ")),
        ("12-bit.jpg", patched(jpeg.clone(), at, &[12]), Some("12-bit.jpg uses")),
        ("lossless.jpg", patched(jpeg.clone(), at - 3, &[0xC3]), Some("lossless.jpg uses")),
        ("300-megapixels.png", huge, too_large),
        ("300-megapixels.jpg", patched(jpeg, at + 1, &[0x3A, 0x98, 0x4E, 0x20]), too_large),
        ("300-megapixels.webp", webp_header(20_000, 15_000), too_large),
        (
            "300-megapixels.bmp",
            patched(
                patched(photo("rgb.bmp"), 18, &20_000_u32.to_le_bytes()),
                22,
                &15_000_u32.to_le_bytes(),
            ),
            too_large,
        ),
        (
            "70000-wide.bmp",
            patched(photo("rgb.bmp"), 18, &70_000_u32.to_le_bytes()),
            Some("is damaged: a side is longer than 65535 pixels"),
        ),
        (
            "300-megapixels.gif",
            patched(photo("palette.gif"), 6, &[0x20, 0x4E, 0x98, 0x3A]),
            too_large,
        ),
        ("16384x16384.webp", webp_header(16_384, 16_384), Some("16384x16384 pixels (269")),
        ("far.png", patched(photo("rgb.png"), 16, &[0xFF; 8]), Some("far.png is ")),
        ("jpeg.tiff", refused("jpeg.tiff"), Some("unsupported feature (JPEG in a TIFF)")),
        ("refused.avif", refused("refused.avif"), Some("is AVIF, which is not supported")),
        ("refused.jp2", refused("refused.jp2"), Some("is JPEG 2000, which is not supported")),
    ]
}

/// Runs the binary with this many MiB of address space.
fn predict(s: &Sandbox, mebibytes: usize, args: &[&OsStr]) -> Finished {
    let script = format!(
        "ulimit -v {}; exec '{}' predict '{PRETRAINED}' --json --threads 2 \"$@\"",
        mebibytes << 10,
        env!("CARGO_BIN_EXE_resnet"),
    );
    let mut shell = Command::new("sh");
    shell.args(["-c", &script, "sh"]).args(args).current_dir(s.path("."));
    Finished::of(&["predict"], shell.output().unwrap())
}

/// MiB that the binary needs without a photo: code, network, two threads and their arenas.
const BASE: usize = 512;

#[test]
fn every_unusual_image_has_a_prediction_or_an_error() {
    let s = Sandbox::new();
    let cases: Vec<Case> = good().into_iter().chain(bad()).collect();
    for (name, bytes, _) in &cases {
        fs::write(s.path(name), bytes).unwrap();
    }
    fs::create_dir(s.path("folder.jpg")).unwrap();
    symlink("nowhere", s.path("dangling.jpg")).unwrap();
    symlink("loop.jpg", s.path("loop.jpg")).unwrap();
    let odd = OsStr::from_bytes(b"not-utf8-\xFF\n.png");
    fs::write(s.path(odd), photo("rgb.png")).unwrap();
    fs::write(s.path("-"), photo("rgb.png")).unwrap();

    let mut args: Vec<&OsStr> = cases.iter().map(|(name, ..)| OsStr::new(*name)).collect();
    let others = ["folder.jpg", "dangling.jpg", "loop.jpg", "/dev/zero", "./-"].map(OsStr::new);
    args.extend(others);
    args.push(odd);
    let found = predict(&s, BASE, &args);
    let (all, wrong) = (args.len(), bad().len() + 4);
    assert!(all > 50);
    assert_eq!(found.code, Some(1), "{found:#?}");
    let last = format!("error: {wrong} of {all} images could not be read");
    assert_eq!(found.stderr.lines().last(), Some(&last[..]), "{}", found.stderr);
    assert!(!found.stderr.contains("panicked"), "{}", found.stderr);
    let predicted: Vec<&str> = found.stdout.lines().collect();
    assert_eq!(predicted.len(), all - wrong);
    let skipped: Vec<&str> = found.stderr.lines().filter(|l| l.starts_with("skipped: ")).collect();
    assert_eq!(skipped.len(), wrong, "one line each: {}", found.stderr);
    for (name, _, error) in &cases {
        match error {
            None => {
                let start = format!("{{\"file\":\"{name}\",");
                assert!(
                    predicted.iter().any(|l| l.starts_with(&start)),
                    "{name}: {}",
                    found.stderr
                );
            }
            Some(error) => {
                let start = format!("skipped: {name} ");
                let line = skipped.iter().find(|line| line.starts_with(&start));
                let line = line.unwrap_or_else(|| panic!("{name} is not in {skipped:#?}"));
                assert!(line.contains(error), "{line}");
            }
        }
    }
    for (name, error) in [
        ("folder.jpg", "has no images"),
        ("dangling.jpg", "cannot be read: No such file"),
        ("loop.jpg", "cannot be read: Too many levels"),
        ("/dev/zero", "larger than the limit of 128 MiB"),
    ] {
        assert!(skipped.iter().any(|l| l.contains(name) && l.contains(error)), "{skipped:#?}");
    }
}

/// Every photo of the folder: CMYK, animations, orientations, palettes, ...
#[test]
fn every_supported_format_is_predicted() {
    let s = Sandbox::new();
    let found = predict(&s, BASE, &[OsStr::new(PHOTOS)]);
    assert_eq!(found.code, Some(0), "{found:?}");
    assert!(found.stdout.lines().count() >= 45);
}

/// At most 12 bytes per pixel: 25 megapixels of 8 bytes each, in a file of 200 kB.
#[test]
fn a_decompression_bomb_stays_within_the_limit() {
    let s = Sandbox::new();
    let bomb = png(5000, 5000, png::ColorType::Rgba, png::BitDepth::Sixteen, 5000);
    assert!(bomb.len() < 1 << 20);
    fs::write(s.path("bomb.png"), &bomb).unwrap();
    let room = 12 * 25_000_000 / (1 << 20);
    let found = predict(&s, BASE + room, &[OsStr::new("bomb.png")]);
    assert_eq!(found.code, Some(0), "{found:?}");
}

//! Photos of every format, compared with Pillow's pixels and torchvision's resizing.
//! `photos/make_photos.py` made the files and the expected values.

use std::{
    fs,
    path::{Path, PathBuf},
};

use resnet_data::photo::{self, CropMode, Interpolation, Photo, PhotoError, Preparation};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/photos")
}

/// Images that are not read.
fn refused(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/refused-photos").join(name)
}

/// Pillow's pixels of each file: RGB and luma.
fn expected() -> Vec<(PathBuf, Photo, Photo)> {
    let bytes = fs::read(folder().join("pixels.bin")).unwrap();
    let mut rest = &bytes[..];
    let mut take = |n: usize| {
        let (taken, others) = rest.split_at(n);
        rest = others;
        taken.to_vec()
    };
    let photos = photo::find(&folder()).photos.into_iter().map(|path| {
        let size = take(4);
        let [width, height] = [0, 2].map(|i| u16::from_le_bytes([size[i], size[i + 1]]).into());
        let rgb = Photo { height, width, channels: 3, pixels: take(height * width * 3) };
        let grey = Photo { height, width, channels: 1, pixels: take(height * width) };
        (path, rgb, grey)
    });
    let photos = photos.collect();
    assert!(rest.is_empty());
    photos
}

/// The same photo in RGB.
fn coloured(photo: Photo) -> Photo {
    match photo.channels {
        1 => Photo {
            channels: 3,
            pixels: photo.pixels.iter().flat_map(|&grey| [grey; 3]).collect(),
            ..photo
        },
        _ => photo,
    }
}

/// The largest and the mean difference of pixels.
fn differences(a: &[u8], b: &[u8]) -> (u8, f64) {
    assert_eq!(a.len(), b.len());
    let each = || a.iter().zip(b).map(|(a, b)| a.abs_diff(*b));
    (each().max().unwrap(), each().map(f64::from).sum::<f64>() / a.len() as f64)
}

#[test]
fn pixels_match_pillow() {
    let all = expected();
    assert!(all.len() >= 90);
    for (path, rgb, grey) in all {
        let name = path.file_name().unwrap().to_str().unwrap();
        for (is_grey, expected) in [(false, &rgb), (true, &grey)] {
            let found = Photo::read(&path, is_grey).unwrap();
            let found = if is_grey { found } else { coloured(found) };
            assert_eq!((found.height, found.width), (expected.height, expected.width), "{name}");
            let (worst, mean) = differences(&found.pixels, &expected.pixels);
            assert_eq!(worst, 0, "{name}, grey: {is_grey}, mean {mean}");
        }
    }
}

#[test]
fn every_exif_orientation_is_applied() {
    let upright = Photo::read(&folder().join("rgb.png"), false).unwrap();
    for number in 1..=8 {
        let turned = Photo::read(&folder().join(format!("exif-{number}.jpg")), false).unwrap();
        assert_eq!((turned.height, turned.width), (16, 24));
        let (_, mean) = differences(&turned.pixels, &upright.pixels);
        assert!(mean < 4.0, "{number}: {mean}");
    }
    for name in ["exif-6.png", "exif-7.png", "exif-6.webp", "exif-7.webp"] {
        assert_eq!(Photo::read(&folder().join(name), false).unwrap(), upright, "{name}");
    }
}

/// Bytes of a linear congruential generator.
fn noise(width: usize, height: usize, channels: usize) -> Photo {
    let mut state = (width * 1000 + height) as u32;
    let byte = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    Photo { height, width, channels, pixels: (0..height * width * channels).map(byte).collect() }
}

/// The cases of `make_photos.py`.
const CASES: [(usize, usize, usize, usize); 16] = [
    (61, 43, 0, 32),
    (43, 61, 0, 32),
    (32, 32, 0, 32),
    (7, 5, 0, 32),
    (1, 1, 0, 8),
    (1, 300, 0, 16),
    (500, 3, 0, 16),
    (200, 150, 0, 32),
    (33, 31, 0, 32),
    (61, 43, 36, 32),
    (43, 61, 36, 32),
    (40, 41, 36, 31),
    (5, 7, 36, 32),
    (500, 20, 18, 16),
    (3, 200, 18, 16),
    (64, 64, 37, 32),
];

#[test]
fn resizing_matches_torchvision() {
    let bytes = fs::read(folder().join("resized.bin")).unwrap();
    let mut rest = &bytes[..];
    for (width, height, resize, image_size) in CASES {
        for channels in [3, 1] {
            let resize = (resize > 0).then_some(resize);
            let preparation = Preparation::new(image_size, resize, channels);
            let found = noise(width, height, channels).prepare(preparation).unwrap();
            let (expected, others) = rest.split_at(preparation.image_len());
            rest = others;
            let (worst, _) = differences(&found, expected);
            assert_eq!(worst, 0, "{width}x{height} {resize:?} {channels}");
        }
    }
    assert!(rest.is_empty());
}

/// `MODES` of `make_photos.py`.
const MODES: [(usize, usize, usize, usize, CropMode); 13] = [
    (61, 43, 36, 32, CropMode::Center),
    (40, 46, 36, 31, CropMode::Center),
    (7, 5, 36, 32, CropMode::Center),
    (61, 43, 36, 32, CropMode::Squash),
    (7, 5, 36, 36, CropMode::Squash),
    (61, 43, 36, 32, CropMode::Border),
    (43, 61, 32, 32, CropMode::Border),
    (9, 2, 20, 32, CropMode::Border),
    (90, 4, 12, 16, CropMode::Border),
    (43, 161, 36, 32, CropMode::Center),
    (33, 101, 36, 32, CropMode::Squash),
    (50, 260, 36, 32, CropMode::Border),
    (40, 60, 36, 32, CropMode::Squash),
];

#[test]
fn filters_and_crop_modes_match_timm() {
    use Interpolation::{Bicubic, Bilinear, Box, Hamming, Lanczos, Nearest};
    let bytes = fs::read(folder().join("filtered.bin")).unwrap();
    let mut rest = &bytes[..];
    for (width, height, resize, image_size, crop_mode) in MODES {
        for interpolation in [Nearest, Box, Bilinear, Hamming, Bicubic, Lanczos] {
            let preparation = Preparation {
                interpolation,
                crop_mode,
                fill: [128, 64, 32],
                ..Preparation::new(image_size, Some(resize), 3)
            };
            let found = noise(width, height, 3).prepare(preparation).unwrap();
            let (expected, others) = rest.split_at(preparation.image_len());
            rest = others;
            let (worst, _) = differences(&found, expected);
            assert_eq!(worst, 0, "{width}x{height} {crop_mode:?} {interpolation:?}");
        }
    }
    assert!(rest.is_empty());
}

#[test]
fn a_grey_photo_is_copied_to_all_channels() {
    let preparation = |channels| Preparation::new(8, None, channels);
    let photo = noise(20, 30, 1);
    let grey = photo.prepare(preparation(1)).unwrap();
    let spread: Vec<u8> = grey.iter().flat_map(|&g| [g; 3]).collect();
    assert_eq!(photo.prepare(preparation(3)).unwrap(), spread);
}

#[test]
fn only_the_crop_of_a_long_strip_is_resized() {
    // Resized as a whole, it would have 256 x 51,200,000 pixels.
    let preparation = Preparation::new(224, Some(256), 1);
    let mut strip = noise(200_000, 1, 1);
    let middle = strip.pixels[100_000];
    strip.pixels[99_990..100_010].fill(middle);
    assert_eq!(strip.prepare(preparation).unwrap(), vec![middle; 224 * 224]);
}

#[test]
fn errors_name_unsupported_formats() {
    let error = |name: &str| Photo::read(&refused(name), false).unwrap_err().to_string();
    assert!(error("palette.tiff").contains("uses an unsupported feature (a TIFF with a palette)"));
    assert!(error("cmyk.tiff").contains("a TIFF of CMYK"));
    assert!(error("jpeg.tiff").contains("uses an unsupported feature (JPEG in a TIFF)"));
    assert!(error("refused.avif").contains("is AVIF, which is not supported"));
    assert!(error("refused.jp2").contains("is JPEG 2000, which is not supported"));
    let heic = [&[0, 0, 0, 24][..], b"ftypheic", &[0; 40]].concat();
    assert!(matches!(Photo::decode(&heic, false), Err(PhotoError::UnsupportedFormat("HEIC"))));
    assert!(matches!(Photo::decode(&[], false), Err(PhotoError::Empty)));
    assert!(matches!(Photo::decode(b"\0\0\0", false), Err(PhotoError::NotAnImage)));
}

/// A file truncated anywhere is an error, or decodes to the same pixels.
#[test]
fn truncated_files_are_errors() {
    for (path, ..) in expected() {
        if path.ends_with("ascii.ppm") {
            continue; // Its last number may have lost digits.
        }
        let whole = fs::read(&path).unwrap();
        let photo = Photo::decode(&whole, false).unwrap();
        for len in 0..whole.len() {
            if let Ok(found) = Photo::decode(&whole[..len], false) {
                let name = path.display();
                assert!(found == photo, "{name} cut to {len} of {} bytes", whole.len());
            }
        }
    }
}

/// Damaged bytes never cause a panic.
#[test]
fn damaged_files_never_panic() {
    let mut state = 1_u32;
    let mut random = |below: usize| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as usize % below
    };
    for (path, ..) in expected() {
        let whole = fs::read(&path).unwrap();
        for _ in 0..300 {
            let mut bytes = whole.clone();
            for _ in 0..=random(4) {
                let at = random(bytes.len());
                bytes[at] = [0, 0xFF, 0x7F, 0x80, random(256) as u8][random(5)];
            }
            let _ = Photo::decode(&bytes, false);
        }
    }
}

#[test]
fn parallel_results_match_and_are_in_order() {
    let mut paths = photo::find(&folder()).photos;
    paths.insert(3, folder().join("missing.png"));
    paths.push(refused("jpeg.tiff"));
    let preparation = Preparation::new(12, Some(14), 3);
    for threads in [1, 2, 7] {
        let all = photo::prepare(&paths, preparation, threads);
        assert_eq!(all.len(), paths.len());
        for (path, found) in paths.iter().zip(all) {
            match Photo::read(path, false) {
                Ok(photo) => assert_eq!(found.unwrap(), photo.prepare(preparation).unwrap()),
                Err(error) => assert_eq!(found.unwrap_err().to_string(), error.to_string()),
            }
        }
    }
}

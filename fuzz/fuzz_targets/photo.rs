//! Decodes any bytes as a photo, in grey and in colour, and prepares it for a network.
#![no_main]

use resnet_data::photo::{CropMode, Interpolation, MAX_PIXELS, Photo, Preparation};

/// Bytes for each pixel (of a JPEG of CMYK or a TIFF with alpha of 16 bits), and for a decoder's own
/// buffers.
const PER_PIXEL: u64 = 16;
const OWN: u64 = 16 << 20;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let (Some(&first), Some(&last)) = (bytes.first(), bytes.last()) else { return };
    let grey = last % 2 == 0;
    let mut pixels = MAX_PIXELS;
    let count = allocation_counter::measure(|| {
        if let Ok(photo) = Photo::decode(bytes, grey) {
            pixels = (photo.height * photo.width) as u64;
            assert_eq!(photo.pixels.len() as u64, pixels * photo.channels as u64);
            prepare(&photo, grey, first ^ last);
        }
    });
    // Blocks of a JPEG are whole.
    let most = PER_PIXEL * (pixels + (64 << 10)) + OWN + 8 * bytes.len() as u64;
    assert!(count.bytes_max <= most, "{} bytes for {pixels} pixels", count.bytes_max);
});

fn prepare(photo: &Photo, grey: bool, choice: u8) {
    const FILTERS: [Interpolation; 4] = [
        Interpolation::Bilinear,
        Interpolation::Bicubic,
        Interpolation::Nearest,
        Interpolation::Lanczos,
    ];
    const CROPS: [CropMode; 3] = [CropMode::Center, CropMode::Squash, CropMode::Border];
    let channels = if grey { 1 } else { 3 };
    let preparation = Preparation {
        image_size: 32,
        resize: (choice % 3 > 0).then_some(36),
        channels,
        interpolation: FILTERS[usize::from(choice) % FILTERS.len()],
        crop_mode: CROPS[usize::from(choice / 4) % CROPS.len()],
        fill: [1; 3],
    };
    let square = photo.prepare(preparation).expect("there is memory");
    assert_eq!(square.len(), 32 * 32 * channels);
}

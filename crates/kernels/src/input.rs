//! Images as the input of a network.

use crate::{
    check::{at_least, exactly, product},
    chunks::DisjointChunks,
    cpu::Cpu,
    layout::ImageLayout,
};

/// The normalised value of each byte, for each channel: `(byte / 255 - mean) / std`
/// (`torchvision.transforms.ToTensor` and `Normalize`).
#[derive(Clone, Debug, PartialEq)]
pub struct ByteTable(Vec<[f32; 256]>);

impl ByteTable {
    /// A table for these means and standard deviations.
    ///
    /// # Panics
    /// If they differ in number.
    pub fn new(mean: &[f32], std: &[f32]) -> Self {
        exactly("standard deviations", std.len(), mean.len());
        let of = |(mean, std): (&f32, &f32)| {
            std::array::from_fn(|byte| (byte as f32 / 255.0 - mean) / std)
        };
        ByteTable(mean.iter().zip(std).map(of).collect())
    }
}

/// Stores bytes `[n][height][width][channels]`, normalised, in the interior of images. Their border
/// is not written.
///
/// # Panics
/// If there are no channels, the table has another number, or a slice is too short.
pub fn from_bytes(
    cpu: &Cpu,
    layout: &ImageLayout,
    batch: usize,
    bytes: &[u8],
    table: &ByteTable,
    out: &mut [f32],
) {
    let channels = layout.channels;
    assert!(channels > 0, "{layout:?}: no channels");
    exactly("channels to normalise", table.0.len(), channels);
    at_least("bytes", bytes.len(), product(&[batch, layout.height, layout.width, channels]));
    let row = layout.width * channels;
    for_each_row(cpu, layout, batch, out, |image, y, out| {
        let from = &bytes[(image * layout.height + y) * row..][..row];
        for (out, from) in out.chunks_exact_mut(channels).zip(from.chunks_exact(channels)) {
            for ((out, byte), table) in out.iter_mut().zip(from).zip(&table.0) {
                *out = table[usize::from(*byte)];
            }
        }
    });
}

/// Subtracts an image `[height][width][channels]` from the interior of images.
///
/// # Panics
/// If the image has another size, or a slice is too short.
pub fn subtract(cpu: &Cpu, layout: &ImageLayout, batch: usize, image: &[f32], out: &mut [f32]) {
    let ImageLayout { channels, height, width, .. } = *layout;
    exactly("values of an image", image.len(), product(&[height, width, channels]));
    let row = width * channels;
    for_each_row(cpu, layout, batch, out, |_, y, out| {
        let image = &image[y * row..][..row];
        out.iter_mut().zip(image).for_each(|(out, value)| *out -= value);
    });
}

/// Stores values `[n][channels][height][width]` in the interior of images. Their border is not
/// written.
///
/// # Panics
/// If there are no channels, or a slice is too short.
pub fn from_nchw(cpu: &Cpu, layout: &ImageLayout, batch: usize, values: &[f32], out: &mut [f32]) {
    assert!(layout.channels > 0, "{layout:?}: no channels");
    let (channels, height, width) = (layout.channels, layout.height, layout.width);
    at_least("values", values.len(), product(&[batch, channels, height, width]));
    for_each_row(cpu, layout, batch, out, |image, y, out| {
        for (i, out) in out.iter_mut().enumerate() {
            let (x, channel) = (i / channels, i % channels);
            *out = values[((image * channels + channel) * height + y) * width + x];
        }
    });
}

/// Calls `f(image, row, interior of the row)`.
fn for_each_row(
    cpu: &Cpu,
    layout: &ImageLayout,
    batch: usize,
    out: &mut [f32],
    f: impl Fn(usize, usize, &mut [f32]) + Sync,
) {
    let ImageLayout { channels, height, width, border } = *layout;
    let side = |n: usize| border.checked_mul(2)?.checked_add(n);
    let (Some(rows), Some(columns)) = (side(height), side(width)) else {
        panic!("{layout:?}: too large");
    };
    let all = product(&[batch, rows, columns, channels]);
    at_least("images", out.len(), all);
    let images = DisjointChunks::new(&mut out[..all], layout.image_len());
    cpu.pool().run_chunks(batch, images, |image, out| {
        let (row, border) = (layout.columns() * layout.channels, layout.border * layout.channels);
        for y in 0..layout.height {
            let start = (y + layout.border) * row + border;
            f(image, y, &mut out[start..start + layout.width * layout.channels]);
        }
    });
}

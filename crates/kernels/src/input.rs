//! Images on their way into a network.

use crate::{cpu::Cpu, layout::ImageLayout, pool::Parts};

/// What each byte becomes, for each channel: `(byte / 255 - mean) / std`
/// (`torchvision.transforms.ToTensor` and `Normalize`).
#[derive(Clone, Debug, PartialEq)]
pub struct ByteTable(Vec<[f32; 256]>);

impl ByteTable {
    /// A table for these means and standard deviations.
    pub fn new(mean: &[f32], std: &[f32]) -> Self {
        let of = |(mean, std): (&f32, &f32)| {
            std::array::from_fn(|byte| (byte as f32 / 255.0 - mean) / std)
        };
        ByteTable(mean.iter().zip(std).map(of).collect())
    }
}

/// Bytes `[n][height][width][channels]` into the interior of images; their border stays.
///
/// # Panics
/// If the table has another number of channels, or a slice is too short.
pub fn from_bytes(
    cpu: &Cpu,
    layout: &ImageLayout,
    batch: usize,
    bytes: &[u8],
    table: &ByteTable,
    out: &mut [f32],
) {
    let (channels, row) = (layout.channels, layout.width * layout.channels);
    assert_eq!(table.0.len(), channels, "normalisation of another number of channels");
    for_each_row(cpu, layout, batch, out, |image, y, out| {
        let from = &bytes[(image * layout.height + y) * row..][..row];
        for (out, from) in out.chunks_exact_mut(channels).zip(from.chunks_exact(channels)) {
            for ((out, byte), table) in out.iter_mut().zip(from).zip(&table.0) {
                *out = table[usize::from(*byte)];
            }
        }
    });
}

/// Values `[n][channels][height][width]` into the interior of images; their border stays.
///
/// # Panics
/// If a slice is too short.
pub fn from_nchw(cpu: &Cpu, layout: &ImageLayout, batch: usize, values: &[f32], out: &mut [f32]) {
    let (channels, height, width) = (layout.channels, layout.height, layout.width);
    assert!(values.len() >= batch * channels * height * width, "too few values");
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
    let images = Parts::new(&mut out[..batch * layout.image_len()], layout.image_len());
    cpu.pool().run(batch, &|_, image| {
        // SAFETY: each item takes its own part.
        let out = unsafe { images.get(image) };
        let (row, border) = (layout.columns() * layout.channels, layout.border * layout.channels);
        for y in 0..layout.height {
            let start = (y + layout.border) * row + border;
            f(image, y, &mut out[start..start + layout.width * layout.channels]);
        }
    });
}

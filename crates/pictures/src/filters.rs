//! The filters of the first convolution.

use crate::{
    Picture, Theme,
    svg::{Anchor, Canvas, Title},
    text::Face,
};

const GAP: f32 = 10.0;
/// Maximum side of a filter, which is enlarged by a whole factor.
const SIDE: usize = 56;
const NOTE: Face = Face::regular(12.0);

/// The filters of the first convolution, `[out][in][row][column]`: in colour for three input
/// channels, otherwise the mean over the input channels in grey.
///
/// Each filter has its own symmetric scale, set by its largest absolute weight: zero is mid-grey.
///
/// # Panics
/// If `shape` contains 0, or does not match the number of weights.
pub fn filters<'a>(
    weights: &[f32],
    shape: [usize; 4],
    title: impl Into<Title<'a>>,
    theme: &Theme,
) -> String {
    let [out, inputs, height, width] = shape;
    assert!(!shape.contains(&0), "a filter has weights: {shape:?}");
    assert_eq!(weights.len(), shape.iter().product::<usize>(), "weights of {shape:?}");
    let side = (SIDE / width.max(height)).max(1) * width.max(height);
    let columns = out.min(if out > 32 { 16 } else { 8 });
    let pitch = side as f32 + GAP;
    let note = "Each filter has its own scale; mid-grey is zero.";
    let grid = (columns as f32 * pitch - GAP, out.div_ceil(columns) as f32 * pitch - GAP);
    let size = (grid.0.max(NOTE.width(note)), grid.1 + 28.0);
    let mut canvas = Canvas::new(title.into(), size.0, size.1, theme);
    for (i, filter) in weights.chunks_exact(inputs * height * width).enumerate() {
        let (x, y) = ((i % columns) as f32 * pitch, (i / columns) as f32 * pitch);
        let picture = pixels(filter, inputs, height, width);
        canvas.group(&format!("filter {i}"), |canvas| {
            canvas.picture(x, y, side as f32, &picture);
        });
    }
    canvas.text(0.0, grid.1 + 26.0, note, NOTE, Anchor::Start, theme.muted);
    canvas.finish()
}

/// A filter as an image.
fn pixels(filter: &[f32], inputs: usize, height: usize, width: usize) -> Picture {
    let area = height * width;
    let dense: Vec<f32> = match inputs {
        3 => (0..3 * area).map(|i| filter[i % 3 * area + i / 3]).collect(),
        _ => (0..area)
            .map(|i| filter[i..].iter().step_by(area).sum::<f32>() / inputs as f32)
            .collect(),
    };
    let largest = dense.iter().filter(|w| w.is_finite()).fold(0f32, |max, w| max.max(w.abs()));
    let byte = |w: &f32| {
        let scaled = if largest > 0.0 { w / largest } else { 0.0 };
        // NaN is drawn as zero.
        (if scaled.is_nan() { 127.5 } else { 127.5 + 127.5 * scaled }).round() as u8
    };
    let channels = if inputs == 3 { 3 } else { 1 };
    Picture::from_channels(width, height, channels, &dense.iter().map(byte).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_is_mid_grey_and_the_largest_weight_is_saturated() {
        // Two pixels, red 1 and -1, green 0 and 0.5, blue 0 and 0.
        let rgb = pixels(&[1.0, -1.0, 0.0, 0.5, 0.0, 0.0], 3, 1, 2).rgb;
        assert_eq!(rgb, [255, 128, 128, 0, 191, 128]);
        assert_eq!(pixels(&[2.0, 1.0, 2.0, -1.0], 2, 1, 2).rgb, [255, 255, 255, 128, 128, 128]);
        assert_eq!(pixels(&[0.0, f32::NAN], 1, 1, 2).rgb, [128; 6]);
    }
}

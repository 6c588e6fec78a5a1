//! Views of an image: shifted by whole pixels, then mirrored or not.

use serde::{Deserialize, Serialize};

/// What lies around an image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PaddingMode {
    /// Black pixels.
    #[default]
    Zeros,
    /// The image, mirrored at its outermost pixels, which are not repeated
    /// (`torch.nn.functional.pad(mode="reflect")`).
    Reflect,
}

/// Size of an image.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub height: usize,
    pub width: usize,
    pub channels: usize,
}

/// A view of an image, in the image's size.
///
/// ```
/// use resnet_data::{PaddingMode, View};
/// let view = View { top: 0, left: -1, padding_mode: PaddingMode::Reflect, mirrored: false };
/// assert_eq!(view.of_images(&[1, 2, 3], 1, 3, 1), [2, 1, 2]);
/// assert_eq!(View { mirrored: true, ..view }.of_images(&[1, 2, 3], 1, 3, 1), [2, 1, 2]);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// Row of the image that the view's first row shows; it may lie outside of the image.
    pub top: isize,
    /// Column of the image that the view's first column shows, before it is mirrored.
    pub left: isize,
    /// What is seen outside of the image.
    pub padding_mode: PaddingMode,
    /// Whether left and right are exchanged.
    pub mirrored: bool,
}

impl View {
    /// The view of each of some images, `[n][height][width][channels]`.
    ///
    /// # Panics
    /// If an image has no pixels.
    pub fn of_images(self, pixels: &[u8], height: usize, width: usize, channels: usize) -> Vec<u8> {
        let (size, len) = (Size { height, width, channels }, height * width * channels);
        let mut out = vec![0; pixels.len()];
        for (image, out) in pixels.chunks_exact(len).zip(out.chunks_exact_mut(len)) {
            self.write(image, size, out);
        }
        out
    }

    /// Writes the view of `image` to `out`, both `[height][width][channels]`.
    pub(super) fn write(self, image: &[u8], size: Size, out: &mut [u8]) {
        let Size { height, width, channels } = size;
        let row_len = width * channels;
        // Columns of the view inside the image, and the image column where they start.
        let start = (-self.left).clamp(0, width as isize) as usize;
        let end = (width as isize - self.left).clamp(start as isize, width as isize) as usize;
        let from = self.left.clamp(0, width as isize) as usize * channels;
        let inside = start * channels..end * channels;
        for (y, row) in out.chunks_exact_mut(row_len).enumerate() {
            let y = self.top + y as isize;
            let y = match self.padding_mode {
                PaddingMode::Zeros if !(0..height as isize).contains(&y) => {
                    row.fill(0);
                    continue;
                }
                PaddingMode::Zeros => y as usize,
                PaddingMode::Reflect => reflect(y, height),
            };
            let source = &image[y * row_len..][..row_len];
            row[inside.clone()].copy_from_slice(&source[from..][..inside.len()]);
            match self.padding_mode {
                PaddingMode::Zeros => {
                    row[..inside.start].fill(0);
                    row[inside.end..].fill(0);
                }
                PaddingMode::Reflect => {
                    for x in (0..start).chain(end..width) {
                        let from = reflect(self.left + x as isize, width) * channels;
                        row[x * channels..][..channels]
                            .copy_from_slice(&source[from..][..channels]);
                    }
                }
            }
            if self.mirrored {
                mirror(row, channels);
            }
        }
    }
}

/// The pixel of a side of `len` pixels that is seen at a position, between mirrors at both ends.
fn reflect(position: isize, len: usize) -> usize {
    let period = 2 * (len as isize - 1);
    if period == 0 {
        return 0;
    }
    let position = position.rem_euclid(period);
    position.min(period - position) as usize
}

/// Reverses the pixels of a row.
fn mirror(row: &mut [u8], channels: usize) {
    row.reverse();
    row.chunks_exact_mut(channels).for_each(<[u8]>::reverse);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reflection_is_pytorchs() {
        // F.pad(torch.arange(5.)[None], (4, 4), mode="reflect")
        let seen: Vec<_> = (-4..9).map(|position| reflect(position, 5)).collect();
        assert_eq!(seen, [4, 3, 2, 1, 0, 1, 2, 3, 4, 3, 2, 1, 0]);
        // numpy.pad(numpy.arange(3), 7, mode="reflect")
        let seen: Vec<_> = (-7..10).map(|position| reflect(position, 3)).collect();
        assert_eq!(seen, [1, 2, 1, 0, 1, 2, 1, 0, 1, 2, 1, 0, 1, 2, 1, 0, 1]);
        assert_eq!(reflect(-3, 1), 0);
    }
}

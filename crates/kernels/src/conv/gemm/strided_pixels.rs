//! The pixels that a 1x1 window reads.

use crate::conv::shape::ConvShape;

/// Every `stride`-th pixel of each row and column, image after image.
#[derive(Clone, Copy, Debug)]
pub(super) struct StridedPixels {
    /// Pixels of a row, and of an image.
    columns: usize,
    pixels: usize,
    /// Values from one pixel to the next, from one row of them to the next, from one image to the
    /// next.
    column: usize,
    row: usize,
    image: usize,
}

impl StridedPixels {
    /// The pixels of the input of a shape.
    pub(super) fn input(s: &ConvShape) -> Self {
        let (column, row) = (s.in_channels, s.width * s.in_channels);
        StridedPixels {
            columns: s.out_width(),
            pixels: s.out_pixels(),
            column: s.stride * column,
            row: s.stride * row,
            image: s.height * row,
        }
    }

    /// All pixels of the output of a shape.
    pub(super) fn output(s: &ConvShape) -> Self {
        let row = s.out_width() * s.out_channels;
        StridedPixels {
            columns: s.out_width(),
            pixels: s.out_pixels(),
            column: s.out_channels,
            row,
            image: s.out_height() * row,
        }
    }

    /// Stores where the pixels from `first` on start. Those after the last of `total` repeat it.
    #[inline(always)]
    pub(super) fn starts(&self, first: usize, total: usize, to: &mut [usize]) {
        let first = first.min(total - 1);
        let (mut image, rest) = (first / self.pixels, first % self.pixels);
        let (mut y, mut x) = (rest / self.columns, rest % self.columns);
        let mut left = total - first;
        for to in to {
            *to = image * self.image + y * self.row + x * self.column;
            if left == 1 {
                continue;
            }
            left -= 1;
            x += 1;
            if x == self.columns {
                (y, x) = (y + 1, 0);
                if y * self.columns == self.pixels {
                    (image, y) = (image + 1, 0);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_second_pixel_of_odd_images() {
        let s = ConvShape {
            in_channels: 16,
            out_channels: 32,
            height: 3,
            width: 5,
            kernel: 1,
            stride: 2,
            padding: 0,
            groups: 1,
        };
        let mut starts = [0; 8];
        StridedPixels::input(&s).starts(4, 12, &mut starts);
        let pixels = [12, 14, 15, 17, 19, 25, 27, 29];
        assert_eq!(starts, pixels.map(|p| 16 * p));
        StridedPixels::output(&s).starts(9, 12, &mut starts);
        assert_eq!(starts, [9, 10, 11, 11, 11, 11, 11, 11].map(|p| 32 * p));
    }
}

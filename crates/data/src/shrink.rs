//! Shrinks images to fewer rows and columns.

use resnet_network::{crops::Resampling, preprocess::Interpolation};

use crate::{
    augment::Size,
    photo::{Axis, resize},
};

/// Shrinks images of one size to another, as Pillow's `resize(BILINEAR)` and PyTorch's antialiased
/// bilinear interpolation of bytes do: a triangle filter along the rows, then along the columns, with bytes in
/// between.
#[derive(Clone, Debug)]
pub(crate) struct Shrink {
    side: usize,
    size: Size,
    rows: Axis,
    columns: Axis,
}

impl Shrink {
    /// From images of a size, with 1 or 3 channels, to `side` rows and columns.
    pub(crate) fn new(size: Size, side: usize) -> Shrink {
        let axis = |len| Axis::new(Interpolation::Bilinear, len, side as u64, 0..side as u64);
        Shrink { side, size, rows: axis(size.height), columns: axis(size.width) }
    }

    /// Rows and columns of a shrunk image.
    pub(crate) fn side(&self) -> usize {
        self.side
    }

    /// What a device needs to shrink square images, the same along both sides.
    pub(crate) fn resampling(&self) -> Resampling {
        self.rows.resampling()
    }

    /// Shrinks an image `[height][width][channels]` to `[side][side][channels]`.
    pub(crate) fn write(&self, image: &[u8], out: &mut [u8]) {
        let Size { width, channels, .. } = self.size;
        let resized = resize(image, width, channels, &self.rows, &self.columns);
        out.copy_from_slice(&resized.expect("there is memory for a smaller image"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Pixels of a formula.
    fn image(size: Size) -> Vec<u8> {
        let Size { height, width, channels } = size;
        let value = |i: usize| {
            let (y, x, c) = (i / channels / width, i / channels % width, i % channels);
            (y * 37 + x * x * 11 + c * 71 + y * x * 5) as u8
        };
        (0..height * width * channels).map(value).collect()
    }

    fn shrunk(size: Size, side: usize) -> Vec<u8> {
        let mut out = vec![0; side * side * size.channels];
        Shrink::new(size, side).write(&image(size), &mut out);
        out
    }

    #[test]
    fn bytes_are_pytorchs() {
        // y, x, c = numpy.meshgrid(numpy.arange(32), numpy.arange(32), numpy.arange(3), indexing="ij")
        // image = torch.from_numpy(((y*37 + x*x*11 + c*71 + y*x*5) % 256).astype("uint8"))
        // F.interpolate(image.permute(2, 0, 1)[None], size=(16, 16), mode="bilinear",
        //               antialias=True)[0].permute(1, 2, 0)[[0, 15]], of PyTorch 2.15
        let out = shrunk(Size { height: 32, width: 32, channels: 3 }, 16);
        #[rustfmt::skip]
        assert_eq!(out[..48], [
            40, 111, 177, 108, 152, 154, 127, 139, 128, 107, 123, 135, 119, 104, 115, 129,
            154, 115, 116, 155, 130, 118, 144, 132, 126, 124, 136, 131, 120, 136, 132, 102,
            114, 157, 86, 144, 147, 104, 120, 133, 149, 138, 130, 146, 144, 99, 139, 157,
        ]);
        #[rustfmt::skip]
        assert_eq!(out[15 * 48..], [
            132, 125, 128, 155, 166, 86, 113, 184, 132, 132, 149, 119, 112, 100, 130, 151,
            122, 124, 151, 140, 119, 138, 122, 152, 113, 156, 145, 148, 123, 121, 116, 132,
            111, 98, 142, 98, 132, 112, 100, 117, 142, 117, 98, 133, 135, 133, 137, 98,
        ]);
    }

    /// The mean of the pixels of a side around an output pixel, weighted by a triangle as wide as two
    /// output pixels each way.
    fn weights(len: usize, side: usize, index: usize) -> Vec<f64> {
        let scale = len as f64 / side as f64;
        let centre = (index as f64 + 0.5) * scale;
        let weight = |pixel| (1.0 - ((pixel as f64 + 0.5 - centre) / scale).abs()).max(0.0);
        let sum: f64 = (0..len).map(weight).sum();
        (0..len).map(|pixel| weight(pixel) / sum).collect()
    }

    #[test]
    fn pixels_are_means_under_a_triangle() {
        for (height, width, channels, side) in
            [(32, 32, 3, 16), (32, 32, 3, 24), (32, 32, 3, 28), (32, 32, 1, 5), (9, 7, 3, 4)]
        {
            let size = Size { height, width, channels };
            let (pixels, out) = (image(size), shrunk(size, side));
            for (i, &ours) in out.iter().enumerate() {
                let rows = weights(height, side, i / channels / side);
                let columns = weights(width, side, i / channels % side);
                let mut mean = 0.0;
                for (y, row) in rows.iter().enumerate() {
                    for (x, column) in columns.iter().enumerate() {
                        let at = (y * width + x) * channels + i % channels;
                        mean += row * column * f64::from(pixels[at]);
                    }
                }
                // Rounding between the passes moves it by at most a half.
                assert!(
                    (mean - f64::from(ours)).abs() <= 1.0,
                    "{size:?} {side} {i}: {mean} {ours}"
                );
            }
        }
    }
}

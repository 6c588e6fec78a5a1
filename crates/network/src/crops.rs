//! Batches of images that a device keeps: which image each is of, and how it is augmented.

/// Square images that a device is to keep.
#[derive(Clone, Copy, Debug)]
pub struct KeptImages<'a> {
    /// `[n][side][side][channels]`
    pub pixels: &'a [u8],
    /// What all crops of them have in common.
    pub settings: CropSettings,
}

/// What all crops of kept images have in common.
#[derive(Clone, Copy, Debug)]
pub struct CropSettings {
    /// Rows and columns of a kept image.
    pub side: usize,
    /// Channels of a pixel, at most 3.
    pub channels: usize,
    /// Whether a kept image is mirrored at its outermost pixels, or else surrounded by black ones.
    pub reflects: bool,
    /// Side of the square that is hidden; 0 for none.
    pub cutout: usize,
    /// The colour of that square.
    pub colour: [u8; 3],
}

/// The random choices for an image of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crop {
    /// The number of the kept image.
    pub image: u32,
    /// Row of the kept image that the first row shows; it may lie outside.
    pub top: i32,
    /// Column that the first column shows, before it is mirrored.
    pub left: i32,
    /// Whether left and right are exchanged.
    pub mirrored: bool,
    /// First row and column of the square that is hidden.
    pub cutout: [u32; 2],
}

/// A batch, in place of its pixels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Crops {
    /// Each image.
    pub crops: Vec<Crop>,
    /// How all of them are resized, after their augmentation.
    pub resampling: Option<Resampling>,
}

/// How images are resized along each side: the input pixels of every output pixel, and their weights.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resampling {
    /// Input pixels of an output pixel, at most.
    pub taps: usize,
    /// `[side][1 + taps]`: the first input pixel, then weights with 22 fractional bits, 0 where there are fewer.
    pub table: Vec<i32>,
}

impl Resampling {
    /// Rows and columns of a resized image.
    pub fn side(&self) -> usize {
        self.table.len() / (1 + self.taps)
    }
}

//! The settings of an augmentation, as a recipe has them.

use resnet_network::preprocess::Interpolation;
use serde::{Deserialize, Serialize};

use super::affine::Sampling;

/// The augmentation of photos: crop and resize, flips, rotation, affine map, colours, PCA noise, a
/// policy and erasing, in this order. The operations and their distributions are torchvision's; the default is
/// that of its training references: `RandomResizedCrop` and `RandomHorizontalFlip`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Transform {
    /// Which part of a photo is used, and how it gets the network's size.
    #[serde(skip_serializing_if = "is_default")]
    pub crop: Crop,
    /// The filter of the resize.
    #[serde(skip_serializing_if = "is_default")]
    pub interpolation: Interpolation,
    /// Probability that left and right are exchanged.
    #[serde(skip_serializing_if = "is_half")]
    pub horizontal_flip: f64,
    /// Probability that top and bottom are exchanged.
    #[serde(skip_serializing_if = "is_default")]
    pub vertical_flip: f64,
    /// `RandomRotation`, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotation: Option<Rotation>,
    /// `RandomAffine`, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub affine: Option<Affine>,
    /// `ColorJitter`, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub color_jitter: Option<ColorJitter>,
    /// PCA noise, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pca_noise: Option<PcaNoise>,
    /// A policy of several operations, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<Policy>,
    /// `RandomErasing`, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub random_erasing: Option<RandomErasing>,
}

/// Which part of a photo is used.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Crop {
    /// `RandomResizedCrop`: a part of random area, shape and place is resized.
    RandomResized(RandomResizedCrop),
    /// `Resize` and `RandomCrop(pad_if_needed=True)`.
    Random(RandomCrop),
    /// `Resize` and `CenterCrop`.
    Center(CenterCrop),
    /// `Resize((height, width))`: the whole photo, whatever its shape.
    Whole,
}

/// A part of random area, shape and place.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RandomResizedCrop {
    /// Least and greatest share of the photo's area. It is uniform.
    pub scale: [f64; 2],
    /// Least and greatest ratio of width to height. Its logarithm is uniform.
    pub ratio: [f64; 2],
}

/// A part of the network's size, anywhere in the resized photo.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RandomCrop {
    /// Pixels that the shorter side is resized to; none: as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resize: Option<Shorter>,
    /// Black pixels that are added on each side before the crop.
    #[serde(skip_serializing_if = "is_default")]
    pub padding: usize,
}

/// What the shorter side is resized to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Shorter {
    /// This many pixels.
    To(usize),
    /// Any number of pixels from the first to the second, all equally likely: 256 to 480 in the paper (He et
    /// al. 2015, section 3.4).
    Between([usize; 2]),
}

/// The middle of the resized photo, in the network's size. What lies outside of it is black.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CenterCrop {
    /// Pixels that the shorter side is resized to; none: as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resize: Option<usize>,
}

/// A rotation about the centre (`RandomRotation`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rotation {
    /// Greatest angle in either direction, degrees. It is uniform.
    pub degrees: f64,
    /// How pixels are sampled.
    #[serde(default, skip_serializing_if = "is_default")]
    pub interpolation: Sampling,
    /// The colour of what comes from outside of the image.
    #[serde(default, skip_serializing_if = "is_default")]
    pub fill: [u8; 3],
}

/// An affine map that keeps the centre (`RandomAffine`). All parameters are uniform.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Affine {
    /// Greatest angle in either direction, degrees.
    #[serde(skip_serializing_if = "is_default")]
    pub degrees: f64,
    /// Greatest shift in either direction, as a share of width and height.
    #[serde(skip_serializing_if = "is_default")]
    pub translate: [f64; 2],
    /// Least and greatest factor on the size.
    #[serde(skip_serializing_if = "is_ones")]
    pub scale: [f64; 2],
    /// Greatest shear in either direction along rows and along columns, degrees.
    #[serde(skip_serializing_if = "is_default")]
    pub shear: [f64; 2],
    /// How pixels are sampled.
    #[serde(skip_serializing_if = "is_default")]
    pub interpolation: Sampling,
    /// The colour of what comes from outside of the image.
    #[serde(skip_serializing_if = "is_default")]
    pub fill: [u8; 3],
}

/// Changes of colour in random order (`ColorJitter`). All parameters are uniform.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ColorJitter {
    /// The factor on the brightness is at most this far from 1, and not below 0.
    #[serde(skip_serializing_if = "is_default")]
    pub brightness: f64,
    /// The same for the contrast.
    #[serde(skip_serializing_if = "is_default")]
    pub contrast: f64,
    /// The same for the saturation.
    #[serde(skip_serializing_if = "is_default")]
    pub saturation: f64,
    /// Greatest shift of the hue in either direction, in turns of the colour circle: at most 0.5.
    #[serde(skip_serializing_if = "is_default")]
    pub hue: f64,
}

/// A change of all pixels along the principal axes of the colours of a data set, as in AlexNet (Krizhevsky et
/// al. 2012, section 4.1; `Lighting` in fb.resnet.torch): to each pixel is added the sum of the eigenvectors,
/// each times its eigenvalue and a normal number. The result is rounded to bytes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PcaNoise {
    /// Standard deviation of the normal numbers, one for each axis: 0.1 in the paper.
    pub std: f64,
    /// Eigenvalue of each axis, for pixels from 0 to 1.
    #[serde(skip_serializing_if = "is_imagenet_values")]
    pub eigenvalues: [f64; 3],
    /// Eigenvector of each axis: red, green and blue.
    #[serde(skip_serializing_if = "is_imagenet_vectors")]
    pub eigenvectors: [[f64; 3]; 3],
}

/// fb.resnet.torch's numbers of ImageNet.
const IMAGENET_VALUES: [f64; 3] = [0.2175, 0.0188, 0.0045];

/// The same: eigenvectors, one in each row.
const IMAGENET_VECTORS: [[f64; 3]; 3] =
    [[-0.5675, -0.5808, -0.5836], [0.7192, -0.0045, -0.6948], [0.4009, -0.8140, 0.4203]];

/// Several operations of a list of 14.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Policy {
    /// Operations of one magnitude (Cubuk et al. 2020, arXiv 1909.13719).
    RandAugment(RandAugment),
    /// One operation of any magnitude (Müller and Hutter 2021, arXiv 2103.10158).
    TrivialAugmentWide(TrivialAugmentWide),
}

/// torchvision's `RandAugment`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RandAugment {
    /// Operations that are applied one after the other.
    pub num_ops: usize,
    /// Their magnitude, from 0 to 30.
    pub magnitude: usize,
    /// How pixels are sampled.
    #[serde(skip_serializing_if = "is_default")]
    pub interpolation: Sampling,
    /// The colour of what comes from outside of the image.
    #[serde(skip_serializing_if = "is_default")]
    pub fill: [u8; 3],
}

/// torchvision's `TrivialAugmentWide`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrivialAugmentWide {
    /// How pixels are sampled.
    #[serde(skip_serializing_if = "is_default")]
    pub interpolation: Sampling,
    /// The colour of what comes from outside of the image.
    #[serde(skip_serializing_if = "is_default")]
    pub fill: [u8; 3],
}

/// A rectangle that is hidden (`RandomErasing`; Zhong et al. 2020, arXiv 1708.04896).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RandomErasing {
    /// Probability that there is one.
    pub probability: f64,
    /// Least and greatest share of the image's area. It is uniform.
    pub scale: [f64; 2],
    /// Least and greatest ratio of height to width. Its logarithm is uniform.
    pub ratio: [f64; 2],
    /// What is seen instead.
    #[serde(skip_serializing_if = "is_default")]
    pub value: ErasedValue,
}

/// What is seen in place of an erased part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ErasedValue {
    /// The mean colour, which is 0 after normalisation (torchvision's default).
    #[default]
    Mean,
    /// Random bytes, all equally likely, as in the paper. (torchvision's `"random"` draws normalised
    /// values, which need not be colours.)
    Random,
}

impl Transform {
    /// Whether a photo looks the same in every epoch.
    pub fn is_fixed(&self) -> bool {
        let Transform { crop, interpolation, .. } = *self;
        let fixed = Transform { crop, interpolation, horizontal_flip: 0.0, ..Transform::default() };
        matches!(crop, Crop::Center(_) | Crop::Whole) && *self == fixed
    }
}

impl Default for Transform {
    fn default() -> Self {
        Transform {
            crop: Crop::default(),
            interpolation: Interpolation::default(),
            horizontal_flip: 0.5,
            vertical_flip: 0.0,
            rotation: None,
            affine: None,
            color_jitter: None,
            pca_noise: None,
            policy: None,
            random_erasing: None,
        }
    }
}

impl Crop {
    /// Pixels of the shorter side of a photo before the crop, at most, for images of `size` rows and columns. That of a
    /// random resized crop is half as long again, so that no crop of 44% of a photo's area or more is enlarged: 336
    /// pixels for 224. A longer one would hold more detail for smaller crops, and take more memory. A crop that states the
    /// length gets it so, the greatest of several, or whole photos if it resizes none.
    pub fn shorter_side(self, size: usize) -> usize {
        let resize = match self {
            Crop::RandomResized(_) => Some(size.saturating_mul(3).div_ceil(2)),
            Crop::Random(RandomCrop { resize, .. }) => resize.map(|resize| match resize {
                Shorter::Between([_, most]) => most,
                Shorter::To(side) => side,
            }),
            Crop::Center(CenterCrop { resize }) => resize,
            Crop::Whole => Some(size),
        };
        resize.unwrap_or(usize::MAX)
    }
}

impl Default for Crop {
    fn default() -> Self {
        Crop::RandomResized(RandomResizedCrop::default())
    }
}

impl Default for RandomResizedCrop {
    fn default() -> Self {
        RandomResizedCrop { scale: [0.08, 1.0], ratio: [3.0 / 4.0, 4.0 / 3.0] }
    }
}

impl Default for Affine {
    fn default() -> Self {
        let (interpolation, fill) = Default::default();
        let none = [0.0; 2];
        Affine { degrees: 0.0, translate: none, scale: [1.0; 2], shear: none, interpolation, fill }
    }
}

impl Default for PcaNoise {
    fn default() -> Self {
        let (eigenvalues, eigenvectors) = (IMAGENET_VALUES, IMAGENET_VECTORS);
        PcaNoise { std: 0.1, eigenvalues, eigenvectors }
    }
}

impl Default for RandAugment {
    fn default() -> Self {
        let (interpolation, fill) = Default::default();
        RandAugment { num_ops: 2, magnitude: 9, interpolation, fill }
    }
}

impl Default for RandomErasing {
    fn default() -> Self {
        let value = ErasedValue::default();
        RandomErasing { probability: 0.5, scale: [0.02, 0.33], ratio: [0.3, 3.3], value }
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

fn is_half(&value: &f64) -> bool {
    value == 0.5
}

fn is_imagenet_values(&values: &[f64; 3]) -> bool {
    values == IMAGENET_VALUES
}

fn is_imagenet_vectors(&vectors: &[[f64; 3]; 3]) -> bool {
    vectors == IMAGENET_VECTORS
}

fn is_ones(&value: &[f64; 2]) -> bool {
    value == [1.0; 2]
}

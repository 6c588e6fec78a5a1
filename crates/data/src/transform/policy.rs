//! Policies of 14 operations: torchvision's RandAugment and TrivialAugmentWide.

use resnet_network::random::Random;

use super::{
    affine::{Sampling, affine, rotation},
    operation::Operation,
    settings::{Policy, RandAugment, TrivialAugmentWide},
};

/// Magnitudes of an operation, from none to the greatest.
pub(super) const MAGNITUDES: usize = 31;
/// Operations, with the identity.
const KINDS: u64 = 14;

/// The operations of a policy: its greatest magnitudes, and how pixels are sampled.
pub(super) struct Space {
    shear: f32,
    /// Shift along rows and columns, pixels.
    translate: [f32; 2],
    degrees: f32,
    /// Distance of a factor on the colours from 1.
    color: f32,
    /// Bits that posterizing takes away.
    bits: f32,
    sampling: Sampling,
    fill: [u8; 3],
}

/// The operations that a policy draws for an image of `[height, width]` pixels. Each operation, each
/// sign and each magnitude (of TrivialAugmentWide) is equally likely.
pub(super) fn draw(
    policy: &Policy,
    size: [usize; 2],
    random: &mut Random,
    to: &mut Vec<Operation>,
) {
    let (space, num_ops, fixed) = match policy {
        Policy::RandAugment(policy) => (policy.space(size), policy.num_ops, Some(policy.magnitude)),
        Policy::TrivialAugmentWide(policy) => (policy.space(), 1, None),
    };
    for _ in 0..num_ops {
        let kind = random.below(KINDS);
        let magnitude = fixed.unwrap_or_else(|| random.below(MAGNITUDES as u64) as usize);
        let negative = random.below(2) == 1;
        to.extend(space.operation(kind, magnitude, negative, size));
    }
}

impl RandAugment {
    pub(super) fn space(&self, size: [usize; 2]) -> Space {
        Space {
            shear: 0.3,
            translate: [size[1], size[0]].map(|side| (150.0 / 331.0 * side as f64) as f32),
            degrees: 30.0,
            color: 0.9,
            bits: 4.0,
            sampling: self.interpolation,
            fill: self.fill,
        }
    }
}

impl TrivialAugmentWide {
    pub(super) fn space(&self) -> Space {
        Space {
            shear: 0.99,
            translate: [32.0; 2],
            degrees: 135.0,
            color: 0.99,
            bits: 6.0,
            sampling: self.interpolation,
            fill: self.fill,
        }
    }
}

impl Space {
    /// One of the operations, in torchvision's order; none for the identity.
    pub(super) fn operation(
        &self,
        kind: u64,
        magnitude: usize,
        negative: bool,
        size: [usize; 2],
    ) -> Option<Operation> {
        let signed = |most: f32| {
            let value = linspace(0.0, most, magnitude);
            if negative { -value } else { value }
        };
        let map = |matrix| {
            let Space { sampling, fill, .. } = *self;
            Operation::Affine { matrix, sampling, fill }
        };
        let shear = |slopes: [f32; 2]| {
            let degrees = slopes.map(|slope| f64::from(slope).atan().to_degrees());
            map(affine(0.0, [0.0; 2], 1.0, degrees, [0.0; 2]))
        };
        let shift = |pixels: [f32; 2]| {
            let centre = [size[1] as f64 * 0.5, size[0] as f64 * 0.5];
            map(affine(0.0, pixels.map(|x| x.trunc().into()), 1.0, [0.0; 2], centre))
        };
        let factor = || 1.0 + signed(self.color);
        Some(match kind {
            0 => return None,
            1 => shear([signed(self.shear), 0.0]),
            2 => shear([0.0, signed(self.shear)]),
            3 => shift([signed(self.translate[0]), 0.0]),
            4 => shift([0.0, signed(self.translate[1])]),
            5 => map(rotation(signed(self.degrees).into(), size)),
            6 => Operation::Brightness(factor()),
            7 => Operation::Saturation(factor()),
            8 => Operation::Contrast(factor()),
            9 => Operation::Sharpness(factor()),
            10 => Operation::Posterize(
                8 - linspace(0.0, self.bits, magnitude).round_ties_even() as u32,
            ),
            11 => Operation::Solarize(linspace(255.0, 0.0, magnitude)),
            12 => Operation::AutoContrast,
            _ => Operation::Equalize,
        })
    }
}

/// A magnitude between two values (`torch.linspace`).
fn linspace(start: f32, end: f32, magnitude: usize) -> f32 {
    let last = MAGNITUDES - 1;
    let step = f64::from((end - start) / last as f32);
    if magnitude < MAGNITUDES / 2 {
        (f64::from(start) + step * magnitude as f64) as f32
    } else {
        (f64::from(end) - step * (last - magnitude) as f64) as f32
    }
}

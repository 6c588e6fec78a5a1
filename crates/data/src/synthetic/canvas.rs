//! Antialiased drawing.
//!
//! It uses only operations that IEEE 754 rounds correctly (no sines, no logarithms), so that images
//! are bit-identical on every machine.

use resnet_network::random::Random;

/// Rows and columns of an image.
pub(crate) const SIDE: usize = 32;

pub(super) type Colour = [f32; 3];

/// A linear colour gradient.
#[derive(Clone, Copy)]
pub(super) struct Gradient {
    /// The colour in the middle of the image.
    pub middle: Colour,
    /// Change per pixel to the right.
    pub x: Colour,
    /// Change per pixel downwards.
    pub y: Colour,
}

impl Gradient {
    /// A gradient in a random direction, with a change of up to `change` over the image.
    pub(super) fn new(middle: Colour, change: f32, random: &mut Random) -> Self {
        let (dx, dy) = direction(random);
        let slope: Colour = std::array::from_fn(|_| between(random, -change, change) / SIDE as f32);
        Gradient { middle, x: slope.map(|s| s * dx), y: slope.map(|s| s * dy) }
    }

    fn at(&self, x: f32, y: f32) -> Colour {
        let half = SIDE as f32 / 2.0;
        std::array::from_fn(|c| self.middle[c] + self.x[c] * (x - half) + self.y[c] * (y - half))
    }
}

/// An image of [`SIDE`] x [`SIDE`] pixels, colours from 0 to 1.
pub(super) struct Canvas(Vec<Colour>);

impl Canvas {
    pub(super) fn new(background: &Gradient) -> Self {
        let centre = |i: usize| (i as f32) + 0.5;
        Canvas(
            (0..SIDE * SIDE).map(|i| background.at(centre(i % SIDE), centre(i / SIDE))).collect(),
        )
    }

    /// Paints the points that `contains` accepts, all within `reach` of a centre. The coverage of a
    /// pixel is sampled at 4x4 points.
    pub(super) fn paint(
        &mut self,
        (centre_x, centre_y): (f32, f32),
        reach: f32,
        gradient: &Gradient,
        contains: impl Fn(f32, f32) -> bool,
    ) {
        let span = |centre: f32| {
            let clamp = |v: f32| v.clamp(0.0, SIDE as f32) as usize;
            clamp((centre - reach).floor())..clamp((centre + reach).ceil())
        };
        for y in span(centre_y) {
            for x in span(centre_x) {
                let mut hits = 0;
                for point in 0..16 {
                    let offset = |i: usize| i as f32 / 4.0 + 0.125;
                    let (x, y) = (x as f32 + offset(point % 4), y as f32 + offset(point / 4));
                    hits += usize::from(contains(x - centre_x, y - centre_y));
                }
                if hits > 0 {
                    let (share, paint) = (hits as f32 / 16.0, gradient.at(x as f32, y as f32));
                    let pixel = &mut self.0[y * SIDE + x];
                    for c in 0..3 {
                        pixel[c] += (paint[c] - pixel[c]) * share;
                    }
                }
            }
        }
    }

    /// The image as bytes, with noise of standard deviation `noise`.
    pub(super) fn bytes(&self, noise: f32, random: &mut Random) -> impl Iterator<Item = u8> {
        self.0.as_flattened().iter().map(move |value| {
            // The sum of four uniform numbers from 0 to 65535 is approximately normal.
            let bits = random.next_u64();
            let sum: u64 = (0..4).map(|i| (bits >> (16 * i)) & 0xFFFF).sum();
            let normal = (sum as f32 - 131_070.0) / 37_837.0;
            ((value + noise * normal).clamp(0.0, 1.0) * 255.0 + 0.5) as u8
        })
    }
}

pub(super) fn between(random: &mut Random, low: f32, high: f32) -> f32 {
    low + (high - low) * random.uniform()
}

/// A random point on the unit circle.
pub(super) fn direction(random: &mut Random) -> (f32, f32) {
    loop {
        let (x, y) = (between(random, -1.0, 1.0), between(random, -1.0, 1.0));
        let length = (x * x + y * y).sqrt();
        if (0.1..1.0).contains(&length) {
            return (x / length, y / length);
        }
    }
}

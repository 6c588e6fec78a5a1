//! What is drawn for one photo, and doing it.

use resnet_network::{preprocess::Interpolation, random::Random};

use crate::photo::{Axis, Photo, ResizeScratch, resize_into};

use super::{
    affine::{affine, rotation},
    crop::Window,
    erase::Erased,
    operation::Operation,
    policy,
    settings::{Affine, ColorJitter, PcaNoise, Transform},
    stream::{Stream, between},
};

/// What happens to one photo in one epoch: with these parameters, [`Choice::write`] is a function of
/// the photo.
#[derive(Clone, Debug)]
pub struct Choice {
    /// `[height, width]` of the image.
    pub size: [usize; 2],
    /// The part of the photo, and its size.
    pub window: Window,
    /// The filter of the resize.
    pub interpolation: Interpolation,
    /// Whether top and bottom are exchanged, and left and right.
    pub mirrored: [bool; 2],
    /// Then follow these, in order.
    pub operations: Vec<Operation>,
    /// In the end, a part is hidden.
    pub erased: Option<Erased>,
}

/// Memory of [`Choice::write`], one for each thread: once it has seen the largest photo, only a few
/// numbers are allocated for each.
#[derive(Clone, Debug, Default)]
pub struct Scratch {
    rows: Axis,
    columns: Axis,
    resize: ResizeScratch,
    image: Vec<u8>,
}

impl Transform {
    /// The choices for a photo, by its index, in an epoch. `source` is `[height, width]` of the photo, and
    /// `size` that of the image that is made of it.
    ///
    /// # Panics
    /// If a side is 0.
    pub fn choose(
        &self,
        seed: u64,
        epoch: u64,
        index: u64,
        source: [usize; 2],
        size: [usize; 2],
    ) -> Choice {
        assert!([source, size].as_flattened().iter().all(|&side| side > 0), "an image has pixels");
        let stream = |of: Stream| of.of_photo(seed, epoch, index);
        let coin = |of, probability| f64::from(stream(of).uniform()) < probability;
        let mut operations = Vec::new();
        if let Some(map) = self.rotation {
            let degrees = between(&mut stream(Stream::Rotation), [-map.degrees, map.degrees]);
            let (matrix, sampling) = (rotation(degrees, size), map.interpolation);
            operations.push(Operation::Affine { matrix, sampling, fill: map.fill });
        }
        if let Some(map) = self.affine {
            operations.push(map.draw(size, &mut stream(Stream::Affine)));
        }
        if let Some(jitter) = self.color_jitter {
            jitter.draw(&mut stream(Stream::ColorJitter), &mut operations);
        }
        if let Some(noise) = self.pca_noise {
            let mut random = stream(Stream::PcaNoise);
            operations.push(noise.operation([0; 3].map(|_| f64::from(random.normal()))));
        }
        if let Some(policy) = &self.policy {
            policy::draw(policy, size, &mut stream(Stream::Policy), &mut operations);
        }
        let erasing = self.random_erasing;
        Choice {
            size,
            window: self.crop.draw(source, size, &mut stream(Stream::Crop)),
            interpolation: self.interpolation,
            mirrored: [
                coin(Stream::VerticalFlip, self.vertical_flip),
                coin(Stream::HorizontalFlip, self.horizontal_flip),
            ],
            operations,
            erased: erasing.and_then(|erasing| erasing.draw(size, stream(Stream::Erasing))),
        }
    }
}

impl Affine {
    fn draw(&self, [height, width]: [usize; 2], random: &mut Random) -> Operation {
        let Affine { degrees, translate, scale, shear, interpolation, fill } = *self;
        let mut around = |most: f64| between(random, [-most, most]);
        let degrees = around(degrees);
        let sides = [width as f64, height as f64];
        let translate = [0, 1].map(|i| around(translate[i] * sides[i]).round_ties_even());
        let shear = shear.map(around);
        let scale = between(random, scale);
        let matrix = affine(degrees, translate, scale, shear, sides.map(|side| side * 0.5));
        Operation::Affine { matrix, sampling: interpolation, fill }
    }
}

impl PcaNoise {
    /// The operation for numbers of the standard normal distribution, one for each axis.
    pub(super) fn operation(&self, normal: [f64; 3]) -> Operation {
        let PcaNoise { std, eigenvalues, eigenvectors } = *self;
        let along = |axis: usize| 255.0 * std * normal[axis] * eigenvalues[axis];
        let levels =
            |channel: usize| (0..3).map(|axis| along(axis) * eigenvectors[axis][channel]).sum();
        Operation::AddColor([0, 1, 2].map(levels))
    }
}

impl ColorJitter {
    fn draw(&self, random: &mut Random, to: &mut Vec<Operation>) {
        let mut order = [0, 1, 2, 3];
        random.shuffle(&mut order);
        let mut factor =
            |spread: f64| between(random, [(1.0 - spread).max(0.0), 1.0 + spread]) as f32;
        let factors = [self.brightness, self.contrast, self.saturation].map(&mut factor);
        let hue = between(random, [-self.hue, self.hue]) as f32;
        for kind in order {
            match kind {
                0 if self.brightness > 0.0 => to.push(Operation::Brightness(factors[0])),
                1 if self.contrast > 0.0 => to.push(Operation::Contrast(factors[1])),
                2 if self.saturation > 0.0 => to.push(Operation::Saturation(factors[2])),
                3 if self.hue > 0.0 => to.push(Operation::Hue(hue)),
                _ => {}
            }
        }
    }
}

impl Choice {
    /// Makes the image `out`, `[height][width][3]`, of a photo in RGB. `mean` is the colour of an erased
    /// part.
    ///
    /// # Panics
    /// If the photo is grey or not of the size that was chosen for, or `out` of another size.
    pub fn write(&self, photo: &Photo, mean: [u8; 3], scratch: &mut Scratch, out: &mut [u8]) {
        assert_eq!(photo.channels, 3, "channels of a photo");
        assert_eq!(out.len(), 3 * self.size[0] * self.size[1], "bytes of an image");
        self.resize(photo, scratch, out);
        for operation in &self.operations {
            operation.apply(out, self.size, &mut scratch.image);
        }
        if let Some(erased) = &self.erased {
            erased.apply(out, self.size[1], mean);
        }
    }

    /// Crop, resize and flips at once: only what is seen is computed, and mirrored as it is written.
    fn resize(&self, photo: &Photo, scratch: &mut Scratch, out: &mut [u8]) {
        let Window { part, resized, first } = &self.window;
        // What is seen of the resized part, and where in the image that begins.
        let seen = [0, 1].map(|side| {
            let start = first[side].clamp(0, resized[side] as isize) as usize;
            let end = (first[side] + self.size[side] as isize).max(0) as usize;
            start..end.clamp(start, resized[side])
        });
        let axes = [&mut scratch.rows, &mut scratch.columns];
        for (side, axis) in axes.into_iter().enumerate() {
            let seen = seen[side].start as u64..seen[side].end as u64;
            axis.set(self.interpolation, part[side].clone(), resized[side] as u64, seen);
            axis.mirrored = self.mirrored[side];
        }
        let (rows, columns) = (&scratch.rows, &scratch.columns);
        let write = |memory: &mut ResizeScratch, out: &mut [u8]| {
            resize_into::<3>(&photo.pixels, photo.width, rows, columns, memory, out)
                .expect("there is memory for some rows of a photo");
        };
        let [height, width] = seen.clone().map(|seen| seen.len());
        if [height, width] == self.size {
            return write(&mut scratch.resize, out);
        }
        out.fill(0);
        if height * width == 0 {
            return;
        }
        scratch.image.clear();
        scratch.image.resize(3 * height * width, 0);
        write(&mut scratch.resize, &mut scratch.image);
        let [top, left] = [0, 1].map(|side| {
            let before = (-first[side]).max(0) as usize;
            let len = seen[side].len();
            if self.mirrored[side] { self.size[side] - before - len } else { before }
        });
        let lines = out.chunks_exact_mut(3 * self.size[1]).skip(top);
        for (line, from) in lines.zip(scratch.image.chunks_exact(3 * width)) {
            line[3 * left..3 * (left + width)].copy_from_slice(from);
        }
    }
}

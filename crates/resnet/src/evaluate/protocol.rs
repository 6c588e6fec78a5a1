//! The paper's protocols of testing: ten crops of an image, and whole images at several scales.
//!
//! Both average the softmax probabilities of views of an image.

use std::{collections::BTreeMap, mem, ops::Range};

use super::{
    images::{BATCH, EvaluateError, check, check_size},
    probabilities::Probabilities,
};
use crate::{
    Device, Dtype,
    data::{
        ImageSet, Normalisation,
        photo::{CropMode, Photo, Preparation},
    },
    engine::{DeviceEvalPlan, Input, lower::Lowering},
    model_file::Model,
};

/// Bytes of resized images that wait for others of the same size.
const WAITING: usize = 256 << 20;
/// Images that are read at a time.
const READ: usize = 16;

/// Which views of an image are evaluated. The result is the mean of their softmax probabilities.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// The four corners and the centre of the resized image, and those of its mirror image
    /// (torchvision's `TenCrop`; Krizhevsky et al. 2012, section 4.1).
    TenCrop,
    /// The whole image and its mirror image, with the shorter side resized to each of these lengths. The
    /// network runs over all of it: its global pool averages a larger map (He et al. 2015, section 3.4).
    Scales(Vec<usize>),
}

/// Images for a protocol, and how they become a network's input.
#[derive(Clone, Copy, Debug)]
pub struct ProtocolImages<'a> {
    /// The images.
    pub images: &'a ImageSet,
    /// How they are resized, and the side of the crops. [`Protocol::Scales`] takes its filter alone.
    pub preparation: Preparation,
    /// How pixels are normalised.
    pub normalisation: &'a Normalisation,
}

/// What is made of every image by one resize.
struct Pass {
    preparation: Preparation,
    views: Views,
}

#[derive(Clone, Copy)]
enum Views {
    /// Crops of this side.
    Ten {
        side: usize,
        mode: CropMode,
    },
    Whole,
}

impl Protocol {
    /// Checks that images that are prepared so have these views.
    ///
    /// # Errors
    /// [`EvaluateError::NoRoom`] if the crops would be one and the same, or the resize leaves a border;
    /// [`EvaluateError::MeanImage`] if a view has another size than the mean image.
    pub fn check(
        &self,
        preparation: Preparation,
        normalisation: &Normalisation,
    ) -> Result<(), EvaluateError> {
        let Preparation { image_size, resize, crop_mode, .. } = preparation;
        let has_room = resize.is_some_and(|resize| resize > image_size);
        let fits = has_room && crop_mode != CropMode::Border;
        match self {
            Protocol::TenCrop if !fits => Err(EvaluateError::NoRoom { image_size }),
            Protocol::TenCrop => check_size(normalisation, image_size, image_size),
            // Not even if all images were squares of its size.
            Protocol::Scales(sides) => {
                sides.iter().try_for_each(|&side| check_size(normalisation, side, side))
            }
        }
    }

    fn passes(&self, preparation: Preparation) -> Vec<Pass> {
        let Preparation { image_size: side, crop_mode: mode, .. } = preparation;
        match self {
            Protocol::TenCrop => vec![Pass { preparation, views: Views::Ten { side, mode } }],
            Protocol::Scales(scales) => {
                let whole = |&image_size: &usize| {
                    let (resize, crop_mode) = (Some(image_size), CropMode::Center);
                    Preparation { image_size, resize, crop_mode, ..preparation }
                };
                let pass = |scale| Pass { preparation: whole(scale), views: Views::Whole };
                scales.iter().map(pass).collect()
            }
        }
    }
}

impl Views {
    fn count(self) -> usize {
        match self {
            Views::Ten { .. } => 10,
            Views::Whole => 2,
        }
    }

    /// Rows and columns of the views of a resized image.
    fn size(self, photo: &Photo) -> [usize; 2] {
        match self {
            Views::Ten { side, .. } => [side; 2],
            Views::Whole => [photo.height, photo.width],
        }
    }

    /// Appends the pixels of a view.
    fn write(self, index: usize, photo: &Photo, out: &mut Vec<u8>) {
        let Views::Ten { side, mode } = self else {
            return cut(photo, [0, 0], [photo.height, photo.width], index == 1, out);
        };
        let [bottom, right] = [photo.height - side, photo.width - side];
        let middle = |margin: usize| match mode {
            CropMode::CenterFloor => margin / 2,
            // torchvision rounds to the nearest integer, ties to even.
            _ => (margin as f64 / 2.0).round_ties_even() as usize,
        };
        let corner = match index % 5 {
            0 => [0, 0],
            1 => [0, right],
            2 => [bottom, 0],
            3 => [bottom, right],
            _ => [middle(bottom), middle(right)],
        };
        cut(photo, corner, [side; 2], index >= 5, out);
    }
}

/// Appends a part of a photo or of its mirror image, whose first pixel is in this row and column.
fn cut(
    photo: &Photo,
    [top, left]: [usize; 2],
    [rows, columns]: [usize; 2],
    mirrored: bool,
    out: &mut Vec<u8>,
) {
    let Photo { width, channels, .. } = *photo;
    for row in photo.pixels.chunks_exact(width * channels).skip(top).take(rows) {
        if mirrored {
            let part = &row[(width - left - columns) * channels..(width - left) * channels];
            part.chunks_exact(channels).rev().for_each(|pixel| out.extend_from_slice(pixel));
        } else {
            out.extend_from_slice(&row[left * channels..][..columns * channels]);
        }
    }
}

/// The probabilities of a model by a protocol, in the order of the images. `progress` is called with a
/// number of images whose share of all is that of the work done. Images of a size for which there is not enough
/// memory have none.
///
/// Images of one size are evaluated together. Besides the result, there are in memory a plan of up to 512
/// MiB or one image, and 256 MiB of waiting images and the 16 that were read last.
///
/// # Errors
/// If there are no images that can be used, or all are too large, or they do not fit the network or the protocol.
pub fn probabilities(
    model: &Model,
    dtype: Dtype,
    protocol: &Protocol,
    of: ProtocolImages<'_>,
    device: impl Into<Device>,
    progress: &mut dyn FnMut(usize),
) -> Result<Probabilities, EvaluateError> {
    let ProtocolImages { images, preparation, normalisation } = of;
    let (graph, labels) = (model.network.graph(), images.labels());
    check(graph, labels, images.size()[2], normalisation)?;
    images.check()?;
    protocol.check(preparation, normalisation)?;
    let mut sums = Probabilities::zeros(labels.len(), graph.classes());
    let passes = protocol.passes(preparation);
    let views = passes.iter().map(|pass| pass.views.count()).sum();
    let work = |pass: &Pass| (pass.preparation.image_size as f64).powi(2);
    let total: f64 = passes.iter().map(work).sum();
    let mut before = 0.0;
    let device = device.into();
    let mut runner = Runner { model, dtype, normalisation, device, plan: None, too_large: None };
    for pass in passes {
        let (mut waiting, mut bytes, mut done) = (Vec::new(), 0, 0);
        let work = work(&pass);
        let mut run = |waiting: Vec<(usize, Photo)>, sums: &mut Probabilities| {
            runner.run(pass.views, waiting, sums, &mut |images| {
                done += images;
                progress(((before * labels.len() as f64 + work * done as f64) / total) as usize);
            })
        };
        for first in (0..labels.len()).step_by(READ) {
            let range = first..(first + READ).min(labels.len());
            for (index, photo) in range.clone().zip(read(images, range, pass.preparation)?) {
                match photo {
                    Some(photo) => {
                        bytes += photo.pixels.len();
                        waiting.push((index, photo));
                    }
                    None => sums.leave_out(index),
                }
            }
            if bytes >= WAITING {
                bytes = 0;
                run(mem::take(&mut waiting), &mut sums)?;
            }
        }
        run(waiting, &mut sums)?;
        before += work;
    }
    if (0..labels.len()).all(|image| sums.of(image).is_none()) {
        return Err(runner.too_large.unwrap_or(EvaluateError::NoImages));
    }
    Ok(sums.divided(views))
}

/// Reads images, resized but not cropped.
fn read(
    images: &ImageSet,
    range: Range<usize>,
    preparation: Preparation,
) -> Result<Vec<Option<Photo>>, EvaluateError> {
    match images {
        ImageSet::Memory(images) => {
            let (height, width, channels) = (images.height, images.width, images.channels);
            let resized = |index| {
                let pixels = images.image(index).to_vec();
                let photo = Photo { height, width, channels, pixels };
                Ok(Some(photo.resized(preparation)?))
            };
            range.map(resized).collect()
        }
        ImageSet::Photos(photos) => Ok(photos.whole(range, preparation)?),
    }
}

/// Runs a model on images of any size.
struct Runner<'a> {
    model: &'a Model,
    dtype: Dtype,
    normalisation: &'a Normalisation,
    device: Device,
    /// The last plan, with the size of its images.
    plan: Option<([usize; 2], DeviceEvalPlan)>,
    /// Why images of a size were left out, if some were.
    too_large: Option<EvaluateError>,
}

impl Runner<'_> {
    /// Adds the probabilities of all views of some images, each with its index. After some of them, `done`
    /// is called with their number.
    fn run(
        &mut self,
        views: Views,
        images: Vec<(usize, Photo)>,
        sums: &mut Probabilities,
        done: &mut dyn FnMut(usize),
    ) -> Result<(), EvaluateError> {
        let mut by_size = BTreeMap::<_, Vec<_>>::new();
        for (index, photo) in images {
            by_size.entry(views.size(&photo)).or_default().push((index, photo));
        }
        let classes = self.model.network.graph().classes();
        let mut pixels = Vec::new();
        for (size, images) in by_size {
            let normalisation = self.normalisation;
            check_size(normalisation, size[0], size[1])?;
            let plan = match self.plan(size, images.len()) {
                Ok(plan) => plan,
                // One size need not cost the results of all others.
                Err(error) if error.is_of_size() => {
                    images.iter().for_each(|(index, _)| sums.leave_out(*index));
                    done(images.len());
                    self.too_large.get_or_insert(error);
                    continue;
                }
                Err(error) => return Err(error),
            };
            for images in images.chunks(plan.batch()) {
                for view in 0..views.count() {
                    pixels.clear();
                    images.iter().for_each(|(_, photo)| views.write(view, photo, &mut pixels));
                    let input = Input::Bytes(&pixels, normalisation);
                    let logits = plan.forward(input, images.len())?.chunks_exact(classes);
                    for ((index, _), logits) in images.iter().zip(logits) {
                        sums.add_softmax(*index, logits);
                    }
                }
                done(images.len());
            }
        }
        Ok(())
    }

    /// A plan for some images of a size. Its algorithms, and so an image's result, do not depend on their
    /// number.
    fn plan(
        &mut self,
        size @ [height, width]: [usize; 2],
        images: usize,
    ) -> Result<&mut DeviceEvalPlan, EvaluateError> {
        let (network, device) = (&self.model.network, &self.device);
        if self.plan.as_ref().is_none_or(|(of, _)| *of != size) {
            // Its memory is needed.
            self.plan = None;
            let lowering = Lowering {
                graph: network.graph(),
                dtype: self.dtype,
                batch: BATCH,
                height,
                width,
                frozen: &[],
                eval: &[],
            };
            let plan = DeviceEvalPlan::micro_batched(lowering, images.min(BATCH), &[], device);
            let mut plan =
                plan.map_err(|source| EvaluateError::OfSize { height, width, source })?;
            plan.load(network)?;
            self.plan = Some((size, plan));
        }
        let (_, plan) = self.plan.as_mut().expect("it was made");
        Ok(plan)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// torchvision's `ten_crop` of an image of 3 x 4 pixels, 0 to 11, with crops of 2 x 2. The margins are 1
    /// and 2, so the centre begins in row 0 and column 1.
    #[test]
    fn ten_crops_are_torchvisions() {
        let photo = Photo { height: 3, width: 4, channels: 1, pixels: (0..12).collect() };
        let views = Views::Ten { side: 2, mode: CropMode::Center };
        let crops = [
            [0, 1, 4, 5],
            [2, 3, 6, 7],
            [4, 5, 8, 9],
            [6, 7, 10, 11],
            [1, 2, 5, 6],
            [3, 2, 7, 6],
            [1, 0, 5, 4],
            [7, 6, 11, 10],
            [5, 4, 9, 8],
            [2, 1, 6, 5],
        ];
        assert_eq!(views.count(), crops.len());
        for (index, crop) in crops.iter().enumerate() {
            let mut out = Vec::new();
            views.write(index, &photo, &mut out);
            assert_eq!(out, crop, "{index}");
        }
    }

    #[test]
    fn whole_images_are_mirrored() {
        let photo = Photo { height: 1, width: 2, channels: 3, pixels: (0..6).collect() };
        let mut out = Vec::new();
        (0..2).for_each(|index| Views::Whole.write(index, &photo, &mut out));
        assert_eq!(out, [0, 1, 2, 3, 4, 5, 3, 4, 5, 0, 1, 2]);
    }

    #[test]
    fn ten_crops_need_room() {
        let mut normalisation = Normalisation::imagenet();
        let check = |resize, crop_mode| {
            let preparation = Preparation { crop_mode, ..Preparation::new(224, resize, 3) };
            Protocol::TenCrop.check(preparation, &normalisation).is_ok()
        };
        assert!(check(Some(256), CropMode::Center) && check(Some(256), CropMode::Squash));
        assert!(!check(Some(224), CropMode::Center) && !check(None, CropMode::Center));
        assert!(!check(Some(256), CropMode::Border));
        let scales = Protocol::Scales(vec![64]);
        scales.check(Preparation::new(224, None, 3), &normalisation).unwrap();
        normalisation.mean_image = Some(vec![0.5; 3 * 32 * 32]);
        let check =
            |protocol: Protocol| protocol.check(Preparation::new(32, Some(36), 3), &normalisation);
        check(Protocol::TenCrop).unwrap();
        assert!(matches!(check(scales), Err(EvaluateError::MeanImage { height: 64, width: 64 })));
    }
}

//! What a photo is prepared to before any augmentation. This is what the cache keeps.

use resnet_network::preprocess::{Interpolation, Preparation};

use crate::{
    photo::{Photo, PhotoError},
    transform::Crop,
};

/// The prepared form of a photo.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// In RGB, with the shorter side at most this long, by this filter, to train on.
    Shrunk(usize, Interpolation),
    /// The same of all pixels of the file, as evaluation has them.
    ShrunkExactly(usize, Interpolation),
    /// The network's input, for evaluation.
    Square(Preparation),
    /// The same without the crop: as much of the photo as there is.
    Whole(Preparation),
}

impl Form {
    /// The form to train on with images of `size` rows and columns: its shorter side is [`Crop::shorter_side`]. What
    /// draws nothing, a centre crop and a whole photo, has exactly the pixels of its transform.
    pub(crate) fn for_training(size: usize, crop: Crop, filter: Interpolation) -> Form {
        match crop {
            Crop::RandomResized(_) | Crop::Random(_) => {
                Form::Shrunk(crop.shorter_side(size), filter)
            }
            Crop::Center(_) => Form::ShrunkExactly(crop.shorter_side(size), filter),
            Crop::Whole => {
                let square = Preparation::new(size, None, 3);
                Form::Square(Preparation { interpolation: filter, ..square })
            }
        }
    }

    /// The pixels that a JPEG's shorter side needs while it is decoded, if fewer than all are enough:
    /// twice those of the form, so that the resize, not the decoder, decides what is seen. The other forms
    /// decode all, since their pixels are those of torchvision.
    pub(crate) fn decoded_side(self) -> Option<usize> {
        match self {
            Form::Shrunk(shorter, _) => Some(shorter.saturating_mul(2)),
            Form::ShrunkExactly(..) | Form::Square(_) | Form::Whole(_) => None,
        }
    }

    /// Whether a photo is decoded to grey.
    pub(crate) fn is_grey(self) -> bool {
        matches!(self, Form::Square(p) | Form::Whole(p) if p.channels == 1)
    }

    /// A decoded photo in this form.
    pub(crate) fn of(self, photo: Photo) -> Result<Photo, PhotoError> {
        match self {
            Form::Shrunk(shorter, filter) | Form::ShrunkExactly(shorter, filter) => {
                photo.shrunk(shorter, filter)
            }
            Form::Square(preparation) => {
                let pixels = photo.prepare(preparation)?;
                let Preparation { image_size, channels, .. } = preparation;
                Ok(Photo { height: image_size, width: image_size, channels, pixels })
            }
            Form::Whole(preparation) => photo.resized(preparation),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use libjpeg_turbo_rs::{PixelFormat, Subsampling, compress};

    use super::*;
    use crate::{
        photo::MemoryBudget,
        transform::{CenterCrop, RandomCrop, Scratch, Shorter, Transform},
    };

    const BILINEAR: Interpolation = Interpolation::Bilinear;
    const HEIGHT: usize = 800;
    const WIDTH: usize = 1000;

    /// Waves, edges and grain.
    fn picture() -> Vec<u8> {
        let mut pixels = Vec::new();
        for i in 0..HEIGHT * WIDTH {
            let (x, y) = (i % WIDTH, i / WIDTH);
            let (u, v) = (x as f64, y as f64);
            let grain = (i * i / 7 % 25) as f64 - 12.0;
            let squares = ((x / 40 + y / 40) % 2) as f64;
            let channels = [
                127.0 + 80.0 * (u / 17.0 + v / 29.0).sin() + 30.0 * squares,
                127.0 + 90.0 * (u * v / 9000.0).sin(),
                60.0 + 40.0 * ((u + 2.0 * v) / 50.0).cos() + 60.0 * (x / 90 % 2) as f64,
            ];
            pixels.extend(channels.map(|value| (value + grain).clamp(0.0, 255.0) as u8));
        }
        pixels
    }

    fn shrunk(file: &[u8], shorter: usize, at_least: Option<usize>) -> ([usize; 2], Photo) {
        let (budget, len) = (MemoryBudget::default(), file.len() as u64);
        let file = Cursor::new(file.to_vec());
        let then = |_: &[u8], photo: Photo| {
            let decoded = [photo.height, photo.width];
            Ok((decoded, Form::Shrunk(shorter, BILINEAR).of(photo)?))
        };
        budget.decode(file, Some(len), false, at_least, then).unwrap()
    }

    /// Of photographs of 3024 x 3024 pixels it moves bytes by 0.2 levels on average, and at most by 6.
    #[test]
    fn reduced_decoding_is_nearly_that_of_all_pixels() {
        let pixels = picture();
        for subsampling in [Subsampling::S444, Subsampling::S422, Subsampling::S420] {
            let file = compress(&pixels, WIDTH, HEIGHT, PixelFormat::Rgb, 90, subsampling).unwrap();
            for (shorter, decoded) in
                [(300, [800, 1000]), (200, [400, 500]), (100, [200, 250]), (49, [100, 125])]
            {
                let form = Form::Shrunk(shorter, BILINEAR);
                let (found, reduced) = shrunk(&file, shorter, form.decoded_side());
                let (whole, full) = shrunk(&file, shorter, None);
                assert_eq!((found, whole), (decoded, [HEIGHT, WIDTH]), "{shorter}");
                assert_eq!(
                    [reduced.height, reduced.width],
                    [shorter, WIDTH * shorter / HEIGHT],
                    "{shorter}"
                );
                let pairs = reduced.pixels.iter().zip(&full.pixels);
                let off: Vec<f64> = pairs.map(|(&a, &b)| f64::from(a.abs_diff(b))).collect();
                let mean = off.iter().sum::<f64>() / off.len() as f64;
                let most = off.iter().copied().fold(0.0, f64::max);
                assert!(mean < 3.0 && most <= 14.0, "{subsampling:?} {shorter}: {mean} {most}");
                assert_eq!(mean == 0.0, shorter == 300, "{subsampling:?} {shorter}");
            }
        }
    }

    #[test]
    fn small_photos_stay_as_they_are_and_grey_ones_get_colours() {
        let grey = Photo { height: 2, width: 3, channels: 1, pixels: (0..6).collect() };
        let of = Form::Shrunk(2, BILINEAR).of(grey.clone()).unwrap();
        let pixels = (0..6).flat_map(|value| [value; 3]).collect();
        assert_eq!(of, Photo { channels: 3, pixels, ..grey.clone() });
        let tiny = Form::Shrunk(1, BILINEAR).of(grey).unwrap();
        assert_eq!((tiny.height, tiny.width, tiny.channels), (1, 1, 3));
    }

    #[test]
    fn a_crop_of_its_own_resize_gets_photos_of_that_size() {
        let of = |crop| Form::for_training(224, crop, BILINEAR);
        assert_eq!(of(Crop::default()), Form::Shrunk(336, BILINEAR));
        let shrunk = |shorter| Form::Shrunk(shorter, BILINEAR);
        let random = |resize| Crop::Random(RandomCrop { resize, padding: 0 });
        let crops = [Some(Shorter::To(256)), Some(Shorter::Between([256, 480])), None].map(random);
        assert_eq!(crops.map(of), [256, 480, usize::MAX].map(shrunk));
        assert_eq!(Form::Shrunk(usize::MAX, BILINEAR).decoded_side(), Some(usize::MAX));
    }

    /// A file that could be decoded in fewer pixels.
    #[test]
    fn what_draws_nothing_has_the_pixels_of_evaluation() {
        let subsampling = Subsampling::S420;
        let file = compress(&picture(), WIDTH, HEIGHT, PixelFormat::Rgb, 90, subsampling).unwrap();
        let trained = |crop| {
            let (form, budget) = (Form::for_training(56, crop, BILINEAR), MemoryBudget::default());
            let (len, bytes) = (file.len() as u64, Cursor::new(file.clone()));
            let side = form.decoded_side();
            let photo = budget.decode(bytes, Some(len), false, side, |_, photo| form.of(photo));
            let (photo, mut pixels) = (photo.unwrap(), vec![0; 56 * 56 * 3]);
            let transform = Transform { crop, horizontal_flip: 0.0, ..Transform::default() };
            let choice = transform.choose(0, 1, 0, [photo.height, photo.width], [56; 2]);
            choice.write(&photo, [0; 3], &mut Scratch::default(), &mut pixels);
            pixels
        };
        let evaluated = |resize| {
            let photo = Photo::decode(&file, false).unwrap();
            photo.prepare(Preparation::new(56, resize, 3)).unwrap()
        };
        let center = Crop::Center(CenterCrop { resize: Some(64) });
        assert!(trained(center) == evaluated(Some(64)));
        assert!(trained(Crop::Whole) == evaluated(None));
    }
}

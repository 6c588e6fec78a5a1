//! Test-time augmentation: the mean of a network's logits over several views of each image.

use serde::Serialize;

use crate::data::{PaddingMode, View};

/// The views of test-time augmentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Tta {
    /// The image and its mirror image.
    Flip,
    /// These two, with a weight of 1/4 each, and the same two of the image moved by a pixel up and left
    /// and of the image moved down and right, with a weight of 1/8 each. The free pixels are filled by reflection
    /// (Jordan 2024, arXiv 2404.00498).
    Six,
}

/// The result of test-time augmentation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct TtaResult {
    /// The views.
    pub views: Tta,
    /// Top-1 accuracy of the mean logits, percent.
    pub accuracy: f64,
}

impl Tta {
    /// The views in addition to the plain image, each with its weight, and the weight of the plain image.
    fn views(self) -> (f32, Vec<(f32, View)>) {
        let view = |by: isize, mirrored| View {
            top: by,
            left: by,
            padding_mode: PaddingMode::Reflect,
            mirrored,
        };
        match self {
            Tta::Flip => (0.5, vec![(0.5, view(0, true))]),
            Tta::Six => {
                let moved = [view(1, false), view(1, true), view(-1, false), view(-1, true)];
                let moved = moved.map(|view| (0.125, view));
                (0.25, [&[(0.25, view(0, true))][..], &moved].concat())
            }
        }
    }

    /// The mean logits of images `[n][height][width][channels]`, from those of the plain images and
    /// a forward pass.
    pub(super) fn logits<E>(
        self,
        plain: &[f32],
        pixels: &[u8],
        [height, width, channels]: [usize; 3],
        mut forward: impl FnMut(&[u8]) -> Result<Vec<f32>, E>,
    ) -> Result<Vec<f32>, E> {
        let (weight, views) = self.views();
        let mut mean: Vec<f32> = plain.iter().map(|x| weight * x).collect();
        for (weight, view) in views {
            let logits = forward(&view.of_images(pixels, height, width, channels))?;
            mean.iter_mut().zip(logits).for_each(|(sum, x)| *sum += weight * x);
        }
        Ok(mean)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    /// A 2 x 4 image of one channel.
    const IMAGE: [[u8; 4]; 2] = [[1, 2, 3, 4], [5, 6, 7, 8]];
    const MIRROR: [[u8; 4]; 2] = [[4, 3, 2, 1], [8, 7, 6, 5]];

    /// Views made by hand, with their weights in eighths.
    fn by_hand(tta: Tta) -> Vec<(f32, [[u8; 4]; 2])> {
        match tta {
            Tta::Flip => vec![(4.0, IMAGE), (4.0, MIRROR)],
            Tta::Six => vec![
                (2.0, IMAGE),
                (2.0, MIRROR),
                // F.pad(image, (1, 1, 1, 1), mode="reflect") has the rows 6 5 6 7 8 7 and
                // 2 1 2 3 4 3, twice. Its first four columns and its last four:
                (1.0, [[6, 5, 6, 7], [2, 1, 2, 3]]),
                (1.0, [[7, 6, 5, 6], [3, 2, 1, 2]]),
                (1.0, [[6, 7, 8, 7], [2, 3, 4, 3]]),
                (1.0, [[7, 8, 7, 6], [3, 4, 3, 2]]),
            ],
        }
    }

    #[test]
    fn logits_are_means_over_the_views() {
        // Two classes, whose logits depend on all pixels, in no linear way.
        let forward = |pixels: &[u8]| -> Vec<f32> {
            let logit = |image: &[u8], class: usize| {
                let terms = image.iter().enumerate();
                terms.map(|(i, &x)| ((i * (class + 2)) as f32 + f32::from(x).powi(2)).sin()).sum()
            };
            let logits = |image| [0, 1].map(|class| logit(image, class));
            pixels.chunks(8).flat_map(logits).collect()
        };
        let other = [9, 8, 7, 7, 8, 8, 1, 2];
        let pixels = [IMAGE.as_flattened(), &other].concat();
        for tta in [Tta::Flip, Tta::Six] {
            let mut views = |pixels: &[u8]| Ok::<_, Infallible>(forward(pixels));
            let ours = tta.logits(&forward(&pixels), &pixels, [2, 4, 1], &mut views).unwrap();
            assert_eq!(ours.len(), 4);
            for class in 0..2 {
                let views = by_hand(tta);
                let sum: f32 =
                    views.iter().map(|(w, view)| w * forward(view.as_flattened())[class]).sum();
                assert!((ours[class] - sum / 8.0).abs() < 1e-5, "{tta:?} {class}");
            }
        }
    }
}

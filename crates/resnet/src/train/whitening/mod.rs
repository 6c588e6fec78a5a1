//! Whitening: the first convolution starts with filters from the training images, as in airbench
//! (Jordan 2024, arXiv 2404.00498) and Page's "How to train your ResNet".

mod eigen;

use self::eigen::eigenvectors;
use crate::{data::Images, network::Network, preprocess::Normalisation, recipe::Whiten};

/// Images of more pixels than this on a side are read with steps between their patches.
const SIDE: usize = 32;

/// Sets the filters of the convolution that reads the images. Each is an eigenvector of the
/// covariance (not centred) of the images' patches, divided by the square root of eigenvalue and
/// `eps`, so that its outputs have unit variance; the negative of each follows, since a ReLU keeps
/// one sign.
///
/// First come all those of 2x2 patches, 24 of 3-channel images, by falling eigenvalue. They lie in a
/// 3x3 window's lower right, so that with padding 1 the output at a pixel has the pixel and its
/// successors, as that of a 2x2 convolution without padding (in a larger window, likewise from the
/// centre on). Further filters are the leading ones of whole windows. Filters that are left then, and
/// an odd one, keep their values.
pub(super) fn whiten(
    network: &mut Network,
    images: &Images,
    normalisation: &Normalisation,
    settings: Whiten,
) {
    let graph = network.graph();
    let stem = network.params().iter().find(|param| graph.reads_images(param.node));
    let stem = stem.expect("a convolution reads the images");
    let [outputs, channels, kernel, _] = stem.shape[..] else {
        unreachable!("only convolutions read the images")
    };
    let range = stem.range.clone();
    let values = &mut network.values_mut()[range];
    let fitting = |side: usize| side.min(kernel).min(images.height).min(images.width);
    let mut filters = values.chunks_exact_mut(kernel * kernel * channels);
    let mut pairs = outputs / 2;
    for side in [fitting(2), fitting(kernel)] {
        if pairs == 0 {
            break;
        }
        let mut whitening = whitening_filters(images, normalisation, settings, side);
        whitening.truncate(pairs);
        pairs -= whitening.len();
        for sign in [1.0, -1.0] {
            for (from, to) in whitening.iter().zip(&mut filters) {
                place(from, sign, side, channels, kernel, to);
            }
        }
    }
}

/// Writes a filter of `side` x `side` to a window of `kernel` x `kernel`, both
/// `[row][column][channel]`.
fn place(from: &[f64], sign: f64, side: usize, channels: usize, kernel: usize, to: &mut [f32]) {
    let first = (kernel - side).div_ceil(2);
    to.fill(0.0);
    for (row, from) in from.chunks_exact(side * channels).enumerate() {
        let to = &mut to[((first + row) * kernel + first) * channels..][..side * channels];
        to.iter_mut().zip(from).for_each(|(to, from)| *to = (sign * from) as f32);
    }
}

/// The filters that whiten patches of `side` x `side`, by falling eigenvalue. Each is
/// `[row][column][channel]`.
fn whitening_filters(
    images: &Images,
    normalisation: &Normalisation,
    settings: Whiten,
    side: usize,
) -> Vec<Vec<f64>> {
    let covariance = covariance(images, normalisation, settings.images, side);
    let scaled = |(value, vector): (f64, Vec<f64>)| {
        let scale = (value.max(0.0) + settings.eps).sqrt().recip();
        vector.into_iter().map(|x| x * scale).collect()
    };
    eigenvectors(covariance).into_iter().map(scaled).collect()
}

/// The mean of `x x^T` over the normalised patches `x` (`[row][column][channel]`) of the first
/// images: `[values][values]`. Summed in one order, so that the bits depend on the images alone.
fn covariance(
    images: &Images,
    normalisation: &Normalisation,
    count: usize,
    side: usize,
) -> Vec<Vec<f64>> {
    let &Images { height, width, channels, .. } = images;
    let (row_len, values) = (side * channels, side * side * channels);
    let step = (height.min(width) / SIDE).max(1);
    let mut sums = vec![vec![0.0; values]; values];
    let (mut patches, mut patch) = (0u64, vec![0.0; values]);
    for index in 0..count.min(images.len()) {
        let normalised = |(i, &byte): (usize, &u8)| {
            let (mean, std) = (normalisation.mean[i % channels], normalisation.std[i % channels]);
            (f64::from(byte) / 255.0 - f64::from(mean)) / f64::from(std)
        };
        let pixels: Vec<f64> = images.image(index).iter().enumerate().map(normalised).collect();
        for row in (0..=height - side).step_by(step) {
            for column in (0..=width - side).step_by(step) {
                for (r, to) in patch.chunks_exact_mut(row_len).enumerate() {
                    let at = ((row + r) * width + column) * channels;
                    to.copy_from_slice(&pixels[at..][..row_len]);
                }
                for (i, (&x, sums)) in patch.iter().zip(&mut sums).enumerate() {
                    sums[..=i].iter_mut().zip(&patch).for_each(|(sum, y)| *sum += x * y);
                }
                patches += 1;
            }
        }
    }
    for i in 0..values {
        for j in 0..=i {
            let mean = sums[i][j] / patches as f64;
            (sums[i][j], sums[j][i]) = (mean, mean);
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        data::{LoadOptions, load},
        models::Arch,
        network::Init,
    };

    const EXACT: Whiten = Whiten { eps: 0.0, images: 40 };

    fn synthetic() -> (Images, Normalisation) {
        let limits = LoadOptions { limit_train: Some(50), ..LoadOptions::default() };
        let data = load("synthetic", &limits).unwrap();
        (data.train, data.normalisation)
    }

    /// The outputs of filters on the patches of the first 40 images: `[patch][filter]`.
    fn outputs(
        filters: &[Vec<f64>],
        images: &Images,
        normal: &Normalisation,
        side: usize,
    ) -> Vec<Vec<f64>> {
        let mut all = Vec::new();
        for (n, y, x) in (0..40).flat_map(|n| {
            (0..=32 - side).flat_map(move |y| (0..=32 - side).map(move |x| (n, y, x)))
        }) {
            let at = |i: usize| {
                let (row, column, channel) = (i / (3 * side), i / 3 % side, i % 3);
                let byte = images.pixels[((n * 32 + y + row) * 32 + x + column) * 3 + channel];
                let (mean, std) = (normal.mean[channel], normal.std[channel]);
                (f64::from(byte) / 255.0 - f64::from(mean)) / f64::from(std)
            };
            let dot = |filter: &Vec<f64>| filter.iter().enumerate().map(|(i, f)| f * at(i)).sum();
            all.push(filters.iter().map(dot).collect());
        }
        all
    }

    #[test]
    fn outputs_are_white() {
        let (images, normal) = synthetic();
        for side in [1, 2, 3] {
            let filters = whitening_filters(&images, &normal, EXACT, side);
            assert_eq!(filters.len(), 3 * side * side);
            let outputs = outputs(&filters, &images, &normal, side);
            for i in 0..filters.len() {
                for j in 0..filters.len() {
                    let product = outputs.iter().map(|y| y[i] * y[j]).sum::<f64>();
                    let mean = product / outputs.len() as f64;
                    let one = f64::from(u8::from(i == j));
                    assert!((mean - one).abs() < 1e-9, "{side}, {i}, {j}: {mean}");
                }
            }
        }
    }

    /// PyTorch's `[out][in][row][column]` of a stem.
    fn stem(network: &Network) -> (Vec<f32>, usize) {
        let (name, tensor) = network.state_dict().remove(0);
        assert_eq!(name, "conv1.weight");
        (tensor.as_f32().unwrap().to_vec(), tensor.shape[2])
    }

    #[test]
    fn filters_are_placed_with_their_negatives() {
        let (images, normal) = synthetic();
        let settings = Whiten { images: 40, ..Whiten::default() };
        for (arch, width) in [("resnet8", 16), ("resnet8", 33), ("resnet18", 48), ("resnet8", 80)] {
            let arch: Arch = arch.parse().unwrap();
            let before = Network::new(arch.graph_with(3, 10, width), Init::PyTorch, 1);
            let mut network = before.clone();
            whiten(&mut network, &images, &normal, settings);
            let ((new, kernel), (old, _)) = (stem(&network), stem(&before));
            let parts = [2, kernel].map(|s| whitening_filters(&images, &normal, settings, s));
            let few = parts[0].len().min(width / 2);
            let rest = parts[1].len().min(width / 2 - few);
            let value = |out: usize, channel: usize, row: usize, column: usize| -> f32 {
                let (part, count, side, out) = if out < 2 * few {
                    (&parts[0], few, 2, out)
                } else {
                    (&parts[1], rest, kernel, out - 2 * few)
                };
                let sign = if out < count { 1.0 } else { -1.0 };
                // The window's centre is the upper left of a 2x2 filter.
                let first = if side == 2 { kernel / 2 } else { 0 };
                let at = |i: usize| i.checked_sub(first).filter(|&i| i < side);
                let (Some(row), Some(column)) = (at(row), at(column)) else { return 0.0 };
                (sign * part[out % count][(row * side + column) * 3 + channel]) as f32
            };
            for (i, (&new, &old)) in new.iter().zip(&old).enumerate() {
                let (row, column) = (i / kernel % kernel, i % kernel);
                let (out, channel) = (i / (3 * kernel * kernel), i / (kernel * kernel) % 3);
                let is_set = out < 2 * (few + rest);
                let expected = if is_set { value(out, channel, row, column) } else { old };
                assert_eq!(new, expected, "{arch} {out} {channel} {row} {column}");
            }
            let rest = network.params()[0].range.end..;
            assert_eq!(network.values()[rest.clone()], before.values()[rest]);
        }
    }

    /// Every third pixel of a large image, and a whole small one.
    #[test]
    fn images_of_any_size_are_read() {
        let normal = Normalisation::new(vec![0.0], vec![1.0]);
        let of = |side: usize, pixel: &dyn Fn(usize, usize) -> u8| Images {
            height: side,
            width: side,
            channels: 1,
            pixels: (0..side * side).map(|i| pixel(i / side, i % side)).collect(),
            labels: vec![0],
        };
        let sparse = of(96, &|row, column| {
            if row % 3 == 0 && column % 3 == 0 { 255 } else { 0 }
        });
        assert_eq!(covariance(&sparse, &normal, 9, 1), [[1.0]]);
        let single = of(1, &|_, _| 51);
        let network = |images: &Images| {
            let graph = "resnet8".parse::<Arch>().unwrap().graph_with(1, 10, 4);
            let mut network = Network::new(graph, Init::PyTorch, 1);
            whiten(&mut network, images, &normal, Whiten { eps: 0.0, images: 1 });
            stem(&network).0
        };
        assert_eq!(network(&single)[..18].iter().filter(|&&x| x != 0.0).count(), 2);
    }
}

//! Converts predictions, confusion matrix and weights to the plain data of `resnet-pictures`.

use resnet::{Network, data::Images, model_file::Model};
use resnet_pictures::{Cell, Picture};

use crate::evaluation::Evaluated;

/// Image `index` of a data set.
pub(crate) fn picture(images: &Images, index: usize) -> Picture {
    let Images { width, height, channels, .. } = *images;
    Picture::from_channels(width, height, channels, images.image(index))
}

/// Test image `index` with its predicted class (the network's class name) and its true class (the
/// data set's).
pub(crate) fn cell(evaluated: &Evaluated, classes: &[String], index: usize) -> Cell {
    let Evaluated { data, predictions, .. } = evaluated;
    let label = data.test.labels[index];
    Cell {
        picture: picture(&data.test, index),
        predicted: classes[predictions.class(index)].clone(),
        truth: data.classes[label as usize].clone(),
        correct: predictions.is_right(index, label),
        confidence: Some(predictions.confidence(index)),
    }
}

/// The confusion matrix: images by `[true][predicted]` class.
pub(crate) fn confusion(evaluated: &Evaluated) -> Vec<Vec<u64>> {
    let confusion = evaluated.predictions.confusion(&evaluated.data.test.labels);
    (0..confusion.classes()).map(|truth| confusion.row(truth).to_vec()).collect()
}

/// The weights of the first convolution, and their shape: `[out][in][row][column]`.
pub(crate) fn first_layer(network: &Network) -> (Vec<f32>, [usize; 4]) {
    let state = network.state_dict();
    let (_, weight) = &state[0];
    let shape = weight.shape[..].try_into().expect("the first layer is a convolution");
    (weight.as_f32().expect("weights are floating point").to_vec(), shape)
}

/// `resnet20 on cifar10`.
pub(crate) fn model_on_data(model: &Model, data: &str) -> String {
    format!("{} on {data}", model.arch)
}

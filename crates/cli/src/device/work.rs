//! What a device is chosen for.

use resnet::{Dtype, config::TrainConfig, graph::Graph};

/// What a network is to do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Work<'a> {
    pub(crate) graph: &'a Graph,
    pub(crate) dtype: Dtype,
    /// Images of the largest batch.
    pub(crate) batch: usize,
    /// Rows and columns of an image.
    pub(crate) size: [usize; 2],
    /// Whether it trains.
    pub(crate) trains: bool,
    /// The run that it trains, if it is one.
    pub(crate) config: Option<&'a TrainConfig>,
}

impl<'a> Work<'a> {
    /// The evaluation of images.
    pub(crate) fn evaluation(graph: &'a Graph, dtype: Dtype, size: [usize; 2]) -> Self {
        Work { graph, dtype, batch: 128, size, trains: false, config: None }
    }

    /// The training of a run, whose network has this graph.
    pub(crate) fn training(graph: &'a Graph, config: &'a TrainConfig) -> Self {
        let TrainConfig { recipe, data, .. } = config;
        let (dtype, size) = (recipe.dtype, [data.image_size; 2]);
        let batch = recipe.batch_size.min(data.train_images.max(1));
        Work { graph, dtype, batch, size, trains: true, config: Some(config) }
    }
}

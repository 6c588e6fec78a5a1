//! What the engine of a run is made for, and the largest batch that the memory holds.

use crate::{
    Device,
    config::TrainConfig,
    engine::{Engine, EngineConfig, PlanError},
    evaluate,
};

/// What the engine of a run is made for.
pub(super) fn engine_config(config: &TrainConfig, eval_batch: usize) -> EngineConfig {
    let TrainConfig { recipe, data, .. } = config;
    EngineConfig {
        dtype: recipe.dtype,
        // A shard's.
        batch: recipe.batch_size.min(data.train_images).div_ceil(recipe.parallel.shards.max(1)),
        eval_batch,
        height: data.image_size,
        width: data.image_size,
        optimizer: recipe.optimizer,
        muon: recipe.muon,
        batch_norm_momentum: recipe.batch_norm_momentum,
        average: recipe.average,
    }
}

/// The largest batch, up to the recipe's, for which the memory suffices if `kept` bytes of it are for
/// something else; none if it does not suffice for one image. How much a GPU has is not known before: any batch.
///
/// # Errors
/// If the network does not fit the image size.
pub fn largest_batch(
    config: &TrainConfig,
    kept: u64,
    device: impl Into<Device>,
) -> Result<Option<usize>, PlanError> {
    let device = device.into();
    let kept = usize::try_from(kept).unwrap_or(usize::MAX);
    let graph = config.arch.graph_with(
        config.data.normalisation.mean.len(),
        config.data.classes.len(),
        config.arch.width(),
    );
    let shards = config.recipe.parallel.shards.max(1);
    let fits = |batch: usize| {
        let batch = batch.div_ceil(shards);
        let engine = EngineConfig { batch, ..engine_config(config, evaluate::BATCH) };
        match Engine::check(&graph, &engine, kept, &device) {
            Ok(()) => Ok(true),
            Err(PlanError::Memory { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    };
    let asked = config.recipe.batch_size.min(config.data.train_images);
    if fits(asked)? {
        return Ok(Some(asked));
    }
    let (mut most, mut too_many) = (0, asked);
    while too_many - most > 1 {
        let middle = most.midpoint(too_many);
        if fits(middle)? {
            most = middle;
        } else {
            too_many = middle;
        }
    }
    Ok(Some(most).filter(|&most| most > 0))
}

//! What the engine of a run is made for, and whether the device can do it and the memory holds it.

use resnet_comm::Group;

use super::{TrainError, shards::agree};
use crate::{
    Device,
    config::TrainConfig,
    engine::{Engine, EngineConfig, EngineError, PlanError, memory},
    evaluate,
    graph::Graph,
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

/// The setting of a run that only the processor has, if there is one: such a run does not train on a GPU.
pub fn needs_cpu(config: &TrainConfig, processes: usize) -> Option<&'static str> {
    let settings = [
        ("a batch in several shards (--shards)", config.recipe.parallel.shards > 1),
        ("a run of several processes", processes > 1),
    ];
    settings.into_iter().find_map(|(setting, is_there)| is_there.then_some(setting))
}

/// The largest batch, up to the recipe's, for which the memory suffices if `kept` bytes of it are for
/// something else; none if it does not suffice for one image, or there is none. A card has memory of its own, of which
/// the batch comes first.
///
/// # Errors
/// If the network does not fit the image size, or a GPU was lost.
pub fn largest_batch(
    config: &TrainConfig,
    kept: u64,
    device: impl Into<Device>,
) -> Result<Option<usize>, EngineError> {
    let kept = usize::try_from(kept).unwrap_or(usize::MAX);
    let graph = config.arch.graph_with(
        config.data.normalisation.mean.len(),
        config.data.classes.len(),
        config.arch.width(),
    );
    let shards = config.recipe.parallel.shards.max(1);
    let asked = config.recipe.batch_size.min(config.data.train_images);
    let engine = engine_config(config, evaluate::BATCH);
    let of_shard = Engine::largest_batch(&graph, &engine, kept, device)?;
    Ok(Some(asked.min(of_shard.saturating_mul(shards))).filter(|&most| most > 0))
}

/// Bytes of the free memory that are left to the other processes of this machine, each of which needs as much as this
/// one.
pub fn memory_of_others(available: Option<usize>, processes: usize) -> u64 {
    available.map_or(0, |free| (free - free / processes.max(1)) as u64)
}

/// Checks that there is memory for an engine in each process of this machine, before any of them takes it.
///
/// # Errors
/// As [`Engine::check`], or if processes cannot go on together.
pub(super) fn check_memory(
    graph: &Graph,
    config: &EngineConfig,
    group: &Group,
    device: &Device,
) -> Result<(), TrainError> {
    let processes = group.local_size();
    let others = memory_of_others(memory::available(), processes) as usize;
    Engine::check(graph, config, others, device).map_err(|error| match error {
        PlanError::Memory { bytes, available } if processes > 1 => {
            let available = available.map(|free| free.saturating_sub(others));
            let bytes = bytes.saturating_sub(others);
            TrainError::Memory { processes, source: PlanError::Memory { bytes, available } }
        }
        error => error.into(),
    })?;
    // Whoever looks later would see what others have taken.
    agree(group, 0)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Cpu, config::tests::sample};

    #[test]
    fn processes_of_a_machine_share_its_memory() {
        let of_others = |processes| memory_of_others(Some(1000), processes);
        assert_eq!([1, 2, 4].map(of_others), [0, 500, 750]);
        assert_eq!(memory_of_others(None, 4), 0);
    }

    #[test]
    fn there_is_no_batch_of_no_images() {
        let (mut config, cpu) = (sample(), Cpu::new(1).unwrap());
        assert_eq!(largest_batch(&config, 0, &cpu), Ok(Some(4)));
        config.recipe.batch_size = 0;
        assert_eq!(largest_batch(&config, 0, &cpu), Ok(None));
    }
}

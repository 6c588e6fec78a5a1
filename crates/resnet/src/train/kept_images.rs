//! Images that stay on a GPU: a step passes only the random choices of its batch.

use crate::{
    config::TrainConfig,
    data::{Batch, Loader, Normalisation},
    engine::{Engine, EngineError, Input},
};

/// The loader of an engine, which keeps the images if it can: the loader has their crops then. Batches that are mixed
/// need pixels.
pub(super) fn keep_images(
    loader: Loader,
    config: &TrainConfig,
    engine: &mut Engine,
) -> Result<Loader, EngineError> {
    let images = loader.to_keep().filter(|_| config.recipe.mix.is_none());
    let are_kept = images.map_or(Ok(false), |images| engine.keep_images(&images))?;
    Ok(if are_kept { loader.with_crops() } else { loader })
}

/// The images of a batch, as the engine takes them.
pub(super) fn images_of<'a>(batch: &'a Batch, normalisation: &'a Normalisation) -> Input<'a> {
    match &batch.crops {
        Some(crops) => Input::Crops(crops, normalisation),
        None => Input::Bytes(&batch.pixels, normalisation),
    }
}

#[cfg(all(test, feature = "gpu"))]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{
        Cpu, Device, Network,
        config::tests::sample,
        data::{Augment, Images, transform::Mix},
        engine::{EngineConfig, gpu::Gpu},
        network::Init,
    };

    #[test]
    fn a_gpu_keeps_images_that_are_not_mixed() {
        let cpu = Cpu::new(1).unwrap();
        let mut devices = vec![Device::from(&cpu)];
        devices.extend(Gpu::open(0).ok().map(|gpu| Device::Gpu(gpu, cpu)));
        for device in devices {
            let mut config = sample();
            let net = Network::new(config.arch.graph(10), Init::PyTorch, 0);
            let mut engine = Engine::new(net, &EngineConfig::default(), &device).unwrap();
            let mut gives_crops = |width: usize, mix| {
                config.recipe.mix = mix;
                let pixels = vec![7; 32 * width * 3];
                let images = Images { height: 32, width, channels: 3, pixels, labels: vec![0] };
                let loader = Loader::new(Arc::new(images), 1, Augment::default(), 0);
                let loader = keep_images(loader, &config, &mut engine).unwrap();
                let batch = loader.epoch(1, 0).unwrap().next().unwrap();
                assert_ne!(batch.crops.is_some(), !batch.pixels.is_empty());
                batch.crops.is_some()
            };
            assert_eq!(gives_crops(32, None), device.is_gpu());
            assert!(!gives_crops(32, Some(Mix::default())));
            assert!(!gives_crops(31, None));
        }
    }
}

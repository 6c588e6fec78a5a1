//! Images that stay on a GPU, so that a step passes only its random choices.

use resnet_network::crops::KeptImages;

use super::{Engine, On};
use crate::EngineError;

/// Bytes of images that a GPU keeps, at most. CIFAR's are 147 MiB.
const MAX_KEPT: usize = 256 << 20;

impl Engine {
    /// Lets a GPU keep the images of a data set, in place of those before, so that [`Engine::begin`] can take
    /// [crops](resnet_program::Input::Crops) of them. False if they are not kept: on the processor, if they are more than
    /// 256 MiB, and if the GPU has no memory for them.
    ///
    /// # Errors
    /// If a GPU was lost.
    pub fn keep_images(&mut self, images: &KeptImages<'_>) -> Result<bool, EngineError> {
        if images.pixels.len() > MAX_KEPT {
            return Ok(false);
        }
        match &mut self.on {
            On::Cpu(_) => Ok(false),
            #[cfg(feature = "gpu")]
            On::Gpu(engine) => engine.keep_images(images),
        }
    }
}

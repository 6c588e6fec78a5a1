//! What enters the head, to be computed once where everything before it is frozen.

use resnet_program::Input;

use super::{Engine, On, on};
use crate::EngineError;

impl Engine {
    /// Values of an image among the features: the inputs of the head, padded.
    pub fn features_len(&self) -> usize {
        on!(&self.on, it => it.features_len(), it.features_len())
    }

    /// What enters the head for some images in training, `[images][features_len]`: [`Input::Features`] for
    /// [`Engine::backward`], while everything before the head is frozen and its batch norms use their running
    /// statistics ([`Engine::replan`]). In fp32 an image's features are the same in every batch.
    ///
    /// # Errors
    /// If a GPU was lost, or cannot do it.
    ///
    /// # Panics
    /// If there are more images than [`EngineConfig::batch`](super::EngineConfig::batch), or the input has fewer.
    pub fn features(&mut self, input: Input<'_>, images: usize) -> Result<Vec<f32>, EngineError> {
        on!(&mut self.on, it => Ok(it.features(input, images)), it.features(input, images))
    }

    /// What enters the head for some images in evaluation, `[images][features_len]`: [`Input::Features`] for
    /// [`Engine::evaluate`].
    ///
    /// # Errors
    /// If a GPU was lost, or cannot do it.
    ///
    /// # Panics
    /// If the input has fewer images.
    pub fn evaluated_features(
        &mut self,
        input: Input<'_>,
        images: usize,
    ) -> Result<Vec<f32>, EngineError> {
        on!(
            &mut self.on,
            it => Ok(it.evaluated_features(input, images)),
            it.evaluated_features(input, images)
        )
    }
}

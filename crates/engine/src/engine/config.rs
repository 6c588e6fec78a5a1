//! The settings of an engine.

use resnet_kernels::{Dtype, batch_norm::MOMENTUM};
use resnet_network::optim::{Average, Muon, OptimizerConfig};

/// The settings of an engine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EngineConfig {
    /// Storage type of activations and their gradients in training.
    pub dtype: Dtype,
    /// Images of the largest micro-batch.
    pub batch: usize,
    /// Images of the largest batch that [`Engine::evaluate`](crate::Engine::evaluate) takes. Inside, it runs in
    /// micro-batches of up to [`MICRO_BATCH_BYTES`](crate::MICRO_BATCH_BYTES).
    pub eval_batch: usize,
    /// Rows of an image.
    pub height: usize,
    /// Columns of an image.
    pub width: usize,
    /// The optimiser.
    pub optimizer: OptimizerConfig,
    /// The settings of the optimiser of convolutions, if it is Muon; the others then have SGD.
    pub muon: Option<Muon>,
    /// Weight of a batch in the running statistics of batch norms, in [0, 1]: PyTorch's `momentum`.
    pub batch_norm_momentum: f64,
    /// The kind of average that [`Engine::update_average`](crate::Engine::update_average) moves, if any.
    pub average: Option<Average>,
}

/// One image of 32x32 pixels at a time in fp32, with PyTorch's defaults.
impl Default for EngineConfig {
    fn default() -> Self {
        EngineConfig {
            dtype: Dtype::Fp32,
            batch: 1,
            eval_batch: 1,
            height: 32,
            width: 32,
            optimizer: OptimizerConfig::default(),
            muon: None,
            batch_norm_momentum: MOMENTUM,
            average: None,
        }
    }
}

impl EngineConfig {
    /// How many times as many values as parameters an engine has in addition to them: gradients, what the optimiser
    /// keeps, and the average.
    pub(super) fn copies(&self) -> usize {
        1 + self.optimizer.buffers().len() + usize::from(self.average.is_some())
    }
}

/// Why an average cannot be moved or replaced.
pub(super) const NO_AVERAGE: &str = "the engine keeps an average";

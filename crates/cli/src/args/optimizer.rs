//! Options of the optimiser, which override a recipe.

use clap::{Args, ValueEnum};
use resnet::optim::OptimizerConfig;

use super::values;

#[derive(Clone, Debug, Default, Args)]
pub(crate) struct OptimizerArgs {
    /// Optimizer of all parameters: SGD, or PyTorch's AdamW, which starts from its own learning rate of 0.001
    /// [default: the recipe's, which may have Muon for the convolutions]
    #[arg(long, value_enum, ignore_case = true, value_name = "NAME")]
    pub(crate) optimizer: Option<OptimizerName>,
    /// Learning rate; the peak, if the schedule has one. Muon's stays in proportion [default: the recipe's]
    #[arg(long, value_name = "X", value_parser = values::rate)]
    pub(crate) lr: Option<f64>,
    /// SGD momentum, from 0 to below 1; Muon has its own [default: the recipe's]
    #[arg(long, value_name = "X", value_parser = values::fraction)]
    pub(crate) momentum: Option<f32>,
    /// Weight decay, at least 0: SGD's is an L2 penalty, AdamW's is decoupled, and Muon
    /// scales its weights instead [default: the recipe's]
    #[arg(long, value_name = "X", value_parser = values::decay)]
    pub(crate) weight_decay: Option<f32>,
    /// Largest norm of all gradients of a step together: larger ones are scaled to it (PyTorch's
    /// clip_grad_norm_) [default: the recipe's]
    #[arg(long, value_name = "X", value_parser = values::rate)]
    pub(crate) clip_grad: Option<f64>,
    /// Decay of an exponential moving average of the weights, updated after each step, which is what is evaluated and
    /// exported (timm's --model-ema-decay); 0 for no average [default: the recipe's average]
    #[arg(long, value_name = "X", value_parser = values::average_decay)]
    pub(crate) ema: Option<f64>,
}

/// Optimizers by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OptimizerName {
    Sgd,
    #[value(name = "adamw")]
    AdamW,
}

impl From<&OptimizerConfig> for OptimizerName {
    fn from(config: &OptimizerConfig) -> Self {
        match config {
            OptimizerConfig::Sgd(_) => OptimizerName::Sgd,
            OptimizerConfig::AdamW(_) => OptimizerName::AdamW,
        }
    }
}

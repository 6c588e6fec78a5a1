//! Parameter groups.

use serde::{Deserialize, Serialize};

use crate::{
    graph::{Graph, NodeId},
    network::ParamKind,
};

/// Factors on rate and weight decay of the parameter groups. Parameters in no group, the weights of
/// all convolutions but the first, have 1 and 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupFactors {
    /// Of the first convolution, which reads the images.
    #[serde(default, skip_serializing_if = "is_default")]
    pub stem: Factors,
    /// Of the weights of batch norms.
    #[serde(default, skip_serializing_if = "is_default")]
    pub norm_scale: Factors,
    /// Of the biases of batch norms.
    #[serde(default, skip_serializing_if = "is_default")]
    pub norm_bias: Factors,
    /// Of the linear layer's weight and bias.
    #[serde(default, skip_serializing_if = "is_default")]
    pub head: Factors,
}

/// The factors of a parameter group. A step takes `lr * weight_decay` of a parameter, so factors
/// whose product is 1 change the rate and leave the decay of a step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Factors {
    /// On the learning rate. With 0 the parameters do not change at all.
    pub lr: f32,
    /// On the weight decay.
    pub weight_decay: f32,
}

impl Default for Factors {
    fn default() -> Self {
        Factors { lr: 1.0, weight_decay: 1.0 }
    }
}

impl GroupFactors {
    /// The groups by the names of their fields.
    pub fn by_name(&self) -> [(&'static str, Factors); 4] {
        let GroupFactors { stem, norm_scale, norm_bias, head } = *self;
        [("stem", stem), ("norm_scale", norm_scale), ("norm_bias", norm_bias), ("head", head)]
    }

    /// The factors of a node's parameter.
    pub(super) fn of(&self, graph: &Graph, node: NodeId, kind: ParamKind) -> Factors {
        match kind {
            ParamKind::ConvWeight if graph.reads_images(node) => self.stem,
            ParamKind::ConvWeight => Factors::default(),
            ParamKind::NormWeight => self.norm_scale,
            ParamKind::NormBias => self.norm_bias,
            ParamKind::LinearWeight | ParamKind::LinearBias => self.head,
        }
    }
}

/// Whether a value need not be written.
pub(super) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

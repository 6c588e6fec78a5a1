//! The parameters of a layer as inference needs them.

use std::sync::Arc;

use resnet_kernels::{Buffer, conv::Conv, layout::padded};
use resnet_network::{Network, graph::NodeId};
use resnet_program::{
    PlanError,
    memory::zeros,
    program::{Compute, Operation, Program},
};

/// The parameters of a layer for inference, filled by [`InferenceParameters::load`].
#[derive(Debug)]
pub(super) enum InferenceParameters {
    /// Packed weights and a bias, with a batch norm folded into both.
    Conv {
        packed: Buffer,
        bias: Vec<f32>,
    },
    /// Mean, scale and shift of a batch norm that is not folded.
    Norm([Vec<f32>; 3]),
    Linear {
        weight: Vec<f32>,
        bias: Vec<f32>,
    },
    None,
}

impl InferenceParameters {
    /// Places for the parameters of each layer of a program.
    pub(super) fn of_layers(
        program: &Program,
        convs: &[Option<Arc<Conv>>],
    ) -> Result<Vec<InferenceParameters>, PlanError> {
        let mut parameters: Vec<_> = convs.iter().map(|_| InferenceParameters::None).collect();
        for Operation { layer, compute, .. } in &program.operations {
            let Some(layer) = *layer else { continue };
            let padded_zeros = |channels| zeros(padded(channels));
            parameters[layer] = match compute {
                Compute::Conv { .. } => InferenceParameters::Conv {
                    packed: Buffer::zeroed(convs[layer].as_ref().map_or(0, |c| c.packed_len()))?,
                    bias: padded_zeros(program.layers[layer].output.channels)?,
                },
                Compute::BatchNorm { norm, .. } => {
                    let [mean, scale, shift] = [norm.channels; 3].map(padded_zeros);
                    InferenceParameters::Norm([mean?, scale?, shift?])
                }
                Compute::Linear { linear, .. } => InferenceParameters::Linear {
                    weight: zeros(linear.inputs * linear.outputs)?,
                    bias: zeros(linear.outputs)?,
                },
                _ => InferenceParameters::None,
            };
        }
        Ok(parameters)
    }

    /// Loads the layer whose first node is `head`: folds its batch norm and packs its weights.
    pub(super) fn load(
        &mut self,
        net: &Network,
        head: NodeId,
        compute: &Compute,
        conv: Option<&Conv>,
    ) {
        match (self, compute) {
            (InferenceParameters::Conv { packed, bias }, Compute::Conv { norm, .. }) => {
                let factors = norm.map(|norm| {
                    let [mean, scale, shift] = norm_factors(net, norm);
                    for (i, bias) in bias.iter_mut().enumerate().take(mean.len()) {
                        *bias = shift[i] - mean[i] * scale[i];
                    }
                    scale
                });
                let weight = net.ranges(head).next().expect("a convolution has a weight");
                let conv = conv.expect("every convolution is prepared");
                conv.pack_forward(&net.values()[weight], factors.as_deref(), packed);
            }
            (InferenceParameters::Norm(factors), _) => {
                for (stored, dense) in factors.iter_mut().zip(norm_factors(net, head)) {
                    stored[..dense.len()].copy_from_slice(&dense);
                }
            }
            (InferenceParameters::Linear { weight, bias }, _) => {
                let from = net.weight_and_bias(head).map(|range| &net.values()[range]);
                weight.copy_from_slice(from[0]);
                bias.copy_from_slice(from[1]);
            }
            _ => {}
        }
    }
}

/// Mean, scale and shift of a batch norm with running statistics.
fn norm_factors(net: &Network, norm: NodeId) -> [Vec<f32>; 3] {
    let (mean, var) = net.running(norm);
    let [weight, bias] = net.weight_and_bias(norm).map(|range| &net.values()[range]);
    let epsilon = net.graph().epsilon().value();
    let scale = weight.iter().zip(var);
    let scale = scale.map(|(w, v)| (f64::from(*w) / (f64::from(*v) + epsilon).sqrt()) as f32);
    [mean.to_vec(), scale.collect(), bias.to_vec()]
}

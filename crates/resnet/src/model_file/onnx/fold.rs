//! Folds a batch norm into the convolution before it.

use resnet_formats::{Data, Tensor};

use crate::{graph::NodeId, network::Network};

/// Scales a convolution's weight `[out, in, rows, columns]` by the batch norm after it, and returns
/// the bias `[out]`. Computed in f64 and rounded once.
pub(super) fn folded(net: &Network, norm: NodeId, weight: &mut Tensor) -> Tensor {
    let epsilon = net.graph().epsilon().value();
    let (mean, var) = net.running(norm);
    let [scale, shift] = net.weight_and_bias(norm).map(|range| &net.values()[range]);
    let Data::F32(values) = &mut weight.data else { unreachable!("weights are f32") };
    let channels = scale.len();
    let filter = values.len() / channels;
    let mut bias = Vec::with_capacity(channels);
    for (channel, filter) in values.chunks_exact_mut(filter).enumerate() {
        let factor = f64::from(scale[channel]) / (f64::from(var[channel]) + epsilon).sqrt();
        filter.iter_mut().for_each(|w| *w = (f64::from(*w) * factor) as f32);
        bias.push((f64::from(shift[channel]) - f64::from(mean[channel]) * factor) as f32);
    }
    Tensor::f32(&[channels], bias)
}

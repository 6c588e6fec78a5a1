//! Responses of layers (He et al. 2015, section 4.2, figure 7).

use std::ops::ControlFlow;

use serde::Serialize;

use crate::{
    Device, Dtype,
    data::{ImageSet, Normalisation},
    engine::{DeviceEvalPlan, EngineError, Input, PlanError},
    evaluate::{BATCH, EvaluateError, check_channels, check_size},
    graph::{Graph, NodeId, Op},
    network::Network,
};

/// Memory for the responses of the images that are computed at once, bytes.
const PROBE_BYTES: usize = 256 << 20;

/// The standard deviation of a layer's responses.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Response {
    /// Name of the convolution.
    pub layer: String,
    /// Standard deviation over all images, channels and pixels.
    pub std: f64,
}

/// The nodes whose outputs are the responses of a network: of each 3x3 convolution, the output after its
/// batch norm and before the activation or the addition. Where no batch norm reads a convolution, it is the
/// convolution's own output. Each comes with its convolution.
pub fn layers(graph: &Graph) -> Vec<(NodeId, NodeId)> {
    let nodes = graph.nodes();
    let norm_of = |conv: NodeId| {
        nodes.iter().position(|node| node.op == Op::BatchNorm2d && node.inputs == [conv])
    };
    let convolutions = nodes.iter().enumerate().filter_map(|(id, node)| match node.op {
        Op::Conv2d { kernel: 3, .. } => Some(id),
        _ => None,
    });
    convolutions.map(|conv| (conv, norm_of(conv).unwrap_or(conv))).collect()
}

/// Measures the responses of a network on images, in evaluation mode. `progress` gets the number of images
/// done, and breaks to stop: then there are none.
///
/// # Errors
/// If there are no images, they do not fit the network, or photos can no longer be read.
pub fn responses(
    network: &Network,
    images: &ImageSet,
    normalisation: &Normalisation,
    dtype: Dtype,
    device: impl Into<Device>,
    progress: &mut dyn FnMut(usize) -> ControlFlow<()>,
) -> Result<Option<Vec<Response>>, EvaluateError> {
    let graph = network.graph();
    let [height, width, channels] = images.size();
    check_channels(graph, images.len(), channels, normalisation)?;
    check_size(normalisation, height, width)?;
    images.check()?;
    let layers = layers(graph);
    let probes: Vec<NodeId> = layers.iter().map(|&(_, response)| response).collect();
    let shapes = graph.shapes(height, width).map_err(PlanError::from).map_err(EngineError::from)?;
    let values: usize = probes.iter().map(|&node| shapes[node].len()).sum();
    // Independent of the number of images, which therefore does not change what is computed for one.
    let batch = (PROBE_BYTES / (values * size_of::<f32>()).max(1)).clamp(1, BATCH);
    let mut plan = DeviceEvalPlan::new(graph, dtype, batch, height, width, &probes, device)?;
    plan.load(network)?;
    let mut moments = vec![Moments::default(); probes.len()];
    let (mut done, mut stopped, mut failed) = (0, false, None);
    images.visit(batch, |pixels, labels| {
        if !labels.is_empty() {
            if let Err(error) = plan.forward(Input::Bytes(pixels, normalisation), labels.len()) {
                failed = Some(error);
                return ControlFlow::Break(());
            }
            for image in 0..labels.len() {
                for (moments, &node) in moments.iter_mut().zip(&probes) {
                    moments.add(&plan.probed(node, image).1);
                }
            }
        }
        done += labels.len();
        let next = progress(done);
        stopped |= next.is_break();
        next
    })?;
    failed.map_or(Ok(()), Err)?;
    if done == 0 {
        return Err(EvaluateError::NoImages);
    }
    let response = |(&(conv, _), moments): (&(NodeId, NodeId), &Moments)| Response {
        layer: graph.nodes()[conv].name.clone(),
        std: moments.std(),
    };
    Ok((!stopped).then(|| layers.iter().zip(&moments).map(response).collect()))
}

/// Count, mean and sum of squared deviations of values (Chan, Golub and LeVeque 1983).
#[derive(Clone, Copy, Debug, Default)]
struct Moments {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Moments {
    fn add(&mut self, values: &[f32]) {
        if values.is_empty() {
            return;
        }
        let values = || values.iter().map(|&value| f64::from(value));
        let count = values().len() as f64;
        let mean = values().sum::<f64>() / count;
        let squares = values().map(|value| (value - mean).powi(2)).sum::<f64>();
        let (all, apart) = (self.count + count, mean - self.mean);
        self.squares += squares + apart * apart * self.count * count / all;
        self.mean += apart * count / all;
        self.count = all;
    }

    fn std(&self) -> f64 {
        (self.squares / self.count).sqrt()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(arch: &str) -> Vec<(String, String)> {
        let graph = arch.parse::<crate::Arch>().unwrap().graph(10);
        let name = |id: NodeId| graph.nodes()[id].name.clone();
        layers(&graph).into_iter().map(|(conv, node)| (name(conv), name(node))).collect()
    }

    #[test]
    fn a_response_is_behind_the_batch_norm_and_before_the_addition() {
        let pair = |conv: &str, node: &str| (conv.to_owned(), node.to_owned());
        let resnet = names("resnet8");
        assert_eq!(resnet.len(), 7);
        assert_eq!(resnet[0], pair("conv1", "bn1"));
        assert_eq!(resnet[2], pair("layer1.0.conv2", "layer1.0.bn2"));
        assert_eq!(resnet, names("plain8"));
        // Of a bottleneck the middle layer alone, and no projection.
        let bottleneck = names("resnet50");
        assert_eq!(bottleneck.len(), 16);
        assert!(bottleneck.iter().all(|(conv, _)| conv.ends_with("conv2")));
        // With pre-activation, the last convolution of a block is added as it is.
        let before = names("preresnet8");
        assert_eq!(before[1], pair("layer1.0.conv1", "layer1.0.bn2"));
        assert_eq!(before[2], pair("layer1.0.conv2", "layer1.0.conv2"));
    }

    #[test]
    fn moments_are_those_of_all_values() {
        let values: Vec<f32> = (0..1000u32).map(|i| 1e4 + (i * i % 97) as f32).collect();
        let mut moments = Moments::default();
        values.chunks(7).for_each(|part| moments.add(part));
        let mean = values.iter().map(|&x| f64::from(x)).sum::<f64>() / 1000.0;
        let square = values.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum::<f64>() / 1000.0;
        assert!((moments.mean - mean).abs() < 1e-9);
        assert!((moments.std() / square.sqrt() - 1.0).abs() < 1e-12);
    }
}

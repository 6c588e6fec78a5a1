//! Class activation maps (CAM): heat maps of which parts of an image contribute to a class's logit
//! (Zhou et al., "Learning Deep Features for Discriminative Localization", 2016).
//!
//! The logit of a class is the mean of `w · pixel` over the pixels of the last activation, plus a
//! bias, where `w` is the class's row of the linear layer. The products before the mean are the
//! map: each is the contribution of one part of the image.
//!
//! Grad-CAM (Selvaraju et al. 2017) weighs channels by the mean gradient of the logit. In a network
//! that ends in a global average pool and one linear layer, this gradient is `w / pixels`
//! everywhere. So Grad-CAM is the same map times a constant, without a backward pass.
//!
//! After a global max pool the logit is the sum of `w x` over the channels, `x` the largest value of
//! each. The map has each product, times the number of pixels, where its value is from: the gradient of
//! the logit times the activation.
//!
//! What enters the linear layer, the pooled activation, are the features of the image.

use crate::{
    Device, Dtype,
    engine::{DeviceEvalPlan, EngineError, Input, PlanError, lower::Lowering},
    graph::{Graph, GraphError, NodeId, Op},
    network::Network,
};

/// The class activation map of one image for one class.
#[derive(Clone, Debug, PartialEq)]
pub struct ActivationMap {
    /// Rows.
    pub rows: usize,
    /// Columns.
    pub columns: usize,
    /// `[row][column]`. Their mean plus the class's bias is the class's logit. Negative values
    /// lower it.
    pub values: Vec<f32>,
}

/// Computes class activation maps of batches of images.
///
/// ```
/// use resnet::{Arch, Cpu, Network, cam::ActivationMaps, network::Init, engine::Input};
///
/// let arch: Arch = "resnet20".parse()?;
/// let net = Network::new(arch.graph(10), Init::PyTorch, 0);
/// let mut maps = ActivationMaps::new(&net, Default::default(), 1, 32, 32, &Cpu::new(2)?)?;
/// let image = vec![0.5; 3 * 32 * 32]; // [channels][height][width], normalised
/// assert_eq!(maps.forward(Input::Nchw(&image), 1)?.len(), 10);
/// let map = maps.map(0, 3); // of the first image, for class 3
/// assert_eq!((map.rows, map.columns), (8, 8));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct ActivationMaps {
    plan: DeviceEvalPlan,
    /// The last activation.
    probe: NodeId,
    classes: usize,
    /// Whether the pool takes the largest values, not the mean.
    largest: bool,
    /// Weight of the linear layer, `[class][channel]`.
    weight: Vec<f32>,
}

impl ActivationMaps {
    /// Plans maps of up to `batch` images of `height` x `width`.
    ///
    /// # Errors
    /// As [`DeviceEvalPlan::new`], and if the network does not end in a global pool and a linear layer.
    pub fn new(
        net: &Network,
        dtype: Dtype,
        batch: usize,
        height: usize,
        width: usize,
        device: impl Into<Device>,
    ) -> Result<Self, EngineError> {
        let graph = net.graph();
        ActivationMaps::of(net, |probe| {
            DeviceEvalPlan::new(graph, dtype, batch, height, width, &[probe], device)
        })
    }

    /// [`ActivationMaps::new`] for micro-batches, as [`DeviceEvalPlan::micro_batched`] makes them: what is
    /// computed for an image is bit-identical whatever comes with it.
    ///
    /// # Errors
    /// As [`ActivationMaps::new`].
    pub fn micro_batched(
        images: usize,
        net: &Network,
        dtype: Dtype,
        batch: usize,
        height: usize,
        width: usize,
        device: impl Into<Device>,
    ) -> Result<Self, EngineError> {
        let graph = net.graph();
        let lowering = Lowering { graph, dtype, batch, height, width, frozen: &[], eval: &[] };
        ActivationMaps::of(net, |probe| {
            DeviceEvalPlan::micro_batched(lowering, images, &[probe], device)
        })
    }

    /// The maps of a plan with a probe.
    fn of(
        net: &Network,
        plan: impl FnOnce(NodeId) -> Result<DeviceEvalPlan, EngineError>,
    ) -> Result<Self, EngineError> {
        let graph = net.graph();
        let Ends { features, pool, linear } = ends(graph).map_err(PlanError::from)?;
        let mut plan = plan(features)?;
        plan.load(net)?;
        let [weight, _] = net.weight_and_bias(linear);
        Ok(ActivationMaps {
            plan,
            probe: features,
            classes: graph.classes(),
            largest: graph.nodes()[pool].op == Op::GlobalMaxPool,
            weight: net.values()[weight].to_vec(),
        })
    }

    /// Images of the largest forward pass.
    pub fn batch(&self) -> usize {
        self.plan.batch()
    }

    /// Classes of the network.
    pub(crate) fn classes(&self) -> usize {
        self.classes
    }

    /// Bytes of the plan's buffers and packed weights, and of the linear layer.
    pub(crate) fn memory(&self) -> usize {
        self.plan.memory() + size_of_val(&*self.weight)
    }

    /// The logits `[images][classes]` of a batch, whose maps [`ActivationMaps::map`] returns next.
    ///
    /// # Errors
    /// If a GPU was lost.
    ///
    /// # Panics
    /// As [`DeviceEvalPlan::forward`].
    pub fn forward(&mut self, input: Input<'_>, images: usize) -> Result<&[f32], EngineError> {
        self.plan.forward(input, images)
    }

    /// The map for a class of an image of the last forward pass.
    ///
    /// # Panics
    /// If there is no such image or class.
    pub fn map(&self, image: usize, class: usize) -> ActivationMap {
        assert!(class < self.classes, "class {class} of {}", self.classes);
        let (shape, features) = self.plan.probed(self.probe, image);
        let weight = &self.weight[class * shape.channels..][..shape.channels];
        let product = |pixel: &[f32]| pixel.iter().zip(weight).map(|(x, w)| x * w).sum();
        let values = match self.largest {
            false => features.chunks_exact(shape.channels).map(product).collect(),
            true => {
                let pixels = shape.height * shape.width;
                let mut values = vec![0.0; pixels];
                for (&(pixel, x), w) in largest(shape.channels, &features).iter().zip(weight) {
                    values[pixel] += x * w * pixels as f32;
                }
                values
            }
        };
        ActivationMap { rows: shape.height, columns: shape.width, values }
    }

    /// What enters the linear layer for an image of the last forward pass, `[channels]`: the mean of
    /// the last activation over its pixels, or the largest value. These are the features of an image (timm's
    /// `num_classes=0`).
    ///
    /// # Panics
    /// If there is no such image.
    pub fn features(&self, image: usize) -> Vec<f32> {
        let (shape, pixels) = self.plan.probed(self.probe, image);
        if self.largest {
            return largest(shape.channels, &pixels).into_iter().map(|(_, x)| x).collect();
        }
        let mut sums = vec![0.0; shape.channels];
        for pixel in pixels.chunks_exact(shape.channels) {
            sums.iter_mut().zip(pixel).for_each(|(sum, &x)| *sum += f64::from(x));
        }
        let count = (shape.height * shape.width) as f64;
        sums.into_iter().map(|sum| (sum / count) as f32).collect()
    }
}

/// Of each channel the pixel of its largest value, the first of several, and this value.
fn largest(channels: usize, pixels: &[f32]) -> Vec<(usize, f32)> {
    let mut found = vec![(0, f32::NEG_INFINITY); channels];
    for (at, pixel) in pixels.chunks_exact(channels).enumerate() {
        for (best, &x) in found.iter_mut().zip(pixel) {
            if x > best.1 {
                *best = (at, x);
            }
        }
    }
    found
}

/// The end of a network.
struct Ends {
    /// The last activation.
    features: NodeId,
    pool: NodeId,
    linear: NodeId,
}

fn ends(graph: &Graph) -> Result<Ends, GraphError> {
    let nodes = graph.nodes();
    let linear = nodes.len() - 1;
    let input = |id: NodeId, ops: &[Op]| {
        let node = &nodes[id];
        node.inputs.first().copied().filter(|_| ops.contains(&node.op))
    };
    let found = || {
        let pool = input(linear, &[Op::Linear])?;
        let features = input(pool, &[Op::GlobalAvgPool, Op::GlobalMaxPool])?;
        (features != Graph::INPUT).then_some(Ends { features, pool, linear })
    };
    found().ok_or(GraphError::Structure {
        node: nodes[linear].name.clone(),
        rule: "activation maps need a global pool and then one linear layer at the end",
    })
}

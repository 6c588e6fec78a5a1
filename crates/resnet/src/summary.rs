//! Summarises a network: parameters, multiply-accumulates and memory, layer by layer
//! (`resnet summary`).

use crate::{
    engine::{PlanError, lower::values_per_image},
    graph::{Graph, Op, Shape},
};

/// Bytes of a parameter or an activation in fp32.
const FP32: usize = 4;

/// The parameters and multiply-accumulates of one node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// The node's name: its PyTorch module path.
    pub name: String,
    /// Its operation: `Conv2d 3x3/2`.
    pub op: String,
    /// Shape of its output for one image.
    pub output: Shape,
    /// Weights and biases (running statistics are not parameters).
    pub parameters: usize,
    /// Multiply-accumulates for one image. As in torchvision, only convolutions and linear layers
    /// count.
    pub macs: u64,
}

/// Parameters, multiply-accumulates and memory of a network, for images of one size.
///
/// ```
/// use resnet::{Arch, summary::Summary};
/// let arch: Arch = "resnet18".parse().unwrap();
/// let summary = Summary::new(&arch.graph(1000), 224, 224).unwrap();
/// assert_eq!(summary.parameters, 11_689_512);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Summary {
    /// All nodes, in the graph's order.
    pub layers: Vec<Layer>,
    /// Weights and biases of the network.
    pub parameters: usize,
    /// Multiply-accumulates for one image.
    pub macs: u64,
    /// Values per image in training: all outputs, and the gradients that are live at the same time.
    pub training_values: usize,
    /// Values per image in inference: the outputs that are live at the same time.
    pub inference_values: usize,
}

impl Summary {
    /// Summarises a graph for images of `height` x `width`.
    ///
    /// # Errors
    /// If the graph does not fit such images, or breaks a rule.
    pub fn new(graph: &Graph, height: usize, width: usize) -> Result<Self, PlanError> {
        let (training_values, inference_values) = values_per_image(graph, height, width)?;
        let shapes = graph.shapes(height, width)?;
        let layers: Vec<Layer> = graph
            .nodes()
            .iter()
            .zip(&shapes)
            .map(|(node, &output)| {
                let inputs = node.inputs.first().map_or(0, |&i| shapes[i].channels);
                let (weights, biases) = node.parameters(inputs);
                let (parameters, macs) = (weights + biases, node.macs(inputs, output) as u64);
                Layer { name: node.name.clone(), op: describe(&node.op), output, parameters, macs }
            })
            .collect();
        Ok(Summary {
            parameters: layers.iter().map(|l| l.parameters).sum(),
            macs: layers.iter().map(|l| l.macs).sum(),
            training_values,
            inference_values,
            layers,
        })
    }

    /// Bytes of the parameters, fp32.
    pub fn parameter_bytes(&self) -> usize {
        self.parameters * FP32
    }

    /// Bytes for training with batches of `batch` images in fp32: parameters, gradients, momentum,
    /// activations and their gradients, without scratch memory.
    pub fn training_bytes(&self, batch: usize) -> usize {
        (3 * self.parameters + batch * self.training_values) * FP32
    }

    /// Bytes for inference with batches of `batch` images in fp32, without scratch memory.
    pub fn inference_bytes(&self, batch: usize) -> usize {
        (self.parameters + batch * self.inference_values) * FP32
    }
}

fn describe(op: &Op) -> String {
    let window = |name: &str, kernel: usize, stride: usize| match stride {
        1 => format!("{name} {kernel}x{kernel}"),
        _ => format!("{name} {kernel}x{kernel}/{stride}"),
    };
    match *op {
        Op::Input => "Input".into(),
        Op::Conv2d { kernel, stride, groups, .. } if groups > 1 => {
            format!("{}, {groups} groups", window("Conv2d", kernel, stride))
        }
        Op::Conv2d { kernel, stride, .. } => window("Conv2d", kernel, stride),
        Op::BatchNorm2d => "BatchNorm2d".into(),
        Op::Relu => "ReLU".into(),
        Op::Gelu { tanh: false } => "GELU".into(),
        Op::Gelu { tanh: true } => "GELU, tanh".into(),
        Op::Silu => "SiLU".into(),
        Op::Add => "Add".into(),
        Op::MaxPool2d { kernel, stride, .. } => window("MaxPool2d", kernel, stride),
        Op::AvgPool2d { kernel } => window("AvgPool2d", kernel, kernel),
        Op::GlobalAvgPool => "GlobalAvgPool".into(),
        Op::GlobalMaxPool => "GlobalMaxPool".into(),
        Op::Linear => "Linear".into(),
        Op::PadShortcut { stride } => window("PadShortcut", 1, stride),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Arch;

    fn summary(name: &str, classes: usize, size: usize) -> Summary {
        let arch: Arch = name.parse().unwrap();
        Summary::new(&arch.graph(classes), size, size).unwrap()
    }

    /// `sum(p.numel() for p in torchvision.models.resnet18().parameters())` and so on, and the
    /// `GFLOPS` of torchvision's weights' documentation (multiply-accumulates).
    #[test]
    fn imagenet_nets_equal_torchvision() {
        for (name, parameters, gmacs) in [
            ("resnet18", 11_689_512, 1.814),
            ("resnet34", 21_797_672, 3.664),
            ("resnet50", 25_557_032, 4.089),
            ("resnet101", 44_549_160, 7.801),
            ("resnet152", 60_192_808, 11.514),
        ] {
            let s = summary(name, 1000, 224);
            assert_eq!(s.parameters, parameters, "{name}");
            assert!((s.macs as f64 / 1e9 - gmacs).abs() < 5e-4, "{name}: {} MACs", s.macs);
        }
    }

    /// Parameters and multiply-accumulates of torchvision 0.29's and timm 1.0.31's networks, counted in
    /// PyTorch.
    #[test]
    fn variants_equal_torchvision_and_timm() {
        for (name, parameters, macs) in [
            ("wide_resnet50_2", 68_883_240, 11_398_021_120),
            ("wide_resnet101_2", 126_886_696, 22_753_050_624),
            ("resnext50_32x4d", 25_028_904, 4_230_479_872),
            ("resnext101_32x8d", 88_791_336, 16_414_015_488),
            ("resnext101_64x4d", 83_455_272, 15_460_270_080),
            ("resnet26-bottleneck", 15_995_176, 2_342_256_640),
            ("resnet18d", 11_708_744, 2_053_713_920),
            ("resnet26d", 16_014_408, 2_581_897_216),
            ("resnet34d", 21_816_904, 3_903_401_984),
            ("resnet50d", 25_576_264, 4_328_824_832),
            ("resnet101d", 44_568_392, 8_041_046_016),
            ("resnet152d", 60_212_040, 11_753_267_200),
            ("resnext50d_32x4d", 25_048_136, 4_470_120_448),
            ("resnext101_32x4d", 44_177_704, 7_969_996_800),
        ] {
            let s = summary(name, 1000, 224);
            assert_eq!((s.parameters, s.macs), (parameters, macs), "{name}");
        }
    }

    #[test]
    fn cifar_nets_equal_the_paper_and_the_walk_through() {
        let s = summary("resnet18-cifar", 10, 32);
        assert_eq!((s.parameters, s.macs), (11_173_962, 555_422_720));
        let of = |name| summary(name, 1000, 224).parameters;
        // Option A has no parameters, C those of every block.
        assert_eq!(of("resnet34-a"), of("plain34"));
        assert!(of("resnet34-a") < of("resnet34") && of("resnet34") < of("resnet34-c"));
        // Paper, table 6, in millions; the exact counts are those of option A.
        for (name, parameters) in [
            ("resnet20", 269_722),
            ("resnet32", 464_154),
            ("resnet44", 658_586),
            ("resnet56", 853_018),
            ("resnet110", 1_727_962),
            ("resnet1202", 19_421_274),
            ("plain20", 269_722),
        ] {
            assert_eq!(summary(name, 10, 32).parameters, parameters, "{name}");
        }
    }

    #[test]
    fn memory_of_a_small_net_by_hand() {
        let mut g = Graph::new(3);
        let c = g.conv2d("conv1", Graph::INPUT, 16, 3, 1, 1);
        let b = g.batch_norm2d("bn1", c);
        let r = g.relu("relu1", b);
        let d = g.conv2d("conv2", r, 16, 3, 1, 1);
        let sum = g.add("add", d, r);
        let p = g.global_avg_pool("avgpool", sum);
        g.linear("linear", p, 10);
        let s = Summary::new(&g, 4, 4).unwrap();
        // The input with its border; conv1, relu1, conv2, add of 256 values each, avgpool of 16.
        let (image, one) = (3 * 6 * 6, 16 * 16);
        // Gradients: those of add and of both that it reads.
        assert_eq!(s.training_values, image + 4 * one + 16 + 3 * one);
        // relu1, conv2's output and the sum are live at the same time.
        assert_eq!(s.inference_values, image + 3 * one);
        let parameters = 16 * 27 + 32 + 16 * 144 + 170;
        assert_eq!(s.parameters, parameters);
        assert_eq!(s.training_bytes(2), 4 * (3 * parameters + 2 * s.training_values));
        assert_eq!(s.inference_bytes(2), 4 * (parameters + 2 * s.inference_values));
    }
}

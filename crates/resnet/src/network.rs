//! A network's parameters and running statistics, each in one flat arena.

use std::{collections::HashMap, ops::Range};

use resnet_formats::{NamedTensors, Tensor};
use thiserror::Error;

use crate::{
    graph::{Graph, NodeId, Op},
    random::{Purpose, Random},
};

/// What a parameter is, for initialisation and for the optimiser's rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParamKind {
    /// Weight of a convolution; in the arena `[out][row][column][in]`, PyTorch's `channels_last`.
    ConvWeight,
    /// Scale of a batch norm.
    NormWeight,
    /// Shift of a batch norm.
    NormBias,
    /// Weight of a linear layer.
    LinearWeight,
    /// Bias of a linear layer.
    LinearBias,
}

impl ParamKind {
    /// Whether it is a weight of a convolution or a linear layer, rather than a bias or a batch
    /// norm's parameter.
    pub fn is_weight(self) -> bool {
        matches!(self, ParamKind::ConvWeight | ParamKind::LinearWeight)
    }
}

/// A parameter's entry in the inventory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Param {
    /// State-dict key.
    pub name: String,
    /// PyTorch's shape.
    pub shape: Vec<usize>,
    /// What it is.
    pub kind: ParamKind,
    /// The node it belongs to.
    pub node: NodeId,
    /// Its place in the arena.
    pub range: Range<usize>,
}

/// The running statistics of a batch norm.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stats {
    node: NodeId,
    mean: Range<usize>,
    var: Range<usize>,
}

/// Initial values of convolutions and linear layers; batch norms start as the identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Init {
    /// PyTorch's defaults of `Conv2d` and `Linear`: uniform in +-1/sqrt(fan in).
    PyTorch,
    /// He et al. 2015 (equation 10) for convolutions: normal, with variance 2 / fan in. Linear
    /// layers as PyTorch.
    He,
}

/// Why a state dict does not fit a network.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct StateDictError(String);

/// A graph with its parameters and running statistics.
#[derive(Clone, Debug)]
pub struct Network {
    graph: Graph,
    params: Vec<Param>,
    stats: Vec<Stats>,
    values: Vec<f32>,
    running: Vec<f32>,
    batches_tracked: Vec<i64>,
}

impl Network {
    /// A network with random parameters.
    ///
    /// ```
    /// use resnet::{Arch, Network, network::Init};
    /// let arch: Arch = "resnet18-cifar".parse().unwrap();
    /// let net = Network::new(arch.graph(10), Init::PyTorch, 0);
    /// assert_eq!(net.values().len(), 11_173_962); // parameters
    /// assert_eq!(net.params()[0].name, "conv1.weight");
    /// ```
    pub fn new(graph: Graph, init: Init, seed: u64) -> Self {
        let (params, stats) = inventory(&graph);
        let length = params.last().map_or(0, |p| p.range.end);
        let running_len = stats.last().map_or(0, |s| s.var.end);
        let batches_tracked = vec![0; stats.len()];
        let mut net = Network {
            graph,
            params,
            stats,
            values: vec![0.0; length],
            running: vec![0.0; running_len],
            batches_tracked,
        };
        for (index, param) in net.params.iter().enumerate() {
            let values = draw(
                param,
                &net.params,
                init,
                &mut Random::new(seed, Purpose::Init, &[index as u64]),
            );
            import_into(param, &values, &mut net.values[param.range.clone()]);
        }
        for stats in &net.stats {
            net.running[stats.var.clone()].fill(1.0);
        }
        net
    }

    /// Its graph.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// The inventory of parameters, in PyTorch's order.
    pub fn params(&self) -> &[Param] {
        &self.params
    }

    /// The arena of parameters.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// The arena of parameters, to be changed.
    pub fn values_mut(&mut self) -> &mut [f32] {
        &mut self.values
    }

    /// The places of a node's parameters in the arena: weight, then bias.
    pub(crate) fn ranges(&self, node: NodeId) -> impl Iterator<Item = Range<usize>> {
        let first = self.params.partition_point(|p| p.node < node);
        self.params[first..].iter().take_while(move |p| p.node == node).map(|p| p.range.clone())
    }

    /// Mean and variance that a batch norm uses in inference.
    pub(crate) fn running(&self, node: NodeId) -> (&[f32], &[f32]) {
        let stats = &self.stats[self.stats_index(node)];
        (&self.running[stats.mean.clone()], &self.running[stats.var.clone()])
    }

    /// A batch norm's parameters and its running statistics, which are to be updated by one more
    /// batch.
    pub(crate) fn norm_mut(&mut self, node: NodeId) -> [&mut [f32]; 4] {
        let [weight, bias] = self.weight_and_bias(node);
        let index = self.stats_index(node);
        self.batches_tracked[index] += 1;
        let stats = &self.stats[index];
        let disjoint = "the inventory's ranges are disjoint";
        let [weight, bias] = self.values.get_disjoint_mut([weight, bias]).expect(disjoint);
        let both = [stats.mean.clone(), stats.var.clone()];
        let [mean, var] = self.running.get_disjoint_mut(both).expect(disjoint);
        [weight, bias, mean, var]
    }

    /// The places of weight and bias of a batch norm or a linear layer.
    pub(crate) fn weight_and_bias(&self, node: NodeId) -> [Range<usize>; 2] {
        let mut ranges = self.ranges(node);
        let mut next = || ranges.next().expect("the node has a weight and a bias");
        [next(), next()]
    }

    fn stats_index(&self, node: NodeId) -> usize {
        let found = self.stats.binary_search_by_key(&node, |s| s.node);
        found.expect("every batch norm has statistics")
    }

    /// Parameters and running statistics by PyTorch's names, in PyTorch's order and layout.
    pub fn state_dict(&self) -> NamedTensors {
        let mut out = NamedTensors::new();
        for param in &self.params {
            out.push((param.name.clone(), export_one(param, &self.values)));
            if param.kind == ParamKind::NormBias {
                let index = self.stats_index(param.node);
                let (mean, var) = self.running(param.node);
                let prefix = &self.graph.nodes()[param.node].name;
                out.push((
                    format!("{prefix}.running_mean"),
                    Tensor::f32(&param.shape, mean.to_vec()),
                ));
                out.push((
                    format!("{prefix}.running_var"),
                    Tensor::f32(&param.shape, var.to_vec()),
                ));
                let tracked = Tensor::scalar_i64(self.batches_tracked[index]);
                out.push((format!("{prefix}.num_batches_tracked"), tracked));
            }
        }
        out
    }

    /// Takes every parameter and statistic from a state dict, strictly, as
    /// `torch.nn.Module.load_state_dict` does; `num_batches_tracked` may be absent.
    ///
    /// # Errors
    /// If names or shapes differ: the message lists the first few that are missing, unexpected or
    /// misshapen. The network is then unchanged.
    pub fn load_state_dict(&mut self, state: &NamedTensors) -> Result<(), StateDictError> {
        let expected = self.state_dict();
        check_names(&expected, state, |name| name.ends_with(".num_batches_tracked"))?;
        let tensors: HashMap<&str, &Tensor> = state.iter().map(|(n, t)| (n.as_str(), t)).collect();
        let values = |name: &str| tensors[name].as_f32().expect("types are checked");
        for param in &self.params {
            import_into(param, values(&param.name), &mut self.values[param.range.clone()]);
        }
        for (stats, tracked) in self.stats.iter().zip(&mut self.batches_tracked) {
            let prefix = &self.graph.nodes()[stats.node].name;
            let mean = values(&format!("{prefix}.running_mean"));
            self.running[stats.mean.clone()].copy_from_slice(mean);
            let var = values(&format!("{prefix}.running_var"));
            self.running[stats.var.clone()].copy_from_slice(var);
            let count = tensors.get(format!("{prefix}.num_batches_tracked").as_str());
            if let Some(Tensor { data: resnet_formats::Data::I64(count), .. }) = count {
                *tracked = count[0];
            }
        }
        Ok(())
    }

    /// An arena like the parameters' (gradients, momentum) by name, in PyTorch's layout.
    pub fn export(&self, arena: &[f32]) -> NamedTensors {
        self.params.iter().map(|p| (p.name.clone(), export_one(p, arena))).collect()
    }

    /// The reverse of [`Network::export`].
    ///
    /// # Errors
    /// If names or shapes differ from the parameters'.
    pub fn import(&self, tensors: &NamedTensors) -> Result<Vec<f32>, StateDictError> {
        let mut arena = vec![0.0; self.values.len()];
        check_names(&self.export(&arena), tensors, |_| false)?;
        let index: HashMap<&str, &Tensor> = tensors.iter().map(|(n, t)| (n.as_str(), t)).collect();
        for param in &self.params {
            let values = index[param.name.as_str()].as_f32().expect("types are checked");
            import_into(param, values, &mut arena[param.range.clone()]);
        }
        Ok(arena)
    }
}

/// Parameters and statistics of a graph, in the order of its nodes.
fn inventory(graph: &Graph) -> (Vec<Param>, Vec<Stats>) {
    let (mut params, mut stats) = (Vec::<Param>::new(), Vec::<Stats>::new());
    for (id, node) in graph.nodes().iter().enumerate() {
        let inputs = node.inputs.first().map_or(0, |&i| graph.nodes()[i].channels);
        let out = node.channels;
        let mut add = |suffix: &str, shape: &[usize], kind| {
            let start = params.last().map_or(0, |p| p.range.end);
            let range = start..start + shape.iter().product::<usize>();
            let name = format!("{}.{suffix}", node.name);
            params.push(Param { name, shape: shape.to_vec(), kind, node: id, range });
        };
        match node.op {
            Op::Conv2d { kernel, .. } => {
                add("weight", &[out, inputs, kernel, kernel], ParamKind::ConvWeight);
            }
            Op::BatchNorm2d => {
                add("weight", &[out], ParamKind::NormWeight);
                add("bias", &[out], ParamKind::NormBias);
                let start = stats.last().map_or(0, |s| s.var.end);
                let (mean, var) = (start..start + out, start + out..start + 2 * out);
                stats.push(Stats { node: id, mean, var });
            }
            Op::Linear => {
                add("weight", &[out, inputs], ParamKind::LinearWeight);
                add("bias", &[out], ParamKind::LinearBias);
            }
            _ => {}
        }
    }
    (params, stats)
}

/// Initial values in PyTorch's layout.
fn draw(param: &Param, params: &[Param], init: Init, random: &mut Random) -> Vec<f32> {
    let fan_in = |shape: &[usize]| shape[1..].iter().product::<usize>() as f32;
    let uniform = |random: &mut Random, bound: f32| (2.0 * random.uniform() - 1.0) * bound;
    let count = param.range.len();
    match param.kind {
        ParamKind::NormWeight => vec![1.0; count],
        ParamKind::NormBias => vec![0.0; count],
        ParamKind::ConvWeight if init == Init::He => {
            let std = (2.0 / fan_in(&param.shape)).sqrt();
            (0..count).map(|_| std * random.normal()).collect()
        }
        ParamKind::ConvWeight | ParamKind::LinearWeight => {
            let bound = 1.0 / fan_in(&param.shape).sqrt();
            (0..count).map(|_| uniform(random, bound)).collect()
        }
        ParamKind::LinearBias => {
            let weight = params.iter().find(|p| p.node == param.node).expect("precedes its bias");
            let bound = 1.0 / fan_in(&weight.shape).sqrt();
            (0..count).map(|_| uniform(random, bound)).collect()
        }
    }
}

fn export_one(param: &Param, arena: &[f32]) -> Tensor {
    let values = &arena[param.range.clone()];
    let [_, inputs, kernel, _] = param.shape[..] else {
        return Tensor::f32(&param.shape, values.to_vec());
    };
    let window = kernel * kernel;
    let from = |i: usize| {
        let (out, channel, position) = (i / (inputs * window), i / window % inputs, i % window);
        values[(out * window + position) * inputs + channel]
    };
    Tensor::f32(&param.shape, (0..values.len()).map(from).collect())
}

fn import_into(param: &Param, values: &[f32], arena: &mut [f32]) {
    let [_, inputs, kernel, _] = param.shape[..] else {
        return arena.copy_from_slice(values);
    };
    let window = kernel * kernel;
    for (i, &value) in values.iter().enumerate() {
        let (out, channel, position) = (i / (inputs * window), i / window % inputs, i % window);
        arena[(out * window + position) * inputs + channel] = value;
    }
}

/// Compares names, types and shapes, as PyTorch's strict loading does.
fn check_names(
    expected: &NamedTensors,
    found: &NamedTensors,
    optional: impl Fn(&str) -> bool,
) -> Result<(), StateDictError> {
    let have: HashMap<&str, &Tensor> = found.iter().map(|(n, t)| (n.as_str(), t)).collect();
    let want: HashMap<&str, &Tensor> = expected.iter().map(|(n, t)| (n.as_str(), t)).collect();
    let kind = |t: &Tensor| if t.as_f32().is_some() { "float32" } else { "int64" };
    let missing = expected.iter().map(|(name, _)| name.as_str());
    let missing = missing.filter(|n| !have.contains_key(n) && !optional(n)).map(String::from);
    let unexpected = found.iter().map(|(name, _)| name.as_str());
    let unexpected = unexpected.filter(|n| !want.contains_key(n)).map(String::from);
    let misshapen = expected.iter().filter_map(|(name, want)| {
        let got = have.get(name.as_str())?;
        let differs = got.shape != want.shape || kind(got) != kind(want);
        let text = |t: &Tensor| format!("{} {:?}", kind(t), t.shape);
        differs.then(|| format!("{name} (is {}, must be {})", text(got), text(want)))
    });
    let mut parts = Vec::new();
    let lists: [(&str, Vec<String>); 3] = [
        ("missing", missing.collect()),
        ("unexpected", unexpected.collect()),
        ("of the wrong shape", misshapen.collect()),
    ];
    for (what, names) in lists.into_iter().filter(|(_, names)| !names.is_empty()) {
        const SHOWN: usize = 3;
        let mut text = format!("{what}: {}", names[..names.len().min(SHOWN)].join(", "));
        if names.len() > SHOWN {
            text += &format!(" and {} more", names.len() - SHOWN);
        }
        parts.push(text);
    }
    if parts.is_empty() {
        return Ok(());
    }
    Err(StateDictError(format!("the tensors do not fit the network; {}", parts.join("; "))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Arch;

    fn net(arch: &str) -> Network {
        Network::new(arch.parse::<Arch>().unwrap().graph_with(3, 10, 8), Init::He, 1)
    }

    #[test]
    fn state_dict_round_trips() {
        let a = net("resnet18-cifar");
        let mut b = Network::new(a.graph().clone(), Init::PyTorch, 2);
        assert_ne!(a.values(), b.values());
        b.load_state_dict(&a.state_dict()).unwrap();
        assert_eq!(a.values(), b.values());
        assert_eq!(b.import(&a.export(a.values())).unwrap(), a.values());
    }

    #[test]
    fn names_and_order_are_pytorchs() {
        let names: Vec<String> =
            net("resnet18-cifar").state_dict().into_iter().map(|t| t.0).collect();
        let start = [
            "conv1.weight",
            "bn1.weight",
            "bn1.bias",
            "bn1.running_mean",
            "bn1.running_var",
            "bn1.num_batches_tracked",
            "layer1.0.conv1.weight",
        ];
        assert_eq!(names[..7], start);
        let block: Vec<&str> = names
            .iter()
            .map(String::as_str)
            .filter(|n| n.starts_with("layer2.0.") && n.ends_with(".weight"))
            .collect();
        assert_eq!(
            block,
            [
                "layer2.0.conv1.weight",
                "layer2.0.bn1.weight",
                "layer2.0.conv2.weight",
                "layer2.0.bn2.weight",
                "layer2.0.shortcut.0.weight",
                "layer2.0.shortcut.1.weight"
            ]
        );
        assert_eq!(names[names.len() - 2..], ["linear.weight", "linear.bias"]);
    }

    #[test]
    fn says_which_tensors_do_not_fit() {
        let mut small = net("resnet20");
        let text = small.load_state_dict(&net("resnet32").state_dict()).unwrap_err().to_string();
        assert!(text.contains("unexpected: layer1.3.conv1.weight"), "{text}");
        assert!(text.contains("more"), "{text}");
        let mut state = small.state_dict();
        state[0].1 = Tensor::f32(&[2], vec![0.0; 2]);
        let before = small.values().to_vec();
        let text = small.load_state_dict(&state).unwrap_err().to_string();
        assert!(
            text.contains("conv1.weight (is float32 [2], must be float32 [8, 3, 3, 3])"),
            "{text}"
        );
        assert_eq!(small.values(), before);
    }

    #[test]
    fn initial_values_have_the_right_spread() {
        let graph = "resnet18-cifar".parse::<Arch>().unwrap().graph(10);
        for (init, want) in [(Init::PyTorch, 1.0 / (3.0f64 * 576.0)), (Init::He, 2.0 / 576.0)] {
            let net = Network::new(graph.clone(), init, 3);
            let param = net.params().iter().find(|p| p.name == "layer1.0.conv1.weight").unwrap();
            let values = &net.values()[param.range.clone()];
            let var =
                values.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>() / values.len() as f64;
            assert!((var / want - 1.0).abs() < 0.05, "{var} for {want}");
        }
    }
}

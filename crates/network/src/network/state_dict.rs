//! State dicts: parameters and running statistics under PyTorch's names, in PyTorch's layout.

use std::collections::{HashMap, HashSet};

use resnet_formats::{Data, NamedTensors, Tensor, brief};
use thiserror::Error;

use super::{
    Network, Param, ParamKind,
    inventory::parameters,
    layout::{export_one, import_into},
};
use crate::graph::{Graph, Op};

/// Why a state dict does not fit a network.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct StateDictError(String);

impl Network {
    /// The state dict: parameters and running statistics by PyTorch's names, in PyTorch's order and
    /// layout.
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

    /// Loads every parameter and running statistic from a state dict. As in
    /// `torch.nn.Module.load_state_dict(strict=True)`, names and shapes must be equal, but
    /// `num_batches_tracked` may be absent.
    ///
    /// # Errors
    /// If names or shapes differ. The message lists the first few tensors that are missing,
    /// unexpected or of the wrong shape. The network is unchanged.
    pub fn load_state_dict(&mut self, state: &NamedTensors) -> Result<(), StateDictError> {
        check_state_dict(&self.graph, state)?;
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
            if let Some(Tensor { data: Data::I64(count), .. }) = count {
                *tracked = count[0];
            }
        }
        Ok(())
    }

    /// Values in the order of [`Network::values`] (gradients, momentum) as tensors by name, in
    /// PyTorch's layout.
    pub fn export(&self, arena: &[f32]) -> NamedTensors {
        self.params.iter().map(|p| (p.name.clone(), export_one(p, arena))).collect()
    }

    /// A count for each parameter, in the order of [`Network::params`], as scalars by name.
    pub fn export_counts(&self, counts: &[u64]) -> NamedTensors {
        let scalar = |&count: &u64| Tensor::scalar_i64(i64::try_from(count).unwrap_or(i64::MAX));
        let names = self.params.iter().map(|param| param.name.clone());
        names.zip(counts.iter().map(scalar)).collect()
    }

    /// The inverse of [`Network::export_counts`]; a negative count is 0.
    ///
    /// # Errors
    /// If there is not a scalar integer for each parameter.
    pub fn import_counts(&self, tensors: &NamedTensors) -> Result<Vec<u64>, StateDictError> {
        let entry = |param: &Param| Entry { name: param.name.clone(), shape: vec![], float: false };
        check(&self.params.iter().map(entry).collect::<Vec<_>>(), tensors, |_| false)?;
        let index: HashMap<&str, &Tensor> = tensors.iter().map(|(n, t)| (n.as_str(), t)).collect();
        let count = |param: &Param| match &index[param.name.as_str()].data {
            Data::I64(count) => u64::try_from(count[0]).unwrap_or(0),
            Data::F32(_) => unreachable!("types are checked"),
        };
        Ok(self.params.iter().map(count).collect())
    }

    /// The inverse of [`Network::export`].
    ///
    /// # Errors
    /// If names or shapes differ from the parameters'.
    pub fn import(&self, tensors: &NamedTensors) -> Result<Vec<f32>, StateDictError> {
        let entries: Vec<Entry> = self.params.iter().map(Entry::of).collect();
        check(&entries, tensors, |_| false)?;
        let mut arena = vec![0.0; self.values.len()];
        let index: HashMap<&str, &Tensor> = tensors.iter().map(|(n, t)| (n.as_str(), t)).collect();
        for param in &self.params {
            let values = index[param.name.as_str()].as_f32().expect("types are checked");
            import_into(param, values, &mut arena[param.range.clone()]);
        }
        Ok(arena)
    }
}

/// Checks that a state dict fits a graph, as [`Network::load_state_dict`] does. Allocates no
/// parameters.
///
/// # Errors
/// The first few tensors that are missing, unexpected or of the wrong shape.
pub fn check_state_dict(graph: &Graph, state: &NamedTensors) -> Result<(), StateDictError> {
    check(&entries(graph), state, |name| name.ends_with(".num_batches_tracked"))
}

/// The tensors that a state dict must have.
fn entries(graph: &Graph) -> Vec<Entry> {
    let mut entries = Vec::new();
    for (id, node) in graph.nodes().iter().enumerate() {
        let mut add = |suffix: &str, shape: Vec<usize>, float| {
            entries.push(Entry { name: format!("{}.{suffix}", node.name), shape, float });
        };
        for (suffix, shape, _) in parameters(graph, id) {
            add(suffix, shape, true);
        }
        if node.op == Op::BatchNorm2d {
            add("running_mean", vec![node.channels], true);
            add("running_var", vec![node.channels], true);
            add("num_batches_tracked", vec![], false);
        }
    }
    entries
}

/// A tensor that a state dict must have.
struct Entry {
    name: String,
    shape: Vec<usize>,
    float: bool,
}

impl Entry {
    fn of(param: &Param) -> Self {
        Entry { name: param.name.clone(), shape: param.shape.clone(), float: true }
    }
}

/// Compares names, types and shapes, as PyTorch's strict loading does.
fn check(
    expected: &[Entry],
    found: &NamedTensors,
    optional: impl Fn(&str) -> bool,
) -> Result<(), StateDictError> {
    let have: HashMap<&str, &Tensor> = found.iter().map(|(n, t)| (n.as_str(), t)).collect();
    let want: HashSet<&str> = expected.iter().map(|entry| entry.name.as_str()).collect();
    let kind = |float: bool| if float { "float32" } else { "int64" };
    let missing = expected.iter().map(|entry| &entry.name);
    let missing = missing.filter(|n| !have.contains_key(n.as_str()) && !optional(n)).cloned();
    let unexpected = found.iter().map(|(name, _)| name);
    let unexpected = unexpected.filter(|n| !want.contains(n.as_str()));
    let misshapen = expected.iter().filter_map(|want| {
        let got = have.get(want.name.as_str())?;
        let float = got.as_f32().is_some();
        let (got, kinds) = (&got.shape, [kind(float), kind(want.float)]);
        (got != &want.shape || float != want.float).then(|| {
            let (name, [is, must]) = (&want.name, kinds);
            format!(
                "{name} (is {is} {}, must be {must} {:?})",
                brief(&format!("{got:?}")),
                want.shape
            )
        })
    });
    let mut parts = Vec::new();
    let lists: [(&str, Vec<String>); 3] = [
        ("missing", missing.collect()),
        ("unexpected", unexpected.map(|name| brief(name).to_string()).collect()),
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
    use crate::{Arch, network::Init};

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
        let counts: Vec<u64> = (0..a.params().len() as u64).collect();
        let mut exported = a.export_counts(&counts);
        assert_eq!(b.import_counts(&exported).unwrap(), counts);
        exported[1].1 = Tensor::f32(&[], vec![1.0]);
        let text = b.import_counts(&exported).unwrap_err().to_string();
        assert!(text.contains("bn1.weight (is float32 [], must be int64 [])"), "{text}");
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
    fn errors_name_the_tensors() {
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
}

//! A network of this folder. The library's tests and the GPU's include this file.

use std::path::{Path, PathBuf};

use resnet_formats::{Data, NamedTensors, Tensor};
use resnet_network::{Arch, Graph, Network, network::Init};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};

pub(super) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../resnet/tests/golden")
}

/// A network with its batch, and what PyTorch computes for it.
pub(super) struct Case {
    pub(super) name: &'static str,
    tensors: NamedTensors,
    pub(super) graph: Graph,
    pub(super) labels: Vec<u32>,
    /// Images, rows and columns.
    pub(super) size: [usize; 3],
}

impl Case {
    pub(super) fn new(name: &'static str, arch: &str, width: usize) -> Self {
        let bytes = std::fs::read(folder().join(format!("{name}.safetensors"))).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let tensor = |view: TensorView<'_>| {
            let words = |n| view.data().chunks_exact(n);
            let data = match view.dtype() {
                Dtype::F32 => {
                    Data::F32(words(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect())
                }
                Dtype::I64 => {
                    Data::I64(words(8).map(|b| i64::from_le_bytes(b.try_into().unwrap())).collect())
                }
                other => panic!("unexpected {other:?}"),
            };
            Tensor { shape: view.shape().to_vec(), data }
        };
        let tensors: NamedTensors =
            file.tensors().into_iter().map(|(n, t)| (n, tensor(t))).collect();
        let of = |name: &str| &tensors.iter().find(|(n, _)| n == name).expect("in the file").1;
        let [batch, channels, height, columns] = of("input").shape[..] else { panic!("NCHW") };
        let classes = of("logits.eval").shape[1];
        let Data::I64(target) = &of("target").data else { panic!("integer labels") };
        let labels = target.iter().map(|&t| u32::try_from(t).unwrap()).collect();
        let graph = arch.parse::<Arch>().unwrap().graph_with(channels, classes, width);
        Case { name, graph, labels, size: [batch, height, columns], tensors }
    }

    pub(super) fn values(&self, name: &str) -> &[f32] {
        let found = self.tensors.iter().find(|(n, _)| n == name);
        found.unwrap_or_else(|| panic!("no {name}")).1.as_f32().unwrap()
    }

    /// The tensors under a prefix, without it.
    pub(super) fn under(&self, prefix: &str) -> NamedTensors {
        let cut = |(n, t): &(String, Tensor)| Some((n.strip_prefix(prefix)?.to_owned(), t.clone()));
        self.tensors.iter().filter_map(cut).collect()
    }

    pub(super) fn network(&self) -> Network {
        let mut net = Network::new(self.graph.clone(), Init::PyTorch, 0);
        net.load_state_dict(&self.under("init.")).unwrap();
        net
    }
}

pub(super) fn distance(got: &[f32], want: &[f32]) -> f64 {
    assert_eq!(got.len(), want.len());
    let square =
        |f: &dyn Fn(usize) -> f64| (0..want.len()).map(|i| f(i).powi(2)).sum::<f64>().sqrt();
    let norm = square(&|i| f64::from(want[i]));
    square(&|i| f64::from(got[i]) - f64::from(want[i])) / norm.max(1e-12)
}

/// The distances of the tensors that `want` names; integers must be equal.
pub(super) fn distances(got: &NamedTensors, want: &NamedTensors) -> Vec<f64> {
    assert_eq!(got.len(), want.len());
    let mut distances = Vec::new();
    for (name, want) in want {
        let got = &got.iter().find(|(n, _)| n == name).unwrap_or_else(|| panic!("no {name}")).1;
        assert_eq!(got.shape, want.shape, "{name}");
        match (&got.data, &want.data) {
            (Data::F32(got), Data::F32(want)) => {
                let distance = distance(got, want);
                assert!(distance.is_finite(), "{name}: {distance}");
                distances.push(distance);
            }
            (got, want) => assert_eq!(got, want, "{name}"),
        }
    }
    distances
}

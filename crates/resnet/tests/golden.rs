//! Parity with PyTorch: logits, gradients and three training steps of six small networks, on
//! every instruction set of this machine, and gradients in bf16. The files hold what PyTorch
//! computes in f64; see `golden/README.md`.

use std::path::Path;

use resnet::{
    Arch, Cpu, Network,
    network::Init,
    optim::{Sgd, SgdConfig},
    plan::{EvalPlan, Input, TrainPlan},
    recipe::Dtype,
};
use resnet_formats::{Data, NamedTensors, Tensor};
use resnet_kernels::Isa;
use safetensors::SafeTensors;

/// Relative errors by norm that are allowed, each tensor by itself. PyTorch's own float32 comes
/// to 2e-6, 9e-6, 1e-7, 1.4e-5 and 2e-6.
struct Tolerance;
impl Tolerance {
    const LOGITS: f64 = 1e-5;
    const GRADIENTS: f64 = 1e-4;
    const LOSSES: f64 = 1e-5;
    const STATE: f64 = 1e-4;
    /// Times what PyTorch's autocast comes to.
    const AUTOCAST: f64 = 1.1;
}

struct Golden {
    tensors: NamedTensors,
}

impl Golden {
    fn read(case: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(case);
        let bytes = std::fs::read(path.with_extension("safetensors")).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let tensor = |view: safetensors::tensor::TensorView<'_>| {
            let words = |n| view.data().chunks_exact(n);
            let data = match view.dtype() {
                safetensors::Dtype::F32 => {
                    Data::F32(words(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect())
                }
                safetensors::Dtype::I64 => {
                    Data::I64(words(8).map(|b| i64::from_le_bytes(b.try_into().unwrap())).collect())
                }
                other => panic!("unexpected {other:?}"),
            };
            Tensor { shape: view.shape().to_vec(), data }
        };
        Golden { tensors: file.tensors().into_iter().map(|(n, t)| (n, tensor(t))).collect() }
    }

    fn tensor(&self, name: &str) -> &Tensor {
        let found = self.tensors.iter().find(|(n, _)| n == name);
        &found.unwrap_or_else(|| panic!("no {name}")).1
    }

    fn values(&self, name: &str) -> &[f32] {
        self.tensor(name).as_f32().unwrap()
    }

    /// The tensors under a prefix, without it.
    fn under(&self, prefix: &str) -> NamedTensors {
        let cut = |(n, t): &(String, Tensor)| Some((n.strip_prefix(prefix)?.to_owned(), t.clone()));
        self.tensors.iter().filter_map(cut).collect()
    }
}

fn distance(got: &[f32], want: &[f32]) -> f64 {
    assert_eq!(got.len(), want.len());
    let square =
        |f: &dyn Fn(usize) -> f64| (0..want.len()).map(|i| f(i).powi(2)).sum::<f64>().sqrt();
    let norm = square(&|i| f64::from(want[i]));
    square(&|i| f64::from(got[i]) - f64::from(want[i])) / norm.max(1e-12)
}

/// The distances of the tensors that `want` names; integers must be equal.
fn distances(got: &NamedTensors, want: &NamedTensors) -> Vec<f64> {
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

fn worst(got: &NamedTensors, want: &NamedTensors) -> f64 {
    distances(got, want).into_iter().fold(0.0, f64::max)
}

fn mean(got: &NamedTensors, want: &NamedTensors) -> f64 {
    let distances = distances(got, want);
    distances.iter().sum::<f64>() / distances.len() as f64
}

/// A case runs in both dtypes on every instruction set. `autocast` is how far PyTorch's bfloat16
/// autocast takes its gradients: the relative error of each tensor by norm, averaged over the
/// tensors, as `golden/autocast.py` prints it.
fn check(case: &str, arch: &str, width: usize, autocast: f64) {
    let golden = Golden::read(case);
    let shape = golden.tensor("input").shape.clone();
    let [batch, channels, height, image_width] = shape[..] else { panic!("an NCHW input") };
    let classes = golden.tensor("logits.eval").shape[1];
    let graph = arch.parse::<Arch>().unwrap().graph_with(channels, classes, width);
    let input = Input::Nchw(golden.values("input"));
    let Data::I64(target) = &golden.tensor("target").data else { panic!("integer labels") };
    let labels: Vec<u32> = target.iter().map(|&t| u32::try_from(t).unwrap()).collect();
    for isa in Isa::to_test() {
        let cpu = Cpu::with_isa(2, isa).unwrap();
        let mut net = Network::new(graph.clone(), Init::PyTorch, 0);
        net.load_state_dict(&golden.under("init.")).unwrap();
        let mut eval =
            EvalPlan::new(&graph, Dtype::Fp32, batch, height, image_width, &cpu).unwrap();
        eval.load(&net);
        let within = |what: &str, error: f64, tolerance: f64| {
            println!("{case} {isa} {what}: {error:.2e}");
            assert!(error < tolerance, "{case} {isa} {what}: {error:.2e}, allowed {tolerance:.2e}");
        };
        let logits = |eval: &mut EvalPlan| eval.forward(input, batch).to_vec();
        let error = distance(&logits(&mut eval), golden.values("logits.eval"));
        within("eval logits before", error, Tolerance::LOGITS);

        let mut plan =
            TrainPlan::new(&graph, Dtype::Fp32, batch, height, image_width, &cpu).unwrap();
        let config = SgdConfig {
            momentum: 0.9,
            weight_decay: 2e-4,
            nesterov: false,
            decay_norm_and_bias: true,
        };
        let mut sgd = Sgd::new(&net, config);
        let mut gradients = vec![f32::NAN; net.values().len()];
        let mut losses = Vec::new();
        for step in 0..3 {
            let result = plan.step(&mut net, &mut gradients, input, &labels, 0.0);
            losses.push(result.loss as f32);
            if step == 0 {
                let error = distance(plan.logits(), golden.values("logits.train"));
                within("train logits", error, Tolerance::LOGITS);
                let error = worst(&net.export(&gradients), &golden.under("grad."));
                within("gradients", error, Tolerance::GRADIENTS);
            }
            sgd.step(&cpu, &mut net, &gradients, 0.002);
        }
        assert!(losses.iter().all(|loss| loss.is_finite()));
        let want = golden.values("loss.steps");
        let error = losses.iter().zip(want).map(|(l, w)| f64::from((l - w).abs() / w));
        within("losses", error.fold(0.0, f64::max), Tolerance::LOSSES);
        within("state", worst(&net.state_dict(), &golden.under("after3.")), Tolerance::STATE);
        eval.load(&net);
        let error = distance(&logits(&mut eval), golden.values("logits.eval3"));
        within("eval logits after", error, Tolerance::LOGITS);

        let mut net = Network::new(graph.clone(), Init::PyTorch, 0);
        net.load_state_dict(&golden.under("init.")).unwrap();
        let mut plan =
            TrainPlan::new(&graph, Dtype::Bf16, batch, height, image_width, &cpu).unwrap();
        gradients.fill(f32::NAN);
        plan.step(&mut net, &mut gradients, input, &labels, 0.0);
        let error = mean(&net.export(&gradients), &golden.under("grad."));
        within("bf16 gradients", error, Tolerance::AUTOCAST * autocast);
    }
}

#[test]
fn cifar_resnet18() {
    check("cifar-resnet18-w8", "resnet18-cifar", 8, 0.2935);
}

#[test]
fn cifar_plain18() {
    check("cifar-plain18-w8", "plain18-cifar", 8, 0.4974);
}

#[test]
fn paper_resnet20() {
    check("paper-resnet20", "resnet20", 16, 0.1945);
}

#[test]
fn paper_plain14() {
    check("paper-plain14", "plain14", 16, 0.3190);
}

#[test]
fn imagenet_resnet18() {
    check("imagenet-resnet18-narrow", "resnet18", 8, 0.3107);
}

#[test]
fn imagenet_resnet50() {
    check("imagenet-resnet50-narrow", "resnet50", 8, 0.5113);
}

//! Parity with PyTorch: logits, gradients and three training steps of six small networks, on every
//! instruction set of this machine, with direct convolution and with the fastest; and gradients in
//! bf16. The files have PyTorch's results in f64; see `tests/golden/README.md`. Winograd
//! convolution needs 32 channels, so the first layers use other algorithms. Each test lists the
//! algorithms of the later layers, and fails if they differ.

use std::collections::HashMap;

use resnet::{
    Cpu, Dtype, Network,
    engine::{EvalPlan, Input, Targets, TrainPlan, interpret::Interpreter, program::Pass},
    optim::{Optimizer, SgdConfig},
};
use resnet_kernels::{Algorithms, Isa};
use serde::Deserialize;

use self::case::{Case, distance, distances, folder};
use crate::common::{
    algorithms_of,
    bf16::{Batches, Limits},
    step,
};

#[path = "../golden/case.rs"]
mod case;

/// Largest allowed relative error in the L2 norm of each tensor.
struct Tolerance {
    logits: f64,
    gradients: f64,
    losses: f64,
    state: f64,
}

/// The errors of PyTorch's float32 are 2e-6, 9e-6, 1e-7 and 1.4e-5.
const DIRECT: Tolerance = Tolerance { logits: 1e-5, gradients: 1e-4, losses: 1e-5, state: 1e-4 };

/// Some inputs of a ReLU are closer to zero than Winograd's rounding error. Their sign changes
/// gradients by a hundredth, as a disturbance of the input by 1e-5 does. A distance of 6e-2 is a
/// cosine similarity of 0.998.
const WINOGRAD: Tolerance = Tolerance { logits: 1e-4, gradients: 6e-2, losses: 1e-3, state: 1e-3 };

/// Largest allowed error of gradients in bf16, in units of the error of PyTorch's autocast: of the
/// mean over all tensors, and of each tensor. Errors below `FLOOR` count as none.
const AUTOCAST: f64 = 1.1;
const TENSOR: f64 = 1.5;
const FLOOR: f64 = 0.01;
/// Allowed scales of tensors, in units of the scales of PyTorch's autocast.
const SCALE: [f64; 2] = [0.7, 1.4];
/// Batches over which the gradient of a tensor is compared.
const BATCHES: u64 = 8;

fn worst(errors: &[f64]) -> f64 {
    errors.iter().copied().fold(0.0, f64::max)
}

impl Case {
    fn input(&self) -> Input<'_> {
        Input::Nchw(self.values("input"))
    }

    fn train_plan(&self, dtype: Dtype, cpu: &Cpu) -> TrainPlan {
        let [batch, height, width] = self.size;
        TrainPlan::new(&self.graph, dtype, batch, height, width, cpu).unwrap()
    }

    /// Distance of inference from logits of the file.
    fn inference(&self, net: &Network, logits: &str, cpu: &Cpu) -> f64 {
        let [batch, height, width] = self.size;
        let mut plan = EvalPlan::new(&self.graph, Dtype::Fp32, batch, height, width, cpu).unwrap();
        plan.load(net);
        distance(plan.forward(self.input(), batch), self.values(logits))
    }

    /// The program of each plan, computed in f64, against PyTorch in f64: only files' rounding to
    /// f32 is between them, so that a list in the wrong order, or a value that is overwritten too
    /// early, has nowhere to hide.
    fn check_program(&self, cpu: &Cpu) {
        let net = self.network();
        let [batch, height, width] = self.size;
        let f32s = |values: &[f64]| values.iter().map(|&x| x as f32).collect::<Vec<f32>>();
        let within = |what: &str, error: f64| {
            within(&format!("{} {:?} program {what}", self.name, cpu.algorithms()), error, 1e-6);
        };
        let train = self.train_plan(Dtype::Fp32, cpu);
        let mut program = Interpreter::new(train.program());
        let targets = Targets::labels(&self.labels, 0.0);
        program.run(&net, self.values("input"), [batch; 2], Some(targets));
        within("logits", distance(&f32s(&program.logits), self.values("logits.train")));
        let gradients = net.export(&f32s(&program.d_parameters));
        within("gradients", worst(&distances(&gradients, &self.under("grad."))));
        let eval = EvalPlan::new(&self.graph, Dtype::Fp32, batch, height, width, cpu).unwrap();
        let mut program = Interpreter::new(eval.program());
        program.run(&net, self.values("input"), [batch; 2], None);
        within("eval logits", distance(&f32s(&program.logits), self.values("logits.eval")));
    }

    fn check_fp32(&self, cpu: &Cpu, tolerance: &Tolerance) {
        let within = |what: &str, error: f64, tolerance: f64| {
            let what = format!("{} {} {:?} {what}", self.name, cpu.isa(), cpu.algorithms());
            within(&what, error, tolerance);
        };
        let mut net = self.network();
        let error = self.inference(&net, "logits.eval", cpu);
        within("eval logits before", error, tolerance.logits);

        let mut plan = self.train_plan(Dtype::Fp32, cpu);
        let config = SgdConfig {
            momentum: 0.9,
            weight_decay: 2e-4,
            nesterov: false,
            decay_norm_and_bias: true,
            ..SgdConfig::default()
        };
        let mut sgd = Optimizer::new(&net, config);
        let mut gradients = vec![f32::NAN; net.values().len()];
        let mut losses = Vec::new();
        for before in 0..3 {
            let result = step(&mut plan, &mut net, &mut gradients, self.input(), &self.labels, 0.0);
            losses.push(result.loss as f32);
            if before == 0 {
                let error = distance(plan.logits(), self.values("logits.train"));
                within("train logits", error, tolerance.logits);
                let errors = distances(&net.export(&gradients), &self.under("grad."));
                within("gradients", worst(&errors), tolerance.gradients);
            }
            sgd.step(cpu, &mut net, &gradients, 0.002);
        }
        assert!(losses.iter().all(|loss| loss.is_finite()));
        let want = self.values("loss.steps");
        let errors = losses.iter().zip(want).map(|(l, w)| f64::from((l - w).abs() / w));
        within("losses", worst(&errors.collect::<Vec<_>>()), tolerance.losses);
        let errors = distances(&net.state_dict(), &self.under("after3."));
        within("state", worst(&errors), tolerance.state);
        let error = self.inference(&net, "logits.eval3", cpu);
        within("eval logits after", error, tolerance.logits);
    }

    /// Holds gradients in bf16 to those of PyTorch's autocast: the mean error of the golden batch,
    /// and over several batches error and scale of each tensor.
    fn check_bf16(&self, cpu: &Cpu, batches: &Batches, autocast: &Autocast) {
        let what = format!("{} {} bf16 gradients", self.name, cpu.isa());
        let mut net = self.network();
        let mut gradients = vec![f32::NAN; net.values().len()];
        let mut plan = self.train_plan(Dtype::Bf16, cpu);
        step(&mut plan, &mut net, &mut gradients, self.input(), &self.labels, 0.0);
        let errors = distances(&net.export(&gradients), &self.under("grad."));
        let mean = errors.iter().sum::<f64>() / errors.len() as f64;
        within(&what, mean, AUTOCAST * autocast.golden);

        batches.hold(&what, cpu, |name| {
            let theirs = &autocast.tensors[name];
            let [least, most] = SCALE.map(|times| times * theirs.scale);
            let error = TENSOR * theirs.error.max(FLOOR);
            Limits { error, scale: least..=most }
        });
    }

    /// Fails unless the convolutions of fp32 training take these algorithms; with
    /// [`Algorithms::Direct`] every product must be taken.
    fn check_algorithms(&self, cpu: &Cpu, fastest: &[&str]) {
        let direct = ["GEMM", "direct"];
        let mut want = fastest.to_vec();
        if cpu.algorithms() == Algorithms::Direct {
            want.retain(|name| direct.contains(name));
        }
        let summary = self.train_plan(Dtype::Fp32, cpu).summary();
        let taken = algorithms_of(&summary, Pass::Forward);
        assert_eq!(taken, want, "{} {} {:?}", self.name, cpu.isa(), cpu.algorithms());
    }
}

fn within(what: &str, error: f64, tolerance: f64) {
    println!("{what}: {error:.2e}");
    assert!(error < tolerance, "{what}: {error:.2e}, allowed {tolerance:.2e}");
}

/// `autocast.py`'s figures of a network.
#[derive(Deserialize)]
struct Autocast {
    /// The mean over tensors of the error of the golden batch's gradients.
    golden: f64,
    /// Of each tensor's gradients of several batches of noise.
    tensors: HashMap<String, Tensors>,
}

#[derive(Deserialize)]
struct Tensors {
    error: f64,
    scale: f64,
}

impl Autocast {
    fn read(case: &str) -> Self {
        let text = std::fs::read_to_string(folder().join("autocast.json")).unwrap();
        let mut all: HashMap<String, Autocast> = serde_json::from_str(&text).unwrap();
        all.remove(case).unwrap()
    }
}

fn check(name: &'static str, arch: &str, width: usize, fastest: &[&str]) {
    let (case, autocast) = (Case::new(name, arch, width), Autocast::read(name));
    let batches = Batches::new(case.network(), case.size, BATCHES);
    // Which operations there are does not depend on the instruction set.
    let cpu = Cpu::new(2).unwrap();
    case.check_program(&cpu.clone().with_algorithms(Algorithms::Direct));
    case.check_program(&cpu);
    for isa in Isa::to_test() {
        let cpu = Cpu::with_isa(2, isa).unwrap();
        let direct = cpu.clone().with_algorithms(Algorithms::Direct);
        case.check_algorithms(&direct, fastest);
        case.check_fp32(&direct, &DIRECT);
        case.check_algorithms(&cpu, fastest);
        case.check_fp32(&cpu, &WINOGRAD);
        case.check_bf16(&cpu, &batches, &autocast);
    }
}

/// The variants, whose operations are those of the others.
fn check_variant(name: &'static str, arch: &str, width: usize) {
    let case = Case::new(name, arch, width);
    let cpu = Cpu::new(2).unwrap();
    case.check_program(&cpu.clone().with_algorithms(Algorithms::Direct));
    case.check_program(&cpu);
    for isa in Isa::to_test() {
        let cpu = Cpu::with_isa(2, isa).unwrap();
        case.check_fp32(&cpu.clone().with_algorithms(Algorithms::Direct), &DIRECT);
        case.check_fp32(&cpu, &WINOGRAD);
    }
}

#[test]
fn groups() {
    check_variant("resnext26_4x32d-w4", "resnext26_4x32d", 4);
}

#[test]
fn wide_bottlenecks() {
    check_variant("wide_resnet26_2-w4", "wide_resnet26_2", 4);
}

#[test]
fn deep_stem_and_pooled_shortcuts() {
    check_variant("resnet26d-w4", "resnet26d", 4);
}

#[test]
fn shortcuts_of_options_b_and_c() {
    check_variant("resnet14-b-w8", "resnet14-b", 8);
    check_variant("resnet14-c-w8", "resnet14-c", 8);
}

#[test]
fn preactivation() {
    check_variant("preresnet18-cifar-w4", "preresnet18-cifar", 4);
    check_variant("preresnet26-cifar-w4", "preresnet26-cifar", 4);
}

#[test]
fn made_for_speed() {
    check_variant("resnet11-sprint-w4", "resnet11-sprint+relu", 4);
    check_variant("plain8-sprint-w4", "plain8-sprint+relu", 4);
}

#[test]
fn smooth_activations() {
    check_variant("resnet8-gelu-w8", "resnet8+gelu", 8);
    check_variant("resnet8-sprint-silu-w4", "resnet8-sprint", 4);
}

#[test]
fn cifar_resnet18() {
    check("cifar-resnet18-w8", "resnet18-cifar", 8, &["F(4x4,3x3)", "GEMM", "direct"]);
}

#[test]
fn cifar_plain18() {
    check("cifar-plain18-w8", "plain18-cifar", 8, &["F(4x4,3x3)", "direct"]);
}

#[test]
fn paper_resnet20() {
    check("paper-resnet20", "resnet20", 16, &["F(4x4,3x3)", "F(4x4,3x3)/2", "direct"]);
}

#[test]
fn paper_plain14() {
    check("paper-plain14", "plain14", 16, &["F(4x4,3x3)", "F(4x4,3x3)/2", "direct"]);
}

#[test]
fn imagenet_resnet18() {
    check("imagenet-resnet18-narrow", "resnet18", 8, &["F(4x4,3x3)", "GEMM", "direct"]);
}

#[test]
fn imagenet_resnet50() {
    check(
        "imagenet-resnet50-narrow",
        "resnet50",
        8,
        &["F(4x4,3x3)", "F(4x4,3x3)/2", "GEMM", "direct"],
    );
}

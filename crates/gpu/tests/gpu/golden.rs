//! Parity with PyTorch: logits, gradients and three training steps of small networks. The files have PyTorch's results
//! in f64; see `crates/resnet/tests/golden/README.md`. Tolerances are those of the processor's direct kernels. A few
//! inputs of ReLUs are so close to zero that rounding flips them, after a step or two: such a step's gradients differ
//! from those of the f64 interpreter at the same weights by far more than rounding, and what follows is then held to the
//! processor's tolerances for that.

use resnet_formats::NamedTensors;
use resnet_gpu::{Gpu, GpuEngine, GpuEvalPlan, Rule, Settings, UpdateRange};
use resnet_kernels::Dtype;
use resnet_network::Network;
use resnet_program::{
    Input, MicroBatch, Targets,
    interpret::Interpreter,
    lower::{Lowering, training},
};

use self::case::{Case, distance, distances, folder};
use crate::device;

#[path = "../../../resnet/tests/golden/case.rs"]
mod case;

impl Case {
    fn engine(&self, gpu: &Gpu, net: &Network, dtype: Dtype) -> GpuEngine {
        let [batch, height, width] = self.size;
        let settings = Settings {
            dtype,
            batch,
            eval_batch: batch,
            height,
            width,
            buffers: 1,
            muon: false,
            norm_momentum: 0.1,
            average: false,
        };
        GpuEngine::new(gpu, net, &settings).unwrap()
    }

    fn step(&self, engine: &mut GpuEngine) -> f64 {
        let targets = Targets::labels(&self.labels, 0.0);
        let input = Input::Nchw(self.values("input"));
        engine.backward(MicroBatch::whole(input, targets), false).unwrap();
        engine.result().unwrap().loss
    }

    fn within(&self, what: &str, error: f64, most: f64) {
        println!("{} {what}: {error:.2e}", self.name);
        assert!(error < most, "{} {what}: {error:.2e}, allowed {most:.2e}", self.name);
    }

    fn check(&self, gpu: &Gpu) {
        let mut net = self.network();
        let [batch, height, width] = self.size;
        let inference = |net: &Network, logits: &str| {
            let dtype = Dtype::Fp32;
            let size = [height, width];
            let mut plan = GpuEvalPlan::new(gpu, &self.graph, dtype, batch, size, &[]).unwrap();
            plan.load(net).unwrap();
            let input = Input::Nchw(self.values("input"));
            distance(plan.forward(input, batch).unwrap(), self.values(logits))
        };
        self.within("eval logits before", inference(&net, "logits.eval"), 1e-5);
        let mut engine = self.engine(gpu, &net, Dtype::Fp32);
        let len = net.values().len();
        let lowering = Lowering {
            graph: &self.graph,
            dtype: Dtype::Fp32,
            batch,
            height,
            width,
            frozen: &[],
            eval: &[],
        };
        let program = training(lowering, &mut |_| false).unwrap();
        let mut flipped = false;
        for (step, want) in (1..).zip(self.values("loss.steps")) {
            let mut truth = Interpreter::new(&program);
            let targets = Targets::labels(&self.labels, 0.0);
            truth.run(&net, self.values("input"), [batch; 2], Some(targets));
            let truth: Vec<f32> = truth.d_parameters.iter().map(|&x| x as f32).collect();
            let loss = self.step(&mut engine);
            self.within("loss", (loss - f64::from(*want)).abs() / f64::from(*want), 1e-5);
            let gradients = net.export(&engine.gradients().unwrap());
            if step == 1 {
                self.within("gradients", worst(&gradients, &self.under("grad.")), 1e-4);
            }
            let error = worst(&gradients, &net.export(&truth));
            flipped |= error > 1e-4;
            self.within("gradients of a step", error, 6e-2);
            let range = UpdateRange { range: 0..len, lr: 0.002, weight_decay: 2e-4, step };
            engine.update(Rule::Sgd { momentum: 0.9, nesterov: false }, &[range]).unwrap();
            engine.download(&mut net, &mut [vec![0.0; len]], None).unwrap();
        }
        let [state, logits] = if flipped { [1e-3, 1e-4] } else { [1e-4, 1e-5] };
        self.within("state", worst(&net.state_dict(), &self.under("after3.")), state);
        self.within("eval logits after", inference(&net, "logits.eval3"), logits);
    }

    /// Holds gradients in bf16 to those of PyTorch's autocast, by the mean error over all tensors.
    fn check_bf16(&self, gpu: &Gpu) {
        let text = std::fs::read_to_string(folder().join("autocast.json")).unwrap();
        let all: serde_json::Value = serde_json::from_str(&text).unwrap();
        let theirs = all[self.name]["golden"].as_f64().expect("a figure");
        let net = self.network();
        let mut engine = self.engine(gpu, &net, Dtype::Bf16);
        self.step(&mut engine);
        let gradients = net.export(&engine.gradients().unwrap());
        let errors = distances(&gradients, &self.under("grad."));
        let mean = errors.iter().sum::<f64>() / errors.len() as f64;
        self.within("bf16 gradients", mean, 1.1 * theirs);
    }
}

fn worst(got: &NamedTensors, want: &NamedTensors) -> f64 {
    distances(got, want).into_iter().fold(0.0, f64::max)
}

#[test]
fn networks_equal_pytorch() {
    let Some(gpu) = device() else { return };
    for (name, arch, width) in [
        ("cifar-resnet18-w8", "resnet18-cifar", 8),
        ("cifar-plain18-w8", "plain18-cifar", 8),
        ("paper-resnet20", "resnet20", 16),
        ("paper-plain14", "plain14", 16),
        ("imagenet-resnet18-narrow", "resnet18", 8),
        ("imagenet-resnet50-narrow", "resnet50", 8),
    ] {
        let case = Case::new(name, arch, width);
        case.check(&gpu);
        case.check_bf16(&gpu);
    }
}

/// Operations that the others lack: groups, pre-activation, smooth activations, global maxima.
#[test]
fn variants_equal_pytorch() {
    let Some(gpu) = device() else { return };
    for (name, arch, width) in [
        ("resnext26_4x32d-w4", "resnext26_4x32d", 4),
        ("preresnet26-cifar-w4", "preresnet26-cifar", 4),
        ("resnet8-sprint-silu-w4", "resnet8-sprint", 4),
    ] {
        Case::new(name, arch, width).check(&gpu);
    }
}

//! Models from PyTorch's files, through every file format and back to PyTorch.
//!
//! The golden files are a small network as PyTorch saved it in four layouts. The safetensors file
//! of the same name has its tensors and logits. Where `RESNET_PYTHON` (or else `python3`) has no
//! torch, tests that need it say so and are skipped.

use std::path::{Path, PathBuf};

use crate::common::{assert_same, distance, logits, python, run, step};
use resnet::{
    Cpu, Dtype, Network,
    data::Normalisation,
    engine::{Input, TrainPlan},
    model_file::{FileFormat, Model, SaveFormat},
    optim::{Optimizer, OptimizerConfig, SgdConfig},
};
use resnet_formats::{Data, NamedTensors, safetensors, torch};
use resnet_kernels::Algorithms;
use serde_json::Value;

/// Largest differences, relative to a tensor's largest value.
const LOGITS: f32 = 1e-5;
const STATE: f32 = 1e-4;

const CIFAR: &str = "cifar-resnet18-w8";
const TORCH_FILES: [(&str, torch::TorchLayout); 4] = [
    ("state_dict.pt", torch::TorchLayout::StateDict),
    ("state_dict.legacy.pt", torch::TorchLayout::StateDict),
    ("model.pt", torch::TorchLayout::Module),
    ("all.tar", torch::TorchLayout::Checkpoint),
];
/// Files of the forms that keep every bit.
const LOSSLESS: [&str; 4] = ["x.safetensors", "x.pt", "x.tar", "x.onnx"];

/// Modules that `files.py` needs.
const MODULES: &str = "torch, torchvision, safetensors";

fn tests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

fn golden_file(case: &str, suffix: &str) -> PathBuf {
    tests().join(format!("golden/{case}.{suffix}"))
}

fn pretrained() -> PathBuf {
    tests().join("pretrained/resnet20-12fca82f.th")
}

/// What PyTorch computed.
struct Golden(NamedTensors);

impl Golden {
    fn read(case: &str) -> Self {
        Golden(safetensors::read(&golden_file(case, "safetensors")).unwrap().0)
    }

    fn values(&self, name: &str) -> &[f32] {
        self.0.iter().find(|(n, _)| n == name).unwrap().1.as_f32().unwrap()
    }

    fn labels(&self) -> Vec<u32> {
        let (_, target) = self.0.iter().find(|(name, _)| name == "target").unwrap();
        let Data::I64(labels) = &target.data else { panic!("integer labels") };
        labels.iter().map(|&label| label.try_into().unwrap()).collect()
    }

    /// The state after three steps, in the order of a model.
    fn state(&self, like: &Network) -> NamedTensors {
        let tensor = |name: &str| {
            let stored = format!("after3.{name}");
            self.0.iter().find(|(n, _)| *n == stored).unwrap().1.clone()
        };
        let names = like.state_dict().into_iter().map(|(name, _)| name);
        names.map(|name| (name.clone(), tensor(&name))).collect()
    }
}

/// The batch of the golden CIFAR nets.
const BATCH: [usize; 3] = [16, 32, 32];

/// Exact enough for a tolerance of 1e-5.
fn direct() -> Cpu {
    Cpu::new(2).unwrap().with_algorithms(Algorithms::Direct)
}

fn load(path: &Path) -> Model {
    Model::load(path, None).unwrap()
}

/// Writes a model to a file, in the format of its suffix, and reads it again.
fn through(model: &Model, path: &Path) -> Model {
    model.save(path, SaveFormat::from_suffix(path).unwrap()).unwrap();
    load(path)
}

/// Whether a file of this name says which architecture it holds.
fn names_arch(file: &str) -> bool {
    !file.ends_with(".pt")
}

fn assert_same_net(got: &Model, want: &Model, what: &str) {
    assert_eq!(got.arch, want.arch, "{what}");
    assert_same(&got.network.state_dict(), &want.network.state_dict(), what);
}

#[test]
fn pytorchs_files_are_read() {
    let golden = Golden::read(CIFAR);
    for (suffix, layout) in TORCH_FILES {
        let path = golden_file(CIFAR, suffix);
        let model = load(&path);
        assert_eq!(
            (model.arch.to_string().as_str(), model.format),
            ("resnet18-cifar", FileFormat::Torch(layout))
        );
        let note = match layout {
            torch::TorchLayout::Module => "inferred resnet18-cifar from its modules",
            _ => {
                "inferred resnet18-cifar from the names and shapes of its tensors; --arch chooses \
                 another with the same tensors: resnet18-cifar+maxpool (with a max pool)"
            }
        };
        assert_eq!(model.notes, [format!("{}: {note}", path.display())]);
        assert_same(&model.network.state_dict(), &golden.state(&model.network), suffix);

        let found = logits(&direct(), &model.network, BATCH, golden.values("input"));
        let error = distance(&found, golden.values("logits.eval3"));
        println!("{suffix}: logits {error:.1e}");
        assert!(error < LOGITS, "{suffix}: {error:.1e}");

        match (&model.optimizer, layout) {
            (Ok(optimizer), torch::TorchLayout::Checkpoint) => {
                assert_eq!((optimizer.lr, optimizer.dampening), (0.002, 0.0));
                let config = SgdConfig {
                    momentum: 0.9,
                    weight_decay: 2e-4,
                    nesterov: false,
                    decay_norm_and_bias: true,
                    ..SgdConfig::default()
                };
                assert_eq!(optimizer.config, config.into());
                assert!(optimizer.of_network(&model.network).is_ok());
                assert!(
                    optimizer.buffers[0].iter().all(|(_, t)| t
                        .as_f32()
                        .unwrap()
                        .iter()
                        .any(|&x| x != 0.0))
                );
            }
            (Err(why), _) => assert!(layout != torch::TorchLayout::Checkpoint, "{suffix}: {why}"),
            (Ok(_), _) => panic!("{suffix} has no optimizer"),
        }
    }
}

#[test]
fn every_format_is_bit_exact() {
    let dir = tempfile::tempdir().unwrap();
    for (suffix, _) in TORCH_FILES {
        let model = load(&golden_file(CIFAR, suffix));
        for (index, first) in LOSSLESS.iter().enumerate() {
            let once = through(&model, &dir.path().join(format!("{index}-{first}")));
            assert_same_net(&once, &model, &format!("{suffix} {first}"));
            assert_eq!(once.notes.is_empty(), names_arch(first), "{first}: {:?}", once.notes);
            for second in LOSSLESS {
                let twice = through(&once, &dir.path().join(second));
                assert_same_net(&twice, &model, &format!("{suffix} {first} {second}"));
            }
        }
    }
}

#[test]
fn checkpoints_keep_the_optimizer() {
    let dir = tempfile::tempdir().unwrap();
    let model = load(&golden_file(CIFAR, "all.tar"));
    let want = model.optimizer.as_ref().unwrap();
    let kept = through(&model, &dir.path().join("x.tar")).optimizer.unwrap();
    assert_same(&kept.buffers[0], &want.buffers[0], "momentum");
    assert_eq!(kept, *want);
    // No other form has a place for it.
    for file in LOSSLESS.into_iter().filter(|file| !file.ends_with("tar")) {
        let other = through(&model, &dir.path().join(file));
        assert_eq!(other.optimizer.unwrap_err(), "it holds no optimizer", "{file}");
    }
}

#[test]
fn the_architecture_of_another_programs_file_is_inferred() {
    let path = pretrained();
    let model = load(&path);
    assert_eq!(model.arch.to_string(), "resnet20");
    assert_eq!(model.format, FileFormat::Torch(torch::TorchLayout::Checkpoint));
    assert_eq!(model.optimizer.unwrap_err(), "it holds no optimizer");
    assert_eq!((model.classes, model.normalisation, model.epochs), (None, None, None));
    let note = "inferred resnet20 from the names and shapes of its tensors; --arch chooses another \
                with the same tensors: plain20 (no shortcuts)";
    assert_eq!(model.notes, [format!("{}: {note}", path.display())]);

    let asked = |arch: &str| Model::load(&path, arch.parse().ok());
    for arch in ["resnet20", "plain20"] {
        let model = asked(arch).unwrap();
        assert_eq!((model.arch.to_string().as_str(), model.notes.len()), (arch, 0));
    }
    let error = asked("resnet32").unwrap_err().to_string();
    assert!(
        error.contains("is not a resnet32: ") && error.contains("those of a resnet20"),
        "{error}"
    );
}

#[test]
fn a_foreign_file_goes_through_every_format() {
    let dir = tempfile::tempdir().unwrap();
    let place = |file: &str| dir.path().join(file);
    let normalisation = Normalisation::imagenet();
    let mut model = load(&pretrained());
    model.normalisation = Some(normalisation.clone());
    for file in LOSSLESS {
        let found = through(&model, &place(file));
        assert_same_net(&found, &model, file);
        assert_eq!(found.notes.is_empty(), names_arch(file), "{file}: {:?}", found.notes);
        let kept = names_arch(file).then(|| normalisation.clone());
        assert_eq!(found.normalisation, kept, "{file}");
        // A file that names its architecture is not loaded as the one of the same tensors.
        let ambiguous = Model::load(&place(file), "plain20".parse().ok());
        assert_eq!(ambiguous.is_err(), names_arch(file), "{file}");
        let expected = "is a resnet20, not a plain20";
        if let Err(error) = ambiguous {
            assert!(error.to_string().contains(expected), "{file}: {error}");
        }
    }
    let plain = Model::load(&pretrained(), "plain20".parse().ok()).unwrap();
    for file in LOSSLESS.into_iter().filter(|file| names_arch(file)) {
        assert_eq!(through(&plain, &place(file)).arch, plain.arch, "{file}");
    }

    let folded = place("folded.onnx");
    model.save(&folded, SaveFormat::Onnx { fold: true }).unwrap();
    let folded = load(&folded);
    assert_eq!((folded.arch, folded.notes.len()), (model.arch, 0));
    let input = Golden::read(CIFAR);
    let [found, want] = [&folded, &model]
        .map(|model| logits(&direct(), &model.network, BATCH, input.values("input")));
    let error = distance(&found, &want);
    assert!(error < LOGITS, "folded: {error:.1e}");
}

/// Runs a command of `files.py` on a file; gives the tensors and the JSON that it writes.
fn torch_says(command: &str, case: &str, file: &Path) -> Option<(NamedTensors, Value)> {
    let python = python(MODULES)?;
    let dir = tempfile::tempdir().unwrap();
    let (out, batch) = (dir.path().join("out.safetensors"), golden_file(case, "safetensors"));
    let args = [command.as_ref(), case.as_ref(), file, &batch, &out];
    let said = run(python, "files.py", &args, &Value::Null);
    Some((safetensors::read(&out).unwrap().0, said))
}

#[test]
fn pytorch_computes_our_logits() {
    let dir = tempfile::tempdir().unwrap();
    let place = |file: &str| dir.path().join(file);
    let model = load(&golden_file(CIFAR, "state_dict.pt"));
    model.save(&place("cifar.pt"), SaveFormat::StateDict).unwrap();
    let foreign = load(&pretrained());
    foreign.save(&place("ours.pt"), SaveFormat::StateDict).unwrap();
    for (case, file, model) in [
        (CIFAR, place("cifar.pt"), &model),
        ("paper-resnet20", place("ours.pt"), &foreign),
        ("paper-resnet20", pretrained(), &foreign),
    ] {
        let Some((tensors, _)) = torch_says("logits", case, &file) else { return };
        let golden = Golden::read(case);
        let found = logits(&direct(), &model.network, BATCH, golden.values("input"));
        let error = distance(&found, tensors[0].1.as_f32().unwrap());
        println!("{case}: logits of {} {error:.1e}", file.display());
        assert!(error < LOGITS, "{case}: {error:.1e}");
    }
}

/// The state after three further steps on the golden batch.
fn three_steps(model: &Model, golden: &Golden) -> NamedTensors {
    let (cpu, mut net) = (direct(), model.network.clone());
    let optimizer = model.optimizer.as_ref().unwrap();
    let mut sgd = Optimizer::new(&net, optimizer.config);
    sgd.buffers = optimizer.of_network(&net).unwrap();
    let [batch, height, width] = BATCH;
    let mut plan = TrainPlan::new(net.graph(), Dtype::Fp32, batch, height, width, &cpu).unwrap();
    let mut gradients = vec![0.0; net.values().len()];
    for _ in 0..3 {
        let input = Input::Nchw(golden.values("input"));
        step(&mut plan, &mut net, &mut gradients, input, &golden.labels(), 0.0);
        sgd.step(&cpu, &mut net, &gradients, optimizer.lr as f32);
    }
    net.state_dict()
}

/// The distance of the tensor that is farthest off; counts must be equal.
fn farthest(found: &NamedTensors, want: &NamedTensors) -> f32 {
    assert_eq!(found.len(), want.len());
    let mut worst = 0.0f32;
    for (name, found) in found {
        let (_, want) = want.iter().find(|(n, _)| n == name).unwrap();
        match (&found.data, &want.data) {
            (Data::F32(found), Data::F32(want)) => worst = worst.max(distance(found, want)),
            (found, want) => assert_eq!(found, want, "{name}"),
        }
    }
    worst
}

#[test]
fn pytorch_trains_on_as_we_do() {
    let dir = tempfile::tempdir().unwrap();
    let golden = Golden::read(CIFAR);
    let theirs = golden_file(CIFAR, "all.tar");
    let mut model = load(&theirs);
    model.epochs = Some(3);
    model.classes = Some(CLASSES.map(str::to_owned).into());
    let ours = dir.path().join("ours.tar");
    model.save(&ours, SaveFormat::Checkpoint).unwrap();
    // Two groups of parameters, and Nesterov's momentum. With a decay of 0.05, rounding decides
    // on which side of its ReLU's edge a unit falls.
    let mut grouped = model.clone();
    let config = &mut grouped.optimizer.as_mut().unwrap().config;
    let OptimizerConfig::Sgd(sgd) = config else { panic!("the file has SGD") };
    *sgd = SgdConfig { nesterov: true, decay_norm_and_bias: false, weight_decay: 0.1, ..*sgd };
    let groups = dir.path().join("groups.tar");
    grouped.save(&groups, SaveFormat::Checkpoint).unwrap();
    for (file, model) in [(&theirs, &model), (&ours, &model), (&groups, &grouped)] {
        let Some((want, said)) = torch_says("steps", CIFAR, file) else { return };
        let name = file.file_name().unwrap().display();
        let found = three_steps(model, &golden);
        let worst = farthest(&found, &want);
        println!("{name}: state {worst:.1e}");
        assert!(worst < STATE, "{name}: {worst:.1e}");
        if *file != theirs {
            assert_eq!(said["epoch"], 3);
            assert_eq!(said["arch"], "resnet18-cifar");
            assert_eq!(said["classes"], serde_json::json!(CLASSES));
        }
    }
    // Momentum, what decays, and how, matters to these steps.
    let mut forgetful = model.clone();
    let momentum = &mut forgetful.optimizer.as_mut().unwrap().buffers[0];
    momentum
        .iter_mut()
        .for_each(|(_, buffer)| buffer.data = Data::F32(vec![0.0; buffer.data.len()]));
    let want = three_steps(&model, &golden);
    for other in [&forgetful, &grouped] {
        let far = farthest(&three_steps(other, &golden), &want);
        println!("otherwise: state {far:.1e}");
        assert!(far > 10.0 * STATE, "{far:.1e}");
    }
}

const CLASSES: [&str; 10] = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"];

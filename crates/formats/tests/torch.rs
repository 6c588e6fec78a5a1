//! Files from PyTorch, and our files in PyTorch. Where the interpreter (the environment
//! variable RESNET_PYTHON, or `python3`) has no torch, the tests say so and are skipped. With
//! `--include-ignored`, as in `scripts/check-pytorch`, they fail.

use std::{collections::HashMap, path::Path, process::Command};

use resnet_formats::{
    Data, FormatErrorKind, NamedTensors, Tensor,
    torch::{self, Checkpoint, OptimizerRule, Scalar, TorchLayout},
};
use serde::Deserialize;

/// The interpreter, with what it is to run; none if it has no torch.
fn python() -> Option<Command> {
    let python = std::env::var_os("RESNET_PYTHON").unwrap_or_else(|| "python3".into());
    let has_torch = Command::new(&python).args(["-c", "import torch"]).output();
    if !has_torch.is_ok_and(|output| output.status.success()) {
        let missing = format!("{} has no torch; see RESNET_PYTHON", python.display());
        let asked = std::env::args().any(|arg| arg == "--include-ignored");
        assert!(!asked, "{missing}");
        eprintln!("skipped: {missing}");
        return None;
    }
    let mut command = Command::new(python);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/torch_files.py"));
    Some(command)
}

#[derive(Deserialize)]
struct Expected {
    shape: Vec<usize>,
    values: Vec<String>,
}

#[track_caller]
fn assert_same(model: &NamedTensors, expected: &str, what: &str) {
    let mut expected: HashMap<String, Expected> = serde_json::from_str(expected).unwrap();
    for (name, tensor) in model {
        let expected = expected.remove(name).unwrap_or_else(|| panic!("{what}: {name}"));
        assert_eq!(tensor.shape, expected.shape, "{what}: {name}");
        let expected: Vec<_> =
            expected.values.iter().map(|value| value.parse::<f64>().unwrap()).collect();
        match &tensor.data {
            Data::F32(values) => {
                let rounded: Vec<_> = expected.iter().map(|&value| value as f32).collect();
                assert_eq!(*values, rounded, "{what}: {name}");
            }
            Data::I64(values) => {
                let integers: Vec<_> = expected.iter().map(|&value| value as i64).collect();
                assert_eq!(*values, integers, "{what}: {name}");
            }
        }
    }
    assert!(expected.is_empty(), "{what}: {:?} missing", expected.keys());
}

#[test]
fn files_of_pytorch_are_read() {
    let Some(mut python) = python() else { return };
    let folder = tempfile::tempdir().unwrap();
    assert!(python.arg("make").arg(folder.path()).status().unwrap().success());
    let read = |name: &str| torch::read(&folder.path().join(name));

    for suffix in ["", ".4", ".5", ".legacy"] {
        let load = |name: &str| -> Checkpoint {
            let name = format!("{name}{suffix}");
            let checkpoint = read(&format!("{name}.pt")).unwrap();
            let expected = std::fs::read_to_string(folder.path().join(format!("{name}.json")));
            assert_same(&checkpoint.model, &expected.unwrap(), &name);
            checkpoint
        };
        assert_eq!(load("views").layout, TorchLayout::StateDict);
        assert_eq!(load("types").layout, TorchLayout::StateDict);
        assert_eq!(load("unsigned").layout, TorchLayout::StateDict);
        assert_eq!(load("parameters").layout, TorchLayout::StateDict);
        assert_eq!(load("module").layout, TorchLayout::Module);
        assert_eq!(load("parallel").layout, TorchLayout::Module);
        let checkpoint = load("module_in_dict");
        assert_eq!(checkpoint.layout, TorchLayout::Checkpoint);
        let scalars = [("acc".into(), Scalar::Float(91.5)), ("epoch".into(), Scalar::Int(3))];
        assert_eq!(checkpoint.scalars, scalars);
        let checkpoint = load("state_in_dict");
        assert_eq!(checkpoint.scalars, [("best".into(), Scalar::Float(0.25))]);
        assert!(checkpoint.optimizer_note.unwrap().contains("may be Adam's"));
        let sgd = load("sgd").optimizer.unwrap();
        let rule = OptimizerRule::Sgd { momentum: 0.9, dampening: 0.0, nesterov: true };
        assert_eq!((sgd.groups[0].lr, sgd.groups[0].rule), (0.1, rule));
        assert!(sgd.state.iter().all(Vec::is_empty));
        let adamw = load("adamw").optimizer.unwrap();
        let rule = OptimizerRule::AdamW { betas: [0.9, 0.99], eps: 1e-8 };
        assert_eq!((adamw.groups[0].rule, adamw.groups[0].weight_decay), (rule, 0.01));
        let step = Tensor::f32(&[], vec![1.0]);
        assert!(adamw.state.iter().all(|state| state[2] == ("step", step.clone())));

        let error = |name: &str| read(&format!("{name}{suffix}.pt")).unwrap_err().kind;
        let shell = error("shell");
        assert!(matches!(&shell, FormatErrorKind::Call(name) if name == "posix.system"), "{shell}");
        let complex = error("complex");
        assert!(
            matches!(&complex, FormatErrorKind::Dtype { tensor, .. } if tensor == "b"),
            "{complex:?}"
        );
        assert!(matches!(error("two"), FormatErrorKind::SeveralModels(_)));
    }
    let script = read("script.jit").unwrap_err().to_string();
    assert!(script.contains("TorchScript"), "{script}");
    let plain = read("plain.pickle").unwrap_err().to_string();
    assert!(plain.contains("not of PyTorch"), "{plain}");
}

#[test]
fn pytorch_reads_ours() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../resnet/tests/golden");
    let folder = tempfile::tempdir().unwrap();
    let ours = folder.path().join("ours.pt");
    let same = |theirs: &Path| {
        let Some(mut python) = python() else { return };
        let compared = python.arg("compare").args([&ours, theirs]).status().unwrap();
        assert!(compared.success());
    };

    let theirs = golden.join("cifar-resnet18-w8.state_dict.pt");
    torch::write_state_dict(&ours, &torch::read(&theirs).unwrap().model).unwrap();
    same(&theirs);

    let theirs = golden.join("cifar-resnet18-w8.all.tar");
    let checkpoint = torch::read(&theirs).unwrap();
    let scalars = [
        ("epoch".to_owned(), Scalar::Int(3)),
        ("classes".to_owned(), Scalar::TextList(vec!["cat".into(), "dög".into()])),
    ];
    let optimizer = checkpoint.optimizer.unwrap();
    torch::write_checkpoint(&ours, &checkpoint.model, Some(&optimizer), &scalars).unwrap();
    same(&theirs);
}

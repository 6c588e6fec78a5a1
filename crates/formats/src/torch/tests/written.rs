//! Files that are written here.

use super::*;

fn bytes(write: impl FnOnce(&std::path::Path) -> std::io::Result<()>) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file.pt");
    write(&path).unwrap();
    std::fs::read(path).unwrap()
}

fn model() -> NamedTensors {
    vec![
        ("conv1.weight".into(), Tensor::f32(&[2, 1, 1, 1], vec![f32::MIN_POSITIVE, -0.0])),
        ("bn1.num_batches_tracked".into(), Tensor::scalar_i64(-(1 << 40))),
        ("ü.empty".into(), Tensor::f32(&[0, 70_000], vec![])),
    ]
}

fn sgd() -> Optimizer {
    let rule = OptimizerRule::Sgd { momentum: 0.9, dampening: 0.5, nesterov: true };
    let group = OptimizerGroup { lr: 0.1, weight_decay: 1e-4, rule, parameters: 2 };
    let plain = OptimizerRule::Sgd { momentum: 0.9, dampening: 0.5, nesterov: false };
    let second = OptimizerGroup { weight_decay: 0.0, rule: plain, parameters: 300, ..group };
    let mut state = vec![Vec::new(); 302];
    state[1] = vec![("momentum_buffer", Tensor::f32(&[2], vec![1.5, 2.5]))];
    state[301] = vec![("momentum_buffer", Tensor::f32(&[1], vec![3.5]))];
    Optimizer { groups: vec![group, second], state }
}

fn adamw() -> Optimizer {
    let rule = OptimizerRule::AdamW { betas: [0.9, 0.999], eps: 1e-8 };
    let group = OptimizerGroup { lr: 1e-3, weight_decay: 0.01, rule, parameters: 2 };
    let state = vec![
        ("exp_avg", Tensor::f32(&[2], vec![1.5, 2.5])),
        ("exp_avg_sq", Tensor::f32(&[2], vec![0.5, 0.25])),
        ("step", Tensor::f32(&[], vec![3.0])),
    ];
    Optimizer { groups: vec![group], state: vec![Vec::new(), state] }
}

fn scalars() -> Vec<(String, Scalar)> {
    let scalars = [
        ("epoch", Scalar::Int(1 << 33)),
        ("negative", Scalar::Int(-3)),
        ("loss", Scalar::Float(0.1)),
        ("done", Scalar::Bool(true)),
        ("failed", Scalar::Bool(false)),
        ("arch", Scalar::Text("resnet18".into())),
        ("classes", Scalar::TextList(vec!["cat".into(), "dög".into()])),
    ];
    scalars.map(|(name, scalar)| (name.to_owned(), scalar)).to_vec()
}

#[test]
fn what_is_written_is_read() {
    let checkpoint = from_bytes(&bytes(|path| write_state_dict(path, &model()))).unwrap();
    assert_eq!((checkpoint.layout, checkpoint.model), (TorchLayout::StateDict, model()));

    for optimizer in [sgd(), adamw()] {
        let write = |path: &_| write_checkpoint(path, &model(), Some(&optimizer), &scalars());
        let checkpoint = from_bytes(&bytes(write)).unwrap();
        assert_eq!(checkpoint.layout, TorchLayout::Checkpoint);
        assert_eq!(checkpoint.model, model());
        assert_eq!(checkpoint.optimizer, Some(optimizer.clone()));
        assert_eq!(checkpoint.scalars, scalars());
        assert_eq!(bytes(write), bytes(write));
    }
}

#[test]
fn other_forms_survive_a_round_trip() {
    let original = golden("all.tar");
    let optimizer = original.optimizer.unwrap();
    let write = |path: &_| write_checkpoint(path, &original.model, Some(&optimizer), &[]);
    let read = from_bytes(&bytes(write)).unwrap();
    assert_eq!((read.model, read.optimizer), (original.model, Some(optimizer)));
}

#[test]
fn names_that_are_taken_are_errors() {
    let scalars = [("model".to_owned(), Scalar::Int(1))];
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file.pt");
    let error = write_checkpoint(&path, &model(), Some(&sgd()), &scalars).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    assert!(!path.exists());
}

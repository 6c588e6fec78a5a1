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

fn optimizer() -> Sgd {
    let group = SgdGroup {
        lr: 0.1,
        momentum: 0.9,
        dampening: 0.5,
        weight_decay: 1e-4,
        nesterov: true,
        parameters: 2,
    };
    let second = SgdGroup { weight_decay: 0.0, nesterov: false, parameters: 300, ..group };
    let mut momentum = vec![None; 302];
    momentum[1] = Some(Tensor::f32(&[2], vec![1.5, 2.5]));
    momentum[301] = Some(Tensor::f32(&[1], vec![3.5]));
    Sgd { groups: vec![group, second], momentum }
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

    let write = |path: &_| write_checkpoint(path, &model(), Some(&optimizer()), &scalars());
    let checkpoint = from_bytes(&bytes(write)).unwrap();
    assert_eq!(checkpoint.layout, TorchLayout::Checkpoint);
    assert_eq!(checkpoint.model, model());
    assert_eq!(checkpoint.optimizer, Some(optimizer()));
    assert_eq!(checkpoint.scalars, scalars());
    assert_eq!(bytes(write), bytes(write));
}

#[test]
fn other_forms_survive_a_round_trip() {
    let original = golden("all.tar");
    let sgd = original.optimizer.unwrap();
    let write = |path: &_| write_checkpoint(path, &original.model, Some(&sgd), &[]);
    let read = from_bytes(&bytes(write)).unwrap();
    assert_eq!((read.model, read.optimizer), (original.model, Some(sgd)));
}

#[test]
fn names_that_are_taken_are_errors() {
    let scalars = [("model".to_owned(), Scalar::Int(1))];
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file.pt");
    let error = write_checkpoint(&path, &model(), Some(&optimizer()), &scalars).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    assert!(!path.exists());
}

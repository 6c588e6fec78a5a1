//! Files as other programs write them, and hostile ones.

use std::path::PathBuf;

use super::*;
use crate::{Data, NamedTensors, Tensor};

mod build;
mod choice;
mod dtypes;
mod hostile;
mod written;

fn of_resnet(path: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "../resnet/tests", path].iter().collect()
}

fn golden(suffix: &str) -> Checkpoint {
    read(&of_resnet(&format!("golden/cifar-resnet18-w8.{suffix}"))).unwrap()
}

/// The state dict after three steps, as the golden file has it; sorted by name.
fn expected() -> NamedTensors {
    let path = of_resnet("golden/cifar-resnet18-w8.safetensors");
    let (tensors, _) = crate::safetensors::read(&path).unwrap();
    let after = |(name, tensor): (String, Tensor)| {
        let name = name.strip_prefix("after3.")?.to_owned();
        Some((name, tensor))
    };
    sorted(tensors.into_iter().filter_map(after).collect())
}

fn sorted(mut tensors: NamedTensors) -> NamedTensors {
    tensors.sort_by(|(a, _), (b, _)| a.cmp(b));
    tensors
}

#[test]
fn every_form_holds_the_same() {
    let forms = [
        ("state_dict.pt", TorchLayout::StateDict),
        ("state_dict.legacy.pt", TorchLayout::StateDict),
        ("model.pt", TorchLayout::Module),
        ("all.tar", TorchLayout::Checkpoint),
    ];
    let expected = expected();
    assert_eq!(expected.len(), 122);
    for (suffix, layout) in forms {
        let checkpoint = golden(suffix);
        assert_eq!(checkpoint.layout, layout);
        let names: Vec<_> = checkpoint.model.iter().take(3).map(|(name, _)| &name[..]).collect();
        assert_eq!(names, ["conv1.weight", "bn1.weight", "bn1.bias"], "{suffix}");
        assert_eq!(sorted(checkpoint.model), expected, "{suffix}");
        assert_eq!(checkpoint.scalars, []);
    }
}

#[test]
fn the_optimizer_is_read() {
    let checkpoint = golden("all.tar");
    let sgd = checkpoint.optimizer.unwrap();
    let [group] = &sgd.groups[..] else { panic!("one group") };
    let rule = OptimizerRule::Sgd { momentum: 0.9, dampening: 0.0, nesterov: false };
    let expected = OptimizerGroup { lr: 0.002, weight_decay: 2e-4, rule, parameters: 62 };
    assert_eq!(*group, expected);
    // A buffer has the shape of its parameter.
    let is_buffer = |name: &str| name.contains("running_") || name.ends_with("_tracked");
    let parameters = checkpoint.model.iter().filter(|(name, _)| !is_buffer(name));
    let shapes: Vec<_> = parameters.map(|(_, tensor)| &tensor.shape).collect();
    let buffers: Vec<_> = sgd.state.iter().map(|state| &state[0].1.shape).collect();
    assert_eq!(buffers, shapes);
}

#[test]
fn a_file_of_2018_is_read() {
    let path = of_resnet("pretrained/resnet20-12fca82f.th");
    let checkpoint = read(&path).unwrap();
    assert_eq!(checkpoint.layout, TorchLayout::Checkpoint);
    assert_eq!(checkpoint.optimizer, None);
    assert_eq!(checkpoint.scalars, [("best_prec1".into(), Scalar::Float(91.78000183105469))]);
    let (name, tensor) = &checkpoint.model[0];
    assert_eq!((&name[..], &tensor.shape[..]), ("module.conv1.weight", &[16, 3, 3, 3][..]));
    let count: usize = checkpoint.model.iter().map(|(_, tensor)| tensor.data.len()).sum();
    // 270 thousand parameters, and two statistics of 688 channels.
    assert_eq!(count, 269_722 + 2 * 688);
}

#[test]
fn other_files_are_named() {
    let error = |bytes: &[u8]| from_bytes(bytes).unwrap_err().to_string();
    assert!(error(b"").contains("empty"));
    assert!(error(b"hello").contains("neither a zip archive nor a pickle"));
    assert!(error(b"\x80\x02}.").contains("a pickle, but not of PyTorch"));
    let mut tar = vec![b'a'; 512];
    tar[257..262].copy_from_slice(b"ustar");
    assert!(error(&tar).contains("a tar archive"));
    let zip = |names: &[&str]| {
        let files: Vec<_> = names.iter().map(|name| (*name, &b"N."[..])).collect();
        build::zip(&files)
    };
    assert!(error(&zip(&["a/b.txt"])).contains("without a data.pkl"));
    assert!(error(&zip(&["a/data.pkl", "b/data.pkl"])).contains("several data.pkl"));
    assert!(error(&zip(&["a/data.pkl", "a/constants.pkl"])).contains("TorchScript"));
    let folder = tempfile::tempdir().unwrap();
    let error = read(folder.path()).unwrap_err();
    assert!(matches!(error.kind, FormatErrorKind::NotAFile));
}

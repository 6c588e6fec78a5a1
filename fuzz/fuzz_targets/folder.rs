//! Loads a folder of timm or transformers whose files are any bytes, separated by a zero byte: `config.json`
//! and, if there is a separator, `preprocessor_config.json`. Its weights are those of a narrow resnet18.
#![no_main]

use std::{fs, sync::LazyLock};

use resnet::{
    Arch, Network,
    model_file::{Model, SaveFormat},
    network::Init,
};

/// The weights.
static WEIGHTS: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let arch: Arch = "resnet18".parse().expect("a name");
    let network = Network::new(arch.graph_with(3, 2, 1), Init::PyTorch, 0);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("model.safetensors");
    Model::new(arch, network).save(&path, SaveFormat::Safetensors).expect("written");
    fs::read(path).expect("read")
});

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut parts = bytes.splitn(2, |&byte| byte == 0);
    let mut files = vec![("model.safetensors", &WEIGHTS[..])];
    files.extend(["config.json", "preprocessor_config.json"].into_iter().zip(&mut parts));
    resnet_fuzz::network(8, &files, "");
});

//! timm folders, as on the Hugging Face hub: `config.json` and `model.safetensors`, for
//! `timm.create_model("local-dir:FOLDER")`.
//!
//! timm's ResNets are torchvision's: `fc`, `downsample`, the stride in the 3x3 convolution.

use std::{fs, io, path::Path};

use resnet_formats::{
    FormatError, FormatErrorKind, atomic_write, read_text,
    safetensors::{self, Metadata},
};
use serde::{Deserialize, Serialize};

use super::{
    Contents, FileFormat, Model, ModelFileError, contents::NO_OPTIMIZER, key, metadata::json,
};
use crate::{
    models::{Arch, Family},
    preprocess::Normalisation,
};

const CONFIG: &str = "config.json";
const WEIGHTS: &str = "model.safetensors";

/// Far more than any list of class names needs.
const MAX_BYTES: u64 = 16 << 20;

/// The entries of `config.json` that are used.
#[derive(Debug, Deserialize, Serialize)]
struct Config {
    #[serde(default)]
    architecture: Option<String>,
    #[serde(default)]
    num_classes: Option<usize>,
    #[serde(default)]
    num_features: Option<usize>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    label_names: Option<Vec<String>>,
    #[serde(default)]
    pretrained_cfg: Pretrained,
}

/// The preprocessing of images.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
struct Pretrained {
    /// Channels, rows, columns.
    input_size: Option<[usize; 3]>,
    interpolation: Option<String>,
    /// Side of the crop as a fraction of the resized image's shorter side.
    crop_pct: Option<f64>,
    crop_mode: Option<String>,
    mean: Option<Vec<f32>>,
    std: Option<Vec<f32>>,
    num_classes: Option<usize>,
    first_conv: Option<String>,
    classifier: Option<String>,
}

/// Whether a folder is a timm folder.
pub(super) fn is_folder(path: &Path) -> bool {
    path.join(WEIGHTS).is_file() && path.join(CONFIG).is_file()
}

/// Reads a folder.
pub(super) fn read(folder: &Path) -> Result<Contents, ModelFileError> {
    if !is_folder(folder) {
        return Err(ModelFileError::NoCheckpoint(folder.to_owned()));
    }
    let path = folder.join(CONFIG);
    let text = read_text(&path, MAX_BYTES).map_err(|error| FormatError {
        path: path.clone(),
        kind: FormatErrorKind::from_read(error),
    })?;
    let config: Config = serde_json::from_str(&text)
        .map_err(|error| ModelFileError::TimmConfig { path, message: error.to_string() })?;
    let (tensors, _) = safetensors::read(&folder.join(WEIGHTS))?;
    Ok(Contents {
        format: FileFormat::Timm,
        tensors,
        metadata: to_metadata(&config),
        epochs: None,
        optimizer: Err(NO_OPTIMIZER.to_owned()),
        notes: Vec::new(),
    })
}

fn to_metadata(config: &Config) -> Metadata {
    let images = &config.pretrained_cfg;
    // Names with a suffix (`resnet50d`) are other networks, which the tensors show.
    let arch = config.architecture.as_ref().filter(|name| name.parse::<Arch>().is_ok());
    let side = images.input_size.map(|[_, rows, _]| rows);
    let resize = side.zip(images.crop_pct.filter(|part| (0.01..=1.0).contains(part)));
    let resize = resize.map(|(side, part)| (side as f64 / part).floor());
    let normalisation = images.mean.clone().zip(images.std.clone());
    let normalisation = normalisation.map(|(mean, std)| Normalisation { mean, std });
    let entries = [
        (key::ARCH, arch.cloned()),
        (key::CLASSES, config.label_names.as_ref().map(json)),
        (key::IMAGE_SIZE, side.map(|side| json(&side))),
        (key::RESIZE, resize.map(|side| json(&(side as usize)))),
        (key::NORMALISATION, normalisation.as_ref().map(json)),
    ];
    entries.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect()
}

/// Writes a folder, and makes it if it does not exist.
///
/// # Errors
/// [`io::ErrorKind::Unsupported`] for networks that timm does not have, or if a file cannot be
/// written.
pub(super) fn write(folder: &Path, model: &Model) -> io::Result<()> {
    let graph = model.network.graph();
    let Arch { family, depth, residual, .. } = model.arch;
    if family != Family::ImageNet || !residual || graph_width(model) != model.arch.width() {
        let net = format!(
            "timm has no {} with {} channels in its first stage: a timm folder can hold \
             resnet18, 34, 50, 101 and 152 with 64 channels; choose another format",
            model.arch,
            graph_width(model)
        );
        return Err(io::Error::new(io::ErrorKind::Unsupported, net));
    }
    let side = model.image_size;
    let part = model.resize.map_or(1.0, |resize| side as f64 / resize as f64);
    let normalisation = model.normalisation.clone();
    let bottleneck = depth >= 50;
    let config = Config {
        architecture: Some(model.arch.to_string()),
        num_classes: Some(graph.classes()),
        num_features: Some(if bottleneck { 2048 } else { 512 }),
        label_names: model.classes.clone(),
        pretrained_cfg: Pretrained {
            input_size: Some([graph.in_channels(), side, side]),
            interpolation: Some("bilinear".into()),
            crop_pct: Some(part),
            crop_mode: Some("center".into()),
            mean: normalisation.as_ref().map(|n| n.mean.clone()),
            std: normalisation.map(|n| n.std),
            num_classes: Some(graph.classes()),
            first_conv: Some("conv1".into()),
            classifier: Some(family.head().into()),
        },
    };
    fs::create_dir_all(folder)?;
    let format = [("format".to_owned(), "pt".to_owned())].into();
    safetensors::write(&folder.join(WEIGHTS), &model.network.state_dict(), &format)?;
    let text = serde_json::to_string_pretty(&config).map_err(io::Error::other)?;
    atomic_write(&folder.join(CONFIG), |file| writeln!(file, "{text}"))
}

fn graph_width(model: &Model) -> usize {
    model.network.params().first().map_or(0, |stem| stem.shape[0])
}

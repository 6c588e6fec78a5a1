//! timm folders, as on the Hugging Face hub: `config.json` and the weights, for
//! `timm.create_model("local-dir:FOLDER")`.
//!
//! timm's ResNets are torchvision's: `fc`, `downsample`, the stride in the 3x3 convolution.

use std::{fs, io, path::Path};

use resnet_formats::{
    atomic_write, brief,
    safetensors::{self, Metadata},
};
use serde::{Deserialize, Serialize};

use super::{
    Model, ModelFileError,
    folder::{CONFIG, SAFETENSORS, parse},
    key,
    metadata::json,
};
use crate::{
    models::{Arch, Family},
    preprocess::Normalisation,
};

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

/// The metadata of a `config.json`.
pub(super) fn read_config(path: &Path, text: &str) -> Result<Metadata, ModelFileError> {
    let config: Config = parse(path, text)?;
    let arch = config
        .architecture
        .as_deref()
        .map(own_name)
        .transpose()
        .map_err(|message| ModelFileError::Network { path: path.to_owned(), message })?;
    Ok(to_metadata(&config, arch))
}

/// The architecture of one of timm's names: torchvision's ResNets, as various people trained them.
fn own_name(name: &str) -> Result<String, String> {
    let (base, _training) = name.split_once('.').unwrap_or((name, ""));
    let base = ["tv_", "ssl_", "swsl_"].iter().find_map(|by| base.strip_prefix(by)).unwrap_or(base);
    let gluon = base.strip_prefix("gluon_").and_then(|rest| rest.strip_suffix("_v1b"));
    let base = gluon.unwrap_or(base);
    match base.parse::<Arch>() {
        Ok(arch) if arch.family == Family::ImageNet && arch.residual && arch == arch.usual() => {
            Ok(base.to_owned())
        }
        _ => Err(format!(
            "names timm's architecture '{}', which is not one of the family (resnet18, 34, 50, 101, \
             152): use another model",
            brief(name)
        )),
    }
}

fn to_metadata(config: &Config, arch: Option<String>) -> Metadata {
    let images = &config.pretrained_cfg;
    let side = images.input_size.map(|[_, rows, _]| rows);
    let resize = side.zip(images.crop_pct.filter(|part| (0.01..=1.0).contains(part)));
    let resize = resize.map(|(side, part)| (side as f64 / part).floor());
    let normalisation = images.mean.clone().zip(images.std.clone());
    let normalisation = normalisation.map(|(mean, std)| Normalisation { mean, std });
    let entries = [
        (key::ARCH, arch),
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
    let is_timms = model.arch == model.arch.usual() && family == Family::ImageNet && residual;
    if !is_timms || graph_width(model) != model.arch.width() {
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
    safetensors::write(&folder.join(SAFETENSORS), &model.network.state_dict(), &format)?;
    let text = serde_json::to_string_pretty(&config).map_err(io::Error::other)?;
    atomic_write(&folder.join(CONFIG), |file| writeln!(file, "{text}"))
}

fn graph_width(model: &Model) -> usize {
    model.network.params().first().map_or(0, |stem| stem.shape[0])
}

#[cfg(test)]
mod tests {
    use super::own_name;

    #[test]
    fn other_architectures_are_refused_by_name() {
        for (name, own) in [
            ("resnet50", "resnet50"),
            ("resnet18.a1_in1k", "resnet18"),
            ("tv_resnet34", "resnet34"),
            ("gluon_resnet101_v1b", "resnet101"),
            ("swsl_resnet50", "resnet50"),
        ] {
            assert_eq!(own_name(name).as_deref(), Ok(own));
        }
        for name in
            ["resnetblur50", "resnetaa50.a1h_in1k", "resnet50d", "resnet26", "gluon_resnet50_v1s"]
        {
            assert!(own_name(name).unwrap_err().contains(name), "{name}");
        }
    }
}

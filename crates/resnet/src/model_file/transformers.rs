//! Folders of Hugging Face transformers: `ResNetForImageClassification.save_pretrained`.
//!
//! `config.json` states the architecture and the class names, `preprocessor_config.json` how images are
//! prepared.

use std::{collections::BTreeMap, path::Path};

use resnet_formats::{brief, safetensors::Metadata};
use serde::Deserialize;

use super::{
    ModelFileError,
    hub_files::{parse, text},
    key,
    metadata::json,
};
use crate::{
    models::{Arch, Block, StrideAt},
    preprocess::{CropMode, Normalisation},
};

const PREPROCESSOR: &str = "preprocessor_config.json";

/// What tells the file from timm's.
#[derive(Deserialize)]
struct Marker {
    #[serde(default)]
    model_type: Option<String>,
}

/// The entries of `config.json` that change the result.
#[derive(Deserialize)]
#[serde(default)]
struct Config {
    model_type: String,
    architectures: Option<Vec<String>>,
    depths: Vec<usize>,
    layer_type: String,
    hidden_act: String,
    downsample_in_first_stage: bool,
    downsample_in_bottleneck: bool,
    id2label: Option<BTreeMap<String, String>>,
}

impl Default for Config {
    /// The values of `ResNetConfig`.
    fn default() -> Config {
        Config {
            model_type: String::new(),
            architectures: None,
            depths: vec![3, 4, 6, 3],
            layer_type: "bottleneck".into(),
            hidden_act: "relu".into(),
            downsample_in_first_stage: false,
            downsample_in_bottleneck: false,
            id2label: None,
        }
    }
}

/// The entries of `preprocessor_config.json`.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Preprocessor {
    image_processor_type: Option<String>,
    feature_extractor_type: Option<String>,
    size: Option<Size>,
    crop_size: Option<Size>,
    crop_pct: Option<f64>,
    do_resize: Option<bool>,
    do_center_crop: Option<bool>,
    do_normalize: Option<bool>,
    do_rescale: Option<bool>,
    rescale_factor: Option<f64>,
    image_mean: Option<Vec<f32>>,
    image_std: Option<Vec<f32>>,
    resample: Option<u8>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(untagged)]
enum Size {
    Side(usize),
    Shortest { shortest_edge: usize },
    Both { height: usize, width: usize },
}

/// From this side on, ConvNext's processor does not crop.
const NO_CROP: usize = 384;

/// Whether a `config.json` is of transformers. That of a wrapped timm model has timm's entries.
pub(super) fn is_config(path: &Path, text: &str) -> Result<bool, ModelFileError> {
    Ok(parse::<Marker>(path, text)?.model_type.is_some_and(|name| name != "timm_wrapper"))
}

/// The metadata of a folder.
pub(super) fn read_config(
    folder: &Path,
    path: &Path,
    config: &str,
    notes: &mut Vec<String>,
) -> Result<Metadata, ModelFileError> {
    let config: Config = parse(path, config)?;
    let wrong = |path: &Path, message| ModelFileError::Network { path: path.to_owned(), message };
    let arch = arch(&config).map_err(|message| wrong(path, message))?;
    let mut metadata = Metadata::new();
    metadata.insert(key::ARCH.to_owned(), arch.to_string());
    if let Some(labels) = config.id2label.as_ref().and_then(labels) {
        metadata.insert(key::CLASSES.to_owned(), json(&labels));
    }
    let path = folder.join(PREPROCESSOR);
    if path.is_file() {
        let images: Preprocessor = parse(&path, &text(&path)?)?;
        images.describe(&mut metadata, notes).map_err(|message| wrong(&path, message))?;
    } else {
        notes.push(format!("the folder has no {PREPROCESSOR}: the usual preprocessing is used"));
    }
    Ok(metadata)
}

/// The architecture of a configuration.
fn arch(config: &Config) -> Result<Arch, String> {
    let refused = |entry: &str, value: &str| {
        Err(format!("has {entry} {}, which no network of the family has", brief(value)))
    };
    if config.model_type != "resnet" {
        return refused("model_type", &config.model_type);
    }
    if let Some([name, ..]) = config.architectures.as_deref()
        && name != "ResNetForImageClassification"
    {
        return refused("architectures", name);
    }
    if config.hidden_act != "relu" {
        return refused("hidden_act", &config.hidden_act);
    }
    if config.downsample_in_first_stage {
        return refused("downsample_in_first_stage", "true");
    }
    let block = match config.layer_type.as_str() {
        "basic" => Block::Basic,
        "bottleneck" => Block::Bottleneck,
        other => return refused("layer_type", other),
    };
    let name = match (&config.depths[..], block) {
        ([2, 2, 2, 2], Block::Basic) => "resnet18",
        ([2, 2, 2, 2], Block::Bottleneck) => "resnet26-bottleneck",
        ([3, 4, 6, 3], Block::Basic) => "resnet34",
        ([3, 4, 6, 3], Block::Bottleneck) => "resnet50",
        ([3, 4, 23, 3], Block::Bottleneck) => "resnet101",
        ([3, 8, 36, 3], Block::Bottleneck) => "resnet152",
        (depths, _) => {
            return refused("depths", &format!("{depths:?} of layer_type {}", config.layer_type));
        }
    };
    let mut arch: Arch =
        name.parse().map_err(|error: crate::models::UnknownArch| error.to_string())?;
    if config.downsample_in_bottleneck && block == Block::Bottleneck {
        arch.stride_at = StrideAt::Conv1x1;
    }
    Ok(arch)
}

/// Class names, if they are of the numbers from 0 on and not only placeholders.
fn labels(id2label: &BTreeMap<String, String>) -> Option<Vec<&String>> {
    let named = |(i, label): (usize, &&String)| **label != format!("LABEL_{i}");
    let labels: Option<Vec<&String>> =
        (0..id2label.len()).map(|i| id2label.get(&i.to_string())).collect();
    labels.filter(|labels| labels.iter().enumerate().any(named))
}

impl Preprocessor {
    /// Adds how images are prepared.
    fn describe(&self, metadata: &mut Metadata, notes: &mut Vec<String>) -> Result<(), String> {
        let kind = self.image_processor_type.as_ref().or(self.feature_extractor_type.as_ref());
        let is_conv_next = kind.is_some_and(|kind| kind.starts_with("ConvNext"));
        let side = |size: Size| match size {
            Size::Side(side) | Size::Shortest { shortest_edge: side } => Ok(side),
            Size::Both { height, width } if height == width => Ok(height),
            Size::Both { height, width } => {
                Err(format!("has size {height}x{width}: only square images are supported"))
            }
        };
        let factor = self.rescale_factor.unwrap_or(1.0 / 255.0);
        if self.do_rescale == Some(false) || (factor * 255.0 - 1.0).abs() > 1e-6 {
            return Err("scales pixels by another factor than 1/255, which is not supported".into());
        }
        let size = self.size.map(side).transpose()?;
        let crop = self.crop_size.map(side).transpose()?;
        let (image_size, resize) = match (size, is_conv_next) {
            _ if self.do_resize == Some(false) => {
                notes.push("do_resize is false: images are resized all the same".to_owned());
                (crop.or(size), None)
            }
            (Some(side), true) if side < NO_CROP => {
                let part = self.crop_pct.filter(|part| (0.01..=1.0).contains(part));
                (Some(side), Some((side as f64 / part.unwrap_or(0.875)).floor() as usize))
            }
            (Some(resize), false) if self.do_center_crop == Some(true) && crop.is_some() => {
                (crop, Some(resize))
            }
            (Some(side), _) => (Some(side), None),
            (None, _) => (crop, None),
        };
        let scaled = self.do_normalize != Some(false);
        let normalisation = match self.image_mean.clone().zip(self.image_std.clone()) {
            _ if !scaled => Some(Normalisation::new(vec![0.0; 3], vec![1.0; 3])),
            Some((mean, std)) => Some(Normalisation::new(mean, std)),
            None => None,
        };
        // Pillow's numbers of its filters.
        let interpolation = self.resample.and_then(|number| {
            ["nearest", "lanczos", "bilinear", "bicubic", "box", "hamming"].get(usize::from(number))
        });
        let crop_mode = resize.map(|_| json(&CropMode::CenterFloor));
        let entries = [
            (key::CROP_MODE, crop_mode),
            (key::INTERPOLATION, interpolation.map(json)),
            (key::IMAGE_SIZE, image_size.map(|side| json(&side))),
            (key::RESIZE, resize.map(|side| json(&side))),
            (key::NORMALISATION, normalisation.as_ref().map(json)),
        ];
        for (key, value) in entries {
            metadata.extend(value.map(|value| (key.to_owned(), value)));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `AutoImageProcessor` of transformers 5 does.
    #[test]
    fn images_are_prepared_as_their_processor_does() {
        let described = |text: &str| {
            let (mut metadata, mut notes) = (Metadata::new(), Vec::new());
            let processor: Preprocessor = serde_json::from_str(text).unwrap();
            processor.describe(&mut metadata, &mut notes).map(|()| (metadata, notes))
        };
        let of = |text: &str| {
            let (metadata, _) = described(text).unwrap();
            let keys = [key::IMAGE_SIZE, key::RESIZE, key::CROP_MODE, key::INTERPOLATION];
            keys.map(|key| metadata.get(key).map(|value| value.trim_matches('"').to_owned()))
        };
        let is = |values: [&str; 4]| values.map(|v| (!v.is_empty()).then(|| v.to_owned()));
        // int(224 / 0.875), a centre crop with int(margin / 2).
        let conv_next = r#"{"image_processor_type": "ConvNextImageProcessor", "resample": 3,
            "size": {"shortest_edge": 224}, "crop_pct": 0.875}"#;
        assert_eq!(of(conv_next), is(["224", "256", "center-floor", "bicubic"]));
        // From 384 pixels on it squashes.
        let large = r#"{"feature_extractor_type": "ConvNextFeatureExtractor", "size": 384}"#;
        assert_eq!(of(large), is(["384", "", "", ""]));
        let cropped = r#"{"size": {"shortest_edge": 256}, "do_center_crop": true,
            "crop_size": {"height": 224, "width": 224}, "resample": 2}"#;
        assert_eq!(of(cropped), is(["224", "256", "center-floor", "bilinear"]));
        let whole = r#"{"size": {"height": 160, "width": 160}, "resample": 0}"#;
        assert_eq!(of(whole), is(["160", "", "", "nearest"]));
        let error = described(r#"{"size": {"height": 160, "width": 224}}"#).unwrap_err();
        assert!(error.contains("160x224: only square images"), "{error}");
        for other in [r#"{"do_rescale": false}"#, r#"{"rescale_factor": 0.0078}"#] {
            assert!(described(other).unwrap_err().contains("another factor than 1/255"));
        }
        assert!(described(r#"{"rescale_factor": 0.00392156862745098}"#).is_ok());
    }
}

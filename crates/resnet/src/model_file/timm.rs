//! timm folders, as on the Hugging Face hub: `config.json` and the weights, for
//! `timm.create_model("local-dir:FOLDER")`.
//!
//! timm's ResNets are torchvision's: `fc`, `downsample`, the stride in the 3x3 convolution.

use std::{borrow::Cow, collections::BTreeMap, fs, io, path::Path};

use resnet_formats::{
    atomic_write, brief,
    safetensors::{self, Metadata},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    Model, ModelFileError,
    hub_files::{CONFIG, SAFETENSORS, parse},
    key,
    metadata::json,
};
use crate::{
    models::{Arch, Block, Family, Shortcut, Stem},
    preprocess::{CropMode, Interpolation, Normalisation},
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
    #[serde(default, skip_serializing_if = "Option::is_none", alias = "labels")]
    label_names: Option<LabelNames>,
    /// None in files of early versions, which have its entries next to `architecture`.
    #[serde(default)]
    pretrained_cfg: Option<Pretrained>,
    /// Arguments of `timm.create_model` that are not the architecture's own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    model_args: BTreeMap<String, Value>,
}

/// Names of the classes, or numbers with names.
#[derive(Debug, Deserialize, Serialize)]
#[serde(untagged)]
enum LabelNames {
    List(Vec<String>),
    Numbered(BTreeMap<String, String>),
}

impl LabelNames {
    /// The names, if each number from 0 on has one.
    fn list(&self) -> Option<Vec<&String>> {
        match self {
            LabelNames::List(names) => Some(names.iter().collect()),
            LabelNames::Numbered(names) => {
                (0..names.len()).map(|number| names.get(&number.to_string())).collect()
            }
        }
    }
}

/// The preprocessing of images.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
struct Pretrained {
    /// Channels, rows, columns.
    input_size: Option<[usize; 3]>,
    interpolation: Option<Interpolation>,
    /// Side of the crop as a fraction of the resized image's.
    crop_pct: Option<f64>,
    crop_mode: Option<CropMode>,
    mean: Option<Vec<f32>>,
    std: Option<Vec<f32>>,
    num_classes: Option<usize>,
    first_conv: Option<String>,
    classifier: Option<String>,
}

/// The metadata of a `config.json`.
pub(super) fn read_config(path: &Path, text: &str) -> Result<Metadata, ModelFileError> {
    let mut config: Config = parse(path, text)?;
    if config.pretrained_cfg.is_none() {
        config.pretrained_cfg = Some(parse(path, text)?);
    }
    let arch = config
        .architecture
        .as_deref()
        .map(|name| Ok(own_name(name)? + activation(&config.model_args)?))
        .transpose()
        .map_err(|message| ModelFileError::Network { path: path.to_owned(), message })?;
    to_metadata(&config, arch)
        .map_err(|message| ModelFileError::TimmPreprocessing { path: path.to_owned(), message })
}

/// The preprocessing, with timm's defaults for what is not stated (`timm.data.resolve_data_config`).
struct Images {
    side: usize,
    resize: usize,
    interpolation: Interpolation,
    crop_mode: CropMode,
    normalisation: Option<Normalisation>,
}

impl Images {
    /// Refuses what is not computed here.
    fn new(stated: &Pretrained) -> Result<Images, String> {
        let [channels, rows, columns] = stated.input_size.unwrap_or([3, 224, 224]);
        if rows != columns {
            let size = format!("an input_size of {rows}x{columns} pixels");
            return Err(format!("{size}, and only squares are supported"));
        }
        let crop_mode = stated.crop_mode.unwrap_or_default();
        let part = stated.crop_pct.filter(|&part| part != 0.0).unwrap_or(0.875);
        let most = if crop_mode == CropMode::Border { 100.0 } else { 1.0 };
        if !(0.01..=most).contains(&part) {
            return Err(format!("a crop_pct of {part}, and 0.01 to {most} are supported"));
        }
        let normalisation = stated.mean.clone().zip(stated.std.clone());
        let normalisation = normalisation.map(|(mean, std)| Normalisation::new(mean, std));
        Ok(Images {
            side: rows,
            resize: (rows as f64 / part).floor().max(1.0) as usize,
            interpolation: stated.interpolation.unwrap_or(Interpolation::Bicubic),
            crop_mode,
            normalisation: normalisation.or_else(|| (channels == 3).then(Normalisation::imagenet)),
        })
    }
}

/// Who trained a network, in front of timm's early names, and the present ending that says the same.
const TRAINED_BY: [(&str, &str); 5] = [
    ("tv_", "tv_in1k"),
    ("gluon_", "gluon_in1k"),
    ("ssl_", "fb_ssl_yfcc100m_ft_in1k"),
    ("swsl_", "fb_swsl_ig1b_ft_in1k"),
    ("ig_", "fb_wsl_ig1b_ft_in1k"),
];

/// The present form of timm's early names of weights (its `register_model_deprecations`): `resnet50d.gluon_in1k` of
/// `gluon_resnet50_v1d`. Other names stay as they are.
pub(super) fn present_name(name: &str) -> Cow<'_, str> {
    let early = TRAINED_BY.iter().find_map(|&(by, ending)| Some((name.strip_prefix(by)?, ending)));
    let Some((base, ending)) = early else { return Cow::Borrowed(name) };
    // Gluon's variant b is torchvision's network.
    let (base, variant) = base.split_once("_v1").unwrap_or((base, "b"));
    let variant = if variant == "b" { "" } else { variant };
    Cow::Owned(format!("{base}{variant}.{ending}"))
}

/// The architecture of one of timm's names: torchvision's ResNets, as various people trained them.
pub(super) fn own_name(name: &str) -> Result<String, String> {
    let present = present_name(name);
    let (base, _training) = present.split_once('.').unwrap_or((&*present, ""));
    let base = if base == "resnet26" { "resnet26-bottleneck" } else { base };
    match base.parse::<Arch>() {
        Ok(arch) if is_timms(arch) => Ok(base.to_owned()),
        _ => Err(format!(
            "names timm's architecture '{}', which is not one of the family (`resnet archs`): use \
             another model",
            brief(name)
        )),
    }
}

/// The option of an architecture for the activation of `model_args`; empty for ReLU. Other arguments that change what is
/// computed are refused.
fn activation(model_args: &BTreeMap<String, Value>) -> Result<&'static str, String> {
    let mut option = "";
    for (name, value) in model_args {
        let is_usual = match (&**name, value) {
            ("act_layer", Value::String(act)) => match &**act {
                "relu" => true,
                "gelu" => {
                    option = "+gelu";
                    true
                }
                "silu" | "swish" => {
                    option = "+silu";
                    true
                }
                _ => false,
            },
            ("global_pool", Value::String(pool)) => pool == "avg",
            ("output_stride", Value::Number(stride)) => stride.as_u64() == Some(32),
            (
                "in_chans" | "num_classes" | "img_size" | "drop_rate" | "drop_path_rate"
                | "drop_block_rate",
                _,
            )
            | (_, Value::Null) => true,
            _ => false,
        };
        if !is_usual {
            return Err(format!(
                "has model_args.{} = {}, which no network of the family has",
                brief(name),
                brief(&value.to_string())
            ));
        }
    }
    Ok(option)
}

/// Whether timm has an architecture.
fn is_timms(arch: Arch) -> bool {
    let Arch { family, residual, preactivation, shortcut, .. } = arch;
    let has_shortcuts = residual && matches!(shortcut, Shortcut::B | Shortcut::D);
    family == Family::ImageNet && has_shortcuts && !preactivation && arch == arch.usual()
}

fn to_metadata(config: &Config, arch: Option<String>) -> Result<Metadata, String> {
    let usual = Pretrained::default();
    let images = Images::new(config.pretrained_cfg.as_ref().unwrap_or(&usual))?;
    let classes = config.label_names.as_ref().and_then(LabelNames::list);
    let entries = [
        (key::ARCH, arch),
        (key::CLASSES, classes.as_ref().map(json)),
        (key::IMAGE_SIZE, Some(json(&images.side))),
        (key::RESIZE, Some(json(&images.resize))),
        (key::INTERPOLATION, Some(json(&images.interpolation))),
        (key::CROP_MODE, Some(json(&images.crop_mode))),
        (key::NORMALISATION, images.normalisation.as_ref().map(json)),
    ];
    Ok(entries.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect())
}

/// Writes a folder, and makes it if it does not exist.
///
/// # Errors
/// [`io::ErrorKind::Unsupported`] for networks that timm does not have, or if a file cannot be
/// written.
pub(super) fn write(folder: &Path, model: &Model) -> io::Result<()> {
    let graph = model.network.graph();
    let arch = model.arch;
    let is_listed = Arch::all().any(|known| known == arch);
    if !is_timms(arch) || !is_listed || graph_width(model) != arch.width() {
        let net = format!(
            "timm has no {} with {} channels in its first stage: a timm folder can hold the ImageNet \
             networks of `resnet archs` with 64 channels; choose another format",
            model.arch,
            graph_width(model)
        );
        return Err(io::Error::new(io::ErrorKind::Unsupported, net));
    }
    let side = model.image_size;
    // Without a length, the whole image is resized to the square.
    let (resize, crop_mode) = match (model.resize, model.crop_mode) {
        // A pixel aside at most.
        (Some(resize), CropMode::CenterFloor) => (resize, CropMode::Center),
        (Some(resize), mode) => (resize, mode),
        (None, _) => (side, CropMode::Squash),
    };
    let normalisation = model.normalisation.clone();
    let bottleneck = arch.block() == Block::Bottleneck;
    let name = arch.to_string();
    let name = name.strip_suffix("-bottleneck").unwrap_or(&name);
    let config = Config {
        architecture: Some(name.to_owned()),
        num_classes: Some(graph.classes()),
        num_features: Some(if bottleneck { 2048 } else { 512 }),
        label_names: model.classes.clone().map(LabelNames::List),
        model_args: BTreeMap::new(),
        pretrained_cfg: Some(Pretrained {
            input_size: Some([graph.in_channels(), side, side]),
            interpolation: Some(model.interpolation),
            crop_pct: Some(crop_pct(side, resize)),
            crop_mode: Some(crop_mode),
            mean: normalisation.as_ref().map(|n| n.mean.clone()),
            std: normalisation.map(|n| n.std),
            num_classes: Some(graph.classes()),
            first_conv: Some(if arch.stem == Stem::Deep { "conv1.0" } else { "conv1" }.into()),
            classifier: Some(arch.family.head().into()),
        }),
    };
    fs::create_dir_all(folder)?;
    let format = [("format".to_owned(), "pt".to_owned())].into();
    safetensors::write(&folder.join(SAFETENSORS), &model.network.state_dict(), &format)?;
    let text = serde_json::to_string_pretty(&config).map_err(io::Error::other)?;
    atomic_write(&folder.join(CONFIG), |file| writeln!(file, "{text}"))
}

/// The fraction of which timm makes `resize` again: it rounds `side / crop_pct` down.
fn crop_pct(side: usize, resize: usize) -> f64 {
    let part = side as f64 / resize as f64;
    let is_below = (side as f64 / part).floor() < resize as f64;
    if is_below { part.next_down() } else { part }
}

fn graph_width(model: &Model) -> usize {
    let is_stem = |name: &str| matches!(name, "conv1.weight" | "conv1.6.weight");
    let stem = model.network.params().iter().find(|param| is_stem(&param.name));
    stem.map_or(0, |stem| stem.shape[0])
}

#[cfg(test)]
mod tests;

//! Converts predictions, confusion matrix and weights to the plain data of `resnet-pictures`, and
//! writes pictures.

use std::{
    ffi::OsStr,
    fs::{self, File},
    path::{Path, PathBuf},
};

use anyhow::Context;
use resnet::{
    Network,
    data::{ImageSet, mark_output},
    model_file::Model,
};
use resnet_formats::{Destination, Shown, atomic_write, create_numbered, make_own_folder};
use resnet_pictures::{Cell, Picture, Theme, png};

use crate::{args::PictureFormat, error::Usage, evaluation::Evaluated, model};

/// PNG pixels per SVG unit.
const SCALE: f32 = 2.0;

/// Image `index` of a data set.
pub(crate) fn picture(images: &ImageSet, index: usize) -> Picture {
    let [height, width, channels] = images.size();
    Picture::from_channels(width, height, channels, &images.image(index))
}

/// Test image `index` with its predicted class (the network's class name), its true class (the data
/// set's), and the name of its file, if it is a photo.
pub(crate) fn cell(evaluated: &Evaluated, classes: &[String], index: usize) -> Cell {
    let Evaluated { images, classes: truths, predictions, .. } = evaluated;
    let label = images.labels()[index];
    Cell {
        picture: picture(images, index),
        predicted: classes[predictions.class(index)].clone(),
        truth: truths[label as usize].clone(),
        correct: predictions.is_right(index, label),
        confidence: Some(predictions.confidence(index)),
        file: photo(images, index).map(|name| name.shown().to_string()),
    }
}

/// The path of a photo below its folder; none of an image in memory.
pub(crate) fn photo(images: &ImageSet, index: usize) -> Option<&Path> {
    match images {
        ImageSet::Photos(photos) => Some(photos.list().name(index)),
        ImageSet::Memory(_) => None,
    }
}

/// The confusion matrix: images by `[true][predicted]` class.
pub(crate) fn confusion(evaluated: &Evaluated) -> Vec<Vec<u64>> {
    let confusion = evaluated.predictions.confusion(evaluated.images.labels());
    (0..confusion.classes()).map(|truth| confusion.row(truth).to_vec()).collect()
}

/// The weights of the first convolution, and their shape: `[out][in][row][column]`.
pub(crate) fn first_layer(network: &Network) -> (Vec<f32>, [usize; 4]) {
    let state = network.state_dict();
    let (_, weight) = &state[0];
    let shape = weight.shape[..].try_into().expect("the first layer is a convolution");
    (weight.as_f32().expect("weights are floating point").to_vec(), shape)
}

/// `resnet20 on cifar10`.
pub(crate) fn model_on_data(model: &Model, data: &str) -> String {
    format!("{} on {data}", model.arch)
}

/// The files of pictures, by name. `draw` returns SVGs with the stems of their names.
pub(crate) fn encode<S: AsRef<OsStr>>(
    format: PictureFormat,
    draw: impl Fn(&Theme) -> Vec<(S, String)>,
) -> anyhow::Result<Vec<(PathBuf, Vec<u8>)>> {
    let mut files = Vec::new();
    let name = |stem: &OsStr, suffix: &str| {
        let mut name = stem.to_owned();
        name.push(suffix);
        PathBuf::from(name)
    };
    if format != PictureFormat::Svg {
        for (stem, svg) in draw(&Theme::LIGHT) {
            let path = name(stem.as_ref(), ".png");
            let bytes =
                png(&svg, SCALE).with_context(|| format!("cannot draw {}", path.shown()))?;
            files.push((path, bytes));
        }
    }
    if format != PictureFormat::Png {
        let drawn = draw(&Theme::AUTO).into_iter();
        files.extend(drawn.map(|(stem, svg)| (name(stem.as_ref(), ".svg"), svg.into_bytes())));
    }
    Ok(files)
}

/// Whether one picture is to be an SVG rather than a PNG, by the suffix of `--out`.
pub(crate) fn is_svg(out: Option<&Path>) -> Result<bool, Usage> {
    match out.map(|out| out.extension()) {
        None => Ok(false),
        Some(Some(suffix)) if suffix.eq_ignore_ascii_case("png") => Ok(false),
        Some(Some(suffix)) if suffix.eq_ignore_ascii_case("svg") => Ok(true),
        Some(_) => Err(Usage("--out must end in .png or .svg".into())),
    }
}

/// Writes one picture to `out`, in the format of its suffix, or to a new PNG of the name `stem`.
pub(crate) fn write_one(
    out: Option<&Path>,
    stem: &str,
    draw: impl FnOnce(&Theme) -> String,
) -> anyhow::Result<PathBuf> {
    let bytes = match is_svg(out)? {
        true => draw(&Theme::AUTO).into_bytes(),
        false => png(&draw(&Theme::LIGHT), SCALE).context("cannot draw the picture")?,
    };
    let Some(out) = out else { return write_new(stem, ".png", &bytes) };
    atomic_write(Destination::Follow(out), |w| w.write_all(&bytes))
        .with_context(|| format!("cannot write {} (--out)", out.shown()))?;
    Ok(out.to_owned())
}

/// Writes a new file into the working folder: `stem` and `suffix`, with a number between them if there is
/// such a file already.
pub(crate) fn write_new(stem: &str, suffix: &str, bytes: &[u8]) -> anyhow::Result<PathBuf> {
    let create = |name: &Path| File::create_new(name);
    let path = create_numbered(Path::new(stem), suffix, create)
        .with_context(|| format!("cannot create {stem}{suffix} (--out)"))?
        .0;
    let written = atomic_write(&*path, |w| w.write_all(bytes));
    if written.is_err() {
        // Only the name was taken.
        let _ = fs::remove_file(&path);
    }
    written.with_context(|| format!("cannot write {} (--out)", path.shown()))?;
    Ok(path)
}

/// Creates a folder for pictures: `--out`, else one of the name `what` in the run folder, else a new
/// one in the working folder, where there may be pictures of another model of the same name. A new folder outside a
/// run is marked, since it may be in a folder of photos.
pub(crate) fn make_folder(out: Option<&Path>, model: &Path, what: &str) -> anyhow::Result<PathBuf> {
    let (folder, made) = match (out, model::run_of(model)) {
        (Some(out), _) if out.exists() => (out.to_owned(), fs::create_dir_all(out)),
        (Some(out), _) => (out.to_owned(), fs::create_dir_all(out).and_then(|()| mark_output(out))),
        // It must not be a link out of an untrusted run.
        (None, Some(run)) => {
            let folder = run.join(what);
            let made = make_own_folder(&folder);
            (folder, made)
        }
        (None, None) => {
            let name = model.file_stem().unwrap_or_default().to_string_lossy();
            let name = PathBuf::from(format!("{name}-{what}"));
            let create = |name: &Path| fs::create_dir(name).and_then(|()| mark_output(name));
            match create_numbered(&name, "", create) {
                Ok((folder, ())) => return Ok(folder),
                Err(error) => (name, Err(error)),
            }
        }
    };
    made.with_context(|| format!("cannot make the folder {} (--out)", folder.shown()))?;
    Ok(folder)
}

/// Writes files into a folder. Returns their paths.
pub(crate) fn write(folder: &Path, files: Vec<(PathBuf, Vec<u8>)>) -> anyhow::Result<Vec<PathBuf>> {
    let write = |(name, bytes): (PathBuf, Vec<u8>)| {
        let path = folder.join(name);
        atomic_write(&*path, |w| w.write_all(&bytes))
            .with_context(|| format!("cannot write {} (--out)", path.shown()))?;
        Ok(path)
    };
    files.into_iter().map(write).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_of_a_run_go_into_its_folder() {
        let dir = tempfile::tempdir().unwrap();
        let last = dir.path().join("last.safetensors");
        fs::write(&last, "").unwrap();
        fs::write(dir.path().join("config.toml"), "").unwrap();
        for _ in 0..2 {
            let folder = make_folder(None, &last, "pictures").unwrap();
            assert_eq!(folder, dir.path().join("pictures"));
        }
    }
}

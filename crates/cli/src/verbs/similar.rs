//! `resnet similar`: the photos of a folder that are most similar to a photo, by the cosine
//! similarity of what enters the head of a network.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use anyhow::bail;
use resnet::predictor::Computes;
use resnet_formats::{Shown, is_printable, printable};
use serde::Serialize;

use crate::{
    args::{Global, SimilarArgs},
    delayed_progress::DelayedProgress,
    photos::{Classifier, Inputs, file_name, json_name, label, quoted},
    print,
    table::{
        Align::{Left, Right},
        table,
    },
};

/// A line of `--json`.
#[derive(Serialize)]
struct Record {
    file: String,
    similarity: f32,
}

pub(crate) fn run(args: &SimilarArgs, global: &Global) -> anyhow::Result<()> {
    let mut inputs = Inputs::find(std::slice::from_ref(&args.folder));
    inputs.notes.iter().for_each(|note| global.note(note));
    // The photo itself may be in the folder.
    let own = fs::canonicalize(&args.photo).ok();
    inputs.photos.retain(|photo| own.is_none() || fs::canonicalize(photo).ok() != own);
    if inputs.photos.is_empty() {
        match inputs.errors.first() {
            Some(error) => bail!("{error}"),
            None => bail!("there is no other photo in {}", label(&args.folder)),
        }
    }
    let mut photos = vec![args.photo.clone()];
    photos.append(&mut inputs.photos);
    let mut classifier =
        Classifier::new(&args.model, args.resizing, photos.len(), Computes::Features, global)?;
    let bar = DelayedProgress::new("comparing", photos.len(), global.quiet);
    let mut failed = inputs.errors.len();
    let skip = |why: &str| {
        bar.suspend(|| print::status(format!("skipped: {}", printable(why))));
    };
    inputs.errors.iter().for_each(|error| skip(error));
    let mut wanted: Option<Vec<f32>> = None;
    let mut found: Vec<(PathBuf, f32)> = Vec::new();
    classifier.run(&photos, &mut |path, photo| {
        bar.tick();
        let features = match photo {
            Ok(photo) => finite(path, photo.features()),
            Err(error) => Err(error.to_string()),
        };
        match (features, &wanted) {
            (Ok(features), None) => wanted = Some(features),
            (Ok(features), Some(wanted)) => {
                found.push((path.to_owned(), cosine(wanted, &features)));
            }
            (Err(error), None) => bail!("{error}"),
            (Err(error), _) => {
                failed += 1;
                skip(&error);
            }
        }
        Ok(())
    })?;
    bar.clear();
    if found.is_empty() {
        bail!("no photo of {} could be compared", label(&args.folder));
    }
    found.sort_by(|a, b| b.1.total_cmp(&a.1));
    found.truncate(args.top);
    let printed = show(args, &found);
    match failed {
        0 => printed,
        n => bail!("{n} of {} images could not be compared", photos.len() + inputs.errors.len()),
    }
}

/// The features of a photo, which must be numbers: NaN would be more similar than any.
fn finite(path: &Path, features: Vec<f32>) -> Result<Vec<f32>, String> {
    if features.iter().all(|value| value.is_finite()) {
        return Ok(features);
    }
    Err(format!("{}: the network's features are NaN or infinite", path.shown()))
}

/// Cosine similarity (`torch.nn.functional.cosine_similarity`), in [-1, 1]; 0 if a vector is zero.
fn cosine(a: &[f32], b: &[f32]) -> f32 {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum()
    };
    let lengths = (dot(a, a) * dot(b, b)).sqrt();
    if lengths == 0.0 { 0.0 } else { (dot(a, b) / lengths) as f32 }
}

fn show(args: &SimilarArgs, found: &[(PathBuf, f32)]) -> anyhow::Result<()> {
    if args.output.json {
        let record = |&(ref path, similarity): &(PathBuf, f32)| {
            print::json(&Record { file: json_name(path), similarity })
        };
        return found.iter().try_for_each(record);
    }
    if args.csv {
        print::line("file,similarity")?;
        let line = |(path, similarity): &(PathBuf, f32)| -> io::Result<()> {
            print::line(format!("{},{similarity}", quoted(&file_name(path, is_printable))))
        };
        return Ok(found.iter().try_for_each(line)?);
    }
    let rows = found.iter().map(|(path, similarity)| vec![format!("{similarity:.4}"), label(path)]);
    Ok(print::line(table(&[("similarity", Right), ("file", Left)], rows))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cosines_are_pytorchs() {
        // F.cosine_similarity(torch.tensor([1., 2., 3.]), torch.tensor([3., -1., 2.]), 0)
        assert!((cosine(&[1.0, 2.0, 3.0], &[3.0, -1.0, 2.0]) - 0.5).abs() < 1e-7);
        assert_eq!(cosine(&[0.5, 2.0], &[1.0, 4.0]), 1.0);
        assert_eq!(cosine(&[1.0, 0.0], &[-2.0, 0.0]), -1.0);
        assert_eq!(cosine(&[0.0, 0.0], &[1.0, 2.0]), 0.0);
    }
}

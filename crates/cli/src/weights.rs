//! Published weights that a new run starts from.

use std::path::{Path, PathBuf};

use anyhow::{anyhow, bail};
use resnet::{
    data::{DataError, fetch_file},
    model_file::PublishedWeights,
};
use resnet_formats::Shown;

use crate::{
    args::{DataDir, Global, InitArg, TrainArgs},
    data,
    interrupt::Interrupt,
    runs,
};

/// Their folder, below that of the data sets.
const FOLDER: &str = "weights";

/// What a new run starts from: `--init`, and for photos the published weights of the architecture where no
/// option says otherwise.
pub(crate) fn of_run(args: &TrainArgs, global: &Global) -> Option<InitArg> {
    if let Some(init) = &args.start.init {
        note_file_of_that_name(init, global);
        return Some(init.clone());
    }
    is_by_default(args)
        .then(|| PublishedWeights::usual(args.arch))
        .flatten()
        .map(|weights| InitArg::Published(weights, false))
}

/// Whether no option says what the weights of photos start from.
pub(crate) fn is_by_default(args: &TrainArgs) -> bool {
    let start = &args.start;
    let options = [start.init.is_some(), start.config.is_some(), start.resume.is_some()];
    args.data.is_folder() && options == [false; 3]
}

/// Says what was chosen where no option says it.
pub(crate) fn note_default(args: &TrainArgs, global: &Global) {
    if !is_by_default(args) {
        return;
    }
    let arch = args.arch;
    global.note(match (PublishedWeights::usual(arch), PublishedWeights::of_arch(arch).next()) {
        (Some(weights), _) => format!(
            "the weights start from {}, trained on ImageNet; --init {} starts at random",
            weights.name,
            runs::NONE
        ),
        (None, Some(weights)) => format!(
            "the weights start at random, since those published for {arch} are not for commercial use; --init {} \
             starts from them",
            weights.name
        ),
        (None, None) => format!(
            "the weights start at random, since none are published for {arch}; --init FILE starts from those of \
             a model"
        ),
    });
}

fn note_file_of_that_name(init: &InitArg, global: &Global) {
    match init {
        InitArg::Published(weights, true) => global.note(format!(
            "--init starts from the published weights {}; the file or folder of the same name here would be \
             ./NAME",
            weights.name
        )),
        InitArg::Path(path) if path.to_str().and_then(PublishedWeights::named).is_some() => {
            global.note(format!(
                "--init starts from the file {} here, not from the published weights of this name",
                path.shown()
            ));
        }
        _ => {}
    }
}

/// The file of published weights, which is downloaded where it is missing.
pub(crate) fn fetch(
    weights: &PublishedWeights,
    dir: &DataDir,
    global: &Global,
    interrupt: &Interrupt,
) -> anyhow::Result<PathBuf> {
    if weights.is_non_commercial() {
        let name = weights.name;
        global.note(format!("the weights {name} are not for commercial use (CC BY-NC 4.0)"));
    }
    let (folder, url) = (dir.own_folder()?.join(FOLDER), weights.url());
    let what = format!("{url} to {}", folder.shown());
    let file = weights.remote(&url);
    let fetched = data::with_progress(&what, global, interrupt, |events, stop| {
        fetch_file(file, &folder, events, stop)
    });
    fetched.map_err(|error| {
        let is_unavailable =
            matches!(error.downcast_ref(), Some(DataError::FileUnavailable { .. }));
        let none = runs::NONE;
        if is_unavailable {
            anyhow!("{error}, or start from random weights with --init {none}")
        } else {
            error
        }
    })
}

/// Refuses a word that is no file.
pub(crate) fn check_path(path: &Path) -> anyhow::Result<()> {
    let is_word = path.components().count() == 1 && !path.exists();
    if is_word && !runs::is_last(path) && path != Path::new(resnet::model_file::DEMO) {
        bail!(
            "--init {}: there is no such file, and no published weights that are offered have this name: `resnet \
             archs` lists those of torchvision and timm that are. Download others, and name their file",
            path.shown()
        );
    }
    Ok(())
}

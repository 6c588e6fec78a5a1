//! Resumes a run.

use std::path::Path;

use resnet::{
    data::{self as sets, DataSource, Parts},
    run::RunFolder,
    train,
};
use resnet_formats::{Shown, brief, quoted_path};

use crate::{
    args::{DataArg, Global, TrainArgs},
    config::absolute,
    data,
    error::Usage,
    interrupt::Interrupt,
    model, photo_folder, runs,
};

/// Whether this is a checkpoint outside a run folder: it is resumed in a new run.
pub(super) fn is_standalone_checkpoint(target: &Path) -> bool {
    target.is_file() && model::run_of(target).is_none()
}

/// Resumes a run: loads its configuration and its data. With a folder its photos are taken from there.
/// With `--epochs` it gets another length, and there may be a note about it.
pub(in crate::verbs) fn resume(
    args: &TrainArgs,
    target: &Path,
    global: &Global,
    interrupt: &Interrupt,
) -> anyhow::Result<(RunFolder, Parts, Option<String>)> {
    // A folder of photos, for a run whose photos have moved.
    let moved = match &args.data {
        DataArg::Folder(root) if args.is_given("DATA") => Some(root),
        _ => None,
    };
    let may_be_given = |given: &&str| *given == "--epochs" || *given == "DATA" && moved.is_some();
    let others: Vec<&str> =
        args.given.iter().map(String::as_str).filter(|given| !may_be_given(given)).collect();
    if !others.is_empty() {
        return Err(Usage(format!(
            "--resume cannot be used with {}: a resumed run keeps its own settings, and only --epochs \
             changes its length. For other settings start a new run from its weights: --init {}",
            others.join(", "),
            quoted_path(target)
        ))
        .into());
    }
    let mut folder = RunFolder::resume(&runs::resolve(target)?)?;
    train::check_processes(folder.config(), args.parallel.processes)?;
    let config = &folder.config().data;
    if let Some(root) = moved.filter(|_| config.photos.is_none()) {
        return Err(Usage(format!(
            "--resume cannot be used with {}: the run is on {}, not on photos",
            root.shown(),
            brief(&config.name)
        ))
        .into());
    }
    if let Some(message) = args.images.reading.misuse(config.photos.is_some()) {
        return Err(Usage(message).into());
    }
    if let Some(root) = moved {
        folder.move_photos(&absolute(root)?)?;
    }
    let config = &folder.config().data;
    if config.photos.is_some() {
        let reading = &args.images.reading;
        let (path, config, data_dir) = (folder.path(), folder.config(), &args.data_dir);
        let data = photo_folder::of_run(path, config, reading, data_dir, global)?;
        let note = new_length(args, &mut folder)?;
        return Ok((folder, data, note));
    }
    let source: DataSource = config.name.parse()?;
    // Before anything is downloaded.
    let classes = sets::info(source.name(), Path::new(""))?.classes;
    train::check_classes(folder.config(), &classes)?;
    let data = data::of_run(config, &args.data_dir, global, interrupt)?;
    let note = new_length(args, &mut folder)?;
    Ok((folder, data.into(), note))
}

/// Gives a run that is resumed the length of `--epochs`.
fn new_length(args: &TrainArgs, folder: &mut RunFolder) -> anyhow::Result<Option<String>> {
    let Some(epochs) = args.recipe.epochs else { return Ok(None) };
    Ok(train::set_epochs(folder, epochs as u64)?)
}

//! Folders of photos as the data of a run or an evaluation.

use std::{collections::HashSet, ops::ControlFlow, path::Path};

use anyhow::{Context, bail};
use resnet::{
    Arch,
    config::TrainConfig,
    data::{
        NamedPhotos, Parts, PhotoList, PhotoOptions, PhotoSet, Photos, format_photo_names,
        missing_photos as missing, parse_photo_names, unread_photos as unread,
    },
    model_file::Model,
    random::{Purpose, Random},
    recipe::Recipe,
    run::{CONFIG, named_photos, photo_names},
};
use resnet_formats::Shown;
use resnet_pictures::report::Part;

use crate::{
    args::{DataArg, DataDir, Global, ImagesArgs, PhotoReadingArgs, TrainArgs},
    config::absolute,
    error::Usage,
};

pub(crate) use self::cache::cache_memory;

mod cache;

/// Opens a folder of photos to train a network on. Its validation set is a part of its own, or is taken
/// out here.
pub(crate) fn open(
    root: &Path,
    args: &TrainArgs,
    arch: Arch,
    global: &Global,
) -> anyhow::Result<Parts> {
    let labels = args.images.labels.as_ref().map(absolute).transpose()?;
    let mut set = PhotoSet::open(&absolute(root)?, labels.as_deref())?;
    set.notes.iter().for_each(|note| global.note(note));
    let seed = args.recipe.seed;
    let ImagesArgs { limit_train, limit_test, validation, .. } = args.images;
    limit(&mut set.train, limit_train, seed)?;
    for list in [&mut set.validation, &mut set.test].into_iter().flatten() {
        limit_test_photos(list, limit_test, seed);
    }
    if set.validation.is_some() && validation.is_some() {
        let message = "the folder has a part for validation of its own: leave out --validation";
        return Err(Usage(message.into()).into());
    }
    if limit_test.is_some() && set.validation.is_none() && set.test.is_none() {
        global.note(
            "--limit-test does nothing here: the folder has no part for validation or tests; --validation N \
             holds N photos out",
        );
    }
    let size = args.images.image_size.unwrap_or(arch.image_size());
    let lists = [Some(&set.train), set.validation.as_ref(), set.test.as_ref()];
    let photos = lists.into_iter().flatten().map(PhotoList::len).sum();
    // A configuration (--config) may have another crop: this one decides only where photos are kept.
    let counts = [set.train.len(), set.classes.len()];
    let recipe = Recipe::for_photos(&args.recipe.recipe, arch, None, counts)
        .map(|recipe| recipe.for_image_size(arch, arch.image_size(), size));
    let crop = recipe.and_then(|recipe| recipe.transform).unwrap_or_default().crop;
    let shorter = crop.shorter_side(size);
    let options = options(photos, shorter, &args.images.reading, &args.data_dir, global);
    let validation = validation.map(|share| share.of(set.train.len()));
    Ok(set.into_parts(size, validation, seed, options)?)
}

/// Keeps some photos to test on: of each class the same share, or any, if these are too few for every class.
pub(crate) fn limit_test_photos(list: &mut PhotoList, most: Option<usize>, seed: u64) {
    if limit(list, most, seed).is_err() {
        let mut photos: Vec<usize> = (0..list.len()).collect();
        Random::new(seed, Purpose::Split, &[]).shuffle(&mut photos);
        photos.truncate(most.unwrap_or(list.len()));
        photos.sort_unstable();
        *list = list.select(photos);
    }
}

/// Keeps some photos of each class. The first of a list are all of one class.
pub(crate) fn limit(list: &mut PhotoList, most: Option<usize>, seed: u64) -> anyhow::Result<()> {
    if let Some(most) = most.filter(|&most| most < list.len())
        && list.stratified_split(list.len() - most, seed).is_err()
    {
        bail!("{most} photos are too few for every class to have one");
    }
    Ok(())
}

/// Opens the photos of a run, those that it began with.
pub(crate) fn of_run(
    run: &Path,
    config: &TrainConfig,
    reading: &PhotoReadingArgs,
    data_dir: &DataDir,
    global: &Global,
) -> anyhow::Result<Parts> {
    let named = photo_names(run, Path::new(&config.data.name))?;
    of_config(named, config, reading, data_dir, global)
}

/// Opens the photos of another process's run, by what its file of names contains.
pub(crate) fn announced(
    names: &[u8],
    config: &TrainConfig,
    reading: &PhotoReadingArgs,
    data_dir: &DataDir,
    global: &Global,
) -> anyhow::Result<Parts> {
    let root = Path::new(&config.data.name);
    // This machine has copies.
    let named = unread(parse_photo_names(names, root).context("process 0 sent other photos")?);
    if let Some((first, more)) = missing(&named) {
        let (first, root) = (first.shown(), root.shown());
        bail!("{first} and {more} more photos of the run are not here: bring all of {root}");
    }
    of_config(named, config, reading, data_dir, global)
}

fn of_config(
    named: [Option<NamedPhotos>; 3],
    config: &TrainConfig,
    reading: &PhotoReadingArgs,
    data_dir: &DataDir,
    global: &Global,
) -> anyhow::Result<Parts> {
    let photos = named.iter().flatten().map(|(list, _)| list.len()).sum();
    let options = options(photos, cache::shorter_side(config), reading, data_dir, global);
    Ok(named_photos(named, &config.data, options)?)
}

/// How so many photos are read, of which the cache has such a shorter side.
fn options(
    photos: usize,
    shorter: usize,
    reading: &PhotoReadingArgs,
    data_dir: &DataDir,
    global: &Global,
) -> PhotoOptions {
    let cache = cache::options(reading, data_dir, photos, shorter);
    PhotoOptions { workers: reading.workers.unwrap_or(global.cpu_threads()), cache }
}

/// The photos of a run to train on, for validation and to test on.
pub(crate) fn names_of_run(run: &Path, root: &Path) -> anyhow::Result<[Option<PhotoList>; 3]> {
    Ok(photo_names(run, root)?.map(|named| named.map(|(list, _)| list)))
}

/// The names of the photos that a run of these data would have in its file, for [`announced`]; nothing if they are no
/// photos.
pub(crate) fn names(data: &Parts) -> Vec<u8> {
    let unread = |photos: &Photos| (photos.list().clone(), vec![0; photos.len()]);
    format_photo_names(&data.photos().map(|photos| photos.map(unread)))
}

/// How many photos of a list a run was trained on.
pub(crate) fn trained_on(list: &PhotoList, run: &Path) -> anyhow::Result<usize> {
    let data = TrainConfig::read(&run.join(CONFIG))?.data;
    if !DataArg::Folder(list.root().to_owned()).is_that_of(&data) {
        return Ok(0);
    }
    let [train, ..] = names_of_run(run, list.root())?;
    let train = train.unwrap_or_default();
    let names: HashSet<&[u8]> = (0..train.len()).map(|index| train.bytes(index)).collect();
    Ok((0..list.len()).filter(|&index| names.contains(list.bytes(index))).count())
}

/// The photos of a folder to evaluate a model on: those to test on, for validation, or all, whichever there
/// are first, and which these are. Their labels are the model's classes of the same names, or, where these are of
/// ImageNet, of these ids.
pub(crate) fn to_evaluate(
    root: &Path,
    labels: Option<&Path>,
    model: &Model,
    global: &Global,
) -> anyhow::Result<(PhotoList, Part, Vec<String>)> {
    let (root, labels) = (absolute(root)?, labels.map(absolute).transpose()?);
    let mut set = PhotoSet::list(&root, labels.as_deref(), &mut |_| ControlFlow::Continue(()))?;
    set.notes.iter().for_each(|note| global.note(note));
    if let Some(classes) = &model.classes {
        let ids = model.wordnet_ids();
        if ids.is_some_and(|ids| set.match_classes(&ids, "the model").is_ok()) {
            set.classes.clone_from(classes);
        } else {
            set.match_classes(classes, "the model")?;
        }
    }
    let PhotoSet { classes, train, validation, test, .. } = set;
    Ok(match (test, validation) {
        (Some(test), _) => (test, Part::Test, classes),
        (_, Some(validation)) => (validation, Part::Validation, classes),
        _ => (train, Part::Whole, classes),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_photos_to_test_on_need_not_be_of_every_class() {
        let mut list = PhotoList::new(Path::new("root"));
        (0..12).for_each(|i| list.push(format!("{i}").as_bytes(), i / 4));
        for (most, counts) in [(6, vec![2; 3]), (3, vec![1; 3]), (12, vec![4; 3])] {
            let mut few = list.clone();
            limit_test_photos(&mut few, Some(most), 0);
            assert_eq!(few.counts(3), counts);
        }
        let two = |seed| {
            let mut two = list.clone();
            assert!(limit(&mut two, Some(2), seed).is_err());
            limit_test_photos(&mut two, Some(2), seed);
            (0..two.len()).map(|index| two.bytes(index).to_vec()).collect::<Vec<_>>()
        };
        assert_eq!((two(0).len(), two(0)), (2, two(0)));
        assert!((1..9).any(|seed| two(seed) != two(0)));
    }
}

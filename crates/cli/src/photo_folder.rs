//! Folders of photos as the data of a run or an evaluation.

use std::{
    collections::HashSet,
    ops::ControlFlow,
    path::{Path, PathBuf},
};

use anyhow::{Context, bail};
use resnet::{
    Arch,
    config::TrainConfig,
    data::{
        ImageSet, NamedPhotos, Parts, PhotoList, PhotoOptions, PhotoSet, Photos,
        format_photo_names, parse_photo_names, photo::Preparation, read_photo_names,
        write_photo_names,
    },
    model_file::Model,
    preprocess::Normalisation,
    random::{Purpose, Random},
    recipe::Recipe,
    run::{CONFIG, PHOTOS, RunFolder},
};
use resnet_formats::Shown;
use resnet_pictures::report::Part;

use crate::{
    args::{DataArg, DataDir, Global, ImagesArgs, PhotoReadingArgs, Share, TrainArgs},
    config::absolute,
    error::Usage,
};

pub(crate) use self::cache::cache_memory;

mod cache;

/// The share of the photos that become the validation set, where none is given.
const VALIDATION: Share = Share::Fraction(0.2);

/// The shorter side before the centre crop of evaluation: 256 for images of 224.
pub(crate) fn resize_for(image_size: usize) -> usize {
    image_size.saturating_mul(256) / 224
}

/// Opens a folder of photos to train a network on. Its validation set is a part of its own, or is taken
/// out here.
pub(crate) fn open(
    root: &Path,
    args: &TrainArgs,
    arch: Arch,
    global: &Global,
) -> anyhow::Result<Parts> {
    let labels = args.images.labels.as_ref().map(absolute).transpose()?;
    let set = PhotoSet::open(&absolute(root)?, labels.as_deref())?;
    set.notes.iter().for_each(|note| global.note(note));
    // The root is that of the names, which may be the folder of the table.
    let PhotoSet { root, classes, mut train, mut validation, mut test, .. } = set;
    let seed = args.recipe.seed;
    let ImagesArgs { limit_train, limit_test, .. } = args.images;
    limit(&mut train, limit_train, seed)?;
    for list in [&mut validation, &mut test].into_iter().flatten() {
        limit_test_photos(list, limit_test, seed);
    }
    let own_validation = validation.is_some();
    let share = args.images.validation.or(Some(VALIDATION).filter(|_| test.is_none()));
    match (&validation, args.images.validation, share) {
        (Some(_), Some(_), _) => {
            let message = "the folder has a part for validation of its own: leave out --validation";
            return Err(Usage(message.into()).into());
        }
        (None, _, Some(share)) => {
            if limit_test.is_some() && test.is_none() {
                global.note(
                    "--limit-test does nothing here: the folder has no part for validation or tests; --validation N \
                     holds N photos out",
                );
            }
            let images = share.of(train.len());
            validation =
                Some(train.stratified_split(images, seed)?).filter(|list| !list.is_empty());
        }
        _ => {}
    }
    let size = args.images.image_size.unwrap_or(arch.image_size());
    // A configuration (--config) may have another crop: this one decides only where photos are kept.
    let recipe = Recipe::for_photos(&args.recipe.recipe, arch, None, [train.len(), classes.len()])
        .map(|recipe| recipe.for_image_size(arch.image_size(), size));
    let crop = recipe.and_then(|recipe| recipe.transform).unwrap_or_default().crop;
    let unread = |list: PhotoList| {
        let identities = vec![0; list.len()];
        (list, identities)
    };
    let named = [Some(train), validation, test].map(|list| list.map(unread));
    let sizes = [size, resize_for(size), crop.shorter_side(size)];
    let (reading, data_dir) = (&args.images.reading, &args.data_dir);
    let parts = parts(&root, classes, named, sizes, reading, data_dir, global)?;
    Ok(Parts { own_validation, ..parts })
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
    let named = named_of_run(run, Path::new(&config.data.name))?;
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

/// Takes the photos of a run from another folder from now on. They must have the same names there.
pub(crate) fn move_run(run: &mut RunFolder, root: &Path) -> anyhow::Result<()> {
    let root = absolute(root)?;
    let named = unread(named_of_run(run.path(), &root)?);
    if let Some((first, more)) = missing(&named) {
        let (first, root) = (first.shown(), root.shown());
        bail!(
            "{first} and {more} more photos of the run are not there: bring all that the run knows to {root}, under \
             the same names"
        );
    }
    let root = root.to_str().context("the path of the folder is not UTF-8")?;
    if root == run.config().data.name {
        return Ok(());
    }
    write_names(&run.path().join(PHOTOS), &named)?;
    Ok(run.move_photos(root)?)
}

/// Photos as if they were not read yet: copies have other times.
fn unread(named: [Option<NamedPhotos>; 3]) -> [Option<NamedPhotos>; 3] {
    named.map(|part| part.map(|(list, identities)| (list, vec![0; identities.len()])))
}

fn write_names(file: &Path, named: &[Option<NamedPhotos>; 3]) -> anyhow::Result<()> {
    write_photo_names(file, named).with_context(|| format!("cannot write {}", file.shown()))
}

/// The first of the photos that are not where they should be, and the number of others.
fn missing(named: &[Option<NamedPhotos>; 3]) -> Option<(PathBuf, usize)> {
    let lists = named.iter().flatten().map(|(list, _)| list);
    let paths = lists.flat_map(|list| (0..list.len()).map(|index| list.path(index)));
    let mut missing = paths.filter(|path| !path.is_file());
    Some((missing.next()?, missing.count()))
}

fn of_config(
    named: [Option<NamedPhotos>; 3],
    config: &TrainConfig,
    reading: &PhotoReadingArgs,
    data_dir: &DataDir,
    global: &Global,
) -> anyhow::Result<Parts> {
    let (root, classes) = (Path::new(&config.data.name), config.data.classes.clone());
    let size = config.data.image_size;
    let resize = config.data.photos.as_ref().map_or(resize_for(size), |photos| photos.resize);
    let sizes = [size, resize, cache::shorter_side(config)];
    let parts = parts(root, classes, named, sizes, reading, data_dir, global)?;
    let own_validation = config.data.photos.as_ref().is_some_and(|photos| photos.own_validation);
    Ok(Parts { own_validation, ..parts })
}

/// The photos of a run to train on, for validation and to test on.
pub(crate) fn names_of_run(run: &Path, root: &Path) -> anyhow::Result<[Option<PhotoList>; 3]> {
    Ok(named_of_run(run, root)?.map(|named| named.map(|(list, _)| list)))
}

fn named_of_run(run: &Path, root: &Path) -> anyhow::Result<[Option<NamedPhotos>; 3]> {
    let names = run.join(PHOTOS);
    read_photo_names(&names, root)
        .with_context(|| format!("cannot read {}, the photos of the run", names.shown()))
}

/// The names of the photos that a run of these data would have in its file, for [`announced`]; nothing if they are no
/// photos.
pub(crate) fn names(data: &Parts) -> Vec<u8> {
    let unread = |photos: &Photos| (photos.list().clone(), vec![0; photos.len()]);
    format_photo_names(&photos_of(data).map(|photos| photos.as_ref().map(unread)))
}

/// The photos to train on, for validation and to test on.
fn photos_of(data: &Parts) -> [Option<Photos>; 3] {
    let photos = |set: Option<&ImageSet>| match set {
        Some(ImageSet::Photos(photos)) => Some(photos.clone()),
        _ => None,
    };
    [Some(&data.train), data.validation.as_ref(), data.test.as_ref()].map(photos)
}

/// The file with the photos of a run.
pub(crate) struct RunPhotos {
    path: PathBuf,
    parts: [Option<Photos>; 3],
    /// What the photos are known by in the file.
    saved: [Option<Vec<u64>>; 3],
}

impl RunPhotos {
    /// Those of a run, known by what its file has; none if its data are no photos.
    pub(crate) fn of(run: &RunFolder, data: &Parts) -> Option<RunPhotos> {
        let parts = photos_of(data);
        parts[0].is_some().then(|| RunPhotos::new(run.path().join(PHOTOS), parts))
    }

    fn new(path: PathBuf, parts: [Option<Photos>; 3]) -> RunPhotos {
        let saved = identities(&parts);
        RunPhotos { path, parts, saved }
    }

    /// Writes the file again if photos were read for the first time since, or have changed.
    pub(crate) fn update(&mut self) -> anyhow::Result<()> {
        let now = identities(&self.parts);
        if now != self.saved {
            self.save()?;
            self.saved = now;
        }
        Ok(())
    }

    /// Writes their names, and of those that were read what they are known by.
    pub(crate) fn save(&self) -> anyhow::Result<()> {
        let named = |photos: &Photos| (photos.list().clone(), photos.identities());
        let parts = self.parts.each_ref().map(|photos| photos.as_ref().map(named));
        write_names(&self.path, &parts)
    }
}

fn identities(parts: &[Option<Photos>; 3]) -> [Option<Vec<u64>>; 3] {
    parts.each_ref().map(|photos| photos.as_ref().map(Photos::identities))
}

fn parts(
    root: &Path,
    classes: Vec<String>,
    [train, validation, test]: [Option<NamedPhotos>; 3],
    [size, resize, shorter]: [usize; 3],
    reading: &PhotoReadingArgs,
    data_dir: &DataDir,
    global: &Global,
) -> anyhow::Result<Parts> {
    let Some((train, identities)) = train else {
        bail!("{} has no photos to train on", root.shown())
    };
    let held_out = [&validation, &test].map(|part| part.as_ref().map_or(0, |(list, _)| list.len()));
    let photos = train.len() + held_out.iter().sum::<usize>();
    let cache = cache::options(reading, data_dir, photos, shorter);
    let workers = reading.workers.unwrap_or(global.cpu_threads());
    let preparation = Preparation::new(size, Some(resize), 3);
    let train = Photos::new(train, preparation, PhotoOptions { workers, cache })
        .with_identities(identities);
    let other = |part: Option<NamedPhotos>| {
        part.map(|(list, identities)| {
            ImageSet::Photos(train.with_list(list).with_identities(identities))
        })
    };
    let (validation, test) = (other(validation), other(test));
    let name = root.to_str().context("the path of the folder is not UTF-8")?.to_owned();
    let normalisation = Normalisation::imagenet();
    let train = ImageSet::Photos(train);
    Ok(Parts { name, classes, normalisation, train, validation, own_validation: false, test })
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
    use std::fs;

    use resnet::data::CacheOptions;

    use super::*;

    #[test]
    fn the_file_of_a_run_follows_its_photos() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        let write = |content: &str| fs::write(root.join("a.jpg"), content).unwrap();
        write("a photo");
        let mut list = PhotoList::new(root);
        ["a.jpg", "b.jpg"].iter().for_each(|name| list.push(name.as_bytes(), 0));
        let options = PhotoOptions { workers: 1, cache: CacheOptions::None };
        let photos = Photos::new(list, Preparation::new(8, None, 3), options);
        let path = root.join(PHOTOS);
        let mut file = RunPhotos::new(path.clone(), [Some(photos.clone()), None, None]);
        let saved = || {
            let [train, ..] = read_photo_names(&path, root).unwrap();
            train.unwrap().1
        };
        file.update().unwrap();
        assert!(!path.exists(), "nothing was read");
        let mut known = Vec::new();
        for content in ["a photo", "another photo"] {
            write(content);
            photos.prepared(0);
            file.update().unwrap();
            assert_eq!(saved(), photos.identities());
            known.push(saved()[0]);
        }
        assert!(known[0] != 0 && known[0] != known[1] && saved()[1] == 0, "{known:?}");
    }

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

//! Photos on disk as the images of a data set: read, prepared and augmented by threads of their own.
//!
//! What a batch holds depends on the seed, the epoch and the files, not on the threads or the cache.

mod cache;
mod form;
mod pipeline;
mod troubles;

use std::{
    fs::{self, Metadata},
    io::{self, Read},
    ops::Range,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::UNIX_EPOCH,
};

use resnet_formats::{Shown, open};
use resnet_network::preprocess::Preparation;

use self::{
    cache::{Cache, Key},
    pipeline::{Unusable, Work},
    troubles::Troubles,
};
pub use cache::CacheOptions;
pub(crate) use form::Form;

use crate::{
    DataError, Epoch, PhotoList,
    photo::{self, MAX_FILE, MemoryBudget, Photo, PhotoError, PhotoFileError},
    plan::Plan,
    transform::{Scratch, Transform},
};

/// How photos are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PhotoOptions {
    /// Threads that read, prepare and augment photos.
    pub workers: usize,
    /// Where prepared photos are kept for later epochs.
    pub cache: CacheOptions,
}

/// Labelled photos on disk. Only their names and labels are in memory.
#[derive(Clone, Debug)]
pub struct Photos {
    list: Arc<PhotoList>,
    preparation: Preparation,
    /// Length and time of each file when it was read first, as one number; 0 before that.
    identities: Arc<[AtomicU64]>,
    shared: Arc<Shared>,
}

/// What all parts of a data set share.
#[derive(Debug)]
struct Shared {
    workers: usize,
    kept: CacheOptions,
    cache: Cache,
    budget: MemoryBudget,
    troubles: Troubles,
}

impl Photos {
    /// Photos of a list, which evaluation prepares so.
    ///
    /// # Panics
    /// If there are no workers.
    pub fn new(list: PhotoList, preparation: Preparation, options: PhotoOptions) -> Photos {
        assert!(options.workers > 0, "at least one thread reads photos");
        let troubles = Troubles::default();
        let (workers, budget) = (options.workers, MemoryBudget::default());
        let cache = Cache::open(&options.cache, &mut |note| troubles.note(note));
        let shared = Shared { workers, kept: options.cache, cache, budget, troubles };
        Photos::of(list, preparation, Arc::new(shared))
    }

    /// Other photos of the same data set, with the same cache.
    #[must_use]
    pub fn with_list(&self, list: PhotoList) -> Photos {
        Photos::of(list, self.preparation, self.shared.clone())
    }

    fn of(list: PhotoList, preparation: Preparation, shared: Arc<Shared>) -> Photos {
        let identities = (0..list.len()).map(|_| AtomicU64::new(0)).collect();
        Photos { list: Arc::new(list), preparation, identities, shared }
    }

    /// Number of photos.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The class of each photo.
    pub fn labels(&self) -> &[u32] {
        self.list.labels()
    }

    /// Their names.
    pub fn list(&self) -> &PhotoList {
        &self.list
    }

    /// Whether those that are prepared to train on are kept for later epochs.
    pub fn is_cached(&self) -> bool {
        !matches!(self.shared.cache, Cache::None)
    }

    /// Where those that are prepared were to be kept.
    pub fn cache(&self) -> &CacheOptions {
        &self.shared.kept
    }

    /// How they are prepared for evaluation; images to train on have the same size.
    pub fn preparation(&self) -> Preparation {
        self.preparation
    }

    /// The same photos, prepared for evaluation in another way.
    #[must_use]
    pub fn prepared_as(&self, preparation: Preparation) -> Photos {
        Photos { preparation, ..self.clone() }
    }

    /// The first `n` photos, or all if there are fewer.
    #[must_use]
    pub fn first(&self, n: usize) -> Photos {
        self.with_list(self.list.select(0..n.min(self.len())))
    }

    /// The length of each file, and the first bytes of some that are spread over the list: what tells whether two
    /// folders have the same photos. A file that is not there has another length than any. The
    /// [identities](Photos::identities) of all are known then.
    pub(crate) fn peek(&self) -> Vec<(u64, Vec<u8>)> {
        const READ: usize = 16;
        const FIRST: u64 = 1 << 16;
        let between = self.len().div_ceil(READ).max(1);
        photo::map(0..self.len(), self.shared.workers, |index| {
            let path = self.list.path(index);
            let metadata = fs::metadata(&path);
            // Perhaps only another process will read it.
            metadata.iter().for_each(|metadata| self.compare(index, &path, metadata));
            let len = metadata.map_or(u64::MAX, |metadata| metadata.len());
            let mut start = Vec::new();
            if index % between == 0
                && let Ok(file) = open(&path)
                && file.take(FIRST).read_to_end(&mut start).is_err()
            {
                start.clear();
            }
            (len, start)
        })
    }

    /// Length and time of change of each file when it was read, or compared with those of other processes, as one
    /// number; 0 if it was not. A file that has another one when it is read again is noted.
    pub fn identities(&self) -> Vec<u64> {
        self.identities.iter().map(|identity| identity.load(Ordering::Relaxed)).collect()
    }

    /// The same photos, to be compared with what they were.
    ///
    /// # Panics
    /// If there is not an identity for each photo.
    #[must_use]
    pub fn with_identities(self, identities: Vec<u64>) -> Photos {
        assert_eq!(identities.len(), self.len(), "an identity for each photo");
        let identities = identities.into_iter().map(AtomicU64::new).collect();
        Photos { identities, ..self }
    }

    /// A photo, prepared for evaluation; black if it cannot be used.
    pub fn prepared(&self, index: usize) -> Vec<u8> {
        match self.photo(index, Form::Square(self.preparation)) {
            Ok(photo) => photo.pixels.clone(),
            Err(_) => vec![0; self.preparation.image_len()],
        }
    }

    /// The photos of a range, resized but not cropped ([`Photo::resized`]); none for one that cannot be used.
    ///
    /// # Errors
    /// If photos can no longer be read.
    ///
    /// # Panics
    /// If the range is not one of these photos.
    pub fn whole(
        &self,
        range: Range<usize>,
        preparation: Preparation,
    ) -> Result<Vec<Option<Photo>>, DataError> {
        let one = |index| match self.photo(index, Form::Whole(preparation)) {
            Ok(photo) => Ok(Some(Arc::unwrap_or_clone(photo))),
            Err(Unusable::Skipped) => Ok(None),
            Err(Unusable::Lost(error)) => Err(error),
        };
        photo::map(range, self.shared.workers, one).into_iter().collect()
    }

    /// Those that were not found to be unusable so far.
    #[must_use]
    pub fn usable(&self) -> Photos {
        let is_usable = |&index: &usize| !self.shared.troubles.knows(&self.list.path(index));
        self.with_list(self.list.select((0..self.len()).filter(is_usable)))
    }

    /// Messages since the last call: each photo that cannot be used, or has changed, once.
    pub fn take_notes(&self) -> Vec<String> {
        let mut notes = self.shared.troubles.take();
        notes.extend(self.shared.cache.take_notes());
        notes
    }

    /// The photos in order, prepared for evaluation. Those that cannot be used are missing in their
    /// batches.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub fn batches(&self, batch_size: usize) -> io::Result<Epoch> {
        self.some_batches(batch_size, |_| true)
    }

    /// The same of the batches that `of` chooses by their number, from 0.
    pub(crate) fn some_batches(
        &self,
        batch_size: usize,
        of: impl Fn(usize) -> bool,
    ) -> io::Result<Epoch> {
        let plan = Plan::in_order(self.len(), batch_size, of);
        let work = Evaluated { photos: self.clone() };
        pipeline::start(plan, self.preparation.image_size, self.shared.workers, work)
    }

    /// The batches of an epoch of training.
    pub(crate) fn augmented(
        &self,
        plan: Plan,
        augmentation: Augmentation,
        epoch: u64,
    ) -> io::Result<Epoch> {
        let Transform { crop, interpolation, .. } = augmentation.transform;
        let form = Form::for_training(self.preparation.image_size, crop, interpolation);
        let work = Augmented { photos: self.clone(), form, augmentation, epoch };
        pipeline::start(plan, self.preparation.image_size, self.shared.workers, work)
    }

    /// A photo in a form. One that cannot be used is reported.
    fn photo(&self, index: usize, form: Form) -> Result<Arc<Photo>, Unusable> {
        let path = self.list.path(index);
        let error = match self.read(index, &path, form) {
            Ok(photo) => return Ok(photo),
            Err(error) => error,
        };
        let troubles = &self.shared.troubles;
        let error = if matches!(error, PhotoError::Io(_)) && !troubles.knows(&path) {
            if let Some(source) = self.lost() {
                let root = self.list.root().to_owned();
                return Err(Unusable::Lost(DataError::PhotosLost { root, source }));
            }
            // All may have been away for a moment.
            match self.read(index, &path, form) {
                Ok(photo) => return Ok(photo),
                Err(error) => error,
            }
        } else {
            error
        };
        let error = PhotoFileError { path: path.clone(), error };
        troubles.report(path, || format!("{error}; it is left out"));
        Err(Unusable::Skipped)
    }

    fn read(&self, index: usize, path: &Path, form: Form) -> Result<Arc<Photo>, PhotoError> {
        let key = |metadata: &Metadata| Key::new(path, metadata.len(), modified(metadata), form);
        // A photo that is gone or has changed must not come from the cache.
        let metadata = fs::metadata(path)?;
        let cache = &self.shared.cache;
        if let Some(photo) = cache.get(&key(&metadata)) {
            self.compare(index, path, &metadata);
            return Ok(photo);
        }
        let file = open(path)?;
        let metadata = file.metadata()?;
        if metadata.len() > MAX_FILE {
            return Err(PhotoError::FileTooLarge);
        }
        self.compare(index, path, &metadata);
        let (grey, side) = (form.is_grey(), form.decoded_side());
        let budget = &self.shared.budget;
        let decoded =
            budget.decode(file, Some(metadata.len()), grey, side, |_, photo| form.of(photo))?;
        let photo = Arc::new(decoded);
        cache.put(&key(&metadata), &photo);
        Ok(photo)
    }

    /// Notes if a file is not the one that was read before.
    fn compare(&self, index: usize, path: &Path, metadata: &Metadata) {
        let now = metadata.len().wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ modified(metadata) | 1;
        let before = self.identities[index].swap(now, Ordering::Relaxed);
        if before != 0 && before != now {
            self.shared.troubles.changed(|| {
                format!(
                    "{} has changed since the run began to read it: from now on it is used as it is",
                    path.shown()
                )
            });
        }
    }

    /// Why no photo can be read, if none of some that are spread over the list can.
    fn lost(&self) -> Option<io::Error> {
        const TRIED: usize = 16;
        let mut lost = None;
        for index in (0..self.len()).step_by(self.len().div_ceil(TRIED).max(1)) {
            let read = open(&self.list.path(index)).and_then(|mut file| file.read(&mut [0]));
            lost = Some(read.err()?);
        }
        lost
    }
}

/// The time of a file's last change, nanoseconds.
fn modified(metadata: &Metadata) -> u64 {
    let time = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    time.map_or(0, |time| time.as_nanos() as u64)
}

/// Photos for evaluation.
struct Evaluated {
    photos: Photos,
}

impl Work for Evaluated {
    type Scratch = ();

    fn make(&self, index: usize, _: usize, (): &mut (), out: &mut Vec<u8>) -> Result<(), Unusable> {
        let photo = self.photos.photo(index, Form::Square(self.photos.preparation))?;
        out.extend_from_slice(&photo.pixels);
        Ok(())
    }

    fn label(&self, index: usize) -> u32 {
        self.photos.labels()[index]
    }
}

/// Augmented photos.
struct Augmented {
    photos: Photos,
    form: Form,
    augmentation: Augmentation,
    epoch: u64,
}

/// How photos are augmented.
#[derive(Clone, Debug)]
pub(crate) struct Augmentation {
    pub(crate) transform: Transform,
    pub(crate) seed: u64,
    /// The mean colour.
    pub(crate) mean: [u8; 3],
}

impl Work for Augmented {
    type Scratch = Scratch;

    fn make(
        &self,
        draw: usize,
        side: usize,
        scratch: &mut Scratch,
        out: &mut Vec<u8>,
    ) -> Result<(), Unusable> {
        let photo = self.photos.photo(draw % self.photos.len(), self.form)?;
        let (source, size) = ([photo.height, photo.width], [side; 2]);
        let Augmentation { transform, seed, mean } = &self.augmentation;
        let choice = transform.choose(*seed, self.epoch, draw as u64, source, size);
        out.resize(side * side * 3, 0);
        choice.write(&photo, *mean, scratch, out);
        Ok(())
    }

    fn label(&self, draw: usize) -> u32 {
        self.photos.labels()[draw % self.photos.len()]
    }
}

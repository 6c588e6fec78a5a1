//! The cache on disk.

use std::{
    cmp::Reverse,
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    process,
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant, SystemTime},
};

use resnet_formats::{Shown, open};

use super::{
    Key,
    segment::{self, Kind, MOST, SUFFIX, Writer},
};
use crate::photo::Photo;

/// A file of the cache has about this many bytes, or a quarter of all, so that old ones make room bit by bit.
const SEGMENT: u64 = 256 << 20;
/// Files that were changed less than this ago may be in use by another run, and stay.
const RECENT: Duration = Duration::from_secs(3600);
/// How often the time of a file is set while it is in use.
const REFRESH: Duration = Duration::from_secs(600);

/// Prepared photos in the files of a folder, which runs share: each reads all that there were when it began,
/// and adds files of its own. Where there is no room for more, it removes old files that no run uses. A file is
/// opened for each photo that is read: there may be more of them than a process may open.
#[derive(Debug)]
pub(crate) struct Disk {
    folder: PathBuf,
    most: u64,
    /// Bytes of a file.
    segment: u64,
    index: Mutex<Index>,
    writer: Mutex<State>,
    notes: Mutex<Vec<String>>,
}

#[derive(Debug, Default)]
struct Index {
    /// The file of an entry, and its place there.
    places: HashMap<Key, (usize, u64)>,
    files: Vec<Segment>,
    damaged: usize,
}

#[derive(Debug)]
struct Segment {
    path: Arc<Path>,
    /// When its time was set last, or it was created; none if no entry of it was read or written here.
    used: Option<Instant>,
}

impl Segment {
    fn new(path: &Path, used: Option<Instant>) -> Segment {
        Segment { path: path.into(), used }
    }

    /// Notes that it is used. Whether other runs must be able to see that.
    fn must_refresh(&mut self) -> bool {
        let is_due = self.used.is_none_or(|time| time.elapsed() > REFRESH);
        if is_due {
            self.used = Some(Instant::now());
        }
        is_due
    }
}

#[derive(Debug)]
enum State {
    /// Before the first entry, or the first of a file.
    Between,
    /// The file, and its number.
    Open(Writer, usize),
    /// No more entries are added.
    Closed,
}

const NOT_POISONED: &str = "nothing panics while it holds the lock";

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect(NOT_POISONED)
}

impl Disk {
    /// Opens the cache in a folder, which is created if need be.
    pub(super) fn open(folder: &Path, most: u64) -> io::Result<Disk> {
        fs::create_dir_all(folder)?;
        let mut index = Index::default();
        for path in files(folder)? {
            // What cannot be read, or vanishes meanwhile, is not there.
            let _ = index.add(&path);
        }
        Ok(Disk {
            folder: folder.to_owned(),
            most,
            segment: SEGMENT.min(most / 4),
            index: Mutex::new(index),
            writer: Mutex::new(State::Between),
            notes: Mutex::default(),
        })
    }

    pub(super) fn get(&self, key: &Key) -> Option<Arc<Photo>> {
        let ((number, at), path, must_refresh) = {
            let mut index = lock(&self.index);
            let place = *index.places.get(key)?;
            let segment = &mut index.files[place.0];
            (place, segment.path.clone(), segment.must_refresh())
        };
        let mut file = match open(&path) {
            Ok(file) => file,
            Err(error) => {
                if error.kind() == io::ErrorKind::NotFound {
                    // Another run removed it.
                    lock(&self.index).remove(number);
                }
                return None;
            }
        };
        if must_refresh {
            // Where that fails, another run may remove it, and its photos are decoded again.
            let _ = file.set_modified(SystemTime::now());
        }
        let photo = segment::read(&mut file, at, key);
        if photo.is_none() {
            let mut index = lock(&self.index);
            index.places.remove(key);
            index.damaged += 1;
            if index.damaged == 1 {
                let path = index.files[number].path.shown().to_string();
                self.note(format!(
                    "{path} is damaged: its photos are decoded again where that is so"
                ));
            }
        }
        photo.map(Arc::new)
    }

    pub(super) fn put(&self, key: &Key, photo: &Photo) {
        if photo.pixels.len() > MOST || photo.pixels.is_empty() {
            return;
        }
        let mut state = lock(&self.writer);
        if let Err(error) = self.add(&mut state, key, photo) {
            // A file is given back, so that the run can write its checkpoints where the disk is full.
            if let State::Open(writer, number) = std::mem::replace(&mut *state, State::Closed) {
                lock(&self.index).remove(number);
                let _ = fs::remove_file(&writer.path);
            }
            self.note(format!(
                "the cache in {} takes no more photos ({error}): those that are not in it are decoded in \
                 every epoch",
                self.folder.shown()
            ));
        }
    }

    fn add(&self, state: &mut State, key: &Key, photo: &Photo) -> io::Result<()> {
        if let State::Closed = state {
            return Ok(());
        }
        if let State::Between = state {
            if !self.make_room(self.segment)? {
                *state = State::Closed;
                self.note(format!(
                    "the cache in {} is full: photos that are not in it are decoded in every epoch \
                     (--cache-size)",
                    self.folder.shown()
                ));
                return Ok(());
            }
            let writer = self.create()?;
            let mut index = lock(&self.index);
            index.files.push(Segment::new(&writer.path, Some(Instant::now())));
            *state = State::Open(writer, index.files.len() - 1);
        }
        let State::Open(writer, number) = state else { return Ok(()) };
        let at = writer.add(key, photo)?;
        lock(&self.index).places.insert(*key, (*number, at));
        if writer.len >= self.segment {
            *state = State::Between;
        }
        Ok(())
    }

    /// A file of a name that no other process has.
    fn create(&self) -> io::Result<Writer> {
        let time = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let name = format!("{}-{}.{SUFFIX}", time.as_nanos(), process::id());
        Writer::create(&self.folder.join(name))
    }

    /// Removes old files that are not used here until there is room for `bytes` more. False if there is
    /// not.
    fn make_room(&self, bytes: u64) -> io::Result<bool> {
        let mut there = Vec::new();
        for path in files(&self.folder)? {
            let Ok(metadata) = path.symlink_metadata() else { continue };
            let age = metadata.modified().ok().and_then(|time| time.elapsed().ok());
            there.push((age.unwrap_or_default(), metadata.len(), path));
        }
        there.sort_by_key(|&(age, ..)| Reverse(age));
        let mut total: u64 = there.iter().map(|(_, len, _)| len).sum();
        let mut index = lock(&self.index);
        for (age, len, path) in there {
            if total + bytes <= self.most {
                break;
            }
            let ours = index.files.iter().position(|segment| *segment.path == *path);
            let is_used = ours.is_some_and(|number| index.files[number].used.is_some());
            if age > RECENT && !is_used && fs::remove_file(&path).is_ok() {
                total -= len;
                ours.into_iter().for_each(|number| index.remove(number));
            }
        }
        Ok(total + bytes <= self.most)
    }

    fn note(&self, text: String) {
        lock(&self.notes).push(text);
    }

    /// Messages since the last call.
    pub(super) fn take_notes(&self) -> Vec<String> {
        std::mem::take(&mut lock(&self.notes))
    }
}

impl Index {
    /// Adds the entries of a file. One of another version is removed; one of another program stays.
    fn add(&mut self, path: &Path) -> io::Result<()> {
        let mut file = open(path)?;
        match segment::kind(&mut file)? {
            Kind::Ours => {}
            Kind::Old => {
                let changed = file.metadata()?.modified()?;
                if changed.elapsed().is_ok_and(|age| age > RECENT) {
                    drop(file);
                    fs::remove_file(path)?;
                }
                return Ok(());
            }
            Kind::Foreign => return Ok(()),
        }
        let number = self.files.len();
        for (key, at) in segment::entries(&mut file)? {
            self.places.insert(key, (number, at));
        }
        self.files.push(Segment::new(path, None));
        Ok(())
    }

    /// Forgets the entries of a file.
    fn remove(&mut self, number: usize) {
        self.places.retain(|_, place| place.0 != number);
    }
}

/// The files of the cache, in the order of their names.
fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|suffix| suffix == SUFFIX) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

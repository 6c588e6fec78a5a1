//! Where the shrunk photos of a run are kept, and how much of them in memory.

use resnet::{
    config::{DataConfig, TrainConfig},
    data::CacheOptions,
    engine::memory,
};

use crate::{
    args::{CachePlace, DataDir, PhotoReadingArgs},
    cores,
};

/// The most that a cache on disk takes, bytes.
const DISK: u64 = 32 << 30;

/// Bytes that shrunk photos of 3:4 need.
fn shrunk_bytes(photos: usize, size: usize) -> u64 {
    let shorter = (size as u64).saturating_mul(3).div_ceil(2);
    (photos as u64).saturating_mul(shorter.saturating_mul(shorter).saturating_mul(4))
}

/// Bytes of memory that the cache of a run's photos will take, about; 0 without photos.
pub(crate) fn cache_memory(reading: &PhotoReadingArgs, config: &TrainConfig) -> u64 {
    if config.data.photos.is_none() {
        return 0;
    }
    let DataConfig { train_images, validation, image_size, .. } = config.data;
    let photos = train_images.saturating_add(validation);
    most_in_memory(reading, photos, image_size)
        .map_or(0, |bytes| bytes.min(shrunk_bytes(photos, image_size)))
}

/// The most bytes of memory that shrunk photos take; none if they are kept elsewhere.
fn most_in_memory(reading: &PhotoReadingArgs, photos: usize, size: usize) -> Option<u64> {
    let processes = cores::processes_here() as u64;
    let quarter = memory::available().map_or(1 << 30, |bytes| bytes as u64 / 4 / processes);
    let most = reading.cache_size.unwrap_or(quarter);
    match reading.cache.as_ref().unwrap_or(&CachePlace::Auto) {
        CachePlace::Auto => {
            let most = most.min(quarter);
            (shrunk_bytes(photos, size) <= most).then_some(most)
        }
        CachePlace::Memory => Some(most),
        CachePlace::Disk | CachePlace::Nowhere | CachePlace::Folder(_) => None,
    }
}

/// Where shrunk photos are kept, by options and by the memory there is.
pub(super) fn options(
    reading: &PhotoReadingArgs,
    data_dir: &DataDir,
    photos: usize,
    size: usize,
) -> CacheOptions {
    if let Some(bytes) = most_in_memory(reading, photos, size) {
        return CacheOptions::Memory { bytes };
    }
    let folder = match &reading.cache {
        Some(CachePlace::Nowhere) => None,
        Some(CachePlace::Folder(folder)) => Some(folder.clone()),
        _ => data_dir.own_folder().ok().map(|folder| folder.join("photos")),
    };
    let bytes = reading.cache_size.unwrap_or(DISK);
    folder.map_or(CacheOptions::None, |folder| CacheOptions::Disk { folder, bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_is_in_memory_only_if_a_quarter_of_it_holds_the_photos() {
        let reading =
            |cache, size| PhotoReadingArgs { workers: None, cache, cache_size: Some(size) };
        let data_dir = DataDir { path: Some("data".into()), from_run: Some("run".into()) };
        let cache = |reading, photos| options(&reading, &data_dir, photos, 224);
        let disk = |folder: &str, bytes| CacheOptions::Disk { folder: folder.into(), bytes };
        // More than any memory holds.
        let (all, most) = (usize::MAX, u64::MAX);
        assert_eq!(cache(reading(None, most), all), disk("data/photos", most));
        assert_eq!(cache(reading(None, 1), 1), disk("data/photos", 1));
        let in_memory = cache(reading(None, most), 0);
        assert!(
            matches!(in_memory, CacheOptions::Memory { bytes } if bytes < most),
            "{in_memory:?}"
        );
        let asked = |place, photos| cache(reading(Some(place), 9), photos);
        assert_eq!(asked(CachePlace::Memory, all), CacheOptions::Memory { bytes: 9 });
        assert_eq!(asked(CachePlace::Disk, 0), disk("data/photos", 9));
        assert_eq!(asked(CachePlace::Folder("mine".into()), 0), disk("mine", 9));
        assert_eq!(asked(CachePlace::Nowhere, 0), CacheOptions::None);
    }
}

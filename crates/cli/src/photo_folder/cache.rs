//! Where the shrunk photos of a run are kept, and how much of them in memory.

use resnet::{
    config::TrainConfig,
    data::{CacheOptions, Parts, Photos, transform::Crop},
    engine::memory,
};

use crate::{
    args::{CachePlace, DataDir, PhotoReadingArgs},
    cores,
};

/// The most that a cache on disk takes, bytes.
const DISK: u64 = 32 << 30;

/// Bytes that photos of 3:4 need, with a shorter side of so many pixels.
fn shrunk_bytes(photos: usize, shorter: usize) -> u64 {
    let shorter = shorter as u64;
    (photos as u64).saturating_mul(shorter.saturating_mul(shorter).saturating_mul(4))
}

/// Pixels of the shorter side of a run's photos in the cache.
pub(super) fn shorter_side(config: &TrainConfig) -> usize {
    let crop = config.recipe.transform.as_ref().map_or(Crop::default(), |transform| transform.crop);
    crop.shorter_side(config.data.image_size)
}

/// Bytes of memory that the cache of a run's photos will take, about; 0 if they are kept elsewhere.
pub(crate) fn cache_memory(data: &Parts, config: &TrainConfig) -> u64 {
    let [Some(train), ..] = data.photos() else { return 0 };
    let CacheOptions::Memory { bytes } = *train.cache() else { return 0 };
    let photos = data.photos().into_iter().flatten().map(Photos::len).sum();
    bytes.min(shrunk_bytes(photos, shorter_side(config)))
}

/// The most bytes of memory that shrunk photos take; none if they are kept elsewhere.
fn most_in_memory(reading: &PhotoReadingArgs, photos: usize, shorter: usize) -> Option<u64> {
    let processes = cores::processes_here() as u64;
    let quarter = memory::available().map_or(1 << 30, |bytes| bytes as u64 / 4 / processes);
    let most = reading.cache_size.unwrap_or(quarter);
    match reading.cache.as_ref().unwrap_or(&CachePlace::Auto) {
        CachePlace::Auto => {
            let most = most.min(quarter);
            (shrunk_bytes(photos, shorter) <= most).then_some(most)
        }
        CachePlace::Memory => Some(most),
        CachePlace::Disk | CachePlace::Nowhere | CachePlace::Folder(_) => None,
    }
}

/// Where photos of such a shorter side are kept, by options and by the memory there is.
pub(super) fn options(
    reading: &PhotoReadingArgs,
    data_dir: &DataDir,
    photos: usize,
    shorter: usize,
) -> CacheOptions {
    if let Some(bytes) = most_in_memory(reading, photos, shorter) {
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
    use std::path::Path;

    use resnet::{
        data::{ImageSet, Normalisation, PhotoList, PhotoOptions},
        preprocess::Preparation,
        recipe::Recipe,
    };

    use super::*;

    #[test]
    fn all_photos_of_a_run_that_are_kept_in_memory_take_some() {
        let photos = |count: u32, cache: &CacheOptions| {
            let mut list = PhotoList::new(Path::new("photos"));
            (0..count).for_each(|photo| list.push(photo.to_string().as_bytes(), photo % 2));
            let options = PhotoOptions { workers: 1, cache: cache.clone() };
            ImageSet::Photos(Photos::new(list, Preparation::new(32, None, 3), options))
        };
        let kept = |cache| {
            let data = Parts {
                name: "photos".to_owned(),
                classes: ["cat", "dog"].map(str::to_owned).to_vec(),
                normalisation: Normalisation::imagenet(),
                train: photos(6, &cache),
                validation: Some(photos(3, &cache)),
                own_validation: true,
                test: Some(photos(1, &cache)),
            };
            let arch = "resnet8".parse().unwrap();
            let recipe = Recipe::for_photos("fast", arch, None, [6, 2]).unwrap();
            let config = TrainConfig::new(arch, recipe, &data, 0);
            (cache_memory(&data, &config), shrunk_bytes(10, shorter_side(&config)))
        };
        let (all, expected) = kept(CacheOptions::Memory { bytes: u64::MAX });
        assert_eq!(all, expected);
        assert_eq!(kept(CacheOptions::Memory { bytes: 9 }).0, 9);
        assert_eq!(kept(CacheOptions::None).0, 0);
    }

    #[test]
    fn the_cache_is_in_memory_only_if_a_quarter_of_it_holds_the_photos() {
        let reading =
            |cache, size| PhotoReadingArgs { workers: None, cache, cache_size: Some(size) };
        let data_dir = DataDir { path: Some("data".into()), from_run: Some("run".into()) };
        let cache = |reading, photos| options(&reading, &data_dir, photos, 336);
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
        // Photos with a longer side need more.
        assert!(shrunk_bytes(10, 480) > 2 * shrunk_bytes(10, 336));
        assert_eq!(shrunk_bytes(usize::MAX, usize::MAX), u64::MAX);
    }
}

//! What a check finds.

use std::path::PathBuf;

use serde::Serialize;

/// Photos whose shorter side has fewer pixels are tiny.
pub const TINY: u32 = 32;

/// A photo is of a single colour if no channel varies by more than this many levels of 255.
pub const SINGLE_COLOUR: u8 = 8;

/// The result of a check.
#[derive(Clone, Debug, Serialize)]
pub struct PhotoCheck {
    /// Photos in all parts.
    pub photos: usize,
    /// The classes, in label order.
    pub classes: Vec<ClassCheck>,
    /// Photos that cannot be used.
    pub damaged: Vec<Damaged>,
    /// Photos that are there more than once, those of several parts first, then those of several
    /// classes.
    pub duplicates: Vec<Duplicates>,
    /// Photos of a single colour.
    pub single_colour: Vec<Located>,
    /// Photos whose shorter side is below [`TINY`] pixels.
    pub tiny: Vec<Located>,
    /// Photos by the length of their shorter side.
    pub sizes: Vec<SizeClass>,
}

/// The photos of a class.
#[derive(Clone, Debug, Serialize)]
pub struct ClassCheck {
    /// Its name.
    pub name: String,
    /// Photos to train on.
    pub train: usize,
    /// Photos of the validation part, if there is one.
    pub validation: Option<usize>,
    /// Photos of the test part, if there is one.
    pub test: Option<usize>,
    /// Those that cannot be used.
    pub damaged: usize,
    /// Width and height of the photos with the fewest pixels, the median, and the most.
    pub smallest: Option<[u32; 2]>,
    /// The median.
    pub median: Option<[u32; 2]>,
    /// The most.
    pub largest: Option<[u32; 2]>,
}

/// Photos whose shorter side has a length.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SizeClass {
    /// The least, pixels.
    pub from: u32,
    /// One more than the most; none for any.
    pub below: Option<u32>,
    /// How many there are.
    pub photos: usize,
}

/// A photo of a set.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Located {
    /// Its path below the set's folder, printable.
    pub photo: String,
    /// Its path.
    #[serde(skip)]
    pub path: PathBuf,
    /// `train`, `val` or `test`.
    pub part: &'static str,
    /// Its class.
    pub class: String,
}

/// A photo that cannot be used.
#[derive(Clone, Debug, Serialize)]
pub struct Damaged {
    /// The photo.
    #[serde(flatten)]
    pub photo: Located,
    /// Why, after its name: `is truncated`.
    pub reason: String,
}

/// Photos that are duplicates of the first one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Duplicates {
    /// Whether they are in several parts: the network is tested on what it was trained on.
    pub across_parts: bool,
    /// Whether they have several labels.
    pub across_classes: bool,
    /// The photos, at least two.
    pub photos: Vec<Located>,
    /// For each of them, the place here of the first photo before it whose file is equal: it is an exact
    /// duplicate. The others are near duplicates of the first photo.
    pub equal_to: Vec<Option<usize>>,
}

impl Duplicates {
    /// How many photos have a file equal to that of a photo before them.
    pub fn exact(&self) -> usize {
        self.equal_to.iter().flatten().count()
    }

    /// How many photos look like the first one, with another file than all before them.
    pub fn near(&self) -> usize {
        self.photos.len().saturating_sub(1 + self.exact())
    }
}

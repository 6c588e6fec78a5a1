//! The published files.

use crate::published::PublishedFile;

pub(crate) const NAME: &str = "cifar10";

/// Rows and columns of an image.
pub(crate) const SIDE: usize = 32;
/// Bytes of a channel.
pub(super) const PLANE: usize = SIDE * SIDE;

/// Bytes of a label and its image.
pub(crate) const RECORD: usize = 1 + 3 * PLANE;

/// Images in a file.
pub(crate) fn images(file: &PublishedFile) -> usize {
    file.most() as usize / RECORD
}

const fn batch(name: &'static str, md5: &'static str) -> PublishedFile {
    PublishedFile { name, bytes: Some(10_000 * RECORD as u64), md5 }
}

/// All files: five training batches, then the test batch.
pub(crate) const FILES: [PublishedFile; 6] = [
    batch("data_batch_1.bin", "5dd7e06a14cb22eb9f671a540d1b7c25"),
    batch("data_batch_2.bin", "5ea93a67294ea407fff1d09f752e9692"),
    batch("data_batch_3.bin", "942cd6a4bcdd0dd3c604fbe906cb4421"),
    batch("data_batch_4.bin", "ae636b3ba5c66a11e91e8cb52e771fcb"),
    batch("data_batch_5.bin", "53f37980c15c3d472c316c40844f3f0d"),
    batch("test_batch.bin", "803d5f7f4d78ea53de84dbe85f74fb6d"),
];

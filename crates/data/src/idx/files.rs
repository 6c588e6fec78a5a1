//! The published files. Their MD5s are those of the decompressed files.

use super::{HEADERS, IdxSet, SIDE};
use crate::published::PublishedFile;

/// Training images and labels, test images and labels.
const fn files(md5s: [&'static str; 4]) -> [PublishedFile; 4] {
    const fn images(name: &'static str, n: usize, md5: &'static str) -> PublishedFile {
        PublishedFile { name, bytes: Some((HEADERS[0] + n * SIDE * SIDE) as u64), md5 }
    }
    const fn labels(name: &'static str, n: usize, md5: &'static str) -> PublishedFile {
        PublishedFile { name, bytes: Some((HEADERS[1] + n) as u64), md5 }
    }
    [
        images("train-images-idx3-ubyte", 60_000, md5s[0]),
        labels("train-labels-idx1-ubyte", 60_000, md5s[1]),
        images("t10k-images-idx3-ubyte", 10_000, md5s[2]),
        labels("t10k-labels-idx1-ubyte", 10_000, md5s[3]),
    ]
}

/// Handwritten digits. Mean and deviation are the customary ones, of the training images.
pub(crate) const MNIST: IdxSet = IdxSet {
    name: "mnist",
    classes: ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"],
    mean: 0.1307,
    std: 0.3081,
    files: files([
        "6bbc9ace898e44ae57da46a324031adb",
        "a25bea736e30d166cdddb491f175f624",
        "2646ac647ad5339dbf082846283269ea",
        "27ae3e4e09519cfbb04c329615203637",
    ]),
    elsewhere: &["MNIST/raw"],
};

/// Photographs of clothes. The names of the classes are torchvision's, mean and deviation those of the
/// training images.
pub(crate) const FASHION_MNIST: IdxSet = IdxSet {
    name: "fashion-mnist",
    classes: [
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ],
    mean: 0.2860,
    std: 0.3530,
    files: files([
        "f4a8712d7a061bf5bd6d2ca38dc4d50a",
        "9018921c3c673c538a1fc5bad174d6f9",
        "8181f5470baa50b63fa0f6fddb340f0a",
        "15d484375f8d13e6eb1aabb0c3f46965",
    ]),
    // The package dataset-fashion-mnist of Debian and Ubuntu.
    elsewhere: &["FashionMNIST/raw", "/usr/share/datasets/fashion-mnist"],
};

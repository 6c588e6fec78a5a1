//! Photos: reads image files of any size and colour type, and prepares them as network inputs.
//!
//! [`Photo`] is a decoded file. [`Photo::prepare`] resizes and crops it to the network's input
//! size, [`prepare()`] does both for many files in parallel, [`PhotoDecoder`] for photos in memory, and [`find`]
//! searches a folder.
//!
//! The result equals that of torchvision's `Resize` and `CenterCrop` on a PIL image after
//! `ImageOps.exif_transpose` and `convert("RGB")` (or `convert("L")`).
//!
//! Files are untrusted: their dimensions are checked before anything is allocated, and the total
//! memory of the files in progress is bounded ([`MAX_PIXELS`], [`MAX_FILE`]).

mod complete;
mod decode;
mod decoder;
mod error;
mod files;
mod format;
mod gif;
mod ico;
mod jpeg;
mod limits;
mod memory;
mod orientation;
mod parallel;
mod prepare;
mod resize;
mod tga;
mod tiff;

pub use decode::Photo;
pub(crate) use decode::luma;
pub use decoder::PhotoDecoder;
pub use error::{PhotoError, PhotoFileError};
pub(crate) use files::kind_of;
pub use files::{Found, find};
pub(crate) use format::Kind;
pub use limits::{MAX_FILE, MAX_PIXELS};
pub(crate) use parallel::{MemoryBudget, map, with_photo};
pub use parallel::{prepare, prepare_images, resize_images};
pub use prepare::Region;
pub(crate) use prepare::scaled_len;
pub(crate) use resize::{Axis, ResizeScratch, resize, resize_into};
pub use resnet_network::preprocess::{CropMode, Interpolation, Preparation};

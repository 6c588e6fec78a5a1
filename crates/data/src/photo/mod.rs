//! Photos: files of any size and colour type, as a network takes them.
//!
//! [`Photo`] is a decoded file, [`Photo::prepare`] makes of it the square of pixels that a network
//! was trained on, [`prepare()`] does both for many files at once, and [`find`] lists a folder.
//!
//! What comes out is what torchvision's `Resize` and `CenterCrop` make of a PIL image after
//! `ImageOps.exif_transpose` and `convert("RGB")` (or `convert("L")`).
//!
//! Files are hostile: their dimensions are looked at before anything is allocated, and what all
//! files under way take together has a bound ([`MAX_PIXELS`], [`MAX_FILE`]).

mod decode;
mod error;
mod files;
mod limits;
mod many;
mod prepare;
mod resize;
mod room;
mod whole;

pub use decode::Photo;
pub use error::{PhotoError, PhotoFileError};
pub use files::{Found, find};
pub use limits::{MAX_FILE, MAX_PIXELS};
pub use many::prepare;
pub use resnet_network::preprocess::Preparation;

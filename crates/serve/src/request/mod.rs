//! Requests: their bodies, within limits, and the images and options in them.

mod body;
mod images;
mod list;
mod multipart;
mod options;

pub(crate) use body::read;
pub(crate) use images::{check_count, photos};
pub(crate) use list::first;
pub(crate) use options::Options;

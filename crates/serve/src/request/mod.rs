//! Requests: their bodies, within limits, and the images and options in them.

mod body;
mod images;
mod multipart;
mod options;

pub(crate) use body::read;
pub(crate) use images::photos;
pub(crate) use options::Options;

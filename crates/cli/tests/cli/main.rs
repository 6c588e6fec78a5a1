//! The `resnet` command, as its users run it. One binary: linking is what takes time.

mod bad_input;
mod common;
mod convert;
mod earlier;
mod hostile;
mod hostile_sizes;
mod inspect;
mod live;
mod odd_images;
mod outputs;
mod predict;
mod report;
mod show;
mod train;
mod usage;

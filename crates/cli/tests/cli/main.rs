//! Tests of the `resnet` command. They are one binary, since linking takes most of the time.

mod assumptions;
mod bad_input;
mod common;
mod completions;
mod convert;
mod earlier;
mod eval;
mod experiment;
mod features;
mod hostile;
mod hostile_sizes;
mod inspect;
mod live;
mod odd_images;
mod outputs;
mod photo_check;
mod photo_preview;
mod photo_training;
mod predict;
mod pytorch;
mod report;
mod runs;
mod show;
mod train;
mod usage;

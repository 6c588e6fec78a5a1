//! What the library does as a whole. One binary, so that it is linked once; a module's name selects
//! its tests: `cargo test -p resnet --test integration golden::`.
//!
//! Memory is counted by thread, so tests that count it can run in parallel with the others.

mod allocation;
mod budget;
mod cam;
mod common;
mod evaluation;
mod facade;
mod files;
mod going_back;
mod golden;
#[cfg(feature = "gpu")]
mod gpu;
mod gradients;
mod length;
mod mean_image;
mod onnx;
mod onnx_exporters;
mod onnx_graphs;
mod photos;
mod plan_summary;
mod processes;
mod protocols;
mod recipes;
mod responses;
mod resume;
mod shared_photos;
mod steps;
mod tensorboard;
mod timm;
mod torchvision;

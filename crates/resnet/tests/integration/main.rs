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
mod initial_weights;
mod length;
mod mean_image;
mod onnx;
mod onnx_exporters;
mod onnx_graphs;
mod onnx_refused;
mod photos;
mod plan_summary;
mod processes;
mod processes_on_photos;
mod processes_that_fail;
mod protocols;
mod recipes;
mod responses;
mod resume;
mod run_folder;
mod steps;
mod tensorboard;
mod timm;
mod torchvision;

//! Reads and writes named tensors: [`safetensors`], PyTorch files ([`torch`]), [`onnx`], [`npy`]
//! and TensorBoard's event files ([`tensorboard`]).
//!
//! Files are untrusted. Every size is checked before it is used, memory is limited by the size of
//! the file, and each malformation has its own error. [`atomic_write`] writes to a temporary file,
//! syncs and renames it, so a reader never sees an incomplete file; a [`Destination`] decides about
//! links and pipes. [`lock()`] excludes other processes. [`open`], [`open_own`] and [`read`] open
//! regular files only. [`printable`], [`brief`] and [`Shown`] make untrusted text safe to show,
//! [`quoted`] safe to paste into a shell. [`caught()`] makes a panic of another crate an error.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

mod atomic;
mod budget;
mod caught;
mod destination;
mod element_type;
mod error;
mod file;
mod labelled_rows;
mod lock;
pub mod npy;
mod numbered;
pub mod onnx;
mod own;
mod pickle;
mod printable;
mod protobuf;
mod regular;
pub mod safetensors;
mod shell;
mod tensor;
pub mod tensorboard;
pub mod torch;
mod zip;

pub use atomic::{atomic_write, is_temporary};
pub use caught::{caught, is_caught};
pub use destination::Destination;
pub use error::{FormatError, FormatErrorKind};
pub use labelled_rows::LabelledRows;
pub use lock::{Lock, is_locked, lock};
pub use numbered::create_numbered;
pub use own::open_own;
pub use printable::{Printable, Shown, brief, is_printable, printable};
pub use regular::{make_own_folder, open, read, read_text};
pub use shell::{quoted, quoted_path};
pub use tensor::{Data, NamedTensors, Tensor};

//! Bytes to named tensors and back.
//!
//! Files come from strangers: every size is checked before it is used, what is read into memory is
//! bounded by the size of the file, and each malformation has its own error. Files are written to
//! a temporary one beside them, synced and renamed, so that a reader never sees half of one, or
//! into the pipe that the user named ([`Place`]);
//! [`lock()`] keeps other processes off. [`open`], [`open_own`] and [`read`] take regular files and
//! nothing in their place; [`printable`], [`brief`] and [`Shown`] show text of others to people, and
//! [`quoted`] in commands.
#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::disallowed_methods))]

mod atomic;
mod budget;
mod element_type;
mod error;
mod file;
mod lock;
pub mod npy;
pub mod onnx;
mod own;
mod pickle;
mod place;
mod printable;
mod regular;
pub mod safetensors;
mod shell;
mod tensor;
pub mod tensorboard;
pub mod torch;
mod wire;
mod zip;

pub use atomic::{atomic_write, is_temporary};
pub use error::{FormatError, FormatErrorKind};
pub use lock::{Lock, is_locked, lock};
pub use own::open_own;
pub use place::Place;
pub use printable::{Printable, Shown, brief, is_printable, printable};
pub use regular::{make_own_folder, open, read, read_text};
pub use shell::{quoted, quoted_path};
pub use tensor::{Data, NamedTensors, Tensor};

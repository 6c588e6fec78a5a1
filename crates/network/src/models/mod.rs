//! The ResNet family: architectures by name, and their graphs.
//!
//! Parse a name into an [`Arch`], and call [`Arch::graph`]. [`infer_arch`] finds the architecture
//! of a state dict.
//!
//! ImageNet nets are torchvision's and timm's, CIFAR nets the paper's (section 4.2), He et al.'s with
//! pre-activation (2016), those of the PyTorch walk-throughs, and a family made for speed.

mod arch;
mod builder;
mod infer;
mod matching;
mod name;
mod sprint;

pub use arch::{Arch, Block, Family, Shortcut, Stem, StrideAt};
pub use infer::{InferredArch, canonical_names, infer_arch};
pub use matching::{match_arch, nearest_arch};
pub use name::UnknownArch;

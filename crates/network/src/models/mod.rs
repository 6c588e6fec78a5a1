//! The ResNet family: architectures by name, and their graphs.
//!
//! Parse a name into an [`Arch`], and call [`Arch::graph`]. [`infer_arch`] finds the architecture
//! of a state dict.
//!
//! | names | nets |
//! |---|---|
//! | `resnet18` `34` `50` `101` `152` | ImageNet nets (paper, table 1), as in torchvision |
//! | `resnet18-cifar` ... | the same depths with a 3x3 stem for 32x32 images |
//! | `resnet20` `32` ... `1202` (6n+2) | the paper's CIFAR nets (section 4.2), option-A shortcuts |
//! | `plain...` | each of these without shortcuts |

mod arch;
mod builder;
mod infer;
mod matching;

pub use arch::{Arch, Block, Family, StrideAt, UnknownArch};
pub use infer::{InferredArch, canonical_names, infer_arch};
pub use matching::{match_arch, nearest_arch};

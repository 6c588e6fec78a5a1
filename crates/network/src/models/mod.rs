//! The residual family, by name.
//!
//! | names | nets |
//! |---|---|
//! | `resnet18` `34` `50` `101` `152` | ImageNet nets (paper, table 1), as in torchvision |
//! | `resnet18-cifar` ... | the same depths with a 3x3 stem for 32x32 images |
//! | `resnet20` `32` ... `1202` (6n+2) | the paper's CIFAR nets (section 4.2), option-A shortcuts |
//! | `plain...` | each of them without shortcuts |

mod arch;
mod builder;
mod matching;
mod recognise;

pub use arch::{Arch, Block, Family, StrideAt, UnknownArch};
pub use matching::{match_arch, nearest_arch};
pub use recognise::{Recognised, canonical_names, recognise};

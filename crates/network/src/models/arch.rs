//! Architectures and their names.

use std::{fmt, str::FromStr};

use resnet_formats::brief;
use thiserror::Error;

/// Blocks in each of the four stages (paper, table 1), and whether they are bottlenecks.
pub(super) const STAGES: [(usize, [usize; 4], Block); 5] = [
    (18, [2, 2, 2, 2], Block::Basic),
    (34, [3, 4, 6, 3], Block::Basic),
    (50, [3, 4, 6, 3], Block::Bottleneck),
    (101, [3, 4, 23, 3], Block::Bottleneck),
    (152, [3, 8, 36, 3], Block::Bottleneck),
];

/// The paper's CIFAR depths that `resnet archs` lists; any other 6n+2 works as well.
const PAPER_DEPTHS: [usize; 6] = [20, 32, 44, 56, 110, 1202];

/// The building block of a stage (paper, figure 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Block {
    /// Two 3x3 convolutions.
    Basic,
    /// 1x1, 3x3 and 1x1 convolutions, the last four times as wide.
    Bottleneck,
}

/// The branch of the family that a net belongs to: its stem, widths and names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Family {
    /// 7x7 stem, max pool, four stages of 64 to 512 planes, `fc` head.
    ImageNet,
    /// The same stages behind a 3x3 stem, `linear` head.
    Cifar,
    /// 3x3 stem, three stages of 16, 32 and 64 planes, option-A shortcuts, `linear` head.
    Paper,
}

impl Family {
    /// Name of the linear layer in a state dict.
    pub fn head(self) -> &'static str {
        if self == Family::ImageNet { "fc" } else { "linear" }
    }

    /// Name of the projection shortcuts in a state dict.
    pub fn shortcut(self) -> &'static str {
        if self == Family::ImageNet { "downsample" } else { "shortcut" }
    }
}

/// An architecture: a family, a depth, and whether it has shortcuts. Parse a name to get one.
///
/// ```
/// use resnet_network::Arch;
/// let arch: Arch = "resnet50".parse()?;
/// assert_eq!(arch.image_size(), 224);
/// # Ok::<(), resnet_network::models::UnknownArch>(())
/// ```
///
/// Names are `resnet18`, `34`, `50`, `101` and `152` (ImageNet), the same with `-cifar` (3x3 stem),
/// `resnetD` with D = 6n + 2 (the paper's CIFAR nets), and `plain` in place of `resnet` (without
/// shortcuts). [`Arch::all`] lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Arch {
    /// Stem, widths and head.
    pub family: Family,
    /// Weighted layers, as the paper counts them.
    pub depth: usize,
    /// Whether the blocks have shortcuts.
    pub residual: bool,
}

/// An unknown architecture name.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "unknown architecture '{}': expected resnet18|34|50|101|152 (ImageNet), the same with \
     '-cifar', resnetD with D = 6n+2 such as resnet20 (the paper's CIFAR nets), or plain instead \
     of resnet; `resnet archs` lists them",
    brief(.0)
)]
pub struct UnknownArch(pub String);

impl FromStr for Arch {
    type Err = UnknownArch;

    fn from_str(name: &str) -> Result<Self, UnknownArch> {
        let unknown = || UnknownArch(name.to_owned());
        let (residual, rest) = if let Some(rest) = name.strip_prefix("resnet") {
            (true, rest)
        } else if let Some(rest) = name.strip_prefix("plain") {
            (false, rest)
        } else {
            return Err(unknown());
        };
        let (digits, cifar) = match rest.strip_suffix("-cifar") {
            Some(digits) => (digits, true),
            None => (rest, false),
        };
        let canonical = !digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit());
        let depth: usize = digits.parse().ok().filter(|_| canonical).ok_or_else(unknown)?;
        let staged = STAGES.iter().any(|s| s.0 == depth);
        let family = match (cifar, staged) {
            (true, true) => Family::Cifar,
            (false, true) => Family::ImageNet,
            // No net has 10,000 layers.
            (false, false) if depth % 6 == 2 && (8..10_000).contains(&depth) => Family::Paper,
            _ => return Err(unknown()),
        };
        Ok(Arch { family, depth, residual })
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.residual { "resnet" } else { "plain" };
        let suffix = if self.family == Family::Cifar { "-cifar" } else { "" };
        write!(f, "{kind}{}{suffix}", self.depth)
    }
}

impl Arch {
    /// Every architecture that `resnet archs` lists.
    pub fn all() -> impl Iterator<Item = Arch> {
        let staged = [Family::Cifar, Family::ImageNet]
            .into_iter()
            .flat_map(|family| STAGES.iter().map(move |s| (family, s.0)));
        let paper = PAPER_DEPTHS.into_iter().map(|depth| (Family::Paper, depth));
        staged.chain(paper).flat_map(|(family, depth)| {
            [true, false].map(|residual| Arch { family, depth, residual })
        })
    }

    /// Rows and columns of the images that the net was designed for, pixels.
    pub fn image_size(&self) -> usize {
        if self.family == Family::ImageNet { 224 } else { 32 }
    }

    /// Classes of the data that the net was designed for.
    pub fn default_classes(&self) -> usize {
        if self.family == Family::ImageNet { 1000 } else { 10 }
    }

    /// Channels of the first stage: 64, or 16 in the paper's CIFAR nets.
    pub fn width(&self) -> usize {
        if self.family == Family::Paper { 16 } else { 64 }
    }

    /// The number of blocks in each stage, and their kind.
    pub(super) fn stages(&self) -> (Vec<usize>, Block) {
        if self.family == Family::Paper {
            return (vec![(self.depth - 2) / 6; 3], Block::Basic);
        }
        let stage = STAGES.iter().find(|s| s.0 == self.depth);
        let (_, blocks, block) = stage.expect("parsing admits only these depths");
        (blocks.to_vec(), *block)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for arch in Arch::all() {
            assert_eq!(arch.to_string().parse(), Ok(arch));
        }
        for name in ["resnet8", "resnet1202", "plain110"] {
            assert_eq!(name.parse::<Arch>().unwrap().family, Family::Paper);
        }
    }

    #[test]
    fn other_names_are_refused() {
        for name in [
            "",
            "resnet",
            "resnet19",
            "resnet2",
            "resnet020",
            "resnet+20",
            "vgg16",
            "resnet20-cifar",
            "resnet18-cifar-cifar",
            "plain-18",
            "resnet99999999999999999999",
        ] {
            assert!(name.parse::<Arch>().is_err(), "{name}");
        }
    }
}

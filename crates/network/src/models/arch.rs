//! Architectures and their names.

use std::{fmt, str::FromStr};

use resnet_formats::brief;
use thiserror::Error;

use crate::graph::Epsilon;

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

/// More layers than any of the paper's nets that could be meant.
pub(super) const PAPER_MOST: usize = 10_000;

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
    /// Whether a max pool usually follows the stem.
    fn has_max_pool(self) -> bool {
        self == Family::ImageNet
    }

    /// Name of the linear layer.
    pub fn head(self) -> &'static str {
        if self == Family::ImageNet { "fc" } else { "linear" }
    }

    /// Name of the projection shortcuts in a state dict.
    pub fn shortcut(self) -> &'static str {
        if self == Family::ImageNet { "downsample" } else { "shortcut" }
    }
}

/// Where a bottleneck block that halves the image has its stride.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum StrideAt {
    /// In the 3x3 convolution: torchvision's and timm's, also known as ResNet v1.5.
    #[default]
    Conv3x3,
    /// In the first 1x1 convolution: the paper's, Caffe's and MMPretrain's `style="caffe"`.
    Conv1x1,
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
/// shortcuts). [`Arch::all`] lists them. Options follow: `+maxpool` (of a 3x3 stem), `+nopool` (of a 7x7
/// stem), `+stride1x1` (of bottlenecks) and `+eps0.001`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Arch {
    /// Stem, widths and head.
    pub family: Family,
    /// Weighted layers, as the paper counts them.
    pub depth: usize,
    /// Whether the blocks have shortcuts.
    pub residual: bool,
    /// Whether a 3x3 max pool with a stride of 2 follows the stem; the family has a usual value,
    /// `+maxpool` and `+nopool` in a name are the other.
    pub max_pool: bool,
    /// Where bottleneck blocks have their stride; `+stride1x1` in a name.
    pub stride_at: StrideAt,
    /// Epsilon of all batch norms; `+eps0.001` in a name.
    pub epsilon: Epsilon,
}

/// An unknown architecture name.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "unknown architecture '{}': expected resnet18|34|50|101|152 (ImageNet), the same with \
     '-cifar', resnetD with D = 6n+2 such as resnet20 (the paper's CIFAR nets), or plain instead \
     of resnet; behind it the options +maxpool, +nopool, +stride1x1 and +epsX, in this order; \
     `resnet archs` lists them",
    brief(.0)
)]
pub struct UnknownArch(pub String);

impl FromStr for Arch {
    type Err = UnknownArch;

    fn from_str(name: &str) -> Result<Self, UnknownArch> {
        let unknown = || UnknownArch(name.to_owned());
        let mut options = name.split('+');
        let base = options.next().unwrap_or_default();
        let (residual, rest) = if let Some(rest) = base.strip_prefix("resnet") {
            (true, rest)
        } else if let Some(rest) = base.strip_prefix("plain") {
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
            (false, false) if depth % 6 == 2 && (8..PAPER_MOST).contains(&depth) => Family::Paper,
            _ => return Err(unknown()),
        };
        let mut arch = Arch::new(family, depth, residual);
        for option in options {
            match option {
                "maxpool" if family == Family::Cifar => arch.max_pool = true,
                "nopool" if family == Family::ImageNet => arch.max_pool = false,
                "stride1x1" if arch.block() == Block::Bottleneck => {
                    arch.stride_at = StrideAt::Conv1x1;
                }
                _ => {
                    let epsilon = option.strip_prefix("eps").and_then(|text| text.parse().ok());
                    arch.epsilon = epsilon.and_then(Epsilon::new).ok_or_else(unknown)?;
                }
            }
        }
        // One name for each: no option twice, in another order or with its usual value.
        if arch.to_string() == name { Ok(arch) } else { Err(unknown()) }
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.residual { "resnet" } else { "plain" };
        let suffix = if self.family == Family::Cifar { "-cifar" } else { "" };
        write!(f, "{kind}{}{suffix}", self.depth)?;
        if self.max_pool != self.family.has_max_pool() {
            f.write_str(if self.max_pool { "+maxpool" } else { "+nopool" })?;
        }
        if self.stride_at == StrideAt::Conv1x1 {
            f.write_str("+stride1x1")?;
        }
        if self.epsilon != Epsilon::default() {
            write!(f, "+eps{}", self.epsilon.value())?;
        }
        Ok(())
    }
}

impl Arch {
    /// The usual network of a family.
    pub(super) fn new(family: Family, depth: usize, residual: bool) -> Arch {
        Arch {
            family,
            depth,
            residual,
            max_pool: family.has_max_pool(),
            stride_at: StrideAt::default(),
            epsilon: Epsilon::default(),
        }
    }

    /// The same without options.
    #[must_use]
    pub fn usual(self) -> Arch {
        Arch::new(self.family, self.depth, self.residual)
    }

    /// The kind of its blocks.
    pub fn block(&self) -> Block {
        self.stages().1
    }

    /// Every architecture that `resnet archs` lists.
    pub fn all() -> impl Iterator<Item = Arch> {
        let staged = [Family::Cifar, Family::ImageNet]
            .into_iter()
            .flat_map(|family| STAGES.iter().map(move |s| (family, s.0)));
        let paper = PAPER_DEPTHS.into_iter().map(|depth| (Family::Paper, depth));
        staged.chain(paper).flat_map(|(family, depth)| {
            [true, false].map(|residual| Arch::new(family, depth, residual))
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
        for name in [
            "resnet18-cifar+maxpool",
            "resnet101+nopool",
            "plain50-cifar+stride1x1",
            "resnet50+nopool+stride1x1+eps0.000001",
            "resnet20+eps0.001",
        ] {
            assert_eq!(name.parse::<Arch>().unwrap().to_string(), name);
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
            "resnet18+maxpool",
            "resnet18-cifar+nopool",
            "resnet20+maxpool",
            "resnet18+stride1x1",
            "resnet50+nopool+nopool",
            "resnet50+stride1x1+nopool",
            "resnet50+eps1e-5",
            "resnet50+eps1e-3",
            "resnet50+eps0",
            "resnet50+epsNaN",
            "resnet50+",
            "+nopool",
        ] {
            assert!(name.parse::<Arch>().is_err(), "{name}");
        }
    }
}

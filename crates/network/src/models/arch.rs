//! Architectures.

use crate::graph::{Activation, Epsilon};

/// Blocks in each of the four stages, and whether they are bottlenecks: paper, table 1, and timm's net of
/// 26 layers.
pub(super) const STAGES: [(usize, [usize; 4], Block); 6] = [
    (18, [2, 2, 2, 2], Block::Basic),
    (26, [2, 2, 2, 2], Block::Bottleneck),
    (34, [3, 4, 6, 3], Block::Basic),
    (50, [3, 4, 6, 3], Block::Bottleneck),
    (101, [3, 4, 23, 3], Block::Bottleneck),
    (152, [3, 8, 36, 3], Block::Bottleneck),
];

/// The paper's CIFAR depths that `resnet archs` lists; any other 6n+2 works as well.
const PAPER_DEPTHS: [usize; 6] = [20, 32, 44, 56, 110, 1202];

/// Others that `resnet archs` lists.
const NAMED: [&str; 32] = [
    "resnet26-bottleneck",
    "resnet18-a",
    "resnet34-a",
    "resnet34-c",
    "resnet18d",
    "resnet26d",
    "resnet34d",
    "resnet50d",
    "resnet101d",
    "resnet152d",
    "wide_resnet50_2",
    "wide_resnet101_2",
    "resnext50_32x4d",
    "resnext50d_32x4d",
    "resnext101_32x4d",
    "resnext101_32x8d",
    "resnext101_32x16d",
    "resnext101_64x4d",
    "resnet20-b",
    "resnet32-b",
    "resnet44-b",
    "resnet56-b",
    "resnet110-b",
    "resnet20-c",
    "preresnet20",
    "preresnet56",
    "preresnet110",
    "preresnet18-cifar",
    "preresnet50",
    "resnet8-sprint",
    "resnet11-sprint",
    "plain8-sprint",
];

/// The width of bottlenecks of the paper's, in networks of 64 channels.
pub(super) const USUAL_WIDTH: usize = 64;

/// More layers than any of the paper's nets that could be meant.
const PAPER_MOST: usize = 10_000;

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
    /// Made for speed: 3x3 stem of 32 channels without batch norm, three stages that begin with a
    /// convolution and a 2x2 max pool, one shortcut in each, a global max pool, `linear` head.
    Sprint,
}

impl Family {
    /// Whether it has networks of so many layers.
    pub(super) fn has_depth(self, depth: usize) -> bool {
        match self {
            Family::ImageNet | Family::Cifar => STAGES.iter().any(|s| s.0 == depth),
            Family::Paper => depth % 6 == 2 && (8..PAPER_MOST).contains(&depth),
            // Two and more convolutions in each stage.
            Family::Sprint => (8..PAPER_MOST).contains(&depth),
        }
    }

    /// Whether a max pool usually follows the stem.
    pub(super) fn has_max_pool(self) -> bool {
        self == Family::ImageNet
    }

    /// The usual activation function.
    pub(super) fn activation(self) -> Activation {
        if self == Family::Sprint { Activation::Silu } else { Activation::Relu }
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

/// Channels of the stages of [`Family::Sprint`], by default.
pub(super) const SPRINT_WIDTHS: [usize; 3] = [64, 256, 256];

/// Channels of its stem.
pub(super) const SPRINT_STEM: usize = 32;

/// Where a bottleneck block that halves the image has its stride.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum StrideAt {
    /// In the 3x3 convolution: torchvision's and timm's, also known as ResNet v1.5.
    #[default]
    Conv3x3,
    /// In the first 1x1 convolution: the paper's, Caffe's and MMPretrain's `style="caffe"`.
    Conv1x1,
}

/// The convolutions before the stages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Stem {
    /// One: 7x7 with a stride of 2, or 3x3 for images of 32x32.
    #[default]
    Single,
    /// Three of 3x3, of half the channels but for the last (He et al. 2018, ResNet-C).
    Deep,
}

/// How a block's shortcut adapts to a change of shape (paper, section 4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shortcut {
    /// Every other pixel, and zero channels.
    A,
    /// A 1x1 convolution and a batch norm where the shape changes.
    B,
    /// A 1x1 convolution and a batch norm in every block.
    C,
    /// As B, with a 2x2 average pool in place of the stride (He et al. 2018, ResNet-D).
    D,
}

/// An architecture: a family, a depth, and what its blocks are. Parse a name to get one.
///
/// ```
/// use resnet_network::Arch;
/// let arch: Arch = "resnet50".parse()?;
/// assert_eq!(arch.image_size(), 224);
/// # Ok::<(), resnet_network::models::UnknownArch>(())
/// ```
///
/// | name | network |
/// |---|---|
/// | `resnet18` `34` `50` `101` `152` | ImageNet |
/// | `resnet26-bottleneck` | timm's `resnet26` |
/// | `resnet34-a` `resnet34-c` | `resnet18` and `34` with shortcuts of options A and C |
/// | `wide_resnet50_2` | bottlenecks twice as wide (`_3`: three times) |
/// | `resnext50_32x4d` | 3x3 convolutions in 32 groups of 4 channels in the first stage |
/// | `resnet50d` `resnext50d_32x4d` | deep stem, shortcuts with an average pool |
/// | `resnet18-cifar` | the same stages behind a 3x3 stem |
/// | `resnet20` | the paper's CIFAR nets: any 6n+2, shortcuts of option A |
/// | `resnet20-b` `resnet20-c` | with shortcuts of options B and C |
/// | `preresnet20` `preresnet18-cifar` | blocks with pre-activation (He et al. 2016) |
/// | `resnet8-sprint` `9` `10` ... | made for speed: two and more convolutions in each of three stages, more in the last ones |
/// | `plain20` | without shortcuts |
///
/// [`Arch::all`] lists them. Options follow: `+maxpool` (of a 3x3 stem), `+nopool` (of a 7x7 stem),
/// `+stride1x1` (of bottlenecks), `+gelu`, `+gelutanh`, `+silu` and `+relu` (activations; `-sprint` has SiLU, all others ReLU), `+w64-256-384` (channels of the stages of `-sprint`) and `+eps0.001`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Arch {
    /// Widths and head.
    pub family: Family,
    /// Weighted layers, as the paper counts them. One that no name has panics where the network is built.
    pub depth: usize,
    /// Whether the blocks have shortcuts.
    pub residual: bool,
    /// The convolutions before the stages.
    pub stem: Stem,
    /// How shortcuts adapt to a change of shape.
    pub shortcut: Shortcut,
    /// Whether batch norm and ReLU are before each convolution, not behind it (He et al. 2016).
    pub preactivation: bool,
    /// Groups of the 3x3 convolutions of bottlenecks (Xie et al. 2017).
    pub groups: usize,
    /// Channels of each group, of networks with 64 channels in the first stage: 64 in one group are the
    /// paper's.
    pub group_width: usize,
    /// Whether a 3x3 max pool with a stride of 2 follows the stem; the family has a usual value,
    /// `+maxpool` and `+nopool` in a name are the other.
    pub max_pool: bool,
    /// Channels of the three stages of [`Family::Sprint`], multiples of 16; `+w64-256-384` in a name.
    /// Others have the usual value.
    pub widths: [usize; 3],
    /// Where bottleneck blocks have their stride; `+stride1x1` in a name.
    pub stride_at: StrideAt,
    /// The activation function; `+gelu`, `+gelutanh`, `+silu` and `+relu` in a name, where it is not the family's.
    pub activation: Activation,
    /// Epsilon of all batch norms; `+eps0.001` in a name.
    pub epsilon: Epsilon,
}

impl Arch {
    /// The usual network of a family and depth.
    pub(super) fn new(family: Family, depth: usize, residual: bool) -> Arch {
        Arch {
            family,
            depth,
            residual,
            stem: Stem::default(),
            shortcut: if family == Family::Paper { Shortcut::A } else { Shortcut::B },
            preactivation: false,
            groups: 1,
            group_width: USUAL_WIDTH,
            max_pool: family.has_max_pool(),
            widths: SPRINT_WIDTHS,
            stride_at: StrideAt::default(),
            activation: family.activation(),
            epsilon: Epsilon::default(),
        }
    }

    /// The same without options; widths stay.
    #[must_use]
    pub fn usual(self) -> Arch {
        Arch {
            max_pool: self.family.has_max_pool(),
            stride_at: StrideAt::default(),
            activation: self.family.activation(),
            epsilon: Epsilon::default(),
            ..self
        }
    }

    /// The kind of its blocks.
    ///
    /// # Panics
    /// If [`Arch::depth`] was set to one that no name has.
    pub fn block(&self) -> Block {
        self.stages().1
    }

    /// Channels of the 3x3 convolution of a bottleneck with `planes` channels of the paper's, a quarter of
    /// its output's.
    pub(super) fn inner_width(&self, planes: usize) -> usize {
        planes * self.group_width / USUAL_WIDTH * self.groups
    }

    /// Every architecture that `resnet archs` lists.
    pub fn all() -> impl Iterator<Item = Arch> {
        let staged = [Family::Cifar, Family::ImageNet]
            .into_iter()
            .flat_map(|family| STAGES.iter().map(move |s| (family, s.0)));
        let paper = PAPER_DEPTHS.into_iter().map(|depth| (Family::Paper, depth));
        let basic =
            staged.chain(paper).filter(|&(_, depth)| depth != 26).flat_map(|(family, depth)| {
                [true, false].map(|residual| Arch::new(family, depth, residual))
            });
        let named = NAMED.iter().map(|name| name.parse().expect("the names are valid"));
        basic.chain(named)
    }

    /// Rows and columns of the images that the net was designed for, pixels.
    pub fn image_size(&self) -> usize {
        if self.family == Family::ImageNet { 224 } else { 32 }
    }

    /// Classes of the data that the net was designed for.
    pub fn default_classes(&self) -> usize {
        if self.family == Family::ImageNet { 1000 } else { 10 }
    }

    /// Channels of the stem: 64, 16 in the paper's CIFAR nets, or 32 in those made for speed.
    pub fn width(&self) -> usize {
        match self.family {
            Family::Paper => 16,
            Family::Sprint => SPRINT_STEM,
            Family::ImageNet | Family::Cifar => 64,
        }
    }

    /// The number of layers, which is one that the family has.
    pub(super) fn known_depth(&self) -> usize {
        let Arch { family, depth, .. } = *self;
        assert!(family.has_depth(depth), "{family:?} has no network of {depth} layers");
        depth
    }

    /// The number of blocks in each stage, and their kind.
    pub(super) fn stages(&self) -> (Vec<usize>, Block) {
        let depth = self.known_depth();
        match self.family {
            Family::Paper => return (vec![(depth - 2) / 6; 3], Block::Basic),
            // One block of all convolutions.
            Family::Sprint => return (vec![1; 3], Block::Basic),
            Family::ImageNet | Family::Cifar => {}
        }
        let stage = STAGES.iter().find(|s| s.0 == depth);
        let (_, blocks, block) = stage.expect("the depth is known");
        (blocks.to_vec(), *block)
    }
}

//! Operations without parameters.

use resnet_kernels::{
    elementwise::PadShortcut,
    pooling::{GlobalAvgPool, MaxPool},
};

/// An operation without parameters, on images of one size.
#[derive(Clone, Debug, PartialEq)]
pub enum Parameterless {
    /// `relu?(x + residual?)`.
    AddRelu {
        /// Stored values of an image.
        image_len: usize,
    },
    /// `torch.nn.MaxPool2d`.
    MaxPool(MaxPool),
    /// `torch.nn.AdaptiveAvgPool2d(1)`.
    AvgPool(GlobalAvgPool),
    /// The shortcut of option A.
    PadShortcut(PadShortcut),
}

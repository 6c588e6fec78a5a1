//! Operations without parameters.

use resnet_kernels::{
    Smooth,
    elementwise::PadShortcut,
    pooling::{AvgPool, GlobalAvgPool, GlobalMaxPool, MaxPool},
};

/// An operation without parameters, on images of one size.
#[derive(Clone, Debug, PartialEq)]
pub enum Parameterless {
    /// `relu?(x + residual?)`: a ReLU, an addition, or both.
    AddRelu {
        /// Values of an image, channels padded.
        image_len: usize,
    },
    /// A smooth activation.
    Smooth {
        /// The activation.
        function: Smooth,
        /// Values of an image, channels padded.
        image_len: usize,
    },
    /// `torch.nn.MaxPool2d`.
    MaxPool(MaxPool),
    /// `torch.nn.AvgPool2d(kernel, ceil_mode=True, count_include_pad=False)`.
    AvgPool(AvgPool),
    /// `torch.nn.AdaptiveAvgPool2d(1)`.
    GlobalAvgPool(GlobalAvgPool),
    /// `torch.nn.AdaptiveMaxPool2d(1)`.
    GlobalMaxPool(GlobalMaxPool),
    /// The parameter-free shortcut (He et al. 2015, section 3.3, option A).
    PadShortcut(PadShortcut),
}

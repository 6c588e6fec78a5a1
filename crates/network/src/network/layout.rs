//! Converts convolution weights between the arena's `[out][row][column][in]` and PyTorch's
//! `[out][in][row][column]`.

use resnet_formats::Tensor;

use super::Param;

/// A parameter of an arena, in PyTorch's layout.
pub(super) fn export_one(param: &Param, arena: &[f32]) -> Tensor {
    let values = &arena[param.range.clone()];
    let [_, inputs, kernel, _] = param.shape[..] else {
        return Tensor::f32(&param.shape, values.to_vec());
    };
    let window = kernel * kernel;
    let from = |i: usize| {
        let (out, channel, position) = (i / (inputs * window), i / window % inputs, i % window);
        values[(out * window + position) * inputs + channel]
    };
    Tensor::f32(&param.shape, (0..values.len()).map(from).collect())
}

/// Copies a parameter's values from PyTorch's layout to its range of the arena.
pub(super) fn import_into(param: &Param, values: &[f32], arena: &mut [f32]) {
    let [_, inputs, kernel, _] = param.shape[..] else {
        return arena.copy_from_slice(values);
    };
    let window = kernel * kernel;
    for (i, &value) in values.iter().enumerate() {
        let (out, channel, position) = (i / (inputs * window), i / window % inputs, i % window);
        arena[(out * window + position) * inputs + channel] = value;
    }
}

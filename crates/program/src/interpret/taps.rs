//! The taps of a convolution.

use resnet_kernels::conv::ConvShape;

/// Every (input pixel, output pixel, tap) that a convolution multiplies: the tap of the window at
/// the output pixel reads the input pixel.
pub(super) fn taps(s: &ConvShape, n: usize) -> impl Iterator<Item = (usize, usize, usize)> {
    let s = *s;
    let side = move |len: usize| (len + 2 * s.padding - s.kernel) / s.stride + 1;
    let (rows, columns) = (side(s.height), side(s.width));
    (0..n * rows * columns).flat_map(move |to| {
        let (image, row, column) = (to / (rows * columns), to / columns % rows, to % columns);
        (0..s.kernel * s.kernel).filter_map(move |tap| {
            let row = (row * s.stride + tap / s.kernel).checked_sub(s.padding)?;
            let column = (column * s.stride + tap % s.kernel).checked_sub(s.padding)?;
            let inside = row < s.height && column < s.width;
            inside.then(|| ((image * s.height + row) * s.width + column, to, tap))
        })
    })
}

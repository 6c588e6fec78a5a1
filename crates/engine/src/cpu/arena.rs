//! Borrows disjoint ranges of a buffer together.

use resnet_kernels::{Storage, Values, ValuesMut};
use resnet_program::program::{Sink, Span};

/// Why several ranges can be borrowed together.
pub(super) const DISJOINT: &str = "values that are live at the same time are disjoint";

/// Input (none if it is the images), residual and output.
pub(super) fn borrow<'a>(
    values: &'a mut Storage,
    x: Option<&Span>,
    residual: Option<&Span>,
    y: &Span,
) -> (Option<Values<'a>>, Option<Values<'a>>, ValuesMut<'a>) {
    match (x, residual) {
        (None, None) => (None, None, values.values_mut(y.clone())),
        (None, Some(residual)) => {
            let [residual, y] = disjoint(values, [residual, y]);
            (None, Some(residual.into_values()), y)
        }
        (Some(x), None) => {
            let [x, y] = disjoint(values, [x, y]);
            (Some(x.into_values()), None, y)
        }
        // `bn(x) + x`: one value is input and residual.
        (Some(x), Some(residual)) if x == residual => {
            let [x, y] = disjoint(values, [x, y]);
            let x = x.into_values();
            (Some(x), Some(x), y)
        }
        (Some(x), Some(residual)) => {
            let [x, residual, y] = disjoint(values, [x, residual, y]);
            (Some(x.into_values()), Some(residual.into_values()), y)
        }
    }
}

/// The gradient of an output, and the place of the input's gradient.
pub(super) fn gradients<'a>(
    arena: &'a mut Storage,
    dy: &Span,
    dx: &Sink,
) -> (Values<'a>, ValuesMut<'a>) {
    let [dy, dx] = disjoint(arena, [dy, &dx.at]);
    (dy.into_values(), dx)
}

/// Ranges that do not overlap.
pub(super) fn disjoint<'a, const N: usize>(
    arena: &'a mut Storage,
    ranges: [&Span; N],
) -> [ValuesMut<'a>; N] {
    arena.disjoint_mut(ranges.map(Span::clone)).expect(DISJOINT)
}

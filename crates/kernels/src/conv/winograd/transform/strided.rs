//! The one-dimensional transforms of a window of three with stride 2, on vectors.
//!
//! `y[i] = g0 x[2i - 1] + g1 x[2i] + g2 x[2i + 1]` splits in two: a window of two, (g0, g2), over
//! the odd pixels, and a product of the even pixels with g1. Four outputs take the five
//! coefficients of F(4, 2) for the former, whose points are 0, 1, -1, 1/2 and infinity, and four
//! pixels as they are for the latter: nine products instead of the twelve of the direct method.
//! These four share g1, so weights have six coefficients.
//!
//! The gradient of the input is the same with inputs and outputs exchanged: five pixels of `dy`
//! give nine coefficients, and these give eight pixels of `dx`. Its weights are reversed.

use super::transform1d::{OperandTransform, Transform1d, UnscaledTransform};
use crate::isa::Vector;

/// Norms of the coefficients of an input: those of F(4, 2), then of pixels as they are.
const NORMS: [f32; N] = [1.582, 1.225, 1.871, 1.415, 1.582, 1.0, 1.0, 1.0, 1.0];

/// Coefficients of a line of a tile.
pub(in crate::conv::winograd) const N: usize = 9;

/// Nine pixels of the input to coefficients. The first is the one before the first window's centre.
pub(in crate::conv::winograd) struct InputTransform;

impl OperandTransform<9, N> for InputTransform {
    const NORMS: [f32; N] = NORMS;
}

impl Transform1d<9, N> for InputTransform {
    #[inline(always)]
    fn apply<V: Vector>(d: &[V; 9]) -> [V; N] {
        let r = two_input(&[d[0], d[2], d[4], d[6], d[8]]);
        [r[0], r[1], r[2], r[3], r[4], d[1], d[3], d[5], d[7]]
    }
}

/// Coefficients to four outputs.
pub(in crate::conv::winograd) struct OutputTransform;

impl Transform1d<N, 4> for OutputTransform {
    #[inline(always)]
    fn apply<V: Vector>(m: &[V; N]) -> [V; 4] {
        let r = two_output(&[m[0], m[1], m[2], m[3], m[4]]);
        [r[0].add(m[5]), r[1].add(m[6]), r[2].add(m[7]), r[3].add(m[8])]
    }
}

/// The adjoint of [`OutputTransform`].
pub(in crate::conv::winograd) struct OutputAdjoint;

impl OperandTransform<4, N> for OutputAdjoint {
    const NORMS: [f32; N] = [1.0, 2.0, 2.0, 1.153, 1.0, 1.0, 1.0, 1.0, 1.0];
}

impl Transform1d<4, N> for OutputAdjoint {
    #[inline(always)]
    fn apply<V: Vector>(y: &[V; 4]) -> [V; N] {
        let k = V::splat;
        let e = k(0.25).mul_add(y[2], y[0]);
        let o = k(0.125).mul_add(y[3], k(0.5).mul(y[1]));
        let (even, odd) = (y[0].add(y[2]), y[1].add(y[3]));
        [y[0], even.add(odd), even.sub(odd), e.add(o), y[3], y[0], y[1], y[2], y[3]]
    }
}

/// Five pixels of `dy` to coefficients.
pub(in crate::conv::winograd) struct GradientInputTransform;

impl OperandTransform<5, N> for GradientInputTransform {
    const NORMS: [f32; N] = NORMS;
}

impl Transform1d<5, N> for GradientInputTransform {
    #[inline(always)]
    fn apply<V: Vector>(d: &[V; 5]) -> [V; N] {
        let r = two_input(d);
        [r[0], r[1], r[2], r[3], r[4], d[0], d[1], d[2], d[3]]
    }
}

/// Coefficients to eight pixels of `dx`.
pub(in crate::conv::winograd) struct GradientOutputTransform;

impl Transform1d<N, 8> for GradientOutputTransform {
    #[inline(always)]
    fn apply<V: Vector>(m: &[V; N]) -> [V; 8] {
        let r = two_output(&[m[0], m[1], m[2], m[3], m[4]]);
        [m[5], r[0], m[6], r[1], m[7], r[2], m[8], r[3]]
    }
}

/// Three weights to coefficients.
pub(in crate::conv::winograd) struct WeightTransform;

impl Transform1d<3, 6> for WeightTransform {
    #[inline(always)]
    fn apply<V: Vector>(g: &[V; 3]) -> [V; 6] {
        let k = V::splat;
        [
            g[0].add(g[0]),
            g[0].add(g[2]),
            g[2].sub(g[0]).mul(k(1.0 / 3.0)),
            k(-8.0 / 3.0).mul_add(g[0], k(-4.0 / 3.0).mul(g[2])),
            g[2],
            g[1],
        ]
    }
}

impl UnscaledTransform for WeightTransform {
    const SCALES: [f32; 6] = [2.0, 1.0, 1.0 / 3.0, -4.0 / 3.0, 1.0, 1.0];

    #[inline(always)]
    fn unscaled<V: Vector>(g: &[V; 3]) -> [V; 6] {
        let sum = g[0].add(g[2]);
        [g[0], sum, g[2].sub(g[0]), sum.add(g[0]), g[2], g[1]]
    }
}

/// The adjoint of [`WeightTransform`].
pub(in crate::conv::winograd) struct WeightAdjoint;

impl Transform1d<6, 3> for WeightAdjoint {
    #[inline(always)]
    fn apply<V: Vector>(u: &[V; 6]) -> [V; 3] {
        let k = V::splat;
        let e = k(2.0).mul_add(u[0], u[1]);
        let third = k(1.0 / 3.0).mul(u[2]);
        [
            k(-8.0 / 3.0).mul_add(u[3], e.sub(third)),
            u[5],
            k(-4.0 / 3.0).mul_add(u[3], u[1].add(third)).add(u[4]),
        ]
    }
}

/// `B^T d` of F(4, 2).
#[inline(always)]
fn two_input<V: Vector>(d: &[V; 5]) -> [V; 5] {
    let k = V::splat;
    let half = k(0.5);
    let a = d[3].sub(d[1]);
    let b = d[4].sub(d[2]);
    [
        half.mul_add(d[0].sub(d[2]), a),
        half.mul_add(d[2].sub(d[1]), d[3]),
        half.mul_add(d[1], k(-1.5).mul_add(d[2], d[3])),
        a,
        k(-0.5).mul_add(a, b),
    ]
}

/// `A^T m` of F(4, 2).
#[inline(always)]
fn two_output<V: Vector>(m: &[V; 5]) -> [V; 4] {
    let k = V::splat;
    let (s, d) = (m[1].add(m[2]), m[1].sub(m[2]));
    [
        m[0].add(m[3]).add(s),
        k(0.5).mul_add(m[3], d),
        k(0.25).mul_add(m[3], s),
        k(0.125).mul_add(m[3], d).add(m[4]),
    ]
}

#[cfg(test)]
mod tests {
    use super::{super::testing::*, *};
    use crate::isa::{Isa, Kernel};

    struct Check;

    impl Kernel for Check {
        type Output = ();
        const PAIRS: bool = false;
        #[inline(always)]
        fn run<V: Vector, const MR: usize>(self) {
            let g = [0.5f32, -1.25, 2.0];
            let products = |line: [V; N], weights: [V; 6]| -> [V; N] {
                std::array::from_fn(|e| line[e].mul(weights[e.min(5)]))
            };
            let near = |got: f64, want: f64| {
                assert!((got - want).abs() < 1e-4 * want.abs().max(1.0), "{got} for {want}");
            };
            // x[-1], x[0], ... to y[0], ...
            let x = values::<9>();
            let y = first(OutputTransform::apply(&products(
                InputTransform::apply(&splat::<V, 9>(&x)),
                WeightTransform::apply(&splat(&g)),
            )));
            for (i, y) in y.into_iter().enumerate() {
                near(y, (0..3).map(|r| f64::from(x[2 * i + r]) * f64::from(g[r])).sum());
            }
            // Even pixels take the centre of the window, odd ones both ends.
            let dy = values::<5>();
            let reversed = [g[2], g[1], g[0]];
            let dx = first(GradientOutputTransform::apply(&products(
                GradientInputTransform::apply(&splat::<V, 5>(&dy)),
                WeightTransform::apply(&splat(&reversed)),
            )));
            for i in 0..4 {
                near(dx[2 * i], f64::from(g[1] * dy[i]));
                near(dx[2 * i + 1], f64::from(g[2] * dy[i] + g[0] * dy[i + 1]));
            }
            adjoint::<OutputTransform, OutputAdjoint, V, N, 4>();
            adjoint::<WeightTransform, WeightAdjoint, V, 3, 6>();
            scales::<WeightTransform, V>();
            norms::<InputTransform, V, 9, N>();
            norms::<GradientInputTransform, V, 5, N>();
            norms::<OutputAdjoint, V, 4, N>();
        }
    }

    #[test]
    fn transforms_make_a_strided_correlation() {
        for isa in Isa::to_test() {
            isa.dispatch(Check);
        }
    }
}

//! The one-dimensional transforms of a window of three with stride 2, on vectors.
//!
//! `y[i] = g0 x[2i - 1] + g1 x[2i] + g2 x[2i + 1]` is a window of two, (g0, g2), over every other
//! pixel, and a product with g1 of those between. Four outputs take the five coefficients of F(4, 2)
//! for the former, whose points are 0, 1, -1, 1/2 and infinity, and the four pixels of the latter
//! as they are: nine products where the direct method has twelve. These four share g1: weights have
//! six coefficients.
//!
//! The gradient of the input is the same with inputs and outputs exchanged: five pixels of `dy`
//! make nine coefficients, and nine make eight pixels of `dx`, over weights turned round.

use super::transform1d::{Factor, Line, Window};
use crate::isa::Vector;

/// Of the coefficients of an input: of F(4, 2), and of pixels as they are.
const NORMS: [f32; N] = [1.582, 1.225, 1.871, 1.415, 1.582, 1.0, 1.0, 1.0, 1.0];

/// Coefficients of a line.
pub(in crate::conv::winograd) const N: usize = 9;

/// Nine pixels to coefficients, from the one before the first window's centre.
pub(in crate::conv::winograd) struct Input;

impl Factor<9, N> for Input {
    const NORMS: [f32; N] = NORMS;
}

impl Line<9, N> for Input {
    #[inline(always)]
    fn line<V: Vector>(d: &[V; 9]) -> [V; N] {
        let r = two_input(&[d[0], d[2], d[4], d[6], d[8]]);
        [r[0], r[1], r[2], r[3], r[4], d[1], d[3], d[5], d[7]]
    }
}

/// Coefficients to four outputs.
pub(in crate::conv::winograd) struct Output;

impl Line<N, 4> for Output {
    #[inline(always)]
    fn line<V: Vector>(m: &[V; N]) -> [V; 4] {
        let r = two_output(&[m[0], m[1], m[2], m[3], m[4]]);
        [r[0].add(m[5]), r[1].add(m[6]), r[2].add(m[7]), r[3].add(m[8])]
    }
}

/// The adjoint of [`Output`].
pub(in crate::conv::winograd) struct OutputAdjoint;

impl Factor<4, N> for OutputAdjoint {
    const NORMS: [f32; N] = [1.0, 2.0, 2.0, 1.153, 1.0, 1.0, 1.0, 1.0, 1.0];
}

impl Line<4, N> for OutputAdjoint {
    #[inline(always)]
    fn line<V: Vector>(y: &[V; 4]) -> [V; N] {
        let k = V::splat;
        let e = k(0.25).mul_add(y[2], y[0]);
        let o = k(0.125).mul_add(y[3], k(0.5).mul(y[1]));
        let (even, odd) = (y[0].add(y[2]), y[1].add(y[3]));
        [y[0], even.add(odd), even.sub(odd), e.add(o), y[3], y[0], y[1], y[2], y[3]]
    }
}

/// Five pixels of `dy` to coefficients.
pub(in crate::conv::winograd) struct GradientInput;

impl Factor<5, N> for GradientInput {
    const NORMS: [f32; N] = NORMS;
}

impl Line<5, N> for GradientInput {
    #[inline(always)]
    fn line<V: Vector>(d: &[V; 5]) -> [V; N] {
        let r = two_input(d);
        [r[0], r[1], r[2], r[3], r[4], d[0], d[1], d[2], d[3]]
    }
}

/// Coefficients to eight pixels of `dx`.
pub(in crate::conv::winograd) struct GradientOutput;

impl Line<N, 8> for GradientOutput {
    #[inline(always)]
    fn line<V: Vector>(m: &[V; N]) -> [V; 8] {
        let r = two_output(&[m[0], m[1], m[2], m[3], m[4]]);
        [m[5], r[0], m[6], r[1], m[7], r[2], m[8], r[3]]
    }
}

/// Weights to coefficients.
pub(in crate::conv::winograd) struct Weight;

impl Line<3, 6> for Weight {
    #[inline(always)]
    fn line<V: Vector>(g: &[V; 3]) -> [V; 6] {
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

impl Window for Weight {
    const SCALES: [f32; 6] = [2.0, 1.0, 1.0 / 3.0, -4.0 / 3.0, 1.0, 1.0];

    #[inline(always)]
    fn bare<V: Vector>(g: &[V; 3]) -> [V; 6] {
        let sum = g[0].add(g[2]);
        [g[0], sum, g[2].sub(g[0]), sum.add(g[0]), g[2], g[1]]
    }
}

/// The adjoint of [`Weight`].
pub(in crate::conv::winograd) struct WeightAdjoint;

impl Line<6, 3> for WeightAdjoint {
    #[inline(always)]
    fn line<V: Vector>(u: &[V; 6]) -> [V; 3] {
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
        fn run<V: Vector, const TILE: usize>(self) {
            let g = [0.5f32, -1.25, 2.0];
            let products = |line: [V; N], weights: [V; 6]| -> [V; N] {
                std::array::from_fn(|e| line[e].mul(weights[e.min(5)]))
            };
            let near = |got: f64, want: f64| {
                assert!((got - want).abs() < 1e-4 * want.abs().max(1.0), "{got} for {want}");
            };
            // x[-1], x[0], ... to y[0], ...
            let x = values::<9>();
            let y = first(Output::line(&products(
                Input::line(&splat::<V, 9>(&x)),
                Weight::line(&splat(&g)),
            )));
            for (i, y) in y.into_iter().enumerate() {
                near(y, (0..3).map(|r| f64::from(x[2 * i + r]) * f64::from(g[r])).sum());
            }
            // Even pixels see the centre, odd ones both ends.
            let dy = values::<5>();
            let turned = [g[2], g[1], g[0]];
            let dx = first(GradientOutput::line(&products(
                GradientInput::line(&splat::<V, 5>(&dy)),
                Weight::line(&splat(&turned)),
            )));
            for i in 0..4 {
                near(dx[2 * i], f64::from(g[1] * dy[i]));
                near(dx[2 * i + 1], f64::from(g[2] * dy[i] + g[0] * dy[i + 1]));
            }
            adjoint::<Output, OutputAdjoint, V, N, 4>();
            adjoint::<Weight, WeightAdjoint, V, 3, 6>();
            scales::<Weight, V>();
            norms::<Input, V, 9, N>();
            norms::<GradientInput, V, 5, N>();
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

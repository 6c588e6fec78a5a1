//! The one-dimensional transforms of F(4, 3) (Lavin and Gray 2016), on vectors.
//!
//! With four outputs and six elements: `y = A^T [(G g) * (B^T d)]`. Each has an adjoint, which the
//! gradient of the weights needs: `dg = G^T [(A dy) * (B^T d)]`. Two-dimensional transforms apply
//! these to columns, then to rows.
//!
//! The points are 0, ±2/3, ±3/2 and infinity. With the usual 0, ±1, ±2 and infinity, rounding
//! errors of elements come out 2.3 times as large in the mean of a tile's outputs, and 4.4 times as
//! large in the last one.
//!
//! A sum and a difference of the same terms are one product and two sums, not two fused operations:
//! machines have units that add beside those that multiply.

use std::mem::MaybeUninit;

use crate::isa::Vector;

/// The positive points, and their squares.
const A: f32 = 2.0 / 3.0;
const B: f32 = 1.5;
const AA: f32 = A * A;
const BB: f32 = B * B;

/// A block of values between the two halves of its transform: written by column, read by row. It
/// outgrows the registers, and zeros written first would cost as much as the values.
pub(super) struct Half<V, const ROWS: usize, const COLUMNS: usize>(
    [[MaybeUninit<V>; COLUMNS]; ROWS],
);

impl<V: Vector, const ROWS: usize, const COLUMNS: usize> Half<V, ROWS, COLUMNS> {
    #[inline(always)]
    pub(super) fn new() -> Self {
        Half([[MaybeUninit::uninit(); COLUMNS]; ROWS])
    }

    #[inline(always)]
    pub(super) fn set(&mut self, j: usize, column: [V; ROWS]) {
        for (row, value) in self.0.iter_mut().zip(column) {
            row[j].write(value);
        }
    }

    /// # Safety
    /// All columns must have been set.
    #[inline(always)]
    pub(super) unsafe fn row(&self, i: usize) -> &[V; COLUMNS] {
        // SAFETY: the same layout, and the caller's contract.
        unsafe { &*self.0[i].as_ptr().cast::<[V; COLUMNS]>() }
    }
}

/// A transform of one line, as a type: a closure might not be inlined, and would then be compiled
/// without the instructions of its vectors.
pub(super) trait Line<const FROM: usize, const TO: usize> {
    fn line<V: Vector>(d: &[V; FROM]) -> [V; TO];
}

/// A transform into what products are taken of.
pub(super) trait Factor<const FROM: usize, const TO: usize>: Line<FROM, TO> {
    /// Bounds of the Euclidean norms of the transform's rows: no element is larger than its own
    /// times the norm of the line.
    const NORMS: [f32; TO];
    /// One over those of an element: of both sides.
    const FACTORS: [[f32; TO]; TO] = {
        let mut factors = [[0.0; TO]; TO];
        let mut i = 0;
        while i < TO * TO {
            factors[i / TO][i % TO] = 1.0 / (Self::NORMS[i / TO] * Self::NORMS[i % TO]);
            i += 1;
        }
        factors
    };
}

/// A transform of weights. What products of integers are worth holds any factor of an element, so
/// their weights need not have theirs.
pub(super) trait Window: Line<3, 6> {
    /// What elements are, over those of [`Window::bare`].
    const SCALES: [f32; 6];
    /// Elements over their scales: by half as many multiplications, and sums, which some machines
    /// add beside those.
    fn bare<V: Vector>(g: &[V; 3]) -> [V; 6];
}

/// `B^T d`: inputs to elements.
pub(super) struct Input;

impl Factor<6, 6> for Input {
    const NORMS: [f32; 6] = [3.044, 2.960, 2.960, 1.973, 1.973, 3.044];
}

impl Line<6, 6> for Input {
    #[inline(always)]
    fn line<V: Vector>(d: &[V; 6]) -> [V; 6] {
        let k = V::splat;
        let (e, o) = (k(-BB).mul_add(d[2], d[4]), k(-BB).mul_add(d[1], d[3]));
        let (e2, o2) = (k(-AA).mul_add(d[2], d[4]), k(-AA).mul_add(d[1], d[3]));
        let (o, o2) = (k(A).mul(o), k(B).mul(o2));
        [
            k(-AA - BB).mul_add(d[2], d[0].add(d[4])),
            e.add(o),
            e.sub(o),
            e2.add(o2),
            e2.sub(o2),
            k(-AA - BB).mul_add(d[3], d[1].add(d[5])),
        ]
    }
}

/// `A^T m`: elements to outputs.
pub(super) struct Output;

impl Line<6, 4> for Output {
    #[inline(always)]
    fn line<V: Vector>(m: &[V; 6]) -> [V; 4] {
        let k = V::splat;
        let (s, d) = (m[1].add(m[2]), m[1].sub(m[2]));
        let (s2, d2) = (m[3].add(m[4]), m[3].sub(m[4]));
        [
            m[0].add(s.add(s2)),
            k(A).mul_add(d, k(B).mul(d2)),
            k(AA).mul_add(s, k(BB).mul(s2)),
            k(A * AA).mul_add(d, k(B * BB).mul_add(d2, m[5])),
        ]
    }
}

/// `A y`, the adjoint of [`Output`].
pub(super) struct OutputAdjoint;

impl Factor<4, 6> for OutputAdjoint {
    const NORMS: [f32; 6] = [1.0, 1.316, 1.316, 4.440, 4.440, 1.0];
}

impl Line<4, 6> for OutputAdjoint {
    #[inline(always)]
    fn line<V: Vector>(y: &[V; 4]) -> [V; 6] {
        let k = V::splat;
        let (e, o) = (k(AA).mul_add(y[2], y[0]), k(AA).mul_add(y[3], y[1]));
        let (e2, o2) = (k(BB).mul_add(y[2], y[0]), k(BB).mul_add(y[3], y[1]));
        let (o, o2) = (k(A).mul(o), k(B).mul(o2));
        [y[0], e.add(o), e.sub(o), e2.add(o2), e2.sub(o2), y[3]]
    }
}

/// What the weights' elements of the positive points are divided by.
const FA: f32 = 2.0 * AA * (AA - BB);
const FB: f32 = 2.0 * BB * (BB - AA);

/// `G g`: weights to elements.
pub(super) struct Weight;

impl Line<3, 6> for Weight {
    #[inline(always)]
    fn line<V: Vector>(g: &[V; 3]) -> [V; 6] {
        let k = V::splat;
        let e = k(AA / FA).mul_add(g[2], k(1.0 / FA).mul(g[0]));
        let e2 = k(BB / FB).mul_add(g[2], k(1.0 / FB).mul(g[0]));
        [
            g[0],
            k(A / FA).mul_add(g[1], e),
            k(-A / FA).mul_add(g[1], e),
            k(B / FB).mul_add(g[1], e2),
            k(-B / FB).mul_add(g[1], e2),
            g[2],
        ]
    }
}

impl Window for Weight {
    const SCALES: [f32; 6] = [1.0, 1.0 / FA, 1.0 / FA, 1.0 / FB, 1.0 / FB, 1.0];

    #[inline(always)]
    fn bare<V: Vector>(g: &[V; 3]) -> [V; 6] {
        let k = V::splat;
        let (e, e2) = (k(AA).mul_add(g[2], g[0]), k(BB).mul_add(g[2], g[0]));
        let (o, o2) = (k(A).mul(g[1]), k(B).mul(g[1]));
        [g[0], e.add(o), e.sub(o), e2.add(o2), e2.sub(o2), g[2]]
    }
}

/// `G^T u`, the adjoint of [`Weight`].
pub(super) struct WeightAdjoint;

impl Line<6, 3> for WeightAdjoint {
    #[inline(always)]
    fn line<V: Vector>(u: &[V; 6]) -> [V; 3] {
        let k = V::splat;
        let (s, d) = (u[1].add(u[2]), u[1].sub(u[2]));
        let (s2, d2) = (u[3].add(u[4]), u[3].sub(u[4]));
        [
            k(1.0 / FA).mul_add(s, k(1.0 / FB).mul_add(s2, u[0])),
            k(A / FA).mul_add(d, k(B / FB).mul(d2)),
            k(AA / FA).mul_add(s, k(BB / FB).mul_add(s2, u[5])),
        ]
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::isa::{Isa, Kernel};

    pub(crate) fn first<V: Vector, const N: usize>(values: [V; N]) -> [f64; N] {
        values.map(|v| {
            let mut out = vec![0.0f32; V::LANES];
            // SAFETY: it holds LANES values.
            unsafe { v.store(out.as_mut_ptr()) };
            f64::from(out[0])
        })
    }

    pub(crate) fn splat<V: Vector, const N: usize>(values: &[f32; N]) -> [V; N] {
        values.map(V::splat)
    }

    pub(crate) fn dot<const N: usize>(a: [f64; N], b: &[f32; N]) -> f64 {
        a.iter().zip(b).map(|(a, &b)| a * f64::from(b)).sum()
    }

    /// Values without a pattern.
    pub(crate) fn values<const N: usize>() -> [f32; N] {
        std::array::from_fn(|i| (i * i) as f32 * 0.7 - 3.1 * i as f32 + 1.3)
    }

    /// `<L a, b> = <a, T b>`.
    pub(crate) fn adjoint<
        L: Line<A, B>,
        T: Line<B, A>,
        V: Vector,
        const A: usize,
        const B: usize,
    >() {
        let (a, b) = (values::<A>(), values::<B>().map(|x| 2.0 - x * 0.3));
        let left = dot(first(L::line(&splat::<V, A>(&a))), &b);
        let right = dot(first(T::line(&splat::<V, B>(&b))), &a);
        assert!((left - right).abs() < 1e-4 * left.abs().max(1.0), "{left} {right}");
    }

    /// Norms are bounds, and no loose ones.
    pub(crate) fn norms<L: Factor<A, B>, V: Vector, const A: usize, const B: usize>() {
        let mut squares = [0.0; B];
        for i in 0..A {
            let mut unit = [0.0; A];
            unit[i] = 1.0;
            for (sum, x) in squares.iter_mut().zip(first(L::line(&splat::<V, A>(&unit)))) {
                *sum += x * x;
            }
        }
        for (sum, bound) in squares.into_iter().zip(L::NORMS) {
            let ratio = f64::from(bound) / sum.sqrt();
            assert!((0.999_999..1.01).contains(&ratio), "{bound} for {}", sum.sqrt());
        }
    }

    /// Scales are what elements lack.
    pub(crate) fn scales<L: Window, V: Vector>() {
        let g = splat::<V, 3>(&values());
        let (all, bare) = (first(L::line(&g)), first(L::bare(&g)));
        for (i, want) in all.into_iter().enumerate() {
            let got = bare[i] * f64::from(L::SCALES[i]);
            assert!((got - want).abs() < 1e-5 * want.abs().max(1.0), "{got} for {want}");
        }
    }

    struct Check;

    impl Kernel for Check {
        type Output = ();
        #[inline(always)]
        fn run<V: Vector, const TILE: usize>(self) {
            let (d, g) = (values::<6>(), [0.5f32, -1.25, 2.0]);
            let (elements, weights) =
                (Input::line(&splat::<V, 6>(&d)), Weight::line(&splat::<V, 3>(&g)));
            let products: [V; 6] = std::array::from_fn(|i| elements[i].mul(weights[i]));
            for (i, y) in first(Output::line(&products)).into_iter().enumerate() {
                let want: f64 = (0..3).map(|r| f64::from(d[i + r]) * f64::from(g[r])).sum();
                assert!((y - want).abs() < 1e-4, "{y} for {want}");
            }
            adjoint::<Output, OutputAdjoint, V, 6, 4>();
            adjoint::<Weight, WeightAdjoint, V, 3, 6>();
            scales::<Weight, V>();
            norms::<Input, V, 6, 6>();
            norms::<OutputAdjoint, V, 4, 6>();
        }
    }

    #[test]
    fn transforms_make_a_correlation() {
        for isa in Isa::to_test() {
            isa.dispatch(Check);
        }
    }
}

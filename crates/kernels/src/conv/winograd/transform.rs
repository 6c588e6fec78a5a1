//! The one-dimensional transforms of F(2, 3) and F(4, 3) (Lavin and Gray 2016), on vectors.
//!
//! With M outputs and N = M + 2 elements: `y = A^T [(G g) * (B^T d)]`. Each has an adjoint, which
//! the gradient of the weights needs: `dg = G^T [(A dy) * (B^T d)]`. The points of F(4, 3) are 0,
//! 1, -1, 2, -2 and infinity. Two-dimensional transforms apply these to columns, then to rows.

use std::mem::MaybeUninit;

use crate::isa::Vector;

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

/// [`input`].
pub(super) struct Input;

impl<const N: usize> Line<N, N> for Input {
    #[inline(always)]
    fn line<V: Vector>(d: &[V; N]) -> [V; N] {
        input(d)
    }
}

/// [`output_adjoint`].
pub(super) struct OutputAdjoint;

impl<const M: usize, const N: usize> Line<M, N> for OutputAdjoint {
    #[inline(always)]
    fn line<V: Vector>(d: &[V; M]) -> [V; N] {
        output_adjoint(d)
    }
}

/// [`weight`].
pub(super) struct Weight;

impl<const N: usize> Line<3, N> for Weight {
    #[inline(always)]
    fn line<V: Vector>(g: &[V; 3]) -> [V; N] {
        weight(g)
    }
}

/// [`weight_adjoint`].
pub(super) struct WeightAdjoint;

impl<const N: usize> Line<N, 3> for WeightAdjoint {
    #[inline(always)]
    fn line<V: Vector>(u: &[V; N]) -> [V; 3] {
        weight_adjoint(u)
    }
}

/// `B^T d`: inputs to elements.
#[inline(always)]
fn input<V: Vector, const N: usize>(d: &[V; N]) -> [V; N] {
    let mut r = [V::zero(); N];
    if N == 6 {
        let k = V::splat;
        let a = k(-4.0).mul_add(d[2], d[4]);
        let b = k(-4.0).mul_add(d[1], d[3]);
        let (c, e) = (d[4].sub(d[2]), d[3].sub(d[1]));
        r[0] = k(4.0).mul_add(d[0], k(-5.0).mul_add(d[2], d[4]));
        r[1] = a.add(b);
        r[2] = a.sub(b);
        r[3] = k(2.0).mul_add(e, c);
        r[4] = k(-2.0).mul_add(e, c);
        r[5] = k(4.0).mul_add(d[1], k(-5.0).mul_add(d[3], d[5]));
    } else {
        r[0] = d[0].sub(d[2]);
        r[1] = d[1].add(d[2]);
        r[2] = d[2].sub(d[1]);
        r[3] = d[1].sub(d[3]);
    }
    r
}

/// `A^T m`: elements to outputs.
#[inline(always)]
pub(super) fn output<V: Vector, const N: usize, const M: usize>(m: &[V; N]) -> [V; M] {
    let mut r = [V::zero(); M];
    if N == 6 {
        let k = V::splat;
        let (s1, d1) = (m[1].add(m[2]), m[1].sub(m[2]));
        let (s2, d2) = (m[3].add(m[4]), m[3].sub(m[4]));
        r[0] = m[0].add(s1.add(s2));
        r[1] = k(2.0).mul_add(d2, d1);
        r[2] = k(4.0).mul_add(s2, s1);
        r[3] = k(8.0).mul_add(d2, d1).add(m[5]);
    } else {
        r[0] = m[0].add(m[1].add(m[2]));
        r[1] = m[1].sub(m[2]).sub(m[3]);
    }
    r
}

/// `A y`, the adjoint of [`output`].
#[inline(always)]
fn output_adjoint<V: Vector, const M: usize, const N: usize>(y: &[V; M]) -> [V; N] {
    let mut r = [V::zero(); N];
    if N == 6 {
        let k = V::splat;
        let (e, o) = (y[0].add(y[2]), y[1].add(y[3]));
        let (e2, o2) = (k(4.0).mul_add(y[2], y[0]), k(4.0).mul_add(y[3], y[1]));
        r[0] = y[0];
        r[1] = e.add(o);
        r[2] = e.sub(o);
        r[3] = k(2.0).mul_add(o2, e2);
        r[4] = k(-2.0).mul_add(o2, e2);
        r[5] = y[3];
    } else {
        r[0] = y[0];
        r[1] = y[0].add(y[1]);
        r[2] = y[0].sub(y[1]);
        r[3] = V::zero().sub(y[1]);
    }
    r
}

/// `G g`: weights to elements.
#[inline(always)]
fn weight<V: Vector, const N: usize>(g: &[V; 3]) -> [V; N] {
    let mut r = [V::zero(); N];
    if N == 6 {
        let k = V::splat;
        let e = g[0].add(g[2]).mul(k(-1.0 / 6.0));
        let q = k(4.0).mul_add(g[2], g[0]).mul(k(1.0 / 24.0));
        r[0] = g[0].mul(k(0.25));
        r[1] = k(-1.0 / 6.0).mul_add(g[1], e);
        r[2] = k(1.0 / 6.0).mul_add(g[1], e);
        r[3] = k(1.0 / 12.0).mul_add(g[1], q);
        r[4] = k(-1.0 / 12.0).mul_add(g[1], q);
        r[5] = g[2];
    } else {
        let half = V::splat(0.5);
        let e = g[0].add(g[2]).mul(half);
        r[0] = g[0];
        r[1] = half.mul_add(g[1], e);
        r[2] = V::splat(-0.5).mul_add(g[1], e);
        r[3] = g[2];
    }
    r
}

/// `G^T u`, the adjoint of [`weight`].
#[inline(always)]
fn weight_adjoint<V: Vector, const N: usize>(u: &[V; N]) -> [V; 3] {
    let k = V::splat;
    if N == 6 {
        let (s1, d1) = (u[1].add(u[2]).mul(k(-1.0 / 6.0)), u[2].sub(u[1]));
        let (s2, d2) = (u[3].add(u[4]), u[3].sub(u[4]));
        [
            k(0.25).mul_add(u[0], k(1.0 / 24.0).mul_add(s2, s1)),
            k(1.0 / 12.0).mul_add(d2, d1.mul(k(1.0 / 6.0))),
            k(1.0 / 6.0).mul_add(s2, s1).add(u[5]),
        ]
    } else {
        let h = u[1].add(u[2]).mul(k(0.5));
        [u[0].add(h), u[1].sub(u[2]).mul(k(0.5)), h.add(u[3])]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::{Isa, Kernel};

    /// One output is a correlation; adjoints satisfy `<A^T m, y> = <m, A y>`.
    struct Check;

    impl Kernel for Check {
        type Output = ();
        #[inline(always)]
        fn run<V: Vector, const TILE: usize>(self) {
            check::<V, 2, 4>();
            check::<V, 4, 6>();
        }
    }

    fn check<V: Vector, const M: usize, const N: usize>() {
        let first = |v: V| {
            let mut out = vec![0.0f32; V::LANES];
            // SAFETY: it holds LANES values.
            unsafe { v.store(out.as_mut_ptr()) };
            f64::from(out[0])
        };
        let d: [f32; N] = std::array::from_fn(|i| (i * i) as f32 * 0.7 - i as f32 - 1.3);
        let g = [0.5f32, -1.25, 2.0];
        let (dv, gv) = (d.map(V::splat), g.map(V::splat));
        let (td, tg) = (input::<V, N>(&dv), weight::<V, N>(&gv));
        let product: [V; N] = std::array::from_fn(|i| td[i].mul(tg[i]));
        let y: [V; M] = output::<V, N, M>(&product);
        for (i, y) in y.into_iter().enumerate() {
            let want: f64 = (0..3).map(|r| f64::from(d[i + r]) * f64::from(g[r])).sum();
            assert!((first(y) - want).abs() < 1e-4, "{} for {want}", first(y));
        }
        let p: [f32; M] = std::array::from_fn(|i| 1.5 - i as f32);
        let dot = |a: &[V], b: &[f32]| -> f64 {
            a.iter().zip(b).map(|(a, b)| first(*a) * f64::from(*b)).sum()
        };
        let left = dot(&output::<V, N, M>(&dv), &p);
        let right = dot(&output_adjoint::<V, M, N>(&p.map(V::splat)), &d);
        assert!((left - right).abs() < 1e-4 * left.abs().max(1.0), "{left} {right}");
        let left = dot(&weight::<V, N>(&gv), &d);
        let right = dot(&weight_adjoint::<V, N>(&dv), &g);
        assert!((left - right).abs() < 1e-4 * left.abs().max(1.0), "{left} {right}");
    }

    #[test]
    fn transforms_make_a_correlation() {
        for isa in Isa::to_test() {
            isa.dispatch(Check);
        }
    }
}

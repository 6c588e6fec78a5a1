//! What tests of transforms share.

use super::transform1d::{OperandTransform, Transform1d, UnscaledTransform};
use crate::isa::Vector;

pub(in crate::conv::winograd) fn first<V: Vector, const N: usize>(values: [V; N]) -> [f64; N] {
    values.map(|v| {
        let mut out = vec![0.0f32; V::LANES];
        // SAFETY: it holds LANES values.
        unsafe { v.store(out.as_mut_ptr()) };
        f64::from(out[0])
    })
}

pub(in crate::conv::winograd) fn splat<V: Vector, const N: usize>(values: &[f32; N]) -> [V; N] {
    values.map(V::splat)
}

pub(in crate::conv::winograd) fn dot<const N: usize>(a: [f64; N], b: &[f32; N]) -> f64 {
    a.iter().zip(b).map(|(a, &b)| a * f64::from(b)).sum()
}

/// Values without a pattern.
pub(in crate::conv::winograd) fn values<const N: usize>() -> [f32; N] {
    std::array::from_fn(|i| (i * i) as f32 * 0.7 - 3.1 * i as f32 + 1.3)
}

/// Checks that `<L a, b> = <a, T b>`.
pub(in crate::conv::winograd) fn adjoint<
    L: Transform1d<A, B>,
    T: Transform1d<B, A>,
    V: Vector,
    const A: usize,
    const B: usize,
>() {
    let (a, b) = (values::<A>(), values::<B>().map(|x| 2.0 - x * 0.3));
    let left = dot(first(L::apply(&splat::<V, A>(&a))), &b);
    let right = dot(first(T::apply(&splat::<V, B>(&b))), &a);
    assert!((left - right).abs() < 1e-4 * left.abs().max(1.0), "{left} {right}");
}

/// Checks that norms are bounds, and tight ones.
pub(in crate::conv::winograd) fn norms<
    L: OperandTransform<A, B>,
    V: Vector,
    const A: usize,
    const B: usize,
>() {
    let mut squares = [0.0; B];
    for i in 0..A {
        let mut unit = [0.0; A];
        unit[i] = 1.0;
        for (sum, x) in squares.iter_mut().zip(first(L::apply(&splat::<V, A>(&unit)))) {
            *sum += x * x;
        }
    }
    for (sum, bound) in squares.into_iter().zip(L::NORMS) {
        let ratio = f64::from(bound) / sum.sqrt();
        assert!((0.999_999..1.01).contains(&ratio), "{bound} for {}", sum.sqrt());
    }
}

/// Checks that unscaled coefficients times their scales are the coefficients.
pub(in crate::conv::winograd) fn scales<L: UnscaledTransform, V: Vector>() {
    let g = splat::<V, 3>(&values());
    let (all, unscaled) = (first(L::apply(&g)), first(L::unscaled(&g)));
    for (i, want) in all.into_iter().enumerate() {
        let got = unscaled[i] * f64::from(L::SCALES[i]);
        assert!((got - want).abs() < 1e-5 * want.abs().max(1.0), "{got} for {want}");
    }
}

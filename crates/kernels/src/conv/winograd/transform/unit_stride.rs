//! The one-dimensional transforms of F(4, 3) (Lavin and Gray 2016), on vectors.
//!
//! Four outputs take six coefficients: `y = A^T [(G g) * (B^T d)]`. The gradient of the weights
//! takes the adjoints: `dg = G^T [(A dy) * (B^T d)]`.
//!
//! The interpolation points are 0, ±2/3, ±3/2 and infinity. The usual points 0, ±1, ±2 and infinity
//! amplify rounding errors of coefficients more: 2.3 times in the mean of a tile's outputs, 4.4
//! times in the last one.
//!
//! A sum and a difference of the same terms take one product and two additions rather than two
//! fused multiply-adds, since machines have more units that add than units that multiply.

use super::transform1d::{OperandTransform, Transform1d, UnscaledTransform};
use crate::isa::Vector;

/// The positive points, and their squares.
const A: f32 = 2.0 / 3.0;
const B: f32 = 1.5;
const AA: f32 = A * A;
const BB: f32 = B * B;

/// `B^T d`: six pixels of the input to coefficients.
pub(in crate::conv::winograd) struct InputTransform;

impl OperandTransform<6, 6> for InputTransform {
    const NORMS: [f32; 6] = [3.044, 2.960, 2.960, 1.973, 1.973, 3.044];
}

impl Transform1d<6, 6> for InputTransform {
    #[inline(always)]
    fn apply<V: Vector>(d: &[V; 6]) -> [V; 6] {
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

/// `A^T m`: coefficients to four outputs.
pub(in crate::conv::winograd) struct OutputTransform;

impl Transform1d<6, 4> for OutputTransform {
    #[inline(always)]
    fn apply<V: Vector>(m: &[V; 6]) -> [V; 4] {
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

/// `A y`, the adjoint of [`OutputTransform`].
pub(in crate::conv::winograd) struct OutputAdjoint;

impl OperandTransform<4, 6> for OutputAdjoint {
    const NORMS: [f32; 6] = [1.0, 1.316, 1.316, 4.440, 4.440, 1.0];
}

impl Transform1d<4, 6> for OutputAdjoint {
    #[inline(always)]
    fn apply<V: Vector>(y: &[V; 4]) -> [V; 6] {
        let k = V::splat;
        let (e, o) = (k(AA).mul_add(y[2], y[0]), k(AA).mul_add(y[3], y[1]));
        let (e2, o2) = (k(BB).mul_add(y[2], y[0]), k(BB).mul_add(y[3], y[1]));
        let (o, o2) = (k(A).mul(o), k(B).mul(o2));
        [y[0], e.add(o), e.sub(o), e2.add(o2), e2.sub(o2), y[3]]
    }
}

/// Divisors of the weights' coefficients at the points ±[`A`] and ±[`B`].
const FA: f32 = 2.0 * AA * (AA - BB);
const FB: f32 = 2.0 * BB * (BB - AA);

/// `G g`: three weights to coefficients.
pub(in crate::conv::winograd) struct WeightTransform;

impl Transform1d<3, 6> for WeightTransform {
    #[inline(always)]
    fn apply<V: Vector>(g: &[V; 3]) -> [V; 6] {
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

impl UnscaledTransform for WeightTransform {
    const SCALES: [f32; 6] = [1.0, 1.0 / FA, 1.0 / FA, 1.0 / FB, 1.0 / FB, 1.0];

    #[inline(always)]
    fn unscaled<V: Vector>(g: &[V; 3]) -> [V; 6] {
        let k = V::splat;
        let (e, e2) = (k(AA).mul_add(g[2], g[0]), k(BB).mul_add(g[2], g[0]));
        let (o, o2) = (k(A).mul(g[1]), k(B).mul(g[1]));
        [g[0], e.add(o), e.sub(o), e2.add(o2), e2.sub(o2), g[2]]
    }
}

/// `G^T u`, the adjoint of [`WeightTransform`].
pub(in crate::conv::winograd) struct WeightAdjoint;

impl Transform1d<6, 3> for WeightAdjoint {
    #[inline(always)]
    fn apply<V: Vector>(u: &[V; 6]) -> [V; 3] {
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
mod tests {
    use super::{super::testing::*, *};
    use crate::isa::{Isa, Kernel};

    struct Check;

    impl Kernel for Check {
        type Output = ();
        const PAIRS: bool = false;
        #[inline(always)]
        fn run<V: Vector, const MR: usize>(self) {
            let (d, g) = (values::<6>(), [0.5f32, -1.25, 2.0]);
            let (coefficients, weights) = (
                InputTransform::apply(&splat::<V, 6>(&d)),
                WeightTransform::apply(&splat::<V, 3>(&g)),
            );
            let products: [V; 6] = std::array::from_fn(|i| coefficients[i].mul(weights[i]));
            for (i, y) in first(OutputTransform::apply(&products)).into_iter().enumerate() {
                let want: f64 = (0..3).map(|r| f64::from(d[i + r]) * f64::from(g[r])).sum();
                assert!((y - want).abs() < 1e-4, "{y} for {want}");
            }
            adjoint::<OutputTransform, OutputAdjoint, V, 6, 4>();
            adjoint::<WeightTransform, WeightAdjoint, V, 3, 6>();
            scales::<WeightTransform, V>();
            norms::<InputTransform, V, 6, 6>();
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

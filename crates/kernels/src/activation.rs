//! Activation functions.
//!
//! GELU is `x Φ(x)`, with the distribution function `Φ` of the normal distribution (Hendrycks and Gimpel
//! 2016), SiLU is `x / (1 + exp(-x))` (Elfwing et al. 2017). The kernels take vectors of 32-bit values;
//! [`Smooth::value`] and [`Smooth::slope`] compute in f64, as the reference.
//!
//! Errors of vectors, against f64 (see the tests): the values of GELU and SiLU are within 1e-6 of
//! themselves, or 1e-36 where they are smaller than normal numbers; those of the tanh form within 1e-6 of
//! themselves, or 1e-8. Slopes, which are of the order of 1, are within 1e-6. NaN stays; where a result
//! of an infinite `x` is not its limit, it is NaN or infinite, as in PyTorch: a diverged net must show.

use crate::isa::Vector;

/// An activation function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// `max(x, 0)`. Its gradient follows from its output.
    Relu,
    /// One whose gradient follows from its input.
    Smooth(Smooth),
}

/// A smooth activation function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Smooth {
    /// `x Φ(x)`: `torch.nn.GELU()`.
    Gelu,
    /// `x (1 + tanh(sqrt(2/π) (x + 0.044715 x³))) / 2`: `torch.nn.GELU("tanh")`.
    GeluTanh,
    /// `x / (1 + exp(-x))`: `torch.nn.SiLU()`.
    Silu,
}

/// `2 sqrt(2/π)`, and that times 0.044715: `(1 + tanh(u)) / 2` is `1 / (1 + exp(-2u))`.
const TANH: [f64; 2] = [1.595_769_121_605_730_7, 0.071_354_816_272_600_25];

/// `1 / sqrt(2π)`.
const DENSITY: f64 = 0.398_942_280_401_432_7;

impl Smooth {
    /// The function, in f64.
    pub fn value(self, x: f64) -> f64 {
        match self {
            Smooth::Gelu => x * normal(x),
            Smooth::GeluTanh => x * logistic(x * (TANH[0] + TANH[1] * x * x)),
            Smooth::Silu => x * logistic(x),
        }
    }

    /// Its derivative, in f64.
    pub fn slope(self, x: f64) -> f64 {
        // Of x s(u(x)), with the logistic function s.
        let of = |u: f64, du: f64| logistic(u) * (1.0 + x * du * logistic(-u));
        match self {
            Smooth::Gelu => normal(x) + x * DENSITY * (-0.5 * x * x).exp(),
            Smooth::GeluTanh => {
                of(x * (TANH[0] + TANH[1] * x * x), TANH[0] + 3.0 * TANH[1] * x * x)
            }
            Smooth::Silu => of(x, 1.0),
        }
    }
}

fn logistic(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// The distribution function of the normal distribution: by its series (Marsaglia 2004), and in the tail by
/// its continued fraction.
fn normal(x: f64) -> f64 {
    let (a, density) = (x.abs(), DENSITY * (-0.5 * x * x).exp());
    let tail = if a < 5.0 {
        let (mut term, mut sum) = (a, a);
        for k in 1..100 {
            term *= a * a / f64::from(2 * k + 1);
            sum += term;
        }
        0.5 - density * sum
    } else {
        density / (1..100).rev().fold(a, |rest, k| a + f64::from(k) / rest)
    };
    if x > 0.0 { 1.0 - tail } else { tail }
}

/// A function of a vector.
pub(crate) trait Function: Copy + Send + Sync {
    fn value<V: Vector>(self, x: V) -> V;
}

/// A function of a vector, and its derivative.
pub(crate) trait Differentiable: Function {
    fn slope<V: Vector>(self, x: V) -> V;
}

/// A ReLU, or nothing.
#[derive(Clone, Copy)]
pub(crate) struct Rectified(pub(crate) bool);

#[derive(Clone, Copy)]
pub(crate) struct Gelu;

#[derive(Clone, Copy)]
pub(crate) struct GeluTanh;

#[derive(Clone, Copy)]
pub(crate) struct Silu;

/// Runs a body with the function of a [`Smooth`].
macro_rules! by_smooth {
    ($smooth:expr, $f:ident => $body:expr) => {
        match $smooth {
            $crate::activation::Smooth::Gelu => {
                let $f = $crate::activation::Gelu;
                $body
            }
            $crate::activation::Smooth::GeluTanh => {
                let $f = $crate::activation::GeluTanh;
                $body
            }
            $crate::activation::Smooth::Silu => {
                let $f = $crate::activation::Silu;
                $body
            }
        }
    };
}
pub(crate) use by_smooth;

impl Function for Rectified {
    #[inline(always)]
    fn value<V: Vector>(self, x: V) -> V {
        if self.0 { x.relu() } else { x }
    }
}

impl Function for Gelu {
    #[inline(always)]
    fn value<V: Vector>(self, x: V) -> V {
        x.mul(normal_of(x).0)
    }
}

impl Differentiable for Gelu {
    #[inline(always)]
    fn slope<V: Vector>(self, x: V) -> V {
        let (below, density) = normal_of(x);
        x.mul(density).mul_add(V::splat(DENSITY as f32), below)
    }
}

impl Function for GeluTanh {
    #[inline(always)]
    fn value<V: Vector>(self, x: V) -> V {
        let (u, _) = inner(x);
        x.div(V::splat(1.0).add(exp_of_minus(u, 89.0)))
    }
}

impl Differentiable for GeluTanh {
    #[inline(always)]
    fn slope<V: Vector>(self, x: V) -> V {
        let (u, du) = inner(x);
        logistic_slope(u, x.mul(du))
    }
}

impl Function for Silu {
    #[inline(always)]
    fn value<V: Vector>(self, x: V) -> V {
        x.div(V::splat(1.0).add(exp_of_minus(x, 89.0)))
    }
}

impl Differentiable for Silu {
    #[inline(always)]
    fn slope<V: Vector>(self, x: V) -> V {
        logistic_slope(x, x)
    }
}

/// The argument `u` of the logistic function in the tanh form, and its derivative.
#[inline(always)]
fn inner<V: Vector>(x: V) -> (V, V) {
    let square = x.mul(x);
    let [a, b] = TANH.map(|c| c as f32);
    let u = x.mul(square.mul_add(V::splat(b), V::splat(a)));
    (u, square.mul_add(V::splat(3.0 * b), V::splat(a)))
}

/// The derivative of `x s(u)`, with the logistic function `s` and `product = x du/dx`.
#[inline(always)]
fn logistic_slope<V: Vector>(u: V, product: V) -> V {
    let one = V::splat(1.0);
    // Finite, so that its product with what it divides is a number.
    let e = exp_of_minus(u, 88.0);
    let s = one.div(one.add(e));
    s.mul(product.mul_add(e.mul(s), one))
}

/// `exp(-x)`, of no more than `most`: from 89 on it is infinite.
#[inline(always)]
fn exp_of_minus<V: Vector>(x: V, most: f32) -> V {
    exp(V::zero().sub(x.max(V::splat(-most))), V::zero())
}

/// `exp(high + low)` with `high` of at most 89, and a small `low`: 0 below the normal numbers, and infinite
/// above the largest.
#[inline(always)]
fn exp<V: Vector>(high: V, low: V) -> V {
    // exp(x) = 2^n exp(r), and r = x - n ln 2, with ln 2 in two parts: n times the first is exact.
    const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
    let high = high.max(V::splat(-88.0));
    let bias = V::splat(V::ROUND + 127.0);
    let exponent = high.mul_add(V::splat(std::f32::consts::LOG2_E), bias);
    let minus_n = bias.sub(exponent);
    let r = minus_n.mul_add(V::splat(LN_2[0]), high);
    let r = minus_n.mul_add(V::splat(LN_2[1]), r).add(low);
    // Its Taylor series: |r| is less than 0.41.
    let mut sum = V::splat(1.0 / 5040.0);
    for c in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        sum = sum.mul_add(r, V::splat(c));
    }
    sum.mul(exponent.shift_to_exponent())
}

/// The distribution function of the normal distribution, and `exp(-x²/2)`.
#[inline(always)]
fn normal_of<V: Vector>(x: V) -> (V, V) {
    /// `exp(a²/2) (1 - Φ(a)) / t` as a polynomial in `t = 4 / (a + 4)`, of `a` in 0..14: least squares
    /// of the relative error, of which the largest is 7e-8.
    const TAIL: [f32; 9] = [
        0.025_501_754,
        -0.151_717_08,
        0.293_830_4,
        -0.203_114_94,
        0.199_876_17,
        0.033_749_588,
        0.103_530_295,
        0.098_548_22,
        0.099_795_565,
    ];
    let size = x.max(V::zero().sub(x));
    let a = V::zero().sub(V::zero().sub(size).max(V::splat(-14.0)));
    // The square in two parts, as the exponent needs more digits than a value has: `head` has so few that
    // its square is exact.
    let round = V::splat(98_304.0);
    let head = a.add(round).sub(round);
    let minus_half = V::splat(-0.5);
    let rest = a.sub(head).mul(a.add(head)).mul(minus_half);
    let density = exp(head.mul(head).mul(minus_half), rest);
    let t = V::splat(4.0).div(a.add(V::splat(4.0)));
    let [mut sum, rest @ ..] = TAIL.map(V::splat);
    for c in rest {
        sum = sum.mul_add(t, c);
    }
    let tail = sum.mul(t).mul(density);
    // 1 - tail above zero.
    let flipped = tail.mul_add(V::splat(-2.0), V::splat(1.0)).where_positive(x);
    (tail.add(flipped), density)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isa::{Isa, Kernel};

    /// Values or slopes of a vector at a time.
    struct Run<'a> {
        smooth: Smooth,
        slope: bool,
        x: &'a [f32],
        out: &'a mut [f32],
    }

    impl Kernel for Run<'_> {
        type Output = ();
        const PAIRS: bool = false;

        #[inline(always)]
        fn run<V: Vector, const MR: usize>(self) {
            let (slope, x) = (self.slope, self.x.chunks_exact(V::LANES));
            for (x, out) in x.zip(self.out.chunks_exact_mut(V::LANES)) {
                let x = V::read(x);
                by_smooth!(self.smooth, f => if slope { f.slope(x) } else { f.value(x) })
                    .write(out);
            }
        }
    }

    const ALL: [Smooth; 3] = [Smooth::Gelu, Smooth::GeluTanh, Smooth::Silu];

    fn run(isa: Isa, smooth: Smooth, slope: bool, x: &[f32]) -> Vec<f32> {
        let mut out = vec![0.0; x.len()];
        isa.dispatch(Run { smooth, slope, x, out: &mut out });
        out
    }

    /// Of every sign and exponent, and many of those that matter.
    fn range() -> Vec<f32> {
        let every = (0..u32::MAX).step_by(9973).map(f32::from_bits).filter(|x| x.is_finite());
        let mut x: Vec<f32> = every.chain((0..400_000).map(|i| i as f32 * 5e-4 - 100.0)).collect();
        x.truncate(x.len() / 16 * 16);
        x
    }

    #[test]
    fn values_and_slopes_equal_f64() {
        let x = range();
        for (isa, smooth) in Isa::to_test().into_iter().flat_map(|isa| ALL.map(|s| (isa, s))) {
            let least = if smooth == Smooth::GeluTanh { 1e-8 } else { 1e-36 };
            for (&x, y) in x.iter().zip(run(isa, smooth, false, &x)) {
                let want = smooth.value(x.into());
                let error = (f64::from(y) - want).abs();
                let is_close = error <= (1e-6 * want.abs()).max(least);
                assert!(is_close, "{isa} {smooth:?} at {x}: {y} for {want}");
            }
            for (&x, y) in x.iter().zip(run(isa, smooth, true, &x)) {
                // Beyond, the square of the tanh form is infinite.
                if x.abs() < 1e9 {
                    let want = smooth.slope(x.into());
                    let error = (f64::from(y) - want).abs();
                    assert!(error <= 1e-6, "{isa} {smooth:?}' at {x}: {y} for {want}");
                }
            }
        }
    }

    #[test]
    fn what_is_no_number_shows() {
        for (isa, smooth) in Isa::to_test().into_iter().flat_map(|isa| ALL.map(|s| (isa, s))) {
            for slope in [false, true] {
                let of = |x: f32| run(isa, smooth, slope, &[x; 16])[0];
                assert!(of(f32::NAN).is_nan(), "{isa} {smooth:?}");
                assert!(!of(f32::NEG_INFINITY).is_finite(), "{isa} {smooth:?}");
            }
            let infinite = run(isa, smooth, false, &[f32::INFINITY; 16]);
            assert_eq!(infinite, [f32::INFINITY; 16], "{isa} {smooth:?}");
        }
    }

    /// Values and slopes of PyTorch 2 in f64.
    #[test]
    fn the_reference_is_pytorchs() {
        for (smooth, wanted) in REFERENCES {
            for [x, value, slope] in wanted {
                let close = |got: f64, want: f64| (got - want).abs() <= 1e-12 * want.abs();
                assert!(close(smooth.value(x), value), "{smooth:?}({x}) = {}", smooth.value(x));
                assert!(close(smooth.slope(x), slope), "{smooth:?}'({x}) = {}", smooth.slope(x));
            }
        }
    }

    const REFERENCES: [(Smooth, [[f64; 3]; 5]); 3] = [
        (
            Smooth::Gelu,
            [
                [-3.0, -0.004_049_694_094_890_31, -0.011_945_647_204_183_92],
                [-0.75, -0.169_970_514_282_651_11, 0.000_774_278_260_764_815_8],
                [0.0, 0.0, 0.5],
                [0.5, 0.345_731_230_637_006_56, 0.867_495_124_656_162_9],
                [2.5, 2.484_475_836_685_559_7, 1.037_611_085_908_145],
            ],
        ),
        (
            Smooth::GeluTanh,
            [
                [-3.0, -0.003_637_392_081_772_994_3, -0.011_584_166_630_969_648],
                [-0.75, -0.170_039_444_834_379_66, 0.001_061_743_862_585_618],
                [0.0, 0.0, 0.5],
                [0.5, 0.345_714_009_825_143_94, 0.867_369_903_534_642_4],
                [2.5, 2.484_915_733_910_001, 1.037_951_576_212_666],
            ],
        ),
        (
            Smooth::Silu,
            [
                [-3.0, -0.142_277_619_532_700_35, -0.088_104_106_015_169_62],
                [-0.75, -0.240_615_975_618_455_27, 0.157_400_055_503_246_5],
                [0.0, 0.0, 0.5],
                [0.5, 0.311_229_665_600_927_3, 0.739_961_187_302_651_9],
                [2.5, 2.310_354_549_946_891_4, 1.099_401_111_341_526_7],
            ],
        ),
    ];
}

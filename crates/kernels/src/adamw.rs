//! The update of `torch.optim.AdamW` (Loshchilov and Hutter 2019, arXiv 1711.05101), without
//! `amsgrad`.

use crate::{
    check::exactly,
    chunks::DisjointChunks,
    cpu::Cpu,
    isa::{Kernel, Vector},
};

/// Values of an item of work.
const PART: usize = 16 * 1024;
/// As many values as the widest vector has lanes.
const WIDEST: usize = 16;

/// The hyperparameters of an update.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Update {
    /// Learning rate.
    pub lr: f32,
    /// Decay of the averages of the gradient and of its square, each in [0, 1).
    pub betas: [f64; 2],
    /// Added to the root of the average square.
    pub eps: f64,
    /// Decoupled weight decay: `lr * weight_decay` of the parameter is taken away.
    pub weight_decay: f32,
    /// Updates of these parameters, this one included: 1 at first.
    pub step: u64,
}

/// One update of parameters and of the averages of their gradient (`exp_avg`) and of its square
/// (`exp_avg_sq`), which are zero before the first:
///
/// ```text
/// w -= lr weight_decay w
/// exp_avg += (1 - beta1) (gradient - exp_avg)
/// exp_avg_sq = beta2 exp_avg_sq + (1 - beta2) gradient^2
/// w -= lr / (1 - beta1^step) exp_avg / (sqrt(exp_avg_sq) / sqrt(1 - beta2^step) + eps)
/// ```
///
/// # Panics
/// If the four differ in length, or the step is 0.
pub fn update(
    cpu: &Cpu,
    u: Update,
    w: &mut [f32],
    exp_avg: &mut [f32],
    exp_avg_sq: &mut [f32],
    gradient: &[f32],
) {
    exactly("average gradient", exp_avg.len(), w.len());
    exactly("average square", exp_avg_sq.len(), w.len());
    exactly("gradient", gradient.len(), w.len());
    assert!(u.step > 0, "steps count from 1");
    let factors = Factors::new(u);
    let items = w.len().div_ceil(PART);
    let averages = (DisjointChunks::new(exp_avg, PART), DisjointChunks::new(exp_avg_sq, PART));
    let parts = (DisjointChunks::new(w, PART), averages);
    cpu.pool().run_chunks(items, parts, |i, (w, (exp_avg, exp_avg_sq))| {
        let gradient = &gradient[i * PART..][..w.len()];
        cpu.isa().dispatch(UpdateItem { factors, w, exp_avg, exp_avg_sq, gradient });
    });
}

/// What the values of an update are multiplied by, rounded once.
#[derive(Clone, Copy)]
struct Factors {
    keep: f32,
    /// `1 - beta1`.
    towards: f32,
    beta2: f32,
    /// `1 - beta2`.
    square: f32,
    /// `1 / sqrt(1 - beta2^step)`.
    correction: f32,
    eps: f32,
    /// `-lr / (1 - beta1^step)`.
    rate: f32,
}

impl Factors {
    fn new(u: Update) -> Factors {
        let ([beta1, beta2], lr, step) = (u.betas, f64::from(u.lr), u.step as f64);
        Factors {
            keep: (1.0 - lr * f64::from(u.weight_decay)) as f32,
            towards: (1.0 - beta1) as f32,
            beta2: beta2 as f32,
            square: (1.0 - beta2) as f32,
            correction: (1.0 - beta2.powf(step)).sqrt().recip() as f32,
            eps: u.eps as f32,
            rate: (-lr / (1.0 - beta1.powf(step))) as f32,
        }
    }
}

struct UpdateItem<'a> {
    factors: Factors,
    w: &'a mut [f32],
    exp_avg: &'a mut [f32],
    exp_avg_sq: &'a mut [f32],
    gradient: &'a [f32],
}

impl Kernel for UpdateItem<'_> {
    type Output = ();
    const PAIRS: bool = false;

    #[inline(always)]
    fn run<V: Vector, const MR: usize>(self) {
        let UpdateItem { factors, w, exp_avg, exp_avg_sq, gradient } = self;
        let whole = w.len() / V::LANES * V::LANES;
        for at in (0..whole).step_by(V::LANES) {
            let end = at + V::LANES;
            let (m, v) = (&mut exp_avg[at..end], &mut exp_avg_sq[at..end]);
            step::<V>(factors, &mut w[at..end], m, v, &gradient[at..end]);
        }
        // The rest as a vector, so that every value is computed by the same instructions.
        let rest = w.len() - whole;
        let mut padded = [[0.0; WIDEST]; 4];
        let [pw, pm, pv, pg] = &mut padded;
        pw[..rest].copy_from_slice(&w[whole..]);
        pm[..rest].copy_from_slice(&exp_avg[whole..]);
        pv[..rest].copy_from_slice(&exp_avg_sq[whole..]);
        pg[..rest].copy_from_slice(&gradient[whole..]);
        step::<V>(factors, pw, pm, pv, pg);
        w[whole..].copy_from_slice(&pw[..rest]);
        exp_avg[whole..].copy_from_slice(&pm[..rest]);
        exp_avg_sq[whole..].copy_from_slice(&pv[..rest]);
    }
}

/// The update of a vector's values.
#[inline(always)]
fn step<V: Vector>(
    factors: Factors,
    w: &mut [f32],
    exp_avg: &mut [f32],
    exp_avg_sq: &mut [f32],
    gradient: &[f32],
) {
    let Factors { keep, towards, beta2, square, correction, eps, rate } = factors;
    let (g, m) = (V::read(gradient), V::read(exp_avg));
    let m = V::splat(towards).mul_add(g.sub(m), m);
    m.write(exp_avg);
    let v = V::splat(beta2).mul(V::read(exp_avg_sq));
    let v = V::splat(square).mul(g).mul_add(g, v);
    v.write(exp_avg_sq);
    let root = v.sqrt().mul_add(V::splat(correction), V::splat(eps));
    let kept = V::splat(keep).mul(V::read(w));
    V::splat(rate).mul_add(m.div(root), kept).write(w);
}

//! The update of Muon (Jordan et al. 2024): momentum, made orthogonal by Newton-Schulz iterations.
//!
//! A step of the iteration is `X' = P X` with `P = a + b A + c A^2` and `A = X X^T`. All of these
//! are polynomials of the first `A`, so they commute, and are symmetric. So the iteration runs on the
//! Gram matrix, whose sides are the shorter one of `X`: `A' = P A P`, `Q' = P Q`, and the update is
//! `Q X`. Rounding of `A` changes `Q` more with each step, since small singular values grow by
//! `a` in each: after some steps `A` is computed again from `X`.

use crate::{
    check::{at_least, exactly, product},
    chunks::DisjointChunks,
    cpu::Cpu,
    isa::{Kernel, Vector},
    matrix::{self, Matrix, multiply, multiply_symmetric},
    norm,
};

/// Values of an item of work.
const PART: usize = 16 * 1024;
/// Coefficients of the iteration: the slope at zero is as large as it can be.
pub const COEFFICIENTS: [f32; 3] = [3.4445, -4.7750, 2.0315];
/// Steps on one Gram matrix. After three, rounding is some 1e-5 of the smallest singular values.
pub const GRAM_STEPS: usize = 3;
/// Added to norms.
const EPS: f64 = 1e-7;

/// The hyperparameters of an update.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Update {
    /// Learning rate.
    pub lr: f32,
    /// Nesterov's momentum.
    pub momentum: f32,
    /// Decoupled weight decay: `lr * weight_decay` of the weight is taken away.
    pub weight_decay: f32,
    /// Newton-Schulz iterations.
    pub steps: usize,
    /// Whether the weight is first scaled to a Frobenius norm of the square root of its rows.
    pub rescale: bool,
}

/// A weight as a matrix: a row for each output channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Output channels.
    pub rows: usize,
    /// Values of an output channel.
    pub columns: usize,
}

impl Shape {
    /// Values of scratch for [`update`].
    pub fn scratch_len(self, cpu: &Cpu) -> usize {
        let (values, side) = (product(&[self.rows, self.columns]), self.side());
        let sums = norm::scratch_len(values);
        [values, values, product(&[4, side, side]), sums, matrix::scratch_len(cpu)]
            .into_iter()
            .fold(0, usize::saturating_add)
    }

    /// The side of the Gram matrix.
    pub fn side(self) -> usize {
        self.rows.min(self.columns)
    }
}

/// One update of a weight and its momentum buffer, which is zero before the first: Keller Jordan's
/// Muon, and `torch.optim.Muon` with its defaults for scale and coefficients (whose buffer is ours times
/// `1 - momentum`). A weight of more rows than columns moves by the root of their ratio times more.
///
/// # Panics
/// If there are no steps, a slice is not of the shape's length, or the scratch is too short.
pub fn update(
    cpu: &Cpu,
    u: Update,
    shape: Shape,
    w: &mut [f32],
    buffer: &mut [f32],
    gradient: &[f32],
    scratch: &mut [f32],
) {
    let Shape { rows, columns } = shape;
    let (len, side) = (product(&[rows, columns]), shape.side());
    exactly("weight", w.len(), len);
    exactly("momentum", buffer.len(), len);
    exactly("gradient", gradient.len(), len);
    at_least("scratch", scratch.len(), shape.scratch_len(cpu));
    assert!(u.steps > 0, "an update without steps");
    let (mut x, scratch) = scratch.split_at_mut(len);
    let (mut next, scratch) = scratch.split_at_mut(len);
    let (squares, scratch) = scratch.split_at_mut(4 * side * side);
    let (sums, scratch) = scratch.split_at_mut(norm::scratch_len(len));

    accumulate(cpu, u.momentum, buffer, gradient, x);
    let mut keep = 1.0 - f64::from(u.lr) * f64::from(u.weight_decay);
    if u.rescale {
        keep *= (rows as f64).sqrt() / (norm(cpu, w, sums) + EPS);
    }
    let mut scale = (1.0 / (norm(cpu, x, sums) + EPS)) as f32;
    let lr = -u.lr * (rows as f32 / columns as f32).max(1.0).sqrt();
    let mut left = u.steps;
    loop {
        let steps = left.min(GRAM_STEPS);
        left -= steps;
        let (values, is_wide) = (Matrix::new(x, rows, columns), rows <= columns);
        // The polynomial stands on the side of the shorter dimension.
        let wide = if is_wide { values } else { values.transposed() };
        let q = polynomial(cpu, wide, scale, steps, squares, scratch);
        let q = Matrix::new(q, side, side);
        let (a, b) = if is_wide { (q, values) } else { (values, q) };
        if left == 0 {
            multiply(cpu, (lr * scale, a, b), keep as f32, w, scratch);
            return;
        }
        multiply(cpu, (scale, a, b), 0.0, next, scratch);
        std::mem::swap(&mut x, &mut next);
        scale = 1.0;
    }
}

/// The matrix of some steps of the iteration from `scale x`, which has no more rows than columns.
/// `squares` has room for four of its size.
fn polynomial<'a>(
    cpu: &Cpu,
    x: Matrix<'_>,
    scale: f32,
    steps: usize,
    squares: &'a mut [f32],
    scratch: &mut [f32],
) -> &'a [f32] {
    let side = x.rows();
    let (gram, rest) = squares.split_at_mut(side * side);
    let (p, rest) = rest.split_at_mut(side * side);
    let (mut q, mut next) = rest.split_at_mut(side * side);
    let [a, b, c] = COEFFICIENTS;
    multiply_symmetric(cpu, (scale * scale, x, x.transposed()), 0.0, gram, scratch);
    let mut multiply = |alpha: f32, left: &[f32], right: &[f32], beta: f32, to: &mut [f32]| {
        let [left, right] = [left, right].map(|values| Matrix::new(values, side, side));
        multiply_symmetric(cpu, (alpha, left, right), beta, to, scratch);
    };
    for step in 0..steps {
        p.copy_from_slice(gram);
        multiply(c, gram, gram, b, p);
        p.iter_mut().step_by(side + 1).for_each(|p| *p += a);
        if step == 0 {
            q.copy_from_slice(p);
        } else {
            multiply(1.0, p, q, 0.0, next);
            std::mem::swap(&mut q, &mut next);
        }
        if step + 1 < steps {
            multiply(1.0, p, gram, 0.0, next);
            multiply(1.0, p, next, 0.0, gram);
        }
    }
    q
}

/// `buffer = momentum buffer + gradient; x = gradient + momentum buffer`.
fn accumulate(cpu: &Cpu, momentum: f32, buffer: &mut [f32], gradient: &[f32], x: &mut [f32]) {
    let items = x.len().div_ceil(PART);
    let parts = (DisjointChunks::new(buffer, PART), DisjointChunks::new(x, PART));
    cpu.pool().run_chunks(items, parts, |i, (buffer, x)| {
        let gradient = &gradient[i * PART..][..x.len()];
        cpu.isa().dispatch(Accumulate { momentum, buffer, gradient, x });
    });
}

struct Accumulate<'a> {
    momentum: f32,
    buffer: &'a mut [f32],
    gradient: &'a [f32],
    x: &'a mut [f32],
}

impl Kernel for Accumulate<'_> {
    type Output = ();
    const PAIRS: bool = false;

    #[inline(always)]
    fn run<V: Vector, const MR: usize>(self) {
        let Accumulate { momentum, buffer, gradient, x } = self;
        let whole = x.len() / V::LANES * V::LANES;
        let m = V::splat(momentum);
        let gradients = gradient.chunks_exact(V::LANES);
        let buffers = buffer.chunks_exact_mut(V::LANES);
        for ((x, b), g) in x.chunks_exact_mut(V::LANES).zip(buffers).zip(gradients) {
            let g = V::read(g);
            let velocity = m.mul_add(V::read(b), g);
            velocity.write(b);
            m.mul_add(velocity, g).write(x);
        }
        for at in whole..x.len() {
            // Fused like the vectors, so that AVX2 and AVX-512 agree.
            buffer[at] = momentum.mul_add(buffer[at], gradient[at]);
            x[at] = momentum.mul_add(buffer[at], gradient[at]);
        }
    }
}

/// The Frobenius norm. `sums` has [`norm::scratch_len`] values.
fn norm(cpu: &Cpu, x: &[f32], sums: &mut [f32]) -> f64 {
    norm::sum_of_squares(cpu, x, sums).sqrt()
}

//! The update of stochastic gradient descent, `torch.optim.SGD` with dampening 0.

use crate::{
    check::exactly,
    chunks::DisjointChunks,
    cpu::Cpu,
    isa::{Kernel, Vector},
};

/// Values of an item of work.
const PART: usize = 16 * 1024;

/// The hyperparameters of an update.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Update {
    /// Learning rate.
    pub lr: f32,
    /// Momentum.
    pub momentum: f32,
    /// L2 penalty, added to the gradient.
    pub weight_decay: f32,
    /// Nesterov's momentum.
    pub nesterov: bool,
}

/// One update of parameters and their momentum buffer, which is zero before the first.
///
/// # Panics
/// If the three differ in length.
pub fn update(cpu: &Cpu, u: Update, w: &mut [f32], buffer: &mut [f32], gradient: &[f32]) {
    exactly("momentum", buffer.len(), w.len());
    exactly("gradient", gradient.len(), w.len());
    let items = w.len().div_ceil(PART);
    let parts = (DisjointChunks::new(w, PART), DisjointChunks::new(buffer, PART));
    cpu.pool().run_chunks(items, parts, |i, (w, buffer)| {
        let gradient = &gradient[i * PART..][..w.len()];
        cpu.isa().dispatch(UpdateItem { u, w, buffer, gradient });
    });
}

struct UpdateItem<'a> {
    u: Update,
    w: &'a mut [f32],
    buffer: &'a mut [f32],
    gradient: &'a [f32],
}

impl Kernel for UpdateItem<'_> {
    type Output = ();
    const PAIRS: bool = false;

    #[inline(always)]
    fn run<V: Vector, const MR: usize>(self) {
        let UpdateItem { u, w, buffer, gradient } = self;
        let whole = w.len() / V::LANES * V::LANES;
        let (momentum, decay, rate) =
            (V::splat(u.momentum), V::splat(u.weight_decay), V::splat(-u.lr));
        let buffers = buffer.chunks_exact_mut(V::LANES);
        let gradients = gradient.chunks_exact(V::LANES);
        for ((w, b), g) in w.chunks_exact_mut(V::LANES).zip(buffers).zip(gradients) {
            let old = V::read(w);
            let g = decay.mul_add(old, V::read(g));
            let velocity = momentum.mul_add(V::read(b), g);
            velocity.write(b);
            let step = if u.nesterov { momentum.mul_add(velocity, g) } else { velocity };
            rate.mul_add(step, old).write(w);
        }
        for at in whole..w.len() {
            // Fused like the vectors, so that AVX2 and AVX-512 agree.
            let g = u.weight_decay.mul_add(w[at], gradient[at]);
            buffer[at] = u.momentum.mul_add(buffer[at], g);
            let step = if u.nesterov { u.momentum.mul_add(buffer[at], g) } else { buffer[at] };
            w[at] = (-u.lr).mul_add(step, w[at]);
        }
    }
}

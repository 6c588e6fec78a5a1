//! The update of stochastic gradient descent, `torch.optim.SGD` with dampening 0.

use crate::{
    cpu::Cpu,
    isa::{Kernel, Vector},
    pool::Parts,
};

/// Values of an item of work.
const PART: usize = 16 * 1024;

/// Figures of an update.
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

/// One update of parameters and momentum buffer. A buffer of zeros is one that has not stepped.
pub fn update(cpu: &Cpu, u: Update, w: &mut [f32], buffer: &mut [f32], gradient: &[f32]) {
    assert!(w.len() == buffer.len() && w.len() == gradient.len());
    let items = w.len().div_ceil(PART);
    let (ws, buffers) = (Parts::new(w, PART), Parts::new(buffer, PART));
    cpu.pool().run(items, &|_, i| {
        // SAFETY: each item takes its own parts.
        let (w, buffer) = unsafe { (ws.get(i), buffers.get(i)) };
        let gradient = &gradient[i * PART..][..w.len()];
        cpu.isa().dispatch(Item { u, w, buffer, gradient });
    });
}

struct Item<'a> {
    u: Update,
    w: &'a mut [f32],
    buffer: &'a mut [f32],
    gradient: &'a [f32],
}

impl Kernel for Item<'_> {
    type Output = ();
    const PAIRS: bool = false;

    #[inline(always)]
    fn run<V: Vector, const TILE: usize>(self) {
        let Item { u, w, buffer, gradient } = self;
        let whole = w.len() / V::LANES * V::LANES;
        for at in (0..whole).step_by(V::LANES) {
            // SAFETY: a vector from `at` is within the slices, which are equally long.
            unsafe {
                let (w, b) = (w.as_mut_ptr().add(at), buffer.as_mut_ptr().add(at));
                let old = V::load(w);
                let g = V::splat(u.weight_decay).mul_add(old, V::load(gradient.as_ptr().add(at)));
                let momentum = V::splat(u.momentum);
                let velocity = momentum.mul_add(V::load(b), g);
                velocity.store(b);
                let step = if u.nesterov { momentum.mul_add(velocity, g) } else { velocity };
                V::splat(-u.lr).mul_add(step, old).store(w);
            }
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

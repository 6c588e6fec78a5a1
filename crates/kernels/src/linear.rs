//! The linear layer: `torch.nn.Linear`.

use crate::{
    cpu::Cpu,
    element::{Element, by_element},
    isa::{Kernel, Vector},
    layout::padded,
    pool::Parts,
    values::{Values, ValuesMut},
};

/// Outputs of an item of work.
const PART: usize = 64;

/// A linear layer. Inputs are activations of one pixel; outputs are dense f32 (the logits).
/// `weight[outputs][inputs]` and `bias[outputs]` are PyTorch's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Linear {
    /// Input features.
    pub inputs: usize,
    /// Output features.
    pub outputs: usize,
}

impl Linear {
    /// `y[n][outputs] = x * weight^T + bias`.
    ///
    /// # Panics
    /// If a slice is too short.
    pub fn forward(
        &self,
        cpu: &Cpu,
        batch: usize,
        x: Values<'_>,
        weight: &[f32],
        bias: &[f32],
        y: &mut [f32],
    ) {
        by_element!(x.dtype(), E => self.forward_of(cpu, batch, E::slice(x), weight, bias, y));
    }

    fn forward_of<E: Element>(
        &self,
        cpu: &Cpu,
        batch: usize,
        x: &[E],
        weight: &[f32],
        bias: &[f32],
        y: &mut [f32],
    ) {
        let (inputs, outputs, stored) = (self.inputs, self.outputs, padded(self.inputs));
        let total = batch * outputs;
        let parts = Parts::new(&mut y[..total], PART);
        cpu.pool().run(total.div_ceil(PART), &|_, item| {
            // SAFETY: each item takes its own part.
            for (i, y) in unsafe { parts.get(item) }.iter_mut().enumerate() {
                let (n, o) = ((item * PART + i) / outputs, (item * PART + i) % outputs);
                let x = &x[n * stored..][..inputs];
                *y = bias[o] + cpu.isa().dispatch(Dot { x, w: &weight[o * inputs..][..inputs] });
            }
        });
    }

    /// Stores the gradients of input, weight and bias.
    ///
    /// # Panics
    /// If the dtypes of `x` and `dx` differ, or a slice is too short.
    pub fn backward(
        &self,
        cpu: &Cpu,
        batch: usize,
        x: Values<'_>,
        weight: &[f32],
        dy: &[f32],
        dx: ValuesMut<'_>,
        dw: &mut [f32],
        db: &mut [f32],
        scratch: &mut [f32],
    ) {
        by_element!(x.dtype(), E => {
            let (x, dx) = (E::slice(x), E::slice_mut(dx));
            self.backward_of(cpu, batch, x, weight, dy, dx, dw, db, scratch)
        });
    }

    fn backward_of<E: Element>(
        &self,
        cpu: &Cpu,
        batch: usize,
        x: &[E],
        weight: &[f32],
        dy: &[f32],
        dx: &mut [E],
        dw: &mut [f32],
        db: &mut [f32],
        scratch: &mut [f32],
    ) {
        let (inputs, outputs, stored) = (self.inputs, self.outputs, padded(self.inputs));
        let dxs = Parts::new(&mut dx[..batch * stored], stored);
        let sums = Parts::new(scratch, stored);
        cpu.pool().run(batch, &|thread, n| {
            // SAFETY: each item takes its own part, each thread its own scratch.
            let (dx, sum) = unsafe { (dxs.get(n), sums.get(thread)) };
            sum.fill(0.0);
            for o in 0..outputs {
                let from = &weight[o * inputs..][..inputs];
                cpu.isa().dispatch(Axpy { a: dy[n * outputs + o], x: from, y: &mut sum[..inputs] });
            }
            dx.iter_mut().zip(sum).for_each(|(dx, sum)| *dx = E::from_f32(*sum));
        });
        let dws = Parts::new(dw, inputs);
        cpu.pool().run(outputs, &|_, o| {
            // SAFETY: each item takes its own part.
            let dw = unsafe { dws.get(o) };
            dw.fill(0.0);
            for n in 0..batch {
                let x = &x[n * stored..][..inputs];
                cpu.isa().dispatch(Axpy { a: dy[n * outputs + o], x, y: dw });
            }
        });
        for (o, db) in db.iter_mut().enumerate() {
            *db = (0..batch).map(|n| dy[n * outputs + o]).sum();
        }
    }

    /// Values of scratch for [`Linear::backward`].
    pub fn scratch_len(&self, cpu: &Cpu) -> usize {
        cpu.threads() * padded(self.inputs)
    }
}

/// Partial sums of a dot product, the same on every instruction set, so that sets with fused
/// multiply-adds agree to the bit.
const SUMS: usize = 64;

struct Dot<'a, E> {
    x: &'a [E],
    w: &'a [f32],
}

impl<E: Element> Kernel for Dot<'_, E> {
    type Output = f32;

    #[inline(always)]
    fn run<V: Vector, const TILE: usize>(self) -> f32 {
        let mut sums = [0.0f32; SUMS];
        let (xs, ws) = (self.x.chunks_exact(SUMS), self.w.chunks_exact(SUMS));
        let tail = xs.remainder().iter().zip(ws.remainder());
        let rest: f32 = tail.map(|(x, w)| x.to_f32() * w).sum();
        for (x, w) in xs.zip(ws) {
            for at in (0..SUMS).step_by(V::LANES) {
                // SAFETY: a vector from `at` is within all three.
                unsafe {
                    let sum = sums.as_mut_ptr().add(at);
                    let x: V = E::load(x.as_ptr().add(at));
                    x.mul_add(V::load(w.as_ptr().add(at)), V::load(sum)).store(sum);
                }
            }
        }
        sums.iter().sum::<f32>() + rest
    }
}

/// `y += a * x`.
struct Axpy<'a, E> {
    a: f32,
    x: &'a [E],
    y: &'a mut [f32],
}

impl<E: Element> Kernel for Axpy<'_, E> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector, const TILE: usize>(self) {
        let whole = self.y.len().min(self.x.len()) / V::LANES * V::LANES;
        let a = V::splat(self.a);
        for at in (0..whole).step_by(V::LANES) {
            // SAFETY: a vector from `at` is within both slices.
            unsafe {
                let y = self.y.as_mut_ptr().add(at);
                a.mul_add(E::load(self.x.as_ptr().add(at)), V::load(y)).store(y);
            }
        }
        for (y, x) in self.y[whole..].iter_mut().zip(&self.x[whole..]) {
            *y = self.a.mul_add(x.to_f32(), *y); // fused like the vectors
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Bf16,
        testing::{error, from_stored, narrow, on_every_isa, random, to_stored, wide},
    };

    /// `stored` is the tolerance of what is rounded to storage.
    fn check<E: Element>(stored: f64) {
        on_every_isa(|cpu| {
            for (n, inputs, outputs) in [(1, 1, 1), (3, 70, 10), (5, 64, 130), (2, 515, 3)] {
                let s = Linear { inputs, outputs };
                let (x, w) = (random(n * inputs, 1), random(outputs * inputs, 2));
                let (b, dy) = (random(outputs, 3), random(n * outputs, 4));
                let mut dx = vec![E::from_f32(9.0); n * padded(inputs)];
                let (mut y, mut dw, mut db) =
                    (vec![0.0; n * outputs], vec![9.0; w.len()], vec![9.0; outputs]);
                let mut scratch = vec![0.0; s.scratch_len(cpu)];
                let (xs, w32, dy32) = (to_stored::<E>(&x, n, inputs), narrow(&w), narrow(&dy));
                s.forward(cpu, n, &xs, &w32, &narrow(&b), &mut y);
                s.backward(cpu, n, &xs, &w32, &dy32, &mut dx, &mut dw, &mut db, &mut scratch);
                let (mut y64, mut dx64) = (vec![0.0; y.len()], vec![0.0; x.len()]);
                let (mut dw64, mut db64) = (vec![0.0; w.len()], vec![0.0; outputs]);
                for i in 0..n {
                    for o in 0..outputs {
                        y64[i * outputs + o] += b[o];
                        db64[o] += dy[i * outputs + o];
                        for k in 0..inputs {
                            y64[i * outputs + o] += x[i * inputs + k] * w[o * inputs + k];
                            dx64[i * inputs + k] += dy[i * outputs + o] * w[o * inputs + k];
                            dw64[o * inputs + k] += dy[i * outputs + o] * x[i * inputs + k];
                        }
                    }
                }
                assert!(error(&wide(&y), &y64) < 1e-5);
                assert!(error(&from_stored(&dx, n, inputs), &dx64) < stored);
                assert!(error(&wide(&dw), &dw64) < 1e-5);
                assert!(error(&wide(&db), &db64) < 1e-5);
            }
        });
    }

    #[test]
    fn equals_the_reference() {
        check::<f32>(1e-5);
        check::<Bf16>(2e-2);
    }
}

//! The linear layer: `torch.nn.Linear`.

use crate::{
    check::{at_least, exactly, product},
    chunks::DisjointChunks,
    cpu::Cpu,
    isa::{Kernel, Vector},
    layout::padded,
    scalar::{Scalar, by_scalar},
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
    /// If `x` or `y` is too short, or a parameter of another length.
    pub fn forward(
        &self,
        cpu: &Cpu,
        batch: usize,
        x: Values<'_>,
        weight: &[f32],
        bias: &[f32],
        y: &mut [f32],
    ) {
        at_least("input", x.len(), product(&[batch, self.stored()]));
        at_least("output", y.len(), product(&[batch, self.outputs]));
        exactly("weight", weight.len(), product(&[self.inputs, self.outputs]));
        exactly("bias", bias.len(), self.outputs);
        by_scalar!(x.dtype(), T => self.forward_of(cpu, batch, T::slice(x), weight, bias, y));
    }

    fn forward_of<T: Scalar>(
        &self,
        cpu: &Cpu,
        batch: usize,
        x: &[T],
        weight: &[f32],
        bias: &[f32],
        y: &mut [f32],
    ) {
        let (inputs, outputs, stored) = (self.inputs, self.outputs, self.stored());
        let total = batch * outputs;
        let parts = DisjointChunks::new(&mut y[..total], PART);
        cpu.pool().run_chunks(total.div_ceil(PART), parts, |item, part| {
            for (i, y) in part.iter_mut().enumerate() {
                let (n, o) = ((item * PART + i) / outputs, (item * PART + i) % outputs);
                let x = &x[n * stored..][..inputs];
                *y = bias[o] + cpu.isa().dispatch(Dot { x, w: &weight[o * inputs..][..inputs] });
            }
        });
    }

    /// Stores the gradients of input, weight and bias.
    ///
    /// # Panics
    /// If the dtypes of `x` and `dx` differ, a slice is too short, or that of a parameter or its
    /// gradient of another length.
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
        let (values, logits) = (product(&[batch, self.stored()]), product(&[batch, self.outputs]));
        at_least("input", x.len(), values);
        at_least("gradient of the output", dy.len(), logits);
        at_least("gradient of the input", dx.len(), values);
        let weights = product(&[self.inputs, self.outputs]);
        exactly("weight", weight.len(), weights);
        exactly("gradient of the weight", dw.len(), weights);
        exactly("gradient of the bias", db.len(), self.outputs);
        at_least("scratch", scratch.len(), self.scratch_len(cpu));
        by_scalar!(x.dtype(), T => {
            let (x, dx) = (T::slice(x), T::slice_mut(dx));
            self.backward_of(cpu, batch, x, weight, dy, dx, dw, db, scratch)
        });
    }

    fn backward_of<T: Scalar>(
        &self,
        cpu: &Cpu,
        batch: usize,
        x: &[T],
        weight: &[f32],
        dy: &[f32],
        dx: &mut [T],
        dw: &mut [f32],
        db: &mut [f32],
        scratch: &mut [f32],
    ) {
        let (inputs, outputs, stored) = (self.inputs, self.outputs, self.stored());
        let dxs = DisjointChunks::new(&mut dx[..batch * stored], stored);
        cpu.pool().run_scratch(batch, dxs, (scratch, stored), |n, dx, sum| {
            sum.fill(0.0);
            for o in 0..outputs {
                let from = &weight[o * inputs..][..inputs];
                cpu.isa().dispatch(Axpy { a: dy[n * outputs + o], x: from, y: &mut sum[..inputs] });
            }
            dx.iter_mut().zip(sum).for_each(|(dx, sum)| *dx = T::from_f32(*sum));
        });
        let dws = DisjointChunks::new(dw, inputs);
        cpu.pool().run_chunks(outputs, dws, |o, dw| {
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
        product(&[cpu.threads(), self.stored()])
    }

    /// Input features as stored.
    fn stored(&self) -> usize {
        padded(self.inputs)
    }
}

/// Partial sums of a dot product: as many on every instruction set, so that the results of sets
/// with fused multiply-adds are bit-identical.
const SUMS: usize = 64;

struct Dot<'a, T> {
    x: &'a [T],
    w: &'a [f32],
}

impl<T: Scalar> Kernel for Dot<'_, T> {
    type Output = f32;
    const PAIRS: bool = false;

    #[inline(always)]
    fn run<V: Vector, const MR: usize>(self) -> f32 {
        let mut sums = [0.0f32; SUMS];
        let (xs, ws) = (self.x.chunks_exact(SUMS), self.w.chunks_exact(SUMS));
        let tail = xs.remainder().iter().zip(ws.remainder());
        let rest: f32 = tail.map(|(x, w)| x.to_f32() * w).sum();
        for (x, w) in xs.zip(ws) {
            for at in (0..SUMS).step_by(V::LANES) {
                let (sum, x): (_, V) = (&mut sums[at..], T::read(&x[at..]));
                x.mul_add(V::read(&w[at..]), V::read(sum)).write(sum);
            }
        }
        sums.iter().sum::<f32>() + rest
    }
}

/// `y += a * x`.
struct Axpy<'a, T> {
    a: f32,
    x: &'a [T],
    y: &'a mut [f32],
}

impl<T: Scalar> Kernel for Axpy<'_, T> {
    type Output = ();
    const PAIRS: bool = false;

    #[inline(always)]
    fn run<V: Vector, const MR: usize>(self) {
        let whole = self.y.len().min(self.x.len()) / V::LANES * V::LANES;
        let a = V::splat(self.a);
        let x = self.x.chunks_exact(V::LANES);
        for (y, x) in self.y.chunks_exact_mut(V::LANES).zip(x) {
            a.mul_add(T::read(x), V::read(y)).write(y);
        }
        for (y, x) in self.y[whole..].iter_mut().zip(&self.x[whole..]) {
            *y = self.a.mul_add(x.to_f32(), *y); // fused like the vectors
        }
    }
}

//! The peak rates of the machine, which kernels are compared with.

use std::{
    hint::black_box,
    marker::PhantomData,
    time::{Duration, Instant},
};

use crate::{
    chunks::DisjointChunks,
    cpu::Cpu,
    isa::{Kernel, Vector},
    memory::{Buffer, OutOfMemory},
    scalar::{Scalar, by_scalar},
    values::Dtype,
};

/// Values of each of two buffers. Together they have 256 MiB, more than the caches.
const LEN: usize = 32 << 20;
/// Values of an item of work.
const PART: usize = 256 * 1024;
/// Register tiles of an item of products, some 20 microseconds.
const TILES: usize = 8192;
/// Items for each thread.
const ITEMS: usize = 64;

/// Memory bandwidth in bytes per second, with all threads.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bandwidth {
    /// Of a copy. Each byte counts twice: read, and written.
    pub copy: f64,
    /// Of reading.
    pub read: f64,
}

impl Cpu {
    /// The peak rate of multiply-adds on registers in FLOP/s, of values of this dtype, with all
    /// threads. A multiply-add is two operations. Takes some tens of milliseconds.
    pub fn peak_flops(&self, dtype: Dtype) -> f64 {
        by_scalar!(dtype, T => self.peak_flops_of::<T>())
    }

    fn peak_flops_of<T: Scalar>(&self) -> f64 {
        let (items, tile) = (ITEMS * self.threads(), self.isa().mr());
        let products = items * TILES * 2 * tile * self.isa().lanes() * T::PACK;
        let seconds = shortest(40, || {
            self.pool().run(items, &|_, _| {
                black_box(self.isa().dispatch(PeakProducts::<T>::new()));
            });
        });
        2.0 * products as f64 / seconds
    }

    /// The memory bandwidth. Takes some tenths of a second.
    ///
    /// # Errors
    /// If there are no 256 MiB to measure with.
    pub fn bandwidth(&self) -> Result<Bandwidth, OutOfMemory> {
        let (mut from, mut to) = (Buffer::zeroed(LEN)?, Buffer::<f32>::zeroed(LEN)?);
        // Untouched memory is one page of zeros.
        from.fill(1.0);
        let items = LEN / PART;
        let copy = shortest(6, || {
            let parts = DisjointChunks::new(&mut to, PART);
            self.pool().run_chunks(items, parts, |i, to| {
                self.isa().dispatch(CopyStream { from: &from[i * PART..][..PART], to });
            });
        });
        let read = shortest(6, || {
            self.pool().run(items, &|_, i| {
                black_box(self.isa().dispatch(ReadStream(&from[i * PART..][..PART])));
            });
        });
        let bytes = (LEN * size_of::<f32>()) as f64;
        Ok(Bandwidth { copy: 2.0 * bytes / copy, read: bytes / read })
    }
}

/// Seconds of the fastest of `rounds` rounds, after one that is not timed.
fn shortest(rounds: usize, mut round: impl FnMut()) -> f64 {
    round();
    let time = |_| {
        let start = Instant::now();
        round();
        start.elapsed()
    };
    (0..rounds).map(time).min().unwrap_or(Duration::MAX).as_secs_f64()
}

/// A register tile as convolutions have it, of products that read no memory.
struct PeakProducts<T> {
    /// Words of one value, or of one in the upper half.
    factors: [f32; 2],
    scalar: PhantomData<T>,
}

impl<T> PeakProducts<T> {
    fn new() -> Self {
        // The compiler must not know these, or it would drop products.
        PeakProducts { factors: black_box([1.0, 1.0]), scalar: PhantomData }
    }
}

impl<T: Scalar> Kernel for PeakProducts<T> {
    type Output = f32;
    const PAIRS: bool = T::PACK > 1;

    #[inline(always)]
    fn run<V: Vector, const MR: usize>(self) -> f32 {
        let [a, b] = self.factors.map(V::splat);
        let mut sums = [[V::zero(); 2]; MR];
        for _ in 0..TILES {
            for row in &mut sums {
                for sum in row {
                    *sum = T::multiply(a, b, *sum);
                }
            }
        }
        sums.as_flattened().iter().map(|&sum| total(sum)).sum()
    }
}

struct CopyStream<'a> {
    from: &'a [f32],
    to: &'a mut [f32],
}

impl Kernel for CopyStream<'_> {
    type Output = ();
    const PAIRS: bool = false;

    #[inline(always)]
    fn run<V: Vector, const MR: usize>(self) {
        assert!(self.from.len() == self.to.len() && self.to.len().is_multiple_of(V::LANES));
        for at in (0..self.to.len()).step_by(V::LANES) {
            V::read(&self.from[at..]).write(&mut self.to[at..]);
        }
    }
}

/// The sum of a slice.
struct ReadStream<'a>(&'a [f32]);

impl Kernel for ReadStream<'_> {
    type Output = f32;
    const PAIRS: bool = false;

    #[inline(always)]
    fn run<V: Vector, const MR: usize>(self) -> f32 {
        const SUMS: usize = 8;
        assert!(self.0.len().is_multiple_of(SUMS * V::LANES));
        let mut sums = [V::zero(); SUMS];
        for at in (0..self.0.len()).step_by(SUMS * V::LANES) {
            for (i, sum) in sums.iter_mut().enumerate() {
                *sum = sum.add(V::read(&self.0[at + i * V::LANES..]));
            }
        }
        sums.iter().map(|&sum| total(sum)).sum()
    }
}

/// The sum of the lanes.
#[inline(always)]
fn total<V: Vector>(v: V) -> f32 {
    // As many as any set has, and more.
    let mut lanes = [0.0; 64];
    v.write(&mut lanes);
    lanes[..V::LANES].iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{bf16::Bf16, isa::Isa};

    /// The rate counts every product.
    #[test]
    fn every_product_is_taken() {
        fn check<T: Scalar>(isa: Isa) {
            // A splat f32 of 1 is the pair (0, 1): half of the products of pairs add 1.
            let got = isa.dispatch(PeakProducts::<T>::new());
            assert_eq!(got, (TILES * 2 * isa.mr() * isa.lanes()) as f32, "{isa}");
        }
        for isa in Isa::to_test() {
            check::<f32>(isa);
            check::<Bf16>(isa);
        }
    }

    #[test]
    fn every_value_is_moved() {
        for isa in Isa::to_test() {
            let from: Vec<f32> = (0..1024).map(|i| i as f32).collect();
            let mut to = vec![0.0; 1024];
            isa.dispatch(CopyStream { from: &from, to: &mut to });
            assert_eq!(from, to);
            assert_eq!(isa.dispatch(ReadStream(&from)), 1023.0 * 512.0);
        }
    }
}

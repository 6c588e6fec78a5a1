//! Factors between both sides of a product of integers.

use std::ops::Range;

use super::Plain;
use crate::{
    cpu::Cpu,
    isa::{Kernel, Vector},
    pool::Parts,
};

/// Values of the depth of an item.
const GROUP: usize = 64;

/// For each value of the depth a power of two near the norm of its weights, one of the largest. Tiles
/// are multiplied and weights divided by it, so that tiles have values of the size of what these
/// contribute: a channel of large activations and small weights would leave few bits to the others.
pub(in crate::conv::winograd) fn balance(
    cpu: &Cpu,
    plain: Plain<'_>,
    depth: usize,
    to: &mut [f32],
) {
    assert!(to.len() >= depth && plain.weights.len().is_multiple_of(9 * plain.in_channels));
    let outputs = plain.weights.len() / (9 * plain.in_channels);
    assert_eq!(depth, if plain.backward { outputs } else { plain.in_channels });
    assert!(plain.factors.is_none_or(|f| f.len() >= outputs));
    let to = &mut to[..depth];
    let parts = Parts::new(&mut *to, GROUP);
    cpu.pool().run(depth.div_ceil(GROUP), &|_, item| {
        let depth = item * GROUP..((item + 1) * GROUP).min(depth);
        // SAFETY: each item has its own part.
        let to = unsafe { parts.get(item) };
        cpu.isa().dispatch(Balance { plain, depth, to });
    });
    powers_of_two(to);
}

/// Norms to powers of two from the largest, which is one, down to where a channel no longer counts.
fn powers_of_two(norms: &mut [f32]) {
    let power = |x: f32| f32::from_bits(x.to_bits() & f32::INFINITY.to_bits());
    let largest = norms.iter().filter(|x| x.is_finite()).fold(0.0f32, |m, x| m.max(*x));
    for x in norms {
        let ratio = power(*x) / power(largest);
        // What is no number shows in the products.
        *x = if ratio.is_finite() { ratio.max(SMALLEST) } else { 1.0 };
    }
}

const SMALLEST: f32 = 1.0 / (1 << 24) as f32;

struct Balance<'a> {
    plain: Plain<'a>,
    depth: Range<usize>,
    to: &'a mut [f32],
}

impl Kernel for Balance<'_> {
    type Output = ();

    #[inline(always)]
    fn run<V: Vector, const TILE: usize>(self) {
        let Balance { plain, depth, to } = self;
        let (channels, row) = (plain.in_channels, 9 * plain.in_channels);
        let mut squares = [0.0; GROUP];
        if plain.backward {
            for (k, squares) in depth.zip(&mut squares) {
                let weights = &plain.weights[k * row..(k + 1) * row];
                let mut sums = [V::zero(); 4];
                for (i, at) in (0..row).step_by(V::LANES).enumerate() {
                    // SAFETY: channels are whole vectors.
                    let w = unsafe { V::load(weights.as_ptr().add(at)) };
                    sums[i % 4] = w.mul_add(w, sums[i % 4]);
                }
                let mut lanes = [0.0; GROUP];
                // SAFETY: there are fewer lanes.
                unsafe { sums[0].add(sums[1]).add(sums[2].add(sums[3])).store(lanes.as_mut_ptr()) };
                *squares = lanes[..V::LANES].iter().sum();
            }
        } else {
            let mut sums = [V::zero(); GROUP / 4];
            for (out, weights) in plain.weights.chunks_exact(row).enumerate() {
                let factor = V::splat(plain.factors.map_or(1.0, |f| f[out]));
                for window in weights.chunks_exact(channels) {
                    let from = &window[depth.clone()];
                    for (i, at) in (0..from.len()).step_by(V::LANES).enumerate() {
                        // SAFETY: as above.
                        let w = unsafe { V::load(from.as_ptr().add(at)) }.mul(factor);
                        sums[i] = w.mul_add(w, sums[i]);
                    }
                }
            }
            for (i, at) in (0..depth.len()).step_by(V::LANES).enumerate() {
                // SAFETY: there are as many.
                unsafe { sums[i].store(squares.as_mut_ptr().add(at)) };
            }
        }
        for (to, squares) in to.iter_mut().zip(squares) {
            *to = squares.sqrt();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn norms_become_powers_of_two() {
        let mut norms = [3.9, 1.0, 0.3, 0.0, 1e-42, f32::INFINITY, f32::NAN];
        powers_of_two(&mut norms);
        assert_eq!(norms, [1.0, 0.5, 0.125, SMALLEST, SMALLEST, 1.0, 1.0]);
        let mut zeros = [0.0; 3];
        powers_of_two(&mut zeros);
        assert_eq!(zeros, [1.0; 3]);
    }
}

//! Channel equalisation from weights alone, for inference.

use std::ops::Range;

use super::raw::RawWeights;
use crate::{
    chunks::DisjointChunks,
    conv::winograd::{
        grid::BLOCK,
        quantise::{power_of_two, sum_of_lanes},
    },
    cpu::Cpu,
    isa::{Kernel, Vector},
};

/// Output channels of an item.
const GROUP: usize = 32;

/// Computes an [equalisation](crate::conv::winograd::equalisation) before any tile is known. The
/// factor of a channel's tiles is a power of two near the norm of its weights, relative to the
/// largest norm; that of its weights is the inverse. So a channel of large activations and small
/// weights does not take the bits of the others. They go to both halves of `both`.
///
/// `sums` is scratch: as many words as the larger side for each 32 outputs.
pub(in crate::conv::winograd) fn equalise_by_weights(
    cpu: &Cpu,
    raw: RawWeights<'_>,
    both: &mut [f32],
    sums: &mut [f32],
) {
    let channels = raw.in_channels;
    assert!(raw.weights.len().is_multiple_of(9 * channels));
    let outputs = raw.weights.len() / (9 * channels);
    assert!(raw.output_scales.is_none_or(|f| f.len() >= outputs));
    let (to, weights) = both.split_at_mut(if raw.backward { outputs } else { channels });
    squares(cpu, raw, to, sums);
    to.iter_mut().for_each(|x| *x = x.sqrt());
    powers_of_two(to);
    weights.iter_mut().zip(to).for_each(|(weight, tile)| *weight = 1.0 / *tile);
}

/// Sums of squares of the weights of each channel of the depth.
fn squares(cpu: &Cpu, raw: RawWeights<'_>, to: &mut [f32], sums: &mut [f32]) {
    let channels = raw.in_channels;
    let outputs = raw.weights.len() / (9 * channels);
    let (items, each) = (outputs.div_ceil(GROUP), if raw.backward { GROUP } else { channels });
    let parts = DisjointChunks::new(&mut sums[..items * each], each);
    cpu.pool().run_chunks(items, parts, |item, sums| {
        let outputs = item * GROUP..((item + 1) * GROUP).min(outputs);
        cpu.isa().dispatch(WeightSquares { raw, outputs, sums });
    });
    if raw.backward {
        to.copy_from_slice(&sums[..outputs]);
    } else {
        to.fill(0.0);
        for part in sums[..items * each].chunks_exact(each) {
            to.iter_mut().zip(part).for_each(|(to, sum)| *to += sum);
        }
    }
}

/// Replaces norms by powers of two relative to the largest, which becomes 1. A small norm becomes
/// at least [`SMALLEST`].
fn powers_of_two(norms: &mut [f32]) {
    let largest = norms.iter().filter(|x| x.is_finite()).fold(0.0f32, |m, x| m.max(*x));
    for x in norms {
        let ratio = power_of_two(*x) / power_of_two(largest);
        // Infinity and NaN show in the products.
        *x = if ratio.is_finite() { ratio.max(SMALLEST) } else { 1.0 };
    }
}

const SMALLEST: f32 = 1.0 / (1 << 24) as f32;

/// Sums of squares of the weights of some outputs: by output (backward), or by input channel.
struct WeightSquares<'a> {
    raw: RawWeights<'a>,
    outputs: Range<usize>,
    sums: &'a mut [f32],
}

impl Kernel for WeightSquares<'_> {
    type Output = ();
    const PAIRS: bool = false;

    #[inline(always)]
    fn run<V: Vector, const MR: usize>(self) {
        let WeightSquares { raw, outputs, sums } = self;
        let (channels, row) = (raw.in_channels, 9 * raw.in_channels);
        assert!(channels.is_multiple_of(BLOCK));
        if !raw.backward {
            assert!(sums.len() >= channels);
            sums.fill(0.0);
        }
        for (i, out) in outputs.enumerate() {
            let weights = &raw.weights[out * row..(out + 1) * row];
            let factor = V::splat(raw.output_scales.map_or(1.0, |f| f[out]));
            let mut total = [V::zero(); 4];
            if raw.backward {
                for line in weights.chunks_exact(BLOCK) {
                    for (j, at) in (0..BLOCK).step_by(V::LANES).enumerate() {
                        // SAFETY: a line is whole vectors.
                        let w = unsafe { V::load(line.as_ptr().add(at)) };
                        total[j] = w.mul_add(w, total[j]);
                    }
                }
            } else {
                for window in weights.chunks_exact(channels) {
                    for at in (0..channels).step_by(V::LANES) {
                        // SAFETY: channels are whole vectors, with a sum for each.
                        unsafe {
                            let w = V::load(window.as_ptr().add(at)).mul(factor);
                            let sum = sums.as_mut_ptr().add(at);
                            w.mul_add(w, V::load(sum)).store(sum);
                        }
                    }
                }
            }
            if raw.backward {
                sums[i] = sum_of_lanes(total[0].add(total[1]).add(total[2].add(total[3])));
            }
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

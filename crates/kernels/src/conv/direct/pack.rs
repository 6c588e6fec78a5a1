//! Packs weights as the kernels read them.

use super::taps::Taps;
use crate::{cpu::Cpu, layout::padded, pool::Parts};

/// Values of a run that are transposed at a time.
const BLOCK: usize = 64;

/// Packs `[out][window][in]` weights for the forward pass, as `[panel][tap][run][lane]`, each
/// output channel times its factor.
pub(super) fn forward(
    cpu: &Cpu,
    table: &Taps,
    weights: &[f32],
    factors: Option<&[f32]>,
    out_channels: usize,
    packed: &mut [f32],
) {
    let (taps, run) = (table.len(), table.run);
    let values = weights.len() / (out_channels * taps);
    let wide = 2 * cpu.isa().lanes();
    let stored = padded(out_channels);
    let panels = Parts::new(packed, wide * table.depth());
    cpu.pool().run(stored.div_ceil(wide), &|_, panel| {
        // SAFETY: each item takes its own part.
        let packed = unsafe { panels.get(panel) };
        let first = panel * wide;
        let width = wide.min(stored - first);
        let real = width.min(out_channels.saturating_sub(first));
        if real < width || values < run {
            packed.fill(0.0);
        }
        for (tap, packed) in packed.chunks_exact_mut(run * width).enumerate() {
            // In blocks, so that the lines a channel writes a value to stay in the L1 cache.
            for start in (0..values).step_by(BLOCK) {
                let count = BLOCK.min(values - start);
                for lane in 0..real {
                    let channel = first + lane;
                    let factor = factors.map_or(1.0, |f| f[channel]);
                    let from = &weights[(channel * taps + tap) * values + start..][..count];
                    let to = packed[start * width..].chunks_exact_mut(width);
                    for (to, w) in to.zip(from) {
                        to[lane] = w * factor;
                    }
                }
            }
        }
    });
}

/// Packs `[out][window][in]` weights for backward-data: for each table `[panel of in][tap][out]
/// [lane]`.
pub(super) fn backward_data(
    cpu: &Cpu,
    tables: &[Taps],
    weights: &[f32],
    (in_channels, out_channels): (usize, usize),
    mut packed: &mut [f32],
) {
    let windows = weights.len() / (out_channels * in_channels);
    let wide = 2 * cpu.isa().lanes();
    let stored = padded(in_channels);
    for table in tables {
        let (here, rest) = packed.split_at_mut(table.depth() * stored);
        packed = rest;
        let panels = Parts::new(here, wide * table.depth());
        cpu.pool().run(stored.div_ceil(wide), &|_, panel| {
            // SAFETY: each item takes its own part.
            let packed = unsafe { panels.get(panel) };
            let first = panel * wide;
            let width = wide.min(stored - first);
            let real = width.min(in_channels.saturating_sub(first));
            if real < width || out_channels < table.run {
                packed.fill(0.0);
            }
            if real == 0 {
                return;
            }
            for (tap, packed) in packed.chunks_exact_mut(table.run * width).enumerate() {
                let window = table.windows[tap];
                for channel in 0..out_channels {
                    let from =
                        &weights[(channel * windows + window) * in_channels + first..][..real];
                    packed[channel * width..][..real].copy_from_slice(from);
                }
            }
        });
    }
}

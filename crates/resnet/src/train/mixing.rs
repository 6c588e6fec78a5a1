//! Mixup and CutMix of the batches of a run.

use crate::{
    data::{Batch, transform::Mix},
    engine::Targets,
};

/// Memory of mixed batches.
#[derive(Debug, Default)]
pub(super) struct Mixing {
    pixels: Vec<u8>,
    targets: Vec<f32>,
    scratch: Vec<u8>,
}

impl Mixing {
    /// The pixels and targets of a batch, mixed as drawn for `[seed, epoch, batch]`; none where nothing is
    /// mixed.
    pub(super) fn mix(
        &mut self,
        mix: Mix,
        [seed, epoch, index]: [u64; 3],
        batch: &Batch,
        classes: usize,
        label_smoothing: f32,
    ) -> Option<(&[u8], Targets<'_>)> {
        let size = [batch.height, batch.width];
        let mixed = mix.choose(seed, epoch, index, size)?;
        self.pixels.clone_from(&batch.pixels);
        let values = batch.labels.len() * size[0] * size[1];
        let channels = batch.pixels.len().checked_div(values)?;
        mixed.write(&mut self.pixels, size, channels, &mut self.scratch);
        mixed.targets(&batch.labels, classes, &mut self.targets);
        Some((&self.pixels, Targets::probabilities(&self.targets, classes, label_smoothing)))
    }
}

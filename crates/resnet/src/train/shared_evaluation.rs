//! Evaluation that several processes share: each has every so many-th batch, and process 0 adds up all of them in
//! their order.

use resnet_comm::{CommError, Group};

use crate::evaluate::Accumulator;

/// The evaluation of a set. In each round every process has a batch, which may be empty.
pub(super) struct SharedEvaluation<'a> {
    group: &'a Group,
    classes: usize,
    /// At process 0 all batches so far.
    accumulator: Accumulator,
}

impl<'a> SharedEvaluation<'a> {
    /// Before the first batch.
    pub(super) fn new(group: &'a Group, classes: usize) -> Self {
        SharedEvaluation { group, classes, accumulator: Accumulator::new(classes) }
    }

    /// The result: the whole one at process 0.
    pub(super) fn into_accumulator(self) -> Accumulator {
        self.accumulator
    }

    /// Adds this process's batch of a round, by its logits `[images][classes]`. Returns the images of the whole
    /// round, and the largest of the processes' stop flags.
    pub(super) fn add(
        &mut self,
        logits: &[f32],
        labels: &[u32],
        stop: usize,
    ) -> Result<(usize, usize), CommError> {
        let [mut images, mut most] = [labels.len(), stop];
        if self.group.size() == 1 {
            self.accumulator.add_batch(logits, labels);
            return Ok((images, most));
        }
        let mut bytes = words(&[stop as u32]);
        bytes.extend(words(labels));
        bytes.extend(logits.iter().flat_map(|logit| logit.to_le_bytes()));
        let all = self.group.gather(bytes)?;
        if self.group.is_first() {
            (images, most) = (0, 0);
        }
        for bytes in &all {
            let one = size_of::<u32>();
            let values = (bytes.len() / one).saturating_sub(1);
            let count = values / (1 + self.classes);
            let (head, logits) = bytes.split_at(one * (1 + count));
            let head: Vec<u32> = chunks(head).map(u32::from_le_bytes).collect();
            let logits: Vec<f32> = chunks(logits).map(f32::from_le_bytes).collect();
            self.accumulator.add_batch(&logits, &head[1..]);
            images += count;
            most = most.max(head[0] as usize);
        }
        let total = self.group.broadcast(words(&[images as u32, most as u32]))?;
        let total: Vec<u32> = chunks(&total).map(u32::from_le_bytes).collect();
        Ok((total[0] as usize, total[1] as usize))
    }
}

fn words(values: &[u32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn chunks(bytes: &[u8]) -> impl Iterator<Item = [u8; 4]> {
    bytes.as_chunks().0.iter().copied()
}

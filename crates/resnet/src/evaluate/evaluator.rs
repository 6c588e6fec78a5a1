//! Evaluates batches of images of one size.

use std::time::Instant;

use super::{
    accumulator::Accumulator,
    images::{BATCH, EvaluateError, check_size},
    result::Evaluation,
    tta::{Tta, TtaResult},
};
use crate::{
    Device, Dtype,
    data::Normalisation,
    engine::{DeviceEvalPlan, Input, lower::Lowering},
    model_file::Model,
};

/// A model, and what its batches come to.
pub(super) struct Evaluator<'a> {
    model: &'a Model,
    normalisation: &'a Normalisation,
    tta: Option<Tta>,
    /// Rows, columns and channels of an image.
    size: [usize; 3],
    plan: DeviceEvalPlan,
    accumulator: Accumulator,
    /// Of the mean logits of the views.
    of_views: Accumulator,
    start: Instant,
}

impl<'a> Evaluator<'a> {
    /// For so many images, which [fit](super::images::check) the network.
    pub(super) fn new(
        model: &'a Model,
        dtype: Dtype,
        tta: Option<Tta>,
        images: usize,
        [height, width]: [usize; 2],
        normalisation: &'a Normalisation,
        device: &Device,
    ) -> Result<Self, EvaluateError> {
        let start = Instant::now();
        check_size(normalisation, height, width)?;
        let (graph, batch) = (model.network.graph(), BATCH.min(images));
        let lowering = Lowering { graph, dtype, batch, height, width, frozen: &[], eval: &[] };
        let mut plan = DeviceEvalPlan::micro_batched(lowering, batch, &[], device)?;
        plan.load(&model.network)?;
        let [accumulator, of_views] = [0, 1].map(|_| Accumulator::new(graph.classes()));
        let size = [height, width, graph.in_channels()];
        Ok(Evaluator { model, normalisation, tta, size, plan, accumulator, of_views, start })
    }

    /// Images of the largest batch.
    pub(super) fn batch(&self) -> usize {
        self.plan.batch()
    }

    /// Counts a batch. Returns the logits of the plain images.
    pub(super) fn add(&mut self, pixels: &[u8], labels: &[u32]) -> Result<Vec<f32>, EvaluateError> {
        let mut forward = |pixels: &[u8]| {
            let input = Input::Bytes(pixels, self.normalisation);
            let logits = self.plan.forward(input, labels.len())?;
            Ok::<_, EvaluateError>(logits.to_vec())
        };
        let logits = forward(pixels)?;
        if let Some(tta) = self.tta {
            let mean = tta.logits(&logits, pixels, self.size, &mut forward)?;
            self.of_views.add_batch(&mean, labels);
        }
        self.accumulator.add_batch(&logits, labels);
        Ok(logits)
    }

    /// The results.
    ///
    /// # Errors
    /// [`EvaluateError::NoImages`] if there was no batch.
    pub(super) fn finish(self) -> Result<Evaluation, EvaluateError> {
        let Evaluator { model, tta, accumulator, of_views, start, .. } = self;
        if accumulator.images() == 0 {
            return Err(EvaluateError::NoImages);
        }
        let tta = tta.map(|views| TtaResult { views, accuracy: of_views.accuracy() });
        let seconds = start.elapsed().as_secs_f64();
        Ok(Evaluation { tta, ..accumulator.evaluation(&model.class_names(), seconds) })
    }
}

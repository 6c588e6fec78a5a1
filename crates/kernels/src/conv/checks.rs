//! What each call of a convolution checks before anything else.

use super::{
    Conv,
    algorithm::Direction,
    epilogue::Epilogue,
    operands::{ConvInput, WeightValues, Weights},
    shape::Source,
};
use crate::{
    check::{at_least, exactly, same_dtype},
    layout::padded,
    values::{Dtype, Values},
};

impl Conv {
    /// Values of a batch, given those of an image.
    ///
    /// # Panics
    /// If there are more images than this convolution is prepared for.
    #[track_caller]
    fn of_batch(&self, batch: usize, values: usize) -> usize {
        let most = self.setup.config.batch;
        assert!(batch <= most, "{batch} images, prepared for {most}");
        // Does not wrap: the largest batch was checked.
        batch * values
    }

    #[track_caller]
    pub(super) fn check_input(&self, batch: usize, x: &ConvInput<'_>) {
        at_least("input", x.values.len(), self.of_batch(batch, self.lengths.input));
        // Dense images are f32.
        let is_image = self.setup.config.source == Source::Image;
        same_dtype(x.values.dtype(), if is_image { Dtype::Fp32 } else { self.setup.config.dtype });
        if let Some(norm) = x.norm {
            let reads = self.algorithm.fuses_input_norm();
            assert!(reads, "only Winograd fuses a batch norm into its input");
            let stored = padded(self.setup.config.shape.in_channels);
            exactly("scale", norm.scale.len(), stored);
            exactly("shift", norm.shift.len(), stored);
        }
    }

    #[track_caller]
    pub(super) fn check_input_gradient(&self, batch: usize, len: usize) {
        let values = self.of_batch(batch, self.lengths.input_gradient);
        at_least("gradient of the input", len, values);
    }

    #[track_caller]
    pub(super) fn check_output(&self, batch: usize, len: usize) {
        at_least("output", len, self.of_batch(batch, self.lengths.output));
    }

    #[track_caller]
    pub(super) fn check_output_gradient(&self, batch: usize, dy: Values<'_>) {
        at_least("gradient of the output", dy.len(), self.of_batch(batch, self.lengths.output));
    }

    #[track_caller]
    pub(super) fn check_epilogue(&self, batch: usize, epilogue: &Epilogue<'_>) {
        if let Some(residual) = epilogue.residual {
            at_least("residual", residual.len(), self.of_batch(batch, self.lengths.output));
        }
        if let Some(bias) = epilogue.bias {
            at_least("bias", bias.len(), padded(self.setup.config.shape.out_channels));
        }
    }

    #[track_caller]
    pub(super) fn check_scratch(&self, scratch: &[f32]) {
        at_least("scratch", scratch.len(), self.lengths.scratch);
    }

    /// Checks weights, their scales, and where they are packed to.
    #[track_caller]
    pub(super) fn check_packing(
        &self,
        weights: &[f32],
        output_scales: Option<&[f32]>,
        packed: &[f32],
    ) {
        exactly("weights", weights.len(), self.lengths.weight);
        at_least("packed weights", packed.len(), self.lengths.packed);
        if let Some(output_scales) = output_scales {
            exactly("output scales", output_scales.len(), self.setup.config.shape.out_channels);
        }
    }

    /// The values of weights of a direction.
    ///
    /// # Panics
    /// If they were packed by another convolution, or for another direction.
    #[track_caller]
    pub(super) fn check_weights<'a>(
        &self,
        weights: Weights<'a>,
        direction: Direction,
    ) -> WeightValues<'a> {
        let is_own = weights.setup == self.setup && weights.direction == direction;
        assert!(is_own, "weights of another convolution, or of another direction");
        weights.values
    }
}

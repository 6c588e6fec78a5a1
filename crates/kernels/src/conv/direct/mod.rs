//! Direct convolution, for every shape: it takes a product for every weight and pixel.

mod backward_weight;
mod gather;
mod indirection;
mod narrow;
mod pack_groups;
mod panels;
mod pass;

use backward_weight::DirectBackwardWeight;
use indirection::IndirectionBuffer;
use pass::IndirectPass;

use super::{
    algorithm::{Direction, NO_DATA, NO_WEIGHT},
    config::ConvConfig,
    epilogue::TypedEpilogue,
    operands::ConvInput,
    shape::Source,
};
use crate::{cpu::Cpu, memory::OutOfMemory, scalar::Scalar};

/// A convolution of one shape in the directions that its mode needs. Products are in the dtype that
/// is read, which is f32 for dense images.
#[derive(Debug)]
pub(super) struct Direct {
    source: Source,
    forward: IndirectPass,
    backward_data: Option<IndirectPass>,
    backward_weight: Option<DirectBackwardWeight>,
}

impl Direct {
    /// For an output stored as `T`.
    ///
    /// # Errors
    /// If the system refuses the memory of the tables.
    pub(super) fn new<T: Scalar>(config: &ConvConfig, cpu: &Cpu) -> Result<Self, OutOfMemory> {
        let ConvConfig { shape, source, mode, .. } = *config;
        let lanes = cpu.isa().lanes();
        let (forward, weight): (fn(_, _, _) -> _, fn(_, _, _) -> _) = match source {
            Source::Image => (IndirectPass::forward::<f32>, DirectBackwardWeight::new::<f32>),
            Source::Activation => (IndirectPass::forward::<T>, DirectBackwardWeight::new::<T>),
        };
        let data = || IndirectPass::backward_data::<T>(shape, lanes);
        let weight = || weight(shape, source, lanes);
        Ok(Direct {
            source,
            forward: forward(shape, source, lanes)?,
            backward_data: mode.has(Direction::BackwardData).then(data).transpose()?,
            backward_weight: mode.has(Direction::BackwardWeight).then(weight).transpose()?,
        })
    }

    /// Bytes of the tables of a convolution, or a little more.
    pub(super) fn table_bytes(config: &ConvConfig) -> usize {
        let ConvConfig { ref shape, source, mode, .. } = *config;
        let mut bytes = IndirectionBuffer::bytes(shape, source, mode.has(Direction::BackwardData));
        if mode.has(Direction::BackwardWeight) {
            bytes = bytes.saturating_add(DirectBackwardWeight::table_bytes(shape, source));
        }
        bytes
    }

    fn data(&self) -> &IndirectPass {
        self.backward_data.as_ref().expect(NO_DATA)
    }

    pub(super) fn packed_len(&self) -> usize {
        let backward = self.backward_data.as_ref().map_or(0, IndirectPass::packed_len);
        self.forward.packed_len().max(backward)
    }

    pub(super) fn scratch_len(&self, cpu: &Cpu, batch: usize) -> usize {
        let weight = self.backward_weight.as_ref().map_or(0, |w| w.scratch_len(cpu, batch));
        let data = self.backward_data.as_ref().map_or(0, |d| d.scratch_len(cpu));
        self.forward.scratch_len(cpu).max(data).max(weight)
    }

    pub(super) fn pack_forward<T: Scalar>(
        &self,
        cpu: &Cpu,
        weights: &[f32],
        output_scales: Option<&[f32]>,
        packed: &mut [f32],
    ) {
        match self.source {
            Source::Image => self.forward.pack::<f32>(cpu, weights, output_scales, packed),
            Source::Activation => self.forward.pack::<T>(cpu, weights, output_scales, packed),
        }
    }

    pub(super) fn pack_backward_data<T: Scalar>(
        &self,
        cpu: &Cpu,
        weights: &[f32],
        packed: &mut [f32],
    ) {
        self.data().pack::<T>(cpu, weights, None, packed);
    }

    pub(super) fn forward<T: Scalar>(
        &self,
        cpu: &Cpu,
        batch: usize,
        x: ConvInput<'_>,
        packed: &[f32],
        y: &mut [T],
        finish: TypedEpilogue<'_, T>,
        scratch: &mut [f32],
    ) {
        let pass = &self.forward;
        match self.source {
            Source::Image => pass.run(cpu, batch, x.plain::<f32>(), packed, y, finish, scratch),
            Source::Activation => pass.run(cpu, batch, x.plain::<T>(), packed, y, finish, scratch),
        }
    }

    pub(super) fn backward_data<T: Scalar>(
        &self,
        cpu: &Cpu,
        batch: usize,
        dy: &[T],
        packed: &[f32],
        dx: &mut [T],
        finish: TypedEpilogue<'_, T>,
        scratch: &mut [f32],
    ) {
        self.data().run(cpu, batch, dy, packed, dx, finish, scratch);
    }

    pub(super) fn backward_weight<T: Scalar>(
        &self,
        cpu: &Cpu,
        batch: usize,
        x: ConvInput<'_>,
        dy: &[T],
        dw: &mut [f32],
        scratch: &mut [f32],
    ) {
        let pass = self.backward_weight.as_ref().expect(NO_WEIGHT);
        match self.source {
            Source::Image => pass.run(cpu, batch, x.plain::<f32>(), dy, dw, scratch),
            Source::Activation => pass.run(cpu, batch, x.plain::<T>(), dy, dw, scratch),
        }
    }
}

//! The gradient of the weights. Each coefficient of the window has a matrix product over tiles, of
//! the coefficients of input and gradient that it is multiplied with.

mod compare;
mod items;
mod plan;
mod recompute;
mod run;
mod statistics;

use compare::AccuratePairs;
use plan::BackwardWeightPlan;
use recompute::Flagged;

use super::{grid::Grid, quantise::is_int16, variant::Variant};
use crate::{conv::operands::TypedInput, cpu::Cpu, scalar::Scalar};

/// The gradient of the weights, and its fallback for values that 16-bit integers do not represent
/// well.
#[derive(Debug)]
pub(super) struct WinogradBackwardWeight {
    pass: BackwardWeightPlan,
    /// The fallback, over 32-bit floating point numbers, if `pass` is over integers.
    wide: Option<BackwardWeightPlan>,
}

impl WinogradBackwardWeight {
    /// For up to `batch` images, whose tiles of input and output have the same numbers.
    pub(super) fn new<T: Scalar>(
        variant: Variant,
        input: Grid,
        output: Grid,
        batch: usize,
    ) -> Self {
        let wide = || BackwardWeightPlan::new::<T::Wide>(variant, input, output, batch);
        WinogradBackwardWeight {
            pass: BackwardWeightPlan::new::<T>(variant, input, output, batch),
            wide: is_int16::<T>().then(wide),
        }
    }

    pub(super) fn scratch_len(&self, cpu: &Cpu) -> usize {
        let len = self.pass.scratch_len(cpu);
        let Some(wide) = &self.wide else { return len };
        let records = self.pass.most_blocks() * self.pass.layout().len();
        (records + self.pass.compared_len() + len).max(wide.scratch_len(cpu))
    }

    pub(super) fn run<T: Scalar>(
        &self,
        cpu: &Cpu,
        batch: usize,
        x: TypedInput<'_, T>,
        dy: &[T],
        dw: &mut [f32],
        scratch: &mut [f32],
    ) {
        let pass = &self.pass;
        let Some(wide) = &self.wide else {
            return pass.run(cpu, batch, x, dy, dw, &mut [], scratch);
        };
        let blocks = pass.blocks(batch * pass.input.tiles());
        let (records, rest) = scratch.split_at_mut(blocks.len() * pass.layout().len());
        let (compared, rest) = rest.split_at_mut(pass.compared_len());
        pass.run(cpu, batch, x, dy, dw, records, rest);
        let both = pass.both(batch, x, dy);
        match pass.compare(cpu, both, blocks, records, compared) {
            AccuratePairs::All => {}
            AccuratePairs::Most => {
                pass.recompute(cpu, x, dy, Flagged { flags: compared, blocks, records }, dw)
            }
            AccuratePairs::Few => {
                wide.run(cpu, batch, x.widen(), T::widen(dy), dw, &mut [], scratch)
            }
        }
    }
}

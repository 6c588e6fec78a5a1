//! The forward pass, and the gradient of the input: the same pass over weights rotated by 180
//! degrees.

use super::items::{AllOutputs, CallContext, OutputPanel, RightOperand, TransformTiles};
use super::plan::{COEFFICIENTS, UnitStridePass};

use crate::conv::winograd::{
    grid::Grid,
    pass::{Call, Pass, PassWeights},
    variant::Variant,
    weights::Packed,
};

use crate::{chunks::DisjointChunks, cpu::Cpu, scalar::Scalar};

impl Pass for UnitStridePass {
    const VARIANT: Variant = Variant::UnitStride;

    fn input(&self) -> &Grid {
        &self.input
    }

    fn output(&self) -> &Grid {
        &self.output
    }

    fn packed(&self) -> Packed {
        self.packed
    }

    fn packs_on_the_fly(&self) -> bool {
        self.on_the_fly
    }

    fn scratch_len(&self, cpu: &Cpu) -> usize {
        let (shared, own) = self.scratch(cpu);
        shared + cpu.threads() * own
    }

    fn run<T: Scalar>(
        &self,
        cpu: &Cpu,
        call: Call<'_, T>,
        weights: PassWeights<'_>,
        scratch: &mut [f32],
    ) {
        let Call { batch, x, y, epilogue } = call;
        let all = batch * self.input.tiles();
        x.check(self.input.channels);
        assert!(x.values.len() >= batch * self.input.image_len(), "input too short");
        let y = &mut y[..batch * self.output.image_len()];
        assert!(epilogue.residual.is_none_or(|r| r.len() >= y.len()));
        assert!(epilogue.bias.is_none_or(|b| b.len() >= self.output.channels));
        let y = DisjointChunks::new(y, 0);
        let (shared, own) = self.scratch(cpu);
        let (v_shared, own_scratch) = scratch.split_at_mut(shared);
        let (weights, equalisation) = match weights {
            PassWeights::Packed(packed) => {
                assert!(packed.len() >= self.packed.len(COEFFICIENTS));
                (RightOperand::Packed(packed), &packed[self.packed.equalisation(COEFFICIENTS)..])
            }
            PassWeights::Raw(raw, equalisation) => {
                assert!(self.on_the_fly);
                (RightOperand::Raw(raw, equalisation.weights), equalisation.tiles)
            }
        };
        let context =
            CallContext { plan: self, x, weights, equalisation, y: &y, epilogue: &epilogue };
        if !self.shared {
            let v_len = self.v_len();
            let items = all.div_ceil(self.tiles);
            // LOOP 3: blocks of tiles, one item each.
            cpu.pool().run_scratch(items, (), (own_scratch, own), |item, (), own| {
                let (v, m) = own.split_at_mut(v_len);
                let tiles = item * self.tiles..((item + 1) * self.tiles).min(all);
                cpu.isa().dispatch(AllOutputs { context, tiles, v, m });
            });
            return;
        }
        let nr = 2 * cpu.isa().lanes();
        // LOOP 3: blocks of tiles, shared by all threads.
        for first in (0..all).step_by(self.tiles) {
            let tiles = first..(first + self.tiles).min(all);
            let v = DisjointChunks::new(v_shared, 0);
            let step = tiles.len().div_ceil(4 * cpu.threads()).max(2);
            cpu.pool().run(tiles.len().div_ceil(step), &|_, item| {
                let part = item * step..((item + 1) * step).min(tiles.len());
                let (tiles, v) = (first + part.start..first + part.end, v.as_mut_ptr());
                cpu.isa().dispatch(TransformTiles { context, tiles, v, first: part.start });
            });
            let v = &*v_shared;
            // LOOP 5: panels of outputs, one item each.
            let items = self.output.channels.div_ceil(nr);
            cpu.pool().run_scratch(items, (), (&mut *own_scratch, own), |item, (), m| {
                let channel = item * nr;
                let channels = channel..(channel + nr).min(self.output.channels);
                cpu.isa().dispatch(OutputPanel { context, tiles: tiles.clone(), v, m, channels });
            });
        }
    }
}

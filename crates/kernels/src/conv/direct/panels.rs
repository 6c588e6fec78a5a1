//! Panels of outputs, and which values of a tap each of them reads.
//!
//! Without groups a panel is two vectors of outputs that read all values. With groups it reads a
//! *span*: the least run of values that holds the inputs of its outputs' groups. Weights are zero
//! where an output does not read a value of its panel's span. So that few are, vectors whose spans
//! differ are panels of their own.
//!
//! Groups narrower than a vector would still waste most products. If they have as many outputs as
//! inputs, a vector of outputs reads the same vector of inputs, and blocks of 4 or 8 channels do not
//! mix. Then kernels permute the inputs instead of broadcasting them: at step *j*, each output is
//! multiplied by value *j* of its own block.

use std::ops::Range;

use crate::{
    conv::shape::{ConvShape, Source},
    isa::Vector,
    layout::padded,
};

/// Consecutive outputs and what they read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Panel {
    /// The first output.
    pub(super) first: usize,
    /// Vectors of outputs: 1 or 2.
    pub(super) vectors: usize,
    /// First value of a tap that they read.
    pub(super) start: usize,
    /// Number of values: whole words.
    pub(super) span: usize,
}

/// How outputs are cut into panels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Panels {
    lanes: usize,
    /// Values of a word.
    pack: usize,
    outputs: usize,
    /// Outputs and inputs of a group.
    group: [usize; 2],
    /// Values of a tap.
    run: usize,
    /// Whether panels read spans: there are groups, and a tap is the channels of one pixel.
    spans: bool,
    /// Whether inputs are permuted, and in blocks of how many channels.
    pub(super) block: Option<usize>,
}

impl Panels {
    /// Of the forward pass, or of the gradient of the weights, for words of `pack` values.
    pub(super) fn of_outputs(s: &ConvShape, source: Source, pack: usize, lanes: usize) -> Self {
        let run = match source {
            Source::Activation => padded(s.in_channels),
            Source::Image => s.kernel * s.in_channels,
        };
        let spans = s.groups > 1 && source == Source::Activation;
        let group = [s.group_outputs(), s.group_inputs()];
        Panels::new(lanes, pack, s.out_channels, group, run, spans)
    }

    /// Of the gradient of the input, whose outputs are the input channels.
    pub(super) fn of_inputs(s: &ConvShape, pack: usize, lanes: usize) -> Self {
        let group = [s.group_inputs(), s.group_outputs()];
        Panels::new(lanes, pack, s.in_channels, group, padded(s.out_channels), s.groups > 1)
    }

    fn new(
        lanes: usize,
        pack: usize,
        outputs: usize,
        group: [usize; 2],
        run: usize,
        spans: bool,
    ) -> Self {
        // Vectors of four lanes gain nothing.
        let is_block = |&block: &usize| {
            spans && group[0] == group[1] && block.is_multiple_of(group[0]) && block < lanes
        };
        let block = [4, 8].into_iter().find(is_block);
        Panels { lanes, pack, outputs, group, run, spans, block }
    }

    /// The panels of all outputs.
    #[inline(always)]
    pub(super) fn all(self) -> impl Iterator<Item = Panel> {
        self.of(0, padded(self.outputs))
    }

    /// The panels of the outputs from `first` to before `end`, as stored.
    #[inline(always)]
    pub(super) fn of(self, first: usize, end: usize) -> impl Iterator<Item = Panel> {
        let mut next = first;
        std::iter::from_fn(move || {
            let first = next;
            let left = (end - first) / self.lanes;
            let vectors = if left < 2 { left } else { self.vectors(first) };
            next += vectors * self.lanes;
            let span = self.span(first, vectors.max(1));
            let (start, span) = (span.start, span.len());
            (vectors > 0).then_some(Panel { first, vectors, start, span })
        })
    }

    /// The vectors of a panel, where there are two.
    #[inline(always)]
    fn vectors(self, first: usize) -> usize {
        if !self.spans {
            return 2;
        }
        match self.block {
            // Enough sums to hide the latency of a product.
            Some(block) => {
                if block < 8 {
                    2
                } else {
                    1
                }
            }
            None => {
                let alone = self.span(first, 1).len() + self.span(first + self.lanes, 1).len();
                if 2 * self.span(first, 2).len() <= alone { 2 } else { 1 }
            }
        }
    }

    /// The values that a number of vectors read.
    #[inline(always)]
    fn span(self, first: usize, vectors: usize) -> Range<usize> {
        if !self.spans {
            return 0..self.run;
        }
        if self.block.is_some() {
            return first..first + vectors * self.lanes;
        }
        // Outputs that only pad read what the last one reads.
        let group = |output: usize| output.min(self.outputs - 1) / self.group[0];
        let start = group(first) * self.group[1];
        let end = (group(first + vectors * self.lanes - 1) + 1) * self.group[1];
        start / self.pack * self.pack..end.next_multiple_of(self.pack)
    }

    /// Steps of a tap for a panel: products of each of its lanes.
    #[inline(always)]
    pub(super) fn steps(self, panel: Panel) -> usize {
        self.block.unwrap_or(panel.span / self.pack)
    }

    /// The value of a tap that an output reads at a step, the first of its word.
    #[inline(always)]
    pub(super) fn value(self, panel: Panel, output: usize, step: usize) -> usize {
        match self.block {
            Some(block) => output / block * block + step,
            None => panel.start + step * self.pack,
        }
    }

    /// Values packed at a time: permuted inputs are not packed in words.
    pub(super) fn word(self) -> usize {
        if self.block.is_some() { 1 } else { self.pack }
    }

    /// Words of packed weights for `taps` taps of all outputs.
    pub(super) fn packed_len(self, taps: usize) -> usize {
        let len = |panel: Panel| taps * self.steps(panel) * panel.vectors * self.lanes;
        self.all().map(len).sum()
    }
}

/// For each step, the lanes that hold its values: [`Vector::permute`]'s.
#[inline(always)]
pub(super) fn lanes_of_blocks<V: Vector, const BLOCK: usize>() -> [V; BLOCK] {
    std::array::from_fn(|step| {
        let lane = |lane: usize| f32::from_bits((lane / BLOCK * BLOCK + step) as u32);
        let lanes: [f32; 16] = std::array::from_fn(|i| if i < V::LANES { lane(i) } else { 0.0 });
        V::read(&lanes)
    })
}

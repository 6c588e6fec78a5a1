//! Prepares a program for this machine: a kernel for each convolution, and the plan's memory.

use std::sync::Arc;

use resnet_kernels::{
    Cpu, Dtype, OutOfMemory,
    conv::{Algorithm, Conv, ConvConfig, ConvShape, Direction, Mode, Source},
};
use resnet_program::program::{Compute, FusedLayer, Pass, Program};

use crate::plan_summary::{LayerSummary, PlanMemory, PlanSummary};

/// Everything that a convolution's kernel depends on, for one dtype and batch.
type ConvKey = (ConvShape, Source, Mode);

/// A cache of convolution kernels, prepared for one largest batch. Equal convolutions share a
/// kernel, since its indirection buffer can be larger than its output.
pub(super) struct Kernels<'a> {
    pub(super) dtype: Dtype,
    pub(super) batch: usize,
    pub(super) cpu: &'a Cpu,
    made: Vec<(ConvKey, Arc<Conv>)>,
}

impl<'a> Kernels<'a> {
    pub(super) fn new(dtype: Dtype, batch: usize, cpu: &'a Cpu) -> Self {
        Kernels { dtype, batch, cpu, made: Vec::new() }
    }

    /// Bytes of the indirection buffers of convolutions.
    pub(super) fn table_bytes(&self, convs: impl IntoIterator<Item = ConvKey>) -> usize {
        let mut seen = Vec::new();
        let mut bytes = 0_usize;
        for key in convs {
            if !seen.contains(&key) {
                let more = Conv::table_bytes(self.config(key), self.cpu);
                bytes = bytes.saturating_add(more);
                seen.push(key);
            }
        }
        bytes
    }

    /// Whether a layer is a convolution that can fuse a batch norm and ReLU into its load.
    pub(super) fn fuses_input_norm(&self, layer: &FusedLayer) -> bool {
        let algorithm = |key| Conv::algorithm_of(self.config(key), self.cpu);
        layer.conv.is_some_and(|key| algorithm(key).fuses_input_norm())
    }

    fn config(&self, (shape, source, mode): ConvKey) -> ConvConfig {
        ConvConfig { shape, dtype: self.dtype, source, mode, batch: self.batch }
    }

    /// By layer, the kernel of its convolution.
    ///
    /// # Errors
    /// If there is no memory for the indirection buffers.
    pub(super) fn of_layers(
        &mut self,
        layers: &[FusedLayer],
    ) -> Result<Vec<Option<Arc<Conv>>>, OutOfMemory> {
        layers.iter().map(|layer| layer.conv.map(|key| self.of(key)).transpose()).collect()
    }

    fn of(&mut self, key: ConvKey) -> Result<Arc<Conv>, OutOfMemory> {
        if let Some((_, made)) = self.made.iter().find(|(of, _)| *of == key) {
            return Ok(made.clone());
        }
        let conv = Arc::new(Conv::new(self.config(key), self.cpu)?);
        self.made.push((key, conv.clone()));
        Ok(conv)
    }
}

/// A program, its kernels and the memory that it needs. Only the indirection buffers are allocated.
pub(crate) struct Prepared {
    pub(super) program: Program,
    pub(super) convs: Vec<Option<Arc<Conv>>>,
    pub(crate) memory: PlanMemory,
}

/// Scratch memory of an operation, in 4-byte words.
pub(super) fn scratch_len(
    program: &Program,
    index: usize,
    convs: &[Option<Arc<Conv>>],
    cpu: &Cpu,
) -> usize {
    let operation = &program.operations[index];
    match &operation.compute {
        Compute::BatchNorm { norm, saved: Some(_), .. }
        | Compute::BatchNormStatistics { norm, .. }
        | Compute::BatchNormBackward { norm, .. } => norm.batch(program.batch).scratch_len(),
        Compute::LinearBackward { linear, .. } => linear.scratch_len(cpu),
        _ => {
            let conv = operation.layer.and_then(|layer| convs[layer].as_ref());
            conv.map_or(0, |conv| conv.scratch_len())
        }
    }
}

/// The most scratch memory of any operation, in 4-byte words.
pub(super) fn most_scratch(program: &Program, convs: &[Option<Arc<Conv>>], cpu: &Cpu) -> usize {
    let scratch = (0..program.operations.len()).map(|i| scratch_len(program, i, convs, cpu));
    scratch.max().unwrap_or(0)
}

/// The algorithm of each pass that a convolution is prepared for.
fn algorithms(conv: &Conv) -> Vec<(Pass, Algorithm)> {
    let of = |direction| Some((Pass::from(direction), conv.algorithm(direction)?));
    Direction::ALL.into_iter().filter_map(of).collect()
}

/// The summary of a prepared program.
pub(super) fn summary(
    program: &Program,
    convs: &[Option<Arc<Conv>>],
    memory: PlanMemory,
    cpu: &Cpu,
) -> PlanSummary {
    let word = size_of::<f32>();
    let value = program.dtype.size();
    let mut scratch = vec![0; program.layers.len()];
    for (index, operation) in program.operations.iter().enumerate() {
        if let Some(layer) = operation.layer {
            scratch[layer] = scratch_len(program, index, convs, cpu).max(scratch[layer]);
        }
    }
    let layer = |(index, layer): (usize, &FusedLayer)| {
        let conv = convs[index].as_deref();
        LayerSummary {
            nodes: layer.names.clone(),
            kind: layer.kind,
            output: layer.output,
            algorithms: conv.map_or_else(Vec::new, algorithms),
            activation_bytes: match &layer.value {
                // The logits have their own buffer.
                Some(at) if at.is_empty() => program.batch * program.classes * word,
                at => at.as_ref().map_or(0, |at| at.len() * value),
            },
            gradient_bytes: layer.gradient.len() * value,
            packed_bytes: conv.map_or(0, Conv::packed_len) * word,
            scratch_bytes: scratch[index] * word,
        }
    };
    let layers: Vec<LayerSummary> = program.layers.iter().enumerate().map(layer).collect();
    let operations = program.operations.iter().map(|operation| {
        let of = operation.layer.map(|layer| (&layers[layer], &program.layers[layer]));
        let pass = |a: &&(Pass, Algorithm)| a.0 == operation.pass;
        let mut operation = operation.clone();
        if let Some((layer, parameters)) = of
            && operation.compute == Compute::Pack
            && layer.packed_bytes > 0
        {
            // Unpacked weights are read by the convolution itself.
            operation.bytes = (parameters.parameter_bytes + layer.packed_bytes) as u64;
        }
        let algorithm = of.and_then(|(layer, _)| layer.algorithms.iter().find(pass));
        (operation, algorithm.map(|a| a.1)).into()
    });
    PlanSummary { operations: operations.collect(), layers, memory }
}

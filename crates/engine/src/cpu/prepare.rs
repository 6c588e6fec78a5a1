//! What this machine makes of a program's layers.

use std::sync::Arc;

use resnet_kernels::{
    Cpu, Dtype, OutOfMemory,
    batch_norm::BatchNorm,
    conv::{Algorithm, Conv, ConvShape, Direction, Mode, Source},
};

use crate::{
    plan_summary::{LayerSummary, PlanMemory, PlanSummary},
    program::{Compute, FusedLayer, Pass, Program},
};

/// What a convolution is prepared from.
type ConvKey = (ConvShape, Source, Mode);

/// The kernels of convolutions, which take the algorithms of one largest batch. Those that are alike
/// are one: their tables of pixels can be larger than what they compute.
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

    /// Bytes of the tables of these convolutions.
    pub(super) fn table_bytes(&self, convs: impl IntoIterator<Item = ConvKey>) -> usize {
        let mut seen = Vec::new();
        let mut bytes = 0_usize;
        for key in convs {
            if !seen.contains(&key) {
                let (shape, source, mode) = key;
                let (dtype, batch, cpu) = (self.dtype, self.batch, self.cpu);
                let more = Conv::table_bytes(shape, dtype, source, mode, batch, cpu);
                bytes = bytes.saturating_add(more);
                seen.push(key);
            }
        }
        bytes
    }

    /// Whether a layer is a convolution that can read an activation through a batch norm.
    pub(super) fn fuses_input_norm(&self, layer: &FusedLayer) -> bool {
        layer.conv.is_some_and(|(shape, source, mode)| {
            let (dtype, batch, cpu) = (self.dtype, self.batch, self.cpu);
            Conv::algorithm_of(shape, dtype, source, mode, batch, cpu).reads_through_norm()
        })
    }

    /// The kernels of the layers that are convolutions.
    ///
    /// # Errors
    /// If there is no memory for their tables.
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
        let (shape, source, mode) = key;
        let conv = Conv::new(shape, self.dtype, source, mode, self.batch, self.cpu)?;
        let conv = Arc::new(conv);
        self.made.push((key, conv.clone()));
        Ok(conv)
    }
}

/// A program and what it will take, before anything of its size is allocated but tables.
pub(crate) struct Prepared {
    pub(super) program: Program,
    pub(super) convs: Vec<Option<Arc<Conv>>>,
    pub(crate) memory: PlanMemory,
}

/// Words of scratch that an operation takes.
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
        | Compute::BatchNormBackward { norm, .. } => of_batch(norm, program.batch).scratch_len(),
        Compute::LinearBackward { linear, .. } => linear.scratch_len(cpu),
        _ => {
            let conv = operation.layer.and_then(|layer| convs[layer].as_ref());
            conv.map_or(0, |conv| conv.scratch_len())
        }
    }
}

/// Words of scratch of the operation that takes most.
pub(super) fn most_scratch(program: &Program, convs: &[Option<Arc<Conv>>], cpu: &Cpu) -> usize {
    let scratch = (0..program.operations.len()).map(|i| scratch_len(program, i, convs, cpu));
    scratch.max().unwrap_or(0)
}

/// A batch norm of one image, of so many.
pub(super) fn of_batch(norm: &BatchNorm, images: usize) -> BatchNorm {
    BatchNorm { pixels: images * norm.pixels, channels: norm.channels }
}

/// How a convolution computes the passes that it is prepared for.
fn algorithms(conv: &Conv) -> Vec<(Pass, Algorithm)> {
    let of = |direction| Some((Pass::from(direction), conv.algorithm(direction)?));
    Direction::ALL.into_iter().filter_map(of).collect()
}

/// A program as this machine runs it.
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
                // The logits have a buffer of their own.
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
            // Where nothing is packed, the convolution itself reads the weights.
            operation.bytes = (parameters.parameter_bytes + layer.packed_bytes) as u64;
        }
        let algorithm = of.and_then(|(layer, _)| layer.algorithms.iter().find(pass));
        (operation, algorithm.map(|a| a.1)).into()
    });
    PlanSummary { operations: operations.collect(), layers, memory }
}

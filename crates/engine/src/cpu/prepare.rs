//! What this machine makes of a program's units.

use std::sync::Arc;

use resnet_kernels::{
    Cpu, Dtype, OutOfMemory,
    conv::{Algorithm, Conv, ConvConfig, ConvShape, Direction, Mode, Source},
};

use crate::{
    outline::{Memory, Outline, UnitOutline},
    program::{Compute, Pass, Program, Unit},
};

/// What a convolution is prepared from.
type Needs = (ConvShape, Source, Mode);

/// The kernels of convolutions, which take the algorithms of one largest batch. Those that are alike
/// are one: their tables of pixels can be larger than what they compute.
pub(super) struct Kernels<'a> {
    pub(super) dtype: Dtype,
    pub(super) batch: usize,
    pub(super) cpu: &'a Cpu,
    made: Vec<(Needs, Arc<Conv>)>,
}

impl<'a> Kernels<'a> {
    pub(super) fn new(dtype: Dtype, batch: usize, cpu: &'a Cpu) -> Self {
        Kernels { dtype, batch, cpu, made: Vec::new() }
    }

    /// Bytes of the tables of these convolutions.
    pub(super) fn table_bytes(&self, convs: impl IntoIterator<Item = Needs>) -> usize {
        let mut seen = Vec::new();
        let mut bytes = 0_usize;
        for needs in convs {
            if !seen.contains(&needs) {
                let more = Conv::table_bytes(self.config(needs), self.cpu);
                bytes = bytes.saturating_add(more);
                seen.push(needs);
            }
        }
        bytes
    }

    /// Whether a unit is a convolution that can read an activation through a batch norm.
    pub(super) fn fuses_input_norm(&self, unit: &Unit) -> bool {
        unit.conv.is_some_and(|needs| {
            Conv::algorithm_of(self.config(needs), self.cpu).fuses_input_norm()
        })
    }

    fn config(&self, (shape, source, mode): Needs) -> ConvConfig {
        ConvConfig { shape, dtype: self.dtype, source, mode, batch: self.batch }
    }

    /// The kernels of the units that are convolutions.
    ///
    /// # Errors
    /// If there is no memory for their tables.
    pub(super) fn of_units(
        &mut self,
        units: &[Unit],
    ) -> Result<Vec<Option<Arc<Conv>>>, OutOfMemory> {
        units.iter().map(|unit| unit.conv.map(|needs| self.of(needs)).transpose()).collect()
    }

    fn of(&mut self, needs: Needs) -> Result<Arc<Conv>, OutOfMemory> {
        if let Some((_, made)) = self.made.iter().find(|(of, _)| *of == needs) {
            return Ok(made.clone());
        }
        let conv = Arc::new(Conv::new(self.config(needs), self.cpu)?);
        self.made.push((needs, conv.clone()));
        Ok(conv)
    }
}

/// A program and what it will take, before anything of its size is allocated but tables.
pub(crate) struct Prepared {
    pub(super) program: Program,
    pub(super) convs: Vec<Option<Arc<Conv>>>,
    pub(crate) memory: Memory,
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
        | Compute::BatchNormBackward { norm, .. } => norm.batch(program.batch).scratch_len(),
        Compute::LinearBackward { linear, .. } => linear.scratch_len(cpu),
        _ => {
            let conv = operation.unit.and_then(|unit| convs[unit].as_ref());
            conv.map_or(0, |conv| conv.scratch_len())
        }
    }
}

/// Words of scratch of the operation that takes most.
pub(super) fn most_scratch(program: &Program, convs: &[Option<Arc<Conv>>], cpu: &Cpu) -> usize {
    let scratch = (0..program.operations.len()).map(|i| scratch_len(program, i, convs, cpu));
    scratch.max().unwrap_or(0)
}

/// How a convolution computes the passes that it is prepared for.
fn algorithms(conv: &Conv) -> Vec<(Pass, Algorithm)> {
    let of = |direction| Some((Pass::from(direction), conv.algorithm(direction)?));
    Direction::ALL.into_iter().filter_map(of).collect()
}

/// A program as this machine runs it.
pub(super) fn outline(
    program: &Program,
    convs: &[Option<Arc<Conv>>],
    memory: Memory,
    cpu: &Cpu,
) -> Outline {
    let word = size_of::<f32>();
    let value = program.dtype.size();
    let mut scratch = vec![0; program.units.len()];
    for (index, operation) in program.operations.iter().enumerate() {
        if let Some(unit) = operation.unit {
            scratch[unit] = scratch_len(program, index, convs, cpu).max(scratch[unit]);
        }
    }
    let unit = |(index, unit): (usize, &Unit)| {
        let conv = convs[index].as_deref();
        UnitOutline {
            nodes: unit.names.clone(),
            kind: unit.kind,
            output: unit.output,
            algorithms: conv.map_or_else(Vec::new, algorithms),
            activation_bytes: match &unit.value {
                // The logits have a buffer of their own.
                Some(at) if at.is_empty() => program.batch * program.classes * word,
                at => at.as_ref().map_or(0, |at| at.len() * value),
            },
            gradient_bytes: unit.gradient.len() * value,
            packed_bytes: conv.map_or(0, Conv::packed_len) * word,
            scratch_bytes: scratch[index] * word,
        }
    };
    let units: Vec<UnitOutline> = program.units.iter().enumerate().map(unit).collect();
    let operations = program.operations.iter().map(|operation| {
        let of = operation.unit.map(|unit| (&units[unit], &program.units[unit]));
        let pass = |a: &&(Pass, Algorithm)| a.0 == operation.pass;
        let mut operation = operation.clone();
        if let Some((unit, parameters)) = of
            && operation.compute == Compute::Pack
            && unit.packed_bytes > 0
        {
            // Where nothing is packed, the convolution itself reads the weights.
            operation.bytes = (parameters.parameter_bytes + unit.packed_bytes) as u64;
        }
        let algorithm = of.and_then(|(unit, _)| unit.algorithms.iter().find(pass));
        (operation, algorithm.map(|a| a.1)).into()
    });
    Outline { operations: operations.collect(), units, memory }
}

//! What this machine makes of a program's units.

use resnet_kernels::{
    Cpu, OutOfMemory,
    batch_norm::BatchNorm,
    conv::{Algorithm, Conv, Direction},
};

use crate::{
    outline::{Memory, Outline, UnitOutline},
    program::{Compute, Pass, Program, Unit},
};

/// The kernels of the units that are convolutions, by unit.
///
/// # Errors
/// If there is no memory for their tables.
pub(super) fn convs(program: &Program, cpu: &Cpu) -> Result<Vec<Option<Conv>>, OutOfMemory> {
    let prepare = |unit: &Unit| {
        let (shape, source, mode) = unit.conv?;
        Some(Conv::new(shape, program.dtype, source, mode, program.batch, cpu))
    };
    program.units.iter().map(|unit| prepare(unit).transpose()).collect()
}

/// Words of scratch that an operation takes.
pub(super) fn scratch_len(
    program: &Program,
    index: usize,
    convs: &[Option<Conv>],
    cpu: &Cpu,
) -> usize {
    let operation = &program.operations[index];
    match &operation.compute {
        Compute::BatchNorm { norm, saved: Some(_), .. }
        | Compute::BatchNormStatistics { norm, .. }
        | Compute::BatchNormBackward { norm, .. } => of_batch(norm, program.batch).scratch_len(),
        Compute::LinearBackward { linear, .. } => linear.scratch_len(cpu),
        _ => {
            let conv = operation.unit.and_then(|unit| convs[unit].as_ref());
            conv.map_or(0, Conv::scratch_len)
        }
    }
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
pub(super) fn outline(
    program: &Program,
    convs: &[Option<Conv>],
    memory: Memory,
    cpu: &Cpu,
) -> Outline {
    let word = size_of::<f32>();
    let value = program.dtype.size();
    let unit = |(index, unit): (usize, &Unit)| {
        let conv = convs[index].as_ref();
        let own = |i: &usize| program.operations[*i].unit == Some(index);
        let scratch = (0..program.operations.len()).filter(own);
        let scratch = scratch.map(|i| scratch_len(program, i, convs, cpu)).max().unwrap_or(0);
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
            scratch_bytes: scratch * word,
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

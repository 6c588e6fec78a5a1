//! Inference: batch norms folded into convolutions, buffers reused.

use std::sync::Arc;

use resnet_kernels::{
    Buffer, Cpu, Dtype, Storage,
    batch_norm::EPSILON,
    conv::{Conv, Direction, Epilogue, Mode},
    layout::padded,
};
use resnet_network::{
    Network,
    graph::{Graph, NodeId, Shape},
};

use super::{
    arena::borrow,
    images::Images,
    prepare::{Kernels, Prepared, most_scratch, outline},
};
use crate::{
    batch,
    error::PlanError,
    hooks::Hooks,
    lower::{Lowering, convolutions, image_bytes, inference},
    memory::{check, zeros},
    outline::{Memory, Outline},
    program::{Compute, Input, Operation, Program},
};

/// Inference of up to one batch size, with running statistics.
///
/// Activations are stored as the plan's dtype says; logits are f32.
#[derive(Debug)]
pub struct EvalPlan {
    cpu: Cpu,
    graph: Graph,
    program: Program,
    /// What it takes.
    memory: Memory,
    /// Whether there are parameters.
    is_loaded: bool,
    images: Images,
    /// By unit.
    convs: Vec<Option<Arc<Conv>>>,
    /// By unit, from [`EvalPlan::load`].
    parameters: Vec<Parameters>,
    values: Storage,
    scratch: Buffer,
    logits: Vec<f32>,
}

/// The parameters of a unit, as inference takes them.
#[derive(Debug)]
enum Parameters {
    /// Packed weights and a bias, a batch norm folded into both.
    Conv {
        packed: Buffer,
        bias: Vec<f32>,
    },
    /// A batch norm that follows no convolution: mean, scale and shift.
    Norm([Vec<f32>; 3]),
    Linear {
        weight: Vec<f32>,
        bias: Vec<f32>,
    },
    None,
}

/// What images, values and tables of pixels take where nobody asks for more, if one image does not:
/// 512 MiB, some 40 images of 224 pixels of any ImageNet net.
pub const MODEST: usize = 512 << 20;

impl EvalPlan {
    /// Plans inference of up to `batch` images of `height` x `width`. Call [`EvalPlan::load`]
    /// before the first forward pass.
    ///
    /// # Errors
    /// If the graph does not fit the images, breaks a rule, or needs more memory than there is.
    pub fn new(
        graph: &Graph,
        dtype: Dtype,
        batch: usize,
        height: usize,
        width: usize,
        cpu: &Cpu,
    ) -> Result<Self, PlanError> {
        let lowering = Lowering { graph, dtype, batch, height, width };
        EvalPlan::build(graph, EvalPlan::prepare_for(lowering, batch, None, cpu)?, cpu)
    }

    /// [`EvalPlan::new`] for fewer images at once, whose logits are the same to the bit: `images`,
    /// or as many as [`MODEST`] bytes hold, but one at least. See [`EvalPlan::batch`].
    ///
    /// # Errors
    /// As [`EvalPlan::new`].
    pub fn modest(
        images: usize,
        graph: &Graph,
        dtype: Dtype,
        batch: usize,
        height: usize,
        width: usize,
        cpu: &Cpu,
    ) -> Result<Self, PlanError> {
        let lowering = Lowering { graph, dtype, batch, height, width };
        EvalPlan::build(graph, EvalPlan::prepare_modest(lowering, images, cpu)?, cpu)
    }

    /// What [`EvalPlan::build`] builds the plan of [`EvalPlan::modest`] of.
    pub(crate) fn prepare_modest(
        lowering: Lowering<'_>,
        images: usize,
        cpu: &Cpu,
    ) -> Result<Prepared, PlanError> {
        let (tables, image) = EvalPlan::bytes(lowering, cpu)?;
        let most = (MODEST.saturating_sub(tables) / image).min(images);
        EvalPlan::prepare_for(lowering, most.clamp(1, lowering.batch), None, cpu)
    }

    /// What tables of pixels take, and what each image at once does, input and values.
    ///
    /// # Errors
    /// As [`EvalPlan::new`], but for memory.
    pub fn bytes(lowering: Lowering<'_>, cpu: &Cpu) -> Result<(usize, usize), PlanError> {
        let kernels = Kernels::new(lowering.dtype, lowering.batch, cpu);
        let tables = kernels.table_bytes(convolutions(lowering, Mode::Inference)?);
        Ok((tables, image_bytes(lowering)?))
    }

    /// What [`EvalPlan::new`] would consist of. Of all that, only the tables are made.
    ///
    /// # Errors
    /// As [`EvalPlan::new`], but for the memory of what is not made.
    pub fn describe(
        graph: &Graph,
        dtype: Dtype,
        batch: usize,
        height: usize,
        width: usize,
        cpu: &Cpu,
    ) -> Result<Outline, PlanError> {
        let lowering = Lowering { graph, dtype, batch, height, width };
        let Prepared { program, convs, memory } = EvalPlan::prepare(lowering, batch, None, cpu)?;
        Ok(outline(&program, &convs, memory, cpu))
    }

    /// The most images that a forward pass takes.
    pub fn batch(&self) -> usize {
        self.program.batch
    }

    /// [`EvalPlan::new`] with a probe: [`EvalPlan::probed`] reads what `node` computed. Nothing is
    /// fused across the probe, and its memory is not reused.
    ///
    /// # Errors
    /// As [`EvalPlan::new`].
    ///
    /// # Panics
    /// If the node is not one between the images and the logits.
    pub fn with_probe(
        graph: &Graph,
        dtype: Dtype,
        batch: usize,
        height: usize,
        width: usize,
        node: NodeId,
        cpu: &Cpu,
    ) -> Result<Self, PlanError> {
        let lowering = Lowering { graph, dtype, batch, height, width };
        EvalPlan::build(graph, EvalPlan::prepare_for(lowering, batch, Some(node), cpu)?, cpu)
    }

    /// [`EvalPlan::prepare`], unless tables and values alone are more than there is.
    fn prepare_for(
        lowering: Lowering<'_>,
        images: usize,
        probe: Option<NodeId>,
        cpu: &Cpu,
    ) -> Result<Prepared, PlanError> {
        let (tables, image) = EvalPlan::bytes(lowering, cpu)?;
        check(tables.saturating_add(images.saturating_mul(image)))?;
        EvalPlan::prepare(lowering, images, probe, cpu)
    }

    /// For so many images at once, by the algorithms of a largest batch.
    fn prepare(
        lowering: Lowering<'_>,
        images: usize,
        probe: Option<NodeId>,
        cpu: &Cpu,
    ) -> Result<Prepared, PlanError> {
        let mut kernels = Kernels::new(lowering.dtype, lowering.batch, cpu);
        let tables = kernels.table_bytes(convolutions(lowering, Mode::Inference)?);
        check(tables)?;
        let program = inference(Lowering { batch: images, ..lowering }, probe)?;
        let convs = kernels.of_units(&program.units)?;
        let packed = convs.iter().flatten().map(|conv| conv.packed_len()).sum::<usize>();
        let (word, value) = (size_of::<f32>(), program.dtype.size());
        let memory = Memory {
            images: word * program.images_len(),
            activations: value * program.values_len,
            gradients: 0,
            statistics: 0,
            packed: word * packed,
            scratch: word * most_scratch(&program, &convs, cpu),
            logits: word * program.logits_len(),
            tables,
        };
        Ok(Prepared { program, convs, memory })
    }

    pub(crate) fn build(
        graph: &Graph,
        prepared: Prepared,
        cpu: &Cpu,
    ) -> Result<EvalPlan, PlanError> {
        let Prepared { program, convs, memory } = prepared;
        check(memory.without_tables())?;
        let mut parameters: Vec<_> = convs.iter().map(|_| Parameters::None).collect();
        for Operation { unit, compute, .. } in &program.operations {
            let Some(unit) = *unit else { continue };
            let padded_zeros = |channels| zeros(padded(channels));
            parameters[unit] = match compute {
                Compute::Conv { .. } => Parameters::Conv {
                    packed: Buffer::zeroed(convs[unit].as_ref().map_or(0, |c| c.packed_len()))?,
                    bias: padded_zeros(program.units[unit].output.channels)?,
                },
                Compute::BatchNorm { norm, .. } => {
                    let [mean, scale, shift] = [norm.channels; 3].map(padded_zeros);
                    Parameters::Norm([mean?, scale?, shift?])
                }
                Compute::Linear { linear, .. } => Parameters::Linear {
                    weight: zeros(linear.inputs * linear.outputs)?,
                    bias: zeros(linear.outputs)?,
                },
                _ => Parameters::None,
            };
        }
        Ok(EvalPlan {
            cpu: cpu.clone(),
            graph: graph.clone(),
            is_loaded: false,
            images: Images::new(&program)?,
            convs,
            parameters,
            values: Storage::zeroed(program.dtype, program.values_len)?,
            scratch: Buffer::zeroed(memory.scratch / size_of::<f32>())?,
            logits: zeros(program.logits_len())?,
            memory,
            program,
        })
    }

    /// What the plan runs.
    pub fn program(&self) -> &Program {
        &self.program
    }

    /// Takes the parameters and running statistics of a network of the same graph.
    ///
    /// # Panics
    /// If it has another.
    pub fn load(&mut self, net: &Network) {
        assert!(*net.graph() == self.graph, "a network of another graph");
        self.is_loaded = true;
        for Operation { unit, compute, .. } in &self.program.operations {
            let Some(unit) = *unit else { continue };
            let head = self.program.units[unit].head;
            match (&mut self.parameters[unit], compute) {
                (Parameters::Conv { packed, bias }, Compute::Conv { norm, .. }) => {
                    let factors = norm.map(|norm| {
                        let [mean, scale, shift] = norm_factors(net, norm);
                        for (i, bias) in bias.iter_mut().enumerate().take(mean.len()) {
                            *bias = shift[i] - mean[i] * scale[i];
                        }
                        scale
                    });
                    let weight = net.ranges(head).next().expect("a convolution has a weight");
                    let conv = self.convs[unit].as_ref().expect("every convolution is prepared");
                    conv.pack_forward(&net.values()[weight], factors.as_deref(), packed);
                }
                (Parameters::Norm(factors), _) => {
                    for (stored, dense) in factors.iter_mut().zip(norm_factors(net, head)) {
                        stored[..dense.len()].copy_from_slice(&dense);
                    }
                }
                (Parameters::Linear { weight, bias }, _) => {
                    let from = net.weight_and_bias(head).map(|range| &net.values()[range]);
                    weight.copy_from_slice(from[0]);
                    bias.copy_from_slice(from[1]);
                }
                _ => {}
            }
        }
    }

    /// Logits `[images][classes]`.
    ///
    /// # Panics
    /// If no network is loaded; if there are no images, more than the plan's batch, or fewer values
    /// than they need.
    pub fn forward(&mut self, input: batch::Input<'_>, images: usize) -> &[f32] {
        self.forward_with(input, images, &mut ())
    }

    /// [`EvalPlan::forward`] that says when each operation is done.
    ///
    /// # Panics
    /// As [`EvalPlan::forward`].
    pub fn forward_with(
        &mut self,
        input: batch::Input<'_>,
        images: usize,
        hooks: &mut dyn Hooks,
    ) -> &[f32] {
        assert!(self.is_loaded, "no network is loaded");
        let batch = self.program.batch;
        assert!((1..=batch).contains(&images), "{images} images in a plan for {batch}");
        for index in 0..self.program.operations.len() {
            self.run(index, input, images);
            hooks.done(index);
        }
        &self.logits[..images * self.program.classes]
    }

    fn run(&mut self, index: usize, input: batch::Input<'_>, n: usize) {
        let (cpu, values, scratch) = (&self.cpu, &mut self.values, &mut self.scratch);
        let Operation { unit, compute, .. } = &self.program.operations[index];
        let parameters = unit.map(|unit| &self.parameters[unit]);
        match (compute, parameters) {
            (Compute::Images, _) => self.images.fill(cpu, input, n),
            (
                Compute::Conv { x, residual, relu, y, .. },
                Some(Parameters::Conv { packed, bias }),
            ) => {
                let at = match x {
                    Input::Images => None,
                    Input::Value { at, .. } => Some(at),
                };
                let (x, residual, y) = borrow(values, at, residual.as_ref(), y);
                let x = x.unwrap_or_else(|| (&self.images.values[..]).into());
                let (bias, relu) = (Some(&bias[..]), *relu);
                let epilogue = Epilogue { bias, residual, accumulate: false, relu };
                let conv = unit.and_then(|unit| self.convs[unit].as_deref());
                let conv = conv.expect("every convolution is prepared");
                // Inference packs all weights.
                let weights = conv.weights(Direction::Forward, &[], packed);
                conv.forward(n, x, weights, y, epilogue, scratch);
            }
            (
                Compute::BatchNorm { norm, x, residual, relu, y, .. },
                Some(Parameters::Norm([mean, scale, shift])),
            ) => {
                let (x, residual, y) = borrow(values, Some(x), residual.as_ref(), y);
                let x = x.expect("a value was asked for");
                norm.batch(n).apply(cpu, x, mean, scale, shift, residual, *relu, y);
            }
            (Compute::Plain { plain, x, residual, relu, y }, _) => {
                let (x, residual, y) = borrow(values, Some(x), residual.as_ref(), y);
                plain.forward(cpu, n, x.expect("a value was asked for"), residual, *relu, y);
            }
            (Compute::Linear { linear, x }, Some(Parameters::Linear { weight, bias })) => {
                linear.forward(cpu, n, values.values(x.clone()), weight, bias, &mut self.logits);
            }
            (other, _) => unreachable!("no operation of inference: {other:?}"),
        }
    }

    /// What the probe's node computed for an image of the last forward pass: its shape, and values
    /// `[height][width][channels]`.
    ///
    /// # Panics
    /// If the plan has no probe, or no such image.
    pub fn probed(&self, image: usize) -> (Shape, Vec<f32>) {
        let (place, shape) = self.program.probe.as_ref().expect("the plan has a probe");
        let batch = self.program.batch;
        assert!(image < batch, "image {image} of a plan for {batch}");
        let stored = padded(shape.channels);
        let len = shape.height * shape.width * stored;
        let start = place.start + image * len;
        let values = self.values.to_f32(start..start + len);
        let dense = values.chunks_exact(stored).flat_map(|pixel| &pixel[..shape.channels]);
        (*shape, dense.copied().collect())
    }

    /// What the plan consists of.
    pub fn outline(&self) -> Outline {
        outline(&self.program, &self.convs, self.memory, &self.cpu)
    }
}

/// Mean, scale and shift of a batch norm with running statistics.
fn norm_factors(net: &Network, norm: NodeId) -> [Vec<f32>; 3] {
    let (mean, var) = net.running(norm);
    let [weight, bias] = net.weight_and_bias(norm).map(|range| &net.values()[range]);
    let scale = weight.iter().zip(var);
    let scale = scale.map(|(w, v)| (f64::from(*w) / (f64::from(*v) + EPSILON).sqrt()) as f32);
    [mean.to_vec(), scale.collect(), bias.to_vec()]
}

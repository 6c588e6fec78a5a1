//! Inference: batch norms folded into convolutions, buffers reused.

use resnet_kernels::{
    Buffer, Cpu, Dtype, Storage,
    batch_norm::EPSILON,
    conv::{Conv, Direction, Epilogue},
    layout::padded,
};
use resnet_network::{
    Network,
    graph::{Graph, NodeId, Shape},
};

use super::{
    arena::borrow,
    images::Images,
    prepare::{convs, of_batch, outline, scratch_len},
};
use crate::{
    batch,
    error::PlanError,
    hooks::Hooks,
    lower::{Lowering, inference},
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
    /// Whether there are parameters.
    is_loaded: bool,
    images: Images,
    /// By unit.
    convs: Vec<Option<Conv>>,
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
        EvalPlan::prepare(graph, inference(lowering, None)?, cpu)
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
        EvalPlan::prepare(graph, inference(lowering, Some(node))?, cpu)
    }

    fn prepare(graph: &Graph, program: Program, cpu: &Cpu) -> Result<Self, PlanError> {
        let convs = convs(&program, cpu)?;
        let scratch = (0..program.operations.len()).map(|i| scratch_len(&program, i, &convs, cpu));
        let scratch = Buffer::zeroed(scratch.max().unwrap_or(0))?;
        let mut parameters: Vec<_> = convs.iter().map(|_| Parameters::None).collect();
        for Operation { unit, compute, .. } in &program.operations {
            let Some(unit) = *unit else { continue };
            let zeros = |channels| vec![0.0; padded(channels)];
            parameters[unit] = match compute {
                Compute::Conv { .. } => Parameters::Conv {
                    packed: Buffer::zeroed(convs[unit].as_ref().map_or(0, Conv::packed_len))?,
                    bias: zeros(program.units[unit].output.channels),
                },
                Compute::BatchNorm { norm, .. } => {
                    Parameters::Norm(std::array::from_fn(|_| zeros(norm.channels)))
                }
                Compute::Linear { linear, .. } => Parameters::Linear {
                    weight: vec![0.0; linear.inputs * linear.outputs],
                    bias: vec![0.0; linear.outputs],
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
            scratch,
            logits: vec![0.0; program.batch * program.classes],
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
                let conv = unit.and_then(|unit| self.convs[unit].as_ref());
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
                of_batch(norm, n).apply(cpu, x, mean, scale, shift, residual, *relu, y);
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
        let word = size_of::<f32>();
        let packed = self.convs.iter().flatten().map(Conv::packed_len).sum::<usize>();
        let memory = Memory {
            images: word * self.images.values.len(),
            activations: self.program.dtype.size() * self.values.len(),
            gradients: 0,
            statistics: 0,
            packed: word * packed,
            scratch: word * self.scratch.len(),
            logits: word * self.logits.len(),
        };
        outline(&self.program, &self.convs, memory, &self.cpu)
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

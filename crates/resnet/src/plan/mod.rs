//! Plans: how a graph runs on a batch.
//!
//! A plan is built once for a graph, a largest batch and an image size: it fuses nodes into
//! units, prepares a kernel for each, and lays values and scratch out in memory. It then runs
//! without allocating. Training and inference are different plans, each generic over the element
//! that activations and their gradients are stored in.

mod dtype;
mod eval;
mod gradients;
mod memory;
pub mod outline;
mod plain;
mod train;
mod units;

use std::ops::Range;

use resnet_kernels::{
    Buffer, Cpu, OutOfMemory,
    conv::{ConvShape, Source},
    input::{ByteTable, from_bytes, from_nchw},
    layout::{ImageLayout, padded},
};
use thiserror::Error;

use crate::{
    data::Normalisation,
    graph::{Graph, GraphError, Node, NodeId, Op, Shape},
};

pub use dtype::{EvalPlan, TrainPlan};

/// Images as a plan takes them.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// Bytes `[n][height][width][channels]`, scaled to [0, 1] and normalised on the way in.
    Bytes(&'a [u8], &'a Normalisation),
    /// Ready values `[n][channels][height][width]`, as PyTorch has them.
    Nchw(&'a [f32]),
}

/// What a training step found, before its update.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct StepResult {
    /// Mean loss an image.
    pub loss: f64,
    /// Images whose largest logit was the label's.
    pub correct: usize,
}

/// Why a plan cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PlanError {
    /// The graph does not fit the images, or cannot be planned.
    #[error(transparent)]
    Graph(#[from] GraphError),
    /// A batch of no images, or of more than any machine holds.
    #[error("a batch has 1 to {MAX_BATCH} images, not {0}")]
    Batch(usize),
    /// The system refused the memory that the plan needs.
    #[error(
        "the plan needs {bytes} bytes more than there are: use a smaller batch (--batch-size) or smaller images"
    )]
    Memory {
        /// How much was asked for.
        bytes: usize,
    },
    /// An image so large that the kernels cannot address it.
    #[error("{node}: {shape} is too large; use smaller images")]
    TooLarge {
        /// The node.
        node: String,
        /// Its output.
        shape: Shape,
    },
}

impl From<OutOfMemory> for PlanError {
    fn from(error: OutOfMemory) -> Self {
        PlanError::Memory { bytes: error.bytes }
    }
}

/// Values of an image that a training plan and an inference plan hold: inputs, outputs and
/// gradients, without weights and scratch.
pub(crate) fn values_per_image(
    graph: &Graph,
    height: usize,
    width: usize,
) -> Result<(usize, usize), PlanError> {
    let sizes = Sizes::new(graph, 1, height, width)?;
    let units = units::units(graph, false)?;
    let training = gradients::Layout::new(graph, &units, &vec![false; units.len()], &sizes);
    let inference = eval::places(graph, &units::units(graph, true)?, &sizes, None).1;
    let image = sizes.image(graph).image_len();
    Ok((image + training.values_len + training.gradients_len, image + inference))
}

/// Far more images than memory; with the limit on an image, lengths cannot overflow.
const MAX_BATCH: usize = 1 << 20;

/// The shapes of a graph's nodes, and the largest batch.
struct Sizes {
    shapes: Vec<Shape>,
    batch: usize,
}

impl Sizes {
    fn new(graph: &Graph, batch: usize, height: usize, width: usize) -> Result<Self, PlanError> {
        if !(1..=MAX_BATCH).contains(&batch) {
            return Err(PlanError::Batch(batch));
        }
        let shapes = graph.shapes(height, width)?;
        for (node, &shape) in graph.nodes().iter().zip(&shapes) {
            // Kernels address the values of an image in 32 bits; the border and the padding of
            // channels need some of them.
            let values = shape.height.checked_mul(shape.width);
            let values = values.and_then(|p| p.checked_mul(padded(shape.channels)));
            if values.is_none_or(|v| v > 1 << 30) {
                return Err(PlanError::TooLarge { node: node.name.clone(), shape });
            }
        }
        Ok(Sizes { shapes, batch })
    }

    /// Pixels of an image of a node's output.
    fn pixels(&self, id: NodeId) -> usize {
        self.shapes[id].height * self.shapes[id].width
    }

    /// Stored values of an image of a node's output.
    fn image_len(&self, id: NodeId) -> usize {
        self.pixels(id) * padded(self.shapes[id].channels)
    }

    /// The layout of the images, which the first convolution reads.
    fn image(&self, graph: &Graph) -> ImageLayout {
        let mut nodes = graph.nodes().iter().enumerate();
        let first = nodes.find(|(_, node)| node.inputs.first() == Some(&Graph::INPUT));
        let (id, node) = first.expect("units are checked: a convolution reads the input");
        self.conv(id, node).0.image()
    }

    /// The dimensions of a convolution, and how its input is stored.
    fn conv(&self, id: NodeId, node: &Node) -> (ConvShape, Source) {
        let Op::Conv2d { kernel, stride, padding } = node.op else {
            unreachable!("called for convolutions");
        };
        let input = self.shapes[node.inputs[0]];
        let shape = ConvShape {
            in_channels: input.channels,
            out_channels: self.shapes[id].channels,
            height: input.height,
            width: input.width,
            kernel,
            stride,
            padding,
        };
        let first = node.inputs[0] == Graph::INPUT;
        (shape, if first { Source::Image } else { Source::Activation })
    }
}

/// The images of a batch, in the layout of the first convolution; in f32 for every dtype.
#[derive(Debug)]
struct InputImages {
    layout: ImageLayout,
    values: Buffer,
    table: Option<(Normalisation, ByteTable)>,
}

impl InputImages {
    fn new(graph: &Graph, sizes: &Sizes) -> Result<Self, PlanError> {
        let layout = sizes.image(graph);
        let values = Buffer::zeroed(sizes.batch * layout.image_len())?;
        Ok(InputImages { layout, values, table: None })
    }

    /// The sizes of the graph that these images are for.
    fn sizes(&self, graph: &Graph, batch: usize) -> Sizes {
        let ImageLayout { height, width, .. } = self.layout;
        Sizes::new(graph, batch, height, width).expect("the plan was built for this graph")
    }

    /// Converts the images of a batch.
    ///
    /// # Panics
    /// If there are too few values for so many images, or the normalisation has another number of
    /// channels than the images.
    fn fill(&mut self, cpu: &Cpu, input: Input<'_>, images: usize) {
        let one = self.layout.channels * self.layout.height * self.layout.width;
        match input {
            Input::Bytes(bytes, normalisation) => {
                assert!(bytes.len() >= images * one, "{} bytes for {images} images", bytes.len());
                if self.table.as_ref().is_none_or(|(of, _)| of != normalisation) {
                    let table = ByteTable::new(&normalisation.mean, &normalisation.std);
                    self.table = Some((normalisation.clone(), table));
                }
                let (_, table) = self.table.as_ref().expect("made above");
                from_bytes(cpu, &self.layout, images, bytes, table, &mut self.values);
            }
            Input::Nchw(values) => {
                assert!(
                    values.len() >= images * one,
                    "{} values for {images} images",
                    values.len()
                );
                from_nchw(cpu, &self.layout, images, values, &mut self.values);
            }
        }
    }
}

/// Input (nothing where it is the images), residual and output of a step, which lie apart.
fn borrow<E>(
    values: &mut [E],
    places: (Option<Range<usize>>, Option<Range<usize>>, Range<usize>),
) -> (&[E], Option<&[E]>, &mut [E]) {
    match places {
        (None, None, out) => (&[], None, &mut values[out]),
        (None, Some(residual), out) => {
            let [residual, out] = values.get_disjoint_mut([residual, out]).expect(APART);
            (&[], Some(residual), out)
        }
        (Some(x), None, out) => {
            let [x, out] = values.get_disjoint_mut([x, out]).expect(APART);
            (x, None, out)
        }
        // `bn(x) + x`: one value is both.
        (Some(x), Some(residual), out) if x == residual => {
            let [x, out] = values.get_disjoint_mut([x, out]).expect(APART);
            let x = &*x;
            (x, Some(x), out)
        }
        (Some(x), Some(residual), out) => {
            let [x, residual, out] = values.get_disjoint_mut([x, residual, out]).expect(APART);
            (x, Some(residual), out)
        }
    }
}

/// Why a borrow of several parts of an arena cannot fail.
const APART: &str = "values that live at the same time lie apart";

//! Batch norms.

use std::ops::Range;

use resnet_kernels::{Activation, batch_norm::BatchNormShape};
use resnet_network::graph::NodeId;
use resnet_program::program::{Sink, Slope, Span};

use super::{ACTIVATIONS, Buffers, activation, parts, store, vectors};
use crate::{
    GpuError,
    buffer::View,
    kernel::{Dispatch, Element, Kernel, Work},
};

const STATISTICS: &str = include_str!("../shaders/norm_statistics.wgsl");
const ADD_ROWS: &str = include_str!("../shaders/norm_add_rows.wgsl");
const FINISH: &str = include_str!("../shaders/norm_finish.wgsl");
const APPLY: &str = include_str!("../shaders/norm_apply.wgsl");
const GRADIENT: &str = include_str!("../shaders/norm_gradient.wgsl");
const SUMS: &str = include_str!("../shaders/norm_backward_sums.wgsl");
const BACKWARD_FINISH: &str = include_str!("../shaders/norm_backward_finish.wgsl");
const BACKWARD: &str = include_str!("../shaders/norm_backward.wgsl");

/// A batch norm of a program.
#[derive(Clone, Copy)]
pub(crate) struct Norm<'a> {
    pub(crate) buffers: Buffers<'a>,
    pub(crate) node: NodeId,
    pub(crate) shape: BatchNormShape,
}

/// What the backward pass reads and writes.
pub(crate) struct Backward<'a> {
    pub(crate) x: &'a Span,
    pub(crate) slope: &'a Slope,
    pub(crate) saved: &'a Span,
    pub(crate) running: bool,
    pub(crate) dy: &'a Span,
    pub(crate) d_residual: Option<&'a Sink>,
    pub(crate) dx: Option<&'a Sink>,
}

impl Norm<'_> {
    fn c4(&self) -> usize {
        vectors(self.shape.channels)
    }

    /// Vectors of four channels that a workgroup sums.
    fn columns(&self) -> usize {
        [16, 8, 4].into_iter().find(|n| self.c4().is_multiple_of(*n)).unwrap_or(4)
    }

    fn parts(&self) -> usize {
        let pixels = self.buffers.batch * self.shape.image_pixels;
        parts(pixels, self.c4() / self.columns(), 256)
    }

    /// Bytes of the parts of its sums.
    pub(crate) fn parts_bytes(&self) -> usize {
        self.parts() * 2 * self.c4() * 16
    }

    /// Bytes of its rows.
    pub(crate) fn rows_bytes(&self) -> usize {
        4 * self.c4() * 16
    }

    fn parts_view(&self) -> View {
        View::part(self.buffers.parts, &(0..self.parts_bytes()), 1)
    }

    fn sizes(&self) -> [(&'static str, usize); 3] {
        [("C4", self.c4()), ("PIXELS", self.shape.image_pixels), ("PARTS", self.parts())]
    }

    fn parameters(&self) -> [Range<usize>; 2] {
        self.buffers.network.weight_and_bias(self.node)
    }

    /// The batch's statistics as rows, which move the running statistics; or the running statistics as rows.
    pub(crate) fn rows(
        &self,
        x: Option<&Span>,
        rows: &View,
        momentum: f64,
    ) -> Result<Vec<Dispatch>, GpuError> {
        let gpu = self.buffers.gpu;
        let mut all = Vec::new();
        if let Some(x) = x {
            let kernel = Kernel::new("norm_statistics", STATISTICS)
                .with(ADD_ROWS)
                .constants(&self.sizes())
                .constant("COLUMNS", self.columns())
                .bind("x", self.buffers.element(), &self.buffers.value(x))
                .bind("parts", Element::Vec4, &self.parts_view());
            all.push(kernel.build(gpu, Work::groups(self.c4() / self.columns(), self.parts()))?);
        }
        let [weight, bias] = self.parameters();
        let [mean, var] = self.buffers.network.running_ranges(self.node);
        let kernel = Kernel::new("norm_finish", FINISH)
            .constants(&self.sizes())
            .constants(&[("CHANNELS", self.shape.channels), ("RUNNING", x.is_none().into())])
            .bind_if("parts", Element::Vec4, x.map(|_| self.parts_view()).as_ref())
            .bind("rows", Element::Vec4, rows)
            .bind("parameters", Element::F32, &self.buffers.parameters_view())
            .bind("running", Element::F32, &View::whole(self.buffers.running))
            .word(0, weight.start)
            .word(1, bias.start)
            .word(2, mean.start)
            .word(3, var.start)
            .float(0, momentum as f32)
            .float(1, self.shape.epsilon as f32);
        all.push(kernel.build(gpu, Work::fixed(self.c4()))?);
        Ok(all)
    }

    /// `y = activation?(norm(x) + residual?)`, by rows.
    pub(crate) fn apply(
        &self,
        x: &Span,
        rows: &View,
        residual: Option<&Span>,
        function: Option<Activation>,
        y: &Span,
    ) -> Result<Dispatch, GpuError> {
        let (buffers, element) = (self.buffers, self.buffers.element());
        let residual = residual.map(|at| buffers.value(at));
        let kernel = Kernel::new("norm_apply", APPLY)
            .with(ACTIVATIONS)
            .constants(&self.sizes())
            .constants(&[
                ("ACTIVATION", activation(function)),
                ("RESIDUAL", residual.is_some().into()),
            ])
            .bind("x", element, &buffers.value(x))
            .bind("rows", Element::Vec4, rows)
            .bind("y", element, &buffers.value(y))
            .bind_if("residual", element, residual.as_ref());
        kernel.build(buffers.gpu, Work::values(self.shape.image_pixels * self.c4()))
    }

    /// All gradients.
    pub(crate) fn backward(&self, b: &Backward<'_>) -> Result<[Dispatch; 3], GpuError> {
        let (buffers, element) = (self.buffers, self.buffers.element());
        let (gpu, training) = (buffers.gpu, buffers.training());
        // A ReLU's slope is read off its output, a smooth one's off its input, of which the residual is a part.
        let (slope, function, read) = match b.slope {
            Slope::None => (0, 0, None),
            Slope::Output(y) => (1, 0, Some(y)),
            Slope::Smooth { function, residual } => {
                (2, activation(Some(Activation::Smooth(*function))), residual.as_ref())
            }
            Slope::Recomputed => unreachable!("every output is stored"),
        };
        let read = read.map(|at| buffers.value(at));
        let common = |label, body: &str| {
            Kernel::new(label, body)
                .with(GRADIENT)
                .with(ACTIVATIONS)
                .constants(&self.sizes())
                .constants(&[("SLOPE", slope), ("ACTIVATION", function)])
                .constant("RESIDUAL", (slope == 2 && read.is_some()).into())
                .bind("x", element, &buffers.value(b.x))
                .bind("dy", element, &buffers.gradient(b.dy))
                .bind("rows", Element::Vec4, &buffers.saved(b.saved))
                .bind_if("read", element, read.as_ref())
        };
        let sums = common("norm_backward_sums", SUMS)
            .with(ADD_ROWS)
            .constant("COLUMNS", self.columns())
            .bind("parts", Element::Vec4, &self.parts_view())
            .build(gpu, Work::groups(self.c4() / self.columns(), self.parts()))?;
        let [weight, bias] = self.parameters();
        let totals = View::part(training.sums, &(0..2 * self.c4() * 16), 1);
        let finish = Kernel::new("norm_backward_finish", BACKWARD_FINISH)
            .constants(&self.sizes())
            .constant("CHANNELS", self.shape.channels)
            .bind("parts", Element::Vec4, &self.parts_view())
            .bind("sums", Element::Vec4, &totals)
            .bind("gradients", Element::F32, &View::whole(training.of_parameters))
            .word(0, weight.start)
            .word(1, bias.start)
            .build(gpu, Work::fixed(self.c4()))?;
        // Of `norm(x) + x` both go to one place, which may be bound once: see `norm_backward.wgsl`.
        let (mut to_residual, mut to_x) = (b.d_residual, store(b.dx));
        if let (Some(residual), Some(x)) = (b.d_residual, b.dx)
            && residual.at == x.at
        {
            (to_residual, to_x) = (None, 2 + store(b.d_residual));
        }
        let sinks = [to_residual, b.dx];
        let [d_residual, dx] = sinks.map(|sink| sink.map(|sink| buffers.gradient(&sink.at)));
        let last = common("norm_backward", BACKWARD)
            .constants(&[("D_RESIDUAL", store(to_residual)), ("DX", to_x)])
            .constant("RUNNING", b.running.into())
            .bind("sums", Element::Vec4, &totals)
            .bind_if("d_residual", element, d_residual.as_ref())
            .bind_if("dx", element, dx.as_ref())
            .build(gpu, Work::values(self.shape.image_pixels * self.c4()))?;
        Ok([sums, finish, last])
    }
}

//! Convolutions.

use resnet_kernels::conv::ConvShape;
use resnet_network::graph::NodeId;
use resnet_program::program::{ConvOperand, Sink, Span};

use super::{Buffers, parts, tile::Tile, vectors};
use crate::{
    GpuError,
    buffer::View,
    kernel::{Dispatch, Element, Kernel, Work},
    workgroup::{THREADS, ThreadTile},
};

const CONV: &str = include_str!("../shaders/conv.wgsl");
const WEIGHT: &str = include_str!("../shaders/conv_weight.wgsl");
const REDUCE: &str = include_str!("../shaders/conv_weight_reduce.wgsl");
const PACK: &str = include_str!("../shaders/pack.wgsl");
const GROUPS: &str = include_str!("../shaders/conv_groups.wgsl");

/// A convolution of a program.
#[derive(Clone, Copy)]
pub(crate) struct Conv<'a> {
    pub(crate) buffers: Buffers<'a>,
    pub(crate) node: NodeId,
    pub(crate) shape: ConvShape,
    /// Whether it reads the images.
    pub(crate) of_images: bool,
}

/// What is fused into a convolution, in inference.
#[derive(Clone, Copy, Default)]
pub(crate) struct Fused<'a> {
    /// The rows of a batch norm, which scales the packed weight already.
    pub(crate) norm: Option<&'a View>,
    pub(crate) residual: Option<&'a Span>,
    pub(crate) relu: bool,
}

/// The directions of a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    Forward,
    Backward,
}

impl<'a> Conv<'a> {
    /// Vectors of four of the input's channels.
    fn in4(&self) -> usize {
        match self.of_images {
            true => self.shape.in_channels.div_ceil(4),
            false => vectors(self.shape.in_channels),
        }
    }

    fn out4(&self) -> usize {
        vectors(self.shape.out_channels)
    }

    fn taps(&self) -> usize {
        self.shape.kernel * self.shape.kernel
    }

    /// The weight's first value among the parameters.
    fn weight(&self) -> usize {
        let mut ranges = self.buffers.network.ranges(self.node);
        ranges.next().expect("a convolution has a weight").start
    }

    fn grouped(&self) -> bool {
        self.shape.groups > 1
    }

    /// Bytes of the packed weight: 0 where kernels read it as it is.
    pub(crate) fn packed_bytes(&self) -> usize {
        if self.grouped() { 0 } else { self.taps() * self.in4() * self.out4() * 64 }
    }

    /// Bytes of the parts of the weight's gradient.
    pub(crate) fn parts_bytes(&self) -> usize {
        match self.grouped() {
            true => self.group_parts() * self.shape.weight_len() * 4,
            false => self.weight_parts() * self.taps() * self.in4() * self.out4() * 64,
        }
    }

    fn group_parts(&self) -> usize {
        let pixels = self.buffers.batch * self.shape.out_pixels();
        parts(pixels, self.shape.weight_len().div_ceil(THREADS as usize), 256)
    }

    /// Threads of a row and of a column of a tile of the weight's gradient.
    fn weight_tile(&self) -> (usize, usize) {
        let rows = [16, 8, 4].into_iter().find(|rows| self.out4().is_multiple_of(*rows));
        let rows = rows.unwrap_or(4);
        (rows, THREADS as usize / rows)
    }

    fn weight_tiles(&self) -> usize {
        let (rows, columns) = self.weight_tile();
        self.out4().div_ceil(rows) * (self.taps() * self.in4()).div_ceil(columns)
    }

    fn weight_parts(&self) -> usize {
        parts(self.buffers.batch * self.shape.out_pixels(), self.weight_tiles(), 256)
    }

    fn x(&self, x: &ConvOperand) -> (Element, View) {
        match x {
            ConvOperand::Images => (Element::Vec4, View::whole(self.buffers.images)),
            ConvOperand::Value { at, fused_norm } => {
                assert!(fused_norm.is_none(), "no kernel applies a batch norm as it loads");
                (self.buffers.element(), self.buffers.value(at))
            }
        }
    }

    /// Packs the weight for one direction, scaled by the rows of a batch norm if there are any.
    pub(crate) fn pack(
        &self,
        backward: bool,
        norm: Option<&View>,
        packed: &View,
    ) -> Result<Option<Dispatch>, GpuError> {
        if self.grouped() {
            return Ok(None);
        }
        let (ins, outs) = (self.shape.in_channels, self.shape.out_channels);
        let ([from, from4], [to, to4]) = match backward {
            false => ([ins, self.in4()], [outs, self.out4()]),
            true => ([outs, self.out4()], [ins, self.in4()]),
        };
        let kernel = Kernel::new("pack", PACK)
            .constants(&[("KERNEL", self.shape.kernel), ("BACKWARD", backward.into())])
            .constants(&[("FROM", from), ("FROM4", from4), ("TO", to), ("TO4", to4)])
            .constant("NORM", norm.is_some().into())
            .bind("parameters", Element::F32, &self.buffers.parameters_view())
            .bind("weights", Element::Vec4, packed)
            .bind_if("rows", Element::Vec4, norm)
            .word(0, self.weight());
        kernel.build(self.buffers.gpu, Work::fixed(self.taps() * from4 * 4 * to4)).map(Some)
    }

    /// The convolution, by a packed weight.
    pub(crate) fn forward(
        &self,
        x: &ConvOperand,
        packed: &View,
        fused: Fused<'_>,
        y: &Span,
    ) -> Result<Dispatch, GpuError> {
        self.forward_by(self.buffers.gpu.thread_tile(), x, packed, fused, y)
    }

    /// The same by one tile.
    pub(crate) fn forward_by(
        &self,
        tile: ThreadTile,
        x: &ConvOperand,
        packed: &View,
        fused: Fused<'_>,
        y: &Span,
    ) -> Result<Dispatch, GpuError> {
        let (element, x) = self.x(x);
        let y = self.buffers.value(y);
        let residual = fused.residual.map(|at| self.buffers.value(at));
        if self.grouped() {
            let kernel = self
                .group_kernel("forward(i);", self.out4() * self.shape.out_pixels(), 1)
                .constants(&[("NORM", fused.norm.is_some().into()), ("RELU", fused.relu.into())])
                .constants(&[("RESIDUAL", residual.is_some().into()), ("ACCUMULATE", 0)])
                .bind("x", element, &x)
                .bind("y", self.buffers.element(), &y)
                .bind("parameters", Element::F32, &self.buffers.parameters_view())
                .bind_if("residual", self.buffers.element(), residual.as_ref())
                .bind_if("rows", Element::Vec4, fused.norm)
                .with(NO_GRADIENTS);
            return kernel
                .build(self.buffers.gpu, Work::values(self.out4() * self.shape.out_pixels()));
        }
        let kernel = self
            .product(Direction::Forward, tile)
            .constants(&[("NORM", fused.norm.is_some().into()), ("RELU", fused.relu.into())])
            .constants(&[("RESIDUAL", residual.is_some().into()), ("ACCUMULATE", 0)])
            .bind("x", element, &x)
            .bind("weights", Element::Vec4, packed)
            .bind("y", self.buffers.element(), &y)
            .bind_if("residual", self.buffers.element(), residual.as_ref())
            .bind_if("rows", Element::Vec4, fused.norm);
        kernel.build(self.buffers.gpu, self.work(Direction::Forward, tile))
    }

    /// The gradient of the input, by a packed weight.
    pub(crate) fn backward_data(
        &self,
        dy: &Span,
        packed: &View,
        dx: &Sink,
    ) -> Result<Dispatch, GpuError> {
        let (dy, to) = (self.buffers.gradient(dy), self.buffers.gradient(&dx.at));
        let (element, tile) = (self.buffers.element(), self.buffers.gpu.thread_tile());
        if self.grouped() {
            let values = self.in4() * self.shape.height * self.shape.width;
            let kernel = self
                .group_kernel("backward(i);", values, 1)
                .constants(&[("NORM", 0), ("RELU", 0), ("RESIDUAL", 0)])
                .constant("ACCUMULATE", dx.accumulate.into())
                .bind("x", element, &to)
                .bind("y", element, &dy)
                .bind("parameters", Element::F32, &self.buffers.parameters_view())
                .bind_if("residual", element, None)
                .bind_if("rows", Element::Vec4, None)
                .with(NO_GRADIENTS);
            return kernel.build(self.buffers.gpu, Work::values(values));
        }
        let kernel = self
            .product(Direction::Backward, tile)
            .constants(&[("NORM", 0), ("RELU", 0), ("RESIDUAL", 0)])
            .constant("ACCUMULATE", dx.accumulate.into())
            .bind("x", element, &dy)
            .bind("weights", Element::Vec4, packed)
            .bind("y", element, &to)
            .bind_if("residual", element, None)
            .bind_if("rows", Element::Vec4, None);
        kernel.build(self.buffers.gpu, self.work(Direction::Backward, tile))
    }

    /// The gradient of the weight: its parts, and their sum.
    pub(crate) fn backward_weight(
        &self,
        x: &ConvOperand,
        dy: &Span,
    ) -> Result<[Dispatch; 2], GpuError> {
        let (element, x) = self.x(x);
        let (gpu, dy) = (self.buffers.gpu, self.buffers.gradient(dy));
        let s = self.shape;
        let parts = View::part(self.buffers.parts, &(0..self.parts_bytes()), 1);
        let gradients = View::whole(self.buffers.training().of_parameters);
        if self.grouped() {
            let (weights, count) = (s.weight_len(), self.group_parts());
            let kernel = |pass: &str| {
                let test = format!("if i < {weights}u {{ {pass} }}");
                self.group_kernel(&test, usize::MAX, count)
                    .constants(&[("NORM", 0), ("RELU", 0), ("RESIDUAL", 0), ("ACCUMULATE", 0)])
                    .bind("x", element, &x)
                    .bind("y", self.buffers.element(), &dy)
                    .bind("parameters", Element::F32, &self.buffers.parameters_view())
                    .bind("parts", Element::F32, &parts)
                    .bind("gradients", Element::F32, &gradients)
                    .bind_if("residual", self.buffers.element(), None)
                    .bind_if("rows", Element::Vec4, None)
                    .word(0, self.weight())
            };
            let groups = weights.div_ceil(THREADS as usize);
            let first = kernel("backward_weight(i, z);").build(gpu, Work::groups(groups, count))?;
            return Ok([first, kernel("reduce(i);").build(gpu, Work::groups(groups, 1))?]);
        }
        let (_, columns) = self.weight_tile();
        let count = self.weight_parts();
        let sizes = [("KERNEL", s.kernel), ("IN4", self.in4()), ("OUT4", self.out4())];
        let kernel = Kernel::new("conv_weight", WEIGHT)
            .constants(&sizes)
            .constants(&[("STRIDE", s.stride), ("PADDING", s.padding), ("PARTS", count)])
            .constants(&[("HEIGHT", s.height), ("WIDTH", s.width), ("THREAD_COLUMNS", columns)])
            .constants(&[("OUT_HEIGHT", s.out_height()), ("OUT_WIDTH", s.out_width())])
            .bind("x", element, &x)
            .bind("dy", self.buffers.element(), &dy)
            .bind("parts", Element::Vec4, &parts);
        let sum = kernel.build(gpu, Work::groups(self.weight_tiles(), count))?;
        let reduce = Kernel::new("conv_weight_reduce", REDUCE)
            .constants(&sizes)
            .constants(&[("IN", s.in_channels), ("OUT", s.out_channels), ("PARTS", count)])
            .bind("parts", Element::Vec4, &parts)
            .bind("gradients", Element::F32, &gradients)
            .word(0, self.weight());
        Ok([sum, reduce.build(gpu, Work::fixed(s.weight_len()))?])
    }

    /// The tile of a direction, its columns, and the rows of an image's largest class.
    fn tile(&self, direction: Direction, fastest: ThreadTile) -> (Tile, usize, usize) {
        let s = self.shape;
        let (columns, rows) = match direction {
            Direction::Forward => (self.out4(), s.out_pixels()),
            Direction::Backward => {
                (self.in4(), s.height.div_ceil(s.stride) * s.width.div_ceil(s.stride))
            }
        };
        (Tile::of(columns, fastest), columns, rows)
    }

    fn work(&self, direction: Direction, fastest: ThreadTile) -> Work {
        let (tile, columns, rows) = self.tile(direction, fastest);
        let classes = match direction {
            Direction::Forward => 1,
            Direction::Backward => self.shape.stride * self.shape.stride,
        };
        Work::rows(rows, tile.tile_rows(), classes * tile.column_tiles(columns))
    }

    fn product(&self, direction: Direction, fastest: ThreadTile) -> Kernel<'static> {
        let s = self.shape;
        let (tile, ..) = self.tile(direction, fastest);
        let ins = [self.in4(), s.height, s.width];
        let outs = [self.out4(), s.out_height(), s.out_width()];
        let backward = direction == Direction::Backward;
        let ([in4, from_height, from_width], [out4, to_height, to_width]) =
            if backward { (outs, ins) } else { (ins, outs) };
        Kernel::new("conv", CONV)
            .insert("ZERO", &tile.zero())
            .insert("MULTIPLY", &tile.multiply())
            .insert("STORE", &tile.store())
            .with(super::ACTIVATIONS)
            .constants(&[("ACTIVATION", 1), ("BACKWARD", backward.into())])
            .constants(&[("ROWS", tile.rows), ("THREAD_COLUMNS", tile.columns)])
            .constants(&[("VECTORS", tile.vectors), ("IN4", in4), ("OUT4", out4)])
            .constants(&[("FROM_HEIGHT", from_height), ("FROM_WIDTH", from_width)])
            .constants(&[("TO_HEIGHT", to_height), ("TO_WIDTH", to_width)])
            .constants(&[("KERNEL", s.kernel), ("STRIDE", s.stride), ("PADDING", s.padding)])
    }

    /// A kernel for groups, for threads of so many values of an image.
    fn group_kernel(&self, pass: &str, values: usize, parts: usize) -> Kernel<'static> {
        let s = self.shape;
        let pass = match values {
            usize::MAX => pass.to_owned(),
            values => format!("if i < words.n * {values}u {{ {pass} }}"),
        };
        Kernel::new("conv_groups", GROUPS)
            .insert("PASS", &pass)
            .with(super::ACTIVATIONS)
            .constants(&[("ACTIVATION", 1), ("GROUPS", s.groups), ("PARTS", parts)])
            .constants(&[("IN", s.in_channels), ("OUT", s.out_channels)])
            .constants(&[("IN4", self.in4()), ("OUT4", self.out4()), ("KERNEL", s.kernel)])
            .constants(&[("STRIDE", s.stride), ("PADDING", s.padding)])
            .constants(&[("HEIGHT", s.height), ("WIDTH", s.width)])
            .constants(&[("OUT_HEIGHT", s.out_height()), ("OUT_WIDTH", s.out_width())])
            .word(0, self.weight())
    }
}

/// Stands for what a pass without gradients of weights does not read.
const NO_GRADIENTS: &str =
    "var<private> parts: array<f32, 1>;\nvar<private> gradients: array<f32, 1>;\n";

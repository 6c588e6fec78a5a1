//! Convolution: forward, gradient of the input, gradient of the weights.

mod algorithm;
mod choice;
mod direct;
mod epilogue;
mod gemm;
mod operands;
mod pack;
pub mod reference;
mod shape;
mod sum;
mod tables;
mod winograd;

pub use algorithm::{Algorithm, Direction, Mode};
pub use epilogue::Epilogue;
pub use operands::{Activation, ScaleShift, Weights};
pub use shape::{ConvShape, Source};

use choice::choose;
use direct::Direct;
use epilogue::Finish;
use gemm::Gemm;
use winograd::{Strided, Winograd};

use crate::{
    cpu::Cpu,
    element::{Element, by_element},
    values::{Dtype, Values, ValuesMut},
};

/// A convolution of one shape: tables are built once, calls allocate nothing.
///
/// Input, output and their gradients are stored as its dtype says; dense images are f32, whatever that
/// is. The direct method takes products as what is read is stored: where that is bfloat16, weights are
/// rounded to it; sums are f32. Winograd's takes those of integers there, and exact sums. Weights are
/// `[out][kernel row][kernel column][in]`; see [`crate::layout`] for the rest. A call may have any batch
/// up to the one that it is prepared for.
#[derive(Debug)]
pub struct Conv {
    shape: ConvShape,
    dtype: Dtype,
    mode: Mode,
    batch: usize,
    cpu: Cpu,
    algorithm: Algorithm,
    method: Method,
}

/// The algorithm that was chosen, prepared.
#[derive(Debug)]
enum Method {
    Winograd(Winograd),
    Strided(Strided),
    Gemm(Gemm),
    Direct(Direct),
}

impl Method {
    fn new<E: Element>(
        algorithm: Algorithm,
        shape: ConvShape,
        source: Source,
        mode: Mode,
        batch: usize,
        cpu: &Cpu,
    ) -> Self {
        match algorithm {
            Algorithm::Winograd { stride: 1, .. } => {
                Method::Winograd(Winograd::new::<E>(shape, mode, batch, cpu))
            }
            Algorithm::Winograd { .. } => {
                Method::Strided(Strided::new::<E>(shape, mode, batch, cpu))
            }
            Algorithm::Gemm => Method::Gemm(Gemm::new::<E>(shape, mode)),
            Algorithm::Direct => Method::Direct(Direct::new::<E>(shape, source, mode)),
        }
    }
}

impl Conv {
    /// Prepares a convolution for up to `batch` images. With [`Source::Image`] its input is dense f32
    /// images, and `dtype` that of its output.
    ///
    /// # Panics
    /// If the window does not fit in the padded input, or an image has 2^32 values or more.
    pub fn new(
        shape: ConvShape,
        dtype: Dtype,
        source: Source,
        mode: Mode,
        batch: usize,
        cpu: &Cpu,
    ) -> Self {
        let ConvShape { kernel, stride, in_channels, out_channels, .. } = shape;
        assert!([kernel, stride, in_channels, out_channels].iter().all(|&n| n > 0), "{shape:?}");
        let side = shape.height.min(shape.width) + 2 * shape.padding;
        assert!(side >= shape.kernel, "{shape:?}: the window does not fit");
        let algorithm = choose(&shape, dtype, source, batch, cpu);
        let method =
            by_element!(dtype, E => Method::new::<E>(algorithm, shape, source, mode, batch, cpu));
        Conv { shape, dtype, mode, batch, cpu: cpu.clone(), algorithm, method }
    }

    /// Whether it can read an activation through a batch norm, which then need not store its output.
    pub fn reads_through_norm(&self) -> bool {
        matches!(self.algorithm, Algorithm::Winograd { .. })
    }

    /// How a direction is computed; none for one that this convolution is not prepared for.
    pub fn algorithm(&self, direction: Direction) -> Option<Algorithm> {
        self.mode.has(direction).then_some(self.algorithm)
    }

    /// Words of packed weights, for either direction.
    pub fn packed_len(&self) -> usize {
        match &self.method {
            Method::Winograd(m) => m.packed_len(),
            Method::Strided(m) => m.packed_len(),
            Method::Gemm(m) => m.packed_len(),
            Method::Direct(m) => m.packed_len(),
        }
    }

    /// Values of scratch for any call.
    pub fn scratch_len(&self) -> usize {
        match &self.method {
            Method::Winograd(m) => m.scratch_len(&self.cpu),
            Method::Strided(m) => m.scratch_len(&self.cpu),
            Method::Gemm(m) => m.scratch_len(&self.cpu, self.batch),
            Method::Direct(m) => m.scratch_len(&self.cpu, self.batch),
        }
    }

    /// Packs weights for [`Conv::forward`], each output channel times its factor (batch norm
    /// folded in; in inference only).
    ///
    /// # Panics
    /// If a slice is too short, or there are factors in training.
    pub fn pack_forward<'a>(
        &self,
        weights: &'a [f32],
        factors: Option<&[f32]>,
        packed: &'a mut [f32],
    ) -> Weights<'a> {
        assert_eq!(weights.len(), self.shape.weight_len());
        by_element!(self.dtype, E => self.pack_forward_of::<E>(weights, factors, packed))
    }

    fn pack_forward_of<'a, E: Element>(
        &self,
        weights: &'a [f32],
        factors: Option<&[f32]>,
        packed: &'a mut [f32],
    ) -> Weights<'a> {
        let cpu = &self.cpu;
        match &self.method {
            Method::Winograd(m) => m.pack::<E>(cpu, weights, factors, false, packed),
            Method::Strided(m) => m.pack::<E>(cpu, weights, factors, false, packed),
            Method::Gemm(m) => m.pack_forward::<E>(cpu, weights, factors, packed),
            Method::Direct(m) => m.pack_forward::<E>(cpu, weights, factors, packed),
        }
    }

    /// `y = x * w`, then the epilogue.
    ///
    /// # Panics
    /// If dtypes are not this convolution's, a slice is too short, or `x` has a norm that this
    /// convolution does not read through.
    pub fn forward<'a>(
        &self,
        batch: usize,
        x: impl Into<Activation<'a>>,
        weights: Weights<'_>,
        y: ValuesMut<'_>,
        epilogue: Epilogue<'_>,
        scratch: &mut [f32],
    ) {
        self.forward_activation(batch, x.into(), weights, y, epilogue, scratch);
    }

    fn forward_activation(
        &self,
        batch: usize,
        x: Activation<'_>,
        weights: Weights<'_>,
        y: ValuesMut<'_>,
        epilogue: Epilogue<'_>,
        scratch: &mut [f32],
    ) {
        by_element!(self.dtype, E => {
            let (y, finish) = (E::slice_mut(y), epilogue.of::<E>());
            self.forward_of(batch, x, weights, y, finish, scratch)
        });
    }

    fn forward_of<E: Element>(
        &self,
        batch: usize,
        x: Activation<'_>,
        w: Weights<'_>,
        y: &mut [E],
        finish: Finish<'_, E>,
        scratch: &mut [f32],
    ) {
        let cpu = &self.cpu;
        match &self.method {
            Method::Winograd(m) => m.forward(cpu, batch, x.of(), w, y, finish, scratch),
            Method::Strided(m) => m.forward(cpu, batch, x.of(), w.packed(), y, finish, scratch),
            Method::Gemm(m) => m.forward(cpu, batch, x.plain(), w.packed(), y, finish, scratch),
            Method::Direct(m) => m.forward(cpu, batch, x, w.packed(), y, finish, scratch),
        }
    }

    /// Packs weights for [`Conv::backward_data`].
    ///
    /// # Panics
    /// If a slice is too short, or the mode is without this direction.
    pub fn pack_backward_data<'a>(&self, weights: &'a [f32], packed: &'a mut [f32]) -> Weights<'a> {
        assert_eq!(weights.len(), self.shape.weight_len());
        by_element!(self.dtype, E => self.pack_backward_data_of::<E>(weights, packed))
    }

    fn pack_backward_data_of<'a, E: Element>(
        &self,
        weights: &'a [f32],
        packed: &'a mut [f32],
    ) -> Weights<'a> {
        let cpu = &self.cpu;
        match &self.method {
            Method::Winograd(m) => m.pack::<E>(cpu, weights, None, true, packed),
            Method::Strided(m) => m.pack::<E>(cpu, weights, None, true, packed),
            Method::Gemm(m) => m.pack_backward_data::<E>(cpu, weights, packed),
            Method::Direct(m) => m.pack_backward_data::<E>(cpu, weights, packed),
        }
    }

    /// The gradient of the input: stored in `dx`, or added to it.
    ///
    /// # Panics
    /// If dtypes are not this convolution's, a slice is too short, or the mode is without this
    /// direction.
    pub fn backward_data(
        &self,
        batch: usize,
        dy: Values<'_>,
        weights: Weights<'_>,
        dx: ValuesMut<'_>,
        accumulate: bool,
        scratch: &mut [f32],
    ) {
        let epilogue = if accumulate { Epilogue::ACCUMULATE } else { Epilogue::STORE };
        by_element!(self.dtype, E => {
            let (dy, dx, finish) = (E::slice(dy), E::slice_mut(dx), epilogue.of::<E>());
            self.backward_data_of(batch, dy, weights, dx, finish, scratch)
        });
    }

    fn backward_data_of<E: Element>(
        &self,
        batch: usize,
        dy: &[E],
        w: Weights<'_>,
        dx: &mut [E],
        finish: Finish<'_, E>,
        scratch: &mut [f32],
    ) {
        let cpu = &self.cpu;
        match &self.method {
            Method::Winograd(m) => m.backward_data(cpu, batch, dy, w, dx, finish, scratch),
            Method::Strided(m) => m.backward_data(cpu, batch, dy, w.packed(), dx, finish, scratch),
            Method::Gemm(m) => m.backward_data(cpu, batch, dy, w.packed(), dx, finish, scratch),
            Method::Direct(m) => m.backward_data(cpu, batch, dy, w.packed(), dx, finish, scratch),
        }
    }

    /// The gradient of the weights, stored in `dw`.
    ///
    /// # Panics
    /// If dtypes are not this convolution's, a slice is too short, the mode is without this direction,
    /// or `x` has a norm that this convolution does not read through.
    pub fn backward_weight<'a>(
        &self,
        batch: usize,
        x: impl Into<Activation<'a>>,
        dy: Values<'_>,
        dw: &mut [f32],
        scratch: &mut [f32],
    ) {
        self.backward_weight_activation(batch, x.into(), dy, dw, scratch);
    }

    fn backward_weight_activation(
        &self,
        batch: usize,
        x: Activation<'_>,
        dy: Values<'_>,
        dw: &mut [f32],
        scratch: &mut [f32],
    ) {
        by_element!(self.dtype, E => {
            self.backward_weight_of(batch, x, E::slice(dy), dw, scratch)
        });
    }

    fn backward_weight_of<E: Element>(
        &self,
        batch: usize,
        x: Activation<'_>,
        dy: &[E],
        dw: &mut [f32],
        scratch: &mut [f32],
    ) {
        let cpu = &self.cpu;
        match &self.method {
            Method::Winograd(m) => m.backward_weight(cpu, batch, x.of(), dy, dw, scratch),
            Method::Strided(m) => m.backward_weight(cpu, batch, x.of(), dy, dw, scratch),
            Method::Gemm(m) => m.backward_weight(cpu, batch, x.plain(), dy, dw, scratch),
            Method::Direct(m) => m.backward_weight(cpu, batch, x, dy, dw, scratch),
        }
    }
}

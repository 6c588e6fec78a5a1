//! Convolution: the forward pass, the gradient of the input, the gradient of the weights.

mod algorithm;
mod checks;
mod choice;
mod config;
mod direct;
mod epilogue;
mod gemm;
mod method;
mod operands;
mod pack;
mod reduce;
pub mod reference;
mod shape;
mod winograd;

pub use algorithm::{Algorithm, Direction, Mode};
pub use config::ConvConfig;
pub use epilogue::Epilogue;
pub use operands::{ConvInput, ScaleShift, Weights};
pub use shape::{ConvShape, Source};

use algorithm::{NO_DATA, NO_WEIGHT};
use choice::choose;
use config::{Lengths, Setup};
use direct::Direct;
use epilogue::TypedEpilogue;
use method::Method;
use operands::WeightValues;

use crate::{
    check::{at_least, exactly},
    cpu::Cpu,
    memory::OutOfMemory,
    scalar::{Scalar, by_scalar},
    values::{Values, ValuesMut},
};

/// A convolution of one shape (`torch.nn.functional.conv2d`). Tables are built once; calls allocate
/// nothing.
///
/// Input, output and their gradients have its dtype, except that dense images are f32. Weights and
/// their gradients are f32, `[out][kernel row][kernel column][in / groups]`; see [`crate::layout`]
/// for activations. The direct method and GEMM multiply in the dtype that they read: for bfloat16,
/// weights are rounded to it. Winograd multiplies f32, or 16-bit integers for bfloat16. Sums are
/// f32, or exact 32-bit integers.
///
/// A call may have any batch up to the one that the convolution is prepared for. Slices may be
/// longer than needed, except weights and their gradients.
#[derive(Debug)]
pub struct Conv {
    setup: Setup,
    lengths: Lengths,
    cpu: Cpu,
    algorithm: Algorithm,
    method: Method,
}

impl Conv {
    /// Prepares a convolution.
    ///
    /// # Errors
    /// If the system refuses the memory of its tables.
    ///
    /// # Panics
    /// If a size is 0, the window does not fit in the padded input, the groups do not divide the
    /// channels, an image or the weight has 2^32 values or more, or a batch has more than memory can
    /// hold.
    pub fn new(config: ConvConfig, cpu: &Cpu) -> Result<Self, OutOfMemory> {
        let setup = Setup::new(config, cpu);
        let ConvConfig { shape, dtype, source, batch, .. } = config;
        let algorithm = choose(&config, cpu);
        let method = by_scalar!(dtype, T => Method::new::<T>(algorithm, &config, cpu))?;
        let lengths = Lengths {
            input: shape.in_len(source),
            input_gradient: shape.in_len(Source::Activation),
            output: shape.out_len(),
            weight: shape.weight_len(),
            packed: method.packed_len(),
            scratch: method.scratch_len(batch, cpu),
        };
        Ok(Conv { setup, lengths, cpu: cpu.clone(), algorithm, method })
    }

    /// Bytes that [`Conv::new`] allocates for tables, or a little more.
    ///
    /// # Panics
    /// As [`Conv::new`].
    pub fn table_bytes(config: ConvConfig, cpu: &Cpu) -> usize {
        match Conv::algorithm_of(config, cpu) {
            Algorithm::Direct => Direct::table_bytes(&config),
            Algorithm::Gemm | Algorithm::Winograd { .. } => 0,
        }
    }

    /// The algorithm that [`Conv::new`] takes.
    ///
    /// # Panics
    /// As [`Conv::new`].
    pub fn algorithm_of(config: ConvConfig, cpu: &Cpu) -> Algorithm {
        choose(&Setup::new(config, cpu).config, cpu)
    }

    /// The algorithm of a direction, or none if this convolution is not prepared for it.
    pub fn algorithm(&self, direction: Direction) -> Option<Algorithm> {
        self.setup.config.mode.has(direction).then_some(self.algorithm)
    }

    /// Words of packed weights, for either direction.
    pub fn packed_len(&self) -> usize {
        self.lengths.packed
    }

    /// Values of scratch, for any call.
    pub fn scratch_len(&self) -> usize {
        self.lengths.scratch
    }

    /// Weights for a direction that were packed before, from `packed`. Where calls of this
    /// direction pack weights themselves they are taken from `weights`, which is otherwise not
    /// read.
    ///
    /// # Panics
    /// If a slice has another length than needed, or the mode does not have this direction.
    pub fn weights<'a>(
        &self,
        direction: Direction,
        weights: &'a [f32],
        packed: &'a [f32],
    ) -> Weights<'a> {
        assert!(self.setup.config.mode.has(direction), "prepared without the {direction:?} pass");
        let values = if self.method.packs_in_call(direction) {
            exactly("weights", weights.len(), self.lengths.weight);
            WeightValues::Unpacked(weights)
        } else {
            at_least("packed weights", packed.len(), self.lengths.packed);
            WeightValues::Packed(packed)
        };
        Weights { setup: self.setup, direction, values }
    }

    /// Packs weights for [`Conv::forward`], each output channel times its scale (a folded batch
    /// norm, in inference only).
    ///
    /// # Panics
    /// If a slice has another length than needed, or there are scales in training.
    pub fn pack_forward<'a>(
        &self,
        weights: &'a [f32],
        output_scales: Option<&[f32]>,
        packed: &'a mut [f32],
    ) -> Weights<'a> {
        self.check_packing(weights, output_scales, packed);
        assert!(
            output_scales.is_none() || self.setup.config.mode == Mode::Inference,
            "output scales in training"
        );
        by_scalar!(self.setup.config.dtype, T => {
            self.pack_forward_of::<T>(weights, output_scales, packed)
        });
        self.weights(Direction::Forward, weights, packed)
    }

    fn pack_forward_of<T: Scalar>(
        &self,
        weights: &[f32],
        output_scales: Option<&[f32]>,
        packed: &mut [f32],
    ) {
        let cpu = &self.cpu;
        match &self.method {
            Method::Winograd(m) => m.pack::<T>(cpu, weights, output_scales, false, packed),
            Method::Strided(m) => m.pack::<T>(cpu, weights, output_scales, false, packed),
            Method::Gemm(m) => m.pack_forward::<T>(cpu, weights, output_scales, packed),
            Method::Direct(m) => m.pack_forward::<T>(cpu, weights, output_scales, packed),
        }
    }

    /// The forward pass: `y[n][height][width][out]` of `x[n][height][width][in]`, then the
    /// epilogue. In PyTorch: `F.conv2d(x, w, stride=..., padding=..., groups=...)`.
    ///
    /// # Panics
    /// If the batch is larger than prepared for, dtypes or weights are not this convolution's, a
    /// slice is too short, or `x` has a norm and the algorithm does not
    /// [fuse](Algorithm::fuses_input_norm) it.
    pub fn forward<'a>(
        &self,
        batch: usize,
        x: impl Into<ConvInput<'a>>,
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
        x: ConvInput<'_>,
        weights: Weights<'_>,
        y: ValuesMut<'_>,
        epilogue: Epilogue<'_>,
        scratch: &mut [f32],
    ) {
        self.check_input(batch, &x);
        self.check_output(batch, y.len());
        self.check_epilogue(batch, &epilogue);
        self.check_scratch(scratch);
        let weights = self.check_weights(weights, Direction::Forward);
        by_scalar!(self.setup.config.dtype, T => {
            let (y, finish) = (T::slice_mut(y), epilogue.of::<T>());
            if batch > 0 {
                self.forward_of(batch, x, weights, y, finish, scratch);
            }
        });
    }

    fn forward_of<T: Scalar>(
        &self,
        batch: usize,
        x: ConvInput<'_>,
        w: WeightValues<'_>,
        y: &mut [T],
        finish: TypedEpilogue<'_, T>,
        scratch: &mut [f32],
    ) {
        let cpu = &self.cpu;
        match &self.method {
            Method::Winograd(m) => m.forward(cpu, batch, x.of(), w, y, finish, scratch),
            Method::Strided(m) => m.forward(cpu, batch, x.of(), w, y, finish, scratch),
            Method::Gemm(m) => m.forward(cpu, batch, x.plain(), w.packed(), y, finish, scratch),
            Method::Direct(m) => m.forward(cpu, batch, x, w.packed(), y, finish, scratch),
        }
    }

    /// Packs weights for [`Conv::backward_data`].
    ///
    /// # Panics
    /// If a slice has another length than needed, or the mode does not have this direction.
    pub fn pack_backward_data<'a>(&self, weights: &'a [f32], packed: &'a mut [f32]) -> Weights<'a> {
        assert!(self.setup.config.mode.has(Direction::BackwardData), "{NO_DATA}");
        self.check_packing(weights, None, packed);
        by_scalar!(self.setup.config.dtype, T => self.pack_backward_data_of::<T>(weights, packed));
        self.weights(Direction::BackwardData, weights, packed)
    }

    fn pack_backward_data_of<T: Scalar>(&self, weights: &[f32], packed: &mut [f32]) {
        let cpu = &self.cpu;
        match &self.method {
            Method::Winograd(m) => m.pack::<T>(cpu, weights, None, true, packed),
            Method::Strided(m) => m.pack::<T>(cpu, weights, None, true, packed),
            Method::Gemm(m) => m.pack_backward_data::<T>(cpu, weights, packed),
            Method::Direct(m) => m.pack_backward_data::<T>(cpu, weights, packed),
        }
    }

    /// The gradient of the input, `dx[n][height][width][in]` of `dy[n][height][width][out]`:
    /// stored, or added to `dx`. In PyTorch: `torch.nn.grad.conv2d_input`.
    ///
    /// # Panics
    /// If the batch is larger than prepared for, dtypes or weights are not this convolution's, a
    /// slice is too short, or the mode does not have this direction.
    pub fn backward_data(
        &self,
        batch: usize,
        dy: Values<'_>,
        weights: Weights<'_>,
        dx: ValuesMut<'_>,
        accumulate: bool,
        scratch: &mut [f32],
    ) {
        assert!(self.setup.config.mode.has(Direction::BackwardData), "{NO_DATA}");
        self.check_output_gradient(batch, dy);
        self.check_input_gradient(batch, dx.len());
        self.check_scratch(scratch);
        let weights = self.check_weights(weights, Direction::BackwardData);
        let epilogue = if accumulate { Epilogue::ACCUMULATE } else { Epilogue::STORE };
        by_scalar!(self.setup.config.dtype, T => {
            let (dy, dx, finish) = (T::slice(dy), T::slice_mut(dx), epilogue.of::<T>());
            if batch > 0 {
                self.backward_data_of(batch, dy, weights, dx, finish, scratch);
            }
        });
    }

    fn backward_data_of<T: Scalar>(
        &self,
        batch: usize,
        dy: &[T],
        w: WeightValues<'_>,
        dx: &mut [T],
        finish: TypedEpilogue<'_, T>,
        scratch: &mut [f32],
    ) {
        let cpu = &self.cpu;
        match &self.method {
            Method::Winograd(m) => m.backward_data(cpu, batch, dy, w, dx, finish, scratch),
            Method::Strided(m) => m.backward_data(cpu, batch, dy, w, dx, finish, scratch),
            Method::Gemm(m) => m.backward_data(cpu, batch, dy, w.packed(), dx, finish, scratch),
            Method::Direct(m) => m.backward_data(cpu, batch, dy, w.packed(), dx, finish, scratch),
        }
    }

    /// The gradient of the weights, `dw[out][kernel row][kernel column][in / groups]`: stored. In
    /// PyTorch: `torch.nn.grad.conv2d_weight`.
    ///
    /// # Panics
    /// If the batch is larger than prepared for, dtypes are not this convolution's, a slice has
    /// another length than needed, the mode does not have this direction, or `x` has a norm and the
    /// algorithm does not [fuse](Algorithm::fuses_input_norm) it.
    pub fn backward_weight<'a>(
        &self,
        batch: usize,
        x: impl Into<ConvInput<'a>>,
        dy: Values<'_>,
        dw: &mut [f32],
        scratch: &mut [f32],
    ) {
        self.backward_weight_activation(batch, x.into(), dy, dw, scratch);
    }

    fn backward_weight_activation(
        &self,
        batch: usize,
        x: ConvInput<'_>,
        dy: Values<'_>,
        dw: &mut [f32],
        scratch: &mut [f32],
    ) {
        self.check_input(batch, &x);
        self.check_output_gradient(batch, dy);
        exactly("gradient of the weights", dw.len(), self.lengths.weight);
        self.check_scratch(scratch);
        assert!(self.setup.config.mode.has(Direction::BackwardWeight), "{NO_WEIGHT}");
        by_scalar!(self.setup.config.dtype, T => {
            let dy = T::slice(dy);
            if batch > 0 {
                self.backward_weight_of(batch, x, dy, dw, scratch);
            } else {
                dw.fill(0.0);
            }
        });
    }

    fn backward_weight_of<T: Scalar>(
        &self,
        batch: usize,
        x: ConvInput<'_>,
        dy: &[T],
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

//! Convolution: forward, gradient of the input, gradient of the weights.

mod algorithm;
mod direct;
mod epilogue;
mod gemm;
pub mod reference;
mod shape;
#[cfg(test)]
mod tests;
mod winograd;

pub use algorithm::{Algorithm, Direction};
pub use epilogue::Epilogue;
pub use shape::{Activation, ConvShape, ScaleShift, Source};

use direct::{BackwardWeight, Direct};
use gemm::Gemm;
use winograd::{Strided, Winograd};

use crate::{
    cpu::{Algorithms, Cpu},
    element::Element,
};

/// What a convolution is prepared for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Forward only.
    Inference,
    /// Forward, and the gradient of the weights.
    TrainFirst,
    /// Forward and both gradients.
    Train,
}

/// Weights as a call takes them: what packing them has returned.
#[derive(Clone, Copy, Debug)]
pub enum Weights<'a> {
    /// Packed for one direction.
    Packed(&'a [f32]),
    /// As they are: the call itself packs them, part by part.
    Plain(&'a [f32]),
}

impl<'a> Weights<'a> {
    fn packed(self) -> &'a [f32] {
        match self {
            Weights::Packed(packed) => packed,
            Weights::Plain(_) => panic!("the direct method takes packed weights"),
        }
    }
}

const NO_DATA: &str = "prepared without the gradient of the input";
const NO_NORM: &str = "the direct method reads no activation through a batch norm";
const NO_WEIGHT: &str = "prepared for inference";

/// A convolution of one shape: tables are built once, calls allocate nothing.
///
/// `X` is how its input is stored, `E` how its output and the gradients are. The direct method takes
/// products as what is read is stored: where that is bfloat16, weights are rounded to it; sums are f32.
/// Winograd's takes those of integers there, and exact sums. Weights are
/// `[out][kernel row][kernel column][in]`; see [`crate::layout`] for the rest. A call may have any batch
/// up to the one that it is prepared for.
#[derive(Debug)]
pub struct Conv<E, X = E> {
    shape: ConvShape,
    batch: usize,
    cpu: Cpu,
    winograd: Option<Winograd>,
    strided: Option<Strided>,
    gemm: Option<Gemm<X, E>>,
    forward: Direct<X, E>,
    backward_data: Option<Direct<E, E>>,
    backward_weight: Option<BackwardWeight<X, E>>,
}

impl<E: Element, X: Element> Conv<E, X> {
    /// Prepares a convolution for up to `batch` images.
    ///
    /// # Panics
    /// If the window does not fit in the padded input, an image has 2^32 values or more, or dense
    /// images are to be read as anything but f32.
    pub fn new(shape: ConvShape, source: Source, mode: Mode, batch: usize, cpu: &Cpu) -> Self {
        let ConvShape { kernel, stride, in_channels, out_channels, .. } = shape;
        assert!([kernel, stride, in_channels, out_channels].iter().all(|&n| n > 0), "{shape:?}");
        let side = shape.height.min(shape.width) + 2 * shape.padding;
        assert!(side >= shape.kernel, "{shape:?}: the window does not fit");
        assert!(source == Source::Activation || X::PACK == 1, "dense images are f32");
        let fastest = source == Source::Activation && cpu.algorithms() == Algorithms::Fastest;
        Conv {
            shape,
            batch,
            cpu: cpu.clone(),
            winograd: fastest.then(|| Winograd::new::<E>(shape, mode, batch, cpu)).flatten(),
            strided: fastest.then(|| Strided::new::<E>(shape, mode, batch, cpu)).flatten(),
            gemm: Gemm::new(shape, source, mode),
            forward: Direct::forward(shape, source),
            backward_data: (mode == Mode::Train).then(|| Direct::backward_data(shape)),
            backward_weight: (mode != Mode::Inference).then(|| BackwardWeight::new(shape, source)),
        }
    }

    /// Whether it can read an activation through a batch norm, which then need not store its output.
    pub fn reads_through_norm(&self) -> bool {
        self.winograd().is_some() || self.strided().is_some()
    }

    /// How a direction is computed; none for one that this convolution is not prepared for.
    pub fn algorithm(&self, direction: Direction) -> Option<Algorithm> {
        let prepared = match direction {
            Direction::Forward => true,
            Direction::BackwardData => self.backward_data.is_some(),
            Direction::BackwardWeight => self.backward_weight.is_some(),
        };
        let strided = self.strided().map(|_| Strided::ALGORITHM);
        let gemm = self.gemm.as_ref().map(|_| Gemm::<X, E>::ALGORITHM);
        let winograd = self.winograd().map(|_| Winograd::ALGORITHM);
        prepared.then_some(winograd.or(strided).or(gemm).unwrap_or(Algorithm::Direct))
    }

    /// Words of packed weights, for either direction.
    pub fn packed_len(&self) -> usize {
        if let Some(winograd) = self.winograd() {
            return winograd.packed_len();
        }
        if let Some(strided) = self.strided() {
            return strided.packed_len();
        }
        let backward = self.backward_data.as_ref().map_or(0, Direct::packed_len);
        self.forward.packed_len().max(backward)
    }

    /// Values of scratch for any call.
    pub fn scratch_len(&self) -> usize {
        if let Some(winograd) = self.winograd() {
            return winograd.scratch_len(&self.cpu);
        }
        if let Some(strided) = self.strided() {
            return strided.scratch_len(&self.cpu);
        }
        if let Some(gemm) = &self.gemm {
            return gemm.scratch_len(&self.cpu, self.batch);
        }
        let weight = self.backward_weight.as_ref();
        let weight = weight.map_or(0, |w| w.scratch_len(&self.cpu, self.batch));
        let data = self.backward_data.as_ref().map_or(0, |d| d.scratch_len(&self.cpu));
        self.forward.scratch_len(&self.cpu).max(data).max(weight)
    }

    /// Packs weights for [`Conv::forward`], each output channel times its factor (batch norm
    /// folded in; in inference only).
    pub fn pack_forward<'a>(
        &self,
        weights: &'a [f32],
        factors: Option<&[f32]>,
        packed: &'a mut [f32],
    ) -> Weights<'a> {
        assert_eq!(weights.len(), self.shape.weight_len());
        if let Some(winograd) = self.winograd() {
            return winograd.pack::<E>(&self.cpu, weights, factors, false, packed);
        }
        if let Some(strided) = self.strided() {
            return strided.pack::<E>(&self.cpu, weights, factors, false, packed);
        }
        self.forward.pack(&self.cpu, weights, factors, packed);
        Weights::Packed(packed)
    }

    /// `y = x * w`, then the epilogue.
    pub fn forward<'a>(
        &self,
        batch: usize,
        x: impl Into<Activation<'a, X>>,
        weights: Weights<'_>,
        y: &mut [E],
        epilogue: Epilogue<'_, E>,
        scratch: &mut [f32],
    ) where
        X: 'a,
    {
        let x = x.into();
        if let Some(winograd) = self.winograd() {
            winograd.forward(&self.cpu, batch, x, weights, y, epilogue, scratch);
        } else if let Some(strided) = self.strided() {
            strided.forward(&self.cpu, batch, x, weights.packed(), y, epilogue, scratch);
        } else {
            let packed = weights.packed();
            assert!(x.norm.is_none(), "{NO_NORM}");
            if let Some(gemm) = &self.gemm {
                gemm.forward(&self.cpu, batch, x.values, packed, y, epilogue, scratch);
            } else {
                self.forward.run(&self.cpu, batch, x.values, packed, y, epilogue, scratch);
            }
        }
    }

    /// Packs weights for [`Conv::backward_data`].
    pub fn pack_backward_data<'a>(&self, weights: &'a [f32], packed: &'a mut [f32]) -> Weights<'a> {
        assert_eq!(weights.len(), self.shape.weight_len());
        if let Some(winograd) = self.winograd() {
            return winograd.pack::<E>(&self.cpu, weights, None, true, packed);
        }
        if let Some(strided) = self.strided() {
            return strided.pack::<E>(&self.cpu, weights, None, true, packed);
        }
        self.data().pack(&self.cpu, weights, None, packed);
        Weights::Packed(packed)
    }

    /// The gradient of the input: stored in `dx`, or added to it.
    pub fn backward_data(
        &self,
        batch: usize,
        dy: &[E],
        weights: Weights<'_>,
        dx: &mut [E],
        accumulate: bool,
        scratch: &mut [f32],
    ) {
        let epilogue = if accumulate { Epilogue::ACCUMULATE } else { Epilogue::STORE };
        if let Some(winograd) = self.winograd() {
            winograd.backward_data(&self.cpu, batch, dy, weights, dx, epilogue, scratch);
        } else if let Some(strided) = self.strided() {
            strided.backward_data(&self.cpu, batch, dy, weights.packed(), dx, epilogue, scratch);
        } else {
            let packed = weights.packed();
            if let Some(gemm) = &self.gemm {
                gemm.backward_data(&self.cpu, batch, dy, packed, dx, epilogue, scratch);
            } else {
                self.data().run(&self.cpu, batch, dy, packed, dx, epilogue, scratch);
            }
        }
    }

    /// The gradient of the weights, stored in `dw`.
    pub fn backward_weight<'a>(
        &self,
        batch: usize,
        x: impl Into<Activation<'a, X>>,
        dy: &[E],
        dw: &mut [f32],
        scratch: &mut [f32],
    ) where
        X: 'a,
    {
        let x = x.into();
        if let Some(winograd) = self.winograd() {
            winograd.backward_weight(&self.cpu, batch, x, dy, dw, scratch);
            return;
        }
        if let Some(strided) = self.strided() {
            strided.backward_weight(&self.cpu, batch, x, dy, dw, scratch);
            return;
        }
        assert!(x.norm.is_none(), "{NO_NORM}");
        if let Some(gemm) = &self.gemm {
            gemm.backward_weight(&self.cpu, batch, x.values, dy, dw, scratch);
            return;
        }
        let pass = self.backward_weight.as_ref().expect(NO_WEIGHT);
        pass.run(&self.cpu, batch, x.values, dy, dw, scratch);
    }

    /// The condition is constant: code for mixed elements is never made.
    fn winograd(&self) -> Option<&Winograd> {
        if X::PACK == E::PACK { self.winograd.as_ref() } else { None }
    }

    /// As [`Conv::winograd`].
    fn strided(&self) -> Option<&Strided> {
        if X::PACK == E::PACK { self.strided.as_ref() } else { None }
    }

    fn data(&self) -> &Direct<E, E> {
        self.backward_data.as_ref().expect(NO_DATA)
    }
}

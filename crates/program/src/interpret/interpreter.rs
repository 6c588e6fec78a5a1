//! A program with its buffers, and what each operation does with them: loads images, stores values and gradients.

use resnet_kernels::{Activation, Bf16, Dtype};
use resnet_network::graph::NodeId;

use crate::program::{Program, Sink, Span};

/// A program with its buffers, in f64.
#[derive(Clone, Debug)]
pub struct Interpreter<'a> {
    pub(super) program: &'a Program,
    /// Whether values and gradients are rounded to bfloat16 where they are stored.
    rounds: bool,
    /// Images of the pass.
    pub(super) n: usize,
    pub(super) images: Vec<f64>,
    pub(super) values: Vec<f64>,
    pub(super) gradients: Vec<f64>,
    /// Mean, 1/std, scale and shift of each stored channel.
    pub(super) saved: Vec<f64>,
    pub(super) d_logits: Vec<f64>,
    /// `[images][classes]` of the last pass.
    pub logits: Vec<f64>,
    /// Gradients of the parameters, in the order of
    /// [`Network::values`](resnet_network::Network::values).
    pub d_parameters: Vec<f64>,
    /// Each batch norm's updated running mean and variance, in the order of the step.
    pub running: Vec<(NodeId, [Vec<f64>; 2])>,
    /// Cross entropy of the last step, summed over its images and divided by those of the whole
    /// batch.
    pub loss: f64,
}

impl<'a> Interpreter<'a> {
    /// An interpreter of a program.
    pub fn new(program: &'a Program) -> Self {
        let empty = |len: usize| vec![f64::NAN; len];
        Interpreter {
            n: 0,
            images: empty(program.batch * program.image.image_len()),
            values: empty(program.values_len),
            gradients: empty(program.gradients_len),
            saved: empty(program.saved_len),
            d_logits: empty(program.batch * program.classes),
            logits: empty(program.batch * program.classes),
            d_parameters: Vec::new(),
            running: Vec::new(),
            loss: f64::NAN,
            rounds: false,
            program,
        }
    }

    /// The same with values and gradients in the program's dtype. All else is in f64 as before.
    #[must_use]
    pub fn in_its_dtype(self) -> Self {
        Interpreter { rounds: self.program.dtype == Dtype::Bf16, ..self }
    }

    pub(super) fn as_stored(&self, value: f64) -> f64 {
        if self.rounds { Bf16::from_f32(value as f32).to_f32().into() } else { value }
    }

    pub(super) fn load_images(&mut self, images: &[f32]) {
        let at = self.program.image;
        self.images.fill(0.0);
        for (i, &value) in images[..self.n * at.channels * at.height * at.width].iter().enumerate()
        {
            let (column, row) = (i % at.width, i / at.width % at.height);
            let channel = i / (at.width * at.height) % at.channels;
            let image = i / (at.width * at.height * at.channels);
            let pixel = (row + at.border) * at.columns() + column + at.border;
            self.images[image * at.image_len() + pixel * at.channels + channel] = value.into();
        }
    }

    /// Stores `activation?(out + residual?)`.
    pub(super) fn finish(
        &mut self,
        mut out: Vec<f64>,
        residual: Option<&Span>,
        activation: Option<Activation>,
        y: &Span,
    ) {
        if let Some(residual) = residual {
            out.iter_mut().zip(&self.values[residual.clone()]).for_each(|(out, r)| *out += r);
        }
        match activation {
            None => {}
            Some(Activation::Relu) => out.iter_mut().for_each(|out| *out = out.max(0.0)),
            Some(Activation::Smooth(of)) => out.iter_mut().for_each(|out| *out = of.value(*out)),
        }
        assert!(out.len() <= y.len(), "an output fits its place");
        out.iter_mut().for_each(|out| *out = self.as_stored(*out));
        self.values[y.start..][..out.len()].copy_from_slice(&out);
    }

    /// Stores or adds a gradient.
    pub(super) fn store_gradient(&mut self, gradient: &[f64], to: &Sink) {
        assert!(gradient.len() <= to.at.len(), "a gradient fits its place");
        for (i, gradient) in (to.at.start..).zip(gradient) {
            let before = if to.accumulate { self.gradients[i] } else { 0.0 };
            self.gradients[i] = self.as_stored(before + gradient);
        }
    }
}

//! What a training plan consists of.

use resnet_kernels::Element;

use super::{Kernel, Plan, Step};
use crate::{
    graph::Graph,
    plan::outline::{Algorithm, Memory, Outline, Pass, Prepared, Sketch, algorithms},
};

impl<E: Element> Plan<E> {
    pub(in crate::plan) fn outline(&self, graph: &Graph) -> Outline {
        let prepared = |step: &Step<E>| Prepared {
            unit: step.unit.clone(),
            algorithms: step.kernel.algorithms(),
            packed: step.kernel.packed_len(),
            scratch: step.kernel.scratch_len(&self.cpu, self.batch),
            gradient: step.y.gradient.len(),
            stored: step.stored,
            accumulate: [&step.x, &step.residual].map(|r| r.as_ref().is_some_and(|r| r.accumulate)),
        };
        let b = &self.buffers;
        let (words, values) = (size_of::<f32>(), size_of::<E>());
        let memory = Memory {
            images: words * self.input.values.len(),
            activations: values * b.values.len(),
            gradients: values * b.gradients.len(),
            statistics: words * b.saved.len(),
            packed: words * b.packed.len(),
            scratch: words * b.scratch.len(),
            logits: words * (b.logits.len() + b.d_logits.len()),
        };
        let sizes = self.input.sizes(graph, self.batch);
        let units = self.steps.iter().map(prepared).collect();
        Sketch { graph, sizes, element: values, training: true, units }.outline(memory)
    }
}

impl<E: Element> Kernel<E> {
    fn algorithms(&self) -> Vec<(Pass, Algorithm)> {
        match self {
            Kernel::Stem(conv) => algorithms(conv),
            Kernel::Conv(conv) => algorithms(conv),
            _ => Vec::new(),
        }
    }
}

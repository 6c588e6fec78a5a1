//! The cross entropy.

use resnet_kernels::loss::Target;

use super::interpreter::Interpreter;
use crate::batch::Targets;

impl Interpreter<'_> {
    /// `torch.nn.functional.cross_entropy` and its gradient, of losses that are divided by `divisor`.
    pub(super) fn cross_entropy(&mut self, targets: Targets<'_>, divisor: f64) {
        let classes = self.program.classes;
        let weight = |class: usize| targets.class_weights.map_or(1.0, |w| f64::from(w[class]));
        let smoothing = f64::from(targets.label_smoothing);
        self.loss = 0.0;
        for i in 0..targets.len() {
            let row = &self.logits[i * classes..][..classes];
            let top = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let total = row.iter().map(|x| (x - top).exp()).sum::<f64>().ln() + top;
            let smoothed = |class: usize| {
                let own = match targets.target {
                    Target::Labels(labels) => f64::from(u8::from(labels[i] as usize == class)),
                    Target::Probabilities { values, .. } => f64::from(values[i * classes + class]),
                };
                weight(class) * ((1.0 - smoothing) * own + smoothing / classes as f64)
            };
            let sum: f64 = (0..classes).map(smoothed).sum();
            for class in 0..classes {
                let target = smoothed(class);
                self.loss -= target * (row[class] - total) / divisor;
                self.d_logits[i * classes + class] =
                    ((row[class] - total).exp() * sum - target) / divisor;
            }
        }
    }
}

//! Averages of the weights.

use serde::{Deserialize, Serialize};

/// An average of the weights and of the running statistics of batch norms, over the steps.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Average {
    /// The network itself returns to its slow average (Zhang et al. 2019, arXiv 1907.08610), as in
    /// airbench: `slow = a slow + (1 - a) weights; weights = slow`, with
    /// `a = decay^every (step / steps)^power`, and `weights = slow` after the last step.
    Lookahead {
        /// Steps between updates.
        every: u64,
        /// Decay of a step, in [0, 1].
        decay: f64,
        /// Power of the part of the run that is done.
        power: f64,
    },
    /// Exponential moving average, as timm's `ModelEma`: `average = decay average + (1 - decay)
    /// weights`. The weights train on; the average is evaluated.
    Ema {
        /// Steps between updates.
        every: u64,
        /// Decay of an update, in [0, 1].
        decay: f64,
    },
}

impl Average {
    /// Whether the average is evaluated and exported in the place of the weights.
    pub fn is_ema(self) -> bool {
        matches!(self, Average::Ema { .. })
    }

    /// The decay of the update that follows a step; none if there is no update. Steps count from 1.
    pub fn decay_after(self, step: u64, steps: u64) -> Option<f64> {
        let (Average::Lookahead { every, .. } | Average::Ema { every, .. }) = self;
        step.is_multiple_of(every).then(|| match self {
            Average::Lookahead { every, decay, power } => {
                decay.powf(every as f64) * (step as f64 / steps as f64).powf(power)
            }
            Average::Ema { decay, .. } => decay,
        })
    }
}

//! Learning-rate schedules: pure functions of the step.

use serde::{Deserialize, Serialize};

/// How the learning rate moves over a run, as a factor on the recipe's rate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Schedule {
    /// `torch.optim.lr_scheduler.MultiStepLR`: times `gamma` after each of these epochs.
    MultiStep {
        /// Epochs after which the rate drops.
        milestones: Vec<u64>,
        /// Factor of each drop.
        gamma: f64,
    },
    /// Times `gamma` after each of these fractions of the run (paper, section 4.2: at 32k and 48k
    /// of 64k iterations).
    MultiStepFraction {
        /// Fractions of all steps after which the rate drops.
        milestones: Vec<f64>,
        /// Factor of each drop.
        gamma: f64,
    },
    /// A triangle: linearly up from a fifth of the peak, then linearly down to zero.
    OneCycle {
        /// Fraction of all steps at which the rate peaks.
        peak: f64,
    },
}

/// Steps at a lower rate before the schedule sets in (paper, section 4.2).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct WarmUp {
    /// How many.
    pub steps: u64,
    /// Factor on the recipe's rate meanwhile.
    pub factor: f64,
}

/// The rate from which a one-cycle schedule starts, as a part of its peak.
const ONE_CYCLE_START: f64 = 0.2;

impl Schedule {
    /// The factor on the learning rate at a step, counted from 0, of `total_steps`.
    ///
    /// ```
    /// use resnet::schedule::Schedule;
    /// let s = Schedule::MultiStep { milestones: vec![100, 150], gamma: 0.1 };
    /// assert_eq!(s.factor(99 * 10, 10, 2000), 1.0);
    /// assert_eq!(s.factor(100 * 10, 10, 2000), 0.1);
    /// ```
    pub fn factor(&self, step: u64, steps_per_epoch: u64, total_steps: u64) -> f64 {
        let done = step as f64 / total_steps.max(1) as f64;
        match self {
            Schedule::MultiStep { milestones, gamma } => {
                let epoch = step / steps_per_epoch.max(1);
                gamma.powi(milestones.iter().filter(|&&m| epoch >= m).count() as i32)
            }
            Schedule::MultiStepFraction { milestones, gamma } => {
                gamma.powi(milestones.iter().filter(|&&m| done >= m).count() as i32)
            }
            Schedule::OneCycle { peak } => {
                if done < *peak {
                    ONE_CYCLE_START + (1.0 - ONE_CYCLE_START) * done / peak
                } else {
                    ((1.0 - done) / (1.0 - peak)).clamp(0.0, 1.0)
                }
            }
        }
    }
}

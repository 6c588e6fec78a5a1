//! Learning-rate schedules: pure functions of the step.
//!
//! A [`Recipe`](crate::recipe::Recipe) has a [`Schedule`]; [`Schedule::factor`] is its factor at a
//! step.

use serde::{Deserialize, Serialize};

/// A schedule of the learning rate, as a factor on the recipe's rate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Schedule {
    /// `torch.optim.lr_scheduler.MultiStepLR`: multiplies the rate by `gamma` at each milestone.
    MultiStep {
        /// Milestones, epochs.
        milestones: Vec<u64>,
        /// Factor of each drop.
        gamma: f64,
    },
    /// The same with milestones as fractions of the run (He et al. 2015, section 4.2: at 32k and
    /// 48k of 64k iterations).
    MultiStepFraction {
        /// Milestones, fractions of all steps in [0, 1].
        milestones: Vec<f64>,
        /// Factor of each drop.
        gamma: f64,
    },
    /// A triangle: linear from a fifth of the peak rate up to it, then linear down to zero.
    OneCycle {
        /// Fraction of all steps at which the rate peaks.
        peak: f64,
    },
}

/// Warm-up: steps at a lower rate before the schedule starts (He et al. 2015, section 4.2).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct WarmUp {
    /// Number of steps.
    pub steps: u64,
    /// Factor on the recipe's rate during these steps.
    pub factor: f64,
}

/// The first rate of a one-cycle schedule, as a fraction of its peak.
const ONE_CYCLE_START: f64 = 0.2;

/// A limit, since every step reads all milestones.
const MOST_MILESTONES: usize = 1000;

impl Schedule {
    /// Checks that all numbers are in range.
    ///
    /// # Errors
    /// A message that names the number that is not.
    pub fn check(&self) -> Result<(), &'static str> {
        let fraction = |x: &f64| (0.0..=1.0).contains(x);
        let milestones = match self {
            Schedule::MultiStep { milestones, .. } => milestones.len(),
            Schedule::MultiStepFraction { milestones, .. } => milestones.len(),
            Schedule::OneCycle { .. } => 0,
        };
        if milestones > MOST_MILESTONES {
            return Err("the schedule has more than 1000 milestones");
        }
        match self {
            Schedule::MultiStep { gamma, .. } | Schedule::MultiStepFraction { gamma, .. }
                if !fraction(gamma) =>
            {
                Err("the schedule's gamma must be in [0, 1]")
            }
            Schedule::MultiStepFraction { milestones, .. } if !milestones.iter().all(fraction) => {
                Err("the schedule's milestones must be fractions of the run, in [0, 1]")
            }
            Schedule::OneCycle { peak } if !fraction(peak) => {
                Err("the schedule's peak must be a fraction of the run, in [0, 1]")
            }
            _ => Ok(()),
        }
    }

    /// The factor on the learning rate at a step, which counts from 0, of `total_steps`.
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
                    (1.0 - done).max(0.0) / (1.0 - peak).max(f64::MIN_POSITIVE)
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absolute_epochs_do_not_depend_on_the_length() {
        let s = Schedule::MultiStep { milestones: vec![100, 150], gamma: 0.1 };
        for total in [5, 20 * 10, 200 * 10] {
            assert_eq!(s.factor(0, 10, total), 1.0);
            assert_eq!(s.factor(999, 10, total), 1.0);
            assert_eq!(s.factor(1000, 10, total), 0.1);
            assert_eq!(s.factor(1499, 10, total), 0.1);
            assert!((s.factor(1500, 10, total) - 0.01).abs() < 1e-12);
        }
    }

    #[test]
    fn fractions_follow_the_length() {
        let s = Schedule::MultiStepFraction { milestones: vec![0.5, 0.75], gamma: 0.1 };
        for total in [64_000, 400] {
            assert_eq!(s.factor(total / 2 - 1, 391, total), 1.0);
            assert_eq!(s.factor(total / 2, 391, total), 0.1);
            assert_eq!(s.factor(total * 3 / 4 - 1, 391, total), 0.1);
            assert!((s.factor(total * 3 / 4, 391, total) - 0.01).abs() < 1e-12);
        }
    }

    #[test]
    fn one_cycle_rises_to_its_peak_and_falls_to_zero() {
        let s = Schedule::OneCycle { peak: 0.25 };
        let factors: Vec<f64> = (0..=100).map(|step| s.factor(step, 10, 100)).collect();
        assert_eq!(factors[0], ONE_CYCLE_START);
        assert_eq!(factors[25], 1.0);
        assert_eq!(factors[100], 0.0);
        assert!(factors[..=25].is_sorted() && factors[25..].is_sorted_by(|a, b| a >= b));
        assert!((factors[99] - 1.0 / 75.0).abs() < 1e-12, "the last step still learns");
    }

    #[test]
    fn impossible_numbers_are_refused() {
        let milestones = vec![0.5, 0.75];
        for x in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            let gamma = Schedule::MultiStep { milestones: vec![1], gamma: x }.check();
            assert!(gamma.unwrap_err().contains("gamma"), "{x}");
            let gamma = Schedule::MultiStepFraction { milestones: milestones.clone(), gamma: x };
            assert!(gamma.check().unwrap_err().contains("gamma"), "{x}");
            let late = Schedule::MultiStepFraction { milestones: vec![0.5, x], gamma: 0.1 };
            assert!(late.check().unwrap_err().contains("milestones"), "{x}");
            assert!(Schedule::OneCycle { peak: x }.check().unwrap_err().contains("peak"), "{x}");
        }
        for x in [0.0, 0.5, 1.0] {
            Schedule::MultiStepFraction { milestones: vec![x], gamma: x }.check().unwrap();
            Schedule::OneCycle { peak: x }.check().unwrap();
        }
    }

    #[test]
    fn a_run_of_nothing_divides_by_nothing() {
        for peak in [0.0, 1.0] {
            let factor = Schedule::OneCycle { peak }.factor(0, 0, 0);
            assert!(factor.is_finite(), "{peak}");
        }
    }
}

//! Learning-rate schedules: pure functions of the step.
//!
//! A [`Recipe`](crate::recipe::Recipe) has a [`Schedule`]; [`Schedule::factor`] is its factor at a
//! step.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

/// A schedule of the learning rate, as a factor on the recipe's rate.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Schedule {
    /// `torch.optim.lr_scheduler.MultiStepLR`: multiplies the rate by `gamma` at each milestone.
    MultiStep {
        /// Milestones, epochs.
        milestones: Vec<u64>,
        /// Factor of each drop.
        gamma: f64,
    },
    /// The same with milestones in iterations, as the paper states them.
    MultiStepIterations {
        /// Milestones, steps from the start of the run.
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
    /// A triangle: linear up to the peak rate, then linear down.
    OneCycle {
        /// Fraction of all steps at which the rate peaks.
        peak: f64,
        /// Factor of the first step.
        #[serde(default = "one_cycle_start", skip_serializing_if = "is_one_cycle_start")]
        start: f64,
        /// Factor at the end of the run.
        #[serde(default, skip_serializing_if = "is_zero")]
        end: f64,
    },
    /// A trapezoid: linear up from 0, constant, then linear down (warmup-stable-decay). With a
    /// warm-up, the first step has rate 0.
    Trapezoid {
        /// Fraction of all steps after which the rate is constant.
        warm_up: f64,
        /// Fraction of all steps from which on the rate falls.
        decay_from: f64,
        /// Factor at the end of the run.
        #[serde(default, skip_serializing_if = "is_zero")]
        end: f64,
    },
    /// Linear up from 0, then half a cosine down (`get_cosine_schedule_with_warmup` of transformers;
    /// after the warm-up, `torch.optim.lr_scheduler.CosineAnnealingLR`). With a warm-up, the first
    /// step has rate 0.
    Cosine {
        /// Fraction of all steps at which the rate peaks.
        warm_up: f64,
        /// Factor at the end of the run.
        #[serde(default, skip_serializing_if = "is_zero")]
        end: f64,
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

/// The usual first rate of a one-cycle schedule, as a fraction of its peak.
const ONE_CYCLE_START: f64 = 0.2;

fn one_cycle_start() -> f64 {
    ONE_CYCLE_START
}

fn is_one_cycle_start(start: &f64) -> bool {
    *start == ONE_CYCLE_START
}

fn is_zero(factor: &f64) -> bool {
    *factor == 0.0
}

/// A limit, since every step reads all milestones.
const MOST_MILESTONES: usize = 1000;

impl Schedule {
    /// A one-cycle schedule from a fifth of the rate up to it, and down to 0. `peak` is the fraction
    /// of all steps at which the rate peaks.
    pub fn one_cycle(peak: f64) -> Schedule {
        Schedule::OneCycle { peak, start: ONE_CYCLE_START, end: 0.0 }
    }

    /// Checks that all numbers are in range.
    ///
    /// # Errors
    /// A message that names the number that is not.
    pub fn check(&self) -> Result<(), String> {
        let (milestones, fractions) = match self {
            Schedule::MultiStep { milestones, gamma }
            | Schedule::MultiStepIterations { milestones, gamma } => {
                (milestones.len(), vec![("gamma", *gamma)])
            }
            Schedule::MultiStepFraction { milestones, gamma } => {
                let fractions = milestones.iter().map(|&milestone| ("milestones", milestone));
                (milestones.len(), fractions.chain([("gamma", *gamma)]).collect())
            }
            Schedule::OneCycle { peak, start, end } => {
                (0, vec![("peak", *peak), ("start", *start), ("end", *end)])
            }
            Schedule::Trapezoid { warm_up, decay_from, end } => {
                (0, vec![("warm_up", *warm_up), ("decay_from", *decay_from), ("end", *end)])
            }
            Schedule::Cosine { warm_up, end } => (0, vec![("warm_up", *warm_up), ("end", *end)]),
        };
        if milestones > MOST_MILESTONES {
            return Err("the schedule has more than 1000 milestones".to_owned());
        }
        if let Some((name, _)) = fractions.iter().find(|(_, x)| !(0.0..=1.0).contains(x)) {
            return Err(format!("the schedule's {name} must be in [0, 1]"));
        }
        match self {
            Schedule::Trapezoid { warm_up, decay_from, .. } if decay_from < warm_up => {
                Err("the schedule's decay_from must not be less than its warm_up".to_owned())
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
            Schedule::MultiStepIterations { milestones, gamma } => {
                gamma.powi(milestones.iter().filter(|&&m| step >= m).count() as i32)
            }
            Schedule::MultiStepFraction { milestones, gamma } => {
                gamma.powi(milestones.iter().filter(|&&m| done >= m).count() as i32)
            }
            Schedule::OneCycle { peak, start, end } => {
                if done < *peak {
                    start + (1.0 - start) * done / peak
                } else {
                    end + (1.0 - end) * left(done, *peak)
                }
            }
            Schedule::Trapezoid { warm_up, decay_from, end } => {
                if done < *warm_up {
                    done / warm_up
                } else if done < *decay_from {
                    1.0
                } else {
                    end + (1.0 - end) * left(done, *decay_from)
                }
            }
            Schedule::Cosine { warm_up, end } => {
                if done < *warm_up {
                    done / warm_up
                } else {
                    let angle = PI * (1.0 - left(done, *warm_up));
                    end + (1.0 - end) * 0.5 * (1.0 + angle.cos())
                }
            }
        }
    }
}

/// What is left at `done` of the part of a run from `from` on, as a fraction.
fn left(done: f64, from: f64) -> f64 {
    (1.0 - done).max(0.0) / (1.0 - from).max(f64::MIN_POSITIVE)
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

    /// The paper's: the rate falls at 32k and 48k iterations, however long an epoch is.
    #[test]
    fn iterations_depend_on_nothing_else() {
        let s = Schedule::MultiStepIterations { milestones: vec![32_000, 48_000], gamma: 0.1 };
        s.check().unwrap();
        for (an_epoch, total) in [(391, 64_000), (352, 64_000), (10, 100)] {
            let factor = |step| s.factor(step, an_epoch, total);
            assert_eq!(
                [factor(0), factor(31_999), factor(32_000), factor(47_999)],
                [1.0, 1.0, 0.1, 0.1]
            );
            assert!((factor(48_000) - 0.01).abs() < 1e-12);
        }
        let text = toml::to_string(&s).unwrap();
        assert!(text.starts_with("kind = \"multi_step_iterations\"\n"), "{text}");
        assert_eq!(toml::from_str::<Schedule>(&text).unwrap(), s);
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
        let s = Schedule::one_cycle(0.25);
        let factors: Vec<f64> = (0..=100).map(|step| s.factor(step, 10, 100)).collect();
        assert_eq!(factors[0], ONE_CYCLE_START);
        assert_eq!(factors[25], 1.0);
        assert_eq!(factors[100], 0.0);
        assert!(factors[..=25].is_sorted() && factors[25..].is_sorted_by(|a, b| a >= b));
        assert!((factors[99] - 1.0 / 75.0).abs() < 1e-12, "the last step still learns");
    }

    fn factors(s: &Schedule) -> Vec<f64> {
        s.check().unwrap();
        (0..=100).map(|step| s.factor(step, 10, 100)).collect()
    }

    fn assert_close(ours: f64, expected: f64) {
        assert!((ours - expected).abs() < 1e-12, "{ours} for {expected}");
    }

    #[test]
    fn a_triangle_of_other_ends() {
        // numpy.interp(steps, [0, 23, 100], [0.3, 1, 0.07]): airbench94's schedule.
        let factors = factors(&Schedule::OneCycle { peak: 0.23, start: 0.3, end: 0.07 });
        assert_close(factors[0], 0.3);
        assert_close(factors[10], 0.604_347_826_086_956_5);
        assert_close(factors[23], 1.0);
        assert_close(factors[60], 0.553_116_883_116_883_1);
        assert_close(factors[99], 0.082_077_922_077_922_08);
        assert_close(factors[100], 0.07);
        assert!(factors[..=23].is_sorted() && factors[23..].is_sorted_by(|a, b| a >= b));
    }

    #[test]
    fn a_trapezoid_rises_stays_and_falls() {
        for end in [0.0, 0.1] {
            let factors = factors(&Schedule::Trapezoid { warm_up: 0.1, decay_from: 0.6, end });
            for (step, &factor) in factors.iter().enumerate() {
                let step = step as f64;
                let expected =
                    (step / 10.0).min(1.0).min(end + (1.0 - end) * (100.0 - step) / 40.0);
                assert_close(factor, expected);
            }
            assert!(factors[99] > end, "the last step still learns");
        }
        // Without a warm-up and without a constant part.
        let factors = factors(&Schedule::Trapezoid { warm_up: 0.0, decay_from: 0.0, end: 0.0 });
        assert_eq!((factors[0], factors[50], factors[100]), (1.0, 0.5, 0.0));
    }

    #[test]
    fn a_cosine_is_pytorchs_after_its_warm_up() {
        // CosineAnnealingLR(SGD(..., lr=1), T_max=80, eta_min=0.05), at steps 0, 20, 40, 60 and 79.
        let expected = [
            1.0,
            0.860_875_721_063_610_1,
            0.525,
            0.189_124_278_936_390_06,
            0.050_366_207_785_656_63,
        ];
        let with_warm_up = factors(&Schedule::Cosine { warm_up: 0.2, end: 0.05 });
        for (step, expected) in [0, 20, 40, 60, 79].into_iter().zip(expected) {
            assert_close(with_warm_up[20 + step], expected);
        }
        (0..20).for_each(|step| assert_close(with_warm_up[step], step as f64 / 20.0));
        assert!(with_warm_up[20..].is_sorted_by(|a, b| a >= b));
        let plain = factors(&Schedule::Cosine { warm_up: 0.0, end: 0.0 });
        assert_eq!(plain[0], 1.0);
        assert!(plain[99] > 0.0 && plain[100] == 0.0 && plain.is_sorted_by(|a, b| a >= b));
    }

    #[test]
    fn defaults_are_not_written() {
        let write = |s: &Schedule| toml::to_string(s).unwrap();
        assert_eq!(write(&Schedule::one_cycle(0.2)), "kind = \"one_cycle\"\npeak = 0.2\n");
        for s in [
            Schedule::one_cycle(0.2),
            Schedule::OneCycle { peak: 0.2, start: 0.0, end: 0.1 },
            Schedule::Trapezoid { warm_up: 0.1, decay_from: 0.6, end: 0.0 },
            Schedule::Cosine { warm_up: 0.1, end: 0.05 },
        ] {
            assert_eq!(toml::from_str::<Schedule>(&write(&s)).unwrap(), s);
        }
        let error = toml::from_str::<Schedule>("kind = \"cosine\"\nwarm_up = 0.1\nends = 0.1");
        assert!(error.unwrap_err().to_string().contains("ends"));
    }

    #[test]
    fn impossible_numbers_are_refused() {
        let milestones = vec![0.5, 0.75];
        for x in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
            let gamma = Schedule::MultiStep { milestones: vec![1], gamma: x }.check();
            assert!(gamma.unwrap_err().contains("gamma"), "{x}");
            let gamma = Schedule::MultiStepIterations { milestones: vec![1], gamma: x }.check();
            assert!(gamma.unwrap_err().contains("gamma"), "{x}");
            let gamma = Schedule::MultiStepFraction { milestones: milestones.clone(), gamma: x };
            assert!(gamma.check().unwrap_err().contains("gamma"), "{x}");
            let late = Schedule::MultiStepFraction { milestones: vec![0.5, x], gamma: 0.1 };
            assert!(late.check().unwrap_err().contains("milestones"), "{x}");
            let refused = |s: Schedule, name| {
                assert!(s.check().unwrap_err().contains(name), "{s:?}");
            };
            refused(Schedule::one_cycle(x), "peak");
            refused(Schedule::OneCycle { peak: 0.5, start: x, end: 0.0 }, "start");
            refused(Schedule::OneCycle { peak: 0.5, start: 0.0, end: x }, "end");
            refused(Schedule::Trapezoid { warm_up: x, decay_from: 0.5, end: 0.0 }, "warm_up");
            refused(Schedule::Trapezoid { warm_up: 0.0, decay_from: x, end: 0.0 }, "decay_from");
            refused(Schedule::Trapezoid { warm_up: 0.0, decay_from: 0.5, end: x }, "end");
            refused(Schedule::Cosine { warm_up: x, end: 0.0 }, "warm_up");
            refused(Schedule::Cosine { warm_up: 0.0, end: x }, "end");
        }
        let early = Schedule::Trapezoid { warm_up: 0.5, decay_from: 0.4, end: 0.0 };
        assert!(early.check().unwrap_err().contains("decay_from"));
        for x in [0.0, 0.5, 1.0] {
            Schedule::MultiStepFraction { milestones: vec![x], gamma: x }.check().unwrap();
            Schedule::one_cycle(x).check().unwrap();
        }
    }

    #[test]
    fn a_run_of_nothing_divides_by_nothing() {
        for peak in [0.0, 1.0] {
            for s in [
                Schedule::one_cycle(peak),
                Schedule::Trapezoid { warm_up: peak, decay_from: peak, end: 0.0 },
                Schedule::Cosine { warm_up: peak, end: 0.0 },
            ] {
                assert!(s.factor(0, 0, 0).is_finite(), "{s:?}");
            }
        }
    }
}

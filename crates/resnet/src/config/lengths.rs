//! The length of a run, which `train --resume RUN --epochs N` changes.

use serde::{Deserialize, Serialize};

use super::TrainConfig;

/// A length that a run had before it was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EarlierLength {
    /// The first step after it was changed.
    pub until_step: u64,
    /// Steps of the whole run, as planned until then.
    pub total_steps: u64,
}

/// A limit, since every step reads all of them.
const MOST: usize = 1000;

impl TrainConfig {
    /// The learning rate of a step, which counts from 0: that of the recipe for a run of the length that
    /// was planned at that step.
    pub fn lr_at(&self, step: u64) -> f32 {
        self.recipe.lr_at(step, self.steps_per_epoch(), self.length_at(step))
    }

    /// Steps of the whole run, as planned at a step.
    fn length_at(&self, step: u64) -> u64 {
        let earlier = self.earlier_lengths.iter().find(|earlier| step < earlier.until_step);
        earlier.map_or(self.total_steps, |earlier| earlier.total_steps)
    }

    /// Changes the length from a step on. The learning rates of the steps before it stay.
    pub(crate) fn change_length(&mut self, step: u64, total_steps: u64) {
        let before = step.checked_sub(1).map(|last| self.length_at(last));
        self.earlier_lengths.retain(|earlier| earlier.until_step < step);
        if let Some(before) = before.filter(|&before| before != total_steps) {
            self.earlier_lengths.push(EarlierLength { until_step: step, total_steps: before });
        }
        self.total_steps = total_steps;
    }

    /// Checks the earlier lengths.
    pub(super) fn check_lengths(&self) -> Result<(), &'static str> {
        let earlier = &self.earlier_lengths;
        if earlier.len() > MOST {
            return Err("earlier_lengths has more than 1000 entries");
        }
        if !earlier.is_sorted_by(|a, b| a.until_step < b.until_step) {
            return Err("earlier_lengths must be in the order of until_step");
        }
        if earlier.iter().any(|earlier| earlier.total_steps == 0) {
            return Err("total_steps of earlier_lengths must be more than 0");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::tests::sample;

    fn earlier(config: &TrainConfig) -> Vec<(u64, u64)> {
        config.earlier_lengths.iter().map(|e| (e.until_step, e.total_steps)).collect()
    }

    #[test]
    fn rates_before_a_change_stay_and_those_after_it_are_of_the_new_length() {
        let short = TrainConfig { total_steps: 9, ..sample() };
        let long = TrainConfig { total_steps: 18, ..sample() };
        let mut config = short.clone();
        config.change_length(9, 18);
        assert_eq!((config.total_steps, earlier(&config)), (18, vec![(9, 9)]));
        for step in 0..18 {
            let expected = if step < 9 { &short } else { &long };
            assert_eq!(config.lr_at(step), expected.lr_at(step), "{step}");
        }
        // Changed again before another step, and back.
        config.change_length(9, 12);
        assert_eq!((config.total_steps, earlier(&config)), (12, vec![(9, 9)]));
        config.change_length(9, 9);
        assert_eq!(config, short);
        // Changed later, and then from a checkpoint in the middle.
        config.change_length(6, 12);
        config.change_length(10, 15);
        assert_eq!(earlier(&config), [(6, 9), (10, 12)]);
        config.change_length(8, 18);
        assert_eq!(earlier(&config), [(6, 9), (8, 12)]);
        assert_eq!(config.lr_at(7), TrainConfig { total_steps: 12, ..sample() }.lr_at(7));
        config.change_length(0, 6);
        assert_eq!((config.total_steps, earlier(&config)), (6, vec![]));
    }

    #[test]
    fn impossible_lengths_are_refused() {
        let with = |list: &[(u64, u64)]| {
            let entry = |&(until_step, total_steps)| EarlierLength { until_step, total_steps };
            TrainConfig { earlier_lengths: list.iter().map(entry).collect(), ..sample() }.check()
        };
        with(&[]).unwrap();
        with(&[(3, 5), (4, 5)]).unwrap();
        for list in [&[(4, 5), (3, 5)][..], &[(3, 5), (3, 5)], &[(3, 0)], &[(3, 5); 1001]] {
            assert!(with(list).unwrap_err().contains("earlier_lengths"));
        }
    }
}

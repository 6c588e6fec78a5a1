//! The lengths of a run, which `train --resume RUN --epochs N` changes.

use serde::{Deserialize, Serialize};

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

/// Steps of the whole run, as planned at a step.
pub(super) fn length_at(earlier: &[EarlierLength], step: u64) -> Option<u64> {
    earlier.iter().find(|earlier| step < earlier.until_step).map(|earlier| earlier.total_steps)
}

/// Checks the lengths of a file.
pub(super) fn check(earlier: &[EarlierLength]) -> Result<(), &'static str> {
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

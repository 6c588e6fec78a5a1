//! The place of a run among others.

/// The place of a run among others that are trained one after another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Position {
    /// The run, from 1.
    pub(crate) run: usize,
    /// All runs.
    pub(crate) runs: usize,
    /// How many times as long as this run all later ones will take, about.
    pub(crate) later: f64,
}

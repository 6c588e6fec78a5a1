//! One HTML page on one run or several: curves, figures, pictures, and how to get them again.
//!
//! The page needs nothing but itself: its policy forbids every request, its scripts and styles lie
//! in it, and all that comes from files is written as text.

mod charts;
mod data;
mod escape;
mod figures;
mod page;
mod results;
mod setup;
mod summary;

pub use data::{Bin, Epoch, Evaluation, Example, Report, Run, State};
pub use page::{MAX_BYTES, html};

#[cfg(test)]
mod tests;

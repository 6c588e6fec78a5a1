//! An HTML report of one run or several: training curves, metrics, pictures, and the commands that
//! reproduce the runs.
//!
//! The page is self-contained: scripts and styles are inline, its content security policy forbids
//! every request, and all untrusted text is escaped.

mod charts;
mod data;
mod escape;
mod format;
mod page;
mod photos;
mod results;
mod setup;
mod summary;

pub use data::{Bin, ChosenBy, Epoch, Evaluation, Example, Part, Report, Run, Scores, State};
pub use page::{MAX_BYTES, html};
pub use photos::{PhotoPage, PhotoSection, Thumbnail, photos};

#[cfg(test)]
mod tests;

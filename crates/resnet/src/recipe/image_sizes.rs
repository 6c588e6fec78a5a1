//! Progressive image sizes: the first part of a run is trained on smaller images.

use serde::{Deserialize, Serialize};

use crate::graph::Graph;

/// A part of a run, and the size of its training images (`[[recipe.image_sizes]]`).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SizePhase {
    /// Fraction of all steps at which it ends.
    pub until: f64,
    /// Rows and columns of its images, to which they are shrunk after their augmentation.
    pub size: usize,
}

/// A limit, since every step reads all of them.
const MOST: usize = 1000;

/// The size at a step of a run; none after the last phase.
pub(super) fn size_at(phases: &[SizePhase], step: u64, total_steps: u64) -> Option<usize> {
    let done = step as f64 / total_steps.max(1) as f64;
    phases.iter().find(|phase| done < phase.until).map(|phase| phase.size)
}

/// Whether a network of this graph can train on images of a size.
pub(super) fn fits(graph: &Graph, size: usize) -> bool {
    graph.shapes(size, size).is_ok()
}

/// Checks that a network of this graph can train on the images of all phases.
pub(super) fn check_fit(phases: &[SizePhase], graph: &Graph) -> Result<(), String> {
    match phases.iter().find(|phase| !fits(graph, phase.size)) {
        None => Ok(()),
        Some(SizePhase { size, .. }) => Err(format!(
            "image_sizes has images of {size}x{size}, which are too small for the architecture: leave them out of \
             [[recipe.image_sizes]] (--config), or train on larger images (--image-size)"
        )),
    }
}

/// Checks the phases of a recipe for images of a size.
pub(super) fn check(phases: &[SizePhase], image_size: usize) -> Result<(), &'static str> {
    if phases.len() > MOST {
        return Err("image_sizes has more than 1000 entries");
    }
    if !phases.iter().all(|phase| (0.0..=1.0).contains(&phase.until)) {
        return Err("until of image_sizes must be a fraction of the run, in [0, 1]");
    }
    if !phases.is_sorted_by(|a, b| a.until < b.until) {
        return Err("image_sizes must be in the order of until");
    }
    if !phases.iter().all(|phase| (1..=image_size).contains(&phase.size)) {
        return Err("size of image_sizes must be at least 1 and at most that of the data's images");
    }
    Ok(())
}

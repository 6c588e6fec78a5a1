//! Places in buffers.

use std::ops::Range;

/// A part of a buffer, in elements.
pub type Span = Range<usize>;

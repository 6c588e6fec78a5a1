//! Ranges of buffers.

use std::ops::Range;

/// A range of a buffer, in elements.
pub type Span = Range<usize>;

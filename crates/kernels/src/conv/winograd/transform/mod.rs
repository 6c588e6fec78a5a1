//! The transforms of tiles and windows.

pub(super) mod strided;
#[cfg(test)]
pub(super) mod testing;
mod transform1d;
pub(super) mod unit_stride;

pub(super) use transform1d::{Factor, Half, Line, Window};

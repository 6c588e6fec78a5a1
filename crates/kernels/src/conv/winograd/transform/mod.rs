//! The transforms of tiles and windows (Lavin and Gray 2016): one-dimensional ones, applied to
//! columns and then to rows.

pub(super) mod strided;
#[cfg(test)]
pub(super) mod testing;
mod transform1d;
pub(super) mod unit_stride;

pub(super) use transform1d::{HalfTransformed, OperandTransform, Transform1d, UnscaledTransform};

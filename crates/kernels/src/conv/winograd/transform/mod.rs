//! The transforms of tiles and windows.

mod line;
pub(super) mod plain;
pub(super) mod strided;
#[cfg(test)]
pub(super) mod testing;

pub(super) use line::{Factor, Half, Line, Window};

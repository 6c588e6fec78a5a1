//! Arithmetic of residual networks on slices.

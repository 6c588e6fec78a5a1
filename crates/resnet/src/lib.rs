//! Residual networks.
#![forbid(unsafe_code)]

//! The flag that stops a run.

use std::sync::atomic::AtomicUsize;

/// Stops a run after the current batch, or before the first one, when it is not 0; by convention it is the signal's number.
/// `signal_hook::flag::register_usize` sets it.
pub type StopFlag = AtomicUsize;

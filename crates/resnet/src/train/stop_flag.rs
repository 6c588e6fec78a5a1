//! How a run is asked to stop.

use std::sync::atomic::AtomicUsize;

/// Asks a run to stop: anything but 0 (the signal's number, by custom) stops it after the batch
/// under way. `signal_hook::flag::register_usize` sets one.
pub type StopFlag = AtomicUsize;

//! What the steps of a fetch share: whom to tell, when to stop, and how to fail.

use std::sync::atomic::{AtomicBool, Ordering};

use super::event::{FetchEvent, Stage};
use crate::DataError;

/// Passes progress on, and the wish to stop back.
pub(super) struct Monitor<'a> {
    pub(super) events: &'a mut dyn FnMut(FetchEvent),
    pub(super) stop: &'a AtomicBool,
}

impl Monitor<'_> {
    pub(super) fn progress(
        &mut self,
        stage: Stage,
        done: u64,
        total: Option<u64>,
    ) -> Result<(), DataError> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(DataError::Stopped);
        }
        (self.events)(FetchEvent::Progress { stage, done, total });
        Ok(())
    }
}

/// Why a source gave nothing.
#[derive(Debug)]
pub(super) enum Failure {
    /// The source is at fault: another one may do.
    Source(String),
    /// This side is at fault, or was told to stop: no source would do.
    Here(DataError),
}

impl Failure {
    /// Says which source is at fault.
    pub(super) fn of(self, source: &str) -> Self {
        match self {
            Failure::Source(reason) => Failure::Source(format!("{source}: {reason}")),
            here => here,
        }
    }
}

impl From<DataError> for Failure {
    fn from(error: DataError) -> Self {
        Failure::Here(error)
    }
}

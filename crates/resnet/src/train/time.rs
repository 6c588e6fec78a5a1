//! Times in files.

use std::{fmt, time::SystemTime};

use serde::{Deserialize, Serialize};

/// A time in RFC 3339, in seconds: `2026-11-24T15:11:05Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Time(SystemTime);

impl Time {
    pub(super) fn now() -> Time {
        Time(SystemTime::now())
    }

    /// Seconds since an earlier time.
    pub(super) fn since(self, earlier: Time) -> Option<f64> {
        let time = self.0.duration_since(earlier.0).ok()?;
        Some(time.as_secs_f64())
    }
}

impl TryFrom<String> for Time {
    type Error = humantime::TimestampError;

    fn try_from(text: String) -> Result<Time, Self::Error> {
        humantime::parse_rfc3339(&text).map(Time)
    }
}

impl From<Time> for String {
    fn from(time: Time) -> String {
        time.to_string()
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_rfc3339_seconds(self.0).fmt(f)
    }
}

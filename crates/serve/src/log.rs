//! The log: lines of JSON.

use std::{sync::Arc, time::SystemTime};

use serde_json::{Value, json};

/// Takes the lines of the log. A line is a JSON object with `time` and `event`; it never holds an image, nor
/// the name of one.
#[derive(Clone)]
pub struct Log(Arc<dyn Fn(&str) + Send + Sync>);

impl Log {
    /// A log that passes each line to `take`.
    pub fn new(take: impl Fn(&str) + Send + Sync + 'static) -> Log {
        Log(Arc::new(take))
    }

    /// Writes a line: the fields of a JSON object, under the time and the event's name.
    pub fn write(&self, event: &str, mut fields: Value) {
        fields["time"] = json!(humantime::format_rfc3339_millis(SystemTime::now()).to_string());
        fields["event"] = json!(event);
        (self.0)(&fields.to_string());
    }
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Log")
    }
}

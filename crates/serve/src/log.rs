//! The log: lines of JSON.

use std::{sync::Arc, time::SystemTime};

use serde_json::{Value, json};

/// Events that are errors.
const ERRORS: [&str; 3] = ["accept_failed", "failed", "load_failed"];

/// Takes the lines of the log. A line is a JSON object with `time` and `event`; it never holds an image, nor
/// the name of one.
#[derive(Clone)]
pub struct Log {
    take: Arc<dyn Fn(&str) + Send + Sync>,
    errors_only: bool,
}

impl Log {
    /// A log that passes each line to `take`.
    pub fn new(take: impl Fn(&str) + Send + Sync + 'static) -> Log {
        Log { take: Arc::new(take), errors_only: false }
    }

    /// A log with the lines of errors alone.
    pub fn errors_only(self) -> Log {
        Log { errors_only: true, ..self }
    }

    /// Writes a line: the fields of a JSON object, under the time and the event's name.
    pub fn write(&self, event: &str, mut fields: Value) {
        if self.errors_only && !ERRORS.contains(&event) {
            return;
        }
        fields["time"] = json!(humantime::format_rfc3339_millis(SystemTime::now()).to_string());
        fields["event"] = json!(event);
        (self.take)(&fields.to_string());
    }
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Log")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn a_quiet_log_has_the_errors() {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let taken = Arc::clone(&lines);
        let log = Log::new(move |line| taken.lock().unwrap().push(line.to_owned())).errors_only();
        for event in ["note", "request", "load_failed", "failed", "accept_failed", "ended"] {
            log.write(event, json!({}));
        }
        let lines = lines.lock().unwrap();
        let event = |line: &String| serde_json::from_str::<Value>(line).unwrap()["event"].clone();
        let events: Vec<Value> = lines.iter().map(event).collect();
        assert_eq!(events, ["load_failed", "failed", "accept_failed"]);
    }
}

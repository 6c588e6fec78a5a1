//! The log: lines of JSON.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
        mpsc::sync_channel,
    },
    thread,
    time::{Duration, Instant, SystemTime},
};

use serde_json::{Value, json};

/// Events that are errors.
const ERRORS: [&str; 5] = ["accept_failed", "failed", "lines_dropped", "load_failed", "panic"];
/// Lines that wait to be written, at most: further ones are dropped.
const WAITING: usize = 1024;
/// How long the end waits for lines that nobody reads.
const FLUSH_TIME: Duration = Duration::from_secs(2);

/// Takes the lines of the log. A line is a JSON object with `time` and `event`; it never holds an image, nor
/// the name of one.
#[derive(Clone)]
pub struct Log {
    take: Arc<dyn Fn(&str) + Send + Sync>,
    errors_only: bool,
    /// Lines that wait to be written.
    waiting: Arc<AtomicUsize>,
    /// Lines that were dropped.
    dropped: Arc<AtomicU64>,
}

impl Log {
    /// A log that passes each line to `take`.
    pub fn new(take: impl Fn(&str) + Send + Sync + 'static) -> Log {
        Log {
            take: Arc::new(take),
            errors_only: false,
            waiting: Arc::default(),
            dropped: Arc::default(),
        }
    }

    /// A log that passes each line to `take` on a thread of its own, so that nothing waits for who reads it.
    /// While too many lines wait, further ones are dropped: a line says how many once the others are written, and at the
    /// latest when as many were dropped as can wait.
    ///
    /// # Errors
    /// If the system refuses the thread.
    pub fn on_a_thread(take: impl Fn(&str) + Send + 'static) -> io::Result<Log> {
        let (sender, lines) = sync_channel::<String>(WAITING);
        let (waiting, dropped) = (Arc::<AtomicUsize>::default(), Arc::<AtomicU64>::default());
        let (waits, drops) = (Arc::clone(&waiting), Arc::clone(&dropped));
        thread::Builder::new().name("log".to_owned()).spawn(move || {
            let mut said = 0;
            // Until the log is dropped.
            for line in lines {
                take(&line);
                let all = drops.load(Ordering::SeqCst);
                let (unsaid, is_last) = (all - said, waits.load(Ordering::SeqCst) == 1);
                if unsaid >= WAITING as u64 || (is_last && unsaid > 0) {
                    take(&text("lines_dropped", json!({ "lines": unsaid })));
                    said = all;
                }
                waits.fetch_sub(1, Ordering::SeqCst);
            }
        })?;
        let (waits, drops) = (Arc::clone(&waiting), Arc::clone(&dropped));
        let send = move |line: &str| {
            waits.fetch_add(1, Ordering::SeqCst);
            if sender.try_send(line.to_owned()).is_err() {
                drops.fetch_add(1, Ordering::SeqCst);
                waits.fetch_sub(1, Ordering::SeqCst);
            }
        };
        Ok(Log { waiting, dropped, ..Log::new(send) })
    }

    /// A log with the lines of errors alone.
    pub fn errors_only(self) -> Log {
        Log { errors_only: true, ..self }
    }

    /// Writes a line: the fields of a JSON object, under the time and the event's name.
    pub fn write(&self, event: &str, fields: Value) {
        if self.errors_only && !ERRORS.contains(&event) {
            return;
        }
        (self.take)(&text(event, fields));
    }

    /// Waits until all lines are written, but not for ever.
    pub fn flush(&self) {
        let until = Instant::now() + FLUSH_TIME;
        while self.waiting.load(Ordering::SeqCst) > 0 && Instant::now() < until {
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// How many lines were dropped.
    pub(crate) fn dropped(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.dropped)
    }
}

/// A line, without its end.
fn text(event: &str, mut fields: Value) -> String {
    fields["time"] = json!(humantime::format_rfc3339_millis(SystemTime::now()).to_string());
    fields["event"] = json!(event);
    fields.to_string()
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Log")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Mutex, mpsc::channel};

    use super::*;

    fn event(line: &str) -> Value {
        serde_json::from_str::<Value>(line).unwrap()["event"].clone()
    }

    #[test]
    fn a_quiet_log_has_the_errors() {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let taken = Arc::clone(&lines);
        let log = Log::new(move |line| taken.lock().unwrap().push(line.to_owned())).errors_only();
        for event in ["note", "request", "load_failed", "failed", "panic", "accept_failed", "ended"]
        {
            log.write(event, json!({}));
        }
        let events: Vec<Value> = lines.lock().unwrap().iter().map(|line| event(line)).collect();
        assert_eq!(events, ["load_failed", "failed", "panic", "accept_failed"]);
    }

    #[test]
    fn lines_that_nobody_reads_are_dropped_and_counted() {
        let (read, reads) = channel::<()>();
        let (write, lines) = channel();
        let log = Log::on_a_thread(move |line| {
            // Nothing comes: it waits until the test drops the other end.
            let _ = reads.recv();
            write.send(line.to_owned()).unwrap();
        });
        let log = log.unwrap();
        let count = WAITING + 100;
        for _ in 0..count {
            log.write("request", json!({}));
        }
        let dropped = log.dropped.load(Ordering::SeqCst);
        assert!((99..=100).contains(&dropped), "the thread holds one at most: {dropped}");
        drop(read);
        log.flush();
        log.write("ended", json!({}));
        log.flush();
        let lines: Vec<String> = lines.try_iter().collect();
        assert_eq!(lines.len(), count - dropped as usize + 2);
        let note: Value = serde_json::from_str(&lines[lines.len() - 2]).unwrap();
        assert_eq!((&note["event"], &note["lines"]), (&"lines_dropped".into(), &dropped.into()));
        assert_eq!(event(&lines[lines.len() - 1]), "ended");
    }

    #[test]
    fn who_reads_slowly_reads_that_lines_are_dropped() {
        let (read, reads) = channel();
        let (write, lines) = channel();
        let log = Log::on_a_thread(move |line| {
            let _ = reads.recv();
            // The test may have ended.
            let _ = write.send(line.to_owned());
        });
        let log = log.unwrap();
        for _ in 0..=2 * WAITING {
            log.write("request", json!({}));
        }
        let dropped = log.dropped.load(Ordering::SeqCst);
        (0..2).for_each(|_| read.send(()).unwrap());
        assert_eq!(event(&lines.recv().unwrap()), "request");
        let note: Value = serde_json::from_str(&lines.recv().unwrap()).unwrap();
        assert_eq!((&note["event"], &note["lines"]), (&"lines_dropped".into(), &dropped.into()));
    }
}

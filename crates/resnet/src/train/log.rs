//! The text log of a run (`log.txt`).

use std::{fs::File, io::Write, path::Path};

use resnet_formats::{Shown, brief, open_own, printable, quoted_path};

use super::{Event, Machine};
use crate::{
    metrics::MetricValue,
    run::{LOG, RunError},
};

/// Batches per line.
const EVERY: u64 = 100;

impl Event {
    /// The event as one line of text, if it has one. Every hundredth batch of an epoch has a line,
    /// as in the walk-through; progress of evaluation has none.
    pub fn log_line(&self) -> Option<String> {
        self.text().map(|line| printable(&line).to_string())
    }

    fn text(&self) -> Option<String> {
        match self {
            Event::Started(s) => {
                let verb = if s.step == 0 { "training" } else { "resuming" };
                let mut line = format!(
                    "{verb} {} ({} parameters) on {}: {} images",
                    s.arch,
                    s.parameters,
                    brief(&s.data),
                    s.train_images
                );
                if s.test_images > 0 {
                    line += &format!(", {} to test on", s.test_images);
                }
                if s.validation_images > 0 {
                    line += &format!(", {} for validation", s.validation_images);
                }
                line += &format!(
                    "; recipe {}, {} epochs of {} batches of {}, {} steps",
                    brief(&s.recipe),
                    s.epochs,
                    s.steps_per_epoch,
                    s.batch_size,
                    s.total_steps
                );
                if s.step > 0 {
                    line += &format!(", {} of them done", s.step);
                }
                let Machine { dtype, dtype_reason, .. } = &s.machine;
                let (device, workers) = (s.machine.device(), s.machine.workers());
                Some(line + &format!("; {workers}, {}; {dtype}: {dtype_reason}", brief(device)))
            }
            Event::Note(note) => Some(format!("note: {note}")),
            Event::DeviceChanged { before, now } => {
                let known = brief(before);
                let mut line = format!(
                    "warning: this run used {known} so far and resumes with {now}: its results will \
                     not be bit-identical"
                );
                // The name of a GPU has more than one word.
                if ![before, now].iter().any(|name| name.contains(' ')) {
                    line += &format!("; RESNET_ISA={known} keeps them so, if this machine has it");
                }
                Some(line)
            }
            Event::Batch(b) if b.batch % EVERY == 0 => Some(format!(
                "epoch {}/{} batch {}/{}: loss {:.4}, accuracy {:.2}%, rate {}, {:.0} images/s",
                b.epoch,
                b.epochs,
                b.batch,
                b.batches,
                b.batch_loss,
                b.batch_accuracy,
                rate(b.learning_rate),
                b.images_per_second
            )),
            Event::Batch(_) | Event::Evaluating { .. } => None,
            Event::EpochEnd { metrics: m, .. } => {
                let mut line = format!(
                    "epoch {}: train loss {:.4}, accuracy {:.2}%",
                    m.epoch, m.train_loss, m.train_accuracy
                );
                if let (Some(loss), Some(accuracy)) = (m.test_loss, m.test_accuracy) {
                    line += &format!("; test loss {loss:.4}, accuracy {accuracy:.2}%");
                }
                if let (Some(loss), Some(accuracy)) = (m.validation_loss, m.validation_accuracy) {
                    line += &format!("; validation loss {loss:.4}, accuracy {accuracy:.2}%");
                }
                if let Some(MetricValue { metric, value }) = m.chosen_by {
                    line += &format!(", {metric} {value:.2}%");
                }
                line += &format!("; {:.1} s, {:.0} images/s", m.seconds, m.images_per_second);
                if let Some(waited) = m.communication_seconds {
                    line += &format!(", {waited:.1} s of it waiting for other processes");
                }
                Some(line)
            }
            Event::Saved { path } => Some(format!("saved {}", path.shown())),
            Event::Stopped { resume, epoch, batch } => Some(format!(
                "stopped in epoch {epoch} after batch {batch}; resume with --resume {}",
                quoted_path(resume)
            )),
            Event::Finished { last, .. } => {
                let mut line = last.held_out().map_or("done".to_owned(), |(name, _, accuracy)| {
                    format!("done: {name} accuracy {accuracy:.2}%")
                });
                if let Some(best) = self.best_line() {
                    line += &format!("; {best}");
                }
                Some(line)
            }
        }
    }

    /// The best epoch of a complete run, and what it was chosen by, as one line of text.
    pub fn best_line(&self) -> Option<String> {
        let Event::Finished { best: Some(best), .. } = self else { return None };
        let mut line = format!("best: epoch {}", best.epoch);
        let chosen_by = best.chosen_by.map_or(String::new(), |MetricValue { metric, value }| {
            format!(", {metric} {value:.2}%")
        });
        if let Some(accuracy) = best.validation_accuracy {
            line += &format!(", validation accuracy {accuracy:.2}%{chosen_by}");
        }
        if let Some(accuracy) = best.test_accuracy {
            line += &format!(", test accuracy {accuracy:.2}%");
        }
        if best.validation_accuracy.is_none() {
            line += &chosen_by;
        }
        if best.validation_accuracy.is_none() {
            line += ", chosen on the test images themselves";
        }
        Some(line)
    }
}

/// Appends events to a run's `log.txt`.
#[derive(Debug)]
pub struct Log {
    file: File,
}

impl Log {
    /// Opens `log.txt` of a run folder at its end.
    ///
    /// # Errors
    /// If the file cannot be opened, or is a link or not a regular file.
    pub fn open(folder: &Path) -> Result<Log, RunError> {
        let path = folder.join(LOG);
        let file = open_own(&path, File::options().append(true).create(true));
        Ok(Log { file: file.map_err(RunError::io("write", &path))? })
    }

    /// Writes an event's line, if it has one. Errors are ignored: the next checkpoint reports a
    /// full disk.
    pub fn write(&mut self, event: &Event) {
        if let Some(line) = event.log_line() {
            let _ = self.file.write_all(format!("{line}\n").as_bytes());
        }
    }
}

/// A learning rate, also a small one.
fn rate(lr: f32) -> String {
    if lr == 0.0 || lr >= 0.01 { format!("{lr:.4}") } else { format!("{lr:.3e}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::train::event::tests::{batch, started};

    #[test]
    fn every_hundredth_batch_has_a_line_with_its_own_metrics() {
        let lines = (1..=250).filter(|&i| batch(i).log_line().is_some());
        assert_eq!(lines.collect::<Vec<_>>(), [100, 200]);
        assert_eq!(
            batch(100).log_line().unwrap(),
            "epoch 1/2 batch 100/250: loss 1.5000, accuracy 50.00%, rate 0.1000, 280 images/s"
        );
    }

    #[test]
    fn a_resumed_run_has_its_own_line() {
        assert!(started(0).log_line().unwrap().starts_with("training resnet8 (78042 parameters)"));
        let line = started(100).log_line().unwrap();
        assert!(line.starts_with("resuming resnet8"), "{line}");
        assert!(
            line.contains("500 steps, 100 of them done; 2 threads, portable; fp32: "),
            "{line}"
        );
    }

    #[test]
    fn the_log_is_appended_to() {
        let dir = tempfile::tempdir().unwrap();
        for event in [batch(100), batch(101), Event::Saved { path: "x".into() }] {
            Log::open(dir.path()).unwrap().write(&event);
        }
        let text = std::fs::read_to_string(dir.path().join(LOG)).unwrap();
        assert_eq!(text.lines().count(), 2);
        assert!(text.ends_with("saved x\n"), "{text}");
    }
}

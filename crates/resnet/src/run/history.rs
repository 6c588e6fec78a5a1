//! The epochs that a run has recorded.

use std::{io, path::Path};

use resnet_formats::{brief, read_text};

use super::{METRICS, RunError};
use crate::metrics::EpochMetrics;

/// Far above the size of any run's metrics.
const MAX_BYTES: u64 = 256 << 20;

/// The lines of a run folder's `metrics.jsonl`; none if the file does not exist yet.
///
/// # Errors
/// If it cannot be read, or a line is damaged or out of order.
pub fn history(folder: &Path) -> Result<Vec<EpochMetrics>, RunError> {
    let path = folder.join(METRICS);
    let text = match read_text(&path, MAX_BYTES) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(RunError::io("read", &path)(error)),
    };
    let mut epochs: Vec<EpochMetrics> = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let damaged = |message: &str| {
            let message = format!("line {} is damaged: {}", index + 1, brief(message));
            RunError::io("read", &path)(io::Error::other(message))
        };
        let epoch: EpochMetrics =
            serde_json::from_str(line).map_err(|error| damaged(&error.to_string()))?;
        if epochs.last().is_some_and(|last| last.epoch >= epoch.epoch) {
            return Err(damaged("its epoch comes after a later one"));
        }
        epochs.push(epoch);
    }
    Ok(epochs)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn damage_is_named_by_its_line() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(history(dir.path()).unwrap(), Vec::new());
        let line = "{\"epoch\":2,\"step\":1,\"train_loss\":1.0,\"train_accuracy\":50.0,\
                    \"learning_rate\":0.1,\"seconds\":1.0,\"images_per_second\":10.0}\n";
        fs::write(dir.path().join(METRICS), line).unwrap();
        assert_eq!(history(dir.path()).unwrap()[0].epoch, 2);
        for second in [line, "{", "{\"epoch\":3}"] {
            fs::write(dir.path().join(METRICS), format!("{line}{second}")).unwrap();
            let error = history(dir.path()).unwrap_err().to_string();
            assert!(error.contains("metrics.jsonl: line 2 is damaged"), "{error}");
        }
    }
}

//! Writes TensorBoard's event files: values by tag and step, with their wall time.
//!
//! A file is a sequence of records: the length of the data, its checksum, the data, its checksum.
//! The data is a Protocol Buffers message `Event`. Readers take all files of a folder as one run,
//! in the order of their names.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use crate::{make_own_folder, protobuf::Message};

/// Prefix of the names of event files; seconds since 1970 follow.
const PREFIX: &str = "events.out.tfevents.";

/// An event file, to append to.
#[derive(Debug)]
pub struct EventFile {
    file: File,
}

/// An event at one step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Event<'a> {
    /// A run resumes at this step: events of earlier files at this or later steps are discarded.
    Restart,
    /// Values by their tags.
    Values(&'a [(&'a str, Value<'a>)]),
}

/// The value of a tag.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Value<'a> {
    /// A number, for the curve of its tag.
    Scalar(f32),
    /// Markdown.
    Text(&'a str),
    /// The hyperparameters of a run, by name. Their tag is [`HPARAMS`].
    HParams(&'a [(&'a str, HParam<'a>)]),
}

/// A hyperparameter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum HParam<'a> {
    /// A number.
    Number(f64),
    /// A string.
    Name(&'a str),
}

/// The tag of [`Value::HParams`].
pub const HPARAMS: &str = "_hparams_/session_start_info";

impl EventFile {
    /// Starts a file that sorts after those in a folder. Creates the folder if necessary.
    ///
    /// # Errors
    /// If the file cannot be created, or the folder is a link.
    pub fn create(folder: &Path) -> io::Result<EventFile> {
        make_own_folder(folder)?;
        let now = now();
        // The clock may have been set back, or the run resumed within a second.
        let stamp = newest(folder)?.map_or(0, |stamp| stamp.saturating_add(1)).max(now as u64);
        let path = folder.join(format!("{PREFIX}{stamp:010}.resnet"));
        let mut file = File::create_new(path)?;
        file.write_all(&record(&at(now).text(3, "brain.Event:2")))?;
        Ok(EventFile { file })
    }

    /// Whether a folder has an event file.
    ///
    /// # Errors
    /// If the folder exists and cannot be read.
    pub fn exists_in(folder: &Path) -> io::Result<bool> {
        Ok(newest(folder)?.is_some())
    }

    /// Writes an event without buffering, so that a crash loses nothing.
    ///
    /// # Errors
    /// If the file cannot be written. It may then end within a record, where readers stop.
    pub fn write(&mut self, step: u64, event: Event<'_>) -> io::Result<()> {
        self.file.write_all(&record(&message(now(), step, event)))
    }
}

/// Seconds since 1970.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}

/// The time in the name of a folder's newest event file.
fn newest(folder: &Path) -> io::Result<Option<u64>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        entries => entries?,
    };
    let mut newest = None;
    for entry in entries {
        let name = entry?.file_name();
        if let Some(rest) = name.to_string_lossy().strip_prefix(PREFIX) {
            let stamp = rest.split('.').next().and_then(|stamp| stamp.parse().ok());
            newest = newest.max(Some(stamp.unwrap_or(0)));
        }
    }
    Ok(newest)
}

/// A message as a record.
fn record(message: &Message) -> Vec<u8> {
    let data = &message.0;
    let length = (data.len() as u64).to_le_bytes();
    [&length, &checksum(&length)[..], data, &checksum(data)].concat()
}

/// A masked CRC-32C, as in TFRecord files.
fn checksum(bytes: &[u8]) -> [u8; 4] {
    crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

/// CRC-32C, computed bit by bit: a run writes some hundred kilobytes.
fn crc32c(bytes: &[u8]) -> u32 {
    let shift = |crc: u32, _| crc >> 1 ^ (0x82f6_3b78 & (crc & 1).wrapping_neg());
    !bytes.iter().fold(!0, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), shift))
}

/// An `Event` with its wall time.
fn at(seconds: f64) -> Message {
    Message::default().double(1, seconds)
}

fn message(seconds: f64, step: u64, event: Event<'_>) -> Message {
    let message = at(seconds).int(2, step as i64);
    match event {
        // A `SessionLog` whose status is START.
        Event::Restart => message.message(7, &Message::default().int(1, 1)),
        Event::Values(values) => {
            let summary = Message::default().each(values, |summary, (tag, value)| {
                summary.message(1, &tagged(tag, value, seconds))
            });
            message.message(5, &summary)
        }
    }
}

/// A `Summary.Value`.
fn tagged(tag: &str, value: &Value<'_>, seconds: f64) -> Message {
    const STRING: i64 = 7;
    let tagged = Message::default().text(1, tag);
    match value {
        Value::Scalar(value) => tagged.float(2, *value),
        Value::Text(text) => {
            let one = Message::default().message(2, &Message::default().int(1, 1));
            let tensor = Message::default().int(1, STRING).message(2, &one).text(8, text);
            tagged.message(8, &tensor).message(9, &plugin("text", &Message::default()))
        }
        Value::HParams(hparams) => {
            let session = Message::default()
                .each(*hparams, |session, (name, hparam)| {
                    let value = match hparam {
                        HParam::Number(number) => Message::default().double(2, *number),
                        HParam::Name(name) => Message::default().text(3, name),
                    };
                    session.message(1, &Message::default().text(1, name).message(2, &value))
                })
                .double(5, seconds);
            tagged.message(9, &plugin("hparams", &Message::default().message(3, &session)))
        }
    }
}

/// `SummaryMetadata`: the plugin that shows a value, and its data.
fn plugin(name: &str, content: &Message) -> Message {
    const TENSOR: i64 = 2;
    let data = Message::default().text(1, name);
    // Empty content is left out, as other writers do.
    let data = if content.0.is_empty() { data } else { data.message(2, content) };
    Message::default().message(1, &data).int(4, TENSOR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_castagnolis() {
        // RFC 3720, B.4
        let up: Vec<u8> = (0..32).collect();
        let down: Vec<u8> = (0..32).rev().collect();
        for (bytes, crc) in [
            (&[0; 32][..], 0x8a91_36aa),
            (&[0xff; 32], 0x62a8_ab43),
            (&up, 0x46dd_794e),
            (&down, 0x113f_db5c),
            (b"123456789", 0xe306_9283),
        ] {
            assert_eq!(crc32c(bytes), crc, "{bytes:?}");
        }
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Records of TensorBoard's own messages (`tensorboard.compat.proto`) and checksums.
    #[test]
    fn records_are_those_of_tensorboard() {
        let seconds = 1_500_000_000.25;
        assert_eq!(
            hex(&record(&at(seconds).text(3, "brain.Event:2"))),
            "1800000000000000a37f4b2209000010c00b5ad6411a0d627261696e2e4576656e743a32130a0322"
        );
        let scalars = [("Loss/train", Value::Scalar(1.25)), ("LearningRate", Value::Scalar(0.1))];
        let hparams = [("arch", HParam::Name("resnet8"))];
        let about = [("config", Value::Text("    a = 1\n")), (HPARAMS, Value::HParams(&hparams))];
        for (step, event, expected) in [
            (
                392,
                Event::Restart,
                "100000000000000095fbfe1809000010c00b5ad6411088033a02080178ea49cc",
            ),
            (
                391,
                Event::Values(&scalars),
                "36000000000000004f578cef09000010c00b5ad6411087032a280a110a0a4c6f73732f747261696e15\
                 0000a03f0a130a0c4c6561726e696e675261746515cdcccc3d3ca2aaf5",
            ),
            (
                7,
                Event::Values(&about),
                "8800000000000000fcdeece209000010c00b5ad64110072a7b0a2a0a06636f6e66696742140807120412\
                 020801420a2020202061203d20310a4a0a0a060a047465787420020a4d0a1c5f68706172616d735f2f\
                 73657373696f6e5f73746172745f696e666f4a2d0a290a0768706172616d73121e1a1c0a110a046172\
                 636812091a077265736e65743829000010c00b5ad6412002cd0bc51c",
            ),
        ] {
            assert_eq!(hex(&record(&message(seconds, step, event))), expected, "{event:?}");
        }
    }

    #[test]
    fn a_later_file_sorts_last() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("run/tensorboard");
        assert!(!EventFile::exists_in(&folder).unwrap());
        // Files of another program, one from the future.
        fs::create_dir_all(&folder).unwrap();
        for name in ["events.out.tfevents.8000000000.host.1.0", "events.out.tfevents.x"] {
            fs::write(folder.join(name), b"").unwrap();
        }
        drop((EventFile::create(&folder).unwrap(), EventFile::create(&folder).unwrap()));
        let entries = fs::read_dir(&folder).unwrap();
        let name = |entry: io::Result<fs::DirEntry>| entry.unwrap().file_name().into_string();
        let mut names: Vec<_> = entries.map(|entry| name(entry).unwrap()).collect();
        names.sort();
        let ours = ["8000000001", "8000000002"].map(|n| format!("{PREFIX}{n}.resnet"));
        assert_eq!(names[1..3], ours);
        assert!(EventFile::exists_in(&folder).unwrap());
    }
}

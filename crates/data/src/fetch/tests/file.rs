//! A file of weights, whose length is not known before.

use super::*;

const NAME: &str = "weights.pth";

struct FetchFile {
    dir: TempDir,
    events: Vec<FetchEvent>,
}

fn weights() -> Vec<u8> {
    (0..200_000u32).map(|i| (i * 7 + i / 251) as u8).collect()
}

impl FetchFile {
    fn new() -> Self {
        FetchFile { dir: tempfile::tempdir().unwrap(), events: Vec::new() }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join("weights").join(NAME)
    }

    fn part(&self) -> PathBuf {
        self.dir.path().join("weights/.fetch").join(format!("{NAME}.part"))
    }

    fn with_part(self, content: &[u8]) -> Self {
        fs::create_dir_all(self.part().parent().unwrap()).unwrap();
        fs::write(self.part(), content).unwrap();
        self
    }

    fn run(&mut self, url: &str) -> Result<PathBuf, DataError> {
        let sha256 = &digest::<Sha256>(&weights())[..8];
        let (folder, file) =
            (self.dir.path().join("weights"), RemoteFile { name: NAME, url, sha256 });
        let mut record = |event| self.events.push(event);
        fetch_file(file, &folder, &mut record, &AtomicBool::new(false))
    }

    fn assert_complete(&self) {
        assert_eq!(fs::read(self.path()).unwrap(), weights());
        assert!(!self.part().exists() && !self.part().parent().unwrap().exists());
    }

    fn sentence(&mut self, url: &str) -> String {
        let error = self.run(url).unwrap_err().to_string();
        let folder = self.dir.path().join("weights");
        let by_hand = format!("you can download it yourself and put it into {}", folder.display());
        assert!(error.starts_with(&format!("cannot download {url}: ")), "{error}");
        assert!(error.ends_with(&by_hand) && !error.contains('\n'), "{error}");
        error
    }
}

#[test]
fn a_file_is_downloaded_once_and_checked_each_time() {
    let mut fetch = FetchFile::new();
    let server = Server::new(vec![whole(&weights())]);
    assert_eq!(fetch.run(&server.url).unwrap(), fetch.path());
    fetch.assert_complete();
    let bytes = weights().len() as u64;
    let all = FetchEvent::Progress { stage: Stage::Download, done: bytes, total: Some(bytes) };
    assert!(fetch.events.contains(&all), "{:?}", fetch.events);
    fetch.run("http://127.0.0.1:1").unwrap();
    server.requests();

    // A damaged one is replaced, or where that fails removed.
    fs::write(fetch.path(), "damaged").unwrap();
    let server = Server::new(vec![whole(&weights())]);
    fetch.run(&server.url).unwrap();
    fetch.assert_complete();
    fs::write(fetch.path(), "damaged").unwrap();
    let error = fetch.sentence("http://127.0.0.1:1/w.pth");
    assert!(error.contains("the file that was there is removed: expected SHA-256 "), "{error}");
    assert!(!fetch.path().exists());
}

#[test]
fn an_interrupted_download_is_resumed() {
    let (all, mut fetch) = (weights(), FetchFile::new());
    let broken = answer("200 OK", "", all.len(), &all[..70_000]);
    let server = Server::new(vec![broken]);
    fetch.sentence(&server.url);
    server.requests();
    assert_eq!(fs::read(fetch.part()).unwrap(), all[..70_000]);
    let server = Server::new(vec![rest(&all, 70_000)]);
    fetch.run(&server.url).unwrap();
    fetch.assert_complete();
    assert!(server.requests()[0].contains("range: bytes=70000-"));
}

#[test]
fn a_complete_part_is_recognised_and_one_of_another_file_replaced() {
    let none = || answer("416 Range Not Satisfiable", "", 0, b"");
    let mut fetch = FetchFile::new().with_part(&weights());
    let server = Server::new(vec![none()]);
    fetch.run(&server.url).unwrap();
    fetch.assert_complete();
    server.requests();
    let mut fetch = FetchFile::new().with_part(&vec![7; 300_000]);
    let server = Server::new(vec![none(), whole(&weights())]);
    fetch.run(&server.url).unwrap();
    fetch.assert_complete();
    server.requests();
}

#[test]
fn wrong_content_is_a_sentence_and_not_kept() {
    let mut fetch = FetchFile::new();
    let server = Server::new(vec![whole(b"<html>sign in to this network</html>")]);
    let error = fetch.sentence(&server.url);
    assert!(error.contains("expected SHA-256 "), "{error}");
    assert!(!fetch.path().exists() && !fetch.part().exists());
    server.requests();
    // Nor does it replace the part of a file.
    let mut fetch = FetchFile::new().with_part(&weights()[..100]);
    let server = Server::new(vec![whole(b"sign in")]);
    let error = fetch.sentence(&server.url);
    assert!(error.contains("expected 100 to 1073741824 bytes, got 7"), "{error}");
    assert_eq!(fs::read(fetch.part()).unwrap(), weights()[..100]);
    server.requests();
    let error = FetchFile::new().sentence("http://127.0.0.1:1/w.pth");
    assert!(error.to_lowercase().contains("refused"), "{error}");
    let server = Server::new(vec![answer("404 Not Found", "", 0, b"")]);
    assert!(FetchFile::new().sentence(&server.url).contains("the server responded 404"));
}

#[test]
fn one_download_at_a_time_and_parts_of_others_stay() {
    let mut fetch = FetchFile::new();
    let folder = fetch.dir.path().join("weights");
    let other = Workspace::try_new(&folder).unwrap().expect("no other");
    fs::write(other.part("another.pth"), "begun").unwrap();
    let server = Server::new(vec![whole(&weights())]);
    thread::scope(|scope| {
        let first = scope.spawn(|| fetch.run(&server.url).unwrap());
        thread::sleep(Duration::from_millis(300));
        assert!(!first.is_finished(), "it waits");
        drop(other);
    });
    assert!(fetch.events.contains(&FetchEvent::Waiting));
    assert_eq!(fs::read(fetch.path()).unwrap(), weights());
    assert_eq!(fs::read(fetch.part().with_file_name("another.pth.part")).unwrap(), b"begun");
    server.requests();
}

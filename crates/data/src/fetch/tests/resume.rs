//! Downloads that break off, and go on.

use super::*;

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

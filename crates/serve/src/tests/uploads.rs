//! Bodies that are refused before they are read, and bodies that stall.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    time::{sleep, timeout},
};

use super::{
    client::{Reply, head},
    running::{Running, Source, until},
};
use crate::{Limits, Settings};

/// More than what the system holds of a connection.
const LARGE: usize = 5 << 20;
const TOKEN: &str = "Authorization: Bearer token\r\n";

/// The answer to a client that writes all of its request before it reads.
async fn upload(address: SocketAddr, path: &str, headers: &str) -> Reply {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head =
        format!("POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {LARGE}\r\n{headers}\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&vec![b'x'; LARGE]).await.expect("the body is taken");
    let reply = Reply::read(&mut stream).await;
    assert_eq!(reply.header("connection"), Some("close"));
    reply
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_writes_all_of_a_refused_body_reads_the_answer() {
    let limits = Limits { body: 2 * LARGE, ..Limits::default() };
    let settings = Settings { tokens: vec!["token".to_owned()], limits, ..Settings::default() };
    let running = Running::start(settings, vec![("demo".to_owned(), Box::new(Source(None)))]).await;
    let (address, predict) = (running.address, "/v1/predict");
    upload(address, predict, "").await.is_problem(401, "token");
    upload(address, "/nothing", TOKEN).await.is_problem(404, "unknown_path");
    let zip = format!("{TOKEN}Content-Encoding: gzip\r\n");
    upload(address, predict, &zip).await.is_problem(415, "encoding");
    let permits = running.service.bodies.available_permits() as u32;
    let all = Arc::clone(&running.service.bodies).try_acquire_many_owned(permits).unwrap();
    upload(address, predict, TOKEN).await.is_problem(429, "bodies_full");
    drop(all);
    // A body that is read leaves its connection open, whatever the answer.
    let mut stream = TcpStream::connect(address).await.unwrap();
    let text =
        format!("POST {predict} HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n{TOKEN}\r\ntext");
    stream.write_all(text.as_bytes()).await.unwrap();
    let get = format!("GET /nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{TOKEN}\r\n");
    stream.write_all(get.as_bytes()).await.unwrap();
    let replies = Reply::read(&mut stream).await;
    assert_eq!((replies.status, replies.header("connection")), (422, None));
    assert!(replies.text().contains("HTTP/1.1 404"), "{}", replies.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_past_the_limit_read_the_answer_too() {
    let running = Running::demo(Limits { connections: 0, ..Limits::default() }).await;
    let reply = upload(running.address, "/v1/predict", "").await;
    reply.is_problem(503, "too_many_connections");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_refused_is_neither_invited_nor_waited_for() {
    let running = Running::demo(Limits { body: 1000, ..Limits::default() }).await;
    let expects: &[(&str, &str)] = &[("Expect", "100-continue")];
    for headers in [expects, &[]] {
        let mut stream = TcpStream::connect(running.address).await.unwrap();
        stream.write_all(&head("POST /v1/predict", headers, LARGE)).await.unwrap();
        let reply = timeout(Duration::from_millis(1500), Reply::read(&mut stream)).await;
        reply.expect("an answer at once").is_problem(413, "body_too_large");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_stalls_gives_its_memory_back() {
    let pause = Duration::from_secs(2);
    let running = Running::demo(Limits { read_time: pause, ..Limits::default() }).await;
    let bodies = Arc::clone(&running.service.bodies);
    let all = bodies.available_permits();
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    stream.write_all(&head("POST /v1/predict", &[], LARGE)).await.unwrap();
    stream.write_all(&[0; 100_000]).await.unwrap();
    until(|| bodies.available_permits() < all).await;
    Reply::read(&mut stream).await.is_problem(408, "slow_body");
    assert_eq!(bodies.available_permits(), all);
    // One that only comes slowly is read, although it takes longer than a pause.
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    stream.write_all(&head("POST /v1/predict", &[], 24)).await.unwrap();
    for _ in 0..24 {
        sleep(pause / 20).await;
        stream.write_all(b"x").await.unwrap();
    }
    Reply::read(&mut stream).await.is_problem(422, "unreadable_image");
}

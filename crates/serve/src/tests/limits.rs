//! What is past a limit, and clients that misbehave.

use std::{sync::Arc, time::Duration};

use resnet::predictor::Computes;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

use super::{
    client::{Reply, get, head, post, send},
    running::{Held, Running, photos, until},
};
use crate::{Limits, served::Kind, server::REFUSALS, write_timeout::WriteTimeout};

const PREDICT: &str = "/v1/predict";
const SOON: Duration = Duration::from_millis(50);

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_are_too_large_are_refused() {
    let (files, _) = photos(Computes::Logits);
    let limits = Limits { body: 200_000, pixels: 100, images: 2, ..Limits::default() };
    let running = Running::demo(limits).await;
    let address = running.address;
    let large = vec![0; 200_001];
    post(address, PREDICT, "image/x", &large).await.is_problem(413, "body_too_large");
    // Without a length, and much more than the limit.
    let mut stream = TcpStream::connect(address).await.unwrap();
    let chunked = "POST /v1/predict HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
                   Transfer-Encoding: chunked\r\n\r\n";
    stream.write_all(chunked.as_bytes()).await.unwrap();
    for _ in 0..20 {
        let chunk = [b"186a0\r\n", &[0; 100_000][..], b"\r\n"].concat();
        stream.write_all(&chunk).await.unwrap();
    }
    stream.write_all(b"0\r\n\r\n").await.unwrap();
    Reply::read(&mut stream).await.is_problem(413, "body_too_large");
    post(address, PREDICT, "image/x", &files[0]).await.is_problem(413, "too_many_pixels");
    let three = br#"{"images": ["eA", "eA", "eA"]}"#;
    post(address, PREDICT, "application/json", three).await.is_problem(413, "too_many_images");
    let zip = [("Content-Encoding", "gzip")];
    send(address, "POST /v1/predict", &zip, b"x").await.is_problem(415, "encoding");
    let permits = running.service.bodies.available_permits() as u32;
    assert_eq!(permits, 16 * 200_000 / 1024, "every body gave its memory back");
    let all = Arc::clone(&running.service.bodies).try_acquire_many_owned(permits).unwrap();
    post(address, PREDICT, "image/x", &files[0]).await.is_problem(429, "bodies_full");
    drop(all);
    assert_eq!(running.service.bodies.available_permits() as u32, permits);
    assert_eq!(running.metric("resnet_refusals_total{code=\"body_too_large\"}"), 2.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_count_as_memory_until_they_are_read() {
    let (files, _) = photos(Computes::Logits);
    let running = Running::demo(Limits { body: 1 << 10, ..Limits::default() }).await;
    let bodies = &running.service.bodies;
    let all = bodies.available_permits();
    let answer = running.service.hold(vec![0; 5 << 10]).unwrap();
    assert_eq!(bodies.available_permits(), all - 5);
    assert_eq!(running.service.hold(vec![0; 12 << 10]).unwrap_err().code, "bodies_full");
    drop(answer);
    let taken = Arc::clone(bodies).try_acquire_many_owned(all as u32).unwrap();
    get(running.address, "/v1/models").await.is_problem(429, "bodies_full");
    drop(taken);
    assert_eq!(bodies.available_permits(), all);
    assert_eq!(post(running.address, PREDICT, "image/x", &files[1]).await.status, 200);
    until(|| running.service.bodies.available_permits() == all).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_refuses_and_then_takes_again() {
    let (files, _) = photos(Computes::Logits);
    let running = Running::demo(Limits { queue: 2, images: 2, ..Limits::default() }).await;
    let address = running.address;
    let held = Held::new(running.model(), Kind::Photos);
    let file = files[0].clone();
    let first = tokio::spawn(async move { post(address, PREDICT, "image/x", &file).await });
    running.pending(1).await;
    // One has room, but two have not.
    let both = br#"{"images": ["eA", "eA"]}"#;
    post(address, PREDICT, "application/json", both).await.is_problem(429, "queue_full");
    let line = &running.logged("request")[0];
    let (code, images) = (&line["code"], &line["images"]);
    assert_eq!((code, &line["model"], images), (&"queue_full".into(), &"demo".into(), &2.into()));
    assert_eq!(running.service.pending(), 1);
    drop(held);
    assert_eq!(first.await.unwrap().status, 200);
    assert_eq!(post(address, PREDICT, "image/x", &files[1]).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_computed_in_time_is_given_up() {
    let (files, _) = photos(Computes::Logits);
    let running = Running::demo(Limits { request_time: SOON, ..Limits::default() }).await;
    let held = Held::new(running.model(), Kind::Photos);
    let reply = post(running.address, PREDICT, "image/x", &files[0]).await;
    reply.is_problem(503, "timeout");
    let line = &running.logged("request")[0];
    assert_eq!((&line["model"], &line["images"]), (&"demo".into(), &1.into()));
    assert!(line["total_ms"].is_number() && line["compute_ms"].is_null(), "{line}");
    drop(held);
    running.pending(0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_clients_are_left() {
    let times = Limits { body_time: SOON, header_time: SOON, ..Limits::default() };
    let running = Running::demo(times).await;
    let mut body = TcpStream::connect(running.address).await.unwrap();
    body.write_all(&head("POST /v1/predict", &[], 100)).await.unwrap();
    body.write_all(b"some").await.unwrap();
    Reply::read(&mut body).await.is_problem(408, "slow_body");
    drop(body);
    let mut header = TcpStream::connect(running.address).await.unwrap();
    header.write_all(b"GET / HTTP/1.1\r\nHost:").await.unwrap();
    let mut rest = Vec::new();
    let _ = header.read_to_end(&mut rest).await;
    assert!(!rest.starts_with(b"HTTP/1.1 2"), "{}", String::from_utf8_lossy(&rest));
    until(|| running.metric("resnet_connections") == 0.0).await;
}

#[tokio::test]
async fn a_client_that_does_not_read_is_left() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let mut stream = WriteTimeout::new(listener.accept().await.unwrap().0, SOON);
    let error = loop {
        if let Err(error) = stream.write_all(&[0; 1 << 16]).await {
            break error;
        }
    };
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut);
    drop(client);
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_connections_are_told_so() {
    let running = Running::demo(Limits { connections: 1, ..Limits::default() }).await;
    let only = TcpStream::connect(running.address).await.unwrap();
    until(|| running.metric("resnet_connections") == 1.0).await;
    for path in ["/readyz", "/v1/models", "/nothing"] {
        get(running.address, path).await.is_problem(503, "too_many_connections");
    }
    post(running.address, "/healthz", "", b"x").await.is_problem(503, "too_many_connections");
    assert_eq!(running.metric("resnet_refusals_total{code=\"too_many_connections\"}"), 4.0);
    // A probe of whether the service lives hears that it does.
    for path in ["/healthz", "/v2/health/live"] {
        assert_eq!(get(running.address, path).await.json()["live"], true, "{path}");
    }
    assert_eq!(running.metric("resnet_refusals_total{code=\"too_many_connections\"}"), 4.0);
    drop(only);
    until(|| running.metric("resnet_connections") == 0.0).await;
    assert_eq!(get(running.address, "/readyz").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn silent_connections_past_the_limit_keep_nobody_waiting() {
    let running = Running::demo(Limits { connections: 1, ..Limits::default() }).await;
    let only = TcpStream::connect(running.address).await.unwrap();
    until(|| running.metric("resnet_connections") == 1.0).await;
    let mut silent = Vec::new();
    for _ in 0..REFUSALS {
        silent.push(TcpStream::connect(running.address).await.unwrap());
    }
    let mut another = TcpStream::connect(running.address).await.unwrap();
    let closed = timeout(Duration::from_secs(1), another.read(&mut [0])).await;
    assert!(matches!(closed, Ok(Ok(0) | Err(_))), "{closed:?}");
    drop(only);
    until(|| running.metric("resnet_connections") == 0.0).await;
    assert_eq!(get(running.address, "/readyz").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_requests_are_named() {
    let running = Running::demo(Limits::default()).await;
    let address = running.address;
    get(address, "/nothing").await.is_problem(404, "unknown_path");
    get(address, PREDICT).await.is_problem(405, "method");
    let unknown = post(address, "/v1/models/other/predict", "image/x", b"x").await;
    let detail = unknown.is_problem(404, "unknown_model").json()["detail"].clone();
    assert!(detail.as_str().unwrap().contains("demo"), "{detail}");
    post(address, PREDICT, "image/x", b"").await.is_problem(400, "invalid_request");
    post(address, "/v1/predict?top=1", "image/x", b"x").await.is_problem(400, "invalid_request");
    post(address, PREDICT, "text/html", b"x").await.is_problem(415, "media_type");
    for path in ["/v1/models/%FF/predict", "/v2/models/%FF/infer"] {
        post(address, path, "image/x", b"x").await.is_problem(400, "invalid_request");
    }
    for path in ["/v2/models/%FF", "/v2/models/demo/versions/%FF/ready"] {
        get(address, path).await.is_problem(400, "invalid_request");
    }
    for garbage in [&b"\x16\x03\x01\x02\0\x01\0"[..], b"\r\n\r\n\r\n", b"GET\r\n\r\n"] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(garbage).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
        assert!(!rest.starts_with(b"HTTP/1.1 2"));
    }
    // A head without end.
    let mut stream = TcpStream::connect(address).await.unwrap();
    let _ = stream.write_all(b"GET / HTTP/1.1\r\nX: ").await;
    for _ in 0..64 {
        if stream.write_all(&[b'x'; 4096]).await.is_err() {
            break;
        }
    }
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
    assert!(!rest.starts_with(b"HTTP/1.1 2"));
    assert_eq!(get(address, "/healthz").await.status, 200);
}

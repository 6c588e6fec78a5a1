//! The end: no request is lost.

use std::{error::Error, future};

use resnet::{model_file::ModelFileError, predictor::Computes};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc,
    task::JoinSet,
};

use super::{
    client::{Reply, head, post},
    running::{Held, Running, Source, is_prediction, photos, until},
};
use crate::{Limits, Log, ModelSource, Server, Settings, served::Kind};

#[tokio::test(flavor = "multi_thread")]
async fn requests_are_answered_and_then_it_ends() {
    let running = Running::demo(Limits::default()).await;
    let (files, expected) = photos(Computes::Logits);
    let (address, service) = (running.address, running.service.clone());
    let mut idle = TcpStream::connect(address).await.unwrap();
    let held = Held::new(running.model(), Kind::Photos);
    let mut requests = JoinSet::new();
    for (i, file) in files.iter().enumerate() {
        let file = file.clone();
        requests.spawn(async move { (i, post(address, "/v1/predict", "image/x", &file).await) });
    }
    running.pending(files.len()).await;
    let done = running.stop();
    until(|| service.unready().is_some()).await;
    drop(held);
    while let Some(reply) = requests.join_next().await {
        let (i, reply) = reply.unwrap();
        is_prediction(&reply.json()["predictions"][0], &expected, i);
    }
    done.await.unwrap().unwrap();
    assert_eq!(service.pending(), 0);
    assert!(TcpStream::connect(address).await.is_err());
    assert!(matches!(idle.read(&mut [0]).await, Ok(0) | Err(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_has_begun_is_answered() {
    let running = Running::demo(Limits::default()).await;
    let (address, service) = (running.address, running.service.clone());
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n").await.unwrap();
    until(|| running.metric("resnet_connections") == 1.0).await;
    let done = running.stop();
    until(|| service.unready().is_some()).await;
    stream.write_all(b"\r\n").await.unwrap();
    let reply = Reply::read(&mut stream).await;
    assert_eq!((reply.status, reply.header("connection")), (200, Some("close")));
    done.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sent_before_the_end_is_answered() {
    let running = Running::demo(Limits::default()).await;
    let (files, expected) = photos(Computes::Logits);
    let mut streams = Vec::new();
    for file in files.iter().cycle().take(20) {
        let mut stream = TcpStream::connect(running.address).await.unwrap();
        stream.write_all(&head("POST /v1/predict", &[], file.len())).await.unwrap();
        stream.write_all(file).await.unwrap();
        streams.push(stream);
    }
    let done = running.stop();
    for (i, mut stream) in streams.into_iter().enumerate() {
        let reply = Reply::read(&mut stream).await;
        is_prediction(&reply.json()["predictions"][0], &expected, i % files.len());
    }
    done.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_cannot_be_loaded_ends_it_and_is_the_source_of_the_error() {
    let settings = Settings { address: ([127, 0, 0, 1], 0).into(), ..Settings::default() };
    let source: Box<dyn ModelSource> = Box::new(Source(Some("none.safetensors".into())));
    let sources = vec![("none".to_owned(), source)];
    let server = Server::bind(settings, sources, Log::new(|_| {})).await.unwrap();
    let (_reload, reloads) = mpsc::channel(1);
    let error = server.run(future::pending(), reloads).await.unwrap_err();
    let source = error.source().expect("a model file");
    assert!(source.is::<ModelFileError>(), "{error}");
    assert_eq!(error.to_string(), source.to_string());
}

//! Models that are replaced while the service runs.

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use resnet::{
    model_file::{Model, SaveFormat},
    predictor::Computes,
};
use resnet_formats::Tensor;
use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    task::{JoinSet, spawn_blocking},
};

use super::{
    client::{Reply, get, head, post},
    running::{Running, Source, photos, until},
};
use crate::{
    Log, Settings,
    metrics::Metrics,
    registry::{Registry, Reload},
};

/// The demo with classes of this name and a number.
fn write(path: &Path, class: &str) {
    let names = (0..10).map(|number| format!("{class}{number}")).collect();
    let mut model = Model::demo();
    model.classes = Some(names);
    model.save(path, SaveFormat::Safetensors).unwrap();
}

async fn reload(running: &Running) {
    let service = Arc::clone(&running.service);
    spawn_blocking(move || service.registry.reload(Reload::All)).await.unwrap();
}

/// The predicted class of a photo.
async fn class(address: std::net::SocketAddr, file: &[u8]) -> String {
    let reply = post(address, "/v1/predict", "image/x", file).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()["predictions"][0]["top"][0]["class"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn under_load_every_request_is_answered_by_one_model_or_the_other() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("net.safetensors");
    write(&path, "a");
    let source: Box<dyn crate::ModelSource> = Box::new(Source(Some(path.clone())));
    let running = Running::start(Settings::default(), vec![("net".to_owned(), source)]).await;
    let (files, expected) = photos(Computes::Logits);
    let number = expected.class(0);
    let (address, ends) = (running.address, Arc::new(AtomicBool::new(false)));
    let mut clients = JoinSet::new();
    for _ in 0..3 {
        let (file, ends) = (files[0].clone(), Arc::clone(&ends));
        clients.spawn(async move {
            let mut answers = 0;
            while !ends.load(Ordering::Relaxed) {
                let class = class(address, &file).await;
                assert!(class == format!("a{number}") || class == format!("b{number}"), "{class}");
                answers += 1;
            }
            answers
        });
    }
    for name in ["b", "a", "b", "a", "b"] {
        write(&path, name);
        reload(&running).await;
        assert_eq!(class(address, &files[0]).await, format!("{name}{number}"));
    }
    ends.store(true, Ordering::Relaxed);
    while let Some(answers) = clients.join_next().await {
        assert!(answers.unwrap() > 0);
    }

    // A damaged file replaces nothing, and the log says so.
    fs::write(&path, b"damaged").unwrap();
    reload(&running).await;
    assert_eq!(class(address, &files[0]).await, format!("b{number}"));
    let failed = running.logged("load_failed");
    assert_eq!((failed.len(), &failed[0]["model"]), (1, &"net".into()));
    assert!(failed[0]["error"].as_str().unwrap().contains("net.safetensors"), "{failed:?}");
    assert!(get(address, "/readyz").await.status == 200);
    // Nor does one whose weights are NaN.
    let mut model = Model::demo();
    let mut state = model.network.state_dict();
    state.last_mut().unwrap().1 = Tensor::f32(&[10], vec![f32::NAN; 10]);
    model.network.load_state_dict(&state).unwrap();
    model.save(&path, SaveFormat::Safetensors).unwrap();
    reload(&running).await;
    assert_eq!(class(address, &files[0]).await, format!("b{number}"));
    let failed = running.logged("load_failed");
    assert!(failed[1]["error"].as_str().unwrap().contains("are NaN or infinite"), "{failed:?}");
    assert_eq!(running.metric("resnet_model_loads_total{model=\"net\",result=\"failed\"}"), 2.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_arrives_slowly_keeps_no_model_that_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("net.safetensors");
    write(&path, "a");
    let source: Box<dyn crate::ModelSource> = Box::new(Source(Some(path.clone())));
    let running = Running::start(Settings::default(), vec![("net".to_owned(), source)]).await;
    let before = Arc::downgrade(&running.model());
    let (files, _) = photos(Computes::Logits);
    let all = running.service.bodies.available_permits();
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    stream.write_all(&head("POST /v1/predict", &[], files[0].len())).await.unwrap();
    stream.write_all(&files[0][..1]).await.unwrap();
    until(|| running.service.bodies.available_permits() < all).await;
    write(&path, "b");
    reload(&running).await;
    until(|| before.strong_count() == 0).await;
    stream.write_all(&files[0][1..]).await.unwrap();
    let reply = Reply::read(&mut stream).await.json();
    let class = reply["predictions"][0]["top"][0]["class"].as_str().unwrap().to_owned();
    assert!(class.starts_with('b'), "{class}");
    // An unknown name is refused before the body.
    let mut stream = TcpStream::connect(running.address).await.unwrap();
    stream.write_all(&head("POST /v1/models/none/predict", &[], 9)).await.unwrap();
    Reply::read(&mut stream).await.is_problem(404, "unknown_model");
}

#[test]
fn a_file_that_has_changed_is_loaded_once_it_is_still() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("net.safetensors");
    write(&path, "a");
    let source: Box<dyn crate::ModelSource> = Box::new(Source(Some(path.clone())));
    let metrics = Arc::new(Metrics::default());
    let registry = Registry::new(
        vec![("net".to_owned(), source)],
        &settings(),
        Log::new(|_| {}),
        Arc::clone(&metrics),
    );
    let class = || registry.get(None).unwrap().predictor.classes()[0].clone();
    assert!(registry.unready().is_some() && registry.get(None).is_err());
    registry.load().unwrap();
    let look = || registry.reload(Reload::Changed);
    look();
    look();
    write(&path, "other");
    look();
    assert_eq!(class(), "a0", "it may still be written");
    look();
    assert_eq!(class(), "other0");
    fs::write(&path, b"damaged").unwrap();
    (0..5).for_each(|_| look());
    fs::remove_file(&path).unwrap();
    look();
    assert_eq!(class(), "other0");
    let text = metrics.text(0, 0);
    for line in ["result=\"ok\"} 2", "result=\"failed\"} 1"] {
        assert!(text.contains(line), "{text}");
    }
    // At the start there is nothing to keep.
    let source: Box<dyn crate::ModelSource> = Box::new(Source(Some(path)));
    let log = Log::new(|_| {});
    assert!(
        Registry::new(vec![("net".to_owned(), source)], &settings(), log, metrics).load().is_err()
    );
}

#[test]
fn a_model_whose_gpu_is_lost_is_out_of_service_and_loaded_again_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("net.safetensors");
    write(&path, "a");
    let source: Box<dyn crate::ModelSource> = Box::new(Source(Some(path.clone())));
    let (sources, metrics) = (vec![("net".to_owned(), source)], Arc::new(Metrics::default()));
    let registry = Registry::new(sources, &settings(), Log::new(|_| {}), Arc::clone(&metrics));
    registry.load().unwrap();
    let look = || registry.reload(Reload::Changed);
    look();
    let lose = || registry.get(None).unwrap().lose();
    lose();
    for problem in [registry.get(None).unwrap_err(), registry.unready().unwrap()] {
        assert_eq!((problem.status.as_u16(), problem.code), (503, "gpu_lost"));
        assert!(problem.detail.contains("net"), "{}", problem.detail);
    }
    assert!(registry.ready().is_empty());
    look();
    assert!(registry.unready().is_none(), "it was loaded again");
    lose();
    fs::remove_file(&path).unwrap();
    (0..3).for_each(|_| look());
    assert_eq!(registry.unready().unwrap().code, "gpu_lost");
    let text = metrics.text(0, 0);
    for line in ["result=\"ok\"} 2", "result=\"failed\"} 1", "gpus_lost_total{model=\"net\"} 2"] {
        assert!(text.contains(line), "{text}");
    }
}

fn settings() -> Settings {
    Settings { max_batch: 2, ..Settings::default() }
}

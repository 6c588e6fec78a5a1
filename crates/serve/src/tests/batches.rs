//! Requests that are computed together.

use resnet::{
    model_file::{Model, SaveFormat},
    predictor::Computes,
};
use resnet_formats::Tensor;
use serde_json::json;
use tokio::task::JoinSet;

use super::{
    client::{head, post},
    running::{Held, Running, Source, is_prediction, photos, until},
};
use crate::{
    Limits, Settings,
    served::{Kind, Prepared},
    work::{Failed, Image},
};
use tokio::{io::AsyncWriteExt, net::TcpStream};

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_is_computed_together_with_the_same_bits() {
    let running = Running::demo(Limits::default()).await;
    let (files, expected) = photos(Computes::Logits);
    let held = Held::new(running.model(), Kind::Photos);
    let mut requests = JoinSet::new();
    for i in 0..24 {
        let (address, file) = (running.address, files[i % files.len()].clone());
        requests.spawn(async move { (i, post(address, "/v1/predict", "image/x", &file).await) });
    }
    running.pending(24).await;
    until(|| running.metric("resnet_image_seconds_count{stage=\"decode\"}") == 24.0).await;
    drop(held);
    while let Some(done) = requests.join_next().await {
        let (i, reply) = done.unwrap();
        is_prediction(&reply.json()["predictions"][0], &expected, i % files.len());
    }
    running.pending(0).await;
    // A batch was held with what was ready then, at most 16 images. The rest fill one or two.
    assert!(running.metric("resnet_batch_images_count{model=\"demo\"}") <= 4.0);
    assert_eq!(running.metric("resnet_images_total{model=\"demo\"}"), 24.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_whose_client_is_gone_is_not_computed() {
    let running = Running::demo(Limits::default()).await;
    let (files, _) = photos(Computes::Logits);
    let held = Held::new(running.model(), Kind::Photos);
    let (address, file) = (running.address, files[0].clone());
    let first = tokio::spawn(async move { post(address, "/v1/predict", "image/x", &file).await });
    let computing = || running.metric("resnet_image_seconds_count{stage=\"queue\"}") == 1.0;
    until(computing).await;
    let mut second = TcpStream::connect(address).await.unwrap();
    second.write_all(&head("POST /v1/predict", &[], files[1].len())).await.unwrap();
    second.write_all(&files[1]).await.unwrap();
    running.pending(2).await;
    drop(second);
    let in_flight = &running.service.metrics.in_flight;
    until(|| in_flight.load(std::sync::atomic::Ordering::Relaxed) == 1).await;
    drop(held);
    assert_eq!(first.await.unwrap().status, 200);
    running.pending(0).await;
    let cancelled = "resnet_requests_cancelled_total{route=\"/v1/predict\"}";
    assert_eq!(running.metric(cancelled), 1.0);
    assert_eq!(running.metric("resnet_images_total{model=\"demo\"}"), 1.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn threads_compute_batches_of_a_small_network_each_with_the_same_bits() {
    let settings = Settings { threads: 3, ..Settings::default() };
    let running = Running::start(settings, vec![("demo".to_owned(), Box::new(Source(None)))]).await;
    assert!(running.model().has_plans_alone(Kind::Photos));
    let (files, expected) = photos(Computes::Logits);
    let mut requests = JoinSet::new();
    for i in 0..120 {
        let (address, file) = (running.address, files[i % files.len()].clone());
        // Heat maps have all threads, and come between the others.
        let path = if i % 10 == 9 { "/v1/predict?heat_map=true" } else { "/v1/predict" };
        requests.spawn(async move { (i, post(address, path, "image/x", &file).await) });
    }
    while let Some(done) = requests.join_next().await {
        let (i, reply) = done.unwrap();
        is_prediction(&reply.json()["predictions"][0], &expected, i % files.len());
    }
    running.pending(0).await;
    assert_eq!(running.metric("resnet_images_total{model=\"demo\"}"), 120.0);
    running.stop().await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_is_in_the_log_and_ends_nothing() {
    let running = Running::demo(Limits::default()).await;
    // Requests are checked: none has too few values.
    let images = vec![Image::Prepared(Prepared::Values(vec![0.0]))];
    let (answers, _) = running.service.compute(&running.model(), images).await.unwrap();
    assert!(matches!(answers[..], [Err(Failed::Internal)]), "{answers:?}");
    let failed = running.logged("failed");
    assert_eq!((failed.len(), &failed[0]["model"]), (1, &"demo".into()));
    let error = failed[0]["error"].as_str().unwrap();
    assert!(error.starts_with("panicked: 1 values for 1 images"), "{error}");
    let (files, _) = photos(Computes::Logits);
    assert_eq!(post(running.address, "/v1/predict", "image/x", &files[0]).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_fails_on_a_lost_gpu_is_no_failure_of_the_service() {
    let running = Running::demo(Limits::default()).await;
    let model = running.model();
    model.lose();
    let images = vec![Image::Prepared(Prepared::Values(vec![0.0]))];
    let (answers, _) = running.service.compute(&model, images).await.unwrap();
    assert!(matches!(answers[..], [Err(Failed::Lost)]), "{answers:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_output_that_is_no_number_is_a_problem() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("large.safetensors");
    let mut model = Model::demo();
    let mut state = model.network.state_dict();
    // Finite weights, whose sums are infinite.
    for (_, tensor) in state.iter_mut().rev().take(2) {
        let len = tensor.shape.iter().product::<usize>();
        *tensor = Tensor::f32(&tensor.shape, vec![f32::MAX; len]);
    }
    model.network.load_state_dict(&state).unwrap();
    model.save(&path, SaveFormat::Safetensors).unwrap();
    let source: Box<dyn crate::ModelSource> = Box::new(Source(Some(path)));
    let running = Running::start(Settings::default(), vec![("large".to_owned(), source)]).await;
    let (files, _) = photos(Computes::Logits);
    let reply = post(running.address, "/v1/predict", "image/x", &files[0]).await;
    reply.is_problem(500, "not_finite");
    let images = vec![Image::Prepared(Prepared::Values(vec![0.0; 3 * 32 * 32]))];
    let (answers, _) = running.service.compute(&running.model(), images).await.unwrap();
    assert!(matches!(answers[..], [Err(Failed::NotFinite)]), "{answers:?}");
    // Values are the client's own, and may be too large: pixels cannot.
    let path = "/v2/models/large/infer";
    for (datatype, status) in [("FP32", 422), ("UINT8", 500)] {
        let (shape, data) = ([1, 3, 32, 32], vec![0; 3 * 32 * 32]);
        let input = json!({ "name": "input", "shape": shape, "datatype": datatype, "data": data });
        let body = json!({ "inputs": [input] }).to_string();
        let reply = post(running.address, path, "application/json", body.as_bytes()).await;
        let detail = reply.is_problem(status, "not_finite").json()["detail"].to_string();
        assert_eq!(detail.contains("image 0"), status == 422, "{detail}");
        assert_eq!(detail.contains("the network overflows by itself"), status == 422, "{detail}");
    }
}

//! Requests that come one by one.

use resnet::predictor::Computes;
use serde_json::json;

use super::{
    client::post,
    running::{Running, Source, is_prediction, photos},
};
use crate::Settings;

/// On a runtime of one thread, which has no other one to hand a connection to.
#[tokio::test]
async fn a_runtime_of_one_thread_serves() {
    let settings = Settings { threads: 2, ..Settings::default() };
    let running = Running::start(settings, vec![("demo".to_owned(), Box::new(Source(None)))]).await;
    let (files, expected) = photos(Computes::Logits);
    for (i, file) in files.iter().enumerate() {
        let reply = post(running.address, "/v1/predict", "image/x", file).await;
        is_prediction(&reply.json()["predictions"][0], &expected, i);
    }
    let (shape, data) = ([1, 3, 32, 32], vec![0; 3 * 32 * 32]);
    let input = json!({ "name": "input", "shape": shape, "datatype": "UINT8", "data": data });
    let body = json!({ "inputs": [input] }).to_string();
    let path = "/v2/models/demo/infer";
    let reply = post(running.address, path, "application/json", body.as_bytes()).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    running.stop().await.unwrap().unwrap();
}

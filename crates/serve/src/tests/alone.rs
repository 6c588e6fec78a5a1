//! Requests that come one by one.

use resnet::predictor::Computes;
use serde_json::json;

use super::{
    client::post,
    running::{Running, Source, is_prediction, photos},
};
use crate::Settings;

/// On one thread: where a connection was handed to another one for a short request, this would panic.
#[tokio::test]
async fn a_short_request_is_read_and_answered_by_the_thread_of_its_connection() {
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

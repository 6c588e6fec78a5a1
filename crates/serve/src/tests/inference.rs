//! The Open Inference Protocol.

use resnet::{data::photo::PhotoDecoder, engine::Input, model_file::Model, predictor::Computes};
use serde_json::json;

use super::{
    client::{get, post, send},
    running::{Running, photos, predictor},
};
use crate::Limits;

/// Three images, and their logits.
fn images() -> (Vec<f32>, Vec<f32>) {
    let predictor = predictor(Model::demo());
    let len = 3 * predictor.preparation().image_len();
    let values: Vec<f32> = (0..len).map(|i| ((i * i) % 97) as f32 / 24.0 - 2.0).collect();
    let mut plan = predictor.plan(Computes::Logits, 3).unwrap();
    let logits = plan.predict(Input::Nchw(&values), 3).unwrap().all_logits().to_vec();
    (values, logits)
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn logits_are_those_of_the_network_in_json_and_binary() {
    let running = Running::demo(Limits::default()).await;
    let (values, logits) = images();
    let path = "/v2/models/demo/infer";
    let input = json!({ "name": "input", "shape": [3, 3, 32, 32], "datatype": "FP32" });
    let mut request = json!({ "id": "42", "inputs": [input] });
    request["inputs"][0]["data"] = json!(values);
    let reply =
        post(running.address, path, "application/json", request.to_string().as_bytes()).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let answer = reply.json();
    assert_eq!((&answer["model_name"], &answer["id"]), (&json!("demo"), &json!("42")));
    let output = &answer["outputs"][0];
    assert_eq!((&output["name"], &output["datatype"]), (&json!("logits"), &json!("FP32")));
    assert_eq!(output["shape"], json!([3, 10]));
    let data = output["data"].as_array().unwrap().iter();
    let data: Vec<f32> = data.map(|x| x.as_f64().unwrap() as f32).collect();
    assert_eq!(data, logits);

    // As Triton's client sends it.
    request["inputs"][0].as_object_mut().unwrap().remove("data");
    let values = bytes(&values);
    request["inputs"][0]["parameters"] = json!({ "binary_data_size": values.len() });
    request["outputs"] = json!([{ "name": "logits", "parameters": { "binary_data": true } }]);
    let head = request.to_string();
    let length = head.len().to_string();
    let headers = [("Inference-Header-Content-Length", &*length)];
    let body = [head.as_bytes(), &values].concat();
    let reply = send(running.address, &format!("POST {path}"), &headers, &body).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let json_len: usize = reply.header("inference-header-content-length").unwrap().parse().unwrap();
    let (head, data) = reply.body.split_at(json_len);
    let answer: serde_json::Value = serde_json::from_slice(head).unwrap();
    assert_eq!(answer["outputs"][0]["parameters"]["binary_data_size"], data.len());
    assert_eq!(data, bytes(&logits));
    assert_eq!(running.logged("request")[1]["images"], 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn pixels_are_normalised_as_those_of_photos() {
    let running = Running::demo(Limits::default()).await;
    let (files, expected) = photos(Computes::Logits);
    let model = running.model();
    let preparation = model.predictor.preparation();
    let decoder = PhotoDecoder::new(1 << 20);
    let (channels, plane) = (3, preparation.image_size * preparation.image_size);
    let mut planes = Vec::new();
    for file in &files {
        let (pixels, _) = decoder.prepare(file, preparation).unwrap();
        planes.extend((0..pixels.len()).map(|i| pixels[i % plane * channels + i / plane]));
    }
    let parameters = json!({ "binary_data_size": planes.len() });
    let shape = json!([files.len(), 3, 32, 32]);
    let input =
        json!({ "name": "input", "shape": shape, "datatype": "UINT8", "parameters": parameters });
    let head = json!({ "inputs": [input] }).to_string();
    let length = head.len().to_string();
    let headers = [("Inference-Header-Content-Length", &*length)];
    let body = [head.as_bytes(), &planes].concat();
    let path = "POST /v2/models/demo/versions/1/infer";
    let reply = send(running.address, path, &headers, &body).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let answer = reply.json();
    let data = answer["outputs"][0]["data"].as_array().unwrap().iter();
    let data: Vec<f32> = data.map(|x| x.as_f64().unwrap() as f32).collect();
    assert_eq!(data, expected.all_logits());
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_names_input_and_output() {
    let running = Running::demo(Limits::default()).await;
    let server = get(running.address, "/v2").await.json();
    assert_eq!(server["extensions"], json!(["binary_tensor_data"]));
    let model = get(running.address, "/v2/models/demo").await.json();
    let tensor = |name, shape| json!({ "name": name, "datatype": "FP32", "shape": shape });
    assert_eq!(model["inputs"], json!([tensor("input", json!([-1, 3, 32, 32]))]));
    assert_eq!(model["outputs"], json!([tensor("logits", json!([-1, 10]))]));
    assert_eq!(get(running.address, "/v2/models/demo/versions/1").await.json(), model);
    for path in ["/v2/models/demo/ready", "/v2/models/demo/versions/1/ready"] {
        assert_eq!(get(running.address, path).await.status, 200);
    }
    let other = get(running.address, "/v2/models/demo/versions/2/ready").await;
    other.is_problem(404, "unknown_version");
    get(running.address, "/v2/models/none").await.is_problem(404, "unknown_model");
    get(running.address, "/v2/models/none/ready").await.is_problem(404, "unknown_model");
    let wrong = post(running.address, "/v2/models/demo/infer", "", b"{}").await;
    wrong.is_problem(400, "invalid_request");
}

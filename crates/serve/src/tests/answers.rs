//! What is answered: predictions in every form, state, metrics, the page.

use std::{collections::BTreeSet, path::PathBuf, sync::Arc};

use axum::{body::to_bytes, extract::State};
use base64::{Engine, prelude::BASE64_STANDARD};
use resnet::predictor::Computes;
use serde_json::{Value, json};

use super::{
    client::{get, post},
    running::{Running, Source, is_prediction, photos},
};
use crate::{Limits, Log, ModelSource, Settings, handlers::models, service::Service};

const PAGE: &str = include_str!("../page.html");
const OPENAPI: &str = include_str!("../openapi.json");
const FORM: &str = "multipart/form-data; boundary=xyz";

fn form<'a>(photos: impl IntoIterator<Item = &'a Vec<u8>>) -> Vec<u8> {
    let mut body = Vec::new();
    for photo in photos {
        let head = "--xyz\r\nContent-Disposition: form-data; name=\"f\"; filename=\"secret.jpg\"";
        body.extend_from_slice(format!("{head}\r\n\r\n").as_bytes());
        body.extend_from_slice(photo);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--xyz--\r\n");
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn predictions_are_those_of_predict_in_every_form() {
    let running = Running::demo(Limits::default()).await;
    let (files, expected) = photos(Computes::Logits);
    for (i, file) in files.iter().enumerate() {
        let reply = post(running.address, "/v1/predict?top_k=10", "image/x", file).await;
        assert_eq!((reply.status, reply.header("content-type")), (200, Some("application/json")));
        let json = reply.json();
        assert_eq!(
            (&json["model"], json["predictions"].as_array().unwrap().len()),
            (&json!("demo"), 1)
        );
        assert_eq!(json["predictions"][0]["top"].as_array().unwrap().len(), 10);
        is_prediction(&json["predictions"][0], &expected, i);
    }
    let path = "/v1/models/demo/predict?probabilities=true";
    let reply = post(running.address, path, FORM, &form(&files)).await;
    let found = reply.json()["predictions"].as_array().unwrap().clone();
    assert_eq!(found.len(), files.len());
    for (i, found) in found.iter().enumerate() {
        assert_eq!(found["top"].as_array().unwrap().len(), 5);
        is_prediction(found, &expected, i);
        let all = found["probabilities"].as_array().unwrap().iter();
        let all: Vec<f32> = all.map(|p| p.as_f64().unwrap() as f32).collect();
        assert_eq!(all, expected.probabilities(i));
        let class = found["top"][0]["index"].as_u64().unwrap() as usize;
        assert_eq!(found["top"][0]["class"], running.model().predictor.classes()[class]);
    }
    let images: Vec<_> = files.iter().map(|file| BASE64_STANDARD.encode(file)).collect();
    let body = json!({ "images": images, "top_k": 1 }).to_string();
    let reply = post(running.address, "/v1/predict", "application/json", body.as_bytes()).await;
    for (i, found) in reply.json()["predictions"].as_array().unwrap().iter().enumerate() {
        assert_eq!(found["top"].as_array().unwrap().len(), 1);
        is_prediction(found, &expected, i);
    }
    // The log has what was done, and nothing that a client called its own.
    let lines = running.logged("request");
    assert_eq!(lines.len(), files.len() + 2);
    let line = &lines[files.len()];
    assert_eq!(
        (&line["model"], &line["images"], &line["status"]),
        (&"demo".into(), &8.into(), &200.into())
    );
    assert_eq!(line["route"], "/v1/models/{name}/predict");
    for time in ["queue_ms", "decode_ms", "compute_ms", "total_ms"] {
        assert!(line[time].as_f64().unwrap() >= 0.0);
    }
    assert!(!running.log.lock().unwrap().concat().contains("secret"));
    running.stop().await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn heat_maps_come_with_the_predictions_of_predict_cam() {
    let running = Running::demo(Limits::default()).await;
    let (files, expected) = photos(Computes::Features);
    let reply = post(running.address, "/v1/predict?heat_map=true", FORM, &form(&files)).await;
    let json = reply.json();
    for (i, found) in json["predictions"].as_array().unwrap().iter().enumerate() {
        is_prediction(found, &expected, i);
        let map = &found["heat_map"];
        assert_eq!(map["index"], found["top"][0]["index"]);
        let png = BASE64_STANDARD.decode(map["png"].as_str().unwrap()).unwrap();
        assert!(png.starts_with(b"\x89PNG"));
        let region = json!({ "left": 0.0, "top": 0.0, "width": 1.0, "height": 1.0 });
        assert_eq!(map["region"], region, "the demo takes whole photos");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreadable_image_spoils_no_other() {
    let running = Running::demo(Limits::default()).await;
    let (files, expected) = photos(Computes::Logits);
    let (text, cut) = (b"text".to_vec(), files[1][..files[1].len() / 2].to_vec());
    let reply = post(running.address, "/v1/predict", FORM, &form([&text, &files[0], &cut])).await;
    assert_eq!(reply.status, 200);
    let found = &reply.json()["predictions"];
    is_prediction(&found[1], &expected, 0);
    let error = |i: usize| found[i]["error"].as_str().unwrap().to_owned();
    assert!(error(0).starts_with("image 0 is not an image in a supported format"), "{}", error(0));
    assert!(error(2).starts_with("image 2 is "), "{}", error(2));
    let none = post(running.address, "/v1/predict", FORM, &form([&text, &cut])).await;
    none.is_problem(422, "unreadable_image");
    let line = &running.logged("request")[1];
    assert_eq!((&line["model"], &line["images"]), (&"demo".into(), &2.into()));
    assert!(line["decode_ms"].is_number(), "{line}");
    let one = post(running.address, "/v1/predict", "image/png", &text).await;
    let detail = one.is_problem(422, "unreadable_image").json()["detail"].clone();
    assert!(detail.as_str().unwrap().starts_with("the file is not an image"), "{detail}");
}

#[tokio::test(flavor = "multi_thread")]
async fn state_metrics_and_models() {
    let running = Running::demo(Limits::default()).await;
    for path in ["/healthz", "/readyz", "/v2/health/live", "/v2/health/ready", "/v2"] {
        assert_eq!(get(running.address, path).await.status, 200, "{path}");
    }
    let models = get(running.address, "/v1/models").await.json();
    assert_eq!(models["models"][0]["classes"][3], "cat");
    assert_eq!(models["models"][0]["image_size"], 32);
    assert_eq!(models["limits"]["images"], 32);
    assert_eq!(models["loading"], 0);
    let openapi = get(running.address, "/openapi.json").await.json();
    let name = openapi.pointer("/components/parameters/name/schema").unwrap();
    assert_eq!(name, &json!({ "enum": ["demo"] }));
    let (files, _) = photos(Computes::Logits);
    post(running.address, "/v1/predict", "", &files[0]).await;
    post(running.address, "/v1/predict", "text/plain", &files[0]).await;
    let metrics = get(running.address, "/metrics").await;
    assert!(metrics.header("content-type").unwrap().starts_with("text/plain; version=0.0.4"));
    for line in [
        "resnet_requests_total{route=\"/v1/predict\",status=\"200\"} 1",
        "resnet_requests_total{route=\"/v1/predict\",status=\"415\"} 1",
        "resnet_refusals_total{code=\"media_type\"} 1",
        "resnet_images_total{model=\"demo\"} 1",
        "resnet_batch_images_count{model=\"demo\"} 1",
        "resnet_model_loads_total{model=\"demo\",result=\"ok\"} 1",
        "resnet_image_seconds_count{stage=\"compute\"} 1",
        "resnet_models_ready 1",
        "resnet_images_pending 0",
    ] {
        assert!(metrics.text().lines().any(|found| found == line), "{line}\n{}", metrics.text());
    }
    let ready = &running.logged("ready")[0];
    let memory = ready["memory"].as_object().unwrap();
    let bytes: u64 = memory.values().map(|bytes| bytes.as_u64().unwrap()).sum();
    assert_eq!(bytes, 2 * memory["total_bytes"].as_u64().unwrap(), "{ready}");
}

#[tokio::test(flavor = "multi_thread")]
async fn models_that_are_not_loaded_yet_are_counted_and_lost_ones_are_not() {
    let sources = [("demo", None), ("later", Some(PathBuf::from("none.safetensors")))];
    let source = |(name, path): (&str, _)| -> (String, Box<dyn ModelSource>) {
        (name.to_owned(), Box::new(Source(path)))
    };
    let sources = sources.map(source).into();
    let service = Service::new(Settings::default(), sources, Log::new(|_| {})).unwrap();
    assert!(service.registry.load().is_err(), "there is no such file");
    let service = Arc::new(service);
    for ready in [1, 0] {
        let reply = models(State(Arc::clone(&service))).await.unwrap();
        let body = to_bytes(reply.into_body(), 1 << 20).await.unwrap();
        let json: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(json["models"].as_array().unwrap().len(), ready);
        assert_eq!(json["loading"], 1);
        if let Ok(demo) = service.registry.get(None) {
            demo.lose();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_loads_nothing_and_only_its_own_script_runs() {
    let running = Running::demo(Limits::default()).await;
    let page = get(running.address, "/").await;
    assert_eq!((page.status, page.text()), (200, PAGE.to_owned()));
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'; script-src 'sha256-"), "{policy}");
    assert!(!policy.contains("unsafe"));
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
    for outside in ["http:", "https:", " src=", "@import", "<link rel=\"style", "onclick", "style="]
    {
        assert!(!PAGE.contains(outside), "{outside}");
    }
    assert_eq!((PAGE.matches("<script").count(), PAGE.matches("<style").count()), (1, 1));
}

#[test]
fn openapi_lists_the_routes() {
    let routes = include_str!("../app.rs").split(".route(\"").skip(1);
    let routes: BTreeSet<&str> = routes.filter_map(|rest| rest.split('"').next()).collect();
    let openapi: Value = serde_json::from_str(OPENAPI).unwrap();
    let paths: BTreeSet<&str> =
        openapi["paths"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(routes, paths);
    assert_eq!(openapi["info"]["version"], env!("CARGO_PKG_VERSION"));
    // Every reference leads somewhere.
    for reference in OPENAPI.split("\"$ref\": \"#").skip(1) {
        let pointer = reference.split('"').next().unwrap();
        assert!(openapi.pointer(pointer).is_some(), "{pointer}");
    }
}

//! Tokens, and pages of other origins.

use super::{
    client::{get, send},
    running::{Running, Source},
};
use crate::Settings;

async fn start(settings: Settings) -> Running {
    Running::start(settings, vec![("demo".to_owned(), Box::new(Source(None)))]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn only_clients_with_a_token_are_answered() {
    let tokens = vec!["first".to_owned(), "second".to_owned()];
    let running = start(Settings { tokens, ..Settings::default() }).await;
    for path in ["/", "/healthz", "/readyz", "/openapi.json", "/v2/health/live"] {
        assert_eq!(get(running.address, path).await.status, 200, "{path}");
    }
    for path in ["/metrics", "/v1/models", "/v2/models/demo", "/nothing"] {
        let reply = get(running.address, path).await;
        assert_eq!(reply.is_problem(401, "token").header("www-authenticate"), Some("Bearer"));
    }
    let with = async |value: &str| {
        send(running.address, "GET /v1/models", &[("Authorization", value)], &[]).await.status
    };
    for good in ["Bearer first", "bearer second"] {
        assert_eq!(with(good).await, 200, "{good}");
    }
    for bad in ["Bearer", "Bearer firs", "Bearer first2", "Basic first", "first"] {
        assert_eq!(with(bad).await, 401, "{bad}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_other_origins_are_allowed_by_name() {
    let cors = vec!["https://a.example".to_owned()];
    let tokens = vec!["token".to_owned()];
    let running = start(Settings { cors, tokens, ..Settings::default() }).await;
    let ask = async |request: &str, origin: &str| {
        let method = ("Access-Control-Request-Method", "POST");
        send(running.address, request, &[("Origin", origin), method], &[]).await
    };
    let allowed = ask("OPTIONS /v1/predict", "https://a.example").await;
    assert_eq!(allowed.status, 204);
    let header = allowed.header("access-control-allow-origin");
    assert_eq!(header, Some("https://a.example"));
    let names = allowed.header("access-control-allow-headers").unwrap();
    assert!(names.contains("authorization") && names.contains("content-type"));
    // A problem can be read as well.
    let problem = ask("GET /v1/models", "https://a.example").await;
    assert_eq!((problem.status, problem.header("vary")), (401, Some("Origin")));
    assert!(problem.header("access-control-allow-origin").is_some());
    let other = ask("OPTIONS /v1/predict", "https://b.example").await;
    assert_eq!(other.header("access-control-allow-origin"), None);

    let closed = start(Settings::default()).await;
    let origin = [("Origin", "https://a.example")];
    let reply = send(closed.address, "GET /v1/models", &origin, &[]).await;
    assert_eq!((reply.status, reply.header("access-control-allow-origin")), (200, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_other_origins_are_refused() {
    let closed = start(Settings::default()).await;
    let post = async |running: &Running, origin: &str| {
        send(running.address, "POST /v1/predict", &[("Origin", origin)], b"no photo").await
    };
    for foreign in ["https://a.example", "http://x:8000", "http://x.example", "null", "x"] {
        post(&closed, foreign).await.is_problem(403, "origin");
    }
    for own in ["http://x", "https://X"] {
        post(&closed, own).await.is_problem(422, "unreadable_image");
    }
    let none = send(closed.address, "POST /v1/predict", &[], b"no photo").await;
    none.is_problem(422, "unreadable_image");

    let cors = vec!["https://a.example".to_owned()];
    let named = start(Settings { cors, ..Settings::default() }).await;
    post(&named, "https://a.example").await.is_problem(422, "unreadable_image");
    post(&named, "http://x").await.is_problem(422, "unreadable_image");
    post(&named, "https://b.example").await.is_problem(403, "origin");
    let any = start(Settings { cors: vec!["*".to_owned()], ..Settings::default() }).await;
    post(&any, "null").await.is_problem(422, "unreadable_image");
}

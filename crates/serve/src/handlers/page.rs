//! The page, and the description of the interface for programs.

use std::sync::LazyLock;

use axum::{
    body::{Body, Bytes},
    http::{HeaderValue, Response, header},
};
use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::answer;
use crate::registry::Registry;

/// A file of its own: it loads nothing.
const PAGE: &str = include_str!("../page.html");
const OPENAPI: &str = include_str!("../openapi.json");

/// Of the page only its own script and style run, and it talks to this service alone.
static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let hash = |element: &str| {
        let text = between(PAGE, &format!("<{element}>"), &format!("</{element}>"));
        format!("'sha256-{}'", BASE64_STANDARD.encode(Sha256::digest(text)))
    };
    let policy = format!(
        "default-src 'none'; script-src {}; style-src {}; img-src blob: data:; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        hash("script"),
        hash("style")
    );
    policy.try_into().expect("it is ASCII")
});

fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    let (_, rest) = text.split_once(start).expect("the page has a script and a style");
    rest.split_once(end).expect("they end").0
}

/// The page.
pub(crate) async fn page() -> Response<Body> {
    let mut response = answer("text/html; charset=utf-8", PAGE);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, POLICY.clone());
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

/// The description of the interface (OpenAPI 3.1), with the names of the models.
pub(crate) fn openapi(registry: &Registry) -> Bytes {
    let mut openapi: Value = serde_json::from_str(OPENAPI).expect("it is JSON");
    let names: Vec<_> = registry.names().collect();
    openapi["components"]["parameters"]["name"]["schema"] = json!({ "enum": names });
    openapi.to_string().into()
}

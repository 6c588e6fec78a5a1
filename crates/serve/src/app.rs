//! The routes, and what is done for each of them: the log and metrics, other origins, tokens.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Body,
    extract::{MatchedPath, Request, State},
    http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header},
    middleware::{Next, from_fn_with_state},
    response::IntoResponse,
    routing::{get, post},
};
use serde_json::json;

use crate::{
    details::{Details, Times},
    handlers::{answer, healthz, metrics, models, openapi, page, predict, predict_named, readyz},
    infer,
    problem::{Problem, Refusal},
    service::Service,
};

/// Routes that need no token: they hold nothing of clients.
const OPEN: [&str; 6] =
    ["/", "/healthz", "/readyz", "/openapi.json", "/v2/health/live", "/v2/health/ready"];
/// Routes that are asked for every few seconds: while all is well the log leaves them out.
const QUIET: [&str; 5] = ["/healthz", "/readyz", "/metrics", "/v2/health/live", "/v2/health/ready"];

/// The whole service.
pub(crate) fn router(service: Arc<Service>) -> Router {
    let openapi = openapi(&service.registry);
    Router::new()
        .route("/", get(page))
        .route("/openapi.json", get(move || async move { answer("application/json", openapi) }))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/v1/models", get(models))
        .route("/v1/predict", post(predict))
        .route("/v1/models/{name}/predict", post(predict_named))
        .route("/v2", get(infer::server))
        .route("/v2/health/live", get(infer::live))
        .route("/v2/health/ready", get(infer::ready))
        .route("/v2/models/{name}", get(infer::model))
        .route("/v2/models/{name}/ready", get(infer::model_ready))
        .route("/v2/models/{name}/infer", post(infer::infer))
        .route("/v2/models/{name}/versions/{version}", get(infer::model))
        .route("/v2/models/{name}/versions/{version}/ready", get(infer::model_ready))
        .route("/v2/models/{name}/versions/{version}/infer", post(infer::infer))
        .fallback(not_found)
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn_with_state(Arc::clone(&service), authorise))
        .layer(from_fn_with_state(Arc::clone(&service), other_origins))
        .layer(from_fn_with_state(Arc::clone(&service), observe))
        .with_state(service)
}

async fn not_found() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "unknown_path", "/openapi.json lists what there is")
}

async fn wrong_method() -> Problem {
    let detail = "the path takes another method: /openapi.json lists them";
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method", detail)
}

/// Lets requests with a token pass.
async fn authorise(
    State(service): State<Arc<Service>>,
    request: Request,
    next: Next,
) -> Response<Body> {
    let tokens = &service.settings.tokens;
    if tokens.is_empty() || OPEN.contains(&request.uri().path()) {
        return next.run(request).await;
    }
    let given = request.headers().get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
    let given = given.and_then(|value| {
        let (scheme, token) = value.split_at_checked("Bearer ".len())?;
        scheme.eq_ignore_ascii_case(b"Bearer ").then_some(token)
    });
    // All tokens are compared, whichever fits.
    let fits = given.is_some_and(|given| {
        tokens.iter().fold(false, |fits, token| fits | is_equal(given, token.as_bytes()))
    });
    if !fits {
        let detail = "give one of the service's tokens: Authorization: Bearer TOKEN";
        return Problem::new(StatusCode::UNAUTHORIZED, "token", detail).into_response();
    }
    next.run(request).await
}

/// Whether two texts are equal, in a time that depends on their lengths only.
fn is_equal(a: &[u8], b: &[u8]) -> bool {
    let differences = a.iter().zip(b).fold(0, |all, (a, b)| std::hint::black_box(all | (a ^ b)));
    a.len() == b.len() && differences == 0
}

/// Refuses pages of other origins, but for those in the settings.
async fn other_origins(
    State(service): State<Arc<Service>>,
    request: Request,
    next: Next,
) -> Response<Body> {
    let allowed = &service.settings.cors;
    let is_asked = !allowed.is_empty()
        && request.method() == Method::OPTIONS
        && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let origin = request.headers().get(header::ORIGIN).cloned();
    let is_own = origin.as_ref().is_none_or(|origin| is_own(origin, request.headers()));
    let origin = origin.filter(|origin| {
        allowed.iter().any(|one| one == "*" || one.as_bytes() == origin.as_bytes())
    });
    let is_refused = request.method() == Method::POST && !is_own && origin.is_none();
    let mut response = match is_asked {
        true => StatusCode::NO_CONTENT.into_response(),
        false if is_refused => foreign().into_response(),
        false => next.run(request).await,
    };
    if allowed.is_empty() {
        return response;
    }
    let headers = response.headers_mut();
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    if let Some(origin) = origin {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        let set = |headers: &mut HeaderMap, name, value| {
            headers.insert(name, HeaderValue::from_static(value));
        };
        set(
            headers,
            header::ACCESS_CONTROL_EXPOSE_HEADERS,
            "inference-header-content-length, retry-after",
        );
        if is_asked {
            set(headers, header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST");
            let names = "authorization, content-type, inference-header-content-length";
            set(headers, header::ACCESS_CONTROL_ALLOW_HEADERS, names);
            set(headers, header::ACCESS_CONTROL_MAX_AGE, "3600");
        }
    }
    response
}

/// Whether a page is one of the service: its origin is the host that the request names.
fn is_own(origin: &HeaderValue, headers: &HeaderMap) -> bool {
    let origin = origin.as_bytes();
    let page = origin.strip_prefix(b"http://").or_else(|| origin.strip_prefix(b"https://"));
    let host = headers.get(header::HOST).map(HeaderValue::as_bytes);
    page.zip(host).is_some_and(|(page, host)| page.eq_ignore_ascii_case(host))
}

fn foreign() -> Problem {
    let detail = "a page of another origin may not use the service, unless --cors names its \
                  origin; a proxy before it has to pass the header Host on";
    Problem::new(StatusCode::FORBIDDEN, "origin", detail)
}

/// Counts a request while it is answered, and one whose client leaves before.
struct InFlight {
    service: Arc<Service>,
    route: String,
    is_answered: bool,
}

impl InFlight {
    fn new(service: &Arc<Service>, route: String) -> InFlight {
        service.metrics.in_flight.fetch_add(1, Ordering::Relaxed);
        InFlight { service: Arc::clone(service), route, is_answered: false }
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let metrics = &self.service.metrics;
        if !self.is_answered {
            metrics.cancelled(&self.route);
        }
        metrics.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Counts and logs a request.
async fn observe(
    State(service): State<Arc<Service>>,
    request: Request,
    next: Next,
) -> Response<Body> {
    let started = Instant::now();
    // The pattern of the route, never what a client wrote.
    let route = request.extensions().get::<MatchedPath>();
    let route = route.map_or("other", MatchedPath::as_str).to_owned();
    let mut in_flight = InFlight::new(&service, route.clone());
    let mut response = next.run(request).await;
    in_flight.is_answered = true;
    let (status, time) = (response.status(), started.elapsed());
    let nosniff = HeaderValue::from_static("nosniff");
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, nosniff);
    if service.is_draining() {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    service.metrics.request(&route, status.as_u16(), time);
    if status.is_success() && QUIET.contains(&&*route) {
        return response;
    }
    let mut line =
        json!({ "route": route, "status": status.as_u16(), "total_ms": milliseconds(time) });
    if let Some(Refusal(code)) = response.extensions().get::<Refusal>() {
        service.metrics.refusal(code);
        line["code"] = json!(code);
    }
    if let Some(Details { model, images, times }) = response.extensions().get::<Details>() {
        line["model"] = json!(model);
        line["images"] = json!(images);
        if let Some(Times { queue, decode, compute }) = times {
            line["queue_ms"] = json!(milliseconds(*queue));
            line["decode_ms"] = json!(milliseconds(*decode));
            line["compute_ms"] = json!(milliseconds(*compute));
        }
    }
    service.log.write("request", line);
    response
}

/// To a hundredth.
fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e5).round() / 1e2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_compared_whole() {
        assert!(is_equal(b"abc", b"abc"));
        for other in [&b""[..], b"ab", b"abcd", b"abd", b"xbc"] {
            assert!(!is_equal(b"abc", other) && !is_equal(other, b"abc"));
        }
    }
}

//! Reads bodies within limits of size, time and memory.

use std::{
    future::poll_fn,
    pin::{Pin, pin},
    sync::Arc,
};

use axum::{
    body::{Body, Bytes, HttpBody},
    http::{HeaderMap, StatusCode, header},
};
use tokio::{sync::Semaphore, time::timeout};

use crate::{held::Held, problem::Problem, settings::Limits};

/// Reads a body. Its memory counts until the last part of it is dropped; `memory` has a permit for each KiB.
pub(crate) async fn read(
    headers: &HeaderMap,
    body: Body,
    limits: &Limits,
    memory: &Arc<Semaphore>,
) -> Result<Bytes, Problem> {
    if headers.contains_key(header::CONTENT_ENCODING) {
        let detail = "compressed bodies are not read: send it without Content-Encoding";
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "encoding", detail));
    }
    let body = pin!(body);
    let stated =
        headers.get(header::CONTENT_LENGTH).and_then(|len| len.to_str().ok()?.parse().ok());
    match stated {
        Some(len) if len > limits.body as u64 => Err(too_large(limits)),
        _ => {
            let all = all(body, stated, limits, memory);
            timeout(limits.body_time, all).await.unwrap_or_else(|_| Err(slow()))
        }
    }
}

fn slow() -> Problem {
    let detail = "the body did not arrive in time: send it faster, or a smaller one";
    Problem::new(StatusCode::REQUEST_TIMEOUT, "slow_body", detail)
}

fn too_large(limits: &Limits) -> Problem {
    let detail = format!(
        "the body is larger than the limit of {} bytes: send smaller or fewer images",
        limits.body
    );
    Problem::too_large("body_too_large", detail)
}

async fn all(
    mut body: Pin<&mut Body>,
    stated: Option<u64>,
    limits: &Limits,
    memory: &Arc<Semaphore>,
) -> Result<Bytes, Problem> {
    let mut held = Held::new(stated.map_or(limits.body, |len| len as usize));
    loop {
        // A body that stalls gives its memory back.
        let data = timeout(limits.read_time, data(body.as_mut())).await.map_err(|_| slow())??;
        let Some(data) = data else { return Ok(held.freeze()) };
        if held.len() + data.len() > limits.body {
            return Err(too_large(limits));
        }
        held.extend(&data, memory)?;
    }
}

/// The next piece of a body.
async fn data(mut body: Pin<&mut Body>) -> Result<Option<Bytes>, Problem> {
    loop {
        match poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
            None => return Ok(None),
            Some(Ok(frame)) => {
                // Trailers are left out.
                if let Ok(data) = frame.into_data() {
                    return Ok(Some(data));
                }
            }
            Some(Err(_)) => return Err(Problem::invalid("the body broke off")),
        }
    }
}

/// The media type of a body, in lower case, without its parameters; empty if there is none.
pub(crate) fn media_type(headers: &HeaderMap) -> String {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = value.unwrap_or_default().split(';').next().unwrap_or_default();
    kind.trim().to_ascii_lowercase()
}

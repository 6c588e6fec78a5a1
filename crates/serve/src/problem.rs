//! Errors as answers: JSON problems (RFC 9457).

use std::borrow::Cow;

use axum::{
    body::Body,
    extract::rejection::PathRejection,
    http::{HeaderValue, Response, StatusCode, header},
    response::IntoResponse,
};
use serde_json::json;

use crate::details::Details;

/// Characters of a detail, at most: some repeat what a client sent, which can be as long as its body.
const DETAIL: usize = 1000;

/// An error as an answer. `code` tells programs what went wrong, `detail` people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) status: StatusCode,
    pub(crate) code: &'static str,
    pub(crate) detail: Cow<'static, str>,
    /// Seconds after which the request may be sent again.
    pub(crate) retry_after: Option<u64>,
    /// What the log has of the request, if it is known for which model it is.
    pub(crate) details: Option<Box<Details>>,
}

impl Problem {
    pub(crate) fn new(
        status: StatusCode,
        code: &'static str,
        detail: impl Into<Cow<'static, str>>,
    ) -> Problem {
        let mut detail: Cow<'static, str> = detail.into();
        if let Some((end, _)) = detail.char_indices().nth(DETAIL) {
            detail = format!("{}...", &detail[..end]).into();
        }
        Problem { status, code, detail, retry_after: None, details: None }
    }

    /// With what the log has of the request.
    pub(crate) fn with(self, details: Details) -> Problem {
        Problem { details: Some(Box::new(details)), ..self }
    }

    /// Adds what the log has of a request to its answer.
    pub(crate) fn with_details(
        answer: Result<Response<Body>, Problem>,
        details: Details,
    ) -> Result<Response<Body>, Problem> {
        match answer {
            Ok(mut response) => {
                response.extensions_mut().insert(details);
                Ok(response)
            }
            Err(problem) => Err(problem.with(details)),
        }
    }

    /// A request that cannot be understood.
    pub(crate) fn invalid(detail: impl Into<Cow<'static, str>>) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, "invalid_request", detail)
    }

    /// A request that is larger than a limit.
    pub(crate) fn too_large(code: &'static str, detail: impl Into<Cow<'static, str>>) -> Problem {
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, code, detail)
    }

    /// A request that may be sent again.
    pub(crate) fn unavailable(
        code: &'static str,
        detail: impl Into<Cow<'static, str>>,
        retry_after: u64,
    ) -> Problem {
        let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, code, detail);
        Problem { retry_after: Some(retry_after), ..problem }
    }

    /// The GPU of this model went away.
    pub(crate) fn gpu_lost(model: &str) -> Problem {
        let remedy = "the log of the service says whether it could be loaded again";
        let detail = format!("the GPU of the model {model} was lost: {remedy}");
        Problem::unavailable("gpu_lost", detail, 10)
    }

    /// What the network computed cannot be an answer.
    pub(crate) fn not_finite() -> Problem {
        let detail = "the network's output is NaN or infinite: its weights do not fit the image";
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "not_finite", detail)
    }

    /// Something here failed that should not.
    pub(crate) fn internal() -> Problem {
        let detail = "the service failed at this request: its log says more";
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", detail)
    }
}

impl From<PathRejection> for Problem {
    fn from(_: PathRejection) -> Problem {
        Problem::invalid("the name in the path is no UTF-8")
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response<Body> {
        let body = json!({
            "type": "about:blank",
            "title": self.status.canonical_reason().unwrap_or_default(),
            "status": self.status.as_u16(),
            "code": self.code,
            "detail": self.detail,
            // Where clients of the Open Inference Protocol look.
            "error": self.detail,
        });
        let mut response = Response::new(Body::from(body.to_string()));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        let json = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, json);
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response.extensions_mut().insert(Refusal(self.code));
        if let Some(details) = self.details {
            response.extensions_mut().insert(*details);
        }
        response
    }
}

/// The `code` of the problem in an answer, for the metrics.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Refusal(pub(crate) &'static str);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_detail_is_not_as_long_as_what_a_client_sent() {
        assert_eq!(Problem::invalid("é".repeat(DETAIL)).detail, "é".repeat(DETAIL));
        let cut = Problem::invalid("é".repeat(1 << 20));
        assert_eq!(cut.detail, format!("{}...", "é".repeat(DETAIL)));
    }
}

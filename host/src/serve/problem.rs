//! Errors on the wire: `application/problem+json` (RFC 9457), with a `reason` that programs may
//! rely on and a `detail` for people.

use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use crate::core::{Kind, Refusal};

/// What every `type` begins with; the rest is the reason. A name, not a page.
const TYPE_PREFIX: &str = "urn:tollgate:problem:";

/// An error as it is sent, and as the command line reads it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Problem {
    /// Names the kind of problem, for ever.
    #[serde(rename = "type")]
    kind: String,
    /// The status again, in words.
    title: String,
    /// The HTTP status.
    pub(crate) status: u16,
    /// The last part of `type`.
    pub(crate) reason: String,
    /// What was expected and what was found.
    pub(crate) detail: String,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, reason: &str, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("{TYPE_PREFIX}{reason}"),
            title: status.canonical_reason().unwrap_or_default().to_owned(),
            status: status.as_u16(),
            reason: reason.to_owned(),
            detail: detail.into(),
        }
    }

    /// No token, or one that nobody has: the same words for both.
    pub(crate) fn unauthorized() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "unauthorized",
            "expected the header `Authorization: Bearer` with a token this host has made",
        )
    }

    /// Whether asking again as before may help.
    pub(crate) fn is_hosts_fault(&self) -> bool {
        self.status >= 500
    }

    /// A request that cannot be right.
    pub(crate) fn invalid(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid", detail)
    }

    /// A path that is not one of this service.
    pub(crate) fn no_path() -> Self {
        Self::new(StatusCode::NOT_FOUND, "no_path", "this service has no such path")
    }

    /// The system gives no random bytes, and without them no key or token is made.
    #[expect(clippy::needless_pass_by_value, reason = "for map_err")]
    pub(crate) fn no_chance(error: std::io::Error) -> Self {
        tracing::error!("the system gives no random bytes: {error}");
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "no_random_bytes",
            "the system gives no random bytes: try again",
        )
    }

    /// The host goes down; nothing was done.
    pub(crate) fn stopping() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "stopping",
            "this host is stopping: ask again once it is back",
        )
    }

    /// A body past its path's limit.
    pub(crate) fn too_large() -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "too_large",
            "the body is larger than this path takes",
        )
    }

    /// A body that came too slowly.
    pub(crate) fn timeout() -> Self {
        Self::new(
            StatusCode::REQUEST_TIMEOUT,
            "timeout",
            "the request's body did not arrive in time",
        )
    }

    /// Not answered in time. Unlike with [`Problem::busy`], nobody knows what became of it.
    pub(crate) fn late(limit: Duration) -> Self {
        Self::new(
            StatusCode::GATEWAY_TIMEOUT,
            "late",
            format!(
                "no answer within {limit:?}: it may have been done, so look before asking again"
            ),
        )
    }

    /// A panic under this request; the log has it.
    pub(crate) fn fault() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "fault",
            "a fault in this host, which its log tells of, cut this short: it may have been done, \
             so look before asking again",
        )
    }

    /// More at once than this host takes on; nothing was done.
    pub(crate) fn busy() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "busy",
            "too much is under way: try again in a second",
        )
    }
}

/// The one place where refusals become HTTP.
impl From<&Refusal> for Problem {
    fn from(refusal: &Refusal) -> Self {
        let status = match refusal.kind() {
            Kind::Unauthenticated => return Self::unauthorized(),
            Kind::NotFound => StatusCode::NOT_FOUND,
            Kind::Conflict => StatusCode::CONFLICT,
            Kind::Invalid => StatusCode::BAD_REQUEST,
            Kind::Forbidden => StatusCode::FORBIDDEN,
            Kind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
            Kind::Damaged => StatusCode::INTERNAL_SERVER_ERROR,
        };
        if status.is_server_error() {
            tracing::error!("a request failed: {refusal}");
        }
        Self::new(status, refusal.reason(), refusal.to_string())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(self)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

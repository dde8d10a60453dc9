//! Reading request bodies: JSON, of a bounded size, within a bounded time.

use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use serde_json::{Map, Value};

use super::error::ApiError;
use super::json;

pub(super) const MAX_BODY: usize = 256 * 1024;
/// Of many numbers at once.
pub(super) const MAX_IMPORT: usize = 64 * MAX_BODY;
const PATIENCE: Duration = Duration::from_secs(10);

/// A JSON body; an empty one is an error.
#[derive(Debug)]
pub(super) struct Json(pub Value);

/// A JSON body that may be left out, which then is an empty object.
#[derive(Debug)]
pub(super) struct OptionalJson(pub Value);

impl<S: Sync> FromRequest<S> for Json {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        let bytes = read(body, MAX_BODY).await?;
        parse(&parts.headers, &bytes, "").map(Self)
    }
}

impl<S: Sync> FromRequest<S> for OptionalJson {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        let (parts, body) = request.into_parts();
        let bytes = read(body, MAX_BODY).await?;
        if bytes.is_empty() {
            return Ok(Self(Value::Object(Map::new())));
        }
        Ok(match parse(&parts.headers, &bytes, "")? {
            Value::Null => Self(Value::Object(Map::new())),
            body => Self(body),
        })
    }
}

/// The size of the largest body at this path.
pub(super) fn most(path: &str) -> usize {
    if path == "/v1/numbers/import" { MAX_IMPORT } else { MAX_BODY }
}

/// The whole body, or why it was not waited for.
pub(super) async fn read(body: Body, most: usize) -> Result<Bytes, ApiError> {
    let read = tokio::time::timeout(PATIENCE, to_bytes(body, most)).await;
    let Ok(read) = read else {
        let detail = format!("The body did not arrive within {} s.", PATIENCE.as_secs());
        return Err(ApiError::new(
            StatusCode::REQUEST_TIMEOUT,
            "body_too_slow",
            "Request timeout",
            detail,
        )
        .hint("send all of it at once"));
    };
    read.map_err(|error| {
        if is_over_limit(&error) {
            let detail = format!("The body is larger than {} KiB.", most / 1024);
            ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", "Too large", detail)
                .hint("send one object at a time; divert apply takes documents of any size")
        } else {
            ApiError::bad_request("body_unreadable", "Bad request", "The body broke off.")
                .hint("send it again")
        }
    })
}

fn is_over_limit(error: &axum::Error) -> bool {
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = cause {
        if error.is::<http_body_util::LengthLimitError>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// The media type of a body, without its parameters.
fn essence(headers: &HeaderMap) -> Option<&str> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    kind.map(|kind| kind.split(';').next().unwrap_or_default().trim())
}

pub(super) fn is_of(headers: &HeaderMap, kind: &str) -> bool {
    essence(headers).is_some_and(|essence| essence.eq_ignore_ascii_case(kind))
}

/// A body of JSON; `others` says what else it might be.
pub(super) fn parse(headers: &HeaderMap, bytes: &[u8], others: &str) -> Result<Value, ApiError> {
    let is_json = ["application/json", "application/merge-patch+json"];
    if !is_json.iter().any(|kind| is_of(headers, kind)) {
        let found = essence(headers);
        let found = found.map_or_else(|| "none".to_owned(), |essence| format!("{essence:?}"));
        let detail = format!("The body must be JSON{others}; its Content-Type is {found}.");
        return Err(ApiError::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "content_type",
            "Unsupported media type",
            detail,
        )
        .hint("send Content-Type: application/json"));
    }
    json::read(bytes)
}

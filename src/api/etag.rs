//! Entity tags and conditional requests (RFC 9110 §8.8.3 and §13).
//!
//! A tag is a hash of the representation's bytes, so it is strong and needs no bookkeeping.

use std::borrow::Cow;

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::error::ApiError;

/// The tag of a representation, with its quotes.
pub(super) fn tag(bytes: &[u8]) -> String {
    use std::fmt::Write as _;

    let mut tag = String::from("\"");
    for byte in &Sha256::digest(bytes)[..16] {
        let _ = write!(tag, "{byte:02x}");
    }
    tag.push('"');
    tag
}

/// The member of an answer to a change that is no part of what was changed.
pub(super) const WARNINGS: &str = "warnings";

/// A JSON answer with its tag, which is that of the same thing when it is read again.
pub(super) fn representation(status: StatusCode, value: &Value) -> Response {
    let bytes = value.to_string();
    let mut lasting = Cow::Borrowed(value);
    if value.get(WARNINGS).is_some()
        && let Some(members) = lasting.to_mut().as_object_mut()
    {
        members.remove(WARNINGS);
    }
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache")),
    ];
    let tag = HeaderValue::from_str(&tag(lasting.to_string().as_bytes()));
    let mut response = (status, headers, bytes).into_response();
    if let Ok(tag) = tag {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

/// Refuses a change when `If-Match` names another representation than the `current` one.
pub(super) fn check_if_match(headers: &HeaderMap, current: &Value) -> Result<(), ApiError> {
    if !headers.contains_key(header::IF_MATCH) {
        return Ok(());
    }
    let current = tag(current.to_string().as_bytes());
    // Strong comparison: a weak tag never matches.
    if tags(headers, &header::IF_MATCH).any(|tag| tag == "*" || tag == current) {
        return Ok(());
    }
    Err(ApiError::new(
        StatusCode::PRECONDITION_FAILED,
        "changed_meanwhile",
        "Changed meanwhile",
        "Somebody changed this since you read it.",
    )
    .hint("read it again, then send your change with the new ETag"))
}

/// The layer that answers 304 when the client has the representation already.
pub(super) async fn not_modified(request: Request, next: Next) -> Response {
    let reading = matches!(*request.method(), Method::GET | Method::HEAD);
    if !reading || !request.headers().contains_key(header::IF_NONE_MATCH) {
        return next.run(request).await;
    }
    let known: Vec<String> =
        tags(request.headers(), &header::IF_NONE_MATCH).map(str::to_owned).collect();
    let mut response = next.run(request).await;
    let Some(current) = response.headers().get(header::ETAG).and_then(|tag| tag.to_str().ok())
    else {
        return response;
    };
    // Weak comparison.
    let has = known.iter().any(|tag| tag == "*" || tag.trim_start_matches("W/") == current);
    if response.status() == StatusCode::OK && has {
        let mut headers = std::mem::take(response.headers_mut());
        headers.remove(header::CONTENT_TYPE);
        headers.remove(header::CONTENT_LENGTH);
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    response
}

/// The tags of a list header. Ours hold no commas, so one that does cannot match anyway.
fn tags<'h>(headers: &'h HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'h str> {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
}

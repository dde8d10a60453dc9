//! Changes happen once, or not at all.
//!
//! `Idempotency-Key` on every POST: the request is executed once, and a repetition gets the same
//! status and body for 24 hours, also after a restart.
//!
//! The same key with another request is 422; while the first is still being executed, 409. Each API
//! key has idempotency keys of its own. A request that was refused or failed had no effect: it is
//! forgotten, so that it may come again, mended or not.

use std::panic::AssertUnwindSafe;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::FutureExt;
use serde_json::Value;
use sha2::{Digest, Sha256};
use tracing::Instrument;

use super::auth::Identity;
use super::body::{self, MAX_BODY};
use super::error::{ApiError, render};
use super::etag;
use super::request_id::RequestId;
use super::{Api, key};
use crate::clock;
use crate::store::Begun;

pub(super) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
pub(super) const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
const MAX_KEY: usize = 255;

/// The innermost layer: the identity is known and its rate limit passed.
pub(super) async fn once(State(api): State<Api>, request: Request, next: Next) -> Response {
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        return next.run(request).await;
    }
    // A change runs in a task of its own: a client that goes away must not leave half of it behind.
    let change = async move {
        if request.method() == Method::POST && request.headers().contains_key(IDEMPOTENCY_KEY) {
            let answer = match Repeatable::of(&api, request).await {
                Ok((repeatable, request)) => repeatable.answer(request, next).await,
                Err(error) => Err(error),
            };
            answer.unwrap_or_else(IntoResponse::into_response)
        } else {
            next.run(request).await
        }
    };
    let task = tokio::spawn(change.in_current_span());
    task.await.unwrap_or_else(|_| ApiError::internal("the handler panicked").into_response())
}

/// One request with its key.
struct Repeatable {
    api: Api,
    identity: Identity,
    id: RequestId,
    /// That of the header, of whoever sent it.
    key: String,
    fingerprint: String,
    path: String,
}

impl Repeatable {
    /// Reads the whole request, which is handed back for its execution.
    async fn of(api: &Api, request: Request) -> Result<(Self, Request), ApiError> {
        let (parts, body) = request.into_parts();
        let mut keys = parts.headers.get_all(IDEMPOTENCY_KEY).iter();
        let key = keys.next().and_then(|key| key.to_str().ok()).unwrap_or_default();
        if key.is_empty() || key.len() > MAX_KEY || keys.next().is_some() {
            let detail = format!("The Idempotency-Key must be one text of 1 to {MAX_KEY} letters.");
            let (code, title) = ("idempotency_key_invalid", "Invalid idempotency key");
            return Err(
                ApiError::bad_request(code, title, detail).hint("use a UUID, without quotes")
            );
        }
        let (Some(identity), Some(id)) =
            (parts.extensions.get::<Identity>(), parts.extensions.get::<RequestId>())
        else {
            return Err(ApiError::internal("idempotency runs before identity and request id"));
        };
        let body = body::read(body, body::most(parts.uri.path())).await?;
        let whose = identity.key.map_or_else(|| "local".to_owned(), |key| key.to_string());
        let repeatable = Self {
            api: api.clone(),
            identity: identity.clone(),
            id: id.clone(),
            key: format!("{whose} {key}"),
            fingerprint: fingerprint(parts.uri.path(), &body),
            path: parts.uri.path().to_owned(),
        };
        Ok((repeatable, Request::from_parts(parts, Body::from(body))))
    }

    async fn answer(self, request: Request, next: Next) -> Result<Response, ApiError> {
        let Self { api, identity, key, fingerprint, .. } = &self;
        match api.db.begin_request(identity.account, key, fingerprint, clock::now()).await? {
            Begun::Fresh => {}
            Begun::Done { status, body } => return replay(status, &body, &self.path),
            Begun::InProgress => {
                let detail = "A request with this Idempotency-Key is being executed.";
                return Err(ApiError::conflict("request_in_progress", "In progress", detail)
                    .hint("try again in a second")
                    .header(header::RETRY_AFTER, HeaderValue::from_static("1")));
            }
            Begun::OtherBody => {
                return Err(ApiError::new(
                    StatusCode::UNPROCESSABLE_ENTITY,
                    "idempotency_key_reused",
                    "Idempotency key reused",
                    "This Idempotency-Key belongs to another request.",
                )
                .hint("use a new key for every new request"));
            }
        }
        self.execute(request, next).await
    }

    async fn execute(self, request: Request, next: Next) -> Result<Response, ApiError> {
        // A panic must not leave the key marked as in progress.
        let response = AssertUnwindSafe(next.run(request))
            .catch_unwind()
            .await
            .unwrap_or_else(|_| ApiError::internal("the handler panicked").into_response());
        let response = render(response, &self.id);
        let status = response.status();
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, 64 * MAX_BODY).await;
        let body = body.map_err(|error| ApiError::internal(error.to_string()))?;
        let (db, account) = (&self.api.db, self.identity.account);
        let kept = if status.is_success() {
            db.finish_request(account, &self.key, status.as_u16(), &to_keep(&body)).await
        } else {
            db.forget_request(account, &self.key).await
        };
        if let Err(error) = kept {
            // The request itself is done: its answer is worth more than its repetition.
            tracing::error!(request.id = %self.id, "idempotency record not written: {error}");
        }
        Ok(Response::from_parts(parts, Body::from(body)))
    }
}

/// What makes a request of somebody the same one: where it goes, and the body byte for byte.
fn fingerprint(path: &str, body: &[u8]) -> String {
    let mut hash = Sha256::new();
    for part in [path.as_bytes(), body] {
        hash.update(part.len().to_be_bytes());
        hash.update(part);
    }
    URL_SAFE_NO_PAD.encode(hash.finalize())
}

/// The body without the secret of a new key, which must be shown once and kept nowhere.
fn to_keep(body: &Bytes) -> String {
    let text = String::from_utf8_lossy(body);
    if !text.contains(key::PREFIX) {
        return text.into_owned();
    }
    let Ok(mut value) = serde_json::from_str::<Value>(&text) else { return String::new() };
    if let Some(secret) = value.get_mut("key") {
        *secret = Value::Null;
    }
    value.to_string()
}

fn replay(status: u16, body: &str, path: &str) -> Result<Response, ApiError> {
    let status = StatusCode::from_u16(status)
        .map_err(|_| ApiError::internal(format!("kept status {status} is none")))?;
    let mut response = created(status, &serde_json::from_str(body).unwrap_or_default(), path);
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    Ok(response)
}

/// The answer to a POST that made something: where it is, and its tag.
pub(super) fn created(status: StatusCode, value: &Value, path: &str) -> Response {
    let mut response = etag::representation(status, value);
    if let Some(id) = value.get("id").and_then(Value::as_str) {
        let home = if id.starts_with("call_") { "/v1/calls" } else { path };
        if let Ok(location) = HeaderValue::from_str(&format!("{home}/{id}")) {
            response.headers_mut().insert(header::LOCATION, location);
        }
    }
    response
}

//! Around every request: its id, one log line, its metrics, the security headers, and the net under
//! a panicking handler.

use std::panic::AssertUnwindSafe;
use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use tracing::Instrument;

use super::error::{ApiError, render};
use super::request_id::{RequestId, X_REQUEST_ID};

/// The outermost layer of the router.
pub(super) async fn observe(mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = RequestId::of(request.headers());
    let method = request.method().clone();
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or_else(|| "unmatched".to_owned(), |path| path.as_str().to_owned());
    request.extensions_mut().insert(id.clone());

    let span = tracing::info_span!("request", request.id = %id);
    let response = AssertUnwindSafe(next.run(request))
        .catch_unwind()
        .instrument(span)
        .await
        .unwrap_or_else(|_| ApiError::internal("the handler panicked").into_response());
    let mut response = render(response, &id);
    harden(response.headers_mut(), &id);

    let status = response.status().as_u16();
    let elapsed = started.elapsed();
    let duration_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
    // Probes come every few seconds for ever: they would drown what people look for.
    if matches!(route.as_str(), "/healthz" | "/readyz" | "/metrics") {
        tracing::debug!(
            request.id = %id, http.method = %method, http.route = route, http.status = status,
            duration_ms, "request"
        );
    } else {
        tracing::info!(
            request.id = %id, http.method = %method, http.route = route, http.status = status,
            duration_ms, "request"
        );
    }
    let labels = [("method", method.to_string()), ("route", route), ("status", status.to_string())];
    metrics::counter!("divert_http_requests_total", &labels).increment(1);
    metrics::histogram!("divert_http_request_duration_seconds", &labels).record(elapsed);
    response
}

fn harden(headers: &mut HeaderMap, id: &RequestId) {
    let fixed = [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // A page says itself what it is made of.
    let nothing = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert(nothing);
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    if let Ok(id) = HeaderValue::from_str(id.as_str()) {
        headers.insert(X_REQUEST_ID, id);
    }
}

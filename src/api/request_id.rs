//! The id of a request: in its log lines, in its answer, and in every problem it is told.

use std::fmt;

use axum::http::{HeaderMap, HeaderName};

use crate::clock;

pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The id a request brought along, or a fresh one.
#[derive(Clone, Debug)]
pub(super) struct RequestId(String);

impl RequestId {
    const MAX_LEN: usize = 128;

    /// Takes the client's id only when it is harmless in a log line and in a header.
    pub fn of(headers: &HeaderMap) -> Self {
        let harmless = |id: &&str| {
            (1..=Self::MAX_LEN).contains(&id.len())
                && id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        };
        headers
            .get(X_REQUEST_ID)
            .and_then(|value| value.to_str().ok())
            .filter(harmless)
            .map_or_else(|| Self(format!("req_{:032x}", clock::mint())), |id| Self(id.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

//! Ids in paths. A text that is no id of the wanted kind is 404, and says what it is instead.

use std::fmt;
use std::str::FromStr;

use axum::extract::{FromRequestParts, Path};
use axum::http::StatusCode;
use axum::http::request::Parts;

use super::error::ApiError;
use crate::model::id::{DestinationId, ForwardingFlowId, IdError};

/// The `{id}` of a path.
#[derive(Debug)]
pub(super) struct PathId<T>(pub T);

/// The `{id}` and `{destination_id}` of a path below a forwarding flow.
#[derive(Debug)]
pub(super) struct DestinationPath(pub ForwardingFlowId, pub DestinationId);

impl<S: Send + Sync, T: FromStr<Err = IdError>> FromRequestParts<S> for PathId<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        let Path(text) = path.map_err(|_| unreadable())?;
        id(&text).map(Self)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for DestinationPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let path = Path::<(String, String)>::from_request_parts(parts, state).await;
        let Path((flow, destination)) = path.map_err(|_| unreadable())?;
        Ok(Self(id(&flow)?, id(&destination)?))
    }
}

fn id<T: FromStr<Err = IdError>>(text: &str) -> Result<T, ApiError> {
    text.parse().map_err(|error: IdError| {
        let refusal = not_found("There is nothing with this id here.");
        match home(text) {
            Some(home) if matches!(error, IdError::OtherKind { .. }) => {
                refusal.hint(format!("{error}; {home}"))
            }
            _ => refusal.hint(error.to_string()),
        }
    })
}

/// Where an id of this kind is at home.
fn home(text: &str) -> Option<impl fmt::Display> {
    let (prefix, _) = text.split_once('_')?;
    let path = match prefix {
        "call" => "/v1/calls/",
        "flw" => "/v1/forwarding-flows/",
        "key" => "/v1/keys/",
        "rtd" => "/v1/rate-decks/",
        "srv" => "/v1/servers/",
        "trk" => "/v1/trunks/",
        _ => return None,
    };
    Some(format!("see {path}{text}"))
}

fn unreadable() -> ApiError {
    not_found("The path is not readable as text.").hint("GET /openapi.json lists every path")
}

fn not_found(detail: &str) -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, "not_found", "Not found", detail)
}

//! Ids in paths. A text that is no id of the wanted kind is 404, and says what it is instead.

use std::fmt;
use std::str::FromStr;

use axum::extract::{FromRequestParts, Path};
use axum::http::StatusCode;
use axum::http::request::Parts;

use super::error::ApiError;
use crate::model::id::{DestinationId, ForwardingFlowId, IdError, ObjectId};
use crate::model::objects::Kind;

/// The `{id}` of a path.
#[derive(Debug)]
pub(super) struct PathId<T>(pub T);

/// The only part of a path that differs, as text.
#[derive(Debug)]
pub(super) struct PathText(pub String);

/// The `{id}` and `{destination_id}` of a path below a forwarding flow.
#[derive(Debug)]
pub(super) struct DestinationPath(pub ForwardingFlowId, pub DestinationId);

impl<S: Send + Sync> FromRequestParts<S> for PathText {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let path = Path::<String>::from_request_parts(parts, state).await;
        path.map(|Path(text)| Self(text)).map_err(|_| unreadable())
    }
}

impl<S: Send + Sync, T: FromStr<Err = IdError>> FromRequestParts<S> for PathId<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let PathText(text) = PathText::from_request_parts(parts, state).await?;
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
    text.parse().map_err(|error| no_id(text, &error))
}

fn no_id(text: &str, error: &IdError) -> ApiError {
    let refusal = not_found("There is nothing with this id here.");
    match home(text) {
        Some(home) if matches!(error, IdError::OtherKind { .. }) => {
            refusal.hint(format!("{error}; {home}"))
        }
        _ => refusal.hint(error.to_string()),
    }
}

/// Where an id of this kind is at home.
fn home(text: &str) -> Option<impl fmt::Display> {
    let (prefix, _) = text.split_once('_')?;
    let section = match Kind::by_prefix(prefix) {
        Some(kind) => kind.path_segment(),
        None => match prefix {
            "call" => "calls".to_owned(),
            "key" => "keys".to_owned(),
            "num" => "numbers".to_owned(),
            _ => return None,
        },
    };
    Some(format!("see /v1/{section}/{text}"))
}

/// The `{id}` of a path of this kind.
pub(super) fn object_id(kind: &Kind, text: &str) -> Result<ObjectId, ApiError> {
    kind.parse(text).map_err(|error| no_id(text, &error))
}

fn unreadable() -> ApiError {
    not_found("The path is not readable as text.").hint("GET /openapi.json lists every path")
}

fn not_found(detail: &str) -> ApiError {
    ApiError::new(StatusCode::NOT_FOUND, "not_found", "Not found", detail)
}

//! Rate decks: prices by the beginning of the dialled number.
//!
//! Changed by whoever runs divert, like the account, hence the scope `admin`; read by everybody who
//! reads flows.

use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, Uri};
use axum::response::Response;
use serde_json::Value;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::auth::Identity;
use super::body::Json;
use super::change::{self, Resource, Update};
use super::error::ApiError;
use super::key::Scope;
use super::page::PageParameters;
use super::path::PathId;
use super::schema::{PageOf, RateDeck, RateDeckDocument};
use crate::clock;
use crate::model::configuration::Configuration;
use crate::model::document::{self, Reading};
use crate::model::id::RateDeckId;
use crate::model::problem::Problem;
use crate::model::removal::remove_rate_deck;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(read, replace, patch, remove))
}

enum Kind {}

impl Resource for Kind {
    type Id = RateDeckId;
    type Parent = ();

    const WORD: &'static str = "rate deck";
    const SCOPE: Scope = Scope::Admin;

    fn all(configuration: &Configuration, (): ()) -> Option<Vec<(RateDeckId, Value)>> {
        let write = |it| document::write_rate_deck(it, configuration);
        Some(configuration.rate_decks.iter().map(|it| (it.id, write(it))).collect())
    }

    fn put(
        value: &Value,
        (): (),
        id: Option<RateDeckId>,
        configuration: &Configuration,
    ) -> Result<(Reading, RateDeckId), Vec<Problem>> {
        document::put_rate_deck(value, id, configuration, &mut clock::mint)
    }

    fn remove(
        configuration: &Configuration,
        (): (),
        id: RateDeckId,
    ) -> Result<Configuration, Vec<Problem>> {
        remove_rate_deck(configuration, id)
    }
}

/// List rate decks
#[utoipa::path(
    get,
    path = "/v1/rate-decks",
    params(PageParameters),
    responses((status = 200, description = "One page, newest first", body = PageOf<RateDeck>)),
)]
async fn list(
    State(api): State<Api>,
    identity: Identity,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    change::list::<Kind>(&api, &identity, (), query.as_deref()).await
}

/// Make a rate deck
///
/// Needs the scope `admin`, as every change of one.
#[utoipa::path(
    post,
    path = "/v1/rate-decks",
    request_body(content = RateDeckDocument, example = json!({
        "name": "retail", "rates": [
            { "prefix": "1800", "per_minute": "0.00", "increment": "60/60" },
            { "prefix": "1", "per_minute": "0.0125", "increment": "6/6" },
            { "prefix": "", "per_minute": "0.25", "increment": "30/6" },
        ],
    })),
    responses((status = 201, description = "It was made", body = RateDeck)),
)]
async fn create(
    State(api): State<Api>,
    identity: Identity,
    uri: Uri,
    Json(document): Json,
) -> Result<Response, ApiError> {
    change::create::<Kind>(&api, &identity, (), &document, &uri).await
}

/// Read a rate deck
#[utoipa::path(
    get,
    path = "/v1/rate-decks/{id}",
    params(("id" = String, Path, description = "Id of a rate deck")),
    responses((status = 200, description = "As it is now", body = RateDeck)),
)]
async fn read(
    State(api): State<Api>,
    identity: Identity,
    PathId(id): PathId<RateDeckId>,
) -> Result<Response, ApiError> {
    change::read::<Kind>(&api, &identity, (), id).await
}

/// Replace a rate deck
#[utoipa::path(
    put,
    path = "/v1/rate-decks/{id}",
    params(("id" = String, Path, description = "Id of a rate deck")),
    request_body(content = RateDeckDocument, example = json!({
        "name": "retail", "rates": [
            { "prefix": "1800", "per_minute": "0.00", "increment": "60/60" },
            { "prefix": "1", "per_minute": "0.0125", "increment": "6/6" },
            { "prefix": "", "per_minute": "0.25", "increment": "30/6" },
        ],
    })),
    responses((status = 200, description = "It was replaced", body = RateDeck)),
)]
async fn replace(
    State(api): State<Api>,
    identity: Identity,
    PathId(id): PathId<RateDeckId>,
    headers: HeaderMap,
    Json(document): Json,
) -> Result<Response, ApiError> {
    let update = (Update::Replace, &headers, &document);
    change::update::<Kind>(&api, &identity, (), id, update).await
}

/// Change some fields of a rate deck
///
/// A merge patch (RFC 7396): fields that are left out stay, `null` takes the default.
#[utoipa::path(
    patch,
    path = "/v1/rate-decks/{id}",
    params(("id" = String, Path, description = "Id of a rate deck")),
    request_body(
        content = RateDeckDocument,
        content_type = "application/merge-patch+json",
        example = json!({ "rounding": "nearest" }),
    ),
    responses((status = 200, description = "It was changed", body = RateDeck)),
)]
async fn patch(
    State(api): State<Api>,
    identity: Identity,
    PathId(id): PathId<RateDeckId>,
    headers: HeaderMap,
    Json(document): Json,
) -> Result<Response, ApiError> {
    let update = (Update::Patch, &headers, &document);
    change::update::<Kind>(&api, &identity, (), id, update).await
}

/// Remove a rate deck
#[utoipa::path(
    delete,
    path = "/v1/rate-decks/{id}",
    params(("id" = String, Path, description = "Id of a rate deck")),
    responses((status = 204, description = "It is gone")),
)]
async fn remove(
    State(api): State<Api>,
    identity: Identity,
    PathId(id): PathId<RateDeckId>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    change::remove::<Kind>(&api, &identity, (), id, &headers).await
}

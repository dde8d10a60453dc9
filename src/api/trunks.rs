//! Trunks: how a call leaves the master.

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
use super::page::PageParameters;
use super::path::PathId;
use super::schema::{PageOf, Trunk, TrunkDocument};
use crate::clock;
use crate::model::configuration::Configuration;
use crate::model::document::{self, Reading};
use crate::model::id::TrunkId;
use crate::model::problem::Problem;
use crate::model::removal::remove_trunk;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(read, replace, patch, remove))
}

enum Kind {}

impl Resource for Kind {
    type Id = TrunkId;
    type Parent = ();

    const WORD: &'static str = "trunk";

    fn all(configuration: &Configuration, (): ()) -> Option<Vec<(TrunkId, Value)>> {
        let write = |it| document::write_trunk(it, configuration);
        Some(configuration.trunks.iter().map(|it| (it.id, write(it))).collect())
    }

    fn put(
        value: &Value,
        (): (),
        id: Option<TrunkId>,
        configuration: &Configuration,
    ) -> Result<(Reading, TrunkId), Vec<Problem>> {
        document::put_trunk(value, id, configuration, &mut clock::mint)
    }

    fn remove(
        configuration: &Configuration,
        (): (),
        id: TrunkId,
    ) -> Result<Configuration, Vec<Problem>> {
        remove_trunk(configuration, id)
    }
}

/// List trunks
#[utoipa::path(
    get,
    path = "/v1/trunks",
    params(PageParameters),
    responses((status = 200, description = "One page, newest first", body = PageOf<Trunk>)),
)]
async fn list(
    State(api): State<Api>,
    identity: Identity,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    change::list::<Kind>(&api, &identity, (), query.as_deref()).await
}

/// Make a trunk
#[utoipa::path(
    post,
    path = "/v1/trunks",
    request_body(content = TrunkDocument, example = json!({ "name": "to-slave-a", "address": "10.0.0.2:5060", "max_live": 100 })),
    responses((status = 201, description = "It was made", body = Trunk)),
)]
async fn create(
    State(api): State<Api>,
    identity: Identity,
    uri: Uri,
    Json(document): Json,
) -> Result<Response, ApiError> {
    change::create::<Kind>(&api, &identity, (), &document, &uri).await
}

/// Read a trunk
#[utoipa::path(
    get,
    path = "/v1/trunks/{id}",
    params(("id" = String, Path, description = "Id of a trunk")),
    responses((status = 200, description = "As it is now", body = Trunk)),
)]
async fn read(
    State(api): State<Api>,
    identity: Identity,
    PathId(id): PathId<TrunkId>,
) -> Result<Response, ApiError> {
    change::read::<Kind>(&api, &identity, (), id).await
}

/// Replace a trunk
#[utoipa::path(
    put,
    path = "/v1/trunks/{id}",
    params(("id" = String, Path, description = "Id of a trunk")),
    request_body(content = TrunkDocument, example = json!({
        "name": "to-slave-a", "address": "10.0.0.2:5060", "max_live": 100,
        "carries_toll_free": true, "rate_deck": "retail",
    })),
    responses((status = 200, description = "It was replaced", body = Trunk)),
)]
async fn replace(
    State(api): State<Api>,
    identity: Identity,
    PathId(id): PathId<TrunkId>,
    headers: HeaderMap,
    Json(document): Json,
) -> Result<Response, ApiError> {
    let update = (Update::Replace, &headers, &document);
    change::update::<Kind>(&api, &identity, (), id, update).await
}

/// Change some fields of a trunk
///
/// A merge patch (RFC 7396): fields that are left out stay, `null` takes the default.
#[utoipa::path(
    patch,
    path = "/v1/trunks/{id}",
    params(("id" = String, Path, description = "Id of a trunk")),
    request_body(
        content = TrunkDocument,
        content_type = "application/merge-patch+json",
        example = json!({ "max_live": null }),
    ),
    responses((status = 200, description = "It was changed", body = Trunk)),
)]
async fn patch(
    State(api): State<Api>,
    identity: Identity,
    PathId(id): PathId<TrunkId>,
    headers: HeaderMap,
    Json(document): Json,
) -> Result<Response, ApiError> {
    let update = (Update::Patch, &headers, &document);
    change::update::<Kind>(&api, &identity, (), id, update).await
}

/// Remove a trunk
#[utoipa::path(
    delete,
    path = "/v1/trunks/{id}",
    params(("id" = String, Path, description = "Id of a trunk")),
    responses((status = 204, description = "It is gone")),
)]
async fn remove(
    State(api): State<Api>,
    identity: Identity,
    PathId(id): PathId<TrunkId>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    change::remove::<Kind>(&api, &identity, (), id, &headers).await
}

//! Servers: masters, where calls arrive, and slaves, which take them.

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
use super::schema::{PageOf, Server, ServerDocument};
use crate::clock;
use crate::model::configuration::Configuration;
use crate::model::document::{self, Reading};
use crate::model::id::ServerId;
use crate::model::problem::Problem;
use crate::model::removal::remove_server;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(read, replace, patch, remove))
}

enum Kind {}

impl Resource for Kind {
    type Id = ServerId;
    type Parent = ();

    const WORD: &'static str = "server";

    fn all(configuration: &Configuration, (): ()) -> Option<Vec<(ServerId, Value)>> {
        let write = |it| document::write_server(it, configuration);
        Some(configuration.servers.iter().map(|it| (it.id, write(it))).collect())
    }

    fn put(
        value: &Value,
        (): (),
        id: Option<ServerId>,
        configuration: &Configuration,
    ) -> Result<(Reading, ServerId), Vec<Problem>> {
        document::put_server(value, id, configuration, &mut clock::mint)
    }

    fn remove(
        configuration: &Configuration,
        (): (),
        id: ServerId,
    ) -> Result<Configuration, Vec<Problem>> {
        remove_server(configuration, id)
    }
}

/// List servers
#[utoipa::path(
    get,
    path = "/v1/servers",
    params(PageParameters),
    responses((status = 200, description = "One page, newest first", body = PageOf<Server>)),
)]
async fn list(
    State(api): State<Api>,
    identity: Identity,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    change::list::<Kind>(&api, &identity, (), query.as_deref()).await
}

/// Make a server
#[utoipa::path(
    post,
    path = "/v1/servers",
    request_body(content = ServerDocument, example = json!({ "name": "slave-a", "role": "slave", "trunk": "to-slave-a", "max_live": 50 })),
    responses((status = 201, description = "It was made", body = Server)),
)]
async fn create(
    State(api): State<Api>,
    identity: Identity,
    uri: Uri,
    Json(document): Json,
) -> Result<Response, ApiError> {
    change::create::<Kind>(&api, &identity, (), &document, &uri).await
}

/// Read a server
#[utoipa::path(
    get,
    path = "/v1/servers/{id}",
    params(("id" = String, Path, description = "Id of a server")),
    responses((status = 200, description = "As it is now", body = Server)),
)]
async fn read(
    State(api): State<Api>,
    identity: Identity,
    PathId(id): PathId<ServerId>,
) -> Result<Response, ApiError> {
    change::read::<Kind>(&api, &identity, (), id).await
}

/// Replace a server
#[utoipa::path(
    put,
    path = "/v1/servers/{id}",
    params(("id" = String, Path, description = "Id of a server")),
    request_body(content = ServerDocument, example = json!({ "name": "slave-a", "role": "slave", "trunk": "to-slave-a", "max_live": 50 })),
    responses((status = 200, description = "It was replaced", body = Server)),
)]
async fn replace(
    State(api): State<Api>,
    identity: Identity,
    PathId(id): PathId<ServerId>,
    headers: HeaderMap,
    Json(document): Json,
) -> Result<Response, ApiError> {
    let update = (Update::Replace, &headers, &document);
    change::update::<Kind>(&api, &identity, (), id, update).await
}

/// Change some fields of a server
///
/// A merge patch (RFC 7396): fields that are left out stay, `null` takes the default.
#[utoipa::path(
    patch,
    path = "/v1/servers/{id}",
    params(("id" = String, Path, description = "Id of a server")),
    request_body(
        content = ServerDocument,
        content_type = "application/merge-patch+json",
        example = json!({ "max_live": 80 }),
    ),
    responses((status = 200, description = "It was changed", body = Server)),
)]
async fn patch(
    State(api): State<Api>,
    identity: Identity,
    PathId(id): PathId<ServerId>,
    headers: HeaderMap,
    Json(document): Json,
) -> Result<Response, ApiError> {
    let update = (Update::Patch, &headers, &document);
    change::update::<Kind>(&api, &identity, (), id, update).await
}

/// Remove a server
#[utoipa::path(
    delete,
    path = "/v1/servers/{id}",
    params(("id" = String, Path, description = "Id of a server")),
    responses((status = 204, description = "It is gone")),
)]
async fn remove(
    State(api): State<Api>,
    identity: Identity,
    PathId(id): PathId<ServerId>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    change::remove::<Kind>(&api, &identity, (), id, &headers).await
}

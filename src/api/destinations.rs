//! Destinations of one forwarding flow: each can be read and changed alone.
//!
//! Their states have requests of their own, because they are what is switched in a hurry: by people
//! and programs that may change nothing else, and without reading a million numbers for it.

use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use serde_json::Value;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::auth::Identity;
use super::body::Json;
use super::change::{self, Part, Resource, Update};
use super::described::{Destination, DestinationDocument, PageOf};
use super::error::ApiError;
use super::etag;
use super::key::Scope;
use super::path::{DestinationPath, PathId};
use crate::clock;
use crate::model::configuration::Configuration;
use crate::model::document::{self, Reading};
use crate::model::filter::PageFilters;
use crate::model::id::{DestinationId, ForwardingFlowId, Id as _};
use crate::model::object::Record as _;
use crate::model::objects;
use crate::model::objects::destination::DestinationState;
use crate::model::problem::Problem;
use crate::model::removal::remove_destination;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(read, replace, patch, remove))
        .routes(routes!(pause))
        .routes(routes!(drain))
        .routes(routes!(disable))
        .routes(routes!(resume))
}

/// Those of one flow.
#[derive(Clone, Copy)]
struct DestinationsOf(ForwardingFlowId);

impl Resource for DestinationsOf {
    type Id = DestinationId;

    fn word(self) -> &'static str {
        DestinationId::WORD
    }

    fn parent(self, configuration: &Configuration) -> Result<(), ApiError> {
        self.all(configuration).map(drop)
    }

    fn parse(self, text: &str) -> Option<DestinationId> {
        text.parse().ok()
    }

    fn all(self, configuration: &Configuration) -> Result<Vec<(DestinationId, Value)>, ApiError> {
        let flow = configuration.forwarding_flow(self.0);
        let flow = flow.ok_or_else(|| ApiError::no_such(ForwardingFlowId::WORD))?;
        let destinations = flow.destinations.iter();
        Ok(destinations.map(|it| (it.id, it.write_whole(configuration))).collect())
    }

    fn put(
        self,
        value: &Value,
        id: Option<DestinationId>,
        configuration: &Configuration,
    ) -> Result<(Reading, DestinationId), Vec<Problem>> {
        document::put_destination(value, self.0, id, configuration, &mut clock::mint)
    }

    fn remove(
        self,
        configuration: &Configuration,
        id: DestinationId,
    ) -> Result<Configuration, Vec<Problem>> {
        remove_destination(configuration, self.0, id)
    }
}

/// List destinations
#[utoipa::path(
    get,
    path = "/v1/forwarding-flows/{id}/destinations",
    params(("id" = String, Path, description = "Id of the forwarding flow"), PageFilters),
    responses((status = 200, description = "One page, newest first", body = PageOf<Destination>)),
)]
async fn list(
    State(api): State<Api>,
    identity: Identity,
    PathId(flow): PathId<ForwardingFlowId>,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    change::list(DestinationsOf(flow), &api, &identity, query.as_deref()).await
}

/// Make a destination
#[utoipa::path(
    post,
    path = "/v1/forwarding-flows/{id}/destinations",
    params(("id" = String, Path, description = "Id of the forwarding flow")),
    request_body(content = DestinationDocument, example = json!({
        "name": "slave-a-evening", "server": "slave-a", "did": "1002", "weight": 30, "max_live": 10,
    })),
    responses((status = 201, description = "It was made", body = Destination)),
)]
async fn create(
    State(api): State<Api>,
    identity: Identity,
    PathId(flow): PathId<ForwardingFlowId>,
    uri: Uri,
    Json(document): Json,
) -> Result<Response, ApiError> {
    change::create(DestinationsOf(flow), &api, &identity, &document, &uri).await
}

/// Read a destination
#[utoipa::path(
    get,
    path = "/v1/forwarding-flows/{id}/destinations/{destination_id}",
    params(
        ("id" = String, Path, description = "Id of the forwarding flow"),
        ("destination_id" = String, Path, description = "Id of a destination"),
    ),
    responses((status = 200, description = "As it is now", body = Destination)),
)]
async fn read(
    State(api): State<Api>,
    identity: Identity,
    DestinationPath(flow, id): DestinationPath,
) -> Result<Response, ApiError> {
    change::read(DestinationsOf(flow), &api, &identity, id).await
}

/// Replace a destination
#[utoipa::path(
    put,
    path = "/v1/forwarding-flows/{id}/destinations/{destination_id}",
    params(
        ("id" = String, Path, description = "Id of the forwarding flow"),
        ("destination_id" = String, Path, description = "Id of a destination"),
    ),
    request_body(
        content = DestinationDocument,
        example = json!(objects::destination::Destination::example()),
    ),
    responses((status = 200, description = "It was replaced", body = Destination)),
)]
async fn replace(
    State(api): State<Api>,
    identity: Identity,
    DestinationPath(flow, id): DestinationPath,
    headers: HeaderMap,
    Json(document): Json,
) -> Result<Response, ApiError> {
    let update = (Update::Replace, &headers, &document);
    change::update(DestinationsOf(flow), &api, &identity, id, update).await
}

/// Change some fields of a destination
///
/// A merge patch (RFC 7396): fields that are left out stay, `null` takes the default.
#[utoipa::path(
    patch,
    path = "/v1/forwarding-flows/{id}/destinations/{destination_id}",
    params(
        ("id" = String, Path, description = "Id of the forwarding flow"),
        ("destination_id" = String, Path, description = "Id of a destination"),
    ),
    request_body(
        content = DestinationDocument,
        content_type = "application/merge-patch+json",
        example = json!({ "state": "paused" }),
    ),
    responses((status = 200, description = "It was changed", body = Destination)),
)]
async fn patch(
    State(api): State<Api>,
    identity: Identity,
    DestinationPath(flow, id): DestinationPath,
    headers: HeaderMap,
    Json(document): Json,
) -> Result<Response, ApiError> {
    let update = (Update::Patch, &headers, &document);
    change::update(DestinationsOf(flow), &api, &identity, id, update).await
}

/// Remove a destination
#[utoipa::path(
    delete,
    path = "/v1/forwarding-flows/{id}/destinations/{destination_id}",
    params(
        ("id" = String, Path, description = "Id of the forwarding flow"),
        ("destination_id" = String, Path, description = "Id of a destination"),
    ),
    responses((status = 204, description = "It is gone")),
)]
async fn remove(
    State(api): State<Api>,
    identity: Identity,
    DestinationPath(flow, id): DestinationPath,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    change::remove(DestinationsOf(flow), &api, &identity, id, &headers).await
}

/// Switches a destination, whoever else changes it meanwhile; live calls stay as they are.
async fn switch(
    api: &Api,
    identity: &Identity,
    DestinationPath(flow, id): DestinationPath,
    state: DestinationState,
) -> Result<Response, ApiError> {
    identity.require_one(Scope::DestinationsPause, &[Scope::FlowsWrite])?;
    let edit = |current: &Configuration| {
        let mut next = current.clone();
        let flow = next.forwarding_flows.iter_mut().find(|it| it.id == flow);
        let found = flow.and_then(|flow| flow.destinations.iter_mut().find(|it| it.id == id));
        found.ok_or_else(|| ApiError::no_such(DestinationId::WORD))?.state = state;
        Ok((next, ()))
    };
    let (configuration, ()) = change::change(api, identity, &Part::WithoutNumbers, edit).await?;
    let value = DestinationsOf(flow).find(&configuration, id)?;
    Ok(etag::representation(StatusCode::OK, &value))
}

/// Pause a destination
///
/// It takes no new calls, and keeps its place in rotation and the callers who belong to it.
/// Effective with the next call, within a second on other nodes; nobody who talks is dropped.
#[utoipa::path(
    post,
    path = "/v1/forwarding-flows/{id}/destinations/{destination_id}/pause",
    params(
        ("id" = String, Path, description = "Id of the forwarding flow"),
        ("destination_id" = String, Path, description = "Id of a destination"),
    ),
    responses((status = 200, description = "As it is now", body = Destination)),
)]
async fn pause(
    State(api): State<Api>,
    identity: Identity,
    path: DestinationPath,
) -> Result<Response, ApiError> {
    switch(&api, &identity, path, DestinationState::Paused).await
}

/// Drain a destination
///
/// It takes no new callers; those who belong to it still get there. Its weight stays as it is.
/// Effective with the next call, within a second on other nodes; nobody who talks is dropped.
#[utoipa::path(
    post,
    path = "/v1/forwarding-flows/{id}/destinations/{destination_id}/drain",
    params(
        ("id" = String, Path, description = "Id of the forwarding flow"),
        ("destination_id" = String, Path, description = "Id of a destination"),
    ),
    responses((status = 200, description = "As it is now", body = Destination)),
)]
async fn drain(
    State(api): State<Api>,
    identity: Identity,
    path: DestinationPath,
) -> Result<Response, ApiError> {
    switch(&api, &identity, path, DestinationState::Draining).await
}

/// Disable a destination
///
/// It is out of rotation, and no caller belongs to it any longer.
/// Effective with the next call, within a second on other nodes; nobody who talks is dropped.
#[utoipa::path(
    post,
    path = "/v1/forwarding-flows/{id}/destinations/{destination_id}/disable",
    params(
        ("id" = String, Path, description = "Id of the forwarding flow"),
        ("destination_id" = String, Path, description = "Id of a destination"),
    ),
    responses((status = 200, description = "As it is now", body = Destination)),
)]
async fn disable(
    State(api): State<Api>,
    identity: Identity,
    path: DestinationPath,
) -> Result<Response, ApiError> {
    switch(&api, &identity, path, DestinationState::Disabled).await
}

/// Resume a destination
///
/// It takes new calls again, with the weight it had before.
/// Effective with the next call, within a second on other nodes; nobody who talks is dropped.
#[utoipa::path(
    post,
    path = "/v1/forwarding-flows/{id}/destinations/{destination_id}/resume",
    params(
        ("id" = String, Path, description = "Id of the forwarding flow"),
        ("destination_id" = String, Path, description = "Id of a destination"),
    ),
    responses((status = 200, description = "As it is now", body = Destination)),
)]
async fn resume(
    State(api): State<Api>,
    identity: Identity,
    path: DestinationPath,
) -> Result<Response, ApiError> {
    switch(&api, &identity, path, DestinationState::Active).await
}

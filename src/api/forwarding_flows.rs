//! Forwarding flows: the DIDs of one master, spread over destinations.

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
use super::error::ApiError;
use super::etag;
use super::key::Scope;
use super::page::PageParameters;
use super::path::PathId;
use super::schema::{ForwardingFlow, ForwardingFlowDocument, PageOf};
use crate::clock;
use crate::model::configuration::Configuration;
use crate::model::document::{self, Reading};
use crate::model::forwarding_flow::ForwardingFlowState;
use crate::model::id::ForwardingFlowId;
use crate::model::problem::Problem;
use crate::model::removal::remove_forwarding_flow;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(read, replace, patch, remove))
        .routes(routes!(pause))
        .routes(routes!(resume))
}

enum Kind {}

impl Resource for Kind {
    type Id = ForwardingFlowId;
    type Parent = ();

    const WORD: &'static str = "forwarding flow";
    const PART: Part = Part::Whole;

    fn all(configuration: &Configuration, (): ()) -> Option<Vec<(ForwardingFlowId, Value)>> {
        let write = |it| document::write_forwarding_flow(it, configuration);
        Some(configuration.forwarding_flows.iter().map(|it| (it.id, write(it))).collect())
    }

    fn put(
        value: &Value,
        (): (),
        id: Option<ForwardingFlowId>,
        configuration: &Configuration,
    ) -> Result<(Reading, ForwardingFlowId), Vec<Problem>> {
        document::put_forwarding_flow(value, id, configuration, &mut clock::mint)
    }

    fn remove(
        configuration: &Configuration,
        (): (),
        id: ForwardingFlowId,
    ) -> Result<Configuration, Vec<Problem>> {
        remove_forwarding_flow(configuration, id)
    }
}

/// List forwarding flows
#[utoipa::path(
    get,
    path = "/v1/forwarding-flows",
    params(PageParameters),
    responses((status = 200, description = "One page, newest first", body = PageOf<ForwardingFlow>)),
)]
async fn list(
    State(api): State<Api>,
    identity: Identity,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    change::list::<Kind>(&api, &identity, (), query.as_deref()).await
}

/// Make a forwarding flow
#[utoipa::path(
    post,
    path = "/v1/forwarding-flows",
    request_body(content = ForwardingFlowDocument, example = json!({
        "name": "sales",
        "master": "pbx",
        "dids": ["+12025550100"],
        "destinations": [{ "name": "slave-a-sales", "server": "slave-a", "did": "1001" }],
    })),
    responses((status = 201, description = "It was made", body = ForwardingFlow)),
)]
async fn create(
    State(api): State<Api>,
    identity: Identity,
    uri: Uri,
    Json(document): Json,
) -> Result<Response, ApiError> {
    change::create::<Kind>(&api, &identity, (), &document, &uri).await
}

/// Read a forwarding flow
#[utoipa::path(
    get,
    path = "/v1/forwarding-flows/{id}",
    params(("id" = String, Path, description = "Id of a forwarding flow")),
    responses((status = 200, description = "As it is now", body = ForwardingFlow)),
)]
async fn read(
    State(api): State<Api>,
    identity: Identity,
    PathId(id): PathId<ForwardingFlowId>,
) -> Result<Response, ApiError> {
    change::read::<Kind>(&api, &identity, (), id).await
}

/// Replace a forwarding flow
#[utoipa::path(
    put,
    path = "/v1/forwarding-flows/{id}",
    params(("id" = String, Path, description = "Id of a forwarding flow")),
    request_body(content = ForwardingFlowDocument, example = json!({
        "name": "sales",
        "master": "pbx",
        "dids": ["+12025550100"],
        "destinations": [{ "name": "slave-a-sales", "server": "slave-a", "did": "1001" }],
        "time_zone": "America/Chicago",
        "schedule": {
            "hours": { "mon-fri": "08:00-18:00", "sat": ["09:00-12:00", "13:00-16:00"] },
            "holidays": ["2026-12-25", { "date": "2026-12-24", "hours": "08:00-12:00" }],
        },
        "rate": { "calls": 10, "per": "second", "burst": 20 },
        "caps": [{ "per": "day", "count": "answers", "max": 500 }],
        "stickiness": { "rolling_sec": 86400, "sliding": true, "on": "answered" },
        "repeat_caller": { "calls": 3, "within_sec": 3600, "then": "different" },
        "caller_numbers": { "country": "1" },
        "redial_gap_sec": 120,
    })),
    responses((status = 200, description = "It was replaced", body = ForwardingFlow)),
)]
async fn replace(
    State(api): State<Api>,
    identity: Identity,
    PathId(id): PathId<ForwardingFlowId>,
    headers: HeaderMap,
    Json(document): Json,
) -> Result<Response, ApiError> {
    let update = (Update::Replace, &headers, &document);
    change::update::<Kind>(&api, &identity, (), id, update).await
}

/// Change some fields of a forwarding flow
///
/// A merge patch (RFC 7396): fields that are left out stay, `null` takes the default.
#[utoipa::path(
    patch,
    path = "/v1/forwarding-flows/{id}",
    params(("id" = String, Path, description = "Id of a forwarding flow")),
    request_body(
        content = ForwardingFlowDocument,
        content_type = "application/merge-patch+json",
        example = json!({ "ring_timeout_sec": 20 }),
    ),
    responses((status = 200, description = "It was changed", body = ForwardingFlow)),
)]
async fn patch(
    State(api): State<Api>,
    identity: Identity,
    PathId(id): PathId<ForwardingFlowId>,
    headers: HeaderMap,
    Json(document): Json,
) -> Result<Response, ApiError> {
    let update = (Update::Patch, &headers, &document);
    change::update::<Kind>(&api, &identity, (), id, update).await
}

/// Remove a forwarding flow
#[utoipa::path(
    delete,
    path = "/v1/forwarding-flows/{id}",
    params(("id" = String, Path, description = "Id of a forwarding flow")),
    responses((status = 204, description = "It is gone")),
)]
async fn remove(
    State(api): State<Api>,
    identity: Identity,
    PathId(id): PathId<ForwardingFlowId>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    change::remove::<Kind>(&api, &identity, (), id, &headers).await
}

/// Switches a flow, whoever else changes it meanwhile; live calls stay as they are.
async fn switch(
    api: &Api,
    identity: &Identity,
    id: ForwardingFlowId,
    state: ForwardingFlowState,
) -> Result<Response, ApiError> {
    identity.require_one(Scope::DestinationsPause, &[Scope::FlowsWrite])?;
    let edit = |current: &Configuration| {
        let mut next = current.clone();
        let found = next.forwarding_flows.iter_mut().find(|flow| flow.id == id);
        found.ok_or_else(|| ApiError::no_such(Kind::WORD))?.state = state;
        Ok((next, ()))
    };
    change::change(api, identity.account, &Part::WithoutNumbers, edit).await?;
    let (configuration, _) = api.db.configuration(identity.account).await?;
    Ok(etag::representation(StatusCode::OK, &Kind::find(&configuration, (), id)?))
}

/// Pause a forwarding flow
///
/// Calls go to its fallback, but for test calls. Effective with the next call, within a second on
/// other nodes; nobody who talks is dropped.
#[utoipa::path(
    post,
    path = "/v1/forwarding-flows/{id}/pause",
    params(("id" = String, Path, description = "Id of a forwarding flow")),
    responses((status = 200, description = "As it is now", body = ForwardingFlow)),
)]
async fn pause(
    State(api): State<Api>,
    identity: Identity,
    PathId(id): PathId<ForwardingFlowId>,
) -> Result<Response, ApiError> {
    switch(&api, &identity, id, ForwardingFlowState::Paused).await
}

/// Resume a forwarding flow
///
/// It takes calls again. Effective with the next call, within a second on other nodes.
#[utoipa::path(
    post,
    path = "/v1/forwarding-flows/{id}/resume",
    params(("id" = String, Path, description = "Id of a forwarding flow")),
    responses((status = 200, description = "As it is now", body = ForwardingFlow)),
)]
async fn resume(
    State(api): State<Api>,
    identity: Identity,
    PathId(id): PathId<ForwardingFlowId>,
) -> Result<Response, ApiError> {
    switch(&api, &identity, id, ForwardingFlowState::Active).await
}

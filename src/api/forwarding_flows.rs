//! Pausing and resuming a forwarding flow as a whole: by people and programs that may change nothing
//! else, and without reading a million numbers for it.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::auth::Identity;
use super::change::{self, Part};
use super::described::ForwardingFlow;
use super::error::ApiError;
use super::etag;
use super::key::Scope;
use super::path::PathId;
use crate::model::configuration::Configuration;
use crate::model::id::{ForwardingFlowId, Id as _};
use crate::model::object::Record as _;
use crate::model::objects::forwarding_flow::ForwardingFlowState;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(pause)).routes(routes!(resume))
}

/// Switches a flow, whoever else changes it meanwhile; live calls stay as they are.
async fn switch(
    api: &Api,
    identity: &Identity,
    id: ForwardingFlowId,
    state: ForwardingFlowState,
) -> Result<Response, ApiError> {
    identity.require_one(Scope::DestinationsPause, &[Scope::FlowsWrite])?;
    let no_such = || ApiError::no_such(ForwardingFlowId::WORD);
    let edit = |current: &Configuration| {
        let mut next = current.clone();
        let found = next.forwarding_flows.iter_mut().find(|flow| flow.id == id);
        found.ok_or_else(no_such)?.state = state;
        Ok((next, ()))
    };
    change::change(api, identity, &Part::WithoutNumbers, edit).await?;
    let (configuration, _) = api.db.configuration(identity.account).await?;
    let flow = configuration.forwarding_flow(id).ok_or_else(no_such)?;
    Ok(etag::representation(StatusCode::OK, &flow.write_whole(&configuration)))
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

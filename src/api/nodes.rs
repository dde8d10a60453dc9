//! The nodes of the database, and what they hold of live-call limits. They are nobody's but of who runs
//! divert, hence the scope `admin` of the default account.

use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::auth::Identity;
use super::described::PageOf;
use super::error::ApiError;
use super::etag;
use super::fields::Fields;
use super::key::Scope;
use crate::clock;
use crate::model::filter::ForgetFilters;
use crate::model::objects::account::DEFAULT_ACCOUNT;
use crate::model::time::Timestamp;
use crate::store::nodes::NodeUse;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(forget))
}

/// A divert with its Asterisk.
#[derive(Serialize, ToSchema)]
struct Node {
    /// Its `node.name`.
    #[schema(example = "a")]
    name: String,
    /// How many legs hold slots of live-call limits in its name.
    #[schema(example = 12)]
    legs: u32,
    /// When the last of them is given back by itself, should the node never be heard of again.
    until: Option<String>,
}

impl From<NodeUse> for Node {
    fn from(node: NodeUse) -> Self {
        let NodeUse { name, legs, until, .. } = node;
        Self { name, legs, until: until.map(Timestamp::rfc3339) }
    }
}

/// List nodes
#[utoipa::path(
    get,
    path = "/v1/nodes",
    responses((status = 200, description = "All of them, by name", body = PageOf<Node>)),
)]
async fn list(State(api): State<Api>, identity: Identity) -> Result<Response, ApiError> {
    require_operator(&identity)?;
    let nodes: Vec<Node> = api.db.nodes().await?.into_iter().map(Node::from).collect();
    let page = json!({ "data": nodes, "next_cursor": null, "has_more": false });
    Ok(etag::representation(StatusCode::OK, &page))
}

/// Forget a node
///
/// Gives back what it holds of live-call limits. Never while it serves. While it holds anything, only with `force`, for a
/// node that is gone with its Asterisk: slots of calls that live are counted no longer.
#[utoipa::path(
    delete,
    path = "/v1/nodes/{name}",
    params(("name" = String, Path, description = "The node.name of a node"), ForgetFilters),
    responses((status = 204, description = "It is forgotten")),
)]
async fn forget(
    State(api): State<Api>,
    identity: Identity,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    require_operator(&identity)?;
    let ForgetFilters { force } = Fields::filters_of(query.as_deref())?;
    let nodes = api.db.nodes().await?;
    let node = nodes.iter().find(|node| node.name == name);
    let node = node.ok_or_else(|| {
        let detail = "No node has this name.";
        ApiError::new(StatusCode::NOT_FOUND, "not_found", "Not found", detail)
            .hint("GET /v1/nodes lists them")
    })?;
    if node.is_serving(clock::wall()) {
        let detail = "The node is serving.";
        let hint = "stop it first; one that has just died may be forgotten half a minute later";
        return Err(ApiError::conflict("serving", "Cannot be forgotten", detail).hint(hint));
    }
    if node.legs > 0 && force != Some(true) {
        let detail = format!("The node holds slots for {} live legs.", node.legs);
        let hint = "if it is gone with its Asterisk, send force=true; if its calls live, limits \
                    would be exceeded";
        return Err(ApiError::conflict("in_use", "Cannot be forgotten", detail).hint(hint));
    }
    api.db.forget_node(&name).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn require_operator(identity: &Identity) -> Result<(), ApiError> {
    identity.require(Scope::Admin)?;
    if identity.account == DEFAULT_ACCOUNT {
        return Ok(());
    }
    let detail = "Nodes are looked after by the default account.";
    Err(ApiError::new(StatusCode::FORBIDDEN, "not_operator", "Not allowed", detail)
        .hint("use a key of the default account"))
}

//! How it all stands, on one page: the node with its Asterisk and its store, trunks, live calls, and what
//! went wrong lately. For `divert status` and for whoever draws a page of it.

use std::collections::BTreeSet;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::Identity;
use super::error::ApiError;
use super::health::{NO_ASTERISK, NO_STORE};
use super::key::Scope;
use super::{Api, NodeStatus, RowCounts};
use crate::model::id::TrunkId;
use crate::model::notice::Notice;
use crate::model::objects::account::DEFAULT_ACCOUNT;
use crate::model::time::Timestamp;
use crate::routing::health::Standing;
use crate::routing::standing::TrunkStanding;
use crate::store::nodes::NodeUse;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(status))
}

/// How divert stands.
#[derive(Serialize, ToSchema)]
struct Status {
    /// The one that answers.
    node: ThisNode,
    asterisk: Asterisk,
    store: Store,
    /// All nodes of the database with the live legs they hold slots for; empty unless the key has
    /// the scope `admin` of the default account.
    nodes: Vec<OtherNode>,
    /// Calls of this node that have not ended.
    #[schema(example = 3)]
    live_calls: usize,
    /// Those with a live call on this node, the busiest first.
    flows: Vec<BusyFlow>,
    trunks: Vec<TrunkStatus>,
    /// Warnings and errors of the log since this node was started, the newest first, each kind once;
    /// for whom `nodes` is.
    problems: Vec<LoggedProblem>,
}

#[derive(Serialize, ToSchema)]
struct ThisNode {
    /// Its `node.name`.
    #[schema(example = "a")]
    name: String,
    /// Of divert.
    #[schema(example = "1.4.0")]
    version: &'static str,
    #[schema(example = "2026-11-21T14:03:07.120Z")]
    up_since: String,
}

/// The Asterisk it controls.
#[derive(Serialize, ToSchema)]
struct Asterisk {
    connected: bool,
    /// Why it is not; for whom `nodes` is not, only that it is so.
    reason: Option<String>,
    /// Of the one it is, or was last, connected to.
    #[schema(example = "22.10.1")]
    version: Option<String>,
    #[schema(example = "2026-11-21T14:03:07.120Z")]
    up_since: Option<String>,
}

/// The database.
#[derive(Serialize, ToSchema)]
struct Store {
    ok: bool,
    /// What is wrong with it; for whom `nodes` is not, only that something is.
    reason: Option<String>,
    rows: RowCounts,
}

#[derive(Serialize, ToSchema)]
struct OtherNode {
    #[schema(example = "b")]
    name: String,
    #[schema(example = 12)]
    legs: u32,
}

#[derive(Serialize, ToSchema)]
struct BusyFlow {
    #[schema(example = "flw_01j3nnnyejx8kz0q4tt3b7m9ra")]
    id: String,
    #[schema(example = "solar-east")]
    name: String,
    #[schema(example = 3)]
    live: usize,
}

#[derive(Serialize, ToSchema)]
struct TrunkStatus {
    #[schema(example = "trk_01j3nnnyejx8kz0q4tt3b7m9ra")]
    id: String,
    #[schema(example = "to-slave-a")]
    name: String,
    /// `up`; `offline`: its peer does not reply to Asterisk, or Asterisk has no such endpoint;
    /// `failing`: left alone after calls that failed in a row; `probing`: the next call finds out
    /// whether it works again; `unknown`: Asterisk does not watch it, or has not asked yet, and calls
    /// go over it.
    #[schema(example = "up")]
    state: &'static str,
    /// Until when it is left alone.
    until: Option<String>,
    /// Live legs of this node over it.
    #[schema(example = 2)]
    live: u32,
}

#[derive(Serialize, ToSchema)]
struct LoggedProblem {
    /// When it was written last.
    at: String,
    first_at: String,
    /// `warning` or `error`.
    #[schema(example = "warning")]
    level: String,
    #[schema(example = "trunk \"to-slave-a\" is offline")]
    text: String,
    /// How often.
    #[schema(example = 1)]
    times: u32,
}

/// Read how it all stands
///
/// Trunks and calls are those of the account, as the node that answers sees them.
#[utoipa::path(
    get,
    path = "/v1/status",
    responses((status = 200, description = "At this moment", body = Status)),
)]
async fn status(State(api): State<Api>, identity: Identity) -> Result<Response, ApiError> {
    identity.require(Scope::CallsRead)?;
    let now = api.node.status(identity.account).await.ok_or_else(|| {
        ApiError::conflict("stopping", "About to stop", "divert is about to stop.")
            .hint("ask again in a few seconds")
    })?;
    let readiness = api.node.readiness();
    // What is wrong with the store must not hide all else.
    let configuration = api.db.configuration_without_numbers(identity.account).await;
    let trunks: Option<BTreeSet<TrunkId>> = configuration
        .ok()
        .map(|(configuration, _)| configuration.trunks.iter().map(|trunk| trunk.id).collect());
    let is_operator = identity.may(Scope::Admin) && identity.account == DEFAULT_ACCOUNT;
    let (nodes, problems) = if is_operator {
        (api.db.nodes().await.unwrap_or_default(), (api.telemetry.notices)())
    } else {
        (Vec::new(), Vec::new())
    };
    // Addresses of servers may be in it.
    let reason = |why: Result<(), String>, plain: &str| {
        why.err().map(|why| if is_operator { why } else { plain.to_owned() })
    };
    let is_theirs = |trunk: &&TrunkStanding| match &trunks {
        Some(theirs) => theirs.contains(&trunk.trunk),
        None => is_operator,
    };
    let NodeStatus { name, up_since, version, startup_time, live_calls, flows, trunks: all } = now;
    let started = startup_time.as_deref().and_then(moment_of_asterisk);
    let body = Status {
        node: ThisNode { name, version: env!("CARGO_PKG_VERSION"), up_since: up_since.rfc3339() },
        asterisk: Asterisk {
            connected: readiness.asterisk.is_ok(),
            reason: reason(readiness.asterisk, NO_ASTERISK),
            version,
            up_since: started.map(Timestamp::rfc3339),
        },
        store: Store {
            ok: readiness.store.is_ok(),
            reason: reason(readiness.store, NO_STORE),
            rows: readiness.rows,
        },
        nodes: nodes.into_iter().map(OtherNode::from).collect(),
        live_calls,
        flows: flows
            .into_iter()
            .map(|(id, name, live)| BusyFlow { id: id.to_string(), name, live })
            .collect(),
        trunks: all.iter().filter(is_theirs).map(TrunkStatus::from).collect(),
        problems: problems.iter().map(LoggedProblem::from).collect(),
    };
    Ok(axum::Json(body).into_response())
}

/// Asterisk writes `2026-11-21T14:03:07.120+0000`, without the colon of RFC 3339.
fn moment_of_asterisk(text: &str) -> Option<Timestamp> {
    let at = jiff::fmt::strtime::parse("%Y-%m-%dT%H:%M:%S%.f%z", text).ok()?.to_timestamp().ok()?;
    Some(Timestamp(at.as_millisecond()))
}

impl From<NodeUse> for OtherNode {
    fn from(node: NodeUse) -> Self {
        Self { name: node.name, legs: node.legs }
    }
}

impl From<&TrunkStanding> for TrunkStatus {
    fn from(trunk: &TrunkStanding) -> Self {
        let (state, until) = match trunk.standing {
            Standing::Failing { until, .. } => ("failing", Some(until)),
            Standing::Offline => ("offline", None),
            Standing::Probing => ("probing", None),
            Standing::Unknown => ("unknown", None),
            Standing::Up => ("up", None),
        };
        Self {
            id: trunk.trunk.to_string(),
            name: trunk.name.clone(),
            state,
            until: until.map(Timestamp::rfc3339),
            live: trunk.live,
        }
    }
}

impl From<&Notice> for LoggedProblem {
    fn from(notice: &Notice) -> Self {
        Self {
            at: notice.at.rfc3339(),
            first_at: notice.first_at.rfc3339(),
            level: notice.level.to_string(),
            text: notice.text.clone(),
            times: notice.times,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_asterisk_tells_is_understood() {
        let at = moment_of_asterisk("2026-11-21T14:03:07.120+0100").unwrap();
        assert_eq!(at.rfc3339(), "2026-11-21T13:03:07.120Z");
        assert_eq!(moment_of_asterisk("now"), None);
    }
}

//! divert's own HTTP API: configuration, calls, test calls and keys under `/v1`, and next to it `/docs`,
//! `/openapi.json`, `/healthz`, `/readyz` and `/metrics`.
//!
//! It reads and writes the store and asks the node through the [`Node`] port; it dials nothing and
//! decides nothing itself. What a valid document is stands in `model::document`, not here.
//!
//! Standards followed: problems are RFC 9457, merge patches RFC 7396, conditional requests RFC 9110
//! §13, bearer keys RFC 6750, the description `OpenAPI` 3.1. A request with an `Idempotency-Key` is
//! executed once and answered alike for 24 hours.

use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde::Serialize;
use utoipa::ToSchema;

use crate::model::id::{AccountId, CallId, ForwardingFlowId};
use crate::model::notice::Notice;
use crate::model::number::{Caller, Did};
use crate::model::time::Timestamp;
use crate::routing::explain::{ExplainedCall, FlowLive};
use crate::routing::standing::TrunkStanding;
use crate::store::Db;

mod account;
mod answers;
mod auth;
mod balance;
mod body;
mod calls;
mod cdrs;
mod change;
mod changes;
mod connections;
mod described;
mod destinations;
mod docs;
mod error;
mod etag;
mod explain;
mod fields;
mod filters;
mod forwarding_flows;
mod health;
mod idempotency;
mod json;
mod key;
mod keys;
mod limit;
mod nodes;
mod number_import;
mod numbers;
mod objects;
mod observe;
mod openapi;
mod page;
mod path;
mod reports;
mod request_id;
mod router;
mod serve;
mod sessions;
mod shapes;
mod spreadsheet;
mod status;
mod test_calls;
mod waiting;

pub use auth::{Access, USER_HEADER};
pub use connections::{Room, TURNED_AWAY};
pub use key::{Scope, new_key};
pub use openapi::document;
pub use reports::{EitherTests, ReportFilters};
pub use router::router;
pub use serve::{Listeners, bind, serve};
pub use spreadsheet::{CsvFilters, Dialect};

/// What the API asks of the running node.
pub trait Node: Send + Sync + 'static {
    /// Originates a call that enters `flow` as if it came from outside, tagged as a test.
    fn place_test_call(
        &self,
        account: AccountId,
        flow: ForwardingFlowId,
        request: TestCallRequest,
    ) -> BoxFuture<'_, Result<CallId, TestCallRefused>>;

    /// What would become of a call, by the live state of this node; nothing is committed. `None`: no
    /// flow of the account that this node serves owns the DID.
    fn explain(
        &self,
        account: AccountId,
        question: ExplainQuestion,
    ) -> BoxFuture<'_, Option<ExplainedCall>>;

    /// How a flow stands now; `None` if this node does not serve it.
    fn live(&self, account: AccountId, flow: ForwardingFlowId) -> BoxFuture<'_, Option<FlowLive>>;

    /// What lives on the node, and how its trunks stand; `None` when it is about to stop.
    fn status(&self, account: AccountId) -> BoxFuture<'_, Option<NodeStatus>>;

    /// Hangs up a live call; `false` when this node has no such call of the account.
    fn end_call(&self, account: AccountId, call: CallId) -> BoxFuture<'_, bool>;

    /// The configuration in the store is newer than the one the node routes by.
    fn configuration_changed(&self);

    /// Whether calls can be taken right now.
    fn readiness(&self) -> Readiness;
}

/// How a test call should look to the flow.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct TestCallRequest {
    /// The DID it arrives on; `None` takes the first of the flow.
    pub did: Option<Did>,
    /// Who seems to call; `None` leaves it to the node.
    pub caller: Option<Caller>,
}

/// A call that might come.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ExplainQuestion {
    pub did: Did,
    pub caller: Caller,
    pub at: Timestamp,
}

/// Why no test call was placed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TestCallRefused {
    /// Stable word for programs: `asterisk_unreachable`.
    pub code: &'static str,
    /// What is wrong, in a sentence for people.
    pub message: String,
}

/// What stands between the node and its next call; each `Err` says why, for who runs
/// divert: it may hold addresses and names.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Readiness {
    pub asterisk: Result<(), String>,
    /// Whether it can be read, and written.
    pub store: Result<(), String>,
    /// Whether Asterisk has every trunk that divert makes there.
    pub trunks: Result<(), String>,
    pub rows: RowCounts,
}

/// What becomes of rows on their way to the store: calls, bills, timelines.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, ToSchema)]
pub struct RowCounts {
    /// Rows that wait to be written: none, but for a moment, while the database is well.
    #[schema(example = 0)]
    pub waiting: u64,
    /// Of those that wait, how many are kept on disk, so that a process that is killed loses none.
    #[schema(example = 0)]
    pub spooled: u64,
    /// Rows lost since the start: more than may wait, or refused by the database.
    #[schema(example = 0)]
    pub lost: u64,
}

/// How the node stands, beside its [`Readiness`].
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NodeStatus {
    /// Its `node.name`.
    pub name: String,
    pub up_since: Timestamp,
    /// Of the Asterisk it is or was connected to: `22.10.1`, and the moment of its start as it writes
    /// that itself.
    pub version: Option<String>,
    pub startup_time: Option<String>,
    /// The account's calls that have not ended.
    pub live_calls: usize,
    /// Its flows that have some, with their number, the busiest first.
    pub flows: Vec<(ForwardingFlowId, String, usize)>,
    /// All trunks of the node, of whatever account.
    pub trunks: Vec<TrunkStanding>,
}

/// What the process tells of itself.
#[derive(Clone)]
pub struct Telemetry {
    /// Renders the Prometheus text of `/metrics`.
    pub metrics: Arc<dyn Fn() -> String + Send + Sync>,
    /// What went wrong lately, the newest first.
    pub notices: Arc<dyn Fn() -> Vec<Notice> + Send + Sync>,
}

/// Everything the handlers share. Clones share the same rate limits.
#[derive(Clone)]
pub struct Api {
    db: Db,
    node: Arc<dyn Node>,
    telemetry: Telemetry,
    limits: Arc<limit::Limits>,
}

impl Api {
    #[must_use]
    pub fn new(db: Db, node: Arc<dyn Node>, telemetry: Telemetry) -> Self {
        Self { db, node, telemetry, limits: Arc::default() }
    }
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Api").finish_non_exhaustive()
    }
}

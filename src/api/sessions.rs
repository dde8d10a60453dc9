//! Sessions: the call log with redials collapsed, one row for the calls of a caller that followed
//! each other. `GET /v1/calls?session=` lists the calls of one.

use axum::extract::{RawQuery, State};
use axum::response::Response;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::auth::Identity;
use super::calls::{Caller, Named, seconds, tags, take_filter};
use super::described::PageOf;
use super::error::ApiError;
use super::fields::Fields;
use super::key::Scope;
use super::page::Page;
use crate::model::filter::{CallFilters, PageFilters};
use crate::model::time::Timestamp;
use crate::store;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list))
}

/// List calls with redials collapsed
///
/// A session has the time, number, caller and flow of its first call, and those filters ask for
/// them. It lives while one of its calls does, its result is the best of them, and it was sent
/// wherever one of them was.
#[utoipa::path(
    get,
    path = "/v1/sessions",
    params(CallFilters, PageFilters),
    responses((status = 200, description = "One page, newest first", body = PageOf<Session>)),
)]
async fn list(
    State(api): State<Api>,
    identity: Identity,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    identity.require(Scope::CallsRead)?;
    let mut query = Fields::of_query(query.as_deref());
    let page = Page::take(&mut query);
    let filter = take_filter(&mut query);
    query.finish(&[])?;
    let found = api.db.sessions(identity.account, &filter, page.before, page.probe()).await?;
    Ok(page.cut(&found, |one| one.first.id, |one| json!(Session::from(one))))
}

/// The calls of one caller that followed each other within the flow's `redial_gap_sec`.
#[derive(Serialize, ToSchema)]
struct Session {
    /// That of the first call.
    #[schema(example = "call_01j3nnnyejx8kz0q4tt3b7m9ra")]
    id: String,
    /// The number called.
    #[schema(example = "+12025550100")]
    did: String,
    caller: Caller,
    /// The flow that owned the number, with its name at that time.
    forwarding_flow: Option<Named>,
    /// `test` for test calls, `repeat` where the flow's repeat-caller rule held.
    tags: Vec<&'static str>,
    /// Of the last call: `routing`, `ringing`, `talking` or `ended`.
    #[schema(example = "ended")]
    status: String,
    /// When the first call arrived.
    #[schema(example = "2026-11-21T14:03:07.120Z")]
    started_at: String,
    /// When the last call ended; `null` while one lives.
    ended_at: Option<String>,
    /// Conversation, of all calls together.
    #[schema(example = 24.1)]
    talk_sec: f64,
    /// The best of all calls, in the order in which results are listed.
    #[schema(example = "answered")]
    result: Option<String>,
    /// How many calls.
    #[schema(example = 3)]
    attempts: usize,
    /// Their ids, the oldest first.
    calls: Vec<String>,
}

impl From<&store::Session> for Session {
    fn from(session: &store::Session) -> Self {
        let first = &session.first;
        Self {
            id: first.id.to_string(),
            did: first.did.to_string(),
            caller: (&first.caller).into(),
            forwarding_flow: Named::of(first.flow.as_ref()),
            tags: tags(first.is_test, session.is_repeat),
            status: session.status.to_string(),
            started_at: first.started_at.rfc3339(),
            ended_at: session.ended_at.map(Timestamp::rfc3339),
            talk_sec: seconds(session.talk_ms),
            result: session.result.map(|result| result.to_string()),
            attempts: session.calls.len(),
            calls: session.calls.iter().map(ToString::to_string).collect(),
        }
    }
}

//! Calls: the log, one call with its legs and its timeline, and hanging up a live one.

use std::collections::BTreeMap;
use std::fmt::Display;

use axum::Json as JsonOut;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::auth::Identity;
use super::body::OptionalJson;
use super::cdrs::{Cost, Money};
use super::described::PageOf;
use super::error::ApiError;
use super::etag;
use super::fields::Fields;
use super::key::Scope;
use super::page::Page;
use super::path::PathId;
use super::spreadsheet::{self, CsvFilters, Dialect};
use crate::model::billing::Cdr;
use crate::model::call::{CallRecord, CallStatus, LegRecord};
use crate::model::filter::{CallFilters, OneCallFilters, PageFilters, Tests};
use crate::model::id::{AccountId, CallId};
use crate::model::number;
use crate::model::time::Timestamp;
use crate::model::timeline::TimelineEntry;
use crate::store::{CallDetail, CallFilter, Db, StoreError};

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(export))
        .routes(routes!(read))
        .routes(routes!(end))
}

/// List calls
#[utoipa::path(
    get,
    path = "/v1/calls",
    params(CallFilters, OneCallFilters, PageFilters),
    responses((status = 200, description = "One page, newest first", body = PageOf<Call>)),
)]
async fn list(
    State(api): State<Api>,
    identity: Identity,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    identity.require(Scope::CallsRead)?;
    let mut query = Fields::of_query(query.as_deref());
    let page = Page::take(&mut query);
    let filter = take_call_filter(&mut query);
    query.finish(&[])?;
    let calls = api.db.calls(identity.account, &filter, page.before, page.probe()).await?;
    Ok(page.cut(&calls, |call| call.id, |call| json!(Call::from(call))))
}

/// Export calls as CSV
///
/// All calls that pass the filters, newest first, with a line of names at the top.
#[utoipa::path(
    get,
    path = "/v1/calls.csv",
    params(CallFilters, OneCallFilters, CsvFilters),
    responses((status = 200, description = "RFC 4180", content_type = "text/csv", body = String)),
)]
async fn export(
    State(api): State<Api>,
    identity: Identity,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    identity.require(Scope::CallsRead)?;
    let mut query = Fields::of_query(query.as_deref());
    let dialect = Dialect::take(&mut query);
    let filter = take_call_filter(&mut query);
    query.finish(&[])?;
    let account = identity.account;
    spreadsheet::export("calls", dialect, COLUMNS, move |before| {
        let (db, filter) = (api.db.clone(), filter.clone());
        async move { read_rows(&db, account, &filter, before).await }
    })
    .await
}

/// The next rows of an export, each with the call it is of.
async fn read_rows(
    db: &Db,
    account: AccountId,
    filter: &CallFilter,
    before: Option<CallId>,
) -> Result<Vec<(CallId, [String; 21])>, StoreError> {
    let calls = db.calls(account, filter, before, spreadsheet::ROWS_AT_ONCE).await?;
    if calls.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<CallId> = calls.iter().map(|call| call.id).collect();
    let legs = db.answered_legs(account, &ids).await?;
    let legs: BTreeMap<CallId, LegRecord> = legs.into_iter().map(|leg| (leg.call, leg)).collect();
    let mut bills: BTreeMap<CallId, Vec<Cdr>> = BTreeMap::new();
    for bill in db.cdrs_of_calls(account, &ids).await? {
        bills.entry(bill.call).or_default().push(bill);
    }
    let row = |call: &CallRecord| {
        let cost = bills.get(&call.id).and_then(|bills| Money::of_all(bills));
        (call.id, columns(call, legs.get(&call.id), cost))
    };
    Ok(calls.iter().map(row).collect())
}

fn take_call_filter(query: &mut Fields) -> CallFilter {
    let OneCallFilters { id: ids, session } = query.filters();
    CallFilter { ids, session, ..take_filter(query) }
}

pub(super) fn take_filter(query: &mut Fields) -> CallFilter {
    let CallFilters { flow, destination, did, caller, result, test, live, from, to } =
        query.filters();
    let is_test = test.and_then(Tests::only);
    let (ids, session) = (None, None);
    CallFilter { ids, session, flow, destination, did, caller, result, is_test, live, from, to }
}

const COLUMNS: [&str; 21] = [
    "id",
    "session",
    "started_at",
    "answered_at",
    "ended_at",
    "did",
    "caller_number",
    "caller_name",
    "forwarding_flow_id",
    "forwarding_flow",
    "destination_id",
    "destination",
    "status",
    "result",
    "ended_by",
    "cause",
    "duration_sec",
    "talk_sec",
    "cost",
    "currency",
    "tags",
];

/// In the order of [`COLUMNS`]. The destination is who answered, `cost` that of all legs.
fn columns(call: &CallRecord, answered: Option<&LegRecord>, cost: Option<Money>) -> [String; 21] {
    let text = |value: Option<String>| value.unwrap_or_default();
    let at = |at: Option<Timestamp>| text(at.map(Timestamp::rfc3339));
    let (flow_id, flow) = call
        .flow
        .as_ref()
        .map_or_else(Default::default, |(id, name)| (id.to_string(), name.clone()));
    let destination = answered.and_then(|leg| leg.destination);
    let (amount, currency) =
        cost.map_or_else(Default::default, |cost| (cost.amount, cost.currency));
    [
        call.id.to_string(),
        call.session.to_string(),
        call.started_at.rfc3339(),
        at(call.answered_at),
        at(call.ended_at),
        call.did.to_string(),
        call.caller.number.clone(),
        call.caller.name.clone(),
        flow_id,
        flow,
        text(destination.map(|id| id.to_string())),
        text(answered.map(|leg| leg.name.clone())),
        call.status.to_string(),
        text(call.result.map(|result| result.to_string())),
        text(call.ended_by.map(|by| by.to_string())),
        text(call.cause.map(|cause| cause.to_string())),
        text(call.ended_at.map(|end| thousandths(end.since_ms(call.started_at)))),
        thousandths(call.talk_ms),
        amount,
        currency,
        tags(call.is_test, call.is_repeat).join(" "),
    ]
}

/// Milliseconds as seconds, as text.
pub(super) fn thousandths(ms: i64) -> String {
    let ms = ms.max(0);
    format!("{}.{:03}", ms / 1_000, ms % 1_000)
}

/// Read a call with its legs and its timeline
#[utoipa::path(
    get,
    path = "/v1/calls/{id}",
    params(("id" = String, Path, description = "Id of a call")),
    responses((status = 200, description = "As far as it went", body = CallWithDetail)),
)]
async fn read(
    State(api): State<Api>,
    identity: Identity,
    PathId(id): PathId<CallId>,
) -> Result<Response, ApiError> {
    identity.require(Scope::CallsRead)?;
    let detail = api.db.call(identity.account, id).await?;
    let detail = detail.ok_or_else(|| ApiError::no_such("call"))?;
    let bills = api.db.cdrs_of_call(identity.account, id).await?;
    Ok(etag::representation(StatusCode::OK, &json!(CallWithDetail::of(&detail, &bills))))
}

/// Hang up a live call
///
/// A test call needs the scope `calls:test`, any other `admin`.
#[utoipa::path(
    post,
    path = "/v1/calls/{id}/end",
    params(("id" = String, Path, description = "Id of a live call")),
    responses((status = 202, description = "It is being hung up", body = Ending)),
)]
async fn end(
    State(api): State<Api>,
    identity: Identity,
    PathId(id): PathId<CallId>,
    OptionalJson(body): OptionalJson,
) -> Result<Response, ApiError> {
    if !identity.may(Scope::CallsTest) {
        identity.require(Scope::Admin)?;
    }
    Fields::of_body(body).finish(&[])?;
    let kept = api.db.call(identity.account, id).await?.map(|detail| detail.call);
    if !kept.as_ref().is_some_and(|call| call.is_test) {
        identity.require(Scope::Admin)?;
    }
    let over = || {
        ApiError::conflict("call_over", "Call is over", "This call is not live any more.")
            .hint("GET /v1/calls?live=true lists those that are")
    };
    if kept.as_ref().is_some_and(|call| call.status == CallStatus::Ended) {
        return Err(over());
    }
    // A call of this moment may live in the node before the store has its row.
    if !api.node.end_call(identity.account, id).await {
        return Err(kept.map_or_else(|| ApiError::no_such("call"), |_| over()));
    }
    let ending = Ending { id: id.to_string(), status: "ending" };
    Ok((StatusCode::ACCEPTED, JsonOut(ending)).into_response())
}

#[derive(Serialize, ToSchema)]
struct Ending {
    #[schema(example = "call_01j3nnnyejx8kz0q4tt3b7m9ra")]
    id: String,
    #[schema(example = "ending")]
    status: &'static str,
}

/// One inbound call.
#[derive(Serialize, ToSchema)]
struct Call {
    #[schema(example = "call_01j3nnnyejx8kz0q4tt3b7m9ra")]
    id: String,
    /// The first of the redials that the log shows as one: itself, or an earlier call.
    session: String,
    /// The number called.
    #[schema(example = "+12025550100")]
    did: String,
    caller: Caller,
    /// The flow that owned the number, with its name at that time.
    forwarding_flow: Option<Named>,
    /// `test` for a test call, `repeat` when the flow's repeat-caller rule held.
    tags: Vec<&'static str>,
    /// `routing`, `ringing`, `talking` or `ended`.
    #[schema(example = "ended")]
    status: String,
    #[schema(example = "2026-11-21T14:03:07.120Z")]
    started_at: String,
    answered_at: Option<String>,
    ended_at: Option<String>,
    /// From arrival to end; `null` while it lives.
    #[schema(example = 31.52)]
    duration_sec: Option<f64>,
    /// Conversation.
    #[schema(example = 24.1)]
    talk_sec: f64,
    #[schema(example = "answered")]
    result: Option<String>,
    #[schema(example = "caller")]
    ended_by: Option<String>,
    /// ITU-T Q.850.
    #[schema(example = 16)]
    cause: Option<u16>,
}

#[derive(Serialize, ToSchema)]
pub(super) struct Caller {
    /// Empty when withheld.
    number: String,
    name: String,
}

#[derive(Serialize, ToSchema)]
pub(super) struct Named {
    pub id: String,
    pub name: String,
}

impl Named {
    pub fn of<Id: Display>(named: Option<&(Id, String)>) -> Option<Self> {
        named.map(|(id, name)| Self { id: id.to_string(), name: name.clone() })
    }
}

impl From<&number::Caller> for Caller {
    fn from(caller: &number::Caller) -> Self {
        Self { number: caller.number.clone(), name: caller.name.clone() }
    }
}

/// What marks a row of the log.
pub(super) fn tags(is_test: bool, is_repeat: bool) -> Vec<&'static str> {
    [(is_test, "test"), (is_repeat, "repeat")]
        .into_iter()
        .filter_map(|(holds, tag)| holds.then_some(tag))
        .collect()
}

/// One inbound call with everything known about it.
#[derive(Serialize, ToSchema)]
struct CallWithDetail {
    #[serde(flatten)]
    call: Call,
    /// The node that had or has it.
    node: String,
    /// The caller's channel in Asterisk.
    channel: String,
    /// The bridge in Asterisk.
    bridge: String,
    /// Of all its legs that were billed.
    cost: Option<Money>,
    legs: Vec<Leg>,
    timeline: Vec<Entry>,
}

/// One destination that was dialled.
#[derive(Serialize, ToSchema)]
struct Leg {
    /// From 1, in the order of dialling.
    no: u16,
    /// `null` for the fallback number of a flow.
    destination: Option<String>,
    /// The trunk it went over.
    trunk: Option<String>,
    /// The destination's name at that time.
    name: String,
    /// What was dialled.
    #[schema(example = "PJSIP/1001@to-slave-a")]
    endpoint: String,
    started_at: String,
    ringing_at: Option<String>,
    answered_at: Option<String>,
    ended_at: Option<String>,
    #[schema(example = "no_answer")]
    outcome: Option<String>,
    /// ITU-T Q.850.
    cause: Option<u16>,
    sip_code: Option<u16>,
    /// `null` until it has ended, and for legs that cost nothing.
    cost: Option<Cost>,
}

/// One step of a call.
#[derive(Serialize, ToSchema)]
struct Entry {
    /// From 0, in order.
    seq: u32,
    at: String,
    /// Since the call arrived.
    offset_ms: i64,
    #[schema(example = "Routed")]
    title: &'static str,
    #[schema(example = "slave-b (priority 1, weight 70) · slave-a skipped: full 10/10")]
    sentence: String,
    /// The same for programs; `step.step` names its kind.
    #[schema(value_type = Object)]
    step: Value,
}

impl From<&CallRecord> for Call {
    fn from(call: &CallRecord) -> Self {
        Self {
            id: call.id.to_string(),
            session: call.session.to_string(),
            did: call.did.to_string(),
            caller: (&call.caller).into(),
            forwarding_flow: Named::of(call.flow.as_ref()),
            tags: tags(call.is_test, call.is_repeat),
            status: call.status.to_string(),
            started_at: call.started_at.rfc3339(),
            answered_at: call.answered_at.map(Timestamp::rfc3339),
            ended_at: call.ended_at.map(Timestamp::rfc3339),
            duration_sec: call.ended_at.map(|at| seconds(at.since_ms(call.started_at))),
            talk_sec: seconds(call.talk_ms),
            result: call.result.map(|result| result.to_string()),
            ended_by: call.ended_by.map(|by| by.to_string()),
            cause: call.cause.map(|cause| cause.0),
        }
    }
}

impl CallWithDetail {
    fn of(detail: &CallDetail, bills: &[Cdr]) -> Self {
        let call = &detail.call;
        let entry = |entry: &TimelineEntry| Entry {
            seq: entry.seq,
            at: entry.at.rfc3339(),
            offset_ms: entry.at.since_ms(call.started_at),
            title: entry.step.title(),
            sentence: entry.step.sentence(),
            step: json!(entry.step),
        };
        Self {
            call: call.into(),
            node: detail.node.clone(),
            channel: call.channel.to_string(),
            bridge: call.bridge.to_string(),
            cost: Money::of_all(bills),
            legs: detail.legs.iter().map(|leg| Leg::of(leg, bills)).collect(),
            timeline: detail.timeline.iter().map(entry).collect(),
        }
    }
}

impl Leg {
    fn of(leg: &LegRecord, bills: &[Cdr]) -> Self {
        let bill = bills.iter().find(|bill| bill.leg == leg.no);
        Self {
            no: leg.no,
            destination: leg.destination.map(|id| id.to_string()),
            trunk: leg.trunk.map(|id| id.to_string()),
            name: leg.name.clone(),
            endpoint: leg.endpoint.clone(),
            started_at: leg.started_at.rfc3339(),
            ringing_at: leg.ringing_at.map(Timestamp::rfc3339),
            answered_at: leg.answered_at.map(Timestamp::rfc3339),
            ended_at: leg.ended_at.map(Timestamp::rfc3339),
            outcome: leg.outcome.map(|outcome| outcome.to_string()),
            cause: leg.cause.map(|cause| cause.0),
            sip_code: leg.sip_code,
            cost: bill.map(Cost::from),
        }
    }
}

/// Milliseconds as seconds. 32 bits hold 49 days, longer than any call may last.
pub(super) fn seconds(ms: i64) -> f64 {
    f64::from(u32::try_from(ms.max(0)).unwrap_or(u32::MAX)) / 1_000.0
}

//! Why and what next: the decision on a call that has not come, and how a flow stands now. Both are
//! asked of the running node, and change nothing.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::Identity;
use super::body::Json;
use super::error::ApiError;
use super::fields::Fields;
use super::key::Scope;
use super::path::PathId;
use super::test_calls::{TestCaller, take_caller};
use super::{Api, ExplainQuestion};
use crate::clock;
use crate::model::billing::Tariff;
use crate::model::id::{DestinationId, ForwardingFlowId, ObjectId};
use crate::model::number::Did;
use crate::model::object::{Names, Shape as _};
use crate::model::objects::forwarding_flow::Fallback;
use crate::model::time::Timestamp;
use crate::model::timeline::{Candidate, Verdict};
use crate::routing::decide::{Decision, Would};
use crate::routing::explain::{
    CapLive, Closed, DestinationLive, ExplainedCall, FlowLive, LastResort, LimitLive,
};
use crate::routing::snapshot::Offer;

/// So far behind may the clock be of who asks about now.
const PAST_MS: i64 = 60_000;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(explain)).routes(routes!(live))
}

/// A call that might come.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what read_question reads")]
struct ExplainDocument {
    /// The number it arrives on.
    #[schema(example = "+12025550100")]
    did: String,
    /// Who calls; absent is withheld.
    #[schema(required = false)]
    caller: TestCaller,
    /// When it comes (RFC 3339), now or later; absent is now. Schedules, caps and stickiness are
    /// judged at that time, everything that lives as it is now.
    #[schema(required = false, example = "2031-11-21T14:03:07Z")]
    at: String,
}

/// What would become of the call.
#[derive(Serialize, ToSchema)]
struct Explained {
    #[schema(example = "+12025550100")]
    did: String,
    #[schema(example = "2026-11-21T14:03:07.000Z")]
    at: String,
    /// `null`: nobody owns the number, and the call goes back to the dialplan.
    #[schema(nullable)]
    forwarding_flow: Value,
    /// Nobody owns the number, and somebody owns this one, which lacks its `+` or has one more.
    #[schema(example = "+12025550100")]
    did_you_mean: Option<String>,
    /// Of the flow.
    #[schema(example = "America/Chicago")]
    zone: Option<String>,
    /// Where the flow is closed: its hours of that day, and when it `opens_at`.
    #[schema(nullable)]
    closed: Value,
    /// By what the caller is known again; `null` for one who cannot be.
    #[schema(example = "12025550142")]
    caller_key: Option<String>,
    /// The flow's repeat-caller rule, if it holds.
    #[schema(nullable)]
    repeat: Value,
    /// Where it would go, with `endpoint`, `ring_timeout_sec` and what it costs; `null` with the
    /// reason below.
    #[schema(nullable)]
    destination: Value,
    #[schema(example = "all_full")]
    reason: Option<String>,
    /// Every destination as it is judged: `verdict`, and in words why not; `closed` as above.
    candidates: Vec<Value>,
    /// Who would be tried next if nobody answered, in order.
    then: Vec<Value>,
    /// Why nobody would be tried behind the last of them; `null` if the call may have no more
    /// attempts.
    #[schema(example = "all_tried")]
    ends: Option<String>,
    /// How many destinations are judged so then, of those that were not tried.
    #[schema(value_type = BTreeMap<String, u32>, example = json!({ "full": 2, "closed": 1 }))]
    ends_with: BTreeMap<String, u32>,
    /// Where the call goes that nobody took, as in the flow; a number that would not be dialled as
    /// things are now has the `reason`.
    #[schema(nullable)]
    fallback: Value,
    /// What an ordinary call would change: wheel, caps, stickiness, the rule about repeated calls.
    #[schema(nullable)]
    would: Value,
}

/// How a flow stands for new callers.
#[derive(Serialize, ToSchema)]
struct Live {
    #[schema(example = "flw_01j3nnnyejx8kz0q4tt3b7m9ra")]
    forwarding_flow: String,
    #[schema(example = "2026-11-21T14:03:07.000Z")]
    at: String,
    /// Of the flow.
    #[schema(example = "America/Chicago")]
    zone: String,
    /// Where the flow is closed: its hours of today, and when it `opens_at`.
    #[schema(nullable)]
    closed: Value,
    /// Who gets the next new caller; `null` with the reason below.
    #[schema(nullable)]
    next: Value,
    #[schema(example = "all_full")]
    reason: Option<String>,
    /// Who gets the next 20, if nobody hangs up meanwhile.
    upcoming: Vec<Value>,
    /// Why these are fewer than 20; `null` if they are not.
    #[schema(example = "all_full")]
    ends: Option<String>,
    /// How many destinations are judged so then.
    #[schema(value_type = BTreeMap<String, u32>, example = json!({ "full": 2, "closed": 1 }))]
    ends_with: BTreeMap<String, u32>,
    /// Of the flow itself: how much of each cap is used.
    caps: Vec<Value>,
    /// Each with `live` and `max` of every limit, its share of new callers in a thousand, and why it
    /// is passed over; `closed` as above.
    destinations: Vec<Value>,
}

/// Explain where a call would go
///
/// The same decision as for a real call, with the live state of this node; nothing is committed.
#[utoipa::path(
    post,
    path = "/v1/explain",
    request_body(content = ExplainDocument, example = json!({
        "did": "+12025550100",
        "caller": { "number": "+12025550142", "name": "Ann" },
        "at": "2031-11-21T14:03:07Z",
    })),
    responses((status = 200, description = "What would become of it", body = Explained)),
)]
async fn explain(
    State(api): State<Api>,
    identity: Identity,
    Json(body): Json,
) -> Result<Response, ApiError> {
    identity.require(Scope::CallsRead)?;
    let question = read_question(Fields::of_body(body))?;
    let explained = api.node.explain(identity.account, question.clone()).await;
    let mut alike = None;
    if explained.is_none() {
        if api.db.is_owned(identity.account, &question.did).await? {
            return Err(not_served());
        }
        if let Some(other) = question.did.alike()
            && api.db.is_owned(identity.account, &other).await?
        {
            alike = Some(other);
        }
    }
    let answer = explanation(&question, explained.as_ref(), alike);
    Ok((StatusCode::OK, axum::Json(json!(answer))).into_response())
}

/// Read how a forwarding flow stands now
#[utoipa::path(
    get,
    path = "/v1/forwarding-flows/{id}/live",
    params(("id" = String, Path, description = "Id of a forwarding flow")),
    responses((status = 200, description = "At this moment", body = Live)),
)]
async fn live(
    State(api): State<Api>,
    identity: Identity,
    PathId(id): PathId<ForwardingFlowId>,
) -> Result<Response, ApiError> {
    identity.require(Scope::CallsRead)?;
    if let Some(live) = api.node.live(identity.account, id).await {
        return Ok((StatusCode::OK, axum::Json(json!(Live::from(&live)))).into_response());
    }
    let (configuration, _) = api.db.configuration(identity.account).await?;
    if configuration.forwarding_flow(id).is_none() {
        return Err(ApiError::no_such("forwarding flow"));
    }
    Err(not_served())
}

fn not_served() -> ApiError {
    ApiError::conflict("not_served", "Not served here", "This node does not serve the flow.")
        .hint("ask the node whose node.master is the flow's master")
}

fn read_question(mut body: Fields) -> Result<ExplainQuestion, ApiError> {
    let did: Option<Did> = body.demanded("did", "the number called, as the carrier sends it");
    let caller = take_caller(&mut body).unwrap_or_default();
    let (now, at) = (clock::now(), body.moment("at"));
    if at.is_some_and(|at| now.since_ms(at) > PAST_MS) {
        let hint = "type a time to come, or leave it out for now; why a call went where it went \
                    stands in its timeline";
        body.problem("at", "past", "what held then is not known any more", hint);
    }
    let at = at.unwrap_or(now).max(now);
    body.finish(&["at", "caller", "did"])?;
    let missing = || ApiError::no_such("number");
    Ok(ExplainQuestion { did: did.ok_or_else(missing)?, caller, at })
}

fn explanation(
    question: &ExplainQuestion,
    found: Option<&ExplainedCall>,
    alike: Option<Did>,
) -> Explained {
    let explanation = found.map(|found| &found.explanation);
    let (destination, reason, candidates) = match explanation.map(|it| &it.decision) {
        None | Some(Decision::Refused { .. }) => (Value::Null, None, &[][..]),
        Some(Decision::Picked { offer, candidates, .. }) => (picked(offer), None, &candidates[..]),
        Some(Decision::Unroutable { reason, candidates }) => {
            (Value::Null, Some(word(reason)), &candidates[..])
        }
    };
    let then = explanation.map(|it| it.then.iter()).into_iter().flatten();
    let fallback = explanation.and_then(|it| it.fallback.as_ref());
    Explained {
        did: question.did.to_string(),
        at: question.at.rfc3339(),
        forwarding_flow: found
            .map_or(Value::Null, |found| json!({ "id": found.flow, "name": found.name })),
        did_you_mean: alike.map(|alike| alike.to_string()),
        zone: found.map(|found| found.zone.to_string()),
        closed: json!(found.and_then(|found| found.closed.as_ref()).map(closed)),
        caller_key: found.and_then(|found| Some(found.caller_key.as_ref()?.to_string())),
        repeat: json!(found.and_then(|found| found.repeat)),
        destination,
        reason,
        candidates: candidates
            .iter()
            .map(|one| candidate(one, found.map_or(&[], |found| &found.closed_lines)))
            .collect(),
        then: then
            .map(|next| {
                json!({
                    "id": next.destination, "name": next.name, "endpoint": next.endpoint,
                    "verdict": verdict_word(next.verdict),
                })
            })
            .collect(),
        ends: explanation.and_then(|it| it.ends.as_ref()).map(word),
        ends_with: explanation.map_or_else(BTreeMap::new, |it| counted(&it.ends_with)),
        fallback: fallback.map_or(Value::Null, last_resort),
        would: explanation.map_or(Value::Null, |it| would(&it.would)),
    }
}

fn last_resort(last: &LastResort) -> Value {
    let mut value = Fallback::write(&last.fallback, &TrunkName(last.trunk.as_deref()));
    if let (Value::Object(fields), Some(verdict)) = (&mut value, last.refused) {
        judged(fields, verdict);
    }
    value
}

/// Of the only trunk that is written.
struct TrunkName<'a>(Option<&'a str>);

impl Names for TrunkName<'_> {
    fn name(&self, _: ObjectId) -> Option<String> {
        self.0.map(str::to_owned)
    }
}

fn picked(offer: &Offer) -> Value {
    json!({
        "id": offer.destination,
        "name": offer.name,
        "trunk": offer.trunk,
        "endpoint": offer.endpoint,
        "ring_timeout_sec": offer.ring_timeout_ms / 1_000,
        "rate": offer.tariff.as_deref().map(rate),
    })
}

fn rate(tariff: &Tariff) -> Value {
    json!({
        "rate_deck": tariff.deck,
        "prefix": tariff.prefix,
        "per_minute": tariff.per_minute,
        "increment": tariff.increment,
        "currency": tariff.currency,
    })
}

fn would(would: &Would) -> Value {
    let caps = would.caps.iter().map(|(whose, what)| json!({ "of": whose, "count": what }));
    json!({
        "turns_wheel": would.turns_wheel,
        "caps": caps.collect::<Vec<_>>(),
        "binds_until": would.binds_until.map(Timestamp::rfc3339),
        "visits": would.visits,
    })
}

/// A destination with its verdict, what belongs to it (`live`, `max`, …), the reason in words, and
/// the trunks that were passed over on the way to it.
fn candidate(one: &Candidate, lines: &[(DestinationId, Closed)]) -> Value {
    let mut value = Map::new();
    value.insert("id".into(), json!(one.destination));
    value.insert("name".into(), json!(one.name));
    value.insert("priority".into(), json!(one.priority));
    value.insert("weight".into(), json!(one.weight));
    judged(&mut value, one.verdict);
    let passed_over = one.passed_over.iter().map(|over| {
        let mut value = Map::new();
        value.insert("trunk".into(), json!(over.trunk));
        judged(&mut value, over.verdict);
        Value::Object(value)
    });
    value.insert("passed_over".into(), passed_over.collect());
    value.insert("closed".into(), closed_line(one.destination, lines));
    Value::Object(value)
}

fn closed(closed: &Closed) -> Value {
    let hours: Vec<String> = closed.today.iter().map(ToString::to_string).collect();
    json!({ "hours": hours, "opens_at": closed.opens_at.map(Timestamp::rfc3339) })
}

fn closed_line(destination: DestinationId, lines: &[(DestinationId, Closed)]) -> Value {
    let found = lines.iter().find(|(id, _)| *id == destination);
    json!(found.map(|(_, hours)| closed(hours)))
}

/// How often each verdict is among them.
fn counted(verdicts: &[Verdict]) -> BTreeMap<String, u32> {
    let mut counted = BTreeMap::new();
    for verdict in verdicts {
        let word = verdict_word(*verdict);
        *counted.entry(word.as_str().unwrap_or_default().to_owned()).or_default() += 1;
    }
    counted
}

fn judged(value: &mut Map<String, Value>, verdict: Verdict) {
    if let Value::Object(fields) = json!(verdict) {
        value.extend(fields);
    }
    value.insert("reason".into(), json!(verdict.why_not()));
}

fn verdict_word(verdict: Verdict) -> Value {
    json!(verdict)["verdict"].take()
}

fn word(value: &impl Serialize) -> String {
    json!(value).as_str().unwrap_or_default().to_owned()
}

impl From<&FlowLive> for Live {
    fn from(live: &FlowLive) -> Self {
        let upcoming: Vec<Value> = live
            .upcoming
            .iter()
            .map(|next| json!({ "id": next.destination, "name": next.name }))
            .collect();
        Self {
            forwarding_flow: live.flow.to_string(),
            at: live.at.rfc3339(),
            zone: live.zone.to_string(),
            closed: json!(live.closed.as_ref().map(closed)),
            next: upcoming.first().cloned().unwrap_or_default(),
            reason: live.reason.as_ref().map(word),
            upcoming,
            ends: live.ends.as_ref().map(word),
            ends_with: counted(&live.ends_with),
            caps: live.caps.iter().map(cap).collect(),
            destinations: live
                .destinations
                .iter()
                .map(|one| destination_live(one, &live.closed_lines))
                .collect(),
        }
    }
}

fn destination_live(one: &DestinationLive, lines: &[(DestinationId, Closed)]) -> Value {
    let mut value = Map::new();
    value.insert("id".into(), json!(one.destination));
    value.insert("name".into(), json!(one.name));
    value.insert("priority".into(), json!(one.priority));
    value.insert("weight".into(), json!(one.weight));
    value.insert("share_permille".into(), json!(one.share_permille));
    value.insert("limits".into(), one.limits.iter().map(limit).collect());
    value.insert("caps".into(), one.caps.iter().map(cap).collect());
    value.insert("verdict".into(), one.verdict.map_or(Value::Null, verdict_word));
    value.insert("reason".into(), json!(one.verdict.and_then(Verdict::why_not)));
    value.insert("closed".into(), closed_line(one.destination, lines));
    Value::Object(value)
}

fn limit(limit: &LimitLive) -> Value {
    json!({ "scope": limit.scope, "trunk": limit.trunk, "live": limit.live, "max": limit.max })
}

fn cap(cap: &CapLive) -> Value {
    json!({ "per": cap.per, "count": cap.count, "used": cap.used, "max": cap.max })
}

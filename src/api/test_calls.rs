//! Test calls: a call that enters a forwarding flow as if it came from outside, tagged as a test.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::auth::Identity;
use super::body::OptionalJson;
use super::error::ApiError;
use super::fields::Fields;
use super::idempotency::created;
use super::key::Scope;
use super::path::PathId;
use super::{Api, TestCallRequest};
use crate::model::id::ForwardingFlowId;
use crate::model::number::{Caller, Did};
use crate::model::objects::forwarding_flow::ForwardingFlow;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(place))
}

/// How the test call should look to the flow; all of it may be left out.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what read_request reads")]
struct TestCallDocument {
    /// One of the flow's DIDs; absent takes its first.
    #[schema(example = "+12025550100", required = false)]
    did: String,
    /// Who seems to call.
    #[schema(required = false)]
    caller: TestCaller,
}

#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what read_request reads")]
pub(super) struct TestCaller {
    /// Absent is withheld.
    #[schema(example = "+12025550199", required = false)]
    number: String,
    #[schema(example = "Ada", required = false)]
    name: String,
}

#[derive(Serialize, ToSchema)]
struct TestCall {
    /// The call, to be read under `/v1/calls/{id}`.
    #[schema(example = "call_01j3nnnyejx8kz0q4tt3b7m9ra")]
    id: String,
    #[schema(example = "flw_01j3nnnyejx8kz0q4tt3b7m9ra")]
    forwarding_flow: String,
    tags: Vec<&'static str>,
}

/// Place a test call
///
/// At most 5 a minute for each key. The call is on its way when this answers; how it went stands in
/// its timeline.
#[utoipa::path(
    post,
    path = "/v1/forwarding-flows/{id}/test-calls",
    params(("id" = String, Path, description = "Id of a forwarding flow")),
    request_body(content = Option<TestCallDocument>, example = json!({
        "did": "+12025550100",
        "caller": { "number": "+12025550199", "name": "Ada" },
    })),
    responses((status = 201, description = "It was placed", body = TestCall)),
)]
async fn place(
    State(api): State<Api>,
    identity: Identity,
    PathId(id): PathId<ForwardingFlowId>,
    OptionalJson(body): OptionalJson,
) -> Result<Response, ApiError> {
    identity.require(Scope::CallsTest)?;
    let (configuration, _) = api.db.configuration(identity.account).await?;
    let flow = configuration.forwarding_flows.iter().find(|flow| flow.id == id);
    let flow = flow.ok_or_else(|| ApiError::no_such("forwarding flow"))?;
    let request = read_request(Fields::of_body(body), flow)?;
    api.limits.test_call(&identity)?;
    let placed = api.node.place_test_call(identity.account, id, request).await;
    let call = placed.map_err(|refused| {
        ApiError::conflict(refused.code, "Test call refused", refused.message)
            .hint("divert doctor checks everything that a call needs")
    })?;
    let test_call =
        TestCall { id: call.to_string(), forwarding_flow: id.to_string(), tags: vec!["test"] };
    Ok(created(StatusCode::CREATED, &json!(test_call), ""))
}

fn read_request(mut body: Fields, flow: &ForwardingFlow) -> Result<TestCallRequest, ApiError> {
    let did: Option<Did> = body.parsed("did", "a number");
    if let Some(did) = did.as_ref().filter(|did| !flow.dids.contains(did)) {
        let known: Vec<&str> = flow.dids.iter().take(10).map(Did::as_str).collect();
        let message = format!("{did} is not a DID of this flow");
        body.problem(
            "did",
            "unknown_value",
            &message,
            &format!("for example {}", known.join(", ")),
        );
    }
    let caller = take_caller(&mut body);
    body.finish(&["did", "caller"])?;
    Ok(TestCallRequest { did, caller })
}

/// Takes a caller that can be sent as it is.
pub(super) fn take_caller(body: &mut Fields) -> Option<Caller> {
    body.take("caller").map(|value| {
        let mut inner = Fields::of_body(value);
        let number = inner.text("number").unwrap_or_default();
        let name = inner.text("name").unwrap_or_default();
        let clean = Caller::clean(&number, &name);
        let dialable = |c: char| c.is_ascii_alphanumeric() || "_-.*#+".contains(c);
        if clean.number != number || !number.chars().all(dialable) {
            let hint = "type letters, digits and _ - . * # +, 80 at most";
            inner.problem("number", "invalid", "it cannot be sent as it is", hint);
        }
        if clean.name != name {
            let hint = "type 80 bytes at most, and no ${ or $[";
            inner.problem("name", "invalid", "it cannot be sent as it is", hint);
        }
        body.absorb("caller", inner, &["number", "name"]);
        clean
    })
}

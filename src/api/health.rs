//! Probes for whoever watches the process. They need no key, so they tell what is missing and not why:
//! reasons hold addresses and names, which are for the log and for `/v1/status`.

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Api, Readiness, RowCounts};

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(healthz)).routes(routes!(readyz)).routes(routes!(metrics))
}

#[derive(Serialize, ToSchema)]
pub(super) struct Health {
    #[schema(example = "ok")]
    status: &'static str,
}

#[derive(Serialize, ToSchema)]
struct ReadinessReport {
    ready: bool,
    checks: Vec<Check>,
    rows: RowCounts,
}

#[derive(Serialize, ToSchema)]
struct Check {
    /// `asterisk`, `store`, or `trunks`: those that divert makes in Asterisk itself.
    name: &'static str,
    ok: bool,
    /// What is missing, in plain words.
    reason: Option<&'static str>,
}

pub(super) const NO_ASTERISK: &str = "no connection to Asterisk; the log of divert tells why";
pub(super) const NO_STORE: &str =
    "the database is away or takes no rows; the log of divert tells why";
const NO_TRUNK: &str =
    "Asterisk lacks a trunk that divert makes there; the log of divert tells which";

/// Whether the process runs
#[utoipa::path(
    get,
    path = "/healthz",
    responses((status = 200, description = "It runs", body = Health)),
)]
pub(super) async fn healthz() -> Json<Health> {
    Json(Health { status: "ok" })
}

/// Whether calls can be taken now
#[utoipa::path(
    get,
    path = "/readyz",
    responses(
        (status = 200, description = "They can", body = ReadinessReport),
        (status = 503, description = "They cannot; the reasons are in it", body = ReadinessReport),
    ),
)]
async fn readyz(State(api): State<Api>) -> Response {
    let Readiness { asterisk, store, trunks, rows } = api.node.readiness();
    report(
        asterisk.map_err(|_| NO_ASTERISK),
        store.map_err(|_| NO_STORE),
        trunks.map_err(|_| NO_TRUNK),
        rows,
    )
}

/// Takes no words but our own.
pub(super) fn report(
    asterisk: Result<(), &'static str>,
    store: Result<(), &'static str>,
    trunks: Result<(), &'static str>,
    rows: RowCounts,
) -> Response {
    let checks: Vec<Check> = [("asterisk", asterisk), ("store", store), ("trunks", trunks)]
        .into_iter()
        .map(|(name, result)| Check { name, ok: result.is_ok(), reason: result.err() })
        .collect();
    let ready = checks.iter().all(|check| check.ok);
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(ReadinessReport { ready, checks, rows })).into_response()
}

/// Metrics for Prometheus
#[utoipa::path(
    get,
    path = "/metrics",
    responses((
        status = 200, description = "Text in the exposition format", body = String,
        content_type = "text/plain",
    )),
)]
async fn metrics(State(api): State<Api>) -> Response {
    let kind = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    (kind, (api.telemetry.metrics)()).into_response()
}

//! Reports: calls, conversations and costs in figures, as JSON and as CSV.

use std::collections::BTreeMap;

use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;
use futures_util::stream;
use serde::Serialize;
use serde_json::{Value, json};
use strum::{EnumString, VariantArray, VariantNames};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::auth::Identity;
use super::calls::Named;
use super::cdrs::Money;
use super::error::ApiError;
use super::etag;
use super::fields::Fields;
use super::key::Scope;
use super::spreadsheet::{self, CsvFilters, Dialect};
use crate::clock;
use crate::model::cause::CallResult;
use crate::model::filter::{IdOf, OneOf, filters};
use crate::model::id::{DestinationId, ForwardingFlowId};
use crate::model::time::{Timestamp, Zone};
use crate::store::{By, ReportQuery, ReportRow};

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(read)).routes(routes!(export))
}

filters! {
    /// What a report is about.
    pub struct ReportFilters {
        /// What the rows are: `day` (default), `hour`, `flow` or `destination`.
        by: OneOf<By> = "day",
        /// Calls that began at or after this moment (RFC 3339); the last 30 days unless given.
        from: Timestamp = "2026-11-01T00:00:00Z",
        /// Calls that began before this moment (RFC 3339); now unless given.
        to: Timestamp = "2026-11-22T00:00:00Z",
        /// Whose days and hours: a name of the IANA database; the account's zone unless given.
        zone: Zone = "America/Chicago",
        /// Id of a forwarding flow.
        flow: IdOf<ForwardingFlowId>,
        /// Id of a destination: the calls that were sent there, and what became of them there.
        destination: IdOf<DestinationId>,
        /// Test calls: `exclude` (default) or `only`; they are never among the others.
        test: OneOf<EitherTests> = "exclude",
    }
}

/// Reports never have both kinds of calls together.
#[derive(Clone, Copy, Debug, EnumString, Eq, PartialEq, VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum EitherTests {
    Exclude,
    Only,
}

/// The days of a report unless its beginning is given, that of its end among them.
const DAYS: i32 = 30;

/// Report on calls
///
/// By day and by hour there is a row for every period, also without a call; by flow and by
/// destination for each that had one, the busiest first. By destination a call counts at each one
/// it was sent to; the fallback numbers of a flow are one row without an id.
#[utoipa::path(
    get,
    path = "/v1/reports/calls",
    params(ReportFilters),
    responses((status = 200, description = "The whole report", body = Report)),
)]
async fn read(
    State(api): State<Api>,
    identity: Identity,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    identity.require(Scope::CallsRead)?;
    let mut query = Fields::of_query(query.as_deref());
    let (asked, destination) = take(&mut query, &api, &identity).await?;
    query.finish(&[])?;
    let rows = api.db.report_of(identity.account, &asked, destination).await?;
    let report = Report {
        by: asked.by.to_string(),
        from: asked.from.rfc3339(),
        to: asked.to.rfc3339(),
        zone: asked.zone.to_string(),
        rows: rows.iter().map(|row| Row::of(row, &asked)).collect(),
    };
    Ok(etag::representation(StatusCode::OK, &json!(report)))
}

/// Report on calls as CSV
#[utoipa::path(
    get,
    path = "/v1/reports/calls.csv",
    params(ReportFilters, CsvFilters),
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
    let (asked, destination) = take(&mut query, &api, &identity).await?;
    query.finish(&[])?;
    let rows = api.db.report_of(identity.account, &asked, destination).await?;
    let rows = rows.iter().map(|row| Row::of(row, &asked).columns());
    let lines = dialect.lines(rows)?;
    Ok(spreadsheet::answer("report", dialect.head(&columns())?, stream::iter([Ok(lines)])))
}

async fn take(
    query: &mut Fields,
    api: &Api,
    identity: &Identity,
) -> Result<(ReportQuery, Option<DestinationId>), ApiError> {
    let ReportFilters { by, from, to, zone, flow, destination, test } = query.filters();
    let (by, to) = (by.unwrap_or(By::Day), to.unwrap_or_else(clock::now));
    let tests = test == Some(EitherTests::Only);
    let zone = match zone {
        Some(zone) => zone,
        None => api.db.zone(identity.account).await?,
    };
    let from = from.unwrap_or_else(|| days_before(&zone, to));
    let asked = ReportQuery { by, from, to, zone, flow, tests };
    if asked.from >= asked.to {
        query.problem("to", "out_of_range", "it is not after from", "a later moment");
    } else if matches!(by, By::Day | By::Hour) && asked.periods().is_none() {
        let most = ReportQuery::MOST_PERIODS;
        let message = format!("there would be more than {most} rows");
        query.problem("from", "out_of_range", &message, "a later moment, or by=flow");
    }
    Ok((asked, destination))
}

/// The beginning of the day [`DAYS`] before, so that there are so many with the last one.
fn days_before(zone: &Zone, to: Timestamp) -> Timestamp {
    let last = zone.local(to.plus_ms(-1)).date();
    let first = last.checked_sub(jiff::Span::new().days(DAYS - 1)).unwrap_or(last);
    zone.midnight(first)
}

/// Figures about the calls of a period.
#[derive(Serialize, ToSchema)]
struct Report {
    #[schema(example = "day")]
    by: String,
    from: String,
    to: String,
    #[schema(example = "America/Chicago")]
    zone: String,
    rows: Vec<Row>,
}

/// One line of a report.
#[derive(Serialize, ToSchema)]
struct Row {
    /// Of the flow or destination; `null` for calls on numbers that nobody owned, and for the
    /// fallback numbers of flows. By day and hour there is none.
    #[schema(required = false, value_type = Option<String>)]
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<Value>,
    /// The newest name of flow or destination in the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// By destination: the flow that it, or the fallback number, belongs to.
    #[serde(skip_serializing_if = "Option::is_none")]
    forwarding_flow: Option<Named>,
    /// By day and hour: the part of it that the report is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    period: Option<Period>,
    #[schema(example = 120)]
    calls: i64,
    /// Calls with redials counted as one.
    #[schema(example = 104)]
    sessions: i64,
    #[schema(example = 96)]
    answered: i64,
    /// Of a thousand calls, rounded; `null` without a call.
    #[schema(example = 800)]
    answered_per_mille: Option<i64>,
    /// How many calls came to each result, those that no call came to left out. By destination, or
    /// of one, these are the calls that were sent there, with all that became of them elsewhere.
    #[schema(value_type = BTreeMap<String, i64>, example = json!({"answered": 96, "closed": 4}))]
    results: BTreeMap<CallResult, i64>,
    /// Whole seconds of conversation.
    #[schema(example = 17310)]
    talk_sec: i64,
    /// The same in minutes, rounded to hundredths.
    #[schema(example = "288.50")]
    talk_minutes: String,
    #[schema(example = 17700)]
    billed_sec: i64,
    /// What the calls cost, by currency; empty when nothing was billed.
    costs: Vec<Money>,
}

#[derive(Serialize, ToSchema)]
struct Period {
    from: String,
    to: String,
    /// The date there, or the hour with its offset from UTC.
    #[schema(example = "2026-11-21")]
    local: String,
}

const COLUMNS: [&str; 16] = [
    "period",
    "from",
    "to",
    "id",
    "name",
    "forwarding_flow_id",
    "forwarding_flow",
    "calls",
    "sessions",
    "answered",
    "answered_per_mille",
    "talk_sec",
    "talk_minutes",
    "billed_sec",
    "cost",
    "currency",
];

/// The columns of the CSV: what is counted of each result comes last, so that one that is new moves
/// no other.
fn columns() -> Vec<String> {
    let results =
        <CallResult as VariantNames>::VARIANTS.iter().map(|word| format!("result_{word}"));
    COLUMNS.into_iter().map(str::to_owned).chain(results).collect()
}

impl Row {
    fn of(row: &ReportRow, asked: &ReportQuery) -> Self {
        let cost = |cost: &crate::store::Cost| Money::new(cost.amount, cost.currency);
        let hundredths = (row.talk_ms + 300) / 600;
        let (id, name, flow) = match asked.by {
            By::Day | By::Hour => (None, None, None),
            By::Destination => {
                let flow = row.flow.map(|id| (id, row.flow_name.clone().unwrap_or_default()));
                (Some(json!(row.destination)), row.destination_name.clone(), flow)
            }
            By::Flow => (Some(json!(row.flow)), row.flow_name.clone(), None),
        };
        Self {
            id,
            name,
            forwarding_flow: Named::of(flow.as_ref()),
            period: row.period.map(|(from, to)| Period {
                from: from.rfc3339(),
                to: to.rfc3339(),
                local: local(from, asked),
            }),
            calls: row.calls,
            sessions: row.sessions,
            answered: row.answered,
            answered_per_mille: row.answered_per_mille(),
            results: row.results.clone(),
            talk_sec: row.talk_ms / 1_000,
            talk_minutes: format!("{}.{:02}", hundredths / 100, hundredths % 100),
            billed_sec: row.billed_sec,
            costs: row.costs.iter().map(cost).collect(),
        }
    }

    /// In the order of [`columns`]. Several currencies, which a report has where the account's was
    /// changed, stand in one field each, in the same order.
    fn columns(self) -> Vec<String> {
        let (local, from, to) = self
            .period
            .map_or_else(Default::default, |period| (period.local, period.from, period.to));
        let (flow_id, flow) =
            self.forwarding_flow.map_or_else(Default::default, |flow| (flow.id, flow.name));
        let (amounts, currencies): (Vec<_>, Vec<_>) =
            self.costs.into_iter().map(|cost| (cost.amount, cost.currency)).unzip();
        let results = <CallResult as VariantArray>::VARIANTS.iter();
        let results = results.map(|result| self.results.get(result).unwrap_or(&0).to_string());
        let figures = [
            local,
            from,
            to,
            self.id.as_ref().and_then(Value::as_str).unwrap_or_default().to_owned(),
            self.name.unwrap_or_default(),
            flow_id,
            flow,
            self.calls.to_string(),
            self.sessions.to_string(),
            self.answered.to_string(),
            self.answered_per_mille.map(|rate| rate.to_string()).unwrap_or_default(),
            self.talk_sec.to_string(),
            self.talk_minutes,
            self.billed_sec.to_string(),
            amounts.join(" "),
            currencies.join(" "),
        ];
        figures.into_iter().chain(results).collect()
    }
}

fn local(at: Timestamp, asked: &ReportQuery) -> String {
    if asked.by == By::Day {
        return asked.zone.local(at).date().to_string();
    }
    let at = jiff::Timestamp::from_millisecond(at.0).unwrap_or_default();
    at.to_zoned(asked.zone.rules().clone()).strftime("%FT%H:%M%:z").to_string()
}

//! Bills: one record for each leg that was answered and costs something.

use axum::extract::{RawQuery, State};
use axum::response::Response;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::auth::Identity;
use super::described::PageOf;
use super::error::ApiError;
use super::fields::Fields;
use super::key::Scope;
use super::page::Page;
use super::spreadsheet::{self, CsvFilters, Dialect};
use crate::model::billing::{Cdr, Currency, Micros, Tariff};
use crate::model::filter::{CdrFilters, PageFilters};
use crate::store::CdrFilter;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(export))
}

/// List bills
///
/// At most one for each leg of a call, and none for test calls.
#[utoipa::path(
    get,
    path = "/v1/cdrs",
    params(CdrFilters, PageFilters),
    responses((status = 200, description = "One page, newest calls first", body = PageOf<Bill>)),
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
    let bills = api.db.cdrs(identity.account, &filter, page.before, page.probe()).await?;
    Ok(page.cut(&bills, Cdr::id, |bill| json!(Bill::from(bill))))
}

/// Export bills as CSV
///
/// All bills that pass the filters, those of the newest calls first, with a line of names at the
/// top.
#[utoipa::path(
    get,
    path = "/v1/cdrs.csv",
    params(CdrFilters, CsvFilters),
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
    let filter = take_filter(&mut query);
    query.finish(&[])?;
    let account = identity.account;
    spreadsheet::export("cdrs", dialect, COLUMNS, move |before| {
        let (db, filter) = (api.db.clone(), filter.clone());
        async move {
            let bills = db.cdrs(account, &filter, before, spreadsheet::ROWS_AT_ONCE).await?;
            Ok(bills.iter().map(|bill| (bill.id(), columns(bill))).collect())
        }
    })
    .await
}

fn take_filter(query: &mut Fields) -> CdrFilter {
    let CdrFilters { flow, destination, trunk, from, to } = query.filters();
    CdrFilter { flow, destination, trunk, from, to }
}

const COLUMNS: [&str; 18] = [
    "id",
    "call",
    "leg",
    "forwarding_flow_id",
    "destination_id",
    "trunk_id",
    "endpoint",
    "started_at",
    "answered_at",
    "ended_at",
    "billed_sec",
    "cost",
    "currency",
    "rate_deck_id",
    "prefix",
    "per_minute",
    "increment",
    "bills_ring_time",
];

fn columns(bill: &Cdr) -> [String; 18] {
    let Bill { id, call, leg, forwarding_flow, destination, trunk, endpoint, .. } = bill.into();
    let Cost { money: Money { amount, currency }, billed_sec, rate } = bill.into();
    let id_of = Option::<String>::unwrap_or_default;
    [
        id,
        call,
        leg.to_string(),
        id_of(forwarding_flow),
        id_of(destination),
        id_of(trunk),
        endpoint,
        bill.started_at.rfc3339(),
        bill.answered_at.rfc3339(),
        bill.ended_at.rfc3339(),
        billed_sec.to_string(),
        amount,
        currency,
        rate.rate_deck,
        rate.prefix,
        rate.per_minute,
        rate.increment,
        rate.bills_ring_time.to_string(),
    ]
}

/// What one leg of a call cost.
#[derive(Serialize, ToSchema)]
struct Bill {
    #[schema(example = "call_01j3nnnyejx8kz0q4tt3b7m9ra-1")]
    id: String,
    #[schema(example = "call_01j3nnnyejx8kz0q4tt3b7m9ra")]
    call: String,
    /// Its number in the call.
    leg: u16,
    forwarding_flow: Option<String>,
    /// `null` for the fallback number of a flow.
    destination: Option<String>,
    trunk: Option<String>,
    /// What was dialled.
    #[schema(example = "PJSIP/18005550199@carrier")]
    endpoint: String,
    started_at: String,
    answered_at: String,
    ended_at: String,
    cost: Cost,
}

/// What a leg cost, and why.
#[derive(Serialize, ToSchema)]
pub(super) struct Cost {
    #[serde(flatten)]
    money: Money,
    /// After the deck's increment.
    #[schema(example = 66)]
    billed_sec: i64,
    rate: BilledRate,
}

/// An amount of money, as text, so that no digit is lost.
#[derive(Serialize, ToSchema)]
pub(super) struct Money {
    #[schema(example = "0.0138")]
    pub amount: String,
    /// ISO 4217.
    #[schema(example = "USD")]
    pub currency: String,
}

/// The rate that held when the leg was dialled.
#[derive(Serialize, ToSchema)]
struct BilledRate {
    /// Id of the rate deck.
    #[schema(example = "rtd_01j3nnnyejx8kz0q4tt3b7m9ra")]
    rate_deck: String,
    /// The beginning of the number by which it was chosen.
    #[schema(example = "1800")]
    prefix: String,
    #[schema(example = "0.0125")]
    per_minute: String,
    #[schema(example = "30/6")]
    increment: String,
    /// Whether seconds counted from the first ring.
    bills_ring_time: bool,
}

impl Money {
    pub fn new(amount: Micros, currency: Currency) -> Self {
        Self { amount: amount.to_string(), currency: currency.to_string() }
    }

    /// Of all bills of one call; `None` when there is none.
    pub fn of_all(bills: &[Cdr]) -> Option<Self> {
        let currency = bills.first()?.charge.currency;
        let sum = |sum: i64, bill: &Cdr| sum.saturating_add(bill.charge.amount.0);
        Some(Self::new(Micros(bills.iter().fold(0, sum)), currency))
    }
}

impl From<&Cdr> for Cost {
    fn from(bill: &Cdr) -> Self {
        Self {
            money: Money::new(bill.charge.amount, bill.charge.currency),
            billed_sec: bill.charge.billed_sec,
            rate: BilledRate::from(&bill.tariff),
        }
    }
}

impl From<&Tariff> for BilledRate {
    fn from(tariff: &Tariff) -> Self {
        Self {
            rate_deck: tariff.deck.to_string(),
            prefix: tariff.prefix.to_string(),
            per_minute: tariff.per_minute.to_string(),
            increment: tariff.increment.to_string(),
            bills_ring_time: tariff.bills_ring_time,
        }
    }
}

impl From<&Cdr> for Bill {
    fn from(bill: &Cdr) -> Self {
        Self {
            id: bill.id().to_string(),
            call: bill.call.to_string(),
            leg: bill.leg,
            forwarding_flow: bill.flow.map(|id| id.to_string()),
            destination: bill.destination.map(|id| id.to_string()),
            trunk: bill.trunk.map(|id| id.to_string()),
            endpoint: bill.endpoint.clone(),
            started_at: bill.started_at.rfc3339(),
            answered_at: bill.answered_at.rfc3339(),
            ended_at: bill.ended_at.rfc3339(),
            cost: Cost::from(bill),
        }
    }
}

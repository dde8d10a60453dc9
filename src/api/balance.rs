//! What an account has left, and what was put into it.

use axum::extract::{RawQuery, State};
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use serde::Serialize;
use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::auth::Identity;
use super::body::Json;
use super::cdrs::Money;
use super::described::PageOf;
use super::error::ApiError;
use super::etag;
use super::fields::Fields;
use super::idempotency::created;
use super::key::Scope;
use super::page::Page;
use crate::clock;
use crate::model::billing::{self, Currency, Micros};
use crate::model::filter::PageFilters;
use crate::model::id::CreditId;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(read)).routes(routes!(list, add))
}

/// Read the balance
///
/// All credits less the cost of all legs that have ended. A call that goes on is not in it yet.
#[utoipa::path(
    get,
    path = "/v1/account/balance",
    responses((status = 200, description = "As of now", body = Balance)),
)]
async fn read(State(api): State<Api>, identity: Identity) -> Result<Response, ApiError> {
    identity.require(Scope::CallsRead)?;
    let left = api.db.balance(identity.account).await?;
    let money = Money::new(left.amount, left.currency);
    let balance = Balance { money, prepaid: left.prepaid };
    Ok(etag::representation(StatusCode::OK, &json!(balance)))
}

/// List credits
#[utoipa::path(
    get,
    path = "/v1/account/credits",
    params(PageFilters),
    responses((status = 200, description = "One page, newest first", body = PageOf<Credit>)),
)]
async fn list(
    State(api): State<Api>,
    identity: Identity,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    identity.require(Scope::CallsRead)?;
    let page = Page::of_query(query.as_deref())?;
    let credits = api.db.credits(identity.account, page.before, page.probe()).await?;
    let currency = api.db.balance(identity.account).await?.currency;
    Ok(page.cut(&credits, |credit| credit.id, |credit| json!(Credit::of(credit, currency))))
}

/// Put money into the account
///
/// An amount below zero takes some out again, to correct a mistake.
#[utoipa::path(
    post,
    path = "/v1/account/credits",
    request_body(content = CreditDocument, example = json!({
        "amount": "250.00", "note": "invoice 4711",
    })),
    responses((status = 201, description = "It is on the balance", body = NewCredit)),
)]
async fn add(
    State(api): State<Api>,
    identity: Identity,
    uri: Uri,
    Json(body): Json,
) -> Result<Response, ApiError> {
    identity.require(Scope::Admin)?;
    let (amount, note) = read_request(Fields::of_body(body))?;
    let id = CreditId::new(clock::mint());
    // A time for people, to be compared with their own clocks.
    let credit = billing::Credit { id, amount, note, at: clock::wall() };
    let left = api.db.add_credit(identity.account, &credit).await?;
    let credit = Credit::of(&credit, left.currency);
    let made = NewCredit { credit, balance: left.amount.to_string() };
    Ok(created(StatusCode::CREATED, &json!(made), uri.path()))
}

fn read_request(mut fields: Fields) -> Result<(Micros, String), ApiError> {
    let amount = take_amount(&mut fields);
    let note = fields.text("note").unwrap_or_default();
    let length = note.chars().count();
    if length > billing::Credit::MAX_NOTE {
        let message = format!("it has {length} characters");
        let hint = format!("at most {} characters", billing::Credit::MAX_NOTE);
        fields.problem("note", "too_long", &message, &hint);
    }
    fields.finish(&["amount", "note"])?;
    Ok((amount, note))
}

fn take_amount(fields: &mut Fields) -> Micros {
    const HINT: &str = "an amount in quotes, as \"250.00\"; below zero takes it out again";
    let most = billing::Credit::MAX;
    let (code, message, hint) = match fields.take("amount") {
        None => ("missing", "amount is missing".to_owned(), HINT),
        Some(Value::String(text)) => match text.parse() {
            Ok(Micros(0)) => ("out_of_range", "that is nothing".to_owned(), HINT),
            Ok(Micros(amount)) if amount.unsigned_abs() > most.0.unsigned_abs() => {
                ("out_of_range", format!("{text} is more than {most} either way"), HINT)
            }
            Ok(amount) => return amount,
            Err(error) => {
                ("invalid", format!("{text:?} is not an amount that is possible here"), error)
            }
        },
        Some(_) => ("wrong_type", "it is not a text".to_owned(), HINT),
    };
    fields.problem("amount", code, &message, hint);
    Micros(0)
}

#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what read_request reads")]
struct CreditDocument {
    /// In the account's currency, with at most 6 digits behind the point.
    #[schema(example = "250.00")]
    amount: String,
    /// What it is for, up to 200 characters.
    #[schema(required = false)]
    note: String,
}

#[derive(Serialize, ToSchema)]
struct Balance {
    #[serde(flatten)]
    money: Money,
    /// Whether calls that cost are refused once it is used up.
    prepaid: bool,
}

/// Money that was put into the account, or taken out of it.
#[derive(Serialize, ToSchema)]
struct Credit {
    #[schema(example = "crd_01j3nnnyejx8kz0q4tt3b7m9ra")]
    id: String,
    #[serde(flatten)]
    money: Money,
    #[schema(example = "invoice 4711")]
    note: String,
    at: String,
}

#[derive(Serialize, ToSchema)]
struct NewCredit {
    #[serde(flatten)]
    credit: Credit,
    /// What the account has now.
    #[schema(example = "312.50")]
    balance: String,
}

impl Credit {
    fn of(credit: &billing::Credit, currency: Currency) -> Self {
        Self {
            id: credit.id.to_string(),
            money: Money::new(credit.amount, currency),
            note: credit.note.clone(),
            at: credit.at.rfc3339(),
        }
    }
}

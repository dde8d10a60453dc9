//! The account's own settings: what holds for everything it has.
//!
//! Changed by whoever runs divert, hence the scope `admin`; read by everybody who reads flows.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::Value;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::auth::Identity;
use super::body::Json;
use super::change::{self, Part, Update};
use super::described::{Account, AccountDocument};
use super::error::ApiError;
use super::etag;
use super::key::Scope;
use crate::clock;
use crate::model::configuration::Configuration;
use crate::model::document;
use crate::model::object::Record as _;
use crate::model::objects::account::AccountSettings;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(read, replace, patch))
}

fn write(configuration: &Configuration) -> Value {
    configuration.account.write_whole(configuration)
}

async fn update(
    api: &Api,
    identity: &Identity,
    (how, headers, document): (Update, &HeaderMap, &Value),
) -> Result<Response, ApiError> {
    identity.require(Scope::Admin)?;
    let edit = |current: &Configuration| {
        let before = write(current);
        etag::check_if_match(headers, &before)?;
        let next = how.apply(before, document);
        let reading = document::put_account(&next, current, &mut clock::mint);
        Ok(change::written((reading.map_err(ApiError::document)?, ())))
    };
    let (configuration, written) = change::change(api, identity, &Part::Whole, edit).await?;
    Ok(etag::representation(StatusCode::OK, &written.tell(write(&configuration))))
}

/// Read the account
#[utoipa::path(
    get,
    path = "/v1/account",
    responses((status = 200, description = "As it is now", body = Account)),
)]
async fn read(State(api): State<Api>, identity: Identity) -> Result<Response, ApiError> {
    let (configuration, _) = api.db.configuration_without_numbers(identity.account).await?;
    Ok(etag::representation(StatusCode::OK, &write(&configuration)))
}

/// Replace the settings of the account
///
/// What is left out takes its default.
#[utoipa::path(
    put,
    path = "/v1/account",
    request_body(content = AccountDocument, example = json!(AccountSettings::example())),
    responses((status = 200, description = "It was replaced", body = Account)),
)]
async fn replace(
    State(api): State<Api>,
    identity: Identity,
    headers: HeaderMap,
    Json(document): Json,
) -> Result<Response, ApiError> {
    update(&api, &identity, (Update::Replace, &headers, &document)).await
}

/// Change some settings of the account
///
/// A merge patch (RFC 7396): fields that are left out stay, `null` takes the default.
#[utoipa::path(
    patch,
    path = "/v1/account",
    request_body(
        content = AccountDocument,
        content_type = "application/merge-patch+json",
        example = json!({ "max_live": null, "rate_deck": null }),
    ),
    responses((status = 200, description = "It was changed", body = Account)),
)]
async fn patch(
    State(api): State<Api>,
    identity: Identity,
    headers: HeaderMap,
    Json(document): Json,
) -> Result<Response, ApiError> {
    update(&api, &identity, (Update::Patch, &headers, &document)).await
}

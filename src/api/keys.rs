//! API keys: list, make and revoke. A key's text is in the answer that makes it, and nowhere else.

use axum::extract::{RawQuery, State};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Value, json};
use strum::VariantArray;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::auth::Identity;
use super::body::Json;
use super::described::PageOf;
use super::error::ApiError;
use super::fields::Fields;
use super::idempotency::created;
use super::key::{Scope, new_key};
use super::page::Page;
use super::path::PathId;
use crate::clock;
use crate::model::filter::PageFilters;
use crate::model::id::KeyId;
use crate::model::time::Timestamp;
use crate::store::ApiKey;

const MAX_NAME: usize = 60;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(revoke))
}

#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what read_request reads")]
struct KeyDocument {
    /// What it is for, 1 to 60 characters.
    #[schema(example = "monitoring")]
    name: String,
    /// What it may do besides reading the configuration.
    #[schema(required = false)]
    scopes: Vec<Scope>,
    /// When it stops working (RFC 3339); absent is never.
    #[schema(required = false)]
    expires_at: String,
}

#[derive(Serialize, ToSchema)]
struct Key {
    #[schema(example = "key_01j3nnnyejx8kz0q4tt3b7m9ra")]
    id: String,
    #[schema(example = "monitoring")]
    name: String,
    #[schema(value_type = Vec<Scope>)]
    scopes: Vec<String>,
    created_at: String,
    expires_at: Option<String>,
    revoked_at: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct NewKey {
    #[serde(flatten)]
    key_data: Key,
    /// The key itself. It is shown this once; a repetition by Idempotency-Key has `null` here.
    #[schema(example = "dvk_…")]
    key: Option<String>,
}

/// List API keys
#[utoipa::path(
    get,
    path = "/v1/keys",
    params(PageFilters),
    responses((status = 200, description = "One page, newest first", body = PageOf<Key>)),
)]
async fn list(
    State(api): State<Api>,
    identity: Identity,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    identity.require(Scope::Admin)?;
    let page = Page::of_query(query.as_deref())?;
    let keys = api.db.keys(identity.account).await?;
    Ok(page.of(&keys, |key| key.id, |key| json!(Key::from(*key))))
}

/// Make an API key
#[utoipa::path(
    post,
    path = "/v1/keys",
    request_body(content = KeyDocument, example = json!({
        "name": "monitoring", "scopes": ["calls:read", "calls:test"],
    })),
    responses((status = 201, description = "It was made; here is its text", body = NewKey)),
)]
async fn create(
    State(api): State<Api>,
    identity: Identity,
    uri: Uri,
    Json(body): Json,
) -> Result<Response, ApiError> {
    identity.require(Scope::Admin)?;
    let now = clock::now();
    let request = read_request(Fields::of_body(body), now)?;
    let id = KeyId::new(clock::mint());
    let (plain, kept) = new_key(id, &request.name, &request.scopes, now, request.expires_at);
    api.db.add_key(identity.account, &kept).await?;
    let made = NewKey { key_data: Key::from(&kept), key: Some(plain) };
    Ok(created(StatusCode::CREATED, &json!(made), uri.path()))
}

/// Revoke an API key
///
/// It stops working at once and stays in the list.
#[utoipa::path(
    delete,
    path = "/v1/keys/{id}",
    params(("id" = String, Path, description = "Id of an API key")),
    responses((status = 204, description = "It is revoked")),
)]
async fn revoke(
    State(api): State<Api>,
    identity: Identity,
    PathId(id): PathId<KeyId>,
) -> Result<Response, ApiError> {
    identity.require(Scope::Admin)?;
    let revoked = api.db.revoke_key(identity.account, id, clock::now()).await?;
    // A second revocation is no fault of its own.
    if !revoked && !api.db.keys(identity.account).await?.iter().any(|key| key.id == id) {
        return Err(ApiError::no_such("API key"));
    }
    Ok(StatusCode::NO_CONTENT.into_response())
}

struct NewKeyRequest {
    name: String,
    scopes: Vec<Scope>,
    expires_at: Option<Timestamp>,
}

fn read_request(mut body: Fields, now: Timestamp) -> Result<NewKeyRequest, ApiError> {
    let name = body.text("name").unwrap_or_default();
    if name.is_empty() || name.trim() != name || name.chars().count() > MAX_NAME {
        let hint =
            format!("say what the key is for, in 1 to {MAX_NAME} characters without spaces around");
        body.problem("name", "out_of_range", "a key needs a name", &hint);
    }
    let scopes = take_scopes(&mut body);
    let expires_at = body.moment("expires_at");
    if expires_at.is_some_and(|at| at <= now) {
        let hint = "a moment to come, or leave it out";
        body.problem("expires_at", "out_of_range", "it has passed", hint);
    }
    body.finish(&["name", "scopes", "expires_at"])?;
    Ok(NewKeyRequest { name, scopes, expires_at })
}

fn take_scopes(body: &mut Fields) -> Vec<Scope> {
    let words: Vec<&str> = Scope::VARIANTS.iter().map(Into::into).collect();
    let hint = words.join(", ");
    let listed = match body.take("scopes") {
        None => Vec::new(),
        Some(Value::Array(listed)) => listed,
        Some(_) => {
            body.problem("scopes", "wrong_type", "it is not a list", &format!("a list of {hint}"));
            Vec::new()
        }
    };
    let mut scopes = Vec::new();
    for (at, value) in listed.iter().enumerate() {
        if let Some(scope) = value.as_str().and_then(|word| word.parse().ok()) {
            scopes.push(scope);
        } else {
            let message = format!("{value} is no scope");
            body.problem_at(format!("/scopes/{at}"), "unknown_value", &message, &hint);
        }
    }
    scopes
}

impl From<&ApiKey> for Key {
    fn from(key: &ApiKey) -> Self {
        Self {
            id: key.id.to_string(),
            name: key.name.clone(),
            scopes: key.scopes.clone(),
            created_at: key.created_at.rfc3339(),
            expires_at: key.expires_at.map(Timestamp::rfc3339),
            revoked_at: key.revoked_at.map(Timestamp::rfc3339),
        }
    }
}

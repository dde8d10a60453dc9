//! Numbers: which DID arrives on which master, and who owns it. They come and go with the flows, and
//! one by one: a flow may have more of them than fit into one request.
//!
//! No request here reads all of them.

use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use serde_json::Value;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::auth::Identity;
use super::body::Json;
use super::change::{self, Part, Resource, Update};
use super::described::{Number, NumberDocument, PageOf};
use super::error::ApiError;
use super::etag;
use super::fields::Fields;
use super::page::Page;
use super::path::PathId;
use crate::clock;
use crate::model::configuration::{AllNames, Configuration};
use crate::model::document::{self, Reading};
use crate::model::filter::{NumberFilters, PageFilters};
use crate::model::id::{AccountId, Id as _, NumberId};
use crate::model::object::Record as _;
use crate::model::objects;
use crate::model::problem::Problem;
use crate::model::removal::remove_number;
use crate::store::NumberFilter;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(read, replace, patch, remove))
}

#[derive(Clone, Copy)]
struct Numbers;

impl Resource for Numbers {
    type Id = NumberId;

    fn word(self) -> &'static str {
        NumberId::WORD
    }

    async fn part(
        self,
        api: &Api,
        account: AccountId,
        of: Result<NumberId, &Value>,
    ) -> Result<Part, ApiError> {
        let did = match of {
            Ok(id) => Some(find(api, account, id).await?.did),
            // A number without quotes is one too, to who reads the document.
            Err(document) => match &document["did"] {
                Value::String(did) => did.parse().ok(),
                did => did.to_string().parse().ok().filter(|_| did.is_u64()),
            },
        };
        // Without a DID nothing is written, and reading the document says so.
        Ok(did.map_or(Part::WithoutNumbers, Part::Around))
    }

    fn parse(self, text: &str) -> Option<NumberId> {
        text.parse().ok()
    }

    fn all(self, configuration: &Configuration) -> Result<Vec<(NumberId, Value)>, ApiError> {
        let numbers = configuration.numbers.iter();
        Ok(numbers.map(|it| (it.id, it.write_whole(configuration))).collect())
    }

    fn put(
        self,
        value: &Value,
        id: Option<NumberId>,
        configuration: &Configuration,
    ) -> Result<(Reading, NumberId), Vec<Problem>> {
        document::put_number(value, id, configuration, &mut clock::mint)
    }

    fn remove(
        self,
        configuration: &Configuration,
        id: NumberId,
    ) -> Result<Configuration, Vec<Problem>> {
        remove_number(configuration, id)
    }
}

/// List numbers
#[utoipa::path(
    get,
    path = "/v1/numbers",
    params(NumberFilters, PageFilters),
    responses((status = 200, description = "One page, newest first", body = PageOf<Number>)),
)]
async fn list(
    State(api): State<Api>,
    identity: Identity,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let mut query = Fields::of_query(query.as_deref());
    let page = Page::take(&mut query);
    let NumberFilters { did, forwarding_flow, tag } = query.filters();
    query.finish(&[])?;
    let filter = NumberFilter { did, flow: forwarding_flow, tag };
    let found = api.db.numbers(identity.account, &filter, page.before, page.probe()).await?;
    let (configuration, _) = api.db.configuration_without_numbers(identity.account).await?;
    let names = AllNames::of(&configuration);
    Ok(page.cut(&found, |number| number.id, |number| number.write_whole(&names)))
}

/// Add a number
///
/// To the flow that shall own it, whose master is then its server, or to a server and nobody. 409
/// tells who owns it already.
#[utoipa::path(
    post,
    path = "/v1/numbers",
    request_body(content = NumberDocument, example = json!(objects::number::Number::example())),
    responses((status = 201, description = "It was added", body = Number)),
)]
async fn create(
    State(api): State<Api>,
    identity: Identity,
    uri: Uri,
    Json(document): Json,
) -> Result<Response, ApiError> {
    change::create(Numbers, &api, &identity, &document, &uri).await
}

/// Read a number
#[utoipa::path(
    get,
    path = "/v1/numbers/{id}",
    params(("id" = String, Path, description = "Id of a number")),
    responses((status = 200, description = "As it is now", body = Number)),
)]
async fn read(
    State(api): State<Api>,
    identity: Identity,
    PathId(id): PathId<NumberId>,
) -> Result<Response, ApiError> {
    let number = find(&api, identity.account, id).await?;
    let (names, _) = api.db.configuration_without_numbers(identity.account).await?;
    Ok(etag::representation(StatusCode::OK, &number.write_whole(&names)))
}

async fn find(
    api: &Api,
    account: AccountId,
    id: NumberId,
) -> Result<objects::number::Number, ApiError> {
    let found = api.db.number(account, id).await?;
    found.ok_or_else(|| ApiError::no_such(NumberId::WORD))
}

/// Replace a number
///
/// A number keeps its DID; this says anew who owns it.
#[utoipa::path(
    put,
    path = "/v1/numbers/{id}",
    params(("id" = String, Path, description = "Id of a number")),
    request_body(content = NumberDocument, example = json!({ "did": "+12025550177", "server": "pbx" })),
    responses((status = 200, description = "It was replaced", body = Number)),
)]
async fn replace(
    State(api): State<Api>,
    identity: Identity,
    PathId(id): PathId<NumberId>,
    headers: HeaderMap,
    Json(document): Json,
) -> Result<Response, ApiError> {
    let update = (Update::Replace, &headers, &document);
    change::update(Numbers, &api, &identity, id, update).await
}

/// Move a number
///
/// A merge patch (RFC 7396). A new `forwarding_flow` takes the number to its master, `null` to
/// nobody. The next call follows; nobody who talks is dropped.
#[utoipa::path(
    patch,
    path = "/v1/numbers/{id}",
    params(("id" = String, Path, description = "Id of a number")),
    request_body(
        content = NumberDocument,
        content_type = "application/merge-patch+json",
        example = json!({ "forwarding_flow": "sales" }),
    ),
    responses((status = 200, description = "It was moved", body = Number)),
)]
async fn patch(
    State(api): State<Api>,
    identity: Identity,
    PathId(id): PathId<NumberId>,
    headers: HeaderMap,
    Json(document): Json,
) -> Result<Response, ApiError> {
    let update = (Update::Patch, &headers, &document);
    change::update(Numbers, &api, &identity, id, update).await
}

/// Remove a number
///
/// Also from the flow that owns it.
#[utoipa::path(
    delete,
    path = "/v1/numbers/{id}",
    params(("id" = String, Path, description = "Id of a number")),
    responses((status = 204, description = "It is gone")),
)]
async fn remove(
    State(api): State<Api>,
    identity: Identity,
    PathId(id): PathId<NumberId>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    change::remove(Numbers, &api, &identity, id, &headers).await
}

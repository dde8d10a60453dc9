//! Numbers: which DID arrives on which master, and who owns it. They come and go with the flows, and
//! one by one: a flow may have more of them than fit into one request.
//!
//! No request here reads all of them.

use axum::extract::{RawQuery, State};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::Response;
use serde_json::Value;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::auth::Identity;
use super::body::Json;
use super::change::{self, Part, Resource, Update};
use super::error::ApiError;
use super::etag;
use super::fields::Fields;
use super::page::{Page, PageParameters};
use super::path::PathId;
use super::schema::{Number, NumberDocument, PageOf};
use crate::clock;
use crate::model::configuration::{self, Configuration};
use crate::model::document::{self, Reading};
use crate::model::id::{AccountId, NumberId};
use crate::model::problem::Problem;
use crate::model::removal::remove_number;
use crate::store::NumberFilter;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list, create)).routes(routes!(read, replace, patch, remove))
}

enum Kind {}

impl Resource for Kind {
    type Id = NumberId;
    type Parent = ();

    const WORD: &'static str = "number";

    async fn part(
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

    fn all(configuration: &Configuration, (): ()) -> Option<Vec<(NumberId, Value)>> {
        let write = |it| document::write_number(it, configuration);
        Some(configuration.numbers.iter().map(|it| (it.id, write(it))).collect())
    }

    fn put(
        value: &Value,
        (): (),
        id: Option<NumberId>,
        configuration: &Configuration,
    ) -> Result<(Reading, NumberId), Vec<Problem>> {
        document::put_number(value, id, configuration, &mut clock::mint)
    }

    fn remove(
        configuration: &Configuration,
        (): (),
        id: NumberId,
    ) -> Result<Configuration, Vec<Problem>> {
        remove_number(configuration, id)
    }
}

#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "describes what list reads")]
struct FilterParameters {
    /// The number itself, exactly.
    #[param(required = false)]
    did: String,
    /// Id of the flow that owns it.
    #[param(required = false)]
    forwarding_flow: String,
}

/// List numbers
#[utoipa::path(
    get,
    path = "/v1/numbers",
    params(FilterParameters, PageParameters),
    responses((status = 200, description = "One page, newest first", body = PageOf<Number>)),
)]
async fn list(
    State(api): State<Api>,
    identity: Identity,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let mut query = Fields::of_query(query.as_deref());
    let page = Page::take(&mut query);
    let filter = NumberFilter {
        did: query.parsed("did", "a number"),
        flow: query.parsed("forwarding_flow", "the id of a forwarding flow"),
    };
    query.finish(&["cursor", "did", "forwarding_flow", "limit"])?;
    let found = api.db.numbers(identity.account, &filter, page.before, page.probe()).await?;
    let (names, _) = api.db.configuration_without_numbers(identity.account).await?;
    Ok(page.cut(&found, |number| number.id, |number| document::write_number(number, &names)))
}

/// Add a number
///
/// To the flow that shall own it, whose master is then its server, or to a server and nobody. 409
/// tells who owns it already.
#[utoipa::path(
    post,
    path = "/v1/numbers",
    request_body(content = NumberDocument, example = json!({ "did": "+12025550177", "forwarding_flow": "sales" })),
    responses((status = 201, description = "It was added", body = Number)),
)]
async fn create(
    State(api): State<Api>,
    identity: Identity,
    uri: Uri,
    Json(document): Json,
) -> Result<Response, ApiError> {
    change::create::<Kind>(&api, &identity, (), &document, &uri).await
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
    Ok(etag::representation(StatusCode::OK, &document::write_number(&number, &names)))
}

async fn find(
    api: &Api,
    account: AccountId,
    id: NumberId,
) -> Result<configuration::Number, ApiError> {
    let found = api.db.number(account, id).await?;
    found.ok_or_else(|| ApiError::no_such(Kind::WORD))
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
    change::update::<Kind>(&api, &identity, (), id, update).await
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
    change::update::<Kind>(&api, &identity, (), id, update).await
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
    change::remove::<Kind>(&api, &identity, (), id, &headers).await
}

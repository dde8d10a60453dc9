//! Numbers: which DID arrives on which master, and who owns it. They come and go with the flows.

use axum::extract::{RawQuery, State};
use axum::response::Response;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::Api;
use super::auth::Identity;
use super::error::ApiError;
use super::page::{Page, PageParameters};
use super::schema::{Number, PageOf};
use crate::model::document;

pub(super) fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list))
}

/// List numbers
#[utoipa::path(
    get,
    path = "/v1/numbers",
    params(PageParameters),
    responses((status = 200, description = "One page, newest first", body = PageOf<Number>)),
)]
async fn list(
    State(api): State<Api>,
    identity: Identity,
    RawQuery(query): RawQuery,
) -> Result<Response, ApiError> {
    let page = Page::of_query(query.as_deref())?;
    let (configuration, _) = api.db.configuration(identity.account).await?;
    let write = |number: &&_| document::write_number(number, &configuration);
    Ok(page.of(&configuration.numbers, |number| number.id, write))
}

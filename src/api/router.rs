//! All routes with their layers, from the outside in: observe, then for `/v1` identify, limit, known
//! parameters, not modified, once, and the handler.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::Router;
use axum::extract::{MatchedPath, OriginalUri, Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use url::form_urlencoded;

use super::auth::identify;
use super::error::ApiError;
use super::etag::not_modified;
use super::idempotency::once;
use super::limit::limit;
use super::observe::observe;
use super::openapi;
use super::shapes::operations;
use super::{Access, Api};
use crate::model::problem::Problem;

/// The whole API as one service.
pub fn router(api: Api, access: Access) -> Router {
    let parameters = Arc::new(Parameters::documented());
    let guarded: Router<Api> = openapi::guarded().into();
    let guarded = guarded
        .layer(from_fn_with_state(api.clone(), once))
        .layer(from_fn(not_modified))
        .layer(from_fn_with_state(api.clone(), limit))
        .layer(from_fn_with_state((api.clone(), access), identify));
    let open: Router<Api> = openapi::open().into();
    guarded
        .merge(open)
        .layer(from_fn_with_state(parameters, known_parameters))
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(not_found)
        .layer(from_fn(observe))
        .with_state(api)
}

async fn not_found(OriginalUri(uri): OriginalUri) -> ApiError {
    let detail = format!("There is nothing at {}.", uri.path());
    ApiError::new(StatusCode::NOT_FOUND, "unknown_path", "Not found", detail)
        .hint("GET /openapi.json lists every path")
}

async fn method_not_allowed(method: Method, OriginalUri(uri): OriginalUri) -> ApiError {
    let detail = format!("{method} is not possible on {}.", uri.path());
    let (code, title) = ("method_not_allowed", "Method not allowed");
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, code, title, detail)
        .hint("the Allow header of this answer says what is")
}

/// The query parameters of every path, as the description has them.
struct Parameters(BTreeMap<&'static str, BTreeSet<&'static str>>);

impl Parameters {
    fn documented() -> Self {
        let mut known: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
        for (path, _, operation) in operations(openapi::document()) {
            let parameters = operation["parameters"].as_array().into_iter().flatten();
            let names =
                parameters.filter(|p| p["in"] == "query").filter_map(|p| p["name"].as_str());
            known.entry(path).or_default().extend(names);
        }
        Self(known)
    }
}

/// A parameter nobody reads is a filter somebody believes in: it is refused, on every route.
async fn known_parameters(
    State(parameters): State<Arc<Parameters>>,
    request: Request,
    next: Next,
) -> Response {
    let path = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str);
    let known = path.and_then(|path| parameters.0.get(path));
    let query = request.uri().query().unwrap_or_default().as_bytes();
    let is_known = |name: &str| known.is_some_and(|known| known.contains(name));
    let unknown: BTreeSet<String> = form_urlencoded::parse(query)
        .map(|(name, _)| name.into_owned())
        .filter(|name| !is_known(name))
        .collect();
    if unknown.is_empty() {
        return next.run(request).await;
    }
    let names: Vec<&str> = known.into_iter().flatten().copied().collect();
    let hint = if names.is_empty() {
        "this path takes none".to_owned()
    } else {
        format!("known are {}", names.join(", "))
    };
    let problem = |name: &String| Problem {
        pointer: format!("?{name}"),
        line: None,
        code: "unknown_key",
        message: format!("{name:?} is no parameter of this path"),
        hint: hint.clone(),
    };
    let list = unknown.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    let detail = format!("Unknown query parameters: {list}.");
    ApiError::bad_request("invalid_query", "Invalid query parameters", detail)
        .hint(hint.clone())
        .errors(unknown.iter().map(problem).collect())
        .into_response()
}

//! The `OpenAPI` 3.1 description, made from the routes themselves, so that neither lacks the other.
//!
//! What all routes share (errors, headers, the key) is added here once instead of at every handler.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use utoipa::{OpenApi, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::answers::{self, has_tag};
use super::error::{FieldProblem, ProblemDetails};
use super::shapes::tighten;
use super::{
    Api, account, balance, calls, cdrs, changes, described, destinations, docs, explain,
    forwarding_flows, health, keys, nodes, number_import, numbers, objects, reports, sessions,
    status, test_calls,
};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "divert",
        description = "Call routing and call forwarding for Asterisk. Times are RFC 3339 in UTC, \
            durations are in seconds, ids have a prefix that says what they are of.",
    ),
    components(schemas(ProblemDetails, FieldProblem))
)]
struct Description;

/// The routes that need a key.
pub(super) fn guarded() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .merge(account::routes())
        .merge(objects::routes())
        .merge(forwarding_flows::routes())
        .merge(destinations::routes())
        .merge(test_calls::routes())
        .merge(numbers::routes())
        .merge(number_import::routes())
        .merge(changes::routes())
        .merge(calls::routes())
        .merge(sessions::routes())
        .merge(reports::routes())
        .merge(cdrs::routes())
        .merge(explain::routes())
        .merge(balance::routes())
        .merge(keys::routes())
        .merge(nodes::routes())
        .merge(status::routes())
}

/// The routes that need none.
pub(super) fn open() -> OpenApiRouter<Api> {
    OpenApiRouter::new().merge(health::routes()).merge(docs::routes()).routes(routes!(openapi))
}

/// The `OpenAPI` 3.1 document of the whole API.
#[must_use]
pub fn document() -> &'static Value {
    static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
        let routes = OpenApiRouter::with_openapi(Description::openapi());
        let described = routes.merge(guarded()).merge(open()).into_openapi();
        let mut document = serde_json::to_value(described).unwrap_or_default();
        if let Some(paths) = document["paths"].as_object_mut() {
            paths.extend(objects::paths());
        }
        document["tags"] = objects::tags().into();
        complete(&mut document);
        document
    });
    &DOCUMENT
}

/// This description
#[utoipa::path(
    get,
    path = "/openapi.json",
    responses((status = 200, description = "An OpenAPI 3.1 document", body = AnyObject)),
)]
async fn openapi() -> Response {
    let headers = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    (headers, document().to_string()).into_response()
}

#[derive(ToSchema)]
#[schema(value_type = Object)]
#[expect(dead_code, reason = "exists for its schema only")]
struct AnyObject(Value);

/// Adds what every operation has.
fn complete(document: &mut Value) {
    document["components"]["securitySchemes"] = json!({
        "bearer": {
            "type": "http", "scheme": "bearer", "bearerFormat": "dvk_…",
            "description": "An API key, made by divert keys create or POST /v1/keys.",
        },
        "basic": {
            "type": "http", "scheme": "basic",
            "description": "The API key as user name, the password empty: curl -u dvk_…:",
        },
    });
    document["components"]["responses"] = answers::all();
    let mut patches = BTreeSet::new();
    let Some(paths) = document["paths"].as_object_mut() else { return };
    for (path, item) in paths {
        for (method, operation) in item.as_object_mut().into_iter().flatten() {
            let tag = path.strip_prefix("/v1/").and_then(|rest| rest.split(['/', '.']).next());
            if let Some(tag) = tag {
                operation["tags"] = json!([tag]);
                answers::secure(path, method, operation);
            } else {
                operation["tags"] = json!(["operation"]);
            }
            // Handlers of different files share names, operations must not.
            operation["operationId"] = json!(operation_id(method, path));
            add_headers(path, method, operation);
            answers::add(path, method, operation);
            patches.extend(make_patch(operation));
        }
    }
    tighten(document);
    let schemas = &mut document["components"]["schemas"];
    if let Some(schemas) = schemas.as_object_mut() {
        schemas.extend(described::schemas());
    }
    for name in patches {
        let mut schema = schemas[&name].clone();
        if let Some(schema) = schema.as_object_mut() {
            for rule in ["anyOf", "example", "oneOf", "required"] {
                schema.remove(rule);
            }
        }
        schemas[name + PATCH] = schema;
    }
}

/// Ends the name of a schema of which every member may be left out.
const PATCH: &str = "Patch";

/// Lets a merge patch refer to the patch schema of its document, and names the document.
fn make_patch(operation: &mut Value) -> Option<String> {
    let pointer = "/requestBody/content/application~1merge-patch+json/schema/$ref";
    let reference = operation.pointer_mut(pointer)?;
    let whole = reference.as_str()?.to_owned();
    *reference = json!(format!("{whole}{PATCH}"));
    whole.rsplit('/').next().map(str::to_owned)
}

/// `post_v1_forwarding_flows_id_test_calls`
fn operation_id(method: &str, path: &str) -> String {
    let words = path.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    let words = words.filter(|word| !word.is_empty());
    std::iter::once(method).chain(words).collect::<Vec<_>>().join("_").replace('-', "_")
}

fn add_headers(path: &str, method: &str, operation: &mut Value) {
    let mut add = |name: &str, description: &str| {
        let parameter = json!({
            "name": name, "in": "header", "required": false, "description": description,
            "schema": { "type": "string" },
        });
        match operation["parameters"].as_array_mut() {
            Some(parameters) => parameters.push(parameter),
            None => operation["parameters"] = json!([parameter]),
        }
    };
    if !path.starts_with("/v1/") {
        return;
    }
    match method {
        "get" => add("If-None-Match", "The ETag you have: 304 when it still holds."),
        "post" => add(
            "Idempotency-Key",
            "A text of your choice, at most 255 characters: the request is executed once, and a \
             repetition by the same API key within 24 hours gets the same answer. A request that \
             was refused may come again.",
        ),
        "delete" | "patch" | "put" if has_tag(path) => {
            add("If-Match", "The ETag you read: 412 when somebody changed it since.");
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::super::shapes::operations;
    use super::*;

    #[test]
    fn it_is_openapi_3_1_with_unique_operation_ids() {
        let document = document();
        assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
        let ids: Vec<&Value> =
            operations(document).map(|(_, _, operation)| &operation["operationId"]).collect();
        let unique: BTreeSet<String> = ids.iter().map(ToString::to_string).collect();
        assert_eq!(unique.len(), ids.len());
        assert!(unique.contains("\"post_v1_forwarding_flows_id_test_calls\""), "{unique:?}");
    }

    #[test]
    fn reading_and_removing_take_no_body() {
        for (path, method, operation) in operations(document()) {
            let fields = operation.as_object().unwrap();
            let takes = matches!(method, "put" | "patch");
            assert!(fields.contains_key("requestBody") || !takes, "{method} {path}");
            let may = takes || method == "post";
            assert!(may || !fields.contains_key("requestBody"), "{method} {path}");
            assert!(fields.values().all(|value| !value.is_null()), "{method} {path}");
        }
    }

    /// What stands for a schema in the code is nowhere in the description.
    #[test]
    fn every_page_says_what_is_in_it() {
        let schemas = document()["components"]["schemas"].as_object().unwrap();
        let pages = schemas.iter().filter(|(name, _)| name.starts_with("PageOf_"));
        let items: Vec<_> = pages.map(|(_, page)| &page["properties"]["data"]["items"]).collect();
        assert!(items.len() > 10);
        for item in items {
            let is_told = item["$ref"].is_string() || item["properties"].is_object();
            assert!(is_told, "{item}");
        }
        assert_ne!(schemas["Number"]["properties"]["did"], Value::Null);
    }

    #[test]
    fn a_patch_requires_nothing() {
        let schemas = &document()["components"]["schemas"];
        assert!(schemas["ServerDocument"]["required"].is_array());
        assert!(schemas["ServerDocumentPatch"]["properties"]["name"].is_object());
        assert!(schemas["ServerDocumentPatch"]["required"].is_null());
    }

    #[test]
    fn every_reference_leads_somewhere() {
        fn references<'d>(value: &'d Value, found: &mut Vec<&'d str>) {
            match value {
                Value::Array(items) => items.iter().for_each(|item| references(item, found)),
                Value::Object(fields) => {
                    found.extend(fields.get("$ref").and_then(Value::as_str));
                    fields.values().for_each(|field| references(field, found));
                }
                _ => {}
            }
        }
        let mut found = Vec::new();
        references(document(), &mut found);
        assert!(!found.is_empty());
        for reference in found {
            let pointer = reference.trim_start_matches('#');
            assert!(document().pointer(pointer).is_some(), "{reference}");
        }
    }
}

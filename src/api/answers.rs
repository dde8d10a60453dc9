//! What operations share in their descriptions: the answers that are no success, each described
//! once, and the scopes they need.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::key::Scope;
use super::objects;
use crate::model::objects::KINDS;

/// Status, name and meaning of every such answer.
const ANSWERS: [(&str, &str, &str); 14] = [
    ("304", "NotModified", "The ETag you have still holds"),
    ("400", "BadRequest", "The request cannot be read"),
    ("401", "Unauthorized", "The key is missing or not valid"),
    ("403", "Forbidden", "The key lacks a scope, which is named, or the account may not have this"),
    ("404", "NotFound", "There is no such thing"),
    ("408", "Timeout", "The body did not arrive in time"),
    ("409", "Conflict", "It clashes with what is there or what is going on"),
    ("412", "PreconditionFailed", "It was changed meanwhile"),
    ("413", "TooLarge", "The body is larger than 256 KiB, or 16 MiB for an import of numbers"),
    ("415", "NotJson", "The body is of another kind by its Content-Type"),
    ("422", "Invalid", "The document has faults, all of them listed"),
    ("429", "TooMany", "Too many requests"),
    ("500", "Internal", "A fault of divert"),
    ("503", "Unavailable", "The database is not available, or there are too many connections"),
];

/// `components.responses`: each of them.
pub(super) fn all() -> Value {
    ANSWERS
        .iter()
        .map(|(status, name, about)| ((*name).to_owned(), answer(status, about)))
        .collect()
}

fn answer(status: &str, about: &str) -> Value {
    let mut answer = json!({ "description": about });
    if status != "304" {
        answer["content"] = problem();
    }
    if matches!(status, "429" | "503") {
        answer["headers"] = json!({ "Retry-After": {
            "description": "How many seconds to wait", "schema": { "type": "integer", "minimum": 1 },
        } });
    }
    answer
}

fn problem() -> Value {
    json!({ "application/problem+json": {
        "schema": { "$ref": "#/components/schemas/ProblemDetails" },
    } })
}

/// Adds to an operation the answers it can give besides its own.
pub(super) fn add(path: &str, method: &str, operation: &mut Value) {
    let has_body = !operation["requestBody"].is_null();
    let is_json = operation.pointer("/responses/200/content/application~1json").is_some();
    for (status, name, _) in ANSWERS {
        if !may_be(status, (path, method), has_body, is_json) {
            continue;
        }
        let own = &mut operation["responses"][status];
        if own.is_null() {
            *own = json!({ "$ref": format!("#/components/responses/{name}") });
        } else if let (Some(own), Some(problem)) =
            (own["content"].as_object_mut(), problem().as_object_mut())
        {
            own.append(problem);
        }
    }
}

fn may_be(status: &str, (path, method): (&str, &str), has_body: bool, is_json: bool) -> bool {
    let is_change = method != "get";
    let is_guarded = path.starts_with("/v1/");
    match status {
        "400" | "500" | "503" => true,
        "404" => path.contains('{'),
        _ if !is_guarded => false,
        "304" => !is_change && is_json && !is_passing(path),
        "403" => !scopes(path, method).is_empty(),
        // A POST may have an Idempotency-Key, for which its body is read in any case.
        "408" | "413" | "422" => has_body || method == "post",
        "409" if is_change => !(method == "delete" && path.starts_with("/v1/keys")),
        "409" => is_passing(path),
        "412" => matches!(method, "delete" | "patch" | "put") && has_tag(path),
        "415" => has_body,
        _ => true,
    }
}

/// Whether it tells of this moment, by the node that is asked.
fn is_passing(path: &str) -> bool {
    ["/live", "/status"].iter().any(|end| path.ends_with(end))
}

/// Whether a change of it can be bound to what was read.
pub(super) fn has_tag(path: &str) -> bool {
    !["/v1/keys", "/v1/nodes"].iter().any(|kind| path.starts_with(kind))
}

/// The scopes of which a key needs one, besides `admin`, which includes all; none: any key will do.
fn scopes(path: &str, method: &str) -> &'static [Scope] {
    let last = path.rsplit('/').next().unwrap_or_default();
    let kind = path.trim_start_matches("/v1/").split(['/', '.']).next().unwrap_or_default();
    match (method, kind, last) {
        (_, "keys" | "nodes", _) => &[Scope::Admin],
        ("post", "calls", "end") | ("post", _, "test-calls") => &[Scope::CallsTest],
        (_, "explain", _)
        | ("get", _, "balance" | "credits" | "live")
        | ("get", "calls" | "cdrs" | "reports" | "sessions" | "status", _) => &[Scope::CallsRead],
        ("get", ..) => &[],
        (_, "account", _) => &[Scope::Admin],
        (_, _, "disable" | "drain" | "pause" | "resume") => {
            &[Scope::DestinationsPause, Scope::FlowsWrite]
        }
        _ => match KINDS.iter().find(|known| known.path_segment() == kind).map(objects::scope) {
            Some(Scope::Admin) => &[Scope::Admin],
            _ => &[Scope::FlowsWrite],
        },
    }
}

/// Says which key an operation needs: as `security`, and in words.
pub(super) fn secure(path: &str, method: &str, operation: &mut Value) {
    let scopes = scopes(path, method);
    let either: Vec<Vec<&Scope>> = match scopes {
        [] => vec![Vec::new()],
        scopes => scopes.iter().map(|scope| vec![scope]).collect(),
    };
    let names = |scopes: &Vec<&Scope>| scopes.iter().map(ToString::to_string).collect::<Vec<_>>();
    let schemes = ["bearer", "basic"].iter();
    operation["security"] = schemes
        .flat_map(|scheme| either.iter().map(move |scopes| json!({ *scheme: names(scopes) })))
        .collect();
    let mut about = operation["description"].as_str().unwrap_or_default().to_owned();
    if !about.is_empty() {
        about.push_str("\n\n");
    }
    match scopes {
        [] => about.push_str("Any key will do."),
        scopes => {
            let names: Vec<String> = scopes.iter().map(|scope| format!("`{scope}`")).collect();
            let _ = write!(about, "Scope: {}.", names.join(" or "));
        }
    }
    operation["description"] = json!(about);
}

//! The description: complete, and every example in it works.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use divert::api::document;
use divert::model::id::CallId;
use divert::model::objects::KINDS;
use divert::model::objects::account::DEFAULT_ACCOUNT;
use divert::store::Record;
use serde_json::{Value, json};

use super::calls::record_call;
use super::contract::assert_described;
use super::{Ask, World};

/// Method, path and operation of everything described.
pub fn operations() -> Vec<(&'static str, &'static str, &'static Value)> {
    let paths = document()["paths"].as_object().unwrap();
    let of = |(path, item): (&'static String, &'static Value)| {
        let item = item.as_object().unwrap();
        item.iter().map(move |(method, it)| (method.as_str(), path.as_str(), it))
    };
    paths.iter().flat_map(of).collect()
}

#[tokio::test]
async fn the_document_is_served_as_it_is() {
    let world = World::new().await;
    let answer = world.keyed(Ask::get("/openapi.json")).await;
    assert_eq!(&answer.json, document());
}

/// The paths in the router itself, from its debug output, are those of the description.
#[tokio::test]
async fn every_route_is_described() {
    let world = World::new().await;
    let debug = format!("{:?}", world.keyed);
    // Besides the routes, axum lists where its fallback hangs.
    let fallback = ["/", "/{*__private__axum_fallback}"];
    let in_router: BTreeSet<&str> =
        debug.split('"').filter(|text| text.starts_with('/') && !fallback.contains(text)).collect();
    let described: BTreeSet<&str> = operations().iter().map(|(_, path, _)| *path).collect();
    assert!(in_router.len() > 10, "the router tells its paths: {debug}");
    assert_eq!(in_router, described);
}

/// Of two types of one name the description has only the last, wherever either is meant.
#[test]
fn every_type_has_a_name_of_its_own() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/api");
    let mut names: BTreeMap<String, usize> = BTreeMap::new();
    for file in fs::read_dir(directory).unwrap() {
        let source = fs::read_to_string(file.unwrap().path()).unwrap();
        for after in source.split("#[derive(").skip(1) {
            let (derived, rest) = after.split_once(")]").unwrap();
            if derived.contains("ToSchema") {
                let mut words = rest.split(|c: char| !c.is_alphanumeric() && c != '_');
                words.find(|word| ["struct", "enum"].contains(word)).unwrap();
                *names.entry(words.next().unwrap().to_owned()).or_default() += 1;
            }
        }
    }
    assert!(names.contains_key("Money") && names.len() > 20, "{names:?}");
    let shared: Vec<_> = names.iter().filter(|(_, types)| **types > 1).collect();
    assert!(shared.is_empty(), "{shared:?}");
}

#[test]
fn what_a_report_costs_is_an_amount_of_a_currency() {
    let schemas = &document()["components"]["schemas"];
    let costs = &schemas["Row"]["properties"]["costs"]["items"]["$ref"];
    let name = costs.as_str().unwrap().rsplit('/').next().unwrap();
    let members: Vec<&String> = schemas[name]["properties"].as_object().unwrap().keys().collect();
    assert_eq!(members, ["amount", "currency"]);
}

#[test]
fn the_promised_routes_exist() {
    let all: BTreeSet<String> =
        operations().iter().map(|(method, path, _)| format!("{method} {path}")).collect();
    let crud = |path: &str, id: &str| {
        [
            format!("get {path}"),
            format!("post {path}"),
            format!("get {path}/{id}"),
            format!("put {path}/{id}"),
            format!("patch {path}/{id}"),
            format!("delete {path}/{id}"),
        ]
    };
    let mut promised: BTreeSet<String> = [
        "post /v1/explain",
        "get /v1/forwarding-flows/{id}/live",
        "post /v1/forwarding-flows/{id}/pause",
        "post /v1/forwarding-flows/{id}/resume",
        "post /v1/forwarding-flows/{id}/test-calls",
        "get /v1/calls",
        "get /v1/account/balance",
        "get /v1/account/credits",
        "post /v1/account/credits",
        "get /v1/cdrs",
        "get /v1/cdrs.csv",
        "get /v1/calls.csv",
        "get /v1/calls/{id}",
        "get /v1/reports/calls",
        "get /v1/reports/calls.csv",
        "get /v1/sessions",
        "post /v1/calls/{id}/end",
        "get /v1/keys",
        "get /v1/nodes",
        "get /v1/status",
        "delete /v1/nodes/{name}",
        "post /v1/keys",
        "delete /v1/keys/{id}",
        "get /v1/changes",
        "get /v1/changes/{version}",
        "post /v1/changes/{version}/undo",
        "post /v1/numbers/import",
        "get /docs",
        "get /docs/{file}",
        "get /openapi.json",
        "get /v1/account",
        "put /v1/account",
        "patch /v1/account",
        "get /healthz",
        "get /readyz",
        "get /metrics",
    ]
    .map(String::from)
    .into();
    for kind in
        ["forwarding-flows", "numbers", "rate-decks", "schedules", "servers", "sounds", "trunks"]
    {
        promised.extend(crud(&format!("/v1/{kind}"), "{id}"));
    }
    promised.extend(crud("/v1/forwarding-flows/{id}/destinations", "{destination_id}"));
    promised.extend(["pause", "drain", "disable", "resume"].map(|action| {
        format!("post /v1/forwarding-flows/{{id}}/destinations/{{destination_id}}/{action}")
    }));
    assert_eq!(all, promised);
}

/// Makes what the examples take for granted, and what comes from elsewhere; the ids to ask for.
pub async fn prepare(world: &World, call: CallId) -> BTreeMap<String, String> {
    // The examples name it as the master.
    let master = json!({ "name": "pbx", "role": "master" });
    world.local(Ask::post("/v1/servers").json(&master)).await.id();
    // Nothing refers to it, so that this change can be taken back at any time.
    let spare = json!({ "name": "spare", "endpoint": "spare" });
    world.local(Ask::post("/v1/trunks").json(&spare)).await.id();
    let (_, version) = world.db.configuration(DEFAULT_ACCOUNT).await.unwrap();
    world
        .db
        .record("node-1", &[Record::Startup { of: "2026-11-21T01:00:00.000+0000".to_owned() }])
        .await
        .unwrap();
    BTreeMap::from([
        ("/docs".to_owned(), "start.js".to_owned()),
        ("/v1/calls".to_owned(), call.to_string()),
        ("/v1/changes".to_owned(), version.to_string()),
        ("/v1/nodes".to_owned(), "node-1".to_owned()),
    ])
}

/// Executes every operation once, with its examples where it has a body, in an order in which that
/// works, and compares status and members of the answer with what is described.
#[tokio::test]
async fn every_example_does_what_its_description_says() {
    let world = World::new().await;
    let call = record_call(&world, |_| {}).await;
    world.node.live.lock().unwrap().insert((DEFAULT_ACCOUNT, call));
    let mut ids = prepare(&world, call).await;
    let mut all = operations();
    all.sort_by_key(|(method, path, _)| order(method, path));
    for (method, path, operation) in all {
        let filled = fill(path, &ids);
        let ask = Ask::new(method.to_uppercase().parse().unwrap(), &filled);
        let content = operation["requestBody"]["content"].as_object();
        let mut asks: Vec<Ask> = Vec::new();
        for (kind, content) in content.into_iter().flatten() {
            let example = &content["example"];
            let body = match example {
                Value::String(text) if kind == "text/csv" => text.clone(),
                example => {
                    assert!(example.is_object(), "{method} {path} has no example of {kind}");
                    example.to_string()
                }
            };
            asks.push(ask.clone().raw(body).header("content-type", kind.as_str()));
        }
        if content.is_none() {
            asks.push(ask);
        }
        for ask in asks {
            let answer = world.local(ask).await;
            let responses = operation["responses"].as_object().unwrap();
            let good: Vec<&String> =
                responses.keys().filter(|status| status.starts_with('2')).collect();
            assert_eq!(good, [answer.status.as_str()], "{method} {filled}: {}", answer.text);
            assert_described(operation, &answer, &format!("{method} {path}"));
            if method == "post" && answer.status == 201 && !path.ends_with("test-calls") {
                ids.insert(path.to_owned(), answer.id());
            }
        }
    }
}

/// First what others refer to, then what refers to it; removal the other way round.
pub fn order(method: &str, path: &str) -> (usize, usize, usize) {
    let last = path.split('/').rfind(|part| !part.starts_with('{')).unwrap();
    let at = KINDS.iter().position(|kind| kind.section.replace('_', "-") == last);
    let made = match (last, at) {
        ("account", _) => 10,
        // A slave names the trunk that leads to it.
        ("servers", _) => 100,
        ("forwarding-flows", _) => 101,
        ("destinations", _) => 102,
        (_, Some(0)) => 0,
        (_, Some(at)) => 11 + at,
        _ => 200,
    };
    let verb = ["post", "get", "put", "patch", "delete"].iter().position(|verb| *verb == method);
    let verb = verb.unwrap();
    if method == "delete" { (1, 1_000 - made, verb) } else { (0, made, verb) }
}

pub fn fill(path: &str, ids: &BTreeMap<String, String>) -> String {
    let mut filled = String::new();
    let mut template = String::new();
    for part in path.split('/').skip(1) {
        let value = if part.starts_with('{') {
            ids.get(&template).unwrap_or_else(|| panic!("no id for {template}")).as_str()
        } else {
            part
        };
        filled.push('/');
        filled.push_str(value);
        template.push('/');
        template.push_str(part);
    }
    filled
}

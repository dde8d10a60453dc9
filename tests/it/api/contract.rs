//! The server against its own description: every operation with values that its schemas allow at
//! the edge and with values they forbid, and every answer against what is described.

use std::collections::{BTreeMap, BTreeSet};

use axum::http::{Method, StatusCode};
use divert::api::{Scope, document};
use divert::model::objects::KINDS;
use divert::model::objects::account::DEFAULT_ACCOUNT;
use regex::Regex;
use serde_json::{Value, json};
use strum::VariantArray as _;

use super::calls::record_call;
use super::openapi::{fill, operations, order, prepare};
use super::{Answer, Ask, World};

/// Follows references to the schema itself.
fn resolve(schema: &'static Value) -> &'static Value {
    match schema["$ref"].as_str() {
        Some(reference) => resolve(document().pointer(&reference[1..]).unwrap()),
        None => schema,
    }
}

fn is_kind(value: &Value, kind: &str) -> bool {
    match kind {
        "array" => value.is_array(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "null" => value.is_null(),
        "number" => value.is_number(),
        "object" => value.is_object(),
        "string" => value.is_string(),
        other => panic!("no type {other}"),
    }
}

/// The kinds of value a schema allows; none: any.
fn kinds(schema: &'static Value) -> Vec<&'static str> {
    match &schema["type"] {
        Value::String(kind) => vec![kind.as_str()],
        Value::Array(kinds) => kinds.iter().map(|kind| kind.as_str().unwrap()).collect(),
        _ => Vec::new(),
    }
}

/// The first place where a value is not as its schema says, by JSON Schema 2020-12 as far as the
/// description uses it.
fn fault(schema: &'static Value, value: &Value, place: &str) -> Option<String> {
    let schema = resolve(schema);
    let wrong = |what: &str| Some(format!("{place}: {what}: {value}"));
    assert!(schema["allOf"].is_null(), "{schema}");
    if let Some(choices) = schema["anyOf"].as_array()
        && choices.iter().all(|one| fault(one, value, place).is_some())
    {
        return wrong("none of its shapes");
    }
    if let Some(choices) = schema["oneOf"].as_array() {
        let fits = choices.iter().filter(|one| fault(one, value, place).is_none()).count();
        if fits != 1 {
            return wrong(&format!("of {fits} of its shapes"));
        }
    }
    let kinds = kinds(schema);
    if !kinds.is_empty() && !kinds.iter().any(|kind| is_kind(value, kind)) {
        return wrong("of another type");
    }
    if schema["enum"].as_array().is_some_and(|words| !words.contains(value)) {
        return wrong("none of its words");
    }
    match value {
        Value::Number(number) => {
            let number = number.as_f64().unwrap();
            let beyond = |limit: &str, beyond: fn(f64, f64) -> bool| {
                schema[limit].as_f64().is_some_and(|limit| beyond(number, limit))
            };
            if beyond("minimum", |a, b| a < b) || beyond("maximum", |a, b| a > b) {
                return wrong("out of range");
            }
        }
        Value::String(text) => {
            let length = u64::try_from(text.chars().count()).unwrap();
            if schema["minLength"].as_u64().is_some_and(|least| length < least)
                || schema["maxLength"].as_u64().is_some_and(|most| length > most)
            {
                return wrong("too short or too long");
            }
            let pattern = schema["pattern"].as_str().map(|pattern| Regex::new(pattern).unwrap());
            if pattern.is_some_and(|pattern| !pattern.is_match(text)) {
                return wrong("not of its pattern");
            }
        }
        Value::Array(items) => {
            if schema["minItems"]
                .as_u64()
                .is_some_and(|least| u64::try_from(items.len()).unwrap() < least)
            {
                return wrong("too few");
            }
            let inner = |(at, item)| fault(&schema["items"], item, &format!("{place}/{at}"));
            return items.iter().enumerate().find_map(inner);
        }
        Value::Object(members) => {
            let required = schema["required"].as_array().into_iter().flatten();
            for name in required.filter_map(Value::as_str) {
                if !members.contains_key(name) {
                    return wrong(&format!("{name} is missing"));
                }
            }
            for (name, member) in members {
                let place = format!("{place}/{name}");
                let described = match &schema["properties"][name] {
                    Value::Null => &schema["additionalProperties"],
                    described => described,
                };
                if *described == json!(false) {
                    return Some(format!("{place} is not described"));
                }
                if let Some(fault) = fault(described, member, &place) {
                    return Some(fault);
                }
            }
        }
        Value::Bool(_) | Value::Null => {}
    }
    None
}

/// Checks that an answer is one of those that are described for the operation.
#[track_caller]
pub fn assert_described(operation: &'static Value, answer: &Answer, what: &str) {
    let status = answer.status.as_str();
    let described = resolve(&operation["responses"][status]);
    assert!(!described.is_null(), "{what}: {status} is not described: {}", answer.text);
    let kind = answer.header("content-type").split(';').next().unwrap();
    let Some(content) = described["content"].as_object() else {
        assert_eq!(answer.text, "", "{what}: {status} has no content");
        return;
    };
    let content = content.get(kind);
    let content = content.unwrap_or_else(|| panic!("{what}: {status} in {kind} is not described"));
    if kind.ends_with("json") {
        let fault = fault(&content["schema"], &answer.json, "");
        assert_eq!(fault, None, "{what}: {status}: {}", answer.text);
    }
    if kind == "application/problem+json" {
        assert_helps(answer, what);
    }
}

/// What is wrong comes with what to type, and in divert's words.
#[track_caller]
fn assert_helps(answer: &Answer, what: &str) {
    let has = |of: &Value| of["hint"].as_str().is_some_and(|hint| !hint.is_empty());
    let errors = answer.json["errors"].as_array().unwrap();
    assert!(has(&answer.json) || !errors.is_empty(), "{what}: no hint: {}", answer.text);
    assert!(errors.iter().all(has), "{what}: a fault without a hint: {}", answer.text);
    for foreign in
        ["invalid digit", "failed to", "expected", "at line", "unknown variant", "Error("]
    {
        assert!(!answer.text.contains(foreign), "{what}: {}", answer.text);
    }
}

/// One change to a body: where, and what stands there then.
struct Change {
    pointer: String,
    value: Option<Value>,
}

/// Everything to be tried in the place of a value with this schema.
fn changes(schema: &'static Value, value: &Value, pointer: &str, into: &mut Vec<Change>) {
    let schema = resolve(schema);
    let mut add = |at: String, value: Option<Value>| into.push(Change { pointer: at, value });
    let mut choices = vec![schema];
    choices.extend(schema["oneOf"].as_array().into_iter().flatten().map(resolve));
    for choice in &choices {
        for edge in edges(choice) {
            add(pointer.to_owned(), Some(edge));
        }
        for (limit, step) in [("minimum", -1), ("maximum", 1)] {
            if let Some(limit) = choice[limit].as_i64() {
                add(pointer.to_owned(), Some(json!(limit + step)));
            }
        }
        if let Some(most) = choice["maxLength"].as_u64() {
            let long = "a".repeat(usize::try_from(most).unwrap() + 1);
            add(pointer.to_owned(), Some(json!(long)));
        }
    }
    let is_text = choices.iter().any(|choice| kinds(choice).contains(&"string"));
    let mut others = vec![json!("No such. word"), json!(1.5), json!([])];
    if is_text {
        // A whole number may stand for text in a configuration.
        others.extend(["", "a b ", "\u{e9}$", &"9".repeat(90)].map(Value::from));
        others.push(json!({ "x": 1 }));
    }
    if pointer.is_empty() {
        others.retain(Value::is_array);
    }
    // What a schema lets pass here may still be wrong for other reasons.
    others.retain(|other| fault(schema, other, pointer).is_some());
    for other in others {
        add(pointer.to_owned(), Some(other));
    }
    let closed = choices.iter().find(|choice| choice["additionalProperties"] == json!(false));
    let (Some(closed), Some(members)) = (closed, value.as_object()) else {
        if let (Some(first), true) = (value.get(0), schema["items"].is_object()) {
            changes(&schema["items"], first, &format!("{pointer}/0"), into);
        }
        return;
    };
    add(format!("{pointer}/nonsense"), Some(json!(1)));
    for name in members.keys() {
        add(format!("{pointer}/{name}"), None);
    }
    for (name, property) in closed["properties"].as_object().unwrap() {
        if property["readOnly"] != json!(true) {
            let inner = members.get(name).unwrap_or(&Value::Null);
            changes(property, inner, &format!("{pointer}/{name}"), into);
        }
    }
}

/// The outermost values a schema allows.
fn edges(schema: &'static Value) -> Vec<Value> {
    let mut edges: Vec<Value> = schema["enum"].as_array().cloned().unwrap_or_default();
    edges.extend(
        ["minimum", "maximum"].iter().filter_map(|limit| schema[*limit].as_i64()).map(Value::from),
    );
    if let Some(most) = schema["maxLength"].as_u64() {
        edges.push(json!("a".repeat(usize::try_from(most).unwrap())));
    }
    let kinds = kinds(schema);
    if kinds.contains(&"boolean") {
        edges.extend([json!(false), json!(true)]);
    }
    if kinds.contains(&"null") {
        edges.push(Value::Null);
    }
    edges
}

/// The body with one change made to it.
fn changed(body: &Value, change: &Change) -> Value {
    let mut body = body.clone();
    let Some((parent, name)) = change.pointer.rsplit_once('/') else {
        return change.value.clone().unwrap();
    };
    // What lies in something that the example has not is tried in an empty one.
    let mut place = &mut body;
    for step in parent.split('/').skip(1) {
        place = match place {
            Value::Array(items) => &mut items[step.parse::<usize>().unwrap()],
            other => &mut other[step],
        };
    }
    match (&change.value, place) {
        (Some(value), Value::Array(items)) => items[name.parse::<usize>().unwrap()] = value.clone(),
        (Some(value), place) => place[name] = value.clone(),
        (None, place) => {
            if let Some(members) = place.as_object_mut() {
                members.remove(name);
            }
        }
    }
    body
}

/// Codes of faults that a schema could have told before.
const OF_SCHEMA: [&str; 6] =
    ["invalid", "missing", "out_of_range", "too_long", "unknown_key", "wrong_type"];

/// Makes one of everything that is described, by the examples; the id of each.
async fn stage(world: &World) -> BTreeMap<String, String> {
    let call = record_call(world, |call| call.is_test = true).await;
    let mut ids = prepare(world, call).await;
    let mut makers: Vec<_> =
        operations().into_iter().filter(|(method, ..)| matches!(*method, "post" | "put")).collect();
    makers.sort_by_key(|(method, path, _)| order(method, path));
    for (method, path, operation) in makers {
        let example = &operation["requestBody"]["content"]["application/json"]["example"];
        if !example.is_null() {
            let method: Method = method.to_uppercase().parse().unwrap();
            let answer = world.local(Ask::new(method, fill(path, &ids)).json(example)).await;
            assert!(answer.status.is_success(), "{path}: {}", answer.text);
            if answer.status == StatusCode::CREATED && !path.ends_with("test-calls") {
                ids.insert(path.to_owned(), answer.id());
            }
        }
    }
    ids
}

#[tokio::test]
async fn bodies_are_taken_and_refused_as_their_schemas_say() {
    let world = World::new().await;
    let ids = stage(&world).await;
    let (mut tried, mut seen, mut wrong) = (0, BTreeSet::new(), Vec::new());
    let mut all = operations();
    // A flow that is changed has other destinations: these come first.
    all.sort_by_key(|(_, path, _)| std::cmp::Reverse(*path));
    for (method, path, operation) in all {
        let Some(content) = operation["requestBody"]["content"].as_object() else { continue };
        let (kind, content) = content.iter().next().unwrap();
        let is_patch = kind.contains("merge-patch");
        let mut all = Vec::new();
        changes(&content["schema"], &content["example"], "", &mut all);
        // What is read by the same code needs a sample only, another one for each operation.
        let document = content["schema"].to_string().replace("Patch", "");
        let (skip, step) = if seen.insert(document) { (0, 1) } else { (seen.len() % 4, 4) };
        for change in all.into_iter().skip(skip).step_by(step) {
            // A part of something is merged into what is there, which the schema cannot know.
            let is_inside = change.pointer.matches('/').count() > 1;
            if is_patch && (is_inside || change.value.is_none()) {
                continue;
            }
            let body = changed(&content["example"], &change);
            let ask = Ask::new(method.to_uppercase().parse().unwrap(), fill(path, &ids));
            let ask = ask.raw(body.to_string()).header("content-type", kind.as_str());
            let answer = world.local(ask).await;
            let what = format!("{method} {path} {body}");
            assert_described(operation, &answer, &what);
            tried += 1;
            let errors = answer.json["errors"].as_array().cloned().unwrap_or_default();
            // Of several keys, another one may be missed.
            let lacks = change.value.as_ref().is_none_or(Value::is_null);
            let parent = change.pointer.rsplit_once('/').map_or("", |(parent, _)| parent);
            let around = if lacks { parent } else { &change.pointer };
            let told = errors.iter().find(|error| {
                let pointer = error["pointer"].as_str().unwrap();
                pointer.starts_with(around)
            });
            if fault(&content["schema"], &body, "").is_none() {
                let is_of_schema = |error: &Value| {
                    let code = error["code"].as_str().unwrap();
                    // What a patch takes away may be the only one of several that was there.
                    let is_context = is_patch && code == "missing";
                    let is_here = error["pointer"] == json!(change.pointer);
                    is_here && !is_context && OF_SCHEMA.contains(&code)
                };
                if errors.iter().any(is_of_schema) {
                    wrong.push(format!("allowed and refused: {what}: {}", answer.text));
                }
            } else if told.is_none() {
                wrong.push(format!(
                    "forbidden at {} and taken: {what}: {}",
                    change.pointer, answer.text
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(tried > 800, "{tried}");
}

#[tokio::test]
async fn queries_are_taken_and_refused_as_their_schemas_say() {
    let world = World::new().await;
    let ids = stage(&world).await;
    let mut tried = 0;
    for (method, path, operation) in
        operations().into_iter().filter(|(method, ..)| *method == "get")
    {
        let at = fill(path, &ids);
        let ask = async |query: String| {
            let answer = world.local(Ask::get(format!("{at}{query}"))).await;
            assert_described(operation, &answer, &format!("{method} {at}{query}"));
            answer
        };
        let plain = ask(String::new()).await;
        ask("?nonsense=1".to_owned()).await.assert_problem(400, "invalid_query");
        let parameters = operation["parameters"].as_array().into_iter().flatten();
        for parameter in parameters.filter(|parameter| parameter["in"] == "query") {
            let (name, schema) = (parameter["name"].as_str().unwrap(), &parameter["schema"]);
            for edge in edges(schema).iter().filter(|edge| !edge.is_null()) {
                let edge = edge.as_str().map_or_else(|| edge.to_string(), str::to_owned);
                let answer = ask(format!("?{name}={edge}")).await;
                assert_eq!(answer.status, plain.status, "{at} {name}={edge}: {}", answer.text);
                tried += 1;
            }
            let has_shape = ["enum", "format", "pattern"].iter().any(|key| !schema[*key].is_null());
            let is_text = kinds(schema).contains(&"string");
            let mut beyond = vec!["nonsense".to_owned(), "-1".to_owned()];
            beyond.extend(schema["maximum"].as_i64().map(|most| (most + 1).to_string()));
            beyond.extend(schema["minimum"].as_i64().map(|least| (least - 1).to_string()));
            for bad in beyond {
                let fits = !schema["pattern"].is_null() && fault(schema, &json!(bad), "").is_none();
                if (is_text && !has_shape) || fits {
                    continue;
                }
                let answer = ask(format!("?{name}={bad}")).await;
                answer.assert_problem(400, "invalid_query");
                assert_eq!(answer.faults()[0].0, format!("?{name}"), "{at} {bad}");
                tried += 1;
            }
        }
    }
    assert!(tried > 100, "{tried}");
}

#[tokio::test]
async fn an_operation_needs_the_scopes_it_names_and_no_other() {
    let world = World::new().await;
    let call = record_call(&world, |call| call.is_test = true).await;
    world.node.live.lock().unwrap().insert((DEFAULT_ACCOUNT, call));
    for (method, path, operation) in operations() {
        if !path.starts_with("/v1/") {
            assert!(operation["security"].is_null(), "{method} {path}");
            continue;
        }
        let mut at = path.replace("{name}", "nobody");
        let prefixes = KINDS.iter().map(|kind| (kind.section.replace('_', "-"), kind.prefix));
        let others = [("numbers", "num"), ("keys", "key")];
        let prefixes = prefixes.chain(others.map(|(kind, prefix)| (kind.to_owned(), prefix)));
        for (kind, prefix) in prefixes {
            let id = format!("{prefix}_00000000000000000000000001");
            at = at.replace(&format!("{kind}/{{id}}"), &format!("{kind}/{id}"));
        }
        at = at.replace("calls/{id}", &format!("calls/{call}")).replace("{version}", "77");
        at = at.replace("{destination_id}", "dst_00000000000000000000000001");
        let ask = |key: &str| {
            let ask = Ask::new(method.to_uppercase().parse().unwrap(), &at).bearer(key);
            if operation["requestBody"].is_null() { ask } else { ask.json(&json!({})) }
        };
        let needed: Vec<&str> = operation["security"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|either| either["bearer"].get(0)?.as_str())
            .collect();
        let answer = world.keyed(Ask { headers: Vec::new(), ..ask("") }).await;
        answer.assert_problem(401, "key_missing");
        assert_described(operation, &answer, path);
        let bare = world.keyed(ask(&world.key(&[]).await)).await;
        assert_described(operation, &bare, path);
        assert_eq!(
            bare.status == StatusCode::FORBIDDEN,
            !needed.is_empty(),
            "{method} {path}: {}",
            bare.text
        );
        for scope in Scope::VARIANTS {
            let answer = world.keyed(ask(&world.key(&[*scope]).await)).await;
            assert_described(operation, &answer, path);
            let name = scope.to_string();
            let may =
                needed.is_empty() || needed.contains(&name.as_str()) || *scope == Scope::Admin;
            let is_refused = answer.status == StatusCode::FORBIDDEN;
            assert_eq!(is_refused, !may, "{method} {path} with {name}: {}", answer.text);
        }
    }
}

#[tokio::test]
async fn what_has_not_changed_and_what_is_no_json_is_answered_as_described() {
    let world = World::new().await;
    let ids = stage(&world).await;
    for (method, path, operation) in operations() {
        let ask = Ask::new(method.to_uppercase().parse().unwrap(), fill(path, &ids));
        if method == "get" {
            let answer = world.local(ask.header("if-none-match", "*")).await;
            assert_described(operation, &answer, path);
            let is_described = !operation["responses"]["304"].is_null();
            assert_eq!(answer.status == StatusCode::NOT_MODIFIED, is_described, "{path}");
        } else if !operation["requestBody"].is_null() {
            let answer = world.local(ask.raw("name=x").header("content-type", "text/plain")).await;
            answer.assert_problem(415, "content_type");
            assert_described(operation, &answer, path);
        }
    }
}

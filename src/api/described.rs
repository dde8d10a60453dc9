//! Schemas of what describes itself: objects of every kind, destinations, numbers and the account.
//! What operations written by hand refer to has a type here that stands for its schema.

use std::borrow::Cow;

use serde_json::{Map, Value, json};
use utoipa::openapi::{ObjectBuilder, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::shapes::name_pattern;
use crate::model::id::{DestinationId, NumberId};
use crate::model::object::Shape as _;
use crate::model::objects::KINDS;
use crate::model::objects::account::AccountSettings;
use crate::model::objects::{destination, number};

macro_rules! stand_ins {
    ($($name:ident)*) => {$(
        /// Stands for the schema of this name.
        pub(super) enum $name {}

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                ObjectBuilder::new().into()
            }
        }

        impl ToSchema for $name {
            fn name() -> Cow<'static, str> {
                stringify!($name).into()
            }
        }
    )*};
}

stand_ins! {
    Account AccountDocument Destination DestinationDocument ForwardingFlow Number NumberDocument
    NumberImport
}

/// One page of a list.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes what Page::cut writes")]
pub(super) struct PageOf<T> {
    /// Newest first.
    data: Vec<T>,
    /// Send it as `cursor` for the next page; `null` on the last.
    next_cursor: Option<String>,
    has_more: bool,
}

/// All of them by name: what is sent, what is answered, and pages of it.
pub(super) fn schemas() -> Map<String, Value> {
    let mut schemas = Map::new();
    for kind in KINDS {
        let mut sent = kind.schema();
        sent["example"] = (kind.example)();
        add(&mut schemas, &kind.type_name(), sent, Some(kind.prefix));
    }
    let mut sent = destination::Destination::whole_schema();
    sent["example"] = destination::Destination::example();
    add(&mut schemas, "Destination", sent, Some(DestinationId::PREFIX));
    let mut sent = number::Number::whole_schema();
    sent["example"] = number::Number::example();
    add(&mut schemas, "Number", sent, Some(NumberId::PREFIX));
    let mut sent = AccountSettings::schema();
    sent["example"] = AccountSettings::example();
    add(&mut schemas, "Account", sent, None);
    schemas.insert("NumberImport".to_owned(), number_import());
    for schema in schemas.values_mut() {
        name_names(schema);
    }
    schemas
}

/// Adds what is sent, what is answered, and, of those that have ids, pages of it.
fn add(schemas: &mut Map<String, Value>, name: &str, mut sent: Value, prefix: Option<&str>) {
    let warnings = json!({
        "type": "array", "items": { "$ref": "#/components/schemas/FieldProblem" },
        "description": "In answers to a change: what is allowed and probably not meant.",
    });
    let mut answered = sent.clone();
    if let Some(answered) = answered.as_object_mut() {
        // What is answered was judged already.
        answered.retain(|rule, _| !["anyOf", "example", "oneOf"].contains(&rule.as_str()));
    }
    if let Some(prefix) = prefix {
        schemas.insert(format!("PageOf_{name}"), page_of(name));
        // Who sends back what he was answered may leave in it what is not his to change.
        sent["properties"]["id"]["readOnly"] = json!(true);
        let own = &mut answered["properties"]["id"];
        own["type"] = json!("string");
        own["example"] = json!(format!("{prefix}_01j3nnnyejx8kz0q4tt3b7m9ra"));
        match answered["required"].as_array_mut() {
            Some(required) => required.push(json!("id")),
            None => answered["required"] = json!(["id"]),
        }
    }
    answered["properties"]["warnings"] = warnings.clone();
    sent["properties"]["warnings"] = warnings;
    sent["properties"]["warnings"]["readOnly"] = json!(true);
    schemas.insert(format!("{name}Document"), sent);
    schemas.insert(name.to_owned(), answered);
}

fn page_of(name: &str) -> Value {
    json!({
        "type": "object", "additionalProperties": false, "required": ["data", "has_more"],
        "description": "One page of a list.",
        "properties": {
            "data": {
                "type": "array", "items": { "$ref": format!("#/components/schemas/{name}") },
                "description": "Newest first.",
            },
            "next_cursor": {
                "type": ["string", "null"],
                "description": "Send it as `cursor` for the next page; `null` on the last.",
            },
            "has_more": { "type": "boolean" },
        },
    })
}

/// Numbers one by one, or all of a range.
fn number_import() -> Value {
    let mut one = number::Number::whole_schema();
    let mut range = one.clone();
    let did = one["properties"]["did"].clone();
    for schema in [&mut one, &mut range] {
        if let Some(properties) = schema["properties"].as_object_mut() {
            properties.remove("id");
        }
    }
    if let Some(properties) = range["properties"].as_object_mut() {
        properties.remove("did");
        for (key, about) in [("from", "The first number."), ("to", "The last number.")] {
            let mut end = did.clone();
            end["description"] = json!(about);
            properties.insert(key.to_owned(), end);
        }
    }
    range["required"] = json!(["from", "to"]);
    range["description"] =
        json!("All numbers from the first to the last, which are as long and begin alike.");
    let numbers = json!({ "type": "array", "items": { "oneOf": [one, range.clone()] } });
    json!({
        "description": "Numbers one by one, or all of a range.",
        "oneOf": [
            {
                "type": "object", "additionalProperties": false, "required": ["numbers"],
                "properties": { "numbers": numbers },
            },
            range,
        ],
    })
}

/// Puts the pattern of names where one is wanted.
fn name_names(schema: &mut Value) {
    match schema {
        Value::Array(items) => items.iter_mut().for_each(name_names),
        Value::Object(members) => {
            if members.get("format").is_some_and(|format| format == "name") {
                members.remove("format");
                members.insert("pattern".to_owned(), json!(name_pattern()));
            }
            members.values_mut().for_each(name_names);
        }
        _ => {}
    }
}

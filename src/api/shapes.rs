//! What the description says of bodies that are no objects beyond what types can tell: the shape of
//! every text, the most of every number, and that what is not described is refused.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

const NUMBER: &str = "^[A-Za-z0-9_.*#+-]{1,50}$";
/// What nobody sees, of the characters beyond Latin 1: inside the brackets of a class.
const UNSEEN: &str = "\\u034F\\u0600-\\u0605\\u061C\\u06DD\\u070F\\u0890\\u0891\\u08E2\\u115F\\u1160\\u1680\\u17B4\\u17B5\
    \\u180B-\\u180F\\u2000-\\u200F\\u2028-\\u202F\\u205F-\\u206F\\u2800\\u3000\\u3164\\uE000-\\uF8FF\
    \\uFE00-\\uFE0F\\uFEFF\\uFFA0\\uFFF9-\\uFFFB\\uFFFD-\\uFFFF";
/// One character that people see, with what is joined to it: a key cap, an emoji in colours or made of
/// several, letters of a script that joins them.
fn seen() -> String {
    let beyond = format!("[^\\u0000-\\u00A8\\u00AA-\\u00AD\\u00AF-\\u00FF{UNSEEN}]");
    format!(
        "(?:[#*0-9]\\uFE0F\\u20E3|[!-~\\u00A1-\\u00A8\\u00AA-\\u00AC\\u00AF-\\u00FF]|\
         {beyond}(?:\\uFE0F?[\\u200C\\u200D]{beyond})*\\uFE0F?)"
    )
}

/// A name: without a space at either end.
pub(super) fn name_pattern() -> String {
    let seen = seen();
    format!("^{seen}(?: *{seen})*$")
}

/// A text for people, or none.
fn text_pattern() -> String {
    format!("^(?: |{})*$", seen())
}

/// What holds for a property of this name wherever it stands in what is sent.
fn of_property(name: &str) -> Value {
    match name {
        "amount" => json!({ "pattern": r"^-?[0-9]{1,12}(\.[0-9]{1,6})?$" }),
        "at" | "expires_at" => json!({ "format": "date-time" }),
        "did" | "number" => json!({ "pattern": NUMBER }),
        "name" => json!({ "minLength": 1, "maxLength": 60, "pattern": name_pattern() }),
        "note" => json!({ "maxLength": 200, "pattern": text_pattern() }),
        _ => Value::Null,
    }
}

/// What holds for one property of one schema.
fn of_schemas() -> [(&'static str, &'static str, Value); 2] {
    [
        (
            "TestCaller",
            "number",
            json!({ "type": "string", "pattern": "^[A-Za-z0-9_.*#+-]{0,80}$" }),
        ),
        (
            "TestCaller",
            "name",
            json!({ "type": "string", "minLength": 0, "maxLength": 80, "pattern": r"^([^$]|\$+[^$\[{])*\$*$" }),
        ),
    ]
}

/// Makes the description as strict as the server.
pub(super) fn tighten(document: &mut Value) {
    let sent = sent(document);
    let schemas = &mut document["components"]["schemas"];
    for name in &sent {
        for (property, schema) in properties(&mut schemas[name]) {
            extend(schema, of_property(property));
        }
    }
    for (schema, property, shape) in of_schemas() {
        extend(&mut schemas[schema]["properties"][property], shape);
    }
    for name in &sent {
        let required = schemas[name]["required"].clone();
        for (property, schema) in properties(&mut schemas[name]) {
            // What is left out may be null as well.
            if !required.as_array().is_some_and(|names| names.iter().any(|one| one == property)) {
                allow_null(schema);
            }
        }
    }
    let loose = schemas.clone();
    close(schemas, &loose);
}

/// The operations of a document: path, method, operation.
pub(super) fn operations(document: &Value) -> impl Iterator<Item = (&str, &str, &Value)> {
    let paths = document["paths"].as_object().into_iter().flatten();
    paths.flat_map(|(path, item)| {
        let item = item.as_object().into_iter().flatten();
        item.map(move |(method, operation)| (path.as_str(), method.as_str(), operation))
    })
}

/// The schemas that bodies of requests are made of.
fn sent(document: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut open = Vec::new();
    for (_, _, operation) in operations(document) {
        references(&operation["requestBody"], &mut open);
    }
    while let Some(name) = open.pop() {
        references(&document["components"]["schemas"][&name], &mut open);
        // A patch is made of its whole later.
        if !document["components"]["schemas"][&name].is_null() {
            found.insert(name);
        }
        open.retain(|name| !found.contains(name));
    }
    found
}

fn references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        Value::Object(fields) => {
            let name = fields.get("$ref").and_then(Value::as_str);
            found.extend(name.and_then(|name| name.rsplit('/').next()).map(str::to_owned));
            fields.values().for_each(|field| references(field, found));
        }
        _ => {}
    }
}

fn members(value: &mut Value) -> impl Iterator<Item = (&String, &mut Value)> {
    value.as_object_mut().into_iter().flatten()
}

/// None for what is no object: asking for them by index would put a `null` there.
fn properties(schema: &mut Value) -> impl Iterator<Item = (&String, &mut Value)> {
    schema.get_mut("properties").into_iter().flat_map(members)
}

fn extend(schema: &mut Value, shape: Value) {
    if let (Some(schema), Value::Object(shape)) = (schema.as_object_mut(), shape) {
        schema.extend(shape);
    }
}

/// Lets `null` stand for a value that is left out.
fn allow_null(schema: &mut Value) {
    let nothing = json!({ "type": "null" });
    if let Some(kinds) = schema["oneOf"].as_array_mut() {
        if !kinds.contains(&nothing) {
            kinds.push(nothing);
        }
        return;
    }
    if let Some(reference) = schema.as_object_mut().and_then(|schema| schema.remove("$ref")) {
        schema["oneOf"] = json!([nothing, { "$ref": reference }]);
    }
    if let Some(words) = schema["enum"].as_array_mut().filter(|words| !words.contains(&Value::Null))
    {
        words.push(Value::Null);
    }
    match schema["type"].take() {
        Value::String(kind) => schema["type"] = json!([kind, "null"]),
        Value::Array(mut kinds) => {
            if !kinds.contains(&json!("null")) {
                kinds.push(json!("null"));
            }
            schema["type"] = json!(kinds);
        }
        _ => {}
    }
    if let Some(schema) = schema.as_object_mut() {
        schema.retain(|_, value| !value.is_null());
    }
}

/// Makes one object of every schema that is made of several, and says of each that it has no other
/// members than those described.
fn close(node: &mut Value, schemas: &Value) {
    if let Some(items) = node.as_array_mut() {
        for item in items {
            close(item, schemas);
        }
    }
    let mut whole = Map::new();
    flatten(node, schemas, &mut whole);
    let Some(schema) = node.as_object_mut() else { return };
    if !whole.is_empty() {
        schema.remove("allOf");
        schema.extend(whole);
    }
    if schema.get("properties").is_some_and(Value::is_object) {
        schema.entry("additionalProperties").or_insert(json!(false));
    }
    let inner =
        schema.iter_mut().filter(|(name, _)| !matches!(name.as_str(), "default" | "example"));
    inner.for_each(|(_, inner)| close(inner, schemas));
}

/// Puts the members of all parts of a schema into one object, which alone can be closed.
fn flatten(schema: &Value, schemas: &Value, whole: &mut Map<String, Value>) {
    let Some(parts) = schema["allOf"].as_array() else { return };
    for part in parts {
        let part = match part["$ref"].as_str().and_then(|name| name.rsplit('/').next()) {
            Some(name) => &schemas[name],
            None => part,
        };
        let mut inner = Map::new();
        flatten(part, schemas, &mut inner);
        inner.extend(part.as_object().cloned().unwrap_or_default());
        inner.remove("allOf");
        for (name, value) in inner {
            match (whole.get_mut(&name), value) {
                (Some(Value::Object(old)), Value::Object(new)) => old.extend(new),
                (Some(Value::Array(old)), Value::Array(new)) => {
                    old.extend(new.into_iter().filter(Value::is_string));
                }
                (Some(_), _) if name == "description" => {}
                (_, value) => {
                    whole.insert(name, value);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use regex::Regex;

    use super::*;
    use crate::model::text::unseen;

    #[test]
    fn the_description_takes_the_names_that_the_server_takes() {
        let (name, text) =
            (Regex::new(&name_pattern()).unwrap(), Regex::new(&text_pattern()).unwrap());
        let good = [
            "a",
            "a b",
            "a  b",
            "Zoë",
            "½",
            "e\u{301}",
            "東京",
            "مرحبا",
            "☎ 🙂",
            "❤\u{fe0f}",
            "©\u{fe0f} a",
            "1\u{fe0f}\u{20e3}",
            "❤\u{fe0f}\u{200d}🔥",
            "👩\u{200d}👩\u{200d}👧",
            "می\u{200c}خواهم",
        ];
        for good in good {
            assert_eq!(unseen(good), None, "{good:?}");
            assert!(name.is_match(good) && text.is_match(good), "{good:?}");
            for spaced in [format!(" {good}"), format!("{good} ")] {
                assert!(!name.is_match(&spaced) && text.is_match(&spaced), "{spaced:?}");
            }
        }
        assert!(!name.is_match("") && text.is_match(""));
        // Every character of the first plane, between two that are joined by nothing.
        for c in (0..=0xffff).filter_map(char::from_u32) {
            let between = format!("a{c}b");
            if unseen(&between).is_some() && !is_unassigned(c) {
                assert!(
                    !name.is_match(&between) && !text.is_match(&between),
                    "U+{:04X}",
                    u32::from(c)
                );
            } else if unseen(&between).is_none() {
                assert!(text.is_match(&between), "U+{:04X}", u32::from(c));
            }
        }
    }

    /// What Unicode may give a meaning later is not in the description.
    fn is_unassigned(c: char) -> bool {
        use unicode_properties::{GeneralCategory, UnicodeGeneralCategory as _};
        c.general_category() == GeneralCategory::Unassigned
    }
}

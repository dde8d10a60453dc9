//! Fields of objects as they are typed and shown: `max_live=30`, one line for each, tables.
//!
//! Which fields there are comes from the description of a kind, never from here.

use serde_json::{Map, Value, json};

use super::Failure;
use super::terminal::{Column, Style, Terminal, plain, table, width_of};
use crate::model::object::Field;
use crate::yaml;

/// `FIELD=VALUE`, split where the value begins.
#[derive(Clone, Debug)]
pub struct Assignment {
    /// More than one for a field inside another: `rate.calls`.
    path: Vec<String>,
    typed: String,
}

impl std::str::FromStr for Assignment {
    type Err = String;

    fn from_str(typed: &str) -> Result<Self, String> {
        let split = typed.split_once('=').filter(|(field, _)| {
            field.split('.').all(|part| !part.is_empty() && !part.contains(char::is_whitespace))
        });
        let Some((field, value)) = split else {
            return Err("type FIELD=VALUE, as max_live=30".to_owned());
        };
        Ok(Self { path: field.split('.').map(str::to_owned).collect(), typed: value.to_owned() })
    }
}

impl Assignment {
    fn value(&self, fields: &[Field]) -> Result<Value, Failure> {
        let typed = self.typed.trim();
        if typed.is_empty() || typed == "null" {
            return Ok(Value::Null);
        }
        let field = fields.iter().find(|field| self.path == [field.name]);
        let is_text = field.is_some_and(|field| (field.schema)()["type"] == "string");
        // A name may have a colon or be a number, and is not to be quoted twice: for the shell and
        // for us.
        if is_text && !typed.starts_with(['"', '\'', '[', '{']) {
            return Ok(self.typed.clone().into());
        }
        // A list of words is typed as one would say it: tags=east,gold.
        let is_list = field.is_some_and(|field| is_list_of_text(&(field.schema)()));
        if is_list && !typed.starts_with(['"', '\'', '[', '{']) {
            return Ok(typed.split(',').map(str::trim).collect());
        }
        let name = self.path.join(".");
        let wrong = |message: &str, hint: &str| {
            let help = if hint.is_empty() { String::new() } else { format!("\n  = help: {hint}") };
            Failure::Input(format!("{name}: {}{help}", plain(message)))
        };
        match yaml::read(typed) {
            Ok(read) => match read.problems.first() {
                None => Ok(read.value),
                Some(problem) => Err(wrong(&problem.message, &problem.hint)),
            },
            Err(problem) => Err(wrong(&problem.message, &problem.hint)),
        }
    }
}

/// `["east", "gold"]`, but not holidays, which may be more than a text.
fn is_list_of_text(schema: &Value) -> bool {
    schema["type"] == "array" && schema["items"]["type"] == "string"
}

/// What was typed as one document: for a new object as it is, for one that exists as a merge patch.
///
/// # Errors
/// [`Failure::Input`] for a value that cannot be read, and for a field that is typed twice.
pub fn document(typed: &[Assignment], fields: &[Field]) -> Result<Map<String, Value>, Failure> {
    let mut document = json!({});
    for assignment in typed {
        let twice = || {
            let name = assignment.path.join(".");
            Failure::Input(format!("{name} is set twice\n  = help: keep one of the two"))
        };
        let value = assignment.value(fields)?;
        let mut at = &mut document;
        for (nth, key) in assignment.path.iter().enumerate() {
            let Some(object) = at.as_object_mut() else {
                return Err(twice());
            };
            let is_last = nth + 1 == assignment.path.len();
            if is_last && object.contains_key(key) {
                return Err(twice());
            }
            at = object.entry(key).or_insert_with(|| json!({}));
        }
        *at = value;
    }
    match document {
        Value::Object(document) => Ok(document),
        _ => Ok(Map::new()),
    }
}

/// A value as one may type it behind `FIELD=`, text at its outside without quotes.
#[must_use]
pub fn shown(value: &Value) -> String {
    match value {
        Value::Array(items) => items.iter().map(inner).collect::<Vec<_>>().join(", "),
        Value::String(text) if text.is_empty() => "\"\"".to_owned(),
        Value::String(text) => plain(text),
        other => inner(other),
    }
}

/// A value on one line, inside another (YAML 1.2.2 §7.4).
#[must_use]
pub fn inner(value: &Value) -> String {
    match value {
        Value::Array(items) => {
            format!("[{}]", items.iter().map(inner).collect::<Vec<_>>().join(", "))
        }
        Value::Object(object) => {
            let one = |(key, value): (&String, &Value)| format!("{key}: {}", inner(value));
            format!("{{{}}}", object.iter().map(one).collect::<Vec<_>>().join(", "))
        }
        Value::String(text) => {
            let text = plain(text);
            let written = yaml::write(&Value::String(text.clone()));
            let written = written.trim_end();
            // Only inside brackets do these end a word.
            if written.starts_with(['"', '\'']) || !text.contains([',', '[', ']', '{', '}']) {
                written.to_owned()
            } else {
                Value::String(text).to_string()
            }
        }
        other => other.to_string(),
    }
}

/// What a field is that an answer leaves out.
fn value_of<'v>(field: &'v Field, object: &'v Value) -> Option<(&'v Value, bool)> {
    let said = object.get(field.name).filter(|value| !value.is_null());
    let default = field.default.as_ref();
    said.map(|value| (value, default == Some(value))).or(default.map(|value| (value, true)))
}

/// Every field with its value, one a line; those of `elsewhere` have a table of their own below.
#[must_use]
pub fn show(
    fields: &[Field],
    object: &Value,
    notes: &[(&str, String)],
    elsewhere: &[&str],
    terminal: Terminal,
) -> String {
    let row = |field: &Field| {
        let note = notes.iter().find(|(name, _)| *name == field.name).map(|(_, note)| note);
        let (style, text) = match value_of(field, object) {
            None => (Style::Dim, "-".to_owned()),
            Some((Value::Array(items), _)) if items.is_empty() => (Style::Dim, "-".to_owned()),
            Some((value, _)) if elsewhere.contains(&field.name) => {
                (Style::Plain, value.as_array().map_or(0, Vec::len).to_string())
            }
            Some((value, true)) => (Style::Dim, format!("{} (default)", shown(value))),
            Some((value, false)) => (Style::Plain, shown(value)),
        };
        let text = note.map_or_else(|| text.clone(), |note| format!("{text} · {note}"));
        vec![(Style::Name, field.name.to_owned()), (style, text)]
    };
    let mut rows: Vec<_> = fields.iter().map(row).collect();
    // A newer server may tell more.
    let known = |key: &&String| !fields.iter().any(|field| field.name == **key);
    let more = object.as_object().into_iter().flatten().filter(|(key, _)| known(key));
    rows.extend(
        more.map(|(key, value)| vec![(Style::Name, plain(key)), (Style::Plain, shown(value))]),
    );
    let of_none = notes.iter().filter(|(name, _)| !fields.iter().any(|it| it.name == *name));
    rows.extend(
        of_none.map(|(name, note)| {
            vec![(Style::Name, (*name).to_owned()), (Style::Plain, note.clone())]
        }),
    );
    table(terminal, &[Column::Whole("FIELD"), Column::Words("VALUE")], &rows)
}

/// A column of a list beside those of the fields.
pub struct Extra {
    pub head: &'static str,
    /// One a row.
    pub cells: Vec<(Style, String)>,
}

/// A table of many: names first, then the fields of which one has a value, ids last. Where there is no
/// room for all, those are left out of which each has its default.
#[must_use]
pub fn list(fields: &[Field], objects: &[Value], extras: &[Extra], terminal: Terminal) -> String {
    let told = |also_defaults: bool| -> Vec<&Field> {
        let tells = |field: &&Field| {
            let value = |object: &Value| value_of(field, object).map(|(_, is_default)| is_default);
            !matches!(field.name, "id" | "name")
                && objects.iter().filter_map(value).any(|default| also_defaults || !default)
        };
        fields.iter().filter(tells).collect()
    };
    let all = told(true);
    let widest = table_of(&all, objects, extras, Terminal { width: usize::MAX, colour: false });
    // Ids are whole in it, which they need not be.
    let room = terminal.width.saturating_add(20);
    let has_room = widest.lines().all(|line| width_of(line) <= room);
    table_of(&if has_room { all } else { told(false) }, objects, extras, terminal)
}

fn table_of(told: &[&Field], objects: &[Value], extras: &[Extra], terminal: Terminal) -> String {
    let heads: Vec<String> = told.iter().map(|field| head(field.name)).collect();
    let mut columns = vec![Column::Name("NAME")];
    columns.extend(extras.iter().map(|extra| Column::Whole(extra.head)));
    columns.extend(told.iter().zip(&heads).map(|(field, head)| {
        match (field.schema)()["type"].as_str() {
            Some("integer" | "boolean" | "array") => Column::Whole(head),
            _ => Column::Name(head),
        }
    }));
    columns.push(Column::Id("ID"));
    let text = |object: &Value, key: &str| plain(object[key].as_str().unwrap_or_default());
    let row = |(nth, object): (usize, &Value)| {
        let mut cells = vec![(Style::Name, text(object, "name"))];
        cells.extend(extras.iter().map(|extra| extra.cells.get(nth).cloned().unwrap_or_default()));
        cells.extend(told.iter().map(|field| match value_of(field, object) {
            None => (Style::Dim, "-".to_owned()),
            Some((value, is_default)) => {
                let style = if is_default { Style::Dim } else { Style::Plain };
                (style, cell(value))
            }
        }));
        cells.push((Style::Dim, text(object, "id")));
        cells
    };
    let rows: Vec<_> = objects.iter().enumerate().map(row).collect();
    table(terminal, &columns, &rows)
}

fn head(name: &str) -> String {
    name.to_uppercase().replace('_', " ")
}

/// In a list: how many of many.
fn cell(value: &Value) -> String {
    match value {
        Value::Array(items) => items.len().to_string(),
        // There is little room: `mon-fri: 08:00-18:00, sat: …`
        Value::Object(_) => shown(value).trim_matches(['{', '}']).replace('"', ""),
        Value::Bool(yes) => if *yes { "yes" } else { "no" }.to_owned(),
        other => shown(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::objects::KINDS;

    fn read(typed: &[&str]) -> Result<Value, String> {
        let trunks = KINDS.iter().find(|kind| kind.section == "trunks").unwrap();
        let typed: Result<Vec<Assignment>, String> =
            typed.iter().map(|typed| typed.parse()).collect();
        let read = document(&typed?, &(trunks.fields)()).map_err(|failure| failure.to_string());
        read.map(Value::Object)
    }

    #[test]
    fn a_field_is_typed_as_in_a_document() {
        for (typed, wanted) in [
            (&["max_live=30"][..], json!({ "max_live": 30 })),
            (&["max_live="], json!({ "max_live": null })),
            (&["rate_deck=null"], json!({ "rate_deck": null })),
            (&["carries_toll_free=true"], json!({ "carries_toll_free": true })),
            // Text is text, whatever it looks like.
            (&["name=100"], json!({ "name": "100" })),
            (&["name=a: b #c"], json!({ "name": "a: b #c" })),
            (&["name=a=b"], json!({ "name": "a=b" })),
            (&["name=\"null\""], json!({ "name": "null" })),
            // What is no field is told by the server, which knows all of them.
            (&["dids=[\"+1202\", 007]"], json!({ "dids": ["+1202", "007"] })),
            (
                &["rate.calls=5", "rate.per=second"],
                json!({ "rate": { "calls": 5, "per": "second" } }),
            ),
        ] {
            assert_eq!(read(typed), Ok(wanted), "{typed:?}");
        }
        for (typed, told) in [
            (&["max_live"][..], "type FIELD=VALUE"),
            (&["=5"], "type FIELD=VALUE"),
            (&["rate..calls=5"], "type FIELD=VALUE"),
            (&["a=1", "a=2"], "a is set twice"),
            (&["rate=5", "rate.calls=2"], "rate.calls is set twice"),
            (&["rate.calls=2", "rate={}"], "rate is set twice"),
            (&["rate={calls: 5"], "rate: "),
        ] {
            let error = read(typed).unwrap_err();
            assert!(error.contains(told), "{typed:?}: {error}");
        }
    }

    #[test]
    fn hours_in_a_list_are_told_without_what_only_a_parser_needs() {
        let hours = json!({ "mon-fri": "08:00-18:00", "sat": "09:00-12:00" });
        assert_eq!(cell(&hours), "mon-fri: 08:00-18:00, sat: 09:00-12:00");
    }

    #[test]
    fn a_list_of_words_is_typed_with_commas() {
        let flows = KINDS.iter().find(|kind| kind.section == "forwarding_flows").unwrap();
        for (typed, wanted) in [
            ("tags=east", json!({ "tags": ["east"] })),
            ("tags=east, gold", json!({ "tags": ["east", "gold"] })),
            ("dids=+12025550100,007", json!({ "dids": ["+12025550100", "007"] })),
            ("dids=[\"+1\", 2]", json!({ "dids": ["+1", 2] })),
        ] {
            let read = document(&[typed.parse().unwrap()], &(flows.fields)()).unwrap();
            assert_eq!(Value::Object(read), wanted, "{typed}");
        }
    }

    #[test]
    fn a_list_without_room_leaves_out_what_is_all_default() {
        let decks = KINDS.iter().find(|kind| kind.section == "rate_decks").unwrap();
        let deck = |name: &str| json!({ "id": "rtd_01jd3nnnyejx", "name": name, "decimals": 2 });
        let told = |name: &str| {
            let pipe = Terminal { colour: false, width: 80 };
            let text = list(&(decks.fields)(), &[deck(name)], &[], pipe);
            text.lines().next().unwrap().to_owned()
        };
        assert_eq!(told("a"), "NAME  BILLS RING TIME  ROUNDING  DECIMALS  ID");
        assert!(told(&"a".repeat(60)).split_whitespace().eq(["NAME", "DECIMALS", "ID"]));
    }

    #[test]
    fn what_is_shown_can_be_typed_again() {
        let value = json!({ "a": ["x, y", "+1", "true", ""], "b": { "c": 5, "d": "mon-fri: 1" } });
        assert_eq!(yaml::read(&inner(&value)).unwrap().value, value, "{}", inner(&value));
    }
}

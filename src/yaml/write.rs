//! The other direction: a value as a YAML text, in blocks, as people write it.
//!
//! Only what cannot be taken for anything else is left without quotes, by readers of YAML 1.1 too.

use std::fmt::Write as _;

use serde_json::{Map, Value};

/// The text of a value that is not within another. What has a name begins with it.
#[must_use]
pub fn write(value: &Value) -> String {
    let mut text = String::new();
    block(value, 0, &mut text);
    text
}

/// The value on lines of its own, the first of which has begun if there is any indentation.
fn block(value: &Value, indent: usize, text: &mut String) {
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (nth, (key, value)) in in_order(members).into_iter().enumerate() {
                begin(nth, indent, text);
                let _ = write!(text, "{}:", scalar(key));
                // A list may stand as far left as its key.
                let deeper = if value.is_array() { indent } else { indent + 2 };
                inner(value, deeper, text);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for (nth, item) in items.iter().enumerate() {
                begin(nth, indent, text);
                text.push_str("- ");
                block(item, indent + 2, text);
            }
        }
        _ => {
            let _ = writeln!(text, "{}", leaf(value));
        }
    }
}

/// What stands behind a key.
fn inner(value: &Value, indent: usize, text: &mut String) {
    let is_block = value.as_object().is_some_and(|members| !members.is_empty())
        || value.as_array().is_some_and(|items| !items.is_empty());
    if is_block {
        let _ = write!(text, "\n{:indent$}", "");
        block(value, indent, text);
    } else {
        let _ = writeln!(text, " {}", leaf(value));
    }
}

/// Every line but the first has to be indented here.
fn begin(nth: usize, indent: usize, text: &mut String) {
    if nth > 0 {
        let _ = write!(text, "{:indent$}", "");
    }
}

fn in_order(members: &Map<String, Value>) -> Vec<(&String, &Value)> {
    let mut members: Vec<_> = members.iter().collect();
    members.sort_by_key(|(key, _)| match key.as_str() {
        "name" => 0,
        "id" => 1,
        _ => 2,
    });
    members
}

fn leaf(value: &Value) -> String {
    match value {
        Value::String(text) => scalar(text),
        // Empty lists and objects too: JSON is YAML.
        other => other.to_string(),
    }
}

fn scalar(text: &str) -> String {
    let is_word = |word: &str| {
        !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-./".contains(&b))
    };
    let is_plain = text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.split(' ').all(is_word)
        && !MEANINGFUL.iter().any(|word| text.eq_ignore_ascii_case(word));
    if is_plain {
        return text.to_owned();
    }
    let mut quoted = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            '\u{2028}' | '\u{2029}' | '\u{feff}' => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(letter));
            }
            _ if letter.is_control() => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(letter));
            }
            _ => quoted.push(letter),
        }
    }
    quoted + "\""
}

/// Words that are no text, in one version of YAML or another.
const MEANINGFUL: [&str; 9] = ["false", "n", "no", "null", "off", "on", "true", "y", "yes"];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn blocks_are_indented_and_a_name_comes_first() {
        let value = json!({
            "caps": [],
            "flows": [
                { "dids": ["100", "TF-1"], "id": "flw_1", "name": "solar east", "rate": { "calls": 5 } },
                { "name": "on", "none": {}, "open": [["a"], []] },
            ],
            "prepaid": true,
            "zone": "Europe/Berlin",
        });
        let text = "\
caps: []
flows:
- name: solar east
  id: flw_1
  dids:
  - \"100\"
  - TF-1
  rate:
    calls: 5
- name: \"on\"
  none: {}
  open:
  - - a
  - []
prepaid: true
zone: Europe/Berlin
";
        assert_eq!(write(&value), text);
        assert_eq!(crate::yaml::read(text).unwrap().value, value);
    }

    #[test]
    fn any_text_is_read_as_it_was() {
        for text in [
            "",
            " ",
            "a b",
            "a  b",
            "a ",
            "-",
            "- a",
            "0800",
            "1e5",
            "~",
            "null",
            "Yes",
            "a: b",
            "a #b",
            "\"q\" 'q'",
            "back\\slash",
            "two\nlines",
            "tab\t",
            "\u{7f}\u{85}\u{2028}\u{feff}",
            "Zoë 😀",
            "{a}",
            "[a]",
            "*a",
            "&a",
            "!a",
            "%a",
            "@a",
            "a,b",
            "2026-12-25",
            "12:30",
            ".5",
            "=",
        ] {
            let value = json!({ "k": text, "l": [text], text: 1 });
            assert_eq!(crate::yaml::read(&write(&value)).unwrap().value, value, "{text:?}");
        }
    }
}

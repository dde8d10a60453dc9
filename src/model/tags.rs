//! Tags: words by which numbers and flows are found together.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde_json::{Value, json};

use super::object::{Names, Reader, Shape, texts};

/// 1 to 30 small letters, digits and `-`.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Tag(String);

impl Tag {
    const MAX: usize = 30;

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Tag {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_letter = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-';
        if (1..=Self::MAX).contains(&text.len()) && text.bytes().all(is_letter) {
            Ok(Self(text.to_owned()))
        } else {
            Err("type 1 to 30 small letters, digits and -")
        }
    }
}

texts! {
    Tag "a tag" "^[a-z0-9-]{1,30}$";
}

/// Up to 20 tags, in the order of the alphabet.
pub struct Tags;

impl Tags {
    const MAX: usize = 20;
}

impl Shape for Tags {
    type Value = Vec<Tag>;

    /// One that stands twice stands once.
    fn read(value: &Value, pointer: &str, reader: &mut Reader<'_>) -> Option<Vec<Tag>> {
        let items = reader.items(value, pointer)?;
        if items.len() > Self::MAX {
            let message = format!("{} tags are too many", items.len());
            reader.fault(pointer, "out_of_range", message, "type at most 20");
            return None;
        }
        let tags = items.into_iter().filter_map(|(at, item)| Tag::read(item, &at, reader));
        Some(tags.collect::<BTreeSet<Tag>>().into_iter().collect())
    }

    fn write(value: &Vec<Tag>, _: &dyn Names) -> Value {
        if value.is_empty() {
            return Value::Null;
        }
        value.iter().map(|tag| json!(tag.as_str())).collect()
    }

    fn schema() -> Value {
        json!({ "type": "array", "maxItems": Self::MAX, "items": Tag::schema() })
    }

    fn absent() -> Option<Vec<Tag>> {
        Some(Vec::new())
    }
}

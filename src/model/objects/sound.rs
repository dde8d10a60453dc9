//! Sounds: what is played to callers, as a text to be spoken or as a file.

use std::fmt;
use std::str::FromStr;

use serde_json::{Map, Value, json};

use super::Rules;
use crate::model::id::SoundId;
use crate::model::object::{Field, Fields, Flat, Names, Record, Shape, object, texts};

object! {
    /// Something that is played to callers: exactly one of `text` and `file`.
    pub struct Sound(SoundId) {
        /// The language it is in, by its tag (BCP 47).
        language: Language = Language::default(),
        source: Flat<SoundSource>,
    }
}

/// What a sound is made of.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum SoundSource {
    /// A file among the sounds of Asterisk, as `Playback()` takes it.
    File(SoundFile),
    /// Words to be spoken.
    Text(SpokenText),
}

/// A language as `en`, `pt-BR` or `zh-Hant-TW`: a language and up to three further parts (RFC 5646
/// §2.1, without extensions).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Language(String);

/// The name of a sound file without its ending, as `custom/welcome`: 1 to 200 characters.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SoundFile(String);

/// Words for callers, 1 to 2000 characters.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SpokenText(String);

macro_rules! shown {
    ($($text:ident)*) => {$(
        impl $text {
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $text {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

shown! { Language SoundFile SpokenText }

impl Default for Language {
    fn default() -> Self {
        Self("en".to_owned())
    }
}

impl FromStr for Language {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.split('-');
        let first = parts.next().unwrap_or_default();
        let is_first = (2..=3).contains(&first.len())
            && first.bytes().all(|letter| letter.is_ascii_lowercase());
        let rest: Vec<&str> = parts.collect();
        let is_rest = rest.iter().all(|part| {
            (2..=8).contains(&part.len()) && part.bytes().all(|c| c.is_ascii_alphanumeric())
        });
        if is_first && is_rest && rest.len() <= 3 {
            Ok(Self(text.to_owned()))
        } else {
            Err("type a language as en, de or pt-BR")
        }
    }
}

impl FromStr for SoundFile {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_part = |part: &str| {
            !part.is_empty()
                && part.bytes().all(|c| c.is_ascii_alphanumeric() || b"_-".contains(&c))
        };
        if text.len() <= 200 && text.split('/').all(is_part) {
            Ok(Self(text.to_owned()))
        } else {
            Err("type the file's name in the sounds of Asterisk without its ending, as \
                 custom/welcome: letters, digits, _ and - only")
        }
    }
}

impl FromStr for SpokenText {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.trim().is_empty() || text.chars().count() > 2_000 {
            Err("type 1 to 2000 characters that can be spoken")
        } else {
            Ok(Self(text.to_owned()))
        }
    }
}

texts! {
    Language "a language" "^[a-z]{2,3}(-[A-Za-z0-9]{2,8}){0,3}$";
    SoundFile "a sound file" "^[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*$";
    SpokenText "a text that can be spoken" "\\S";
}

impl Record for SoundSource {
    fn fields() -> Vec<Field> {
        vec![
            Field::optional("text", "The words to be spoken, up to 2000 characters.", || {
                let mut schema = SpokenText::schema();
                schema["minLength"] = json!(1);
                schema["maxLength"] = json!(2_000);
                schema
            }),
            Field::optional(
                "file",
                "The name of a file among the sounds of Asterisk, without its ending.",
                || {
                    let mut schema = SoundFile::schema();
                    schema["maxLength"] = json!(200);
                    schema
                },
            ),
        ]
    }

    fn read_from(fields: &mut Fields<'_, '_, '_>) -> Option<Self> {
        let text = fields.read::<SpokenText>("text");
        let file = fields.read::<SoundFile>("file");
        match (fields.has("text"), fields.has("file")) {
            (true, true) => {
                let hint = "keep text if it shall be spoken, file if it is recorded";
                fields.wrong("file", "not_allowed", "text and file exclude each other", hint);
                None
            }
            (false, false) => {
                fields.missing("text", "type the words to be spoken, or file: and its name");
                None
            }
            _ => text.map(Self::Text).or(file.map(Self::File)),
        }
    }

    fn write_to(&self, object: &mut Map<String, Value>, _: &dyn Names) {
        let (key, value) = match self {
            Self::File(file) => ("file", file.as_str()),
            Self::Text(text) => ("text", text.as_str()),
        };
        object.insert(key.to_owned(), json!(value));
    }
}

impl Rules for Sound {
    fn example() -> Value {
        json!({ "name": "welcome", "language": "en", "text": "Welcome. Please hold the line." })
    }

    fn either() -> &'static [&'static [&'static str]] {
        &[&["text"], &["file"]]
    }
}

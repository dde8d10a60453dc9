//! How a kind of configuration describes itself, so that reading, writing, storing and showing it
//! need no other list of its fields.
//!
//! [`record!`] declares a struct, and with it everything there is to know of its keys. What stands
//! behind the name of a field is a [`Shape`]: how one value is read, written and described. A value
//! of several keys (`server` and `did`, or `trunk` and `number`) is a [`Record`] that is
//! [`Flat`] in the one around it. A kind of object is a record with an id and a name: [`Object`].

mod fields;
mod reader;
mod shapes;

use std::fmt::Debug;

use serde_json::{Map, Value};

use super::id::{Id, ObjectId};

pub use self::fields::{Fields, not_a, text};
pub use self::reader::{Entry, Reader, Roster, Source, Unnamed, peek_name};
pub use self::shapes::{
    Choice, Flat, Int, Limit, List, Name, OrDefault, OwnId, Ref, find, nullable, without_nulls,
};
pub(super) use self::shapes::{choices, texts};

/// One key of a mapping, for those who describe it: the API, help, forms.
#[derive(Clone)]
pub struct Field {
    pub name: &'static str,
    /// As it was written: lines that begin with a blank.
    doc: &'static str,
    pub schema: fn() -> Value,
    /// What it is when it is left out, where that is a value.
    pub default: Option<Value>,
    pub is_required: bool,
}

impl Field {
    /// One that must be there.
    #[must_use]
    pub fn required(name: &'static str, doc: &'static str, schema: fn() -> Value) -> Self {
        Self { name, doc, schema, default: None, is_required: true }
    }

    /// One that may be left out, which is no value.
    #[must_use]
    pub fn optional(name: &'static str, doc: &'static str, schema: fn() -> Value) -> Self {
        Self { is_required: false, ..Self::required(name, doc, schema) }
    }

    /// What it means, in one paragraph.
    #[must_use]
    pub fn doc(&self) -> String {
        paragraph(self.doc)
    }
}

/// The lines of a doc comment as one text.
#[must_use]
pub fn paragraph(doc: &str) -> String {
    doc.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

/// What a field was declared with.
pub struct Declared<V> {
    pub key: &'static str,
    pub doc: &'static str,
    pub default: Option<fn() -> V>,
    /// What to type where it is missing.
    pub hint: Option<&'static str>,
}

/// The value under one key: how it is read, written and described.
pub trait Shape {
    type Value: Clone + Debug + PartialEq;

    /// The value, or `None` after the reader was told what is wrong with it.
    fn read(value: &Value, pointer: &str, reader: &mut Reader<'_>) -> Option<Self::Value>;

    /// What [`Shape::read`] reads as this value; null to leave the key out.
    fn write(value: &Self::Value, names: &dyn Names) -> Value;

    /// A JSON Schema (draft 2020-12, as `OpenAPI` 3.1 has it) of what can be read.
    fn schema() -> Value;

    /// What it is when it is left out; `None` where it must be there.
    #[must_use]
    fn absent() -> Option<Self::Value> {
        None
    }

    /// What to type where it is missing.
    #[must_use]
    fn hint() -> String {
        "type a value".to_owned()
    }
}

/// The keys that a declared field stands for: its own with one [`Shape`], or those of a [`Flat`]
/// record.
pub trait Part {
    type Value: Clone + Debug + PartialEq;

    fn part_fields(declared: &Declared<Self::Value>) -> Vec<Field>;

    fn read_part(
        fields: &mut Fields<'_, '_, '_>,
        declared: &Declared<Self::Value>,
    ) -> Option<Self::Value>;

    fn write_part(
        value: &Self::Value,
        declared: &Declared<Self::Value>,
        object: &mut Map<String, Value>,
        names: &dyn Names,
    );
}

impl<S: Shape> Part for S {
    type Value = S::Value;

    fn part_fields(declared: &Declared<S::Value>) -> Vec<Field> {
        let absent = declared.default.map(|default| default());
        let absent = absent.or_else(S::absent);
        let default = absent.as_ref().map(|value| S::write(value, &Ids));
        vec![Field {
            name: declared.key,
            doc: declared.doc,
            schema: S::schema,
            default: default.filter(|value| !value.is_null()),
            is_required: absent.is_none(),
        }]
    }

    /// A value with a fault becomes what it is when it is left out, so that what stands beside it is
    /// judged as well. The fault says that none of it counts.
    fn read_part(
        fields: &mut Fields<'_, '_, '_>,
        declared: &Declared<S::Value>,
    ) -> Option<S::Value> {
        let absent = || declared.default.map(|default| default()).or_else(S::absent);
        let Some(value) = fields.value(declared.key) else {
            let absent = absent();
            if absent.is_none() {
                let hint = declared.hint.map_or_else(S::hint, str::to_owned);
                fields.missing(declared.key, hint);
            }
            return absent;
        };
        let pointer = fields.at(declared.key);
        S::read(value, &pointer, fields.reader).or_else(absent)
    }

    fn write_part(
        value: &S::Value,
        declared: &Declared<S::Value>,
        object: &mut Map<String, Value>,
        names: &dyn Names,
    ) {
        let value = S::write(value, names);
        if !value.is_null() {
            object.insert(declared.key.to_owned(), value);
        }
    }
}

/// A mapping whose keys are declared.
pub trait Record: Clone + Debug + PartialEq {
    /// In the order of their declaration.
    fn fields() -> Vec<Field>;

    /// The names of all of them, in the order of the alphabet.
    #[must_use]
    fn keys() -> Vec<&'static str> {
        let mut keys: Vec<_> = Self::fields().iter().map(|field| field.name).collect();
        keys.sort_unstable();
        keys
    }

    /// Every key is read, whatever is wrong with others.
    fn read_from(fields: &mut Fields<'_, '_, '_>) -> Option<Self>;

    fn write_to(&self, object: &mut Map<String, Value>, names: &dyn Names);

    /// The whole mapping; what is not set is left out.
    fn write_whole(&self, names: &dyn Names) -> Value {
        let mut object = Map::new();
        self.write_to(&mut object, names);
        Value::Object(object)
    }
}

/// A record that stands in a document under its own name.
pub trait Object: Record {
    type Id: Id;

    /// What it is, in a paragraph.
    const DOC: &'static str;

    fn id(&self) -> Self::Id;
    fn name(&self) -> &str;
}

/// How what is referred to is written: by name in a document, by id in a row.
pub trait Names {
    /// `None` to write the id.
    fn name(&self, id: ObjectId) -> Option<String>;

    /// Whether it goes into a row of the store, where what has rows of its own is left out.
    fn is_row(&self) -> bool {
        false
    }
}

/// Everything by its id.
pub struct Ids;

impl Names for Ids {
    fn name(&self, _: ObjectId) -> Option<String> {
        None
    }
}

/// As a schema, a mapping with these keys and no others.
#[must_use]
pub fn schema_of(fields: &[Field], doc: &str) -> Value {
    let mut properties = Map::new();
    for field in fields {
        let mut schema = (field.schema)();
        if !field.is_required {
            schema = nullable(schema);
        }
        let doc = field.doc();
        if !doc.is_empty() {
            schema["description"] = doc.into();
        }
        if let Some(default) = &field.default {
            schema["default"] = default.clone();
        }
        properties.insert(field.name.to_owned(), schema);
    }
    let required: Vec<&str> =
        fields.iter().filter(|field| field.is_required).map(|field| field.name).collect();
    let mut schema = serde_json::json!({
        "type": "object", "additionalProperties": false, "properties": properties,
    });
    if !required.is_empty() {
        schema["required"] = serde_json::json!(required);
    }
    if !doc.is_empty() {
        schema["description"] = paragraph(doc).into();
    }
    schema
}

/// Adds to the schema of a mapping that it has one of these sets of keys, with something under each.
#[must_use]
pub fn exactly_one(mut schema: Value, sets: &[&[&str]]) -> Value {
    if !sets.is_empty() {
        schema["oneOf"] = sets.iter().map(|keys| has(keys)).collect();
    }
    schema
}

/// Holds for a mapping that has these keys, and something under each.
#[must_use]
pub fn has(keys: &[&str]) -> Value {
    let text = |key: &&str| ((*key).to_owned(), serde_json::json!({ "type": "string" }));
    serde_json::json!({
        "required": keys, "properties": keys.iter().map(text).collect::<Map<_, _>>(),
    })
}

/// What a field was declared with, as [`Declared`].
macro_rules! declared {
    ($key:ident, [$($doc:literal)*], [$($default:expr)?], [$($hint:literal)?]) => {
        $crate::model::object::Declared {
            key: stringify!($key),
            doc: concat!($($doc, "\n",)* ""),
            default: $crate::model::object::declared!(@function $($default)?),
            hint: $crate::model::object::declared!(@option $($hint)?),
        }
    };
    (@function) => { None };
    (@function $default:expr) => {{
        let default: fn() -> _ = || $default;
        Some(default)
    }};
    (@option) => { None };
    (@option $hint:literal) => { Some($hint) };
}

/// Declares a struct and what there is to know of its keys: `name: Shape`, `= default` where leaving
/// it out means a value, `=> "what to type"` where it is missing. The struct holds the values of the
/// shapes.
macro_rules! record {
    (
        $(#[doc = $record_doc:literal])*
        $(#[derive($($derive:ident),*)])?
        pub struct $record:ident {$(
            $(#[doc = $doc:literal])*
            $key:ident: $shape:ty $(= $default:expr)? $(=> $hint:literal)?,
        )*}
    ) => {
        $(#[doc = $record_doc])*
        #[derive(Clone, Debug, Eq, PartialEq $($(, $derive)*)?)]
        pub struct $record {$(
            $(#[doc = $doc])*
            pub $key: <$shape as $crate::model::object::Part>::Value,
        )*}

        impl $crate::model::object::Record for $record {
            fn fields() -> Vec<$crate::model::object::Field> {
                let mut fields = Vec::new();
                $(fields.extend(<$shape as $crate::model::object::Part>::part_fields(
                    &$crate::model::object::declared!($key, [$($doc)*], [$($default)?], [$($hint)?]),
                ));)*
                fields
            }

            fn read_from(fields: &mut $crate::model::object::Fields<'_, '_, '_>) -> Option<Self> {
                $(let $key = <$shape as $crate::model::object::Part>::read_part(
                    fields,
                    &$crate::model::object::declared!($key, [$($doc)*], [$($default)?], [$($hint)?]),
                );)*
                Some(Self { $($key: $key?,)* })
            }

            fn write_to(
                &self,
                object: &mut serde_json::Map<String, serde_json::Value>,
                names: &dyn $crate::model::object::Names,
            ) {
                $(<$shape as $crate::model::object::Part>::write_part(
                    &self.$key,
                    &$crate::model::object::declared!($key, [$($doc)*], [$($default)?], [$($hint)?]),
                    object,
                    names,
                );)*
            }
        }

        impl $crate::model::object::Shape for $record {
            type Value = Self;

            fn read(
                value: &serde_json::Value,
                pointer: &str,
                reader: &mut $crate::model::object::Reader<'_>,
            ) -> Option<Self> {
                static KEYS: std::sync::LazyLock<Vec<&str>> =
                    std::sync::LazyLock::new(<$record as $crate::model::object::Record>::keys);
                let mut fields =
                    $crate::model::object::Fields::open(value, pointer, &KEYS, reader)?;
                <Self as $crate::model::object::Record>::read_from(&mut fields)
            }

            fn write(
                value: &Self,
                names: &dyn $crate::model::object::Names,
            ) -> serde_json::Value {
                $crate::model::object::Record::write_whole(value, names)
            }

            fn schema() -> serde_json::Value {
                $crate::model::object::schema_of(
                    &<Self as $crate::model::object::Record>::fields(),
                    concat!($($record_doc, "\n",)* ""),
                )
            }
        }
    };
}

/// Declares a kind of object: a [`record!`] with an id and a name of its own.
macro_rules! object {
    (
        $(#[doc = $object_doc:literal])*
        pub struct $object:ident($id:ident) {$($fields:tt)*}
    ) => {
        $crate::model::object::record! {
            $(#[doc = $object_doc])*
            pub struct $object {
                /// Given by divert; in a document it says which object this was, whatever its name is
                /// now.
                id: $crate::model::object::OwnId<$id>,
                /// Unique in the account, 1 to 60 characters.
                name: $crate::model::object::Name,
                $($fields)*
            }
        }

        impl $crate::model::object::Object for $object {
            type Id = $id;

            const DOC: &'static str = concat!($($object_doc, "\n",)* "");

            fn id(&self) -> $id {
                self.id
            }

            fn name(&self) -> &str {
                &self.name
            }
        }
    };
}

pub(super) use {declared, object, record};

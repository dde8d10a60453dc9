//! Objects of every kind in one table: reading them, writing them, and what refers to what.
//!
//! A body says what its object writes, with ids for what it refers to. A newer node may know more
//! keys, and more kinds: they are passed over with a warning, and what this node writes again keeps
//! the keys that it does not know.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;
use sqlx::types::Json;
use sqlx::{FromRow, QueryBuilder};

use super::change::pieces;
use super::column::{Int, Text, json};
use super::{Db, StoreError, Tx};
use crate::model::change::{Change, Subject};
use crate::model::configuration::Configuration;
use crate::model::document::{Row, read_rows, read_settings};
use crate::model::id::{AccountId, ObjectId};
use crate::model::object::Shape as _;
use crate::model::objects::Kind;
use crate::model::objects::account::AccountSettings;
use crate::model::problem::Problem;
use crate::model::time::Timestamp;

/// The kind of the settings of an account, whose row has the id of the account.
pub(super) const SETTINGS: &str = "account";

impl Db {
    /// The settings of `account`.
    ///
    /// # Errors
    /// [`StoreError::NoAccount`], [`StoreError::Unavailable`].
    pub(super) async fn settings(&self, account: AccountId) -> Result<AccountSettings, StoreError> {
        let found: Option<(Option<Json<Value>>,)> = on!(self, db => {
            sqlx::query_as(BODY_OF_SETTINGS).bind(Text(account)).fetch_optional(db).await
        })?;
        match found.ok_or(StoreError::NoAccount)? {
            (None,) => Ok(AccountSettings::default()),
            (Some(Json(body)),) => read_settings(&body).map_err(|faults| refused(&faults, &[])),
        }
    }
}

impl Tx {
    /// All objects of `account`, without its numbers.
    pub(super) async fn objects(
        &mut self,
        account: AccountId,
    ) -> Result<Configuration, StoreError> {
        let found: Vec<ObjectRow> = on!(in self, db => {
            sqlx::query_as(OBJECTS).bind(Text(account)).fetch_all(db).await
        })?;
        let mut settings = None;
        let mut rows = Vec::with_capacity(found.len());
        for ObjectRow { id: Text(id), kind: Text(kind), name: Text(name), body: Json(body) } in
            found
        {
            if kind == SETTINGS {
                settings = Some(body);
            } else if Kind::by_prefix(&kind).is_some() {
                let id = id.parse().map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
                rows.push(Row { id, name, body });
            } else {
                warn_once(&format!("{id} ({name}) is of a kind that a newer divert knows"));
            }
        }
        // Here and not in SQL, where the order of names depends on the locale of the database.
        rows.sort_by_cached_key(|row| (row.name.to_lowercase(), row.name.clone()));
        let (read, warnings) =
            read_rows(settings.as_ref(), &rows).map_err(|faults| refused(&faults, &rows))?;
        for warning in warnings {
            warn_once(&in_words(&warning, &rows));
        }
        Ok(read)
    }

    /// Takes objects out, with all that they refer to.
    pub(super) async fn delete_objects(
        &mut self,
        account: AccountId,
        ids: &[String],
    ) -> Result<(), StoreError> {
        self.forget_references(account, ids).await?;
        self.for_ids("DELETE FROM object", account, "id", ids).await
    }

    /// Writes objects anew. Their names are set aside first, so that two may swap theirs.
    pub(super) async fn put_objects(
        &mut self,
        account: AccountId,
        changes: &[(String, &Change, &Value)],
        unknown: &BTreeMap<String, Unknown>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let ids: Vec<String> = changes.iter().map(|(id, ..)| id.clone()).collect();
        self.forget_references(account, &ids).await?;
        // Under the id, which nobody else has, until the put that follows.
        self.for_ids("UPDATE object SET name = id", account, "id", &ids).await?;
        let mut references = BTreeSet::new();
        for (id, change, body) in changes {
            let kept = unknown.get(id);
            let body = with_unknown(body, kept);
            self.put_object(account, id, change, &body, now).await?;
            references.extend(change.references.iter().map(|to| (&**id, to.to_string())));
            let kept = kept.into_iter().flat_map(|kept| &kept.references);
            let kept = kept.filter(|to| names(&body, to));
            references.extend(kept.map(|to| (&**id, to.clone())));
        }
        let references: Vec<(&str, String)> = references.into_iter().collect();
        for references in pieces(&references) {
            on!(in self, db => {
                let mut query = QueryBuilder::new(ADD_REFERENCES);
                query.push_values(references, |mut row, (from, to)| {
                    row.push_bind(Text(account)).push_bind(Text(*from)).push_bind(Text(to));
                });
                query.build().execute(db).await.map(drop)
            })?;
        }
        Ok(())
    }

    async fn put_object(
        &mut self,
        account: AccountId,
        id: &str,
        change: &Change,
        body: &Value,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let body = json(body)?;
        let written = on!(in self, db => {
            sqlx::query(PUT_OBJECT)
                .bind(Text(id))
                .bind(Text(account))
                .bind(Text(kind_of(change.subject)))
                .bind(Text(&change.name))
                .bind(body)
                .bind(Int(now))
                .execute(db)
                .await
                .map(|done| done.rows_affected())
        });
        let taken = || StoreError::NameTaken { name: change.name.clone() };
        let written = written.map_err(|error| StoreError::unless_unique(error, taken))?;
        // A put that wrote nothing met an id that belongs to another account.
        if written == 1 { Ok(()) } else { Err(StoreError::Dangling) }
    }

    /// Those rows that have more than the keys that this program knows, by their ids.
    pub(super) async fn unknown_keys(
        &mut self,
        account: AccountId,
        ids: &[String],
    ) -> Result<BTreeMap<String, Unknown>, StoreError> {
        let mut schemas: BTreeMap<String, Arc<Value>> = BTreeMap::new();
        let mut unknown = BTreeMap::new();
        for ids in pieces(ids) {
            let rows: Vec<(Text<String>, Text<String>, Json<Value>)> = on!(in self, db => {
                let mut query = QueryBuilder::new("SELECT id, kind, body FROM object");
                narrow(&mut query, account, "id", ids);
                query.build_query_as().fetch_all(db).await
            })?;
            for (Text(id), Text(kind), Json(body)) in rows {
                let schema = schemas.entry(kind).or_insert_with_key(|kind| schema_of(kind).into());
                if has_unknown(&body, schema) {
                    let schema = Arc::clone(schema);
                    unknown.insert(id, Unknown { body, schema, references: BTreeSet::new() });
                }
            }
        }
        let ids: Vec<String> = unknown.keys().cloned().collect();
        for ids in pieces(&ids) {
            let rows: Vec<(Text<String>, Text<String>)> = on!(in self, db => {
                let mut query = QueryBuilder::new("SELECT from_id, to_id FROM object_reference");
                narrow(&mut query, account, "from_id", ids);
                query.build_query_as().fetch_all(db).await
            })?;
            for (Text(from), Text(to)) in rows {
                if let Some(of) = unknown.get_mut(&from) {
                    of.references.insert(to);
                }
            }
        }
        Ok(unknown)
    }

    async fn forget_references(
        &mut self,
        account: AccountId,
        ids: &[String],
    ) -> Result<(), StoreError> {
        self.for_ids("DELETE FROM object_reference", account, "from_id", ids).await
    }

    /// Runs a statement for those rows of `account` that have one of `ids` in `column`.
    pub(super) async fn for_ids(
        &mut self,
        statement: &'static str,
        account: AccountId,
        column: &'static str,
        ids: &[String],
    ) -> Result<(), StoreError> {
        for ids in pieces(ids) {
            on!(in self, db => {
                let mut query = QueryBuilder::new(statement);
                narrow(&mut query, account, column, ids);
                query.build().execute(db).await.map(drop)
            })?;
        }
        Ok(())
    }
}

/// A row that has keys which this program does not know.
pub(super) struct Unknown {
    body: Value,
    /// What this program knows of its kind.
    schema: Arc<Value>,
    /// What it refers to, by keys known and unknown.
    references: BTreeSet<String>,
}

/// Whether there are keys in it that the schema does not have.
fn has_unknown(body: &Value, schema: &Value) -> bool {
    match body {
        Value::Array(items) => items.iter().any(|item| has_unknown(item, &schema["items"])),
        Value::Object(members) => schema["properties"].as_object().is_some_and(|known| {
            let is_unknown = |(key, value): (&String, &Value)| {
                known.get(key).is_none_or(|schema| has_unknown(value, schema))
            };
            members.iter().any(is_unknown)
        }),
        _ => false,
    }
}

/// Adds to a body the keys of its row that the schema does not have: its own, those of the mappings in
/// it, and those of the items of its lists that have the same id in both.
fn add_unknown(body: &mut Value, row: &Value, schema: &Value) {
    match (body, row) {
        (Value::Array(items), Value::Array(before)) => {
            for item in items.iter_mut().filter(|item| item.get("id").is_some()) {
                if let Some(row) = before.iter().find(|row| row.get("id") == item.get("id")) {
                    add_unknown(item, row, &schema["items"]);
                }
            }
        }
        (Value::Object(members), Value::Object(row)) => {
            let Some(known) = schema["properties"].as_object() else { return };
            for (key, value) in row {
                match (known.get(key), members.get_mut(key)) {
                    (None, _) => drop(members.insert(key.clone(), value.clone())),
                    (Some(schema), Some(member)) => add_unknown(member, value, schema),
                    (Some(_), None) => {}
                }
            }
        }
        _ => {}
    }
}

/// A body with what its row has beside.
pub(super) fn with_unknown<'a>(body: &'a Value, unknown: Option<&Unknown>) -> Cow<'a, Value> {
    let Some(unknown) = unknown else {
        return Cow::Borrowed(body);
    };
    let mut body = body.clone();
    add_unknown(&mut body, &unknown.body, &unknown.schema);
    Cow::Owned(body)
}

#[derive(FromRow)]
struct ObjectRow {
    id: Text<String>,
    kind: Text<String>,
    name: Text<String>,
    body: Json<Value>,
}

/// Adds a condition: rows of `account` that have one of `ids` in `column`.
fn narrow<'a, DB: sqlx::Database>(
    query: &mut QueryBuilder<DB>,
    account: AccountId,
    column: &'static str,
    ids: &'a [String],
) where
    Text<AccountId>: sqlx::Encode<'a, DB> + sqlx::Type<DB>,
    Text<&'a String>: sqlx::Encode<'a, DB> + sqlx::Type<DB>,
{
    query.push(" WHERE account_id = ").push_bind(Text(account));
    query.push(" AND ").push(column).push(" IN (");
    let mut listed = query.separated(", ");
    for id in ids {
        listed.push_bind(Text(id));
    }
    query.push(")");
}

/// What the column `kind` says of it.
pub(super) fn kind_of(subject: Subject) -> &'static str {
    match subject {
        Subject::Account => SETTINGS,
        Subject::Number(id) => ObjectId::from(id).prefix(),
        Subject::Object(id) => id.prefix(),
    }
}

/// What this program knows of the bodies of a kind.
fn schema_of(kind: &str) -> Value {
    Kind::by_prefix(kind).map_or_else(AccountSettings::schema, Kind::schema)
}

/// Whether this text stands somewhere in a value.
fn names(value: &Value, text: &str) -> bool {
    match value {
        Value::String(found) => found == text,
        Value::Array(items) => items.iter().any(|item| names(item, text)),
        Value::Object(members) => members.values().any(|member| names(member, text)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// The error for rows that no node can have written.
fn refused(faults: &[Problem], rows: &[Row]) -> StoreError {
    let text = faults.first().map(|fault| in_words(fault, rows)).unwrap_or_default();
    StoreError::Internal(sqlx::Error::Decode(text.into()))
}

/// A problem of a row, with the name of its object.
fn in_words(problem: &Problem, rows: &[Row]) -> String {
    let Problem { pointer, message, .. } = problem;
    let id = pointer.split('/').nth(1).and_then(|id| id.parse::<ObjectId>().ok());
    match rows.iter().find(|row| Some(row.id) == id) {
        Some(Row { name, .. }) => format!("{name:?}, {pointer}: {message}"),
        None => format!("{pointer}: {message}"),
    }
}

/// Writes a line to the log, unless this process wrote it before: a configuration is read again with
/// every change of it.
fn warn_once(text: &str) {
    static TOLD: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    if TOLD.lock().unwrap_or_else(PoisonError::into_inner).insert(text.to_owned()) {
        tracing::warn!("the configuration has what this divert passes over: {text}");
    }
}

const OBJECTS: &str = "SELECT id, kind, name, body FROM object WHERE account_id = $1";
const BODY_OF_SETTINGS: &str = "SELECT object.body FROM account LEFT JOIN object \
    ON object.account_id = account.id AND object.id = account.id WHERE account.id = $1";
const PUT_OBJECT: &str = "INSERT INTO object (id, account_id, kind, name, body, changed_at) \
    VALUES ($1, $2, $3, $4, $5, $6) \
    ON CONFLICT (id) DO UPDATE SET name = excluded.name, body = excluded.body, \
        changed_at = excluded.changed_at \
    WHERE object.account_id = excluded.account_id";
const ADD_REFERENCES: &str = "INSERT INTO object_reference (account_id, from_id, to_id) ";

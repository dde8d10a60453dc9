//! Who changed what: each object and number of each version, as it was before and after.

use std::collections::BTreeMap;

use serde_json::Value;
use serde_json::value::RawValue;
use sqlx::types::Json;
use sqlx::{FromRow, QueryBuilder};

use super::change::{id_of, pieces};
use super::column::{Int, Text, json};
use super::objects::{SETTINGS, Unknown, kind_of, with_unknown};
use super::{Db, StoreError, Tx};
use crate::model::change::{Author, Change, Changed, Subject};
use crate::model::id::{AccountId, KeyId, NumberId, ObjectId};
use crate::model::objects::KINDS;
use crate::model::time::Timestamp;

/// Which changes to list; every field that is set must hold.
#[derive(Clone, Debug, Default)]
pub struct ChangedFilter {
    /// What the ids of those objects begin with; `num` for numbers, `account` for the settings.
    pub kind: Option<&'static str>,
    pub object: Option<ObjectId>,
    /// The name of who made it, or the id of their key.
    pub author: Option<String>,
    pub version: Option<i64>,
}

impl Db {
    /// At most `limit` changes of `account` that pass `filter`, the newest first; those that come
    /// after the version and place `before` in this order, for the next page.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn changed(
        &self,
        account: AccountId,
        filter: &ChangedFilter,
        before: Option<(i64, u32)>,
        limit: u32,
    ) -> Result<Vec<Changed>, StoreError> {
        let rows: Vec<ChangedRow> = on!(self, db => {
            let mut query = QueryBuilder::new(CHANGED);
            query.push_bind(Text(account));
            if let Some(kind) = filter.kind {
                query.push(" AND kind = ").push_bind(Text(kind));
            } else {
                // A newer divert may know more. As it is written, no index is chosen for it.
                query.push(" AND COALESCE(kind, '') IN (");
                let mut kinds = query.separated(", ");
                for kind in known_kinds() {
                    kinds.push_bind(Text(kind));
                }
                query.push(")");
            }
            if let Some(object) = filter.object {
                query.push(" AND id = ").push_bind(Text(object));
            }
            if let Some(author) = &filter.author {
                query.push(" AND (by_name = ").push_bind(Text(author));
                query.push(" OR by_key = ").push_bind(Text(author)).push(")");
            }
            if let Some(version) = filter.version {
                query.push(" AND version = ").push_bind(Int(version));
            }
            if let Some((version, place)) = before {
                query.push(" AND (version, place) < (").push_bind(Int(version));
                query.push(", ").push_bind(Int(place)).push(")");
            }
            query.push(" ORDER BY version DESC, place DESC LIMIT ").push_bind(Int(limit));
            query.build_query_as().fetch_all(db).await
        })?;
        rows.into_iter().map(ChangedRow::into_changed).collect()
    }

    /// All changes of one version of `account`, in the order in which they were written.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn changed_in(
        &self,
        account: AccountId,
        version: i64,
    ) -> Result<Vec<Changed>, StoreError> {
        let filter = ChangedFilter { version: Some(version), ..ChangedFilter::default() };
        let mut changed = self.changed(account, &filter, None, u32::MAX).await?;
        changed.reverse();
        Ok(changed)
    }
}

impl Tx {
    pub(super) async fn add_to_history(
        &mut self,
        account: AccountId,
        version: i64,
        changes: &[Change],
        unknown: &BTreeMap<String, Unknown>,
        Author { key, name: author }: &Author,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let body = |id: &str, body: &Option<Value>| {
            body.as_ref().map(|body| json(&with_unknown(body, unknown.get(id)))).transpose()
        };
        let mut rows: Vec<HistoryRow<'_>> = Vec::with_capacity(changes.len());
        for (place, change) in (0..).zip(changes) {
            let id = id_of(account, change.subject);
            let (before, after) = (body(&id, &change.before)?, body(&id, &change.after)?);
            rows.push(HistoryRow { place, id, change, before, after });
        }
        for rows in pieces(&rows) {
            on!(in self, db => {
                let mut query = QueryBuilder::new(ADD_TO_HISTORY);
                query.push_values(rows, |mut row, of| {
                    row.push_bind(Text(account))
                        .push_bind(Int(version))
                        .push_bind(Int(of.place))
                        .push_bind(Int(now))
                        .push_bind(key.map(Text))
                        .push_bind(Text(author))
                        .push_bind(Text(kind_of(of.change.subject)))
                        .push_bind(Text(&of.id))
                        .push_bind(Text(&of.change.name))
                        .push_bind(of.before.as_ref())
                        .push_bind(of.after.as_ref());
                });
                query.build().execute(db).await.map(drop)
            })?;
        }
        Ok(())
    }
}

struct HistoryRow<'a> {
    place: u32,
    id: String,
    change: &'a Change,
    before: Option<Json<Box<RawValue>>>,
    after: Option<Json<Box<RawValue>>>,
}

#[derive(FromRow)]
struct ChangedRow {
    version: Int<i64>,
    place: Int<u32>,
    at: Int<Timestamp>,
    by_key: Option<Text<KeyId>>,
    by_name: Text<String>,
    kind: Text<String>,
    id: Text<String>,
    name: Text<String>,
    before: Option<Json<Value>>,
    after: Option<Json<Value>>,
}

impl ChangedRow {
    fn into_changed(self) -> Result<Changed, StoreError> {
        let broken = |error| sqlx::Error::Decode(Box::new(error));
        let subject = match (self.kind.0.as_str(), self.id.0) {
            (SETTINGS, _) => Subject::Account,
            (NumberId::PREFIX, id) => Subject::Number(id.parse().map_err(broken)?),
            (_, id) => Subject::Object(id.parse().map_err(broken)?),
        };
        Ok(Changed {
            version: self.version.0,
            place: self.place.0,
            at: self.at.0,
            author: Author { key: self.by_key.map(|Text(key)| key), name: self.by_name.0 },
            subject,
            name: self.name.0,
            before: self.before.map(|Json(body)| body),
            after: self.after.map(|Json(body)| body),
        })
    }
}

fn known_kinds() -> impl Iterator<Item = &'static str> {
    KINDS.iter().map(|kind| kind.prefix).chain([SETTINGS, NumberId::PREFIX])
}

const CHANGED: &str = "SELECT version, place, at, by_key, by_name, kind, id, name, before, after \
    FROM object_change WHERE account_id = ";
const ADD_TO_HISTORY: &str = "INSERT INTO object_change (account_id, version, place, at, by_key, \
    by_name, kind, id, name, before, after) ";

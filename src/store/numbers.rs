//! The numbers of an account, of which there may be a million: in pages, one by one, and all their
//! DIDs as routing needs them, as fast as the database gives them.
//!
//! For routing, one row for each flow and master with all its DIDs in one text, instead of one row
//! for each DID: what a row costs on its way from the database is more than what it holds.

use std::collections::BTreeSet;

use serde_json::Value;
use sqlx::{FromRow, QueryBuilder};

use super::change::pieces;
use super::column::{Int, Text};
use super::{Db, StoreError, Tx};
use crate::model::id::{AccountId, ForwardingFlowId, NumberId, ServerId};
use crate::model::number::Did;
use crate::model::objects::number::Number;
use crate::model::tags::Tag;

/// The DIDs of one flow on one master.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OwnedDids {
    pub flow: ForwardingFlowId,
    pub server: ServerId,
    /// In no particular order.
    pub dids: Vec<Did>,
}

/// Which numbers to list; every field that is set must hold.
#[derive(Clone, Debug, Default)]
pub struct NumberFilter {
    pub did: Option<Did>,
    /// Those it owns.
    pub flow: Option<ForwardingFlowId>,
    pub tag: Option<Tag>,
}

impl Db {
    /// At most `limit` numbers of `account` that pass `filter`, the newest first; those older than
    /// the number `before`, for the next page.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn numbers(
        &self,
        account: AccountId,
        filter: &NumberFilter,
        before: Option<NumberId>,
        limit: u32,
    ) -> Result<Vec<Number>, StoreError> {
        let rows: Vec<NumberRow> = on!(self, db => {
            let mut query = QueryBuilder::new(NUMBERS);
            if let Some(did) = &filter.did {
                query.push(OF_DID).push_bind(Text(account));
                query.push(") AND did = ").push_bind(Text(did));
            } else {
                query.push(" WHERE account_id = ").push_bind(Text(account));
            }
            if let Some(flow) = filter.flow {
                query.push(" AND owner_id = ").push_bind(Text(flow));
            }
            if let Some(tag) = &filter.tag {
                // No tag has a character that LIKE reads in its own way.
                query.push(" AND tags LIKE ").push_bind(format!("% {tag} %"));
            }
            if let Some(before) = before {
                query.push(" AND id COLLATE \"BINARY\" < ").push_bind(Text(before));
            }
            query.push(" ORDER BY id COLLATE \"BINARY\" DESC LIMIT ").push_bind(Int(limit));
            query.build_query_as().fetch_all(db).await
        })?;
        rows.into_iter().map(NumberRow::into_number).collect()
    }

    /// One number.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn number(
        &self,
        account: AccountId,
        id: NumberId,
    ) -> Result<Option<Number>, StoreError> {
        let row: Option<NumberRow> = on!(self, db => {
            QueryBuilder::new(NUMBERS)
                .push(" WHERE account_id = ")
                .push_bind(Text(account))
                .push(" AND id = ")
                .push_bind(Text(id))
                .build_query_as()
                .fetch_optional(db)
                .await
        })?;
        row.map(NumberRow::into_number).transpose()
    }

    /// Every DID of `account` that a flow owns, and the version at which a number last changed, as
    /// in [`Version::numbers`](super::Version::numbers).
    ///
    /// # Errors
    /// [`StoreError::NoAccount`] and [`StoreError::Unavailable`].
    pub async fn owned_dids(
        &self,
        account: AccountId,
    ) -> Result<(Vec<OwnedDids>, i64), StoreError> {
        let mut tx = self.snapshot().await?;
        let version: Option<Int<i64>> = on!(in &mut tx, db => {
            sqlx::query_scalar(NUMBERS_VERSION).bind(Text(account)).fetch_optional(db).await
        })?;
        let Int(version) = version.ok_or(StoreError::NoAccount)?;
        let rows: Vec<(Text<ForwardingFlowId>, Text<ServerId>, String)> = on!(in &mut tx, db => {
            sqlx::query_as(OWNED_DIDS).bind(Text(account)).fetch_all(db).await
        })?;
        tx.commit().await?;
        let owned = |(Text(flow), Text(server), text): (_, _, String)| {
            let dids = text.split(' ').map(str::parse).collect::<Result<_, _>>();
            let dids = dids.map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
            Ok(OwnedDids { flow, server, dids })
        };
        Ok((rows.into_iter().map(owned).collect::<Result<_, StoreError>>()?, version))
    }

    /// Whether a flow of `account` owns this DID, on whichever master.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn is_owned(&self, account: AccountId, did: &Did) -> Result<bool, StoreError> {
        let owner: Option<Text<ForwardingFlowId>> = on!(self, db => {
            sqlx::query_scalar(OWNER).bind(Text(account)).bind(Text(did)).fetch_optional(db).await
        })?;
        Ok(owner.is_some())
    }
}

impl Tx {
    /// Adds rows of ids and what numbers write of themselves.
    pub(super) async fn add_numbers(
        &mut self,
        account: AccountId,
        numbers: &[(String, &Value)],
    ) -> Result<(), StoreError> {
        let rows = numbers.iter().map(NewRow::of).collect::<Option<Vec<NewRow<'_>>>>();
        let rows = rows.ok_or_else(|| sqlx::Error::Encode("that is no number".into()))?;
        for rows in pieces(&rows) {
            let added: Vec<Text<String>> = on!(in self, db => {
                let mut query = QueryBuilder::new(ADD_NUMBERS);
                query.push_values(rows, |mut row, of| {
                    row.push_bind(Text(of.id))
                        .push_bind(Text(account))
                        .push_bind(Text(of.did))
                        .push_bind(Text(of.server))
                        .push_bind(of.owner.map(Text))
                        .push_bind(Text(&of.tags));
                });
                query.push(UNLESS_TAKEN).build_query_scalar().fetch_all(db).await
            })?;
            if added.len() < rows.len() {
                let added: BTreeSet<&str> = added.iter().map(|Text(id)| &**id).collect();
                let refused = rows.iter().find(|row| !added.contains(row.id));
                return Err(match refused {
                    Some(row) => self.refused_number(row).await?,
                    None => StoreError::Dangling,
                });
            }
        }
        Ok(())
    }

    /// Why a number could not be added: its id is another account's, or its DID has a row.
    async fn refused_number(&mut self, row: &NewRow<'_>) -> Result<StoreError, StoreError> {
        let other: Option<Text<String>> = on!(in self, db => {
            sqlx::query_scalar(OTHERS_NUMBER).bind(Text(row.id)).fetch_optional(db).await
        })?;
        if other.is_some() {
            return Ok(StoreError::Dangling);
        }
        let did = row.did.parse().map_err(|error| sqlx::Error::Encode(Box::new(error)))?;
        Ok(StoreError::Taken { did })
    }

    /// All numbers, or those that are written like `did`, in whatever case.
    pub(super) async fn numbers_like(
        &mut self,
        account: AccountId,
        did: Option<&Did>,
    ) -> Result<Vec<Number>, StoreError> {
        let rows: Vec<NumberRow> = on!(in self, db => {
            let mut query = QueryBuilder::new(NUMBERS);
            let is_plain = |did: &&Did| !did.as_str().bytes().any(|one| one.is_ascii_alphabetic());
            // Most have no case, and an index.
            if let Some(did) = did.filter(is_plain) {
                query.push(OF_DID).push_bind(Text(account));
                query.push(") AND did = ").push_bind(Text(did));
            } else {
                query.push(" WHERE account_id = ").push_bind(Text(account));
                if let Some(did) = did {
                    query.push(" AND LOWER(did) = LOWER(").push_bind(Text(did)).push(")");
                }
            }
            query.build_query_as().fetch_all(db).await
        })?;
        rows.into_iter().map(NumberRow::into_number).collect()
    }
}

#[derive(FromRow)]
struct NumberRow {
    id: Text<NumberId>,
    did: Text<Did>,
    server_id: Text<ServerId>,
    owner_id: Option<Text<ForwardingFlowId>>,
    tags: Text<String>,
}

impl NumberRow {
    fn into_number(self) -> Result<Number, StoreError> {
        let tags = self.tags.0.split_ascii_whitespace().map(str::parse).collect::<Result<_, _>>();
        Ok(Number {
            id: self.id.0,
            did: self.did.0,
            server: self.server_id.0,
            forwarding_flow: self.owner_id.map(|Text(flow)| flow),
            tags: tags.map_err(|error: &str| sqlx::Error::Decode(error.into()))?,
        })
    }
}

/// Its id and what it says of itself, ready to be bound.
struct NewRow<'a> {
    id: &'a str,
    did: &'a str,
    server: &'a str,
    owner: Option<&'a str>,
    tags: String,
}

impl<'a> NewRow<'a> {
    /// `None` where it is not what a number writes.
    fn of((id, body): &'a (String, &'a Value)) -> Option<Self> {
        let text = |key: &str| body.get(key).and_then(Value::as_str);
        let tags = body.get("tags").and_then(Value::as_array);
        let tags = tags.into_iter().flatten().filter_map(Value::as_str);
        let tags = tags.fold(String::new(), |tags, tag| format!("{tags} {tag}"));
        Some(Self {
            id,
            did: text("did")?,
            server: text("server")?,
            owner: text("forwarding_flow"),
            tags: if tags.is_empty() { tags } else { format!("{tags} ") },
        })
    }
}

const NUMBERS: &str = "SELECT id, did, server_id, owner_id, tags FROM number";
// The index of DIDs begins with their server, which is the account's own. With the account of the
// number beside it, SQLite would go through all numbers of the account instead.
const OF_DID: &str =
    " WHERE server_id IN (SELECT id FROM object WHERE kind = 'srv' AND account_id = ";
const OWNER: &str = "SELECT owner_id FROM number \
    WHERE server_id IN (SELECT id FROM object WHERE account_id = $1 AND kind = 'srv') \
        AND did = $2 AND owner_id IS NOT NULL LIMIT 1";
const NUMBERS_VERSION: &str = "SELECT numbers_version FROM account WHERE id = $1";
// No DID contains a space.
const OWNED_DIDS: &str = "SELECT owner_id, server_id, STRING_AGG(did, ' ') FROM number \
    WHERE account_id = $1 AND owner_id IS NOT NULL \
    GROUP BY owner_id, server_id";
// What is there already is told by what is missing afterwards: a statement that fails ends the
// transaction on Postgres, and would not say for which of its rows.
const ADD_NUMBERS: &str = "INSERT INTO number (id, account_id, did, server_id, owner_id, tags) ";
const UNLESS_TAKEN: &str = " ON CONFLICT DO NOTHING RETURNING id";
const OTHERS_NUMBER: &str = "SELECT id FROM number WHERE id = $1";

//! The numbers of an account, of which there may be a million: in pages, one by one, and all their
//! DIDs as routing needs them, as fast as the database gives them.
//!
//! For routing, one row for each flow and master with all its DIDs in one text, instead of one row
//! for each DID: what a row costs on its way from the database is more than what it holds.

use sqlx::{FromRow, QueryBuilder};

use super::column::{Int, Text};
use super::{Db, StoreError, Tx};
use crate::model::configuration::Number;
use crate::model::id::{AccountId, ForwardingFlowId, NumberId, ServerId};
use crate::model::number::Did;

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
            query.push(" WHERE account_id = ").push_bind(Text(account));
            if let Some(did) = &filter.did {
                query.push(OF_DID).push_bind(Text(account));
                query.push(") AND did = ").push_bind(Text(did));
            }
            if let Some(flow) = filter.flow {
                query.push(" AND forwarding_flow_id = ").push_bind(Text(flow));
            }
            if let Some(before) = before {
                query.push(" AND id COLLATE \"BINARY\" < ").push_bind(Text(before));
            }
            query.push(" ORDER BY id COLLATE \"BINARY\" DESC LIMIT ").push_bind(Int(limit));
            query.build_query_as().fetch_all(db).await
        })?;
        Ok(rows.into_iter().map(NumberRow::into_number).collect())
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
        Ok(row.map(NumberRow::into_number))
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
    /// All numbers, or those that are written like `did`, in whatever case.
    pub(super) async fn numbers_like(
        &mut self,
        account: AccountId,
        did: Option<&Did>,
    ) -> Result<Vec<Number>, StoreError> {
        let rows: Vec<NumberRow> = on!(in self, db => {
            let mut query = QueryBuilder::new(NUMBERS);
            query.push(" WHERE account_id = ").push_bind(Text(account));
            if let Some(did) = did {
                // Most have no case, and an index.
                if did.as_str().bytes().any(|letter| letter.is_ascii_alphabetic()) {
                    query.push(" AND LOWER(did) = LOWER(").push_bind(Text(did)).push(")");
                } else {
                    query.push(OF_DID).push_bind(Text(account));
                    query.push(") AND did = ").push_bind(Text(did));
                }
            }
            query.build_query_as().fetch_all(db).await
        })?;
        Ok(rows.into_iter().map(NumberRow::into_number).collect())
    }
}

#[derive(FromRow)]
struct NumberRow {
    id: Text<NumberId>,
    did: Text<Did>,
    server_id: Text<ServerId>,
    forwarding_flow_id: Option<Text<ForwardingFlowId>>,
}

impl NumberRow {
    fn into_number(self) -> Number {
        Number {
            id: self.id.0,
            did: self.did.0,
            server: self.server_id.0,
            forwarding_flow: self.forwarding_flow_id.map(|Text(flow)| flow),
        }
    }
}

const NUMBERS: &str = "SELECT id, did, server_id, forwarding_flow_id FROM number";
// The index of DIDs begins with their server.
const OF_DID: &str = " AND server_id IN (SELECT id FROM server WHERE account_id = ";
const OWNER: &str = "SELECT forwarding_flow_id FROM number \
    WHERE account_id = $1 AND did = $2 AND forwarding_flow_id IS NOT NULL \
        AND server_id IN (SELECT id FROM server WHERE account_id = $1) LIMIT 1";
const NUMBERS_VERSION: &str = "SELECT numbers_version FROM account WHERE id = $1";
// No DID contains a space.
const OWNED_DIDS: &str = "SELECT forwarding_flow_id, server_id, STRING_AGG(did, ' ') FROM number \
    WHERE account_id = $1 AND forwarding_flow_id IS NOT NULL \
    GROUP BY forwarding_flow_id, server_id";

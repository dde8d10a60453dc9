//! The DIDs of an account as routing needs them, as fast as the database gives them.
//!
//! One row for each flow and master with all its DIDs in one text, instead of one row for each DID:
//! what a row costs on its way from the database is more than what it holds.

use super::column::{Int, Text};
use super::{Db, StoreError};
use crate::model::id::{AccountId, ForwardingFlowId, ServerId};
use crate::model::number::Did;

/// The DIDs of one flow on one master.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct OwnedDids {
    pub flow: ForwardingFlowId,
    pub server: ServerId,
    /// In no particular order.
    pub dids: Vec<Did>,
}

impl Db {
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
}

impl Db {
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

const OWNER: &str = "SELECT forwarding_flow_id FROM number \
    WHERE account_id = $1 AND did = $2 AND forwarding_flow_id IS NOT NULL LIMIT 1";
const NUMBERS_VERSION: &str = "SELECT numbers_version FROM account WHERE id = $1";
// No DID contains a space.
const OWNED_DIDS: &str = "SELECT forwarding_flow_id, server_id, STRING_AGG(did, ' ') FROM number \
    WHERE account_id = $1 AND forwarding_flow_id IS NOT NULL \
    GROUP BY forwarding_flow_id, server_id";

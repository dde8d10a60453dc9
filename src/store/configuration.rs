//! Reading the configuration of an account, all of it at one moment; `change` writes it.
//!
//! Numbers are read by themselves in `numbers` where only those matter: an account may have a
//! million of them, and most changes touch none.

use std::collections::BTreeMap;

use super::column::{Int, Text};
use super::{Db, StoreError, Tx};
use crate::model::configuration::Configuration;
use crate::model::id::{AccountId, ForwardingFlowId};
use crate::model::number::Did;

/// How often the configuration of an account was changed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Version {
    /// One more with every change.
    pub configuration: i64,
    /// What `configuration` was when a number last changed.
    pub numbers: i64,
}

impl Db {
    /// All accounts, in order of id.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn accounts(&self) -> Result<Vec<AccountId>, StoreError> {
        Ok(self.versions().await?.into_keys().collect())
    }

    /// The version of each account's configuration. Nodes that share a database learn of each
    /// other's changes by asking for these.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn versions(&self) -> Result<BTreeMap<AccountId, Version>, StoreError> {
        let rows: Vec<(Text<AccountId>, Int<i64>, Int<i64>)> =
            on!(self, db => sqlx::query_as(VERSIONS).fetch_all(db).await)?;
        let version = |(Text(account), Int(configuration), Int(numbers))| {
            (account, Version { configuration, numbers })
        };
        Ok(rows.into_iter().map(version).collect())
    }

    /// The configuration of `account` and its version. What has a name is in order of name, numbers
    /// and the DIDs of each flow in order of DID, destinations as they were put.
    ///
    /// # Errors
    /// [`StoreError::NoAccount`] and [`StoreError::Unavailable`].
    pub async fn configuration(
        &self,
        account: AccountId,
    ) -> Result<(Configuration, i64), StoreError> {
        self.configuration_with(account, None).await
    }

    /// As [`Db::configuration`], but as if the account had no numbers than those that are written
    /// like `did`, in whatever case.
    ///
    /// # Errors
    /// [`StoreError::NoAccount`] and [`StoreError::Unavailable`].
    pub async fn configuration_around(
        &self,
        account: AccountId,
        did: &Did,
    ) -> Result<(Configuration, i64), StoreError> {
        self.configuration_with(account, Some(did)).await
    }

    async fn configuration_with(
        &self,
        account: AccountId,
        did: Option<&Did>,
    ) -> Result<(Configuration, i64), StoreError> {
        let mut tx = self.snapshot().await?;
        let (mut configuration, version) = tx.configuration_without_numbers(account).await?;
        configuration.numbers = tx.numbers_like(account, did).await?;
        tx.commit().await?;
        configuration.numbers.sort_by(|a, b| (&a.did, a.id).cmp(&(&b.did, b.id)));
        let mut dids_of: BTreeMap<ForwardingFlowId, Vec<Did>> = BTreeMap::new();
        for number in &configuration.numbers {
            if let Some(flow) = number.forwarding_flow {
                dids_of.entry(flow).or_default().push(number.did.clone());
            }
        }
        for flow in &mut configuration.forwarding_flows {
            flow.dids = dids_of.remove(&flow.id).unwrap_or_default();
        }
        Ok((configuration, version.configuration))
    }

    /// As [`Db::configuration`], but as if the account had no numbers.
    ///
    /// # Errors
    /// [`StoreError::NoAccount`] and [`StoreError::Unavailable`].
    pub async fn configuration_without_numbers(
        &self,
        account: AccountId,
    ) -> Result<(Configuration, Version), StoreError> {
        let mut tx = self.snapshot().await?;
        let found = tx.configuration_without_numbers(account).await?;
        tx.commit().await?;
        Ok(found)
    }
}

impl Tx {
    async fn configuration_without_numbers(
        &mut self,
        account: AccountId,
    ) -> Result<(Configuration, Version), StoreError> {
        let found: Option<(Int<i64>, Int<i64>)> = on!(in self, db => {
            sqlx::query_as(BOTH_VERSIONS).bind(Text(account)).fetch_optional(db).await
        })?;
        let (Int(configuration), Int(numbers)) = found.ok_or(StoreError::NoAccount)?;
        Ok((self.objects(account).await?, Version { configuration, numbers }))
    }
}

const VERSIONS: &str = "SELECT id, version, numbers_version FROM account";
pub(super) const VERSION: &str = "SELECT version FROM account WHERE id = $1";
const BOTH_VERSIONS: &str = "SELECT version, numbers_version FROM account WHERE id = $1";

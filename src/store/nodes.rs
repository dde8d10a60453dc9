//! What a node remembers from one process to the next.

use super::column::Int;
use super::{Db, StoreError};
use crate::model::time::Timestamp;

impl Db {
    /// When the Asterisk that `node` was connected to last had been started.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn startup(&self, node: &str) -> Result<Option<String>, StoreError> {
        const FIND: &str = "SELECT asterisk_startup FROM node WHERE name = $1";
        let found = on!(self, db => {
            sqlx::query_scalar(FIND).bind(node).fetch_optional(db).await
        })?;
        Ok(found)
    }

    /// Remembers it.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn remember_startup(&self, node: &str, startup: &str) -> Result<(), StoreError> {
        const KEEP: &str = "INSERT INTO node (name, asterisk_startup) VALUES ($1, $2) \
                            ON CONFLICT (name) DO UPDATE SET asterisk_startup = excluded.asterisk_startup";
        on!(self, db => {
            sqlx::query(KEEP).bind(node).bind(startup).execute(db).await.map(drop)
        })?;
        Ok(())
    }

    /// Up to which moment `node` heard all that happened in its Asterisk.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn heard_at(&self, node: &str) -> Result<Option<Timestamp>, StoreError> {
        const FIND: &str = "SELECT heard_at FROM node WHERE name = $1";
        let found: Option<Option<Int<Timestamp>>> = on!(self, db => {
            sqlx::query_scalar(FIND).bind(node).fetch_optional(db).await
        })?;
        Ok(found.flatten().map(|Int(at)| at))
    }

    /// Remembers it, for a node whose Asterisk is known already.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn remember_heard(&self, node: &str, at: Timestamp) -> Result<(), StoreError> {
        const KEEP: &str = "UPDATE node SET heard_at = $2 WHERE name = $1";
        on!(self, db => sqlx::query(KEEP).bind(node).bind(Int(at)).execute(db).await.map(drop))?;
        Ok(())
    }
}

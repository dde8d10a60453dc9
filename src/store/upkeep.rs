//! Looking after the database as a whole.

use std::path::Path;

use super::{Db, StoreError};

impl Db {
    /// Brings what `SQLite` has in its write-ahead log into the database file, as far as no reader is
    /// in the way; nobody waits for it. Postgres does so by itself.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]; everything stays as it is.
    pub async fn checkpoint(&self) -> Result<(), StoreError> {
        if let Self::Sqlite(pool) = self {
            sqlx::query("PRAGMA wal_checkpoint(PASSIVE)").execute(pool).await?;
        }
        Ok(())
    }

    /// Writes an `SQLite` database as it is at this moment into a file that is empty or does not
    /// exist, while others go on reading and writing. `false` on Postgres, which has `pg_dump`.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]: there is no room, or the file cannot be written.
    pub async fn backup(&self, file: &Path) -> Result<bool, StoreError> {
        let Self::Sqlite(pool) = self else {
            return Ok(false);
        };
        let file = file.to_string_lossy().into_owned();
        sqlx::query("VACUUM INTO $1").bind(file).execute(pool).await?;
        Ok(true)
    }
}

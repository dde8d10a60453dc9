//! The database: `SQLite` for one node, Postgres for many, one SQL text for both.
//!
//! [`Db`] holds the pool of whichever engine the URL names. Every query is written once, in the
//! dialect both engines share, and expanded once per engine by `on!`, so that both use their native
//! types. One file per noun: [`configuration`], [`numbers`], [`calls`], [`sessions`], [`reports`],
//! [`billing`], [`slots`], [`memory`], [`keys`], [`idempotency`].
//!
//! What the store does not do: it reads no clock, mints no id and decides nothing about calls; it
//! does not retry, but says with [`StoreError::may_retry`] whether that may help.
//!
//! A new kind of object, or a new field of one, needs nothing here: all of them are rows of one table,
//! read and written by what they say of themselves.
//!
//! To add a table, for what is not read whole into memory: a new file in `migrations/`, valid on both
//! engines, and its line in `open`; a file here with a row type made of the wrappers in `column` and
//! its SQL at the bottom; a test in `tests/it/store/` that runs on both. Every table has `account_id`,
//! and every query takes an [`AccountId`].
//!
//! [`AccountId`]: crate::model::id::AccountId

use sqlx::postgres::PgPool;
use sqlx::sqlite::SqlitePool;
use sqlx::{Postgres, Sqlite, Transaction};

/// Runs one expression on whichever engine this is: `on!(db, pool => …)` for a [`Db`], and
/// `on!(in tx, db => …)` for a [`Tx`].
macro_rules! on {
    (in $tx:expr, $db:ident => $query:expr) => {
        match $tx {
            crate::store::Tx::Sqlite(tx) => {
                let $db = &mut **tx;
                $query
            }
            crate::store::Tx::Postgres(tx) => {
                let $db = &mut **tx;
                $query
            }
        }
    };
    ($on:expr, $db:ident => $query:expr) => {
        match $on {
            crate::store::Db::Sqlite($db) => $query,
            crate::store::Db::Postgres($db) => $query,
        }
    };
}

pub mod billing;
pub mod calls;
pub mod configuration;
pub mod day;
pub mod history;
pub mod idempotency;
pub mod keys;
pub mod memory;
pub mod nodes;
pub mod numbers;
pub mod reports;
pub mod sessions;
pub mod slots;

mod change;
mod column;
mod error;
mod objects;
mod open;
mod record;
mod upkeep;

pub use billing::{AccountBalance, CdrFilter};
pub use calls::{CallDetail, CallFilter, JournalLine};
pub use configuration::Version;
pub use day::CallUnderWay;
pub use error::StoreError;
pub use history::ChangedFilter;
pub use idempotency::Begun;
pub use keys::ApiKey;
pub use numbers::{NumberFilter, OwnedDids};
pub use open::DESCRIPTORS;
pub use record::{JournalBody, Record};
pub use reports::{By, Cost, ReportQuery, ReportRow};
pub use sessions::Session;
pub use slots::{Reconciled, Taken};

/// An open database, its schema up to date. Cheap to clone.
#[derive(Clone, Debug)]
pub enum Db {
    Sqlite(SqlitePool),
    Postgres(PgPool),
}

/// A transaction on either engine; dropped without [`Tx::commit`], it never happened.
enum Tx {
    Sqlite(Transaction<'static, Sqlite>),
    Postgres(Transaction<'static, Postgres>),
}

impl Db {
    /// Asks the database for a sign of life.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when none comes.
    pub async fn ping(&self) -> Result<(), StoreError> {
        on!(self, db => sqlx::query("SELECT 1").execute(db).await.map(drop))?;
        Ok(())
    }

    /// A transaction that will write. On `SQLite` it takes the write lock at once: a reader that
    /// turns writer half-way is refused instead of waiting. On Postgres, whatever the server's default
    /// is, it waits for a row that another one changes and goes on with what that made of it.
    async fn begin(&self) -> Result<Tx, StoreError> {
        const POSTGRES: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";
        Ok(match self {
            Self::Sqlite(pool) => Tx::Sqlite(pool.begin_with("BEGIN IMMEDIATE").await?),
            Self::Postgres(pool) => Tx::Postgres(begin_postgres(pool, POSTGRES).await?),
        })
    }

    /// A transaction that only reads, and sees one moment in all its queries.
    async fn snapshot(&self) -> Result<Tx, StoreError> {
        const POSTGRES: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY";
        Ok(match self {
            Self::Sqlite(pool) => Tx::Sqlite(pool.begin().await?),
            Self::Postgres(pool) => Tx::Postgres(begin_postgres(pool, POSTGRES).await?),
        })
    }
}

/// As a task, which is seen through even when nobody waits any more: to the driver a transaction has
/// not begun before the answer has come, and without it the connection would be lent out again in
/// the middle of one.
async fn begin_postgres(
    pool: &PgPool,
    sql: &'static str,
) -> Result<Transaction<'static, Postgres>, sqlx::Error> {
    let pool = pool.clone();
    let begun = tokio::spawn(async move { pool.begin_with(sql).await });
    begun.await.unwrap_or(Err(sqlx::Error::BeginFailed))
}

impl Tx {
    async fn commit(self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(tx) => tx.commit().await?,
            Self::Postgres(tx) => tx.commit().await?,
        }
        Ok(())
    }
}

//! What can go wrong with the database. No text here or below it contains a password.
//!
//! The driver's own words are part of the message and not a `source`: one line in the log says all,
//! and a printed chain says nothing twice.

use std::path::PathBuf;

use thiserror::Error;

use crate::model::number::Did;

#[derive(Debug, Error)]
pub enum StoreError {
    /// A change refers to something that does not exist in the account, or deletes something that
    /// is still referred to.
    #[error("it refers to something that does not exist, or is still referred to")]
    Dangling,
    /// The directory of a new `SQLite` file does not exist.
    #[error("the directory {} does not exist; create it, or name another file", .0.display())]
    Folder(PathBuf),
    /// The database holds something else.
    #[error("this database was not made by divert ({0}); name an empty one, or a new file")]
    Foreign(String),
    /// The query or its answer is not what this program expects: a fault of the program, or rows
    /// that somebody changed by hand.
    #[error("the database answered something unexpected: {0}")]
    Internal(sqlx::Error),
    /// Two things of one kind with one name.
    #[error("the name {name:?} is taken")]
    NameTaken { name: String },
    /// The schema knows migrations that this program does not.
    #[error("this database was made by a newer divert (migration {0}); start that one")]
    Newer(i64),
    #[error("there is no such account")]
    NoAccount,
    /// Somebody else changed the configuration in between: read it again.
    #[error("the configuration was changed in between; it has version {found} now")]
    Stale { found: i64 },
    /// Another account or another number of this one has the DID on that server.
    #[error("the number {did} is taken on that server")]
    Taken { did: Did },
    /// The database could not be reached, was busy for too long, or has no room.
    #[error("the database is not available: {0}")]
    Unavailable(sqlx::Error),
    #[error("{0}; use sqlite:/path/to/file.sqlite or postgres://user@host/database")]
    Url(&'static str),
}

impl StoreError {
    /// Whether the same call may succeed later without anybody changing anything.
    #[must_use]
    pub fn may_retry(&self) -> bool {
        matches!(self, Self::Unavailable(_))
    }

    /// `taken` where `error` says that a row with the same key exists.
    pub(super) fn unless_unique(error: sqlx::Error, taken: impl FnOnce() -> Self) -> Self {
        match error.as_database_error() {
            Some(refused) if refused.is_unique_violation() => taken(),
            _ => error.into(),
        }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        use sqlx::Error::{BeginFailed, Database, Io, PoolClosed, PoolTimedOut, Protocol, Tls};
        match &error {
            Database(refused) if refused.is_foreign_key_violation() => Self::Dangling,
            Database(refused) if is_passing(refused.as_ref()) => Self::Unavailable(error),
            BeginFailed | Io(_) | PoolClosed | PoolTimedOut | Protocol(_) | Tls(_) => {
                Self::Unavailable(error)
            }
            sqlx::Error::WorkerCrashed => Self::Unavailable(error),
            _ => Self::Internal(error),
        }
    }
}

/// Whether a refusal comes from the state of the server rather than from the statement.
fn is_passing(refused: &dyn sqlx::error::DatabaseError) -> bool {
    let Some(code) = refused.code() else {
        return false;
    };
    if refused.try_downcast_ref::<sqlx::sqlite::SqliteError>().is_some() {
        // The low byte of an extended result code is the primary one (sqlite.org/rescode.html).
        let primary = code.parse::<i64>().map(|code| code & 0xff);
        return primary.is_ok_and(|primary| SQLITE_PASSING.contains(&primary));
    }
    POSTGRES_PASSING.iter().any(|class| code.starts_with(class))
}

/// busy, locked, read-only (a full or remounted disk), i/o error, disk full, cannot open.
const SQLITE_PASSING: [i64; 6] = [5, 6, 8, 10, 13, 14];

/// Classes and codes of appendix A of the Postgres manual: connection, authorisation, no such database,
/// rollback by the server (serialisation, deadlock), resources, operator, system; read-only server.
const POSTGRES_PASSING: [&str; 8] = ["08", "28", "3D", "40", "53", "57", "58", "25006"];

//! What can go wrong with the database. No text here or below it contains a password.
//!
//! The driver's own words are part of the message and not a `source`: one line in the log says all,
//! and a printed chain says nothing twice.

use std::path::PathBuf;

use sqlx::postgres::PgDatabaseError;
use thiserror::Error;

use crate::model::number::Did;

#[derive(Debug, Error)]
pub enum StoreError {
    /// A version of divert that was never released made the database, by other migrations.
    #[error(
        "this database was made by another development version of divert (its migration {0} is \
         another): save its configuration by 'divert export' of that version, name an empty \
         database or a new file, and apply it there"
    )]
    Altered(i64),
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
    /// A file of an `SQLite` database, or its directory, is not ours to write.
    #[error(
        "{} belongs to {owner}, and {us} may not write it: become {owner}, or give it to {us}: \
         chown {us} {}", .file.display(), .file.display()
    )]
    Owned { file: PathBuf, owner: String, us: String },
    /// Postgres does not let us in, or not do there what we must: no such user, password or database,
    /// or a right that is missing.
    #[error(
        "the database refuses divert ({0}); check the user, the password and the database in its \
         URL, and what this user may do there"
    )]
    Refused(sqlx::Error),
    /// Somebody else changed the configuration in between: read it again.
    #[error("the configuration was changed in between; it has version {found} now")]
    Stale { found: i64 },
    /// Another account or another number of this one has the DID on that server.
    #[error("the number {did} is taken on that server")]
    Taken { did: Did },
    /// The database could not be reached, was busy for too long, has no room, or ended the
    /// transaction by itself: whatever says nothing about what was asked of it.
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

    /// The same error while a database is opened. One that was open already is only away, whatever
    /// Postgres says of our login: somebody is at work on it. Before that, our settings are wrong.
    pub(super) fn at_opening(self) -> Self {
        match self {
            Self::Unavailable(error) if is_of_settings(&error) => Self::Refused(error),
            other => other,
        }
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
        use sqlx::Error::{
            BeginFailed, Database, InvalidSavePointStatement, Io, PoolClosed, PoolTimedOut,
            Protocol, Tls, WorkerCrashed,
        };
        match &error {
            Database(refused) if refused.is_foreign_key_violation() => Self::Dangling,
            Database(refused) if !is_of_statement(refused.as_ref()) => Self::Unavailable(error),
            BeginFailed
            | InvalidSavePointStatement
            | Io(_)
            | PoolClosed
            | PoolTimedOut
            | Protocol(_)
            | Tls(_)
            | WorkerCrashed => Self::Unavailable(error),
            _ => Self::Internal(error),
        }
    }
}

/// Whether a refusal comes from the statement and its values. Any other tells of the state of the
/// database, of which there are many and new ones with every version: a full disk, a failed read or
/// write, no memory, a server that stops, a transaction that lost against another.
fn is_of_statement(refused: &dyn sqlx::error::DatabaseError) -> bool {
    let Some(code) = refused.code() else {
        return false;
    };
    if refused.try_downcast_ref::<sqlx::sqlite::SqliteError>().is_some() {
        // The low byte of an extended result code is the primary one (sqlite.org/rescode.html).
        let primary = code.parse::<i64>().map(|code| code & 0xff);
        return primary.is_ok_and(|primary| SQLITE_OF_STATEMENT.contains(&primary));
    }
    POSTGRES_OF_STATEMENT.iter().any(|class| code.starts_with(class))
        && !POSTGRES_OF_STATE.contains(&code.as_ref())
}

/// Whether Postgres refuses what the settings say: who we are, which database, what we may do there.
fn is_of_settings(error: &sqlx::Error) -> bool {
    let refused = error.as_database_error();
    let refused = refused.and_then(|refused| refused.try_downcast_ref::<PgDatabaseError>());
    refused.is_some_and(|refused| {
        POSTGRES_OF_SETTINGS.iter().any(|start| refused.code().starts_with(start))
    })
}

/// error in the SQL, too big, constraint, mismatch, misuse, not authorised by the program, out of
/// range.
const SQLITE_OF_STATEMENT: [i64; 7] = [1, 18, 19, 20, 21, 23, 25];

/// Classes of appendix A of the Postgres manual: not supported, cardinality, data, integrity, external
/// and raised by a trigger, syntax or access, check option, too complex.
const POSTGRES_OF_STATEMENT: [&str; 10] =
    ["0A", "21", "22", "23", "38", "39", "42", "44", "54", "P0"];
/// Of those classes: a right that is missing, and a table that is (while a backup is restored).
const POSTGRES_OF_STATE: [&str; 2] = ["42501", "42P01"];
/// Login (class 28), a database that does not exist (class 3D), a right that is missing.
const POSTGRES_OF_SETTINGS: [&str; 3] = ["28", "3D", "42501"];

//! What the commands that work on the database share: opening it, and telling why it failed.

use crate::config::Config;
use crate::store::{Db, StoreError};

use super::Failure;

/// Opens the database of the settings; its schema is brought up to date.
///
/// # Errors
/// See [`failure`].
pub async fn open(config: &Config) -> Result<Db, Failure> {
    let opened = Db::open(config.database.expose()).await;
    opened.map_err(|error| of_kind(&error, format!("{}: {error}", config.database)))
}

/// An unreachable database is not connected, a wrong one is bad input, the rest has failed.
#[must_use]
pub fn failure(error: &StoreError) -> Failure {
    of_kind(error, error.to_string())
}

fn of_kind(error: &StoreError, text: String) -> Failure {
    match error {
        StoreError::Unavailable(_) => Failure::NotConnected(text),
        StoreError::Altered(_)
        | StoreError::Foreign(_)
        | StoreError::Folder(_)
        | StoreError::Owned { .. }
        | StoreError::Refused(_)
        | StoreError::Url(_) => Failure::Input(text),
        _ => Failure::Failed(text),
    }
}

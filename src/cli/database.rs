//! What the commands that work on the database share: opening it, and telling why it failed.

use std::{env, fs};

use crate::config::Config;
use crate::model::change::Author;
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

/// Who changes the configuration without the server: the user of this machine.
#[must_use]
pub fn author() -> Author {
    let id = rustix::process::getuid();
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let user = name_of(&users, id.as_raw());
    let user = user.or_else(|| env::var("USER").ok().filter(|name| !name.is_empty()));
    let user = user.unwrap_or_else(|| format!("user {}", id.as_raw()));
    // Who became root says more than that it was root.
    let before = env::var("SUDO_USER").ok().filter(|name| id.is_root() && !name.is_empty());
    let name = before.map_or(user, |name| format!("{name} (sudo)"));
    Author { key: None, name }
}

/// The user of this id in `passwd(5)`.
fn name_of(users: &str, id: u32) -> Option<String> {
    let mut users = users.lines().map(|line| line.split(':'));
    users.find_map(|mut fields| {
        let (name, of) = (fields.next()?, fields.nth(1)?);
        (of.parse() == Ok(id)).then(|| name.to_owned())
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_the_name_that_the_machine_knows() {
        let users = "root:x:0:0:root:/root:/bin/bash\nnobody\nann:x:1000:100::/home/ann:/bin/sh\n";
        assert_eq!(name_of(users, 1000).as_deref(), Some("ann"));
        assert_eq!(name_of(users, 0).as_deref(), Some("root"));
        assert_eq!(name_of(users, 100), None);
    }
}

//! `divert backup FILE`: the database as it is now, in a file of its own. Nothing has to be stopped
//! for it.

use std::fs::{self, File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

use clap::Args;

use super::terminal::{plain, say};
use super::{Failure, database};
use crate::config::Config;

#[derive(Args, Debug)]
pub struct BackupArgs {
    /// A new file
    file: PathBuf,
}

/// # Errors
/// [`Failure::Input`] for a file that exists, and for a database that is no file.
pub async fn run(args: &BackupArgs, config: &Config) -> anyhow::Result<()> {
    let file = &args.file;
    let name = plain(&file.display().to_string());
    let Some(path) = config.database.sqlite_path() else {
        let text = format!(
            "a Postgres database is backed up by its own tool:\n  pg_dump --format=custom \
             --file={name} 'URL'\nwhere URL is the database of the settings"
        );
        return Err(Failure::Input(text).into());
    };
    if !path.exists() {
        let text = format!("there is no database at {}", path.display());
        return Err(Failure::Input(text).into());
    }
    let db = database::open(config).await?;
    // Made by us, because SQLite would let others read it.
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
    made.map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => Failure::Input(format!("{name} exists: name a new file")),
        _ => Failure::Input(format!("{name}: {error}")),
    })?;
    let written = db.backup(file).await.map_err(|error| database::failure(&error));
    if let Err(failure) = written {
        // Half a backup is none.
        let _ = fs::remove_file(file);
        return Err(failure.into());
    }
    File::open(file)?.sync_all()?;
    let kilobytes = fs::metadata(file)?.len() >> 10;
    say(&format!("{name}: {kilobytes} kB\n"))
}

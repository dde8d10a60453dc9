//! Opening a database: the URL alone picks the engine, and the schema is brought up to date before
//! anybody else sees the pool.
//!
//! `SQLite` migrates inside one immediate transaction, so several processes may open one new file
//! at once; Postgres migrates under an advisory lock.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use futures_util::FutureExt as _;
use sqlx::error::DatabaseError;
use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::pool::PoolOptions;
use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, Database, SqlSafeStr};

use super::{Db, StoreError};

impl Db {
    /// Opens `sqlite:/path/to/file.sqlite` (made if it does not exist), `sqlite::memory:` (one
    /// connection, gone with it) or `postgres://…`, and migrates it.
    ///
    /// # Errors
    /// [`StoreError::Url`], [`StoreError::Folder`], [`StoreError::Foreign`], [`StoreError::Altered`],
    /// [`StoreError::Refused`] and [`StoreError::Newer`] need a person; [`StoreError::Unavailable`] may pass.
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        let (scheme, rest) = url.split_once(':').ok_or(StoreError::Url("that is no URL"))?;
        match scheme {
            "sqlite" if rest == ":memory:" => open_memory().await,
            "sqlite" => open_file(rest.strip_prefix("//").unwrap_or(rest)).await,
            "postgres" | "postgresql" => open_postgres(url).await.map_err(StoreError::at_opening),
            _ => Err(StoreError::Url("divert knows no such kind of database")),
        }
    }
}

async fn open_memory() -> Result<Db, StoreError> {
    let options = sqlite_options().in_memory(true);
    // Every connection would have a database of its own, so there is one, and it is never closed.
    let pool = pool_of(1).idle_timeout(None).max_lifetime(None).connect_with(options).await?;
    migrate_sqlite(&mut *pool.acquire().await?).await?;
    Ok(Db::Sqlite(pool))
}

async fn open_file(path: &str) -> Result<Db, StoreError> {
    if path.is_empty() {
        return Err(StoreError::Url("the URL names no file"));
    }
    let path = PathBuf::from(path);
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    if !folder.is_dir() {
        return Err(StoreError::Folder(folder.to_owned()));
    }
    let opened = async {
        make_private(&path)?;
        open_private(&path).await
    };
    // To SQLite a file of somebody else is one of many that cannot be opened or written.
    opened.await.map_err(|error: StoreError| match somebody_elses(&path) {
        Some(owned) if error.may_retry() => owned,
        _ => error,
    })
}

/// Makes the file before `SQLite` does, so that nobody else may read it, not for an instant. What
/// `SQLite` puts beside it gets the same mode.
fn make_private(path: &Path) -> Result<(), sqlx::Error> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error.into()),
        _ => Ok(()),
    }
}

/// The first of a database's files that we may not write, and whose it is.
fn somebody_elses(path: &Path) -> Option<StoreError> {
    let beside = |end: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(end);
        PathBuf::from(name)
    };
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder.to_owned(),
        _ => PathBuf::from("."),
    };
    let us = fs::metadata("/proc/self").ok()?.uid();
    let all = [path.to_owned(), beside("-wal"), beside("-shm"), folder];
    all.into_iter().find_map(|file| {
        let owner = fs::metadata(&file).ok()?.uid();
        let wanted = rustix::fs::Access::READ_OK | rustix::fs::Access::WRITE_OK;
        let is_ours = rustix::fs::access(&file, wanted) != Err(rustix::io::Errno::ACCESS);
        (!is_ours).then(|| StoreError::Owned { file, owner: user(owner), us: user(us) })
    })
}

/// The name of a user, or the number where `/etc/passwd` (passwd(5)) does not have it.
fn user(id: u32) -> String {
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let mut lines = users.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let found = lines.find(|fields| fields.get(2).is_some_and(|found| *found == id.to_string()));
    found.and_then(|fields| fields.first().map(ToString::to_string)).unwrap_or(id.to_string())
}

async fn open_private(path: &Path) -> Result<Db, StoreError> {
    let options = sqlite_options().filename(path).create_if_missing(true);
    let mut first = connect_file(&options).await?;
    migrate_sqlite(&mut first).await?;
    let pool = pool_of(SQLITE_CONNECTIONS).connect_with(options).await?;
    // Closed only now: the last connection to go would take the write-ahead log away with it.
    first.close().await?;
    Ok(Db::Sqlite(pool))
}

/// The first connection. Turning a new file to WAL needs it for a moment alone, and `SQLite` does
/// not wait for that by itself when others try the same.
async fn connect_file(options: &SqliteConnectOptions) -> Result<SqliteConnection, StoreError> {
    let mut tries = PATIENCE.as_millis() / WAL_PAUSE.as_millis();
    loop {
        let refused = match options.connect().await {
            Ok(connection) => return Ok(connection),
            Err(refused) => refused,
        };
        let code = refused.as_database_error().and_then(DatabaseError::code).unwrap_or_default();
        match code.parse::<i64>().unwrap_or_default() & 0xff {
            SQLITE_BUSY if tries > 0 => tries -= 1,
            SQLITE_NOT_A_DATABASE => {
                return Err(StoreError::Foreign("it is no SQLite file".to_owned()));
            }
            _ => return Err(refused.into()),
        }
        tokio::time::sleep(WAL_PAUSE).await;
    }
}

fn sqlite_options() -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .busy_timeout(SQLITE_BUSY_TIMEOUT)
        .foreign_keys(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Normal)
        .disable_statement_logging()
}

/// Connections that are lent out again only when their last transaction is over. `SQLite` ends one by
/// itself when the disk is full, reading or writing fails, or memory runs out; the driver goes on
/// counting it, and would refuse every later one on that connection.
fn pool_of<DB: Database>(connections: u32) -> PoolOptions<DB> {
    PoolOptions::new().max_connections(connections).acquire_timeout(PATIENCE).after_release(
        |connection: &mut DB::Connection, _| {
            async move {
                // A rollback may still be on its way: the answer comes after it.
                connection.ping().await?;
                Ok(!connection.is_in_transaction())
            }
            .boxed()
        },
    )
}

async fn migrate_sqlite(connection: &mut SqliteConnection) -> Result<(), StoreError> {
    let mut tx = connection.begin_with("BEGIN IMMEDIATE").await?;
    let tables: Vec<String> = sqlx::query_scalar(SQLITE_TABLES).fetch_all(&mut *tx).await?;
    refuse_foreign(&tables)?;
    migrator().run_direct(None, &mut *tx, false).await.map_err(migration_failed)?;
    tx.commit().await?;
    Ok(())
}

async fn open_postgres(url: &str) -> Result<Db, StoreError> {
    // The parser's own message might quote the URL, and with it the password.
    let options = PgConnectOptions::from_str(url)
        .map_err(|_| StoreError::Url("that is no URL of a Postgres database"))?
        .application_name("divert")
        .disable_statement_logging();
    let mut first = tokio::time::timeout(PATIENCE, options.connect())
        .await
        .map_err(|_| StoreError::Unavailable(sqlx::Error::PoolTimedOut))??;
    prepare_postgres(&mut first).await?;
    migrator().run_direct(None, &mut first, false).await.map_err(migration_failed)?;
    first.close().await?;
    let pool = pool_of(POSTGRES_CONNECTIONS).connect_with(options).await?;
    Ok(Db::Postgres(pool))
}

/// What must stand before the first migration, and would be no SQL on `SQLite`: a collation with
/// the name that `SQLite` gives to byte order.
async fn prepare_postgres(connection: &mut PgConnection) -> Result<(), StoreError> {
    let mut tx = connection.begin().await?;
    // Released with the transaction; of two nodes, the second finds everything done.
    sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(PREPARING).execute(&mut *tx).await?;
    let tables: Vec<String> = sqlx::query_scalar(POSTGRES_TABLES).fetch_all(&mut *tx).await?;
    refuse_foreign(&tables)?;
    let known: bool = sqlx::query_scalar(POSTGRES_HAS_COLLATION).fetch_one(&mut *tx).await?;
    if !known {
        sqlx::query(r#"CREATE COLLATION "BINARY" FROM "C""#).execute(&mut *tx).await?;
    }
    tx.commit().await?;
    Ok(())
}

/// Tables, but none that says which migrations made them: that is somebody else's database.
fn refuse_foreign(tables: &[String]) -> Result<(), StoreError> {
    match tables.first() {
        Some(table) if !tables.iter().any(|table| table == "_sqlx_migrations") => {
            Err(StoreError::Foreign(format!("it has a table {table:?}")))
        }
        _ => Ok(()),
    }
}

fn migration_failed(error: MigrateError) -> StoreError {
    match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => error.into(),
        MigrateError::VersionMissing(version) => StoreError::Newer(version),
        MigrateError::VersionMismatch(version) => StoreError::Altered(version),
        other => StoreError::Internal(sqlx::Error::Migrate(Box::new(other))),
    }
}

/// The files of `migrations/`. Once released, a file never changes again; a new one is added here.
fn migrator() -> Migrator {
    let migration = |(version, name, sql): (i64, &'static str, &'static str)| {
        Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
    };
    Migrator::with_migrations(MIGRATIONS.map(migration).into())
}

const MIGRATIONS: [(i64, &str, &str); 1] =
    [(1, "schema", include_str!("../../migrations/0001_schema.sql"))];

/// How long anything waits for the database before it is called unavailable.
const PATIENCE: Duration = Duration::from_secs(5);
const SQLITE_BUSY_TIMEOUT: Duration = Duration::from_secs(5);
const WAL_PAUSE: Duration = Duration::from_millis(10);
/// Readers run side by side; writers queue for the one write lock whatever their number.
const SQLITE_CONNECTIONS: u32 = 8;
const POSTGRES_CONNECTIONS: u32 = 10;
/// How many file descriptors the pool may need at once: a connection to `SQLite` has the database, its
/// log and now and then a temporary file.
pub const DESCRIPTORS: usize = 3 * SQLITE_CONNECTIONS as usize;
const SQLITE_BUSY: i64 = 5;
const SQLITE_NOT_A_DATABASE: i64 = 26;
/// "divert" in ASCII: the key of an advisory lock must be a number of one's own.
const PREPARING: i64 = 0x6469_7665_7274;

const SQLITE_TABLES: &str = "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name";
const POSTGRES_TABLES: &str = "SELECT CAST(table_name AS TEXT) FROM information_schema.tables \
    WHERE table_schema = current_schema() AND table_type = 'BASE TABLE' ORDER BY table_name";
const POSTGRES_HAS_COLLATION: &str = "SELECT EXISTS (SELECT 1 FROM pg_collation \
    WHERE collname = 'BINARY' AND collnamespace = CAST(current_schema() AS regnamespace))";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_migrations_is_run() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
        let mut files: Vec<String> = folder
            .read_dir()
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        files.sort();
        let run = MIGRATIONS.map(|(version, name, _)| format!("{version:04}_{name}.sql"));
        assert_eq!(files, run);
    }
}

//! A fresh database on either engine.
//!
//! `SQLite`: a file in a temporary directory. Postgres: a database of its own on the cluster that
//! `DIVERT_TEST_POSTGRES` names, or on one that this process starts with `scripts/postgres-test`.
//! A cluster of our own ends with the process, however that ends: a shell holds the other end of a
//! pipe, and stops the cluster when the pipe closes.

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use divert::store::Db;
use sqlx::{Connection, Executor, PgConnection};
use tempfile::TempDir;

use super::OTHER;

#[derive(Clone, Copy, Debug)]
pub enum Engine {
    Postgres,
    Sqlite,
}

/// An empty place for a database, not opened yet.
pub struct Place {
    pub url: String,
    folder: Option<TempDir>,
}

/// An open database and what must outlive it.
pub struct TestStore {
    pub db: Db,
    pub place: Place,
}

impl Engine {
    pub async fn place(self) -> Place {
        match self {
            Self::Postgres => Place { url: new_postgres_database().await, folder: None },
            Self::Sqlite => {
                let folder = TempDir::new().unwrap();
                let file = folder.path().join("divert.sqlite");
                Place { url: format!("sqlite:{}", file.display()), folder: Some(folder) }
            }
        }
    }

    pub async fn store(self) -> TestStore {
        let place = self.place().await;
        let db = Db::open(&place.url).await.unwrap();
        TestStore { db, place }
    }
}

impl Place {
    /// The directory of a `SQLite` file.
    pub fn folder(&self) -> Option<&std::path::Path> {
        self.folder.as_ref().map(TempDir::path)
    }
}

impl TestStore {
    /// Adds the account [`OTHER`].
    pub async fn with_other_account(self) -> Self {
        let sql = format!("INSERT INTO account (id, name) VALUES ('{OTHER}', 'other')");
        self.execute(&sql).await;
        self
    }

    /// Runs a statement behind the store's back.
    pub async fn execute(&self, sql: &str) {
        self.try_execute(sql).await.unwrap();
    }

    /// As [`TestStore::execute`], where the database may refuse.
    pub async fn try_execute(&self, sql: &str) -> Result<(), sqlx::Error> {
        let sql = sqlx::AssertSqlSafe(sql.to_owned());
        match &self.db {
            Db::Postgres(pool) => pool.execute(sql).await.map(drop),
            Db::Sqlite(pool) => pool.execute(sql).await.map(drop),
        }
    }

    /// The one text that a query finds.
    pub async fn text(&self, sql: &str) -> String {
        let sql = sqlx::AssertSqlSafe(sql.to_owned());
        match &self.db {
            Db::Postgres(pool) => sqlx::query_scalar(sql).fetch_one(pool).await.unwrap(),
            Db::Sqlite(pool) => sqlx::query_scalar(sql).fetch_one(pool).await.unwrap(),
        }
    }

    /// How many rows a table has, over all accounts.
    pub async fn count(&self, table: &str) -> i64 {
        let sql = sqlx::AssertSqlSafe(format!("SELECT COUNT(*) FROM {table}"));
        match &self.db {
            Db::Postgres(pool) => sqlx::query_scalar(sql).fetch_one(pool).await.unwrap(),
            Db::Sqlite(pool) => sqlx::query_scalar(sql).fetch_one(pool).await.unwrap(),
        }
    }
}

/// A database whose locale sorts unlike bytes do: in Estonian, `z` stands before `t`.
async fn new_postgres_database() -> String {
    let cluster = cluster_url();
    let mut admin = PgConnection::connect(cluster)
        .await
        .unwrap_or_else(|error| panic!("no Postgres for the tests at {cluster}: {error}"));
    let name = format!("t_{:x}", divert::clock::mint());
    let create = format!(
        "CREATE DATABASE {name} TEMPLATE template0 ENCODING 'UTF8' LOCALE 'C' \
         LOCALE_PROVIDER icu ICU_LOCALE 'et'"
    );
    admin.execute(sqlx::AssertSqlSafe(create)).await.unwrap();
    admin.close().await.unwrap();
    let mut url = url::Url::parse(cluster).unwrap();
    url.set_path(&name);
    url.into()
}

fn cluster_url() -> &'static str {
    static URL: OnceLock<(String, Option<Child>)> = OnceLock::new();
    let (url, _keeper) = URL.get_or_init(|| {
        if let Ok(url) = std::env::var("DIVERT_TEST_POSTGRES") {
            return (url, None);
        }
        let (url, keeper) = start_cluster();
        (url, Some(keeper))
    });
    url
}

fn start_cluster() -> (String, Child) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/postgres-test");
    let folder = tempfile::Builder::new().prefix("divert-test-").tempdir().unwrap().keep();
    // One shell starts and stops it: there is no moment at which nobody would.
    let mut keeper = Command::new("/bin/sh")
        .args(["-c", r#""$0" start "$1"; exec >/dev/null 2>&1; cat; exec "$0" stop "$1""#, script])
        .arg(&folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("cannot run /bin/sh: {error}"));
    let (mut url, mut complaint) = (String::new(), String::new());
    keeper.stdout.take().unwrap().read_to_string(&mut url).unwrap();
    keeper.stderr.take().unwrap().read_to_string(&mut complaint).unwrap();
    assert!(!url.is_empty(), "the store tests need Postgres: {}", complaint.trim());
    (url.trim().to_owned(), keeper)
}

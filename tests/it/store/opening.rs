//! Opening a database: URLs, migrations, and what is refused.

use std::os::unix::fs::PermissionsExt as _;

use divert::model::change::Changes;
use divert::model::configuration::Configuration;
use divert::store::{Db, StoreError, Version};
use rstest::rstest;
use sqlx::{Connection, Row};

use super::edit::author;
use super::engine::Engine;
use super::{ACCOUNT, NOW};

#[rstest]
#[tokio::test]
async fn a_new_database_has_the_default_account_and_nothing_else(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let store = engine.store().await;
    store.db.ping().await.unwrap();
    assert_eq!(store.db.accounts().await.unwrap(), [ACCOUNT]);
    assert_eq!(store.db.versions().await.unwrap(), [(ACCOUNT, Version::default())].into());
    let (configuration, version) = store.db.configuration(ACCOUNT).await.unwrap();
    assert_eq!((configuration, version), (Configuration::default(), 0));
}

#[rstest]
#[tokio::test]
async fn opening_again_changes_nothing(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let store = engine.store().await;
    store.execute("UPDATE account SET version = 7").await;
    let migrations = store.count("_sqlx_migrations").await;
    let again = Db::open(&store.place.url).await.unwrap();
    assert_eq!(again.versions().await.unwrap()[&ACCOUNT].configuration, 7);
    assert_eq!(store.count("_sqlx_migrations").await, migrations);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn six_nodes_may_open_one_new_database_at_once(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    for _ in 0..3 {
        let place = engine.place().await;
        let opening: Vec<_> = (0..6)
            .map(|_| {
                let url = place.url.clone();
                tokio::spawn(async move { Db::open(&url).await })
            })
            .collect();
        for opened in opening {
            let db = opened.await.unwrap().unwrap();
            assert_eq!(db.accounts().await.unwrap(), [ACCOUNT]);
        }
    }
}

#[rstest]
#[tokio::test]
async fn the_schema_of_a_newer_divert_is_refused(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let store = engine.store().await;
    store
        .execute(
            "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
             SELECT 9999, 'from the future', success, checksum, 0 FROM _sqlx_migrations \
             WHERE version = 1",
        )
        .await;
    let refused = Db::open(&store.place.url).await.unwrap_err();
    assert!(matches!(refused, StoreError::Newer(9999)), "{refused:?}");
    assert!(refused.to_string().contains("newer divert"), "{refused}");
    assert!(!refused.may_retry());
}

#[rstest]
#[tokio::test]
async fn the_database_of_another_program_is_refused_and_left_alone(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let store = engine.store().await;
    store.execute("DROP TABLE _sqlx_migrations").await;
    let refused = Db::open(&store.place.url).await.unwrap_err();
    assert!(matches!(refused, StoreError::Foreign(_)), "{refused:?}");
    assert!(refused.to_string().contains("not made by divert"), "{refused}");
    // Refused before anything was written.
    assert!(matches!(Db::open(&store.place.url).await, Err(StoreError::Foreign(_))));
}

#[rstest]
#[tokio::test]
async fn the_database_of_a_version_with_other_migrations_is_refused_with_what_to_do(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let other = engine.store().await;
    let mend = "UPDATE _sqlx_migrations SET checksum = 'other'";
    other.execute(mend).await;
    let refused = Db::open(&other.place.url).await.unwrap_err();
    assert!(matches!(refused, StoreError::Altered(1)), "{refused:?}");
    let text = refused.to_string();
    assert!(text.contains("another development version of divert (its migration 1"), "{text}");
    assert!(text.contains("'divert export' of that version"), "{text}");
    assert!(!refused.may_retry());
}

#[tokio::test]
async fn a_file_that_is_no_database_is_refused() {
    let place = Engine::Sqlite.place().await;
    let file = place.folder().unwrap().join("divert.sqlite");
    std::fs::write(&file, "not a database at all, but long enough to have a header".repeat(20))
        .unwrap();
    let refused = Db::open(&place.url).await.unwrap_err();
    assert!(matches!(refused, StoreError::Foreign(_)), "{refused:?}");
}

#[tokio::test]
async fn a_file_in_no_directory_is_refused_with_the_directory() {
    let place = Engine::Sqlite.place().await;
    let absent = place.folder().unwrap().join("absent");
    let refused = Db::open(&format!("sqlite:{}/d.sqlite", absent.display())).await.unwrap_err();
    assert!(matches!(refused, StoreError::Folder(_)), "{refused:?}");
    assert!(refused.to_string().contains(absent.to_str().unwrap()), "{refused}");
}

#[tokio::test]
async fn a_new_file_is_for_its_owner_alone_and_so_is_what_stands_beside_it() {
    let store = Engine::Sqlite.store().await;
    let folder = store.place.folder().unwrap();
    store.execute("UPDATE account SET version = 7").await;
    let modes: Vec<(String, u32)> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
            (entry.file_name().into_string().unwrap(), mode)
        })
        .collect();
    assert_eq!(modes.len(), 3, "{modes:?}");
    assert!(modes.iter().all(|(_, mode)| *mode == 0o600), "{modes:?}");
}

#[tokio::test]
async fn a_file_may_be_named_with_and_without_slashes() {
    let place = Engine::Sqlite.place().await;
    let file = place.folder().unwrap().join("divert.sqlite");
    drop(Db::open(&format!("sqlite://{}", file.display())).await.unwrap());
    assert!(file.is_file());
    drop(Db::open(&place.url).await.unwrap());
}

#[tokio::test]
async fn sqlite_runs_with_the_settings_that_calls_rely_on() {
    let store = Engine::Sqlite.store().await;
    let Db::Sqlite(pool) = &store.db else { unreachable!() };
    let mut connection = pool.acquire().await.unwrap();
    let mut pragma = async |sql: &'static str| {
        let row = sqlx::query(sql).fetch_one(&mut *connection).await.unwrap();
        row.try_get::<String, _>(0).unwrap_or_else(|_| row.get::<i64, _>(0).to_string())
    };
    assert_eq!(pragma("PRAGMA journal_mode").await, "wal");
    assert_eq!(pragma("PRAGMA synchronous").await, "1");
    assert_eq!(pragma("PRAGMA foreign_keys").await, "1");
    assert_eq!(pragma("PRAGMA busy_timeout").await, "5000");
}

#[tokio::test]
async fn a_database_in_memory_lives_as_long_as_its_pool() {
    let db = Db::open("sqlite::memory:").await.unwrap();
    let asking: Vec<_> = (0..10)
        .map(|_| {
            let db = db.clone();
            tokio::spawn(async move { db.accounts().await })
        })
        .collect();
    for asked in asking {
        assert_eq!(asked.await.unwrap().unwrap(), [ACCOUNT]);
    }
}

#[tokio::test]
async fn a_wrong_url_says_what_to_type() {
    for url in ["", "divert.sqlite", "mysql://u@h/d", "sqlite:", "postgres://u:hunter2@h:x/d"] {
        let refused = Db::open(url).await.unwrap_err();
        assert!(matches!(refused, StoreError::Url(_)), "{url}: {refused:?}");
        assert!(refused.to_string().contains("sqlite:/path/to/file.sqlite"), "{refused}");
        assert!(!format!("{refused} {refused:?}").contains("hunter2"));
    }
}

#[tokio::test]
async fn no_error_prints_the_password() {
    // A port that was free a moment ago; nobody listens there.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("postgres://divert:hunter2@127.0.0.1:{port}/divert");
    let refused = Db::open(&url).await.unwrap_err();
    assert!(matches!(refused, StoreError::Unavailable(_)), "{refused:?}");
    assert!(refused.may_retry());
    assert!(!format!("{refused} {refused:?} {refused:#?}").contains("hunter2"));

    let store = Engine::Postgres.store().await;
    let mut url = url::Url::parse(&store.place.url).unwrap();
    // The cluster of the tests trusts everybody, whatever the password.
    url.set_password(Some("hunter2")).unwrap();
    let db = Db::open(url.as_str()).await.unwrap();
    assert!(!format!("{db:?} {db:#?}").contains("hunter2"));
    url.set_path("absent");
    let refused = Db::open(url.as_str()).await.unwrap_err();
    assert!(refused.to_string().contains("absent"), "{refused}");
    assert!(!format!("{refused} {refused:?} {refused:#?}").contains("hunter2"));
}

/// What only a person mends: a user or database that is not there, or a right that is missing.
#[tokio::test]
async fn a_postgres_that_refuses_the_settings_is_not_waited_for_once_it_was_open_it_is_away() {
    let place = Engine::Postgres.place().await;
    let with = |user: &str, database: &str| {
        let mut url = url::Url::parse(&place.url).unwrap();
        url.set_username(user).unwrap();
        url.set_path(database);
        url
    };
    let admin = url::Url::parse(&place.url).unwrap();
    let (us, database) = (admin.username(), admin.path().trim_start_matches('/'));
    let nobody = format!("nobody_{database}");
    for (url, told) in [(with(&nobody, database), &*nobody), (with(us, "absent"), "absent")] {
        let refused = Db::open(url.as_str()).await.unwrap_err();
        assert!(matches!(refused, StoreError::Refused(_)), "{refused:?}");
        assert!(!refused.may_retry());
        let text = refused.to_string();
        assert!(text.contains(told) && text.contains("check the user, the password"), "{text}");
    }

    let mut connection = sqlx::PgConnection::connect(&place.url).await.unwrap();
    let mut execute = async |sql: String| {
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
    };
    execute(format!("CREATE ROLE {nobody} LOGIN")).await;
    execute("REVOKE CREATE ON SCHEMA public FROM public".to_owned()).await;
    let url = with(&nobody, database);
    let refused = Db::open(url.as_str()).await.unwrap_err();
    assert!(matches!(refused, StoreError::Refused(_)), "{refused:?}");
    assert!(refused.to_string().contains("permission denied"), "{refused}");

    execute(format!("GRANT CREATE ON SCHEMA public TO {nobody}")).await;
    let db = Db::open(url.as_str()).await.unwrap();
    db.ping().await.unwrap();
    execute(format!("ALTER ROLE {nobody} NOLOGIN")).await;
    let end = format!(
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE usename = '{nobody}'"
    );
    execute(end).await;
    let away = db.ping().await.unwrap_err();
    assert!(matches!(away, StoreError::Unavailable(_)), "{away:?}");
    execute(format!("ALTER ROLE {nobody} LOGIN")).await;
    db.ping().await.unwrap();
    let Db::Postgres(pool) = &db else { unreachable!() };
    pool.close().await;
    execute(format!("DROP OWNED BY {nobody}; DROP ROLE {nobody}")).await;
}

#[tokio::test]
async fn a_lost_connection_is_replaced() {
    let store = Engine::Postgres.store().await;
    let Db::Postgres(pool) = &store.db else { unreachable!() };
    let mut admin = sqlx::PgConnection::connect(&store.place.url).await.unwrap();
    for _ in 0..3 {
        store.db.ping().await.unwrap();
        assert!(pool.size() > 0);
        // Waits until they are gone.
        let ended: Vec<bool> = sqlx::query_scalar(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity \
             WHERE datname = current_database() AND pid <> pg_backend_pid() \
             AND backend_type = 'client backend'",
        )
        .fetch_all(&mut admin)
        .await
        .unwrap();
        assert!(!ended.is_empty() && ended.iter().all(|ended| *ended));
        assert_eq!(store.db.accounts().await.unwrap(), [ACCOUNT]);
    }
}

#[tokio::test]
async fn a_database_that_stays_locked_is_unavailable_and_nothing_worse() {
    let store = Engine::Sqlite.store().await;
    let Db::Sqlite(pool) = &store.db else { unreachable!() };
    let lock = pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let nothing = Changes::default();
    let refused = store.db.change(ACCOUNT, 0, &nothing, &author(), NOW).await.unwrap_err();
    assert!(matches!(refused, StoreError::Unavailable(_)), "{refused:?}");
    assert!(refused.may_retry());
    // Reading goes on meanwhile.
    assert_eq!(store.db.configuration(ACCOUNT).await.unwrap().1, 0);
    lock.rollback().await.unwrap();
    assert_eq!(store.db.change(ACCOUNT, 0, &nothing, &author(), NOW).await.unwrap(), 1);
}

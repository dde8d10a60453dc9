//! A database that is away: full, cut off, or ending transactions by itself. Whatever is asked of it
//! then is said to be unavailable, has no effect at all, and works again afterwards on the same
//! connections.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::{Duration, Instant};

use divert::model::configuration::Configuration;
use divert::model::id::{CallId, KeyId};
use divert::model::objects::account::AccountSettings;
use divert::store::{ApiKey, CallFilter, CdrFilter, Db, Record, StoreError};
use rstest::rstest;
use sqlx::Connection;

use super::billing::cdr;
use super::calls::{call_of, ended, ended_leg, leg_of};
use super::disk::SmallDisk;
use super::edit::{Edit, author, changes};
use super::engine::{Engine, TestStore};
use super::{ACCOUNT, NOW};

/// More often than the pool has connections.
const TRIES: u128 = 30;

/// Rows of one answered call.
fn rows(call: u128) -> Vec<Record> {
    vec![call_of(ended(call)), leg_of(ended_leg(call, 1)), Record::Cdr(cdr(call, 1))]
}

fn is_away<T: std::fmt::Debug>(answer: Result<T, StoreError>) {
    let error = answer.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
}

async fn calls_and_bills(db: &Db) -> (usize, usize) {
    let calls = db.calls(ACCOUNT, &CallFilter::default(), None, 1_000).await.unwrap();
    let bills = db.cdrs(ACCOUNT, &CdrFilter::default(), None, 1_000).await.unwrap();
    (calls.len(), bills.len())
}

#[tokio::test]
async fn a_full_disk_is_unavailable_for_everything_that_writes_until_there_is_room() {
    let disk = SmallDisk::new("6m");
    let db = Db::open(&disk.url()).await.unwrap();
    db.record("a", &rows(1)).await.unwrap();
    disk.fill();
    let key = ApiKey {
        id: KeyId::new(1),
        name: "key".into(),
        sha256: [0; 32],
        scopes: vec!["x".repeat(20_000)],
        created_at: NOW,
        expires_at: None,
        revoked_at: None,
    };
    let settings = AccountSettings { max_live: Some(7), ..Default::default() };
    let settings = changes(&Configuration::default(), &[Edit::Account(settings)]);
    let mut refused = 0;
    for call in 0..TRIES {
        // The log of writes may still have room for a few pages, but not for many.
        let batch: Vec<Record> = (0..100).flat_map(|no| rows(1_000 * (call + 1) + no)).collect();
        is_away(db.record("a", &batch).await);
        is_away(db.add_key(ACCOUNT, &key).await);
        if let Err(error) = db.change(ACCOUNT, 0, &settings, &author(), NOW).await {
            assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
            refused += 1;
        }
        let answer = "x".repeat(20_000);
        is_away(match db.begin_request(ACCOUNT, "key", "print", NOW).await {
            Ok(_) => db.finish_request(ACCOUNT, "key", 200, &answer).await,
            Err(error) => Err(error),
        });
    }
    assert!(refused > 0, "a change was written though nothing has room");
    assert_eq!(calls_and_bills(&db).await, (1, 1), "nothing was written by halves");

    disk.free();
    for call in 2..2 + TRIES {
        db.record("a", &rows(call)).await.unwrap();
    }
    db.add_key(ACCOUNT, &key).await.unwrap();
    let version = db.configuration(ACCOUNT).await.unwrap().1;
    db.change(ACCOUNT, version, &settings, &author(), NOW).await.unwrap();
    assert_eq!(calls_and_bills(&db).await, (31, 31));
}

/// Makes every row of a call with this name end the transaction that wants to write it.
async fn end_transactions(store: &TestStore) {
    store
        .execute(
            "CREATE TRIGGER ends BEFORE INSERT ON call WHEN new.caller_name = 'ends' \
             BEGIN SELECT RAISE(ROLLBACK, 'over'); END",
        )
        .await;
}

#[tokio::test]
async fn a_connection_whose_transaction_ended_by_itself_is_not_used_again() {
    let store = Engine::Sqlite.store().await;
    end_transactions(&store).await;
    let mut call = ended(1);
    call.caller.name = "ends".into();
    for good in 2..2 + TRIES {
        assert!(store.db.record("a", &[call_of(call.clone())]).await.is_err());
        store.db.record("a", &rows(good)).await.unwrap();
    }
    assert_eq!(calls_and_bills(&store.db).await, (30, 30));
}

/// What Postgres says when it stops, has no room, no memory or no rights, or prefers another
/// transaction: appendix A of its manual.
#[rstest]
#[tokio::test]
async fn a_state_of_postgres_is_no_refusal(
    #[values(
        "53100", "53200", "53300", "57014", "57P01", "58030", "40001", "40P01", "25006", "42501",
        "42P01", "55P03", "XX000", "XX001"
    )]
    code: &str,
) {
    let store = Engine::Postgres.store().await;
    let raise = format!("BEGIN RAISE EXCEPTION 'not now' USING ERRCODE = '{code}'; END");
    let function = format!(
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS '{}'",
        raise.replace('\'', "''")
    );
    store.execute(&function).await;
    // At the bill, when the call is written already.
    store.execute("CREATE TRIGGER t BEFORE INSERT ON cdr EXECUTE FUNCTION f()").await;
    is_away(store.db.record("a", &rows(1)).await);
    assert_eq!(calls_and_bills(&store.db).await, (0, 0));
    store.execute("DROP TRIGGER t ON cdr").await;
    store.db.record("a", &rows(1)).await.unwrap();
    assert_eq!(calls_and_bills(&store.db).await, (1, 1));
}

#[tokio::test]
async fn a_connection_lost_in_the_middle_of_a_transaction_costs_nothing() {
    let store = Engine::Postgres.store().await;
    let mut admin = sqlx::PgConnection::connect(&store.place.url).await.unwrap();
    // Within a transaction Postgres would show the same activity again and again.
    let mut watcher = sqlx::PgConnection::connect(&store.place.url).await.unwrap();
    store.db.record("a", &rows(1)).await.unwrap();
    for call in 2..5 {
        let mut lock = admin.begin().await.unwrap();
        sqlx::query("LOCK TABLE balance").execute(&mut *lock).await.unwrap();
        let db = store.db.clone();
        // Its call is written, its bill too; it waits for the balance.
        let waiting = tokio::spawn(async move { db.record("a", &rows(call)).await });
        let end = "SELECT COUNT(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity \
                   WHERE datname = current_database() AND wait_event_type = 'Lock'";
        let mut ended: i64 = 0;
        while ended == 0 {
            ended = sqlx::query_scalar(end).fetch_one(&mut watcher).await.unwrap();
        }
        is_away(waiting.await.unwrap());
        lock.rollback().await.unwrap();
        assert!(store.db.call(ACCOUNT, CallId::new(call)).await.unwrap().is_none());
        store.db.record("a", &rows(call)).await.unwrap();
    }
    assert_eq!(calls_and_bills(&store.db).await, (4, 4));
}

/// Waits for something only so often that there is news of it.
async fn give_up_after(news: u32, waited_for: impl Future) {
    let mut waited_for = pin!(waited_for);
    let mut left = news;
    poll_fn(|context| {
        let is_over = waited_for.as_mut().poll(context).is_ready();
        left -= 1;
        if is_over || left == 0 { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

#[tokio::test]
async fn a_transaction_given_up_while_it_begins_is_not_left_open() {
    let store = Engine::Postgres.store().await;
    let mut admin = sqlx::PgConnection::connect(&store.place.url).await.unwrap();
    let open = "SELECT COUNT(*) FROM pg_stat_activity WHERE datname = current_database() \
                AND state LIKE 'idle in transaction%'";
    // At every point where it waits for Postgres.
    for news in 1..20 {
        give_up_after(news, store.db.settle_slots("a", &[], &[])).await;
        store.db.ping().await.unwrap();
        let begun = Instant::now();
        while sqlx::query_scalar::<_, i64>(open).fetch_one(&mut admin).await.unwrap() > 0 {
            assert!(begun.elapsed() < Duration::from_secs(10), "a transaction is left open");
        }
    }
}

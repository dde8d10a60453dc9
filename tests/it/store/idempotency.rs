//! Requests that may be sent twice.

use divert::model::id::AccountId;
use divert::store::{Begun, StoreError};
use rstest::rstest;

use super::engine::Engine;
use super::{ACCOUNT, NOW, OTHER};

const MINUTE: i64 = 60_000;
const DAY: i64 = 24 * 60 * MINUTE;

#[rstest]
#[tokio::test]
async fn the_first_is_served_and_the_others_get_its_answer(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let store = engine.store().await.with_other_account().await;
    let begin = async |account, fingerprint| {
        store.db.begin_request(account, "k", fingerprint, NOW).await.unwrap()
    };
    assert_eq!(begin(ACCOUNT, "a").await, Begun::Fresh);
    assert_eq!(begin(ACCOUNT, "a").await, Begun::InProgress);
    assert_eq!(begin(ACCOUNT, "b").await, Begun::OtherBody);
    assert_eq!(begin(OTHER, "b").await, Begun::Fresh, "each account has keys of its own");

    store.db.finish_request(ACCOUNT, "k", 201, "{\"id\":1}").await.unwrap();
    let done = Begun::Done { status: 201, body: "{\"id\":1}".into() };
    assert_eq!(begin(ACCOUNT, "a").await, done);
    assert_eq!(begin(ACCOUNT, "b").await, Begun::OtherBody);
    assert_eq!(begin(OTHER, "b").await, Begun::InProgress);

    // The first answer stays, and so does its row.
    store.db.finish_request(ACCOUNT, "k", 500, "").await.unwrap();
    store.db.forget_request(ACCOUNT, "k").await.unwrap();
    assert_eq!(begin(ACCOUNT, "a").await, done);
}

#[rstest]
#[tokio::test]
async fn a_request_that_was_forgotten_is_served_again(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let store = engine.store().await.with_other_account().await;
    let begin =
        async |fingerprint| store.db.begin_request(ACCOUNT, "k", fingerprint, NOW).await.unwrap();
    assert_eq!(begin("a").await, Begun::Fresh);
    store.db.forget_request(OTHER, "k").await.unwrap();
    assert_eq!(begin("a").await, Begun::InProgress);
    store.db.forget_request(ACCOUNT, "k").await.unwrap();
    assert_eq!(begin("b").await, Begun::Fresh);
}

#[rstest]
#[tokio::test]
async fn the_place_of_a_dead_request_is_taken_after_a_minute(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let store = engine.store().await;
    let begin = async |fingerprint, after| {
        store.db.begin_request(ACCOUNT, "k", fingerprint, NOW.plus_ms(after)).await.unwrap()
    };
    assert_eq!(begin("a", 0).await, Begun::Fresh);
    assert_eq!(begin("a", MINUTE).await, Begun::InProgress);
    assert_eq!(begin("a", MINUTE + 1).await, Begun::Fresh);
    assert_eq!(begin("a", MINUTE + 2).await, Begun::InProgress, "its minute begins anew");
}

#[rstest]
#[tokio::test]
async fn an_answer_is_kept_for_a_day_and_then_swept(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let store = engine.store().await;
    let begin = async |key, after| {
        store.db.begin_request(ACCOUNT, key, "a", NOW.plus_ms(after)).await.unwrap()
    };
    for key in ["k", "l"] {
        assert_eq!(begin(key, 0).await, Begun::Fresh);
        store.db.finish_request(ACCOUNT, key, 200, "").await.unwrap();
    }
    assert_eq!(begin("k", DAY).await, Begun::Done { status: 200, body: String::new() });
    assert_eq!(begin("k", DAY + 1).await, Begun::Fresh);
    assert_eq!(store.count("request").await, 1, "the other old answer is gone as well");
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_forty_at_once_exactly_one_is_served(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let store = engine.store().await;
    // Once with a free key, once with the row of a dead request to take over.
    for after in [0, 2 * MINUTE] {
        let begun: Vec<_> = (0..40)
            .map(|_| {
                let db = store.db.clone();
                let now = NOW.plus_ms(after);
                tokio::spawn(async move { db.begin_request(ACCOUNT, "k", "a", now).await })
            })
            .collect();
        let mut fresh = 0;
        for task in begun {
            match task.await.unwrap().unwrap() {
                Begun::Fresh => fresh += 1,
                other => assert_eq!(other, Begun::InProgress),
            }
        }
        assert_eq!(fresh, 1);
    }
}

#[rstest]
#[tokio::test]
async fn a_request_needs_an_account(#[values(Engine::Sqlite, Engine::Postgres)] engine: Engine) {
    let store = engine.store().await;
    let refused = store.db.begin_request(AccountId::new(77), "k", "a", NOW).await;
    assert!(matches!(refused, Err(StoreError::NoAccount)), "{refused:?}");
}

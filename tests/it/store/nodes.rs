//! What a node remembers.

use rstest::rstest;

use super::NOW;
use super::engine::Engine;

#[rstest]
#[tokio::test]
async fn each_node_remembers_when_its_asterisk_was_started(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let store = engine.store().await;
    assert_eq!(store.db.startup("a").await.unwrap(), None);
    for startup in ["2026-11-21T01:00:00.000+0000", "2026-11-21T02:00:00.000+0000"] {
        store.db.remember_startup("a", startup).await.unwrap();
        assert_eq!(store.db.startup("a").await.unwrap().as_deref(), Some(startup));
    }
    assert_eq!(store.db.startup("b").await.unwrap(), None);
}

#[rstest]
#[tokio::test]
async fn each_node_remembers_up_to_when_it_listened(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let store = engine.store().await;
    store.db.remember_heard("a", NOW).await.unwrap();
    assert_eq!(store.db.heard_at("a").await.unwrap(), None, "nobody knows that node");
    for node in ["a", "b"] {
        store.db.remember_startup(node, "2026-11-21T01:00:00.000+0000").await.unwrap();
    }
    assert_eq!(store.db.heard_at("a").await.unwrap(), None);
    for at in [NOW, NOW.plus_ms(2_000)] {
        store.db.remember_heard("a", at).await.unwrap();
        assert_eq!(store.db.heard_at("a").await.unwrap(), Some(at));
    }
    // Asterisk was restarted: what was heard before stays known.
    store.db.remember_startup("a", "2026-11-21T02:00:00.000+0000").await.unwrap();
    assert_eq!(store.db.heard_at("a").await.unwrap(), Some(NOW.plus_ms(2_000)));
    assert_eq!(store.db.heard_at("b").await.unwrap(), None);
}

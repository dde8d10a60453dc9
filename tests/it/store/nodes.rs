//! What a node remembers.

use rstest::rstest;

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

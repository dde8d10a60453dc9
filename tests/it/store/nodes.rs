//! What a node remembers.

use divert::model::id::{CallId, LegId, ServerId, TrunkId};
use divert::model::slot::{Holding, Limit, Scope};
use divert::store::Record;
use divert::store::nodes::NodeUse;
use rstest::rstest;

use super::engine::Engine;
use super::{ACCOUNT, NOW};

#[rstest]
#[tokio::test]
async fn each_node_remembers_when_its_asterisk_was_started(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let store = engine.store().await;
    assert_eq!(store.db.startup("a").await.unwrap(), None);
    for startup in ["2026-11-21T01:00:00.000+0000", "2026-11-21T02:00:00.000+0000"] {
        store.db.record("a", &[Record::Startup { of: startup.to_owned() }]).await.unwrap();
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
    store.db.record("a", &[Record::Heard { at: NOW }]).await.unwrap();
    assert_eq!(store.db.heard_at("a").await.unwrap(), None, "nobody knows that node");
    for node in ["a", "b"] {
        store
            .db
            .record(node, &[Record::Startup { of: "2026-11-21T01:00:00.000+0000".to_owned() }])
            .await
            .unwrap();
    }
    assert_eq!(store.db.heard_at("a").await.unwrap(), None);
    for at in [NOW, NOW.plus_ms(2_000)] {
        store.db.record("a", &[Record::Heard { at }]).await.unwrap();
        assert_eq!(store.db.heard_at("a").await.unwrap(), Some(at));
    }
    // Asterisk was restarted: what was heard before stays known.
    store
        .db
        .record("a", &[Record::Startup { of: "2026-11-21T02:00:00.000+0000".to_owned() }])
        .await
        .unwrap();
    assert_eq!(store.db.heard_at("a").await.unwrap(), Some(NOW.plus_ms(2_000)));
    assert_eq!(store.db.heard_at("b").await.unwrap(), None);
}

#[rstest]
#[tokio::test]
async fn a_node_that_never_reached_its_asterisk_is_known_and_serves(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let store = engine.store().await;
    let (first, then) = (NOW, NOW.plus_ms(60_000));
    for at in [first, then] {
        store.db.record("a", &[Record::Alive { at }]).await.unwrap();
    }
    assert_eq!(store.db.startup("a").await.unwrap(), None);
    assert_eq!(store.db.heard_at("a").await.unwrap(), None);
    let serves = async |now| {
        let nodes = store.db.nodes().await.unwrap();
        assert_eq!(nodes.len(), 1, "{nodes:?}");
        nodes[0].is_serving(now)
    };
    assert!(serves(then.plus_ms(29_999)).await);
    assert!(!serves(then.plus_ms(30_000)).await);
    // What is heard of Asterisk says nothing of the process: a spool may hold it for long.
    let startup = Record::Startup { of: "2026-11-21T01:00:00.000+0000".to_owned() };
    let heard = Record::Heard { at: then.plus_ms(60_000) };
    store.db.record("a", &[startup, heard]).await.unwrap();
    assert!(serves(then.plus_ms(29_999)).await);
    assert!(!serves(then.plus_ms(60_000)).await);
}

#[rstest]
#[tokio::test]
async fn nodes_are_listed_with_what_they_hold(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let store = engine.store().await;
    store
        .db
        .record("idle", &[Record::Startup { of: "2026-11-21T01:00:00.000+0000".to_owned() }])
        .await
        .unwrap();
    let limits = [Scope::Server(ServerId::new(1)), Scope::Trunk(TrunkId::new(1))];
    for no in 1..=2 {
        let held = Holding {
            account: ACCOUNT,
            leg: LegId { call: CallId::new(1), no },
            limits: limits.map(|scope| Limit { scope, max: None }).to_vec(),
            taken_at: NOW,
            expires_at: NOW.plus_ms(no.into()),
        };
        store.db.settle_slots("busy", &[&held], &[]).await.unwrap();
    }
    store.db.record("idle", &[Record::Alive { at: NOW }]).await.unwrap();
    let node = |name: &str, legs, until, alive_at| NodeUse {
        name: name.to_owned(),
        legs,
        until,
        alive_at,
    };
    let listed = [node("busy", 2, Some(NOW.plus_ms(2)), None), node("idle", 0, None, Some(NOW))];
    assert!(
        listed[1].is_serving(NOW.plus_ms(29_999)) && !listed[1].is_serving(NOW.plus_ms(30_000))
    );
    assert_eq!(store.db.nodes().await.unwrap(), listed);
    assert_eq!(store.db.forget_node("idle").await.unwrap(), Some(0));
    assert_eq!(store.db.nodes().await.unwrap(), listed[..1]);
}

//! What routing remembers comes back as it was left.

use divert::model::id::{DestinationId, ForwardingFlowId};
use divert::model::memory::{Binding, Remembered, Throttled};
use divert::model::throttle::{CapCount, CapPeriod};
use divert::store::Record;
use rstest::rstest;

use super::engine::Engine;
use super::{ACCOUNT, NOW};

const FLOW: ForwardingFlowId = ForwardingFlowId::new(1);

fn binding(caller: &str, destination: u128, touched_ms: i64) -> Remembered {
    let binding = Binding {
        destination: DestinationId::new(destination),
        set_at: NOW,
        touched_at: NOW.plus_ms(touched_ms),
    };
    Remembered::Binding { flow: FLOW, caller: caller.parse().unwrap(), binding: Some(binding) }
}

fn volume(of: Throttled, used: u32) -> Remembered {
    let (per, count) = (CapPeriod::Day, CapCount::Answers);
    Remembered::Volume { of, per, count, since: NOW, used }
}

fn wheel(priority: i32, standing: i64) -> Remembered {
    let standing = vec![(DestinationId::new(1), standing), (DestinationId::new(2), -standing)];
    Remembered::Wheel { flow: FLOW, priority, standing }
}

#[rstest]
#[tokio::test]
async fn the_last_word_on_each_key_is_what_comes_back(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let store = engine.store().await;
    let keep = |what: Vec<Remembered>| {
        let rows: Vec<Record> =
            what.into_iter().map(|what| Record::Remembered { account: ACCOUNT, what }).collect();
        let db = store.db.clone();
        async move { db.record("node-1", &rows).await.unwrap() }
    };
    let (flow, destination) =
        (Throttled::ForwardingFlow(FLOW), Throttled::Destination(DestinationId::new(1)));
    // Twice in one batch: the later one counts.
    keep(vec![
        binding("12025550100", 1, 0),
        binding("12025550100", 2, 5),
        binding("12025550101", 1, 0),
        volume(flow, 7),
        volume(destination, 1),
        wheel(1, 3),
        wheel(-1, 1),
    ])
    .await;
    let gone =
        Remembered::Binding { flow: FLOW, caller: "12025550101".parse().unwrap(), binding: None };
    keep(vec![gone, volume(destination, 2), wheel(1, -4)]).await;

    let mut found = store.db.remembered(ACCOUNT).await.unwrap();
    let mut wanted = vec![
        binding("12025550100", 2, 5),
        volume(flow, 7),
        volume(destination, 2),
        wheel(1, -4),
        wheel(-1, 1),
    ];
    let order = |what: &Remembered| format!("{what:?}");
    found.sort_by_key(order);
    wanted.sort_by_key(order);
    assert_eq!(found, wanted);
}

#[rstest]
#[tokio::test]
async fn an_account_remembers_nothing_of_another(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let store = engine.store().await.with_other_account().await;
    let row = |account, what| Record::Remembered { account, what };
    let mine = row(ACCOUNT, binding("12025550100", 1, 0));
    let theirs = row(super::OTHER, binding("12025550100", 2, 0));
    store.db.record("node-1", &[mine]).await.unwrap();
    store.db.record("node-1", &[theirs]).await.unwrap();
    assert_eq!(store.db.remembered(ACCOUNT).await.unwrap(), [binding("12025550100", 1, 0)]);
    assert_eq!(store.db.remembered(super::OTHER).await.unwrap(), []);
}

//! What routing remembers comes back as it was left.

use divert::model::call::{CallRecord, LegRecord};
use divert::model::cause::Outcome;
use divert::model::id::{CallId, DestinationId, ForwardingFlowId, ServerId, TrunkId};
use divert::model::memory::{Binding, Remembered, Throttled, Visit};
use divert::model::objects::destination::{Destination, DestinationState, Landing};
use divert::model::objects::forwarding_flow::ForwardingFlow;
use divert::model::objects::server::{Server, ServerRole};
use divert::model::throttle::{CapCount, CapPeriod};
use divert::store::Record;
use rstest::rstest;

use super::calls::{call_of, ended, ended_leg, leg, leg_of};
use super::edit::{Edit, put};
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

#[rstest]
#[tokio::test]
async fn earlier_calls_are_told_with_who_had_them(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let store = engine.store().await;
    let failed = |call, no, to| LegRecord {
        destination: Some(DestinationId::new(to)),
        answered_at: None,
        outcome: Some(Outcome::Busy),
        ..ended_leg(call, no)
    };
    let talks = LegRecord { answered_at: Some(NOW.plus_ms(30)), ..leg(3, 1) };
    let lost = LegRecord { outcome: Some(Outcome::LostRace), ..ended_leg(4, 1) };
    let fallback = LegRecord { destination: None, ..ended_leg(5, 2) };
    let later =
        |id: u128| CallRecord { started_at: NOW.plus_ms(i64::try_from(id).unwrap()), ..ended(id) };
    let test = CallRecord { is_test: true, ..later(7) };
    let withheld = CallRecord { caller_key: None, ..later(8) };
    let calls = (1..=6).map(later).chain([test, withheld]).map(call_of);
    let legs = [
        failed(1, 1, 1),
        LegRecord { destination: Some(DestinationId::new(2)), ..ended_leg(1, 2) },
        failed(2, 1, 1),
        failed(2, 2, 2),
        talks,
        lost,
        failed(5, 1, 1),
        fallback,
    ];
    let rows: Vec<Record> = calls.chain(legs.map(leg_of)).collect();
    store.db.record("node-1", &rows).await.unwrap();

    let visits = store.db.visits(ACCOUNT, FLOW, NOW).await.unwrap();
    let visit = |id: u128, to: u128, is_answered| Visit {
        call: CallId::new(id),
        at: NOW.plus_ms(i64::try_from(id).unwrap()),
        sent_to: (to > 0).then(|| DestinationId::new(to)),
        is_answered,
    };
    let told: Vec<Visit> = visits.iter().map(|(_, visit)| *visit).collect();
    let wanted = [
        visit(1, 2, true),
        visit(2, 2, false),
        visit(3, 7, true),
        visit(4, 7, false),
        visit(5, 1, false),
        visit(6, 0, false),
    ];
    assert_eq!(told, wanted);
    assert!(visits.iter().all(|(caller, _)| caller.as_str() == "12025550199"));
    assert_eq!(store.db.visits(ACCOUNT, FLOW, NOW.plus_ms(6)).await.unwrap().len(), 1);
    assert_eq!(store.db.visits(super::OTHER, FLOW, NOW).await.unwrap(), []);
}

#[rstest]
#[tokio::test]
async fn what_is_gone_or_disabled_is_remembered_no_longer(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let store = engine.store().await;
    let server = |id, role, trunk| Server {
        id: ServerId::new(id),
        name: format!("server-{id}"),
        role,
        trunk,
        max_live: None,
    };
    let reach = divert::model::objects::trunk::Reach::Endpoint("slave".parse().unwrap());
    let trunk = divert::model::objects::trunk::Trunk::new(TrunkId::new(1), "trunk", reach);
    let mut flow = ForwardingFlow::new(FLOW, "flow", ServerId::new(1));
    for id in 1..=3 {
        let landing =
            Landing::Slave { server: ServerId::new(2), did: id.to_string().parse().unwrap() };
        flow.destinations.push(Destination::new(DestinationId::new(id), id.to_string(), landing));
    }
    let change = async |changes: Vec<Edit>| put(&store.db, ACCOUNT, &changes).await.unwrap();
    change(vec![
        Edit::Trunk(trunk),
        Edit::Server(server(1, ServerRole::Master, None)),
        Edit::Server(server(2, ServerRole::Slave, Some(TrunkId::new(1)))),
        Edit::Flow(flow.clone().into()),
    ])
    .await;
    let of = |id| Throttled::Destination(DestinationId::new(id));
    let kept = vec![
        binding("12025550101", 1, 0),
        binding("12025550102", 2, 0),
        binding("12025550103", 3, 0),
        volume(of(1), 1),
        volume(of(2), 2),
        volume(of(3), 3),
        volume(Throttled::ForwardingFlow(FLOW), 4),
        wheel(1, 1),
    ];
    let rows: Vec<Record> =
        kept.into_iter().map(|what| Record::Remembered { account: ACCOUNT, what }).collect();
    store.db.record("node-1", &rows).await.unwrap();

    flow.destinations[0].state = DestinationState::Paused;
    flow.destinations[1].state = DestinationState::Disabled;
    flow.destinations.truncate(2);
    change(vec![Edit::Flow(flow.into())]).await;
    let mut left = store.db.remembered(ACCOUNT).await.unwrap();
    left.sort_by_key(|what| format!("{what:?}"));
    let mut wanted = vec![
        binding("12025550101", 1, 0),
        volume(of(1), 1),
        volume(of(2), 2),
        volume(Throttled::ForwardingFlow(FLOW), 4),
        wheel(1, 1),
    ];
    wanted.sort_by_key(|what| format!("{what:?}"));
    assert_eq!(left, wanted);

    change(vec![Edit::Delete(FLOW.into())]).await;
    assert_eq!(store.db.remembered(ACCOUNT).await.unwrap(), []);
}

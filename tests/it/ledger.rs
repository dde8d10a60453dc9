//! The ledger of live-call limits as a node uses it: several nodes on one database, outages of that
//! database, and what is right again afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use divert::clock;
use divert::model::cause::Outcome;
use divert::model::configuration::Configuration;
use divert::model::id::{CallId, DestinationId, ForwardingFlowId, LegId, ServerId, TrunkId};
use divert::model::objects::account::DEFAULT_ACCOUNT;
use divert::model::objects::destination::{Destination, Landing};
use divert::model::objects::forwarding_flow::{Fallback, ForwardingFlow};
use divert::model::objects::server::{Server, ServerRole};
use divert::model::objects::trunk::{Reach, Trunk};
use divert::model::slot::Scope;
use divert::model::throttle::{CapCount, CapPeriod, VolumeCap};
use divert::model::timeline::{LimitScope, Unroutable, Verdict};
use divert::node::ledger::{Answer, Asked, Decided, Ledger, Routing};
use divert::node::writer::Writer;
use divert::routing::decide::{Ask, Attempt, Decision, News, Report, State};
use divert::routing::snapshot::Snapshot;
use divert::store::Db;
use rstest::rstest;
use sqlx::{Connection, Executor};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::store::engine::{Engine, TestStore};

const SERVER: Scope = Scope::Server(ServerId::new(1));
const DEADLINE: Duration = Duration::from_secs(30);

/// Flow 1 and flow 2, each with destinations of its own as (limit, weight), all on one server that
/// carries `server` calls at most.
fn configuration(flows: [&[(Option<u32>, u32)]; 2], server: Option<u32>) -> Configuration {
    let trunk = TrunkId::new(1);
    let id = ServerId::new(1);
    let slave = Server {
        id,
        name: "slave".to_owned(),
        role: ServerRole::Slave,
        trunk: Some(trunk),
        max_live: server,
    };
    let flow = |no: u128, destinations: &[(Option<u32>, u32)]| {
        let destination = |(at, &(max_live, weight)): (usize, &(Option<u32>, u32))| Destination {
            max_live,
            weight,
            ..Destination::new(
                DestinationId::new(no * 10 + at as u128),
                ["a", "b", "c"][at],
                Landing::Slave { server: id, did: "1001".parse().unwrap() },
            )
        };
        ForwardingFlow {
            destinations: destinations.iter().enumerate().map(destination).collect(),
            ..ForwardingFlow::new(ForwardingFlowId::new(no), "flow", ServerId::new(9))
        }
    };
    Configuration {
        servers: vec![slave],
        trunks: vec![Trunk::new(trunk, "trunk", Reach::Endpoint("slave".parse().unwrap()))],
        forwarding_flows: vec![flow(1, flows[0]), flow(2, flows[1])],
        ..Configuration::default()
    }
}

fn built(configuration: Configuration) -> Snapshot {
    Snapshot::build(&[(DEFAULT_ACCOUNT, configuration)], None)
}

fn snapshot(flows: [&[(Option<u32>, u32)]; 2], server: Option<u32>) -> Snapshot {
    built(configuration(flows, server))
}

/// A node without calls: only its ledger, and what it decides by.
struct Node {
    ledger: Ledger,
    answers: mpsc::UnboundedReceiver<Answer>,
    clerk: JoinHandle<()>,
    snapshot: Snapshot,
    state: State,
}

impl Node {
    fn new(db: &Db, name: &str, snapshot: Snapshot) -> Self {
        let (ledger, answers, clerk) = Ledger::shared(db.clone(), name.to_owned());
        Self { ledger, answers, clerk, snapshot, state: State::default() }
    }

    fn ask(&mut self, flow: u128, leg: LegId) -> Decided {
        self.put(ask(flow, leg))
    }

    fn put(&mut self, ask: Ask) -> Decided {
        let routing = Routing { snapshot: &self.snapshot, state: &mut self.state };
        self.ledger.ask(routing, Asked::new(ask, DEFAULT_ACCOUNT, 60_000))
    }

    /// The next news from the database and what is decided by it.
    async fn hear(&mut self) -> Decided {
        let answer = tokio::time::timeout(DEADLINE, self.answers.recv()).await;
        let answer = answer.expect("the database answers in time").expect("the clerk lives");
        let routing = Routing { snapshot: &self.snapshot, state: &mut self.state };
        self.ledger.heard(routing, answer)
    }

    async fn decide(&mut self, flow: u128, leg: LegId) -> Decision {
        self.answer(ask(flow, leg)).await
    }

    async fn answer(&mut self, ask: Ask) -> Decision {
        let leg = ask.leg;
        let mut decided = self.put(ask);
        while decided.is_empty() {
            decided = self.hear().await;
        }
        assert_eq!(decided.len(), 1);
        assert_eq!(decided[0].0, leg);
        decided.remove(0).1
    }

    fn release(&mut self, leg: LegId) {
        self.ledger.release(&mut self.state, leg);
    }

    /// The node stops as it should: whatever it has to say is written.
    async fn stop(self) {
        drop(self.ledger);
        tokio::time::timeout(DEADLINE, self.clerk).await.unwrap().unwrap();
    }
}

fn ask(flow: u128, leg: LegId) -> Ask {
    Ask {
        leg,
        flow: ForwardingFlowId::new(flow),
        at: clock::now(),
        caller: None,
        repeat: None,
        tried: Vec::new(),
        is_last: false,
        is_fallback: false,
        is_test: false,
    }
}

fn leg(call: u128) -> LegId {
    LegId { call: CallId::new(call), no: 1 }
}

fn picked(decision: &Decision) -> Option<&str> {
    match decision {
        Decision::Picked { offer, .. } => Some(&offer.name),
        Decision::Refused { .. } | Decision::Unroutable { .. } => None,
    }
}

fn verdicts(decision: &Decision) -> Vec<Verdict> {
    match decision {
        Decision::Picked { candidates, .. } | Decision::Unroutable { candidates, .. } => {
            candidates.iter().map(|candidate| candidate.verdict).collect()
        }
        Decision::Refused { verdict, .. } => vec![*verdict],
    }
}

async fn until<T>(mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "it did not come to that in time");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn live(db: &Db, scope: Scope) -> u32 {
    db.live_counts(DEFAULT_ACCOUNT).await.unwrap().get(&scope).copied().unwrap_or_default()
}

/// Nobody else can write until it is dropped.
enum Stall {
    Postgres(sqlx::PgConnection),
    Sqlite(sqlx::SqliteConnection),
}

impl Stall {
    async fn begin(store: &TestStore) -> Self {
        match store.db {
            Db::Postgres(_) => {
                let mut connection = sqlx::PgConnection::connect(&store.place.url).await.unwrap();
                connection
                    .execute("BEGIN; LOCK TABLE slot IN ACCESS EXCLUSIVE MODE")
                    .await
                    .unwrap();
                Self::Postgres(connection)
            }
            Db::Sqlite(_) => {
                let url = &store.place.url;
                let mut connection = sqlx::SqliteConnection::connect(url).await.unwrap();
                connection.execute("BEGIN IMMEDIATE").await.unwrap();
                Self::Sqlite(connection)
            }
        }
    }

    async fn end(self) {
        match self {
            Self::Postgres(connection) => connection.close().await.unwrap(),
            Self::Sqlite(connection) => connection.close().await.unwrap(),
        }
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_nodes_never_exceed_the_limit_of_a_server_they_share(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let store = engine.store().await;
    let (seen, is_seen) = watch::channel(false);
    let refused = Arc::new(AtomicU32::new(0));
    let mut nodes = Vec::new();
    for (name, flow) in [("a", 1), ("b", 2)] {
        // Each through connections of its own, and for a flow of its own.
        let db = Db::open(&store.place.url).await.unwrap();
        let (mut is_seen, refused) = (is_seen.clone(), Arc::clone(&refused));
        nodes.push(tokio::spawn(async move {
            let flows: [&[_]; 2] = [&[(None, 1), (None, 1)], &[(None, 1)]];
            let mut node = Node::new(&db, name, snapshot(flows, Some(10)));
            let call = |n: u16| LegId { call: CallId::new(flow), no: n };
            let mut decided: Decided = (0..100).flat_map(|n| node.ask(flow, call(n))).collect();
            let (mut held, mut served) = (Vec::new(), 0);
            while served < 100 {
                for (leg, decision) in std::mem::take(&mut decided) {
                    if picked(&decision).is_some() {
                        held.push(leg);
                    } else {
                        let full = Verdict::Full { scope: LimitScope::Server, live: 10, max: 10 };
                        assert!(verdicts(&decision).iter().all(|verdict| *verdict == full));
                        refused.fetch_add(1, Ordering::Relaxed);
                        // Who calls is told no, and calls again.
                        decided.extend(node.ask(flow, leg));
                    }
                }
                if *is_seen.borrow_and_update() {
                    served += held.len();
                    held.drain(..).for_each(|leg| node.release(leg));
                }
                if decided.is_empty() && served < 100 {
                    tokio::select! {
                        more = node.hear() => decided = more,
                        _ = is_seen.changed(), if !*is_seen.borrow() => {}
                        () = tokio::time::sleep(Duration::from_millis(20)) => {}
                    }
                }
            }
            node.stop().await;
        }));
    }
    let mut most = 0;
    while !nodes.iter().all(JoinHandle::is_finished) {
        let live = live(&store.db, SERVER).await;
        assert!(live <= 10, "{live} at once");
        most = most.max(live);
        // Until then nobody gives anything back.
        if live == 10 && refused.load(Ordering::Relaxed) > 0 {
            seen.send_replace(true);
        }
        tokio::task::yield_now().await;
    }
    for node in nodes {
        node.await.unwrap();
    }
    assert_eq!(most, 10);
    assert_eq!(store.count("slot").await, 0);
    assert_eq!(live(&store.db, SERVER).await, 0);
}

#[rstest]
#[tokio::test]
async fn wheels_turn_as_exactly_as_on_one_node(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let store = engine.store().await;
    let some = Some(100);
    let mut node =
        Node::new(&store.db, "a", snapshot([&[(some, 5), (some, 1), (some, 1)], &[]], None));
    let mut decided = Decided::new();
    for call in 0..7 {
        decided.extend(node.ask(1, leg(call)));
    }
    while decided.len() < 7 {
        decided.extend(node.hear().await);
    }
    let names: String = decided.iter().map(|(_, decision)| picked(decision).unwrap()).collect();
    assert_eq!(names, "aabacaa");
    let order: Vec<LegId> = decided.iter().map(|(leg, _)| *leg).collect();
    assert_eq!(order, (0..7).map(leg).collect::<Vec<_>>(), "who asked first is answered first");
}

#[rstest]
#[tokio::test]
async fn a_destination_that_is_full_elsewhere_is_passed_over(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let store = engine.store().await;
    let configured = || snapshot([&[(Some(1), 1), (Some(1), 1)], &[]], None);
    let mut one = Node::new(&store.db, "a", configured());
    let mut other = Node::new(&store.db, "b", configured());
    assert_eq!(picked(&one.decide(1, leg(1)).await), Some("a"));
    let full = Verdict::Full { scope: LimitScope::Destination, live: 1, max: 1 };
    let decision = other.decide(1, leg(2)).await;
    assert_eq!((picked(&decision), verdicts(&decision)), (Some("b"), vec![full, Verdict::Chosen]));
    let decision = other.decide(1, leg(3)).await;
    assert_eq!(verdicts(&decision), [full, full]);
    assert!(matches!(decision, Decision::Unroutable { reason: Unroutable::AllFull, .. }));
    // What is given back is free for the very next question of the same node.
    one.release(leg(1));
    assert_eq!(picked(&one.decide(1, leg(4)).await), Some("a"));
}

#[rstest]
#[tokio::test]
async fn a_fallback_number_asks_for_its_slots_as_well(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let store = engine.store().await;
    let mut nodes = ["a", "b"].map(|name| {
        let mut configuration = configuration([&[], &[]], None);
        configuration.trunks[0].max_live = Some(1);
        let (trunk, number) = (TrunkId::new(1), "1002".parse().unwrap());
        configuration.forwarding_flows[0].fallback = Fallback::Number { trunk, number };
        Node::new(&store.db, name, built(configuration))
    });
    let ask = |leg| Ask { is_fallback: true, ..ask(1, leg) };
    let decision = nodes[0].answer(ask(leg(1))).await;
    assert_eq!(picked(&decision), Some("fallback 1002"));
    let trunk = Scope::Trunk(TrunkId::new(1));
    let held = BTreeSet::from([trunk, Scope::Account(DEFAULT_ACCOUNT)]);
    assert_eq!(store.db.slots_of("a").await.unwrap(), BTreeMap::from([(leg(1), held)]));
    let full = Verdict::Full { scope: LimitScope::Trunk, live: 1, max: 1 };
    let decision = nodes[1].answer(ask(leg(2))).await;
    assert_eq!((picked(&decision), verdicts(&decision)), (None, vec![full]));
    nodes[0].release(leg(1));
    assert_eq!(picked(&nodes[0].answer(ask(leg(3))).await), Some("fallback 1002"));
}

#[rstest]
#[tokio::test]
async fn while_the_database_is_away_only_who_has_no_limit_is_called(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let store = engine.store().await;
    let flows: [&[_]; 2] = [&[(Some(5), 1), (None, 1)], &[(Some(5), 1)]];
    let mut node = Node::new(&store.db, "a", snapshot(flows, None));
    assert_eq!(picked(&node.decide(1, leg(1)).await), Some("a"));
    assert_eq!(picked(&node.decide(1, leg(2)).await), Some("b"));

    let stall = Stall::begin(&store).await;
    let decision = node.decide(1, leg(3)).await;
    assert_eq!(verdicts(&decision), [Verdict::LedgerAway, Verdict::Chosen]);
    assert!(node.ledger.is_away());
    let at_once = node.ask(1, leg(4));
    assert_eq!(picked(&at_once[0].1), Some("b"), "without waiting");
    let at_once = node.ask(2, leg(5));
    assert_eq!(verdicts(&at_once[0].1), [Verdict::LedgerAway]);
    node.release(leg(1));
    node.release(leg(4));
    stall.end().await;

    assert_eq!(node.hear().await.len(), 0);
    assert!(!node.ledger.is_away());
    assert_eq!(picked(&node.decide(2, leg(6)).await), Some("a"));
    let held = BTreeSet::from([leg(2), leg(3), leg(6)]);
    assert_eq!(node.ledger.held().keys().copied().collect::<BTreeSet<_>>(), held);
    until(async || {
        let found = store.db.slots_of("a").await.unwrap();
        (found.into_keys().collect::<BTreeSet<_>>() == held).then_some(())
    })
    .await;
    for leg in held {
        node.release(leg);
    }
    node.stop().await;
    assert_eq!(store.count("slot").await, 0);
}

#[rstest]
#[tokio::test]
async fn slots_of_a_call_that_ended_meanwhile_are_given_back(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let store = engine.store().await;
    let mut node = Node::new(&store.db, "a", snapshot([&[(Some(1), 1)], &[]], None));
    assert!(node.ask(1, leg(1)).is_empty());
    let decided = node.hear().await;
    assert!(picked(&decided[0].1).is_some());
    // The engine, which still owed the answer, gives the slots back at once.
    node.release(leg(1));
    node.release(leg(1));
    assert!(picked(&node.decide(1, leg(2)).await).is_some());
    node.release(leg(2));
    node.stop().await;
    assert_eq!(store.count("slot").await, 0);
}

#[rstest]
#[tokio::test]
async fn a_configuration_that_changes_meanwhile_is_asked_anew(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let store = engine.store().await;
    let some = Some(9);
    let mut node = Node::new(&store.db, "a", snapshot([&[(some, 1), (some, 1)], &[]], None));
    for (call, destinations) in [(1, &[(some, 0), (some, 1)][..]), (2, &[])] {
        assert!(node.ask(1, leg(call)).is_empty(), "it is under way");
        node.snapshot = snapshot([destinations, &[]], None);
        let mut decided = node.hear().await;
        while decided.is_empty() {
            decided = node.hear().await;
        }
        let wanted = if call == 1 { Some("b") } else { None };
        assert_eq!(picked(&decided[0].1), wanted);
    }
    let b = Scope::Destination(DestinationId::new(11));
    until(async || {
        let found = store.db.slots_of("a").await.unwrap();
        let is_b = found.len() == 1 && found[&leg(1)].contains(&b);
        is_b.then_some(())
    })
    .await;
    node.release(leg(1));
    node.stop().await;
    assert_eq!(store.count("slot").await, 0);
}

#[rstest]
#[tokio::test]
async fn who_hears_twice_that_a_scope_is_full_goes_by_the_later_word(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let store = engine.store().await;
    let with_limit = |max| snapshot([&[(Some(max), 1)], &[]], None);
    let mut other = Node::new(&store.db, "b", with_limit(2));
    let mut node = Node::new(&store.db, "a", with_limit(1));
    for call in 1..=2 {
        assert!(picked(&other.decide(1, leg(call)).await).is_some());
    }
    // It is full under a limit of 1; before that is heard the limit is raised, and used up again.
    assert!(node.ask(1, leg(3)).is_empty());
    let full = node.answers.recv().await.unwrap();
    node.snapshot = with_limit(3);
    other.snapshot = with_limit(3);
    assert!(picked(&other.decide(1, leg(4)).await).is_some());
    let routing = Routing { snapshot: &node.snapshot, state: &mut node.state };
    let mut decided = node.ledger.heard(routing, full);
    let decided = tokio::time::timeout(DEADLINE, async {
        while decided.is_empty() {
            decided = node.hear().await;
        }
        decided
    });
    let full = Verdict::Full { scope: LimitScope::Destination, live: 3, max: 3 };
    assert_eq!(verdicts(&decided.await.expect("it never ends")[0].1), [full]);
}

#[rstest]
#[tokio::test]
async fn a_call_under_way_asks_before_those_that_wait_to_begin(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let store = engine.store().await;
    let some = Some(9);
    let mut configuration = configuration([&[(some, 1), (some, 1)], &[(some, 1)]], None);
    let cap = VolumeCap { per: CapPeriod::Day, count: CapCount::Answers, max: 1 };
    configuration.forwarding_flows[0].throttle.caps = vec![cap];
    let mut node = Node::new(&store.db, "a", built(configuration));
    assert_eq!(picked(&node.decide(1, leg(1)).await), Some("a"));
    // While the question of another flow is under way, the first leg fails, and others wait.
    assert!(node.ask(2, leg(2)).is_empty());
    assert!(node.ask(1, leg(3)).is_empty());
    let report = Report {
        leg: leg(1),
        flow: ForwardingFlowId::new(1),
        destination: Some(DestinationId::new(10)),
        trunk: None,
        caller: None,
        is_test: false,
        news: News::Failed(Outcome::Busy),
    };
    node.state.report(&node.snapshot, clock::now(), &report);
    node.release(leg(1));
    let retry = LegId { no: 2, ..leg(1) };
    let tried = vec![Attempt {
        destination: DestinationId::new(10),
        trunk: TrunkId::new(1),
        outcome: None,
    }];
    assert!(node.put(Ask { tried, ..ask(1, retry) }).is_empty());
    let mut decided = Decided::new();
    while decided.len() < 3 {
        decided.extend(node.hear().await);
    }
    let told: Vec<_> = decided.iter().map(|(leg, found)| (*leg, picked(found))).collect();
    assert_eq!(told, [(leg(2), Some("a")), (retry, Some("b")), (leg(3), None)]);
}

#[rstest]
#[tokio::test]
async fn what_the_ledger_has_too_much_or_too_little_is_set_right(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let store = engine.store().await;
    let mut node = Node::new(&store.db, "a", snapshot([&[(Some(3), 1)], &[]], None));
    for call in 1..=2 {
        assert!(picked(&node.decide(1, leg(call)).await).is_some());
    }
    let right = store.db.slots_of("a").await.unwrap();
    store.db.release_slots(&[leg(2)]).await.unwrap();
    let mut stray = node.ledger.held()[&leg(1)].clone();
    stray.leg = leg(9);
    store.db.settle_slots("a", &[&stray], &[]).await.unwrap();
    stray.leg = leg(8);
    store.db.settle_slots("b", &[&stray], &[]).await.unwrap();
    // With a question under way, whose slots are no stray ones.
    assert!(node.ask(1, leg(3)).is_empty());
    node.ledger.audit();
    let decided = node.hear().await;
    let right_now: BTreeMap<_, _> = {
        let mut right = right.clone();
        if picked(&decided[0].1).is_some() {
            right.insert(leg(3), right[&leg(1)].clone());
        }
        right
    };
    until(async || (store.db.slots_of("a").await.unwrap() == right_now).then_some(())).await;
    assert_eq!(store.db.slots_of("b").await.unwrap().len(), 1, "another node's are its own");
}

#[rstest]
#[tokio::test]
async fn one_node_counts_in_memory_and_writes_down_what_it_holds(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let store = engine.store().await;
    let (writer, writing) = Writer::start(store.db.clone(), "a".to_owned(), None);
    let snapshot = snapshot([&[(Some(10), 1)], &[]], None);
    let (mut ledger, mut state) = (Ledger::memory(writer), State::default());
    let mut held = Vec::new();
    for call in 0..200 {
        let routing = Routing { snapshot: &snapshot, state: &mut state };
        let asked = Asked::new(ask(1, leg(call)), DEFAULT_ACCOUNT, 60_000);
        let decided = ledger.ask(routing, asked);
        assert_eq!(decided.len(), 1, "at once");
        if picked(&decided[0].1).is_some() {
            held.push(leg(call));
        } else {
            let full = Verdict::Full { scope: LimitScope::Destination, live: 10, max: 10 };
            assert_eq!(verdicts(&decided[0].1), [full]);
        }
    }
    assert_eq!(held.len(), 10);
    let right: BTreeSet<LegId> = held.iter().copied().collect();
    until(async || {
        let found = store.db.slots_of("a").await.unwrap();
        (found.into_keys().collect::<BTreeSet<_>>() == right).then_some(())
    })
    .await;
    for leg in held.iter().chain(&held) {
        ledger.release(&mut state, *leg);
    }
    drop(ledger);
    writing.await.unwrap();
    assert_eq!(store.count("slot").await, 0);
    for count in store.db.counts().await.unwrap() {
        assert_eq!(count.live, 0, "{count:?}");
    }
}

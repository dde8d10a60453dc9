//! Live-call limits: what many ask for at once, what is given back twice, what crashes leave behind.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use divert::model::id::{CallId, DestinationId, LegId, ServerId, TrunkId};
use divert::model::slot::{Holding, Limit, Scope};
use divert::model::time::Timestamp;
use divert::store::slots::Count;
use divert::store::{Db, Reconciled, Taken};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use rstest::rstest;
use tokio::sync::watch;

use super::engine::{Engine, TestStore};
use super::{ACCOUNT, NOW, OTHER};

const A: Scope = Scope::Destination(DestinationId::new(1));
const B: Scope = Scope::Destination(DestinationId::new(2));
const C: Scope = Scope::Destination(DestinationId::new(3));
const SHARED_SERVER: Scope = Scope::Server(ServerId::new(1));
const OTHER_SERVER: Scope = Scope::Server(ServerId::new(2));
const TRUNK: Scope = Scope::Trunk(TrunkId::new(1));
const OTHER_TRUNK: Scope = Scope::Trunk(TrunkId::new(2));
const WHOLE_ACCOUNT: Scope = Scope::Account(ACCOUNT);

const ARRIVALS: u128 = 200;
const LATER: Timestamp = Timestamp(NOW.0 + 3_600_000);

fn leg(call: u128) -> LegId {
    LegId { call: CallId::new(call), no: 1 }
}

fn holding(leg: LegId, limits: &[(Scope, u32)]) -> Holding {
    let limits = limits.iter().map(|&(scope, max)| Limit { scope, max: Some(max) }).collect();
    Holding { account: ACCOUNT, leg, limits, taken_at: NOW, expires_at: LATER }
}

async fn live(db: &Db, scope: Scope) -> u32 {
    db.live_counts(ACCOUNT).await.unwrap().get(&scope).copied().unwrap_or_default()
}

/// The count that limits are compared with, past the store.
async fn counter(db: &Db, scope: Scope) -> i64 {
    let find = "SELECT live FROM live WHERE scope = $1";
    let scope = scope.to_string();
    match db {
        Db::Postgres(pool) => sqlx::query_scalar(find).bind(scope).fetch_one(pool).await.unwrap(),
        Db::Sqlite(pool) => sqlx::query_scalar(find).bind(scope).fetch_one(pool).await.unwrap(),
    }
}

async fn overfull(db: &Db) -> Vec<Count> {
    db.counts().await.unwrap().into_iter().filter(Count::is_overfull).collect()
}

/// The same database as so many nodes see it, each through connections of its own.
async fn nodes(store: &TestStore, count: usize) -> Vec<Db> {
    let mut nodes = vec![store.db.clone()];
    while nodes.len() < count {
        nodes.push(Db::open(&store.place.url).await.unwrap());
    }
    nodes
}

#[rstest]
#[tokio::test]
async fn slots_are_taken_together_or_not_at_all(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let TestStore { db, .. } = &engine.store().await;
    let limits = [(A, 5), (SHARED_SERVER, 1)];
    assert_eq!(db.take_slots("a", &holding(leg(1), &limits)).await.unwrap(), Taken::Taken);
    let again = db.take_slots("a", &holding(leg(1), &limits)).await.unwrap();
    assert_eq!(again, Taken::Taken, "a leg that asks again has what it has");
    let full = Taken::Full { scope: SHARED_SERVER, live: 1, max: 1 };
    assert_eq!(db.take_slots("a", &holding(leg(2), &limits)).await.unwrap(), full);
    assert_eq!((live(db, A).await, counter(db, A).await), (1, 1), "nothing of it was taken");
    for _ in 0..2 {
        db.release_slots(&[leg(1), leg(2)]).await.unwrap();
        assert_eq!((live(db, A).await, counter(db, A).await), (0, 0));
        assert_eq!(counter(db, SHARED_SERVER).await, 0);
    }
    assert_eq!(db.take_slots("a", &holding(leg(2), &limits)).await.unwrap(), Taken::Taken);
}

#[rstest]
#[tokio::test]
async fn without_a_limit_legs_are_counted_all_the_same(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let TestStore { db, .. } = &engine.store().await;
    let unlimited = |call| {
        let limits = vec![Limit { scope: A, max: None }];
        Holding { limits, ..holding(leg(call), &[]) }
    };
    for call in 1..=3 {
        assert_eq!(db.take_slots("a", &unlimited(call)).await.unwrap(), Taken::Taken);
    }
    let full = Taken::Full { scope: A, live: 3, max: 3 };
    assert_eq!(db.take_slots("a", &holding(leg(4), &[(A, 3)])).await.unwrap(), full);
    let none = Taken::Full { scope: B, live: 0, max: 0 };
    assert_eq!(db.take_slots("a", &holding(leg(4), &[(B, 0)])).await.unwrap(), none);
    let other = Holding { account: OTHER, ..unlimited(5) };
    db.settle_slots("a", &[&other], &[]).await.unwrap();
    assert_eq!(live(db, A).await, 3, "the other account's is not told");
    assert_eq!(counter(db, A).await, 4, "but it counts");
}

#[rstest]
#[tokio::test]
async fn a_lowered_limit_drops_nobody_and_admits_nobody(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let TestStore { db, .. } = &engine.store().await;
    for call in 1..=3 {
        let taken = db.take_slots("a", &holding(leg(call), &[(A, 3)])).await.unwrap();
        assert_eq!(taken, Taken::Taken);
    }
    for held in (1..=3).rev() {
        let full = Taken::Full { scope: A, live: held, max: 1 };
        assert_eq!(db.take_slots("a", &holding(leg(9), &[(A, 1)])).await.unwrap(), full);
        assert_eq!(overfull(db).await, [], "nobody was let in over a limit");
        db.release_slots(&[leg(held.into())]).await.unwrap();
    }
    let taken = db.take_slots("a", &holding(leg(9), &[(A, 1)])).await.unwrap();
    assert_eq!(taken, Taken::Taken);
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_200_who_come_at_once_exactly_10_get_in(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
    #[values(2, 4)] pools: usize,
) {
    let store = engine.store().await;
    let nodes = nodes(&store, pools).await;
    let tasks = (0..ARRIVALS).map(|call| {
        let db = nodes[usize::try_from(call).unwrap() % nodes.len()].clone();
        tokio::spawn(async move {
            let wanted = holding(leg(call), &[(A, 10)]);
            take(&db, &wanted).await == Taken::Taken
        })
    });
    let mut admitted = 0;
    for task in tasks.collect::<Vec<_>>() {
        admitted += u32::from(task.await.unwrap());
    }
    assert_eq!(admitted, 10);
    assert_eq!(live(&store.db, A).await, 10);
}

/// Asks again as a node does: on a busy machine SQLite may keep one of so many waiting for longer than
/// it has patience.
async fn take(db: &Db, wanted: &Holding) -> Taken {
    loop {
        match db.take_slots("a", wanted).await {
            Err(error) if error.may_retry() => {}
            answer => return answer.unwrap(),
        }
    }
}

async fn give_back(db: &Db, leg: LegId) {
    while let Err(error) = db.release_slots(&[leg]).await {
        assert!(error.may_retry(), "{error}");
    }
}

/// One attempt to take slots: when it began and ended, and if it got them, when they were back.
struct Attempt {
    began: Instant,
    answered: Instant,
    given_back: Option<Instant>,
}

/// A rush: each caller asks until it gets in, talks until `enough` is seen, gives its slots back
/// twice. An observer counts all the while; what it has seen at most is returned, with all attempts.
async fn rush(
    nodes: &[Db],
    limits: impl Fn(u128) -> Vec<(Scope, u32)>,
    enough: (Scope, u32),
) -> (BTreeMap<Scope, u32>, Vec<Attempt>) {
    let (seen, is_seen) = watch::channel(false);
    let callers: Vec<_> = (0..ARRIVALS)
        .map(|call| {
            let (db, mut is_seen) =
                (nodes[usize::try_from(call).unwrap() % nodes.len()].clone(), is_seen.clone());
            let wanted = holding(leg(call), &limits(call));
            tokio::spawn(async move {
                let mut attempts = Vec::new();
                loop {
                    let began = Instant::now();
                    let taken = take(&db, &wanted).await;
                    let answered = Instant::now();
                    if taken == Taken::Taken {
                        is_seen.wait_for(|seen| *seen).await.unwrap();
                        give_back(&db, wanted.leg).await;
                        give_back(&db, wanted.leg).await;
                        let given_back = Some(Instant::now());
                        attempts.push(Attempt { began, answered, given_back });
                        return attempts;
                    }
                    attempts.push(Attempt { began, answered, given_back: None });
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
            })
        })
        .collect();
    let observer = {
        let db = nodes[0].clone();
        let callers: Vec<_> = callers.iter().map(tokio::task::JoinHandle::abort_handle).collect();
        tokio::spawn(async move {
            let mut most: BTreeMap<Scope, u32> = BTreeMap::new();
            let deadline = Instant::now() + Duration::from_mins(1);
            while !callers.iter().all(tokio::task::AbortHandle::is_finished) {
                assert!(Instant::now() < deadline, "some never got in: {most:?}");
                for (scope, live) in db.live_counts(ACCOUNT).await.unwrap() {
                    let most = most.entry(scope).or_default();
                    *most = live.max(*most);
                }
                assert_eq!(overfull(&db).await, []);
                if most.get(&enough.0) == Some(&enough.1) {
                    seen.send_replace(true);
                }
                tokio::task::yield_now().await;
            }
            most
        })
    };
    let mut attempts = Vec::new();
    for caller in callers {
        attempts.extend(caller.await.unwrap());
    }
    (observer.await.unwrap(), attempts)
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_limit_of_10_is_never_11_and_never_9_while_a_tenth_would_fit(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let store = engine.store().await;
    let nodes = nodes(&store, 3).await;
    let (most, attempts) = rush(&nodes, |_| vec![(A, 10)], (A, 10)).await;
    assert_eq!(most, BTreeMap::from([(A, 10)]));
    assert_eq!((live(&store.db, A).await, counter(&store.db, A).await), (0, 0));
    assert_eq!(store.count("slot").await, 0);

    // The stretch in which each slot can have been held. Who is refused must have met ten of them at
    // some moment; it is enough to look at the moments at which one begins.
    let held: Vec<(Instant, Instant)> =
        attempts.iter().filter_map(|a| Some((a.began, a.given_back?))).collect();
    assert_eq!(held.len() as u128, ARRIVALS);
    let held_at =
        |at: Instant| held.iter().filter(|(from, to)| (*from..=*to).contains(&at)).count();
    let refused: Vec<_> = attempts.iter().filter(|a| a.given_back.is_none()).collect();
    assert!(refused.len() > 100, "it was no rush: {}", refused.len());
    for attempt in refused {
        let within = |at: &Instant| (attempt.began..=attempt.answered).contains(at);
        let moments = held.iter().map(|(from, _)| *from).filter(within).chain([attempt.began]);
        assert!(moments.map(held_at).max() >= Some(10), "refused while there was room");
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn limits_of_several_kinds_hold_together(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let store = engine.store().await;
    let nodes = nodes(&store, 2).await;
    let max = BTreeMap::from([
        (A, 10),
        (B, 10),
        (C, 1_000),
        (SHARED_SERVER, 15),
        (OTHER_SERVER, 1_000),
        (TRUNK, 12),
        (OTHER_TRUNK, 1_000),
        // As many as always fit: ten of the first kind leave room for five and two of the others.
        (WHOLE_ACCOUNT, 17),
    ]);
    // In an order of their own: nobody may have to wait for each other in a circle.
    let kinds = [
        [A, SHARED_SERVER, TRUNK, WHOLE_ACCOUNT],
        [WHOLE_ACCOUNT, OTHER_TRUNK, SHARED_SERVER, B],
        [TRUNK, C, WHOLE_ACCOUNT, OTHER_SERVER],
    ];
    let limits = |call: u128| {
        let kind = kinds[usize::try_from(call).unwrap() % kinds.len()];
        kind.map(|scope| (scope, max[&scope])).to_vec()
    };
    let (most, _) = rush(&nodes, limits, (WHOLE_ACCOUNT, 17)).await;
    for (scope, most) in &most {
        assert!(*most <= max[scope], "{scope} had {most} of {}", max[scope]);
    }
    assert_eq!(most[&WHOLE_ACCOUNT], 17);
    assert_eq!(store.count("slot").await, 0);
    for scope in max.keys() {
        assert_eq!(counter(&store.db, *scope).await, 0, "{scope}");
    }
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_leg_that_asks_many_times_at_once_is_counted_once(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let store = engine.store().await;
    let nodes = nodes(&store, 2).await;
    let tasks: Vec<_> = (0..40)
        .map(|n| {
            let db = nodes[n % 2].clone();
            let wanted = holding(leg(1), &[(A, 1), (SHARED_SERVER, 1)]);
            tokio::spawn(async move { db.take_slots("a", &wanted).await.unwrap() })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.unwrap(), Taken::Taken);
    }
    assert_eq!((live(&store.db, A).await, counter(&store.db, A).await), (1, 1));
}

#[rstest]
#[tokio::test]
async fn a_dead_nodes_slots_count_until_their_legs_are_certainly_over(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let TestStore { db, .. } = &engine.store().await;
    for (node, call) in [("dead", 1), ("dead", 2), ("alive", 3)] {
        let expires_at = NOW.plus_ms(i64::try_from(call).unwrap() * 1_000);
        let wanted = Holding { expires_at, ..holding(leg(call), &[(A, 3), (TRUNK, 9)]) };
        assert_eq!(db.take_slots(node, &wanted).await.unwrap(), Taken::Taken);
    }
    assert_eq!(db.expire_slots(NOW.plus_ms(999)).await.unwrap(), 0);
    let full = Taken::Full { scope: A, live: 3, max: 3 };
    let wanted = holding(leg(4), &[(A, 3), (TRUNK, 9)]);
    assert_eq!(db.take_slots("alive", &wanted).await.unwrap(), full);
    assert_eq!(db.expire_slots(NOW.plus_ms(1_000)).await.unwrap(), 2, "of both scopes");
    assert_eq!(db.take_slots("alive", &wanted).await.unwrap(), Taken::Taken);

    assert_eq!(db.forget_node("dead").await.unwrap(), Some(2));
    assert_eq!(db.forget_node("dead").await.unwrap(), None);
    let left = [(leg(3), BTreeSet::from([A, TRUNK])), (leg(4), BTreeSet::from([A, TRUNK]))];
    assert_eq!(db.slots_of("alive").await.unwrap(), BTreeMap::from(left));
    assert_eq!(counter(db, A).await, 2);
}

#[rstest]
#[tokio::test]
async fn after_a_restart_the_ledger_says_what_is_true(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let store = engine.store().await;
    let db = &store.db;
    for (node, call, scope) in [("a", 1, A), ("a", 2, A), ("b", 3, A), ("a", 4, B)] {
        db.take_slots(node, &holding(leg(call), &[(scope, 3)])).await.unwrap();
    }
    store.execute("UPDATE live SET live = 7").await;
    // 1 has ended, 2 goes on, 4 has moved to another destination, 5 and 6 were never written.
    let holders =
        [(2, A), (4, A), (5, A), (6, A)].map(|(call, scope)| holding(leg(call), &[(scope, 3)]));
    let found = db.reconcile_slots("a", &holders).await.unwrap();
    assert_eq!(found, Reconciled { released: 1, inserted: 3, miscounted: 2 });
    assert_eq!((live(db, A).await, counter(db, A).await), (5, 5), "over the limit: they live");
    assert_eq!((live(db, B).await, counter(db, B).await), (0, 0));
    assert_eq!(db.slots_of("b").await.unwrap().len(), 1, "another node's are its own");
    let full = Taken::Full { scope: A, live: 5, max: 3 };
    assert_eq!(db.take_slots("a", &holding(leg(9), &[(A, 3)])).await.unwrap(), full);
    let again = db.reconcile_slots("a", &holders).await.unwrap();
    assert_eq!(again, Reconciled::default());
}

/// What can happen to the slots of a few legs on two nodes.
#[derive(Clone, Debug)]
enum Event {
    Take {
        leg: u8,
        scopes: u8,
    },
    Hold {
        leg: u8,
        scopes: u8,
    },
    Release {
        legs: [u8; 2],
    },
    /// The node comes back, and of its legs only those in the mask have lived on.
    Restart {
        node: u8,
        alive: u8,
    },
    Expire {
        at: u8,
    },
    Forget {
        node: u8,
    },
}

const LEGS: u8 = 8;
const SCOPES: [(Scope, u32); 4] = [(A, 2), (B, 2), (SHARED_SERVER, 3), (WHOLE_ACCOUNT, 4)];

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        6 => (0..LEGS, 1..16u8).prop_map(|(leg, scopes)| Event::Take { leg, scopes }),
        1 => (0..LEGS, 1..16u8).prop_map(|(leg, scopes)| Event::Hold { leg, scopes }),
        4 => [0..LEGS, 0..LEGS].prop_map(|legs| Event::Release { legs }),
        1 => (0..2u8, any::<u8>()).prop_map(|(node, alive)| Event::Restart { node, alive }),
        1 => (0..LEGS).prop_map(|at| Event::Expire { at }),
        1 => (0..2u8).prop_map(|node| Event::Forget { node }),
    ];
    prop::collection::vec(event, 1..40)
}

/// The same ledger, in a map. Leg `n` belongs to node `n % 2` and expires at `n`.
#[derive(Default)]
struct Model(BTreeMap<u8, BTreeSet<Scope>>);

impl Model {
    fn live(&self, scope: Scope) -> u32 {
        u32::try_from(self.0.values().filter(|held| held.contains(&scope)).count()).unwrap()
    }

    fn take(&mut self, wanted: &Holding, leg: u8) -> Taken {
        let held = self.0.get(&leg).cloned().unwrap_or_default();
        for &Limit { scope, max } in &wanted.limits {
            let (live, max) = (self.live(scope), max.unwrap());
            if !held.contains(&scope) && live >= max {
                return Taken::Full { scope, live, max };
            }
        }
        self.hold(wanted, leg);
        Taken::Taken
    }

    fn hold(&mut self, wanted: &Holding, leg: u8) {
        let scopes = wanted.limits.iter().map(|limit| limit.scope);
        self.0.entry(leg).or_default().extend(scopes);
    }
}

fn node(n: u8) -> &'static str {
    ["a", "b"][usize::from(n % 2)]
}

async fn run(db: &Db, model: &mut Model, event: &Event) {
    let asked = |leg: u8, scopes: u8| {
        let limits: Vec<_> = (0..4).filter(|n| scopes & (1 << n) != 0).map(|n| SCOPES[n]).collect();
        let expires_at = NOW.plus_ms(leg.into());
        Holding { expires_at, ..holding(self::leg(leg.into()), &limits) }
    };
    match *event {
        Event::Take { leg, scopes } => {
            let wanted = asked(leg, scopes);
            let taken = db.take_slots(node(leg), &wanted).await.unwrap();
            assert_eq!(taken, model.take(&wanted, leg));
        }
        Event::Hold { leg, scopes } => {
            let held = asked(leg, scopes);
            model.hold(&held, leg);
            db.settle_slots(node(leg), &[&held], &[]).await.unwrap();
        }
        Event::Release { legs } => {
            db.release_slots(&legs.map(|leg| self::leg(leg.into()))).await.unwrap();
            model.0.retain(|leg, _| !legs.contains(leg));
        }
        Event::Restart { node: n, alive } => {
            let before = model.0.len();
            model.0.retain(|leg, _| leg % 2 != n || alive & (1 << leg) != 0);
            let released = before - model.0.len();
            let limits = |scopes: &BTreeSet<Scope>| {
                scopes.iter().map(|&scope| Limit { scope, max: Some(1) }).collect()
            };
            let mine = model.0.iter().filter(|(leg, _)| *leg % 2 == n);
            let holders: Vec<_> = mine
                .map(|(&leg, scopes)| Holding { limits: limits(scopes), ..asked(leg, 0) })
                .collect();
            let found = db.reconcile_slots(node(n), &holders).await.unwrap();
            assert_eq!(found, Reconciled { released, ..Reconciled::default() });
        }
        Event::Expire { at } => {
            db.expire_slots(NOW.plus_ms(at.into())).await.unwrap();
            model.0.retain(|leg, _| *leg > at);
        }
        Event::Forget { node: n } => {
            db.forget_node(node(n)).await.unwrap();
            model.0.retain(|leg, _| leg % 2 != n);
        }
    }
    let counts = db.live_counts(ACCOUNT).await.unwrap();
    for (scope, _) in SCOPES {
        assert_eq!(counts.get(&scope).copied().unwrap_or_default(), model.live(scope), "{scope}");
    }
    for count in db.counts().await.unwrap() {
        assert_eq!(count.live, model.live(count.scope), "{count:?}");
    }
}

#[rstest]
fn whatever_happens_in_whatever_order_the_counts_are_right(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let store = Arc::new(runtime.block_on(engine.store()));
    let mut runner = TestRunner::new(Config { cases: 48, ..Config::default() });
    let ran = runner.run(&events(), |events| {
        runtime.block_on(async {
            store.execute("DELETE FROM slot").await;
            store.execute("DELETE FROM live").await;
            let mut model = Model::default();
            for event in &events {
                run(&store.db, &mut model, event).await;
            }
        });
        Ok(())
    });
    if let Err(error) = ran {
        panic!("{error}");
    }
}

/// Whatever the server does by itself: it may have been told to be stricter, which would refuse every
/// second of those who come at once.
#[tokio::test]
async fn slots_are_taken_the_same_way_whatever_the_server_makes_of_transactions() {
    let store = Engine::Postgres.store().await;
    let url =
        format!("{}?options=-c%20default_transaction_isolation%3Dserializable", store.place.url);
    let db = Db::open(&url).await.unwrap();
    let takes = (0..40).map(|call| {
        let db = db.clone();
        tokio::spawn(async move { db.take_slots("a", &holding(leg(call), &[(A, 5)])).await })
    });
    let mut taken = 0;
    for take in takes.collect::<Vec<_>>() {
        taken += u32::from(take.await.unwrap().expect("nobody is refused") == Taken::Taken);
    }
    assert_eq!((taken, live(&db, A).await), (5, 5));
}

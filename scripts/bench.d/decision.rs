//! What a decision costs, and what it takes to load a configuration:
//!
//! ```sh
//! cargo bench --bench decision
//! ```
//!
//! One flow of 16 destinations on 16 trunks owns 1,000,000 DIDs, and 800 calls are live. `hot` asks for
//! one DID again and again, `cold` for another one each time, far from the last, and for another
//! caller. Allocations are counted: a decision has none, which shows as no line of them. A decision is:
//! who owns the DID, what the schedules say, who takes the call, taking the slots, and giving them
//! back. `decide_and_tell` writes down besides why each destination was judged as it was, as a node
//! does for the timeline, and allocates for that.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::hint::black_box;
use std::mem::swap;
use std::process::Command;
use std::sync::OnceLock;

use divan::{AllocProfiler, Bencher};
use divert::model::billing::{Micros, Rounding};
use divert::model::change::{Author, diff};
use divert::model::configuration::Configuration;
use divert::model::id::{
    AccountId, CallId, DestinationId, ForwardingFlowId, LegId, RateDeckId, ServerId, TrunkId,
};
use divert::model::memory::{Binding, Remembered};
use divert::model::number::{CallerKey, Did};
use divert::model::objects::account::{AccountSettings, DEFAULT_ACCOUNT};
use divert::model::objects::destination::{Destination, Landing};
use divert::model::objects::forwarding_flow::ForwardingFlow;
use divert::model::objects::rate_deck::{Rate, RateDeck};
use divert::model::objects::server::{Server, ServerRole};
use divert::model::objects::trunk::{Reach, Trunk};
use divert::model::opening_hours::OpeningHours;
use divert::model::stickiness::{Stickiness, StickyWindow};
use divert::model::throttle::{ArrivalRate, CapCount, CapPeriod, RatePeriod, Throttle, VolumeCap};
use divert::model::time::{Timestamp, Zone};
use divert::node::read_snapshot;
use divert::routing::choose::{Choice, Ledger, choose};
use divert::routing::decide::{Ask, Decision, State, commit, decide};
use divert::routing::snapshot::{FlowPlan, Snapshot};
use divert::store::Db;
use tokio::runtime::Runtime;

#[global_allocator]
static ALLOC: AllocProfiler = AllocProfiler::system();

const DIDS: u32 = 1_000_000;
const DESTINATIONS: u128 = 16;
const FLOW: ForwardingFlowId = ForwardingFlowId::new(1);
const DECK: RateDeckId = RateDeckId::new(1);
/// As many as one flow remembers.
const CALLERS: u32 = 100_000;
/// 08:00 in Chicago, on a Saturday.
const START: Timestamp = Timestamp(1_795_269_600_000);
/// Names a database to be loaded by a process that does nothing else.
const LOAD: &str = "DIVERT_BENCH_LOAD";
/// What that process says.
static RESIDENT: OnceLock<String> = OnceLock::new();

fn main() {
    if let Ok(url) = env::var(LOAD) {
        load_alone(&url);
        return;
    }
    divan::main();
    // Behind the table, which it would tear apart.
    print!("{}", RESIDENT.get().map_or("", String::as_str));
}

/// What a decision has to weigh beside live-call limits: for each of the 16 destinations, and for the
/// flow.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Case {
    Limits,
    /// A caller who is bound to a destination until midnight.
    Caller,
    /// A rate and two caps.
    Caps,
    Hours,
    /// A rate deck on every trunk, and a prepaid account.
    Prices,
    All,
}

const CASES: [Case; 6] =
    [Case::Limits, Case::Caller, Case::Caps, Case::Hours, Case::Prices, Case::All];

impl Case {
    fn has(self, part: Self) -> bool {
        self == part || self == Self::All
    }

    fn throttle(self) -> Throttle {
        if !self.has(Self::Caps) {
            return Throttle::default();
        }
        let cap = |per, count| VolumeCap { per, count, max: 100_000_000 };
        Throttle {
            rate: Some(ArrivalRate { calls: 10_000, per: RatePeriod::Second, burst: 10_000 }),
            spacing_sec: None,
            caps: vec![
                cap(CapPeriod::Day, CapCount::Answers),
                cap(CapPeriod::Hour, CapCount::Attempts),
            ],
        }
    }

    fn schedule(self) -> Option<OpeningHours> {
        let day = || vec!["06:00-22:00".parse().expect("hours")];
        let schedule =
            || OpeningHours { weekly: [(); 7].map(|()| day()), ..OpeningHours::default() };
        self.has(Self::Hours).then(schedule)
    }
}

fn did(no: u32) -> Did {
    format!("+1{:010}", 2_000_000_000 + u64::from(no)).parse().expect("digits")
}

fn caller(no: u32) -> CallerKey {
    CallerKey::kept(&(12_025_000_000 + u64::from(no)).to_string())
}

fn deck() -> RateDeck {
    let rate = Rate {
        prefix: "1".parse().expect("digits"),
        per_minute: "0.01".parse().expect("an amount"),
        increment: "6/6".parse().expect("an increment"),
    };
    RateDeck {
        id: DECK,
        name: "deck".to_owned(),
        rates: vec![rate].into(),
        bills_ring_time: false,
        rounding: Rounding::Up,
        decimals: 4,
    }
}

fn accounts(case: Case) -> Vec<(AccountId, Configuration)> {
    let endpoint = |id| Reach::Endpoint(format!("slave-{id}").parse().expect("a name"));
    let trunk = |id| Trunk::new(TrunkId::new(id), format!("trunk-{id}"), endpoint(id));
    let is_priced = case.has(Case::Prices);
    let trunks =
        (1..=DESTINATIONS).map(|id| Trunk { rate_deck: is_priced.then_some(DECK), ..trunk(id) });
    let servers = (1..=DESTINATIONS).map(|id| Server {
        id: ServerId::new(id),
        name: format!("slave-{id}"),
        role: ServerRole::Slave,
        trunk: Some(TrunkId::new(id)),
        max_live: Some(1_000),
    });
    let mut flow = ForwardingFlow::new(FLOW, "flow", ServerId::new(99));
    flow.dids = (0..DIDS).map(did).collect();
    flow.throttle = case.throttle();
    flow.schedule = case.schedule().map(Into::into);
    if case.has(Case::Caller) {
        flow.stickiness = Stickiness { window: StickyWindow::SameDay, ..Stickiness::default() };
    }
    for id in 1..=DESTINATIONS {
        let landing =
            Landing::Slave { server: ServerId::new(id), did: "1001".parse().expect("digits") };
        flow.destinations.push(Destination {
            weight: u32::try_from(id).expect("small"),
            max_live: Some(100),
            throttle: case.throttle(),
            schedule: case.schedule().map(Into::into),
            ..Destination::new(DestinationId::new(id), format!("destination-{id}"), landing)
        });
    }
    let master = Server {
        id: ServerId::new(99),
        name: "master".to_owned(),
        role: ServerRole::Master,
        trunk: None,
        max_live: None,
    };
    let account = AccountSettings {
        time_zone: "America/Chicago".parse::<Zone>().expect("a zone"),
        prepaid: is_priced,
        ..AccountSettings::default()
    };
    let configuration = Configuration {
        account,
        rate_decks: vec![deck()],
        servers: servers.chain([master]).collect(),
        trunks: trunks.collect(),
        forwarding_flows: vec![flow],
        ..Configuration::default()
    };
    vec![(DEFAULT_ACCOUNT, configuration)]
}

struct Node {
    snapshot: Snapshot,
    state: State,
    choice: Choice,
    ask: Ask,
    calls: u128,
}

impl Node {
    fn new(case: Case) -> Self {
        let snapshot = Snapshot::build(&accounts(case), None);
        let mut state = State::default();
        state.follow(&snapshot);
        state.set_balance(DEFAULT_ACCOUNT, Some(Micros(1_000_000)));
        let ask = Ask {
            leg: LegId { call: CallId::new(0), no: 1 },
            flow: FLOW,
            at: START,
            caller: None,
            repeat: None,
            tried: Vec::new(),
            is_last: false,
            is_fallback: false,
            is_test: false,
        };
        let mut node = Self { snapshot, state, choice: Choice::default(), ask, calls: 0 };
        // Buffers grow to their size once.
        for _ in 0..10_000 {
            node.decide(&did(0));
        }
        for _ in 0..800 {
            node.arrive(&did(0));
            decide(&node.snapshot, &mut node.state, &node.ask);
        }
        let _ = node.state.turned_wheels();
        node.state.remembered().for_each(drop);
        node.decide(&did(0));
        if case.has(Case::Caller) {
            for no in 0..CALLERS {
                let destination = DestinationId::new(1 + u128::from(no) % DESTINATIONS);
                let binding = Binding { destination, set_at: START, touched_at: START };
                let (flow, caller, binding) = (FLOW, caller(no), Some(binding));
                let known = Remembered::Binding { flow, caller, binding };
                node.state.recall(&node.snapshot, known);
            }
            node.ask.caller = Some(caller(777));
        }
        node
    }

    /// The next call, 10 ms after the last.
    fn arrive(&mut self, did: &Did) {
        self.calls += 1;
        self.ask.leg.call = CallId::new(self.calls);
        self.ask.at = self.ask.at.plus_ms(10);
        let owner: &FlowPlan = self.snapshot.owner(did).expect("it is owned");
        self.ask.flow = owner.flow.id;
    }

    fn decide(&mut self, did: &Did) -> bool {
        self.arrive(did);
        let Self { snapshot, state, choice, ask, .. } = self;
        state.prepare(snapshot, ask.flow, ask.at);
        choose(snapshot, state, ask, &Ledger::default(), choice);
        let is_taken = commit(snapshot, state, ask, choice);
        is_taken && state.release(ask.leg)
    }

    fn decide_and_tell(&mut self, did: &Did) -> bool {
        self.arrive(did);
        let decision = decide(&self.snapshot, &mut self.state, &self.ask);
        let is_picked = matches!(black_box(decision), Decision::Picked { .. });
        is_picked && self.state.release(self.ask.leg)
    }
}

#[divan::bench(args = CASES, sample_count = 10_000, sample_size = 50)]
fn decide_hot(bencher: Bencher<'_, '_>, case: Case) {
    let mut node = Node::new(case);
    let did = did(777_777);
    bencher.bench_local(|| assert!(node.decide(black_box(&did))));
}

#[divan::bench(args = CASES, sample_count = 10_000, sample_size = 50)]
fn decide_cold(bencher: Bencher<'_, '_>, case: Case) {
    let mut node = Node::new(case);
    let mut no = 0;
    // A step that visits every one of them, in no order that a cache likes. The numbers that a call
    // brings along are fresh.
    let next = || {
        no = (no + 618_033) % DIDS;
        (did(no), case.has(Case::Caller).then(|| caller(no % CALLERS)))
    };
    bencher.with_inputs(next).bench_local_refs(|(did, caller)| {
        swap(&mut node.ask.caller, caller);
        assert!(node.decide(black_box(did)));
    });
}

#[divan::bench(args = [Case::Limits, Case::All], sample_count = 10_000, sample_size = 50)]
fn decide_and_tell(bencher: Bencher<'_, '_>, case: Case) {
    let mut node = Node::new(case);
    let did = did(777_777);
    bencher.bench_local(|| assert!(node.decide_and_tell(black_box(&did))));
}

/// Peak memory is that of the snapshot alone; the configuration it is built from stands beside it.
#[divan::bench(sample_count = 5, sample_size = 1)]
fn build_snapshot_of_a_million_dids(bencher: Bencher<'_, '_>) {
    let accounts = accounts(Case::Limits);
    bencher.bench_local(|| Snapshot::build(black_box(&accounts), None));
}

/// From a `SQLite` file to the snapshot, as a node does when it starts. Peak memory is all that Rust
/// allocates; what `SQLite` takes besides shows only in what the system says of a process that loads
/// once.
#[divan::bench(sample_count = 5, sample_size = 1)]
fn load_a_million_dids(bencher: Bencher<'_, '_>) {
    let runtime = Runtime::new().expect("a runtime");
    let folder = tempfile::TempDir::new().expect("a folder");
    let url = format!("sqlite:{}", folder.path().join("divert.sqlite").display());
    let db = runtime.block_on(async {
        let db = Db::open(&url).await.expect("a new database");
        for (account, configuration) in accounts(Case::Limits) {
            let (before, version) = db.configuration(account).await.expect("it is there");
            let mut after = configuration;
            let mut next = 0;
            let mut mint = || {
                next += 1;
                next
            };
            after.settle_numbers(&BTreeSet::new(), &mut mint);
            let changes = diff(&before, &after);
            let author = Author { key: None, name: "bench".into() };
            db.change(account, version, &changes, &author, Timestamp(0)).await.expect("it fits");
        }
        db
    });
    bencher.bench_local(|| load(&runtime, &db));
    let program = env::current_exe().expect("its path");
    let alone = Command::new(program).env(LOAD, &url).output().expect("it starts");
    assert!(alone.status.success());
    let _ = RESIDENT.set(String::from_utf8(alone.stdout).expect("text"));
}

fn load(runtime: &Runtime, db: &Db) -> Snapshot {
    let (snapshot, _) = runtime.block_on(read_snapshot(db, "master")).expect("the store answers");
    assert!(snapshot.owner(&did(DIDS - 1)).is_some());
    snapshot
}

fn load_alone(url: &str) {
    let runtime = Runtime::new().expect("a runtime");
    let db = runtime.block_on(Db::open(url)).expect("it was written");
    let before = resident("VmRSS:");
    let snapshot = load(&runtime, &db);
    let (after, peak) = (resident("VmRSS:"), resident("VmHWM:"));
    println!("resident: {before} MB before loading, {after} MB after, {peak} MB at most");
    drop(black_box(snapshot));
}

/// A line of what the system says of this process, in MB.
fn resident(line: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("Linux");
    let found = status.lines().find_map(|known| known.strip_prefix(line)).expect("it is there");
    let kb: u64 = found.trim().trim_end_matches(" kB").parse().expect("a number");
    kb * 1_024 / 1_000_000
}

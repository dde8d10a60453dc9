//! What a decision costs, and what it takes to load a configuration:
//!
//! ```sh
//! cargo bench --bench decision
//! ```
//!
//! One flow of 16 destinations on 16 trunks owns 1,000,000 DIDs. `hot` asks for one DID again and
//! again, `cold` for another one each time, far from the last. Allocations are counted: a decision has
//! none, which shows as no line of them. A decision is: who owns the DID, who
//! takes the call, taking the slots, and giving them back.

use std::collections::BTreeSet;
use std::hint::black_box;

use divan::{AllocProfiler, Bencher};
use divert::model::account::DEFAULT_ACCOUNT;
use divert::model::configuration::{Configuration, diff};
use divert::model::destination::{Destination, Landing};
use divert::model::forwarding_flow::ForwardingFlow;
use divert::model::id::{
    AccountId, CallId, DestinationId, ForwardingFlowId, LegId, ServerId, TrunkId,
};
use divert::model::number::Did;
use divert::model::server::{Server, ServerRole};
use divert::model::time::Timestamp;
use divert::model::trunk::{Reach, Trunk};
use divert::node::read_snapshot;
use divert::routing::choose::{Choice, Ledger, choose};
use divert::routing::decide::{Ask, State, commit};
use divert::routing::snapshot::Snapshot;
use divert::store::Db;

#[global_allocator]
static ALLOC: AllocProfiler = AllocProfiler::system();

const DIDS: u32 = 1_000_000;
const DESTINATIONS: u128 = 16;
const FLOW: ForwardingFlowId = ForwardingFlowId::new(1);

fn main() {
    divan::main();
}

fn did(no: u32) -> Did {
    format!("+1{:010}", 2_000_000_000 + u64::from(no)).parse().expect("digits")
}

fn accounts() -> Vec<(AccountId, Configuration)> {
    let endpoint = |id| Reach::Endpoint(format!("slave-{id}").parse().expect("a name"));
    let trunks = (1..=DESTINATIONS)
        .map(|id| Trunk::new(TrunkId::new(id), format!("trunk-{id}"), endpoint(id)));
    let servers = (1..=DESTINATIONS).map(|id| Server {
        id: ServerId::new(id),
        name: format!("slave-{id}"),
        role: ServerRole::Slave,
        trunk: Some(TrunkId::new(id)),
        max_live: Some(1_000),
    });
    let mut flow = ForwardingFlow::new(FLOW, "flow", ServerId::new(99));
    flow.dids = (0..DIDS).map(did).collect();
    for id in 1..=DESTINATIONS {
        let landing =
            Landing::Slave { server: ServerId::new(id), did: "1001".parse().expect("digits") };
        flow.destinations.push(Destination {
            weight: u32::try_from(id).expect("small"),
            max_live: Some(100),
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
    let configuration = Configuration {
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
    fn new() -> Self {
        let snapshot = Snapshot::build(&accounts(), None);
        let mut state = State::default();
        state.follow(&snapshot);
        let ask = Ask {
            leg: LegId { call: CallId::new(0), no: 1 },
            flow: FLOW,
            at: Timestamp(1_795_269_600_000),
            caller: None,
            repeat: None,
            tried: Vec::new(),
            is_fallback: false,
            is_test: false,
        };
        let mut node = Self { snapshot, state, choice: Choice::default(), ask, calls: 0 };
        // Buffers grow to their size once.
        for _ in 0..10_000 {
            node.decide(&did(0));
        }
        let _ = node.state.turned_wheels();
        node.decide(&did(0));
        node
    }

    fn decide(&mut self, did: &Did) -> bool {
        self.calls += 1;
        let owner = self.snapshot.owner(did).expect("it is owned");
        self.ask.leg.call = CallId::new(self.calls);
        self.ask.flow = owner.flow.id;
        let Self { snapshot, state, choice, ask, .. } = self;
        choose(snapshot, state, ask, &Ledger::default(), choice);
        let is_taken = commit(snapshot, state, ask, choice);
        is_taken && state.release(ask.leg)
    }
}

#[divan::bench(sample_count = 10_000, sample_size = 50)]
fn decide_hot(bencher: Bencher<'_, '_>) {
    let mut node = Node::new();
    let did = did(777_777);
    bencher.bench_local(|| assert!(node.decide(black_box(&did))));
}

#[divan::bench(sample_count = 10_000, sample_size = 50)]
fn decide_cold(bencher: Bencher<'_, '_>) {
    let mut node = Node::new();
    let mut no = 0;
    // A step that visits every one of them, in no order that a cache likes. The number that a call
    // brings along is fresh.
    let next = || {
        no = (no + 618_033) % DIDS;
        did(no)
    };
    bencher.with_inputs(next).bench_local_refs(|did| assert!(node.decide(black_box(did))));
}

/// Peak memory is that of the snapshot alone; the configuration it is built from stands beside it.
#[divan::bench(sample_count = 5, sample_size = 1)]
fn build_snapshot_of_a_million_dids(bencher: Bencher<'_, '_>) {
    let accounts = accounts();
    bencher.bench_local(|| Snapshot::build(black_box(&accounts), None));
}

/// From a `SQLite` file to the snapshot, as a node does when it starts. Peak memory is all of it.
#[divan::bench(sample_count = 5, sample_size = 1)]
fn load_a_million_dids(bencher: Bencher<'_, '_>) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let folder = tempfile::TempDir::new().expect("a folder");
    let url = format!("sqlite:{}", folder.path().join("divert.sqlite").display());
    let db = runtime.block_on(async {
        let db = Db::open(&url).await.expect("a new database");
        for (account, configuration) in accounts() {
            let (before, version) = db.configuration(account).await.expect("it is there");
            let mut after = configuration;
            let mut next = 0;
            let mut mint = || {
                next += 1;
                next
            };
            after.settle_numbers(&BTreeSet::new(), &mut mint);
            let changes = diff(&before, &after);
            db.change(account, version, &changes, Timestamp(0)).await.expect("it fits");
        }
        db
    });
    bencher.bench_local(|| {
        let (snapshot, _) =
            runtime.block_on(read_snapshot(&db, "master")).expect("the store answers");
        assert!(snapshot.owner(&did(DIDS - 1)).is_some());
        snapshot
    });
}

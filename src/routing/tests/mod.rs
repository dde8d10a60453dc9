//! Whole decisions, over whole configurations, on a clock that is handed in.

use std::sync::Arc;

use super::decide::{Ask, Attempt, Decision, News, Report, State, decide};
use super::snapshot::Snapshot;
use crate::model::cause::Outcome;
use crate::model::configuration::Configuration;
use crate::model::id::{
    CallId, DestinationId, ForwardingFlowId, LegId, RateDeckId, ServerId, TrunkId,
};
use crate::model::number::CallerKey;
use crate::model::objects::account::DEFAULT_ACCOUNT;
use crate::model::objects::destination::{Destination, Landing};
use crate::model::objects::forwarding_flow::ForwardingFlow;
use crate::model::objects::server::{Server, ServerRole};
use crate::model::objects::trunk::{Reach, Trunk};
use crate::model::stickiness::RepeatAction;
use crate::model::time::Timestamp;
use crate::model::timeline::{Unroutable, Verdict};

mod allocations;
mod callers;
mod explain;
mod follow;
mod limits;
mod order;
mod trunks;

const FLOW: ForwardingFlowId = ForwardingFlowId::new(1);
const DECK: RateDeckId = RateDeckId::new(1);

/// Two slaves behind one trunk each, and destinations on them.
struct World {
    configuration: Configuration,
    snapshot: Arc<Snapshot>,
    state: State,
    calls: u128,
    now: Timestamp,
}

/// What the next question is asked with.
#[derive(Default)]
struct Asked<'a> {
    caller: Option<&'a str>,
    repeat: Option<RepeatAction>,
    tried: &'a [u128],
    is_fallback: bool,
    is_test: bool,
}

fn destination(id: u128) -> DestinationId {
    DestinationId::new(id)
}

fn tried(id: u128, outcome: Option<Outcome>) -> Attempt {
    Attempt { destination: destination(id), trunk: TrunkId::new(1), outcome }
}

fn trunk(id: u128) -> Trunk {
    let endpoint = format!("slave-{id}").parse().unwrap();
    Trunk::new(TrunkId::new(id), format!("trunk-{id}"), Reach::Endpoint(endpoint))
}

fn at(text: &str) -> Timestamp {
    Timestamp(text.parse::<jiff::Zoned>().unwrap().timestamp().as_millisecond())
}

impl World {
    /// Each destination as (slave, priority, weight); their names are a, b, c, ….
    fn new(destinations: &[(u128, i32, u32)]) -> Self {
        let server = |id| Server {
            id: ServerId::new(id),
            name: format!("slave-{id}"),
            role: ServerRole::Slave,
            trunk: Some(TrunkId::new(id)),
            max_live: None,
        };
        let mut flow = ForwardingFlow::new(FLOW, "flow", ServerId::new(9));
        for (id, &(slave, priority, weight)) in (0..).zip(destinations) {
            let landing =
                Landing::Slave { server: ServerId::new(slave), did: "1001".parse().unwrap() };
            let name = char::from(b'a' + u8::try_from(id).unwrap()).to_string();
            let new = Destination::new(destination(id), name, landing);
            flow.destinations.push(Destination { priority, weight, ..new });
        }
        let configuration = Configuration {
            servers: vec![server(1), server(2)],
            trunks: vec![trunk(1), trunk(2)],
            forwarding_flows: vec![flow],
            ..Configuration::default()
        };
        let mut world = Self {
            configuration,
            snapshot: Arc::default(),
            state: State::default(),
            calls: 0,
            now: Timestamp(1_795_269_600_000),
        };
        world.build();
        world
    }

    fn flow(&mut self) -> &mut ForwardingFlow {
        &mut self.configuration.forwarding_flows[0]
    }

    fn line(&mut self, at: usize) -> &mut Destination {
        &mut self.flow().destinations[at]
    }

    /// Changes the configuration, as by a reload.
    fn change(&mut self, change: impl FnOnce(&mut Self)) {
        change(self);
        self.build();
    }

    fn build(&mut self) {
        let accounts = [(DEFAULT_ACCOUNT, self.configuration.clone())];
        self.snapshot = Arc::new(Snapshot::build(&accounts, None));
        self.state.follow(&self.snapshot);
    }

    /// Time passes.
    fn wait_sec(&mut self, sec: i64) {
        self.now = self.now.plus_ms(sec * 1_000);
    }

    fn question(&mut self, asked: &Asked<'_>) -> Ask {
        self.calls += 1;
        Ask {
            leg: LegId { call: CallId::new(self.calls), no: 1 },
            flow: FLOW,
            at: self.now,
            caller: asked.caller.map(CallerKey::kept),
            repeat: asked.repeat,
            tried: asked.tried.iter().map(|id| tried(*id, None)).collect(),
            is_last: false,
            is_fallback: asked.is_fallback,
            is_test: asked.is_test,
        }
    }

    fn ask(&mut self, asked: &Asked<'_>) -> (LegId, Decision) {
        let ask = self.question(asked);
        (ask.leg, decide(&self.snapshot, &mut self.state, &ask))
    }

    fn verdicts(&mut self, asked: &Asked<'_>) -> Vec<Verdict> {
        let (leg, decision) = self.ask(asked);
        self.state.release(leg);
        verdicts(&decision)
    }

    /// The name of whom a new caller gets, or why nobody; the leg is kept.
    fn next(&mut self) -> Result<String, Unroutable> {
        name(&self.ask(&Asked::default()).1)
    }

    /// The same for a caller with this number.
    fn from(&mut self, caller: &str) -> (LegId, Result<String, Unroutable>) {
        let asked = Asked { caller: Some(caller), ..Asked::default() };
        let (leg, decision) = self.ask(&asked);
        (leg, name(&decision))
    }

    fn take(&mut self, times: usize) -> String {
        (0..times).map(|_| self.next().unwrap()).collect()
    }

    /// Tells how a leg of an ordinary call goes.
    fn tell(&mut self, leg: LegId, to: u128, caller: Option<&str>, news: News) {
        let plan = self.snapshot.flow(FLOW).unwrap();
        let trunk = plan.line(destination(to)).map(|line| line.ways[0].offer.trunk);
        let report = Report {
            leg,
            flow: FLOW,
            destination: Some(destination(to)),
            trunk,
            caller: caller.map(CallerKey::kept),
            is_test: false,
            news,
        };
        self.state.report(&self.snapshot, self.now, &report);
        if matches!(news, News::Ended { .. } | News::Failed(_) | News::NoReply) {
            self.state.release(leg);
        }
    }

    /// A caller calls, is answered by whom they get, and hangs up; who that was.
    fn talk(&mut self, caller: &str) -> String {
        let (leg, picked) = self.from(caller);
        let picked = picked.unwrap();
        let id = u128::from(picked.as_bytes()[0] - b'a');
        self.tell(leg, id, Some(caller), News::Answered);
        self.tell(leg, id, Some(caller), News::Ended { talk_ms: 1, billed_sec: None });
        picked
    }
}

fn name(decision: &Decision) -> Result<String, Unroutable> {
    match decision {
        Decision::Picked { offer, .. } => Ok(offer.name.clone()),
        Decision::Unroutable { reason, .. } => Err(*reason),
        Decision::Refused { .. } => panic!("{decision:?}"),
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

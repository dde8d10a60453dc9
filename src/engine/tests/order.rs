//! Any order of events, also those that cannot happen: nothing may be left behind.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;

use super::{DID, flow, snapshot, tariff};
use crate::engine::journal::{self, JournalEntry};
use crate::engine::{
    Arrival, CallEvent, ChannelEvent, ChannelState, Command, Engine, FailedCommand, Input, Route,
};
use crate::model::cause::HangupCause;
use crate::model::id::{BridgeId, CallId, ChannelId, DestinationId, LegId, TrunkId};
use crate::model::number::Caller;
use crate::model::objects::account::DEFAULT_ACCOUNT;
use crate::model::objects::forwarding_flow::{Fallback, Ringback};
use crate::model::time::Timestamp;
use crate::routing::decide::{self, Ask, Decision, State};
use crate::routing::snapshot::Snapshot;

/// One step of an adversary. The numbers choose among what exists.
#[derive(Clone, Debug)]
enum Move {
    Answer { which: usize, refuse: bool },
    Arrive { known: bool, up: bool, test: bool },
    Channel { which: usize, event: ChannelEvent },
    End { which: usize },
    Pass { ms: i64 },
    SetClock { by_ms: i64 },
    Restart,
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    const STATES: [ChannelState; 3] = [ChannelState::Down, ChannelState::Ringing, ChannelState::Up];
    let gone = (prop::option::of(1u16..128), prop::option::of(200u16..700), 0..3_usize).prop_map(
        |(cause, sip_code, state)| ChannelEvent::Gone {
            cause: cause.map(HangupCause),
            sip_code,
            state: STATES[state],
        },
    );
    let missing = (0i64..60_000, 0..3_usize).prop_map(|(seen_at, state)| ChannelEvent::Missing {
        seen_at: Timestamp(seen_at),
        state: STATES[state],
    });
    let failed = prop::sample::select(vec![
        FailedCommand::Answer,
        FailedCommand::Connect,
        FailedCommand::Create,
        FailedCommand::Dial,
        FailedCommand::PassOn,
    ])
    .prop_map(|command| ChannelEvent::CommandFailed { command, detail: String::new() });
    let event = prop_oneof![
        3 => Just(ChannelEvent::Ready),
        2 => Just(ChannelEvent::Ringing),
        3 => Just(ChannelEvent::Up),
        2 => gone,
        1 => missing,
        1 => failed,
    ];
    let one = prop_oneof![
        3 => (any::<prop::sample::Index>(), prop::bool::weighted(0.2))
            .prop_map(|(which, refuse)| Move::Answer { which: which.index(64), refuse }),
        2 => (prop::bool::weighted(0.9), prop::bool::weighted(0.1), prop::bool::weighted(0.2))
            .prop_map(|(known, up, test)| Move::Arrive { known, up, test }),
        8 => (0usize..64, event).prop_map(|(which, event)| Move::Channel { which, event }),
        1 => (0usize..64).prop_map(|which| Move::End { which }),
        2 => (0i64..40_000).prop_map(|ms| Move::Pass { ms }),
        1 => (-7_200_000i64..7_200_000).prop_map(|by_ms| Move::SetClock { by_ms }),
        1 => Just(Move::Restart),
    ];
    prop::collection::vec(one, 1..80)
}

/// A driver that keeps its promises and checks those of the engine.
struct World {
    engine: Engine,
    snapshot: Snapshot,
    state: State,
    now: Timestamp,
    minted: u128,
    owed: Vec<(CallId, Ask)>,
    channels: BTreeSet<ChannelId>,
    hung_up: BTreeSet<ChannelId>,
    picked: BTreeSet<LegId>,
    released: BTreeSet<LegId>,
    closed: BTreeSet<CallId>,
    tests: BTreeSet<CallId>,
    /// Legs that were answered and cost something, and those that have ended since.
    costly: BTreeSet<LegId>,
    ended: BTreeSet<LegId>,
    billed: BTreeSet<LegId>,
    journals: BTreeMap<CallId, Vec<JournalEntry>>,
}

impl World {
    fn new(fallback: Fallback, ringback: Ringback) -> Self {
        let mut flow = flow(&["1001", "1002", "1003"]);
        flow.destinations[0].max_live = Some(2);
        (flow.fallback, flow.ringback) = (fallback, ringback);
        Self {
            engine: Engine::default(),
            snapshot: snapshot(flow),
            state: State::default(),
            now: Timestamp(0),
            minted: 0,
            owed: Vec::new(),
            channels: BTreeSet::new(),
            hung_up: BTreeSet::new(),
            picked: BTreeSet::new(),
            released: BTreeSet::new(),
            closed: BTreeSet::new(),
            tests: BTreeSet::new(),
            costly: BTreeSet::new(),
            ended: BTreeSet::new(),
            billed: BTreeSet::new(),
            journals: BTreeMap::new(),
        }
    }

    fn feed(&mut self, input: Input) {
        let Some(call) = self.engine.handle(self.now, input.clone()) else {
            assert!(self.engine.poll_command().is_none(), "a late echo does nothing");
            return;
        };
        let mut commands = Vec::new();
        while let Some((of, command)) = self.engine.poll_command() {
            assert_eq!(of, call);
            assert!(!self.closed.contains(&call), "no command after the last");
            match &command {
                Command::Bill(cdr) => {
                    assert!(!self.tests.contains(&call), "a test call costs nothing");
                    assert!(self.billed.insert(cdr.id()), "a leg is billed once");
                    assert!(cdr.answered_at <= cdr.ended_at && cdr.ended_at <= self.now);
                }
                Command::SaveLeg(leg) if leg.ended_at.is_some() => {
                    let id = LegId { call, no: leg.no };
                    assert!(self.ended.insert(id), "a leg ends once");
                    // What the first and the third destination cost, and the fallback number.
                    let costs = leg.destination.is_none_or(|id| id != DestinationId::new(2));
                    if leg.answered_at.is_some() && costs && !self.tests.contains(&call) {
                        self.costly.insert(id);
                    }
                }
                Command::Close { .. } => assert!(self.closed.insert(call)),
                Command::Create { leg, is_test, .. } => {
                    assert_eq!(*is_test, self.tests.contains(&call));
                    self.channels.insert(leg.channel());
                }
                Command::Decide(ask) => self.owed.push((call, ask.clone())),
                Command::HangUp { channel, .. } => {
                    self.hung_up.insert(channel.clone());
                }
                Command::Release { leg } => {
                    assert!(self.picked.contains(leg), "only what was taken is given back");
                    assert!(self.released.insert(*leg), "and once");
                    assert!(self.state.release(*leg));
                }
                _ => {}
            }
            commands.push(command);
        }
        let entry = JournalEntry { at: self.now, input, commands };
        self.journals.entry(call).or_default().push(entry);
    }

    fn answer(&mut self, which: usize, refuse: bool) {
        if self.owed.is_empty() {
            return;
        }
        let (call, ask) = self.owed.remove(which % self.owed.len());
        let mut decision = if refuse {
            let reason = crate::model::timeline::Unroutable::Mixed;
            Decision::Unroutable { reason, candidates: Vec::new() }
        } else {
            decide::decide(&self.snapshot, &mut self.state, &ask)
        };
        if let Decision::Picked { offer, .. } = &mut decision {
            self.picked.insert(ask.leg);
            let costs = offer.destination != Some(DestinationId::new(2));
            offer.tariff = costs.then(|| Arc::new(tariff()));
        }
        self.feed(Input::Call { call, event: CallEvent::Decided { leg: ask.leg.no, decision } });
    }

    fn play(&mut self, step: Move) {
        match step {
            Move::Answer { which, refuse } => self.answer(which, refuse),
            Move::Arrive { known, up, test } => {
                self.minted += 1;
                let channel = ChannelId(format!("caller.{}", self.minted));
                self.channels.insert(channel.clone());
                let did = DID.parse().unwrap();
                let plan = self.snapshot.owner(&did).filter(|_| known);
                let route = plan.map(|plan| Route::of(plan));
                if test {
                    self.tests.insert(CallId::new(self.minted));
                }
                let arrival = Arrival {
                    call: CallId::new(self.minted),
                    account: DEFAULT_ACCOUNT,
                    channel,
                    did,
                    caller: Caller::default(),
                    alike: None,
                    caller_key: None,
                    session: CallId::new(self.minted),
                    repeat: None,
                    counts_as_visit: false,
                    is_test: test,
                    is_up: up,
                    is_found: false,
                    bridge: BridgeId("b".into()),
                    route,
                };
                self.feed(Input::Arrived(Box::new(arrival)));
            }
            Move::Channel { which, event } => {
                if let Some(channel) = self.channels.iter().nth(which % self.channels.len().max(1))
                {
                    let channel = channel.clone();
                    self.feed(Input::Channel { channel, event });
                }
            }
            Move::End { which } => {
                let call = CallId::new(which as u128 % self.minted.max(1) + 1);
                self.feed(Input::Call { call, event: CallEvent::EndRequested });
            }
            Move::Pass { ms } => {
                self.now = self.now.plus_ms(ms);
                while let Some(input) = self.engine.expired(self.now) {
                    self.feed(input);
                }
            }
            Move::SetClock { by_ms } => {
                self.now = self.now.plus_ms(by_ms);
                self.state.clock_set(by_ms);
                let calls: Vec<CallId> = self.engine.calls().map(|call| call.id).collect();
                for call in calls {
                    self.feed(Input::Call { call, event: CallEvent::ClockSet { by_ms } });
                }
            }
            Move::Restart => self.restart(),
        }
    }

    /// A new process: the engine from the journals, the slots from the engine; questions that were
    /// open are lost with the old one.
    fn restart(&mut self) {
        let mut engine = Engine::default();
        let mut told = BTreeSet::new();
        for journal in self.journals.values() {
            for command in journal::restore(&mut engine, journal) {
                if let Command::Bill(cdr) = command {
                    told.insert(cdr.id());
                }
            }
        }
        assert_eq!(told, self.billed, "the journal knows every bill");
        let same = |engine: &Engine| engine.channels().collect::<Vec<_>>();
        assert_eq!(same(&engine), same(&self.engine));
        self.engine = engine;
        let held: BTreeSet<LegId> = self.engine.slot_holders().map(|live| live.leg).collect();
        assert_eq!(held, self.state.holders().collect::<BTreeSet<_>>());
        self.owed.clear();
        let calls: Vec<CallId> = self.engine.calls().map(|call| call.id).collect();
        for call in calls {
            self.feed(Input::Call { call, event: CallEvent::Adopted });
        }
    }

    /// Asterisk ends every channel, the router answers, the timers run out.
    fn drain(&mut self) {
        for _ in 0..1_000 {
            while !self.owed.is_empty() {
                self.answer(0, false);
            }
            let Some((channel, _)) = self.engine.channels().next() else {
                break;
            };
            let state = ChannelState::Down;
            let event = ChannelEvent::Gone { cause: None, sip_code: None, state };
            self.feed(Input::Channel { channel, event });
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn nothing_is_left_behind(
        steps in moves(),
        fallback in prop_oneof![
            Just(Fallback::Dialplan),
            Just(Fallback::HangUp(None)),
            Just(Fallback::Number { trunk: TrunkId::new(1), number: "1009".parse().unwrap() }),
        ],
        early in any::<bool>(),
    ) {
        let ringback = if early { Ringback::EarlyMedia } else { Ringback::Ring };
        let mut world = World::new(fallback, ringback);
        for step in steps {
            world.play(step);
            for call in world.engine.calls() {
                let waits = world.engine.channels().any(|(_, view)| view.call == call.id);
                let asked = world.owed.iter().any(|(id, _)| *id == call.id);
                prop_assert!(waits || asked, "a call that waits for nothing is stuck");
            }
        }
        world.drain();
        prop_assert_eq!(world.engine.calls().count(), 0);
        prop_assert_eq!(world.engine.next_timeout(), None);
        prop_assert_eq!(world.state.holders().count(), 0);
        prop_assert_eq!(&world.picked, &world.released);
        prop_assert_eq!(&world.costly, &world.billed);
        prop_assert_eq!(world.closed.len() as u128, world.minted);
        for (call, journal) in &world.journals {
            prop_assert!(journal::replay(journal).is_ok(), "{} replays differently", call);
        }
    }
}

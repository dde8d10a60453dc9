//! What is billed of a call, and that a leg is billed once: moments are given by hand, so that the
//! seconds are known to the millisecond.

use std::sync::Arc;

use super::tariff;
use crate::engine::journal::{self, JournalEntry};
use crate::engine::{
    Arrival, CallEvent, ChannelEvent, ChannelState, Command, Engine, FallbackRoute, Input, Route,
};
use crate::model::billing::{Cdr, Tariff};
use crate::model::call::CallRecord;
use crate::model::cause::{CallResult, EndedBy, HangupCause};
use crate::model::id::{
    BridgeId, CallId, ChannelId, DestinationId, ForwardingFlowId, LegId, TrunkId,
};
use crate::model::number::Caller;
use crate::model::objects::account::DEFAULT_ACCOUNT;
use crate::model::objects::forwarding_flow::Ringback;
use crate::model::time::Timestamp;
use crate::routing::decide::Decision;
use crate::routing::snapshot::Offer;

const CALL: CallId = CallId::new(7);
const UP: ChannelEvent = ChannelEvent::Up;

fn gone(state: ChannelState) -> ChannelEvent {
    ChannelEvent::Gone { cause: Some(HangupCause::NORMAL), sip_code: None, state }
}

fn missing(seen_at_ms: i64) -> ChannelEvent {
    ChannelEvent::Missing { seen_at: Timestamp(seen_at_ms), state: ChannelState::Up }
}

/// One call that is told what happens to it, and keeps what came of it.
struct Told {
    engine: Engine,
    journal: Vec<JournalEntry>,
    tariff: Option<Arc<Tariff>>,
    bills: Vec<Cdr>,
    record: Option<CallRecord>,
}

impl Told {
    /// A call whose first leg is dialled at 1 s.
    fn new(tariff: Option<Tariff>, is_test: bool) -> Self {
        let route = Route {
            flow: ForwardingFlowId::new(1),
            name: "flow".into(),
            ringback: Ringback::Ring,
            ring_budget_ms: 60_000,
            max_attempts: 3,
            max_call_ms: 3_600_000,
            fallback: FallbackRoute::HangUp(None),
        };
        let arrival = Arrival {
            call: CALL,
            account: DEFAULT_ACCOUNT,
            channel: ChannelId("caller".to_owned()),
            did: "100".parse().unwrap(),
            caller: Caller::default(),
            alike: None,
            caller_key: None,
            session: CALL,
            repeat: None,
            counts_as_visit: false,
            is_test,
            is_up: false,
            is_found: false,
            bridge: BridgeId("b-1".into()),
            route: Some(route),
        };
        let mut told = Self {
            engine: Engine::default(),
            journal: Vec::new(),
            tariff: tariff.map(Arc::new),
            bills: Vec::new(),
            record: None,
        };
        told.feed(1_000, Input::Arrived(Box::new(arrival)));
        told.leg(1_000, 1, ChannelEvent::Ready);
        told
    }

    fn feed(&mut self, ms: i64, input: Input) {
        let at = Timestamp(ms);
        self.engine.handle(at, input.clone());
        let mut asked = None;
        let mut commands = Vec::new();
        while let Some((_, command)) = self.engine.poll_command() {
            match &command {
                Command::Bill(cdr) => self.bills.push((**cdr).clone()),
                Command::Decide(ask) => asked = Some(ask.leg.no),
                Command::Save(record) => self.record = Some((**record).clone()),
                _ => {}
            }
            commands.push(command);
        }
        self.journal.push(JournalEntry { at, input, commands });
        if let Some(leg) = asked {
            let offer = Offer {
                destination: Some(DestinationId::new(u128::from(leg))),
                name: "a".into(),
                trunk: TrunkId::new(1),
                endpoint: "PJSIP/1@a".into(),
                ring_timeout_ms: 20_000,
                tariff: self.tariff.clone(),
            };
            let decision = Decision::Picked { offer, candidates: Vec::new(), would: None };
            self.feed(ms, Input::Call { call: CALL, event: CallEvent::Decided { leg, decision } });
        }
    }

    fn leg(&mut self, ms: i64, no: u16, event: ChannelEvent) {
        self.feed(ms, Input::Channel { channel: LegId { call: CALL, no }.channel(), event });
    }

    fn caller(&mut self, ms: i64, event: ChannelEvent) {
        self.feed(ms, Input::Channel { channel: ChannelId("caller".to_owned()), event });
    }

    /// Another process takes the call over from the journal; the bills it knows of by that.
    fn restart(&mut self) -> Vec<Cdr> {
        self.engine = Engine::default();
        let told = journal::restore(&mut self.engine, &self.journal);
        let bill = |command| match command {
            Command::Bill(cdr) => Some(*cdr),
            _ => None,
        };
        told.into_iter().filter_map(bill).collect()
    }

    /// Start, answer and end of each leg that was billed, in milliseconds, and its seconds.
    fn billed(&self) -> Vec<[i64; 4]> {
        let times = |cdr: &Cdr| {
            [cdr.started_at.0, cdr.answered_at.0, cdr.ended_at.0, cdr.charge.billed_sec]
        };
        self.bills.iter().map(times).collect()
    }

    fn talk_ms(&self) -> i64 {
        self.record.as_ref().unwrap().talk_ms
    }
}

#[test]
fn an_answered_leg_is_billed_once_from_answer_to_end() {
    let mut told = Told::new(Some(tariff()), false);
    told.leg(2_000, 1, ChannelEvent::Ringing);
    told.leg(5_000, 1, UP);
    told.leg(5_500, 1, UP);
    told.leg(15_200, 1, gone(ChannelState::Up));
    told.leg(15_300, 1, gone(ChannelState::Up));
    told.caller(15_400, gone(ChannelState::Up));
    assert_eq!(told.billed(), [[1_000, 5_000, 15_200, 11]]);
    let cdr = &told.bills[0];
    assert_eq!((cdr.id(), cdr.account), (LegId { call: CALL, no: 1 }, DEFAULT_ACCOUNT));
    assert_eq!(cdr.flow, Some(ForwardingFlowId::new(1)));
    assert_eq!(cdr.destination, Some(DestinationId::new(1)));
    assert_eq!(cdr.trunk, Some(TrunkId::new(1)));
    assert_eq!(cdr.endpoint, "PJSIP/1@a");
    assert_eq!(cdr.charge, tariff().charge(3_000, 10_200));
    assert_eq!(cdr.tariff, tariff());
}

#[test]
fn ring_time_counts_from_the_first_ring_or_the_dial() {
    let rings = Tariff { bills_ring_time: true, ..tariff() };
    let mut told = Told::new(Some(rings.clone()), false);
    told.leg(2_000, 1, ChannelEvent::Ringing);
    told.leg(4_000, 1, ChannelEvent::Ringing);
    told.leg(5_000, 1, UP);
    told.leg(15_000, 1, gone(ChannelState::Up));
    assert_eq!(told.billed(), [[1_000, 5_000, 15_000, 13]]);
    // Its carrier sent 183 and no 180: it was dialled at once, and the second one 400 ms after it was
    // asked for.
    let mut told = Told::new(Some(rings.clone()), false);
    told.leg(5_000, 1, UP);
    told.leg(15_000, 1, gone(ChannelState::Up));
    assert_eq!(told.billed(), [[1_000, 5_000, 15_000, 14]]);
    let mut told = Told::new(Some(rings), false);
    told.leg(2_000, 1, gone(ChannelState::Down));
    told.leg(2_400, 2, ChannelEvent::Ready);
    told.leg(5_000, 2, UP);
    told.leg(7_000, 2, gone(ChannelState::Up));
    assert_eq!(told.billed(), [[2_000, 5_000, 7_000, 5]]);
    // Where ringing costs nothing, neither does this.
    let mut told = Told::new(Some(tariff()), false);
    told.leg(5_000, 1, UP);
    told.leg(15_000, 1, gone(ChannelState::Up));
    assert_eq!(told.billed(), [[1_000, 5_000, 15_000, 10]]);
}

#[test]
fn who_does_not_answer_costs_nothing_and_the_next_one_is_billed() {
    let mut told = Told::new(Some(tariff()), false);
    told.leg(2_000, 1, ChannelEvent::Ringing);
    told.leg(9_000, 1, gone(ChannelState::Ringing));
    assert!(told.bills.is_empty());
    told.leg(9_100, 2, ChannelEvent::Ready);
    told.leg(10_000, 2, UP);
    told.leg(12_000, 2, gone(ChannelState::Up));
    assert_eq!(told.billed(), [[9_000, 10_000, 12_000, 2]]);
    assert_eq!(told.bills[0].leg, 2);
}

#[test]
fn a_leg_without_a_tariff_and_a_test_call_are_never_billed() {
    for (tariff, is_test) in [(None, false), (Some(tariff()), true), (None, true)] {
        let mut told = Told::new(tariff, is_test);
        told.leg(2_000, 1, UP);
        told.leg(9_000, 1, gone(ChannelState::Up));
        told.caller(9_000, gone(ChannelState::Up));
        assert!(told.bills.is_empty());
        assert_eq!(told.record.unwrap().result, Some(CallResult::Answered));
    }
}

#[test]
fn an_answer_that_comes_too_late_for_the_caller_costs_all_the_same() {
    let mut told = Told::new(Some(tariff()), false);
    told.caller(4_000, gone(ChannelState::Down));
    told.leg(4_010, 1, UP);
    told.leg(4_050, 1, gone(ChannelState::Up));
    assert_eq!(told.billed(), [[1_000, 4_010, 4_010, 1]]);
    let record = told.record.unwrap();
    assert_eq!((record.result, record.talk_ms), (Some(CallResult::Abandoned), 0));
    // Also when only the end tells that there was an answer.
    let mut told = Told::new(Some(tariff()), false);
    told.caller(4_000, gone(ChannelState::Down));
    told.leg(4_050, 1, gone(ChannelState::Up));
    assert_eq!(told.billed(), [[1_000, 4_050, 4_050, 1]]);
}

#[test]
fn what_nobody_heard_is_not_billed() {
    // Talking since 5 s; until 20 s everything was heard; at 100 s divert is back.
    let talking = || {
        let mut told = Told::new(Some(tariff()), false);
        told.leg(5_000, 1, UP);
        told
    };
    let mut told = talking();
    told.leg(100_000, 1, missing(20_000));
    assert_eq!(told.billed(), [[1_000, 5_000, 20_000, 15]]);
    assert_eq!(told.talk_ms(), 15_000);
    let record = told.record.clone().unwrap();
    assert_eq!(record.ended_at, Some(Timestamp(20_000)));
    assert_eq!(record.ended_by, Some(EndedBy::Destination));
    assert!(told.engine.next_timeout().unwrap() > Timestamp(100_000), "timers count from now");

    // Both are gone; nothing is heard of either.
    let mut told = talking();
    told.caller(100_000, missing(20_000));
    told.leg(100_000, 1, missing(20_000));
    assert_eq!((told.billed(), told.talk_ms()), (vec![[1_000, 5_000, 20_000, 15]], 15_000));

    // The leg lived on without the caller, and cost, until it was hung up.
    let mut told = talking();
    told.caller(100_000, missing(20_000));
    told.leg(100_050, 1, gone(ChannelState::Up));
    assert_eq!((told.billed(), told.talk_ms()), (vec![[1_000, 5_000, 100_000, 95]], 15_000));

    // What the leg said itself is newer than what is known of the node, and nothing is of tomorrow.
    let mut told = talking();
    told.leg(100_000, 1, missing(3_000));
    assert_eq!(told.billed(), [[1_000, 5_000, 5_000, 1]]);
    let mut told = talking();
    told.leg(100_000, 1, missing(999_000));
    assert_eq!(told.billed(), [[1_000, 5_000, 100_000, 95]]);

    // Asterisk was restarted meanwhile.
    let mut told = talking();
    let event = CallEvent::AsteriskRestarted { seen_at: Timestamp(20_000) };
    told.feed(100_000, Input::Call { call: CALL, event });
    assert_eq!((told.billed(), told.talk_ms()), (vec![[1_000, 5_000, 20_000, 15]], 15_000));
}

#[test]
fn a_leg_that_went_unheard_while_it_rang_is_left_for_the_next_at_once() {
    let mut told = Told::new(Some(tariff()), false);
    told.leg(2_000, 1, ChannelEvent::Ringing);
    let state = ChannelState::Ringing;
    told.leg(9_000, 1, ChannelEvent::Missing { seen_at: Timestamp(3_000), state });
    assert!(told.bills.is_empty());
    assert_eq!(told.engine.expired(Timestamp(9_500)), None, "the next one has its full time");
    told.leg(9_600, 2, ChannelEvent::Ready);
    told.leg(10_000, 2, UP);
    told.leg(12_000, 2, gone(ChannelState::Up));
    assert_eq!(told.billed(), [[9_000, 10_000, 12_000, 2]]);
}

#[test]
fn nothing_is_billed_beyond_the_moment_at_which_divert_hangs_up() {
    let a_minute = Tariff { increment: "60/60".parse().unwrap(), ..tariff() };
    // The longest conversation is 3600 s. However late the timer, and what Asterisk tells of it.
    for (timer, told_at, talk_ms) in [
        (3_605_000, 3_605_000, 3_600_000),
        (3_605_000, 3_609_999, 3_600_000),
        (3_605_004, 3_605_040, 3_600_000),
        (3_605_999, 3_606_040, 3_600_000),
        (3_606_000, 3_606_040, 3_601_000),
    ] {
        let mut told = Told::new(Some(a_minute.clone()), false);
        told.leg(5_000, 1, UP);
        assert_eq!(told.engine.next_timeout(), Some(Timestamp(3_605_000)));
        let input = told.engine.expired(Timestamp(timer)).unwrap();
        told.feed(timer, input);
        told.leg(told_at, 1, gone(ChannelState::Up));
        told.caller(told_at, gone(ChannelState::Up));
        assert_eq!(told.billed(), [[1_000, 5_000, 3_605_000, 3_600]], "{timer}");
        assert_eq!(told.talk_ms(), talk_ms, "{timer}");
    }
    // Somebody ends it, or the caller hangs up: divert tells the leg at once.
    let end = |told: &mut Told, ms| {
        told.feed(ms, Input::Call { call: CALL, event: CallEvent::EndRequested });
    };
    let hang_up = |told: &mut Told, ms| told.caller(ms, gone(ChannelState::Up));
    for finish in [&end as &dyn Fn(&mut Told, i64), &hang_up] {
        let mut told = Told::new(Some(a_minute.clone()), false);
        told.leg(5_000, 1, UP);
        finish(&mut told, 65_000);
        told.leg(65_800, 1, gone(ChannelState::Up));
        assert_eq!(told.billed(), [[1_000, 5_000, 65_000, 60]]);
        assert_eq!(told.talk_ms(), 60_000);
    }
    // The clock is set between the two.
    let mut told = Told::new(Some(a_minute), false);
    told.leg(5_000, 1, UP);
    end(&mut told, 65_000);
    told.feed(66_000, Input::Call { call: CALL, event: CallEvent::ClockSet { by_ms: 7_000_000 } });
    told.leg(7_066_000, 1, gone(ChannelState::Up));
    assert_eq!(told.billed(), [[7_001_000, 7_005_000, 7_065_000, 60]]);
}

#[test]
fn a_bill_that_was_lost_with_the_process_is_in_the_journal() {
    let mut told = Told::new(Some(tariff()), false);
    told.leg(5_000, 1, UP);
    assert_eq!(told.restart(), []);
    told.caller(9_000, gone(ChannelState::Up));
    told.leg(9_500, 1, gone(ChannelState::Up));
    assert_eq!(told.billed(), [[1_000, 5_000, 9_000, 4]]);
    // The very same, so that it does not matter which of the two is kept.
    assert_eq!(told.restart(), told.bills);
}

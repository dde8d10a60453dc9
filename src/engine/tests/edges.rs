//! What each event makes the engine do outside, at every stage of a call: also the events that come
//! twice, too late or for another leg.

use crate::engine::{
    Arrival, CallEvent, ChannelEvent, ChannelState, Command, Engine, FailedCommand, FallbackRoute,
    Input, Presence, Route, Timer,
};
use crate::model::call::{CallRecord, CallStatus, LegRecord};
use crate::model::cause::{CallResult, EndedBy, HangupCause};
use crate::model::id::{
    BridgeId, CallId, ChannelId, DestinationId, ForwardingFlowId, LegId, TrunkId,
};
use crate::model::number::Caller;
use crate::model::objects::account::DEFAULT_ACCOUNT;
use crate::model::objects::forwarding_flow::Ringback;
use crate::model::time::Timestamp;
use crate::model::timeline::{TimelineEntry, Unroutable, Verdict};
use crate::routing::decide::Decision;
use crate::routing::snapshot::Offer;
use ChannelEvent::{Ready, Ringing, Up};

const CALL: CallId = CallId::new(7);
const LIMIT_MS: i64 = 50_000 + 30_000 + 60_000;
const NOTHING: [&str; 0] = [];

fn caller_channel() -> ChannelId {
    ChannelId("1795.1".to_owned())
}

fn gone() -> ChannelEvent {
    ChannelEvent::Gone { cause: Some(HangupCause::NORMAL), sip_code: None, state: ChannelState::Up }
}

fn busy() -> ChannelEvent {
    let cause = Some(HangupCause::USER_BUSY);
    ChannelEvent::Gone { cause, sip_code: Some(486), state: ChannelState::Down }
}

fn failed(command: FailedCommand) -> ChannelEvent {
    ChannelEvent::CommandFailed { command, detail: String::new() }
}

/// A command in a few words; `None` for what only tells of it.
fn in_words(command: &Command) -> Option<String> {
    let who = |channel: &ChannelId| {
        LegId::of_channel(channel).map_or_else(|| "caller".to_owned(), |leg| leg.no.to_string())
    };
    Some(match command {
        Command::Answer { .. } => "answer".to_owned(),
        Command::Close { .. } => "close".to_owned(),
        Command::Connect { channels, .. } => {
            let channels: Vec<String> = channels.iter().map(who).collect();
            format!("connect {}", channels.join(" "))
        }
        Command::Create { leg, limit_ms, .. } => format!("create {} within {limit_ms}", leg.no),
        Command::Decide(ask) => {
            let what = match (ask.is_last, ask.is_fallback) {
                (false, false) => "",
                (true, false) => " by another trunk",
                (false, true) => " as fallback",
                (true, true) => " by another trunk as fallback",
            };
            format!("decide {}{what}", ask.leg.no)
        }
        Command::Dial { leg, timeout_ms, .. } => format!("dial {} for {timeout_ms}", leg.no),
        Command::Guard { limit_ms, .. } => format!("guard for {limit_ms}"),
        Command::HangUp { channel, cause } => format!("hang up {} {}", who(channel), cause.0),
        Command::PassOn { .. } => "pass on".to_owned(),
        Command::Release { leg } => format!("release {}", leg.no),
        Command::Ring { .. } => "ring".to_owned(),
        Command::Bill(_)
        | Command::Note(_)
        | Command::Report(_)
        | Command::Save(_)
        | Command::SaveLeg(_) => return None,
    })
}

/// A call that is told what happens to it, and what is left of it.
struct Told {
    engine: Engine,
    timeline: Vec<TimelineEntry>,
    record: Option<CallRecord>,
    leg: Option<LegRecord>,
}

/// What may be different from call to call.
#[derive(Clone, Copy)]
struct Kind {
    ringback: Ringback,
    is_up: bool,
    to_dialplan: bool,
}

const ORDINARY: Kind = Kind { ringback: Ringback::Ring, is_up: false, to_dialplan: false };

fn arrival(kind: Kind) -> Arrival {
    let fallback =
        if kind.to_dialplan { FallbackRoute::Dialplan } else { FallbackRoute::HangUp(None) };
    let route = Route {
        flow: ForwardingFlowId::new(1),
        name: "flow".into(),
        ringback: kind.ringback,
        ring_budget_ms: 50_000,
        max_attempts: 9,
        max_call_ms: 30_000,
        fallback,
    };
    Arrival {
        call: CALL,
        account: DEFAULT_ACCOUNT,
        channel: caller_channel(),
        did: "100".parse().unwrap(),
        alike: None,
        caller: Caller::default(),
        caller_key: None,
        session: CALL,
        repeat: None,
        counts_as_visit: false,
        is_test: false,
        is_up: kind.is_up,
        is_found: false,
        bridge: BridgeId("b-1".into()),
        route: Some(route),
    }
}

fn offer(leg: u16) -> Offer {
    Offer {
        destination: Some(DestinationId::new(u128::from(leg))),
        name: "a".into(),
        trunk: TrunkId::new(1),
        endpoint: "PJSIP/1@a".into(),
        ring_timeout_ms: 20_000,
        tariff: None,
    }
}

impl Told {
    /// A call that arrives at 0, before its first destination is known.
    fn new(kind: Kind) -> Self {
        Self::after(arrival(kind), &["decide 1"])
    }

    /// One on a route with this fallback, and as many destinations as may be tried.
    fn falling_back(max_attempts: u32) -> Self {
        let fallback = FallbackRoute::Number;
        let mut arrival = arrival(ORDINARY);
        arrival.route = arrival.route.map(|route| Route { max_attempts, fallback, ..route });
        Self::after(arrival, &["decide 1"])
    }

    /// One that an earlier process took at 0, whose first leg is not known of yet.
    fn found() -> Self {
        Self::after(Arrival { is_found: true, ..arrival(ORDINARY) }, &NOTHING)
    }

    fn after(arrival: Arrival, done: &[&str]) -> Self {
        let (engine, timeline) = (Engine::default(), Vec::new());
        let mut told = Self { engine, timeline, record: None, leg: None };
        assert_eq!(told.feed(0, Input::Arrived(Box::new(arrival))), done);
        told
    }

    /// One whose first leg is dialled at 100 ms.
    fn dialled() -> Self {
        let mut told = Self::new(ORDINARY);
        told.decided(0, 1);
        told.leg(100, 1, Ready);
        told
    }

    fn talking() -> Self {
        let mut told = Self::dialled();
        told.leg(200, 1, Up);
        told
    }

    /// One that rings at its second destination since 3.1 s, while the first one, which did not come
    /// in time, is still there.
    fn at_the_second() -> Self {
        let mut told = Self::new(ORDINARY);
        told.decided(0, 1);
        assert_eq!(told.expire(1_000), ["ring"]);
        assert_eq!(told.expire(3_000), ["hang up 1 16", "decide 2"]);
        told.decided(3_000, 2);
        told.leg(3_100, 2, Ready);
        told
    }

    fn feed(&mut self, ms: i64, input: Input) -> Vec<String> {
        self.engine.handle(Timestamp(ms), input);
        let mut done = Vec::new();
        while let Some((_, command)) = self.engine.poll_command() {
            done.extend(in_words(&command));
            match command {
                Command::Note(entry) => self.timeline.push(entry),
                Command::Save(record) => self.record = Some(*record),
                Command::SaveLeg(record) => self.leg = Some(*record),
                _ => {}
            }
        }
        done
    }

    fn call(&mut self, ms: i64, event: CallEvent) -> Vec<String> {
        self.feed(ms, Input::Call { call: CALL, event })
    }

    fn caller(&mut self, ms: i64, event: ChannelEvent) -> Vec<String> {
        self.feed(ms, Input::Channel { channel: caller_channel(), event })
    }

    fn leg(&mut self, ms: i64, no: u16, event: ChannelEvent) -> Vec<String> {
        self.feed(ms, Input::Channel { channel: LegId { call: CALL, no }.channel(), event })
    }

    fn decided(&mut self, ms: i64, leg: u16) -> Vec<String> {
        let (offer, candidates) = (offer(leg), Vec::new());
        let decision = Decision::Picked { offer, candidates, would: None };
        self.call(ms, CallEvent::Decided { leg, decision })
    }

    fn nobody(&mut self, ms: i64, leg: u16, reason: Unroutable) -> Vec<String> {
        let decision = Decision::Unroutable { reason, candidates: Vec::new() };
        self.call(ms, CallEvent::Decided { leg, decision })
    }

    fn may_have_lost(&self, no: u16) -> bool {
        self.engine.may_have_lost(LegId { call: CALL, no })
    }

    /// The timer that is due at this moment, and was not a millisecond before.
    fn expire(&mut self, ms: i64) -> Vec<String> {
        assert_eq!(self.engine.expired(Timestamp(ms - 1)), None);
        let due = self.engine.expired(Timestamp(ms)).expect("a timer is due");
        self.feed(ms, due)
    }

    fn next_timeout(&self) -> Option<i64> {
        self.engine.next_timeout().map(|at| at.0)
    }

    fn how_it_ended(&self) -> (Option<CallResult>, Option<EndedBy>) {
        let record = self.record.as_ref().unwrap();
        (record.result, record.ended_by)
    }

    fn titles(&self) -> Vec<&'static str> {
        self.timeline.iter().map(|entry| entry.step.title()).collect()
    }
}

#[test]
fn each_step_is_taken_once_however_often_it_is_told() {
    let mut told = Told::new(ORDINARY);
    assert_eq!(told.decided(0, 1), ["create 1 within 140000"]);
    assert_eq!(told.leg(100, 1, Ready), ["dial 1 for 20000", "guard for 140000"]);
    assert_eq!(told.leg(110, 1, Ready), NOTHING);
    assert_eq!(told.engine.call(CALL).unwrap().status, CallStatus::Routing);
    assert_eq!(told.leg(200, 1, Ringing), ["ring"]);
    assert_eq!(told.leg(210, 1, Ringing), NOTHING);
    assert_eq!(told.engine.call(CALL).unwrap().status, CallStatus::Ringing);
    assert!(told.engine.slot_holders().all(|leg| !leg.is_up));
    // The next one rings as well: the caller hears it already, and may have been given a second to
    // live when the first one ended.
    assert_eq!(told.leg(300, 1, busy()), ["release 1", "decide 2"]);
    assert_eq!(told.decided(300, 2), ["create 2 within 140000"]);
    assert_eq!(told.leg(400, 2, Ready), ["dial 2 for 20000", "guard for 140000"]);
    assert_eq!(told.leg(500, 2, Ringing), NOTHING);
    assert_eq!(told.leg(600, 2, Up), ["answer", "connect caller 2"]);
    assert_eq!(told.leg(610, 2, Up), NOTHING);
    assert!(told.engine.slot_holders().all(|leg| leg.is_up));
    assert_eq!(told.next_timeout(), Some(600 + 30_000));
    assert_eq!(told.leg(700, 2, gone()), ["release 2", "hang up caller 16"]);
    assert_eq!(told.caller(800, gone()), ["close"]);
    assert_eq!(told.next_timeout(), None);
    assert!((0..).zip(&told.timeline).all(|(seq, entry)| entry.seq == seq));
}

#[test]
fn who_hears_the_destination_before_it_answers_is_connected_once() {
    let mut told = Told::new(Kind { ringback: Ringback::EarlyMedia, ..ORDINARY });
    told.decided(0, 1);
    let early = ["connect caller 1", "dial 1 for 20000", "guard for 140000"];
    assert_eq!(told.leg(100, 1, Ready), early);
    assert_eq!(told.leg(200, 1, Up), ["answer", "connect 1"]);
}

#[test]
fn a_caller_whom_the_dialplan_has_answered_is_not_answered_again() {
    let mut told = Told::new(Kind { is_up: true, ..ORDINARY });
    told.decided(0, 1);
    told.leg(100, 1, Ready);
    assert_eq!(told.leg(200, 1, Up), ["connect caller 1"]);
}

#[test]
fn the_engine_knows_its_callers_and_how_long_they_may_live() {
    let told = Told::new(ORDINARY);
    assert_eq!(told.engine.longest_ms(CALL), Some(LIMIT_MS));
    assert_eq!(told.engine.longest_ms(CallId::new(8)), None);
    assert!(told.engine.knows_caller(&caller_channel()));
    assert!(!told.engine.knows_caller(&ChannelId("1795.2".to_owned())));
}

#[test]
fn the_last_attempt_rings_for_what_is_left_of_the_budget() {
    let mut told = Told::new(ORDINARY);
    for (no, ready_ms, dials) in [(1, 0, 20_000), (2, 20_000, 20_000), (3, 40_000, 11_000)] {
        told.decided(ready_ms, no);
        let done = told.leg(ready_ms, no, Ready);
        assert_eq!(done[0], format!("dial {no} for {dials}"));
        if no < 3 {
            told.leg(ready_ms, no, Ringing);
            // Asterisk ends the attempt; ours steps in 2 s later.
            assert_eq!(told.next_timeout(), Some((ready_ms + dials + 2_000).min(50_000)));
            told.leg(ready_ms + 20_000, no, busy());
        }
    }
    let mut late = Told::dialled();
    late.leg(150, 1, Ringing);
    // A millisecond before the budget is spent another one is tried, and at that moment none.
    assert_eq!(told.leg(49_999, 3, busy()), ["release 3", "decide 4"]);
    assert_eq!(late.leg(50_000, 1, busy()), ["release 1", "hang up caller 17"]);
}

#[test]
fn a_channel_that_does_not_come_is_taken_back_and_asked_to_go_until_it_does() {
    let mut told = Told::at_the_second();
    // The first one comes after all.
    for event in [Ready, Ringing, Up] {
        assert_eq!(told.leg(3_200, 1, event), NOTHING);
    }
    assert_eq!(told.leg(3_300, 2, Ringing), NOTHING, "the caller hears that it rings since 1 s");
    for again in [8_000, 13_000] {
        assert_eq!(told.expire(again), ["hang up 1 16"]);
    }
    assert_eq!(told.leg(13_500, 1, gone()), ["release 1"]);
    assert_eq!(told.expire(18_000), NOTHING);
    assert_eq!(told.next_timeout(), Some(3_100 + 22_000));
}

#[test]
fn who_does_not_go_when_the_call_is_over_is_asked_again() {
    let mut told = Told::dialled();
    assert_eq!(told.caller(1_000, gone()), ["hang up 1 16"]);
    assert_eq!(told.expire(6_000), ["hang up 1 16"]);
    assert_eq!(told.leg(6_500, 1, Ringing), NOTHING, "nobody is there to hear it");
    assert_eq!(told.expire(11_000), ["hang up 1 16"]);
    assert_eq!(told.leg(11_500, 1, gone()), ["release 1", "close"]);
    let mut told = Told::talking();
    assert_eq!(told.leg(1_000, 1, gone()), ["release 1", "hang up caller 16"]);
    assert_eq!(told.expire(6_000), ["hang up caller 16"]);
    assert_eq!(told.expire(11_000), ["hang up caller 16"]);
}

#[test]
fn a_leg_that_was_left_behind_ends_no_other_attempt_and_no_conversation() {
    use FailedCommand::{Connect, Create, Dial};
    let mut told = Told::at_the_second();
    assert_eq!(told.leg(3_200, 1, failed(Dial)), NOTHING);
    assert_eq!(told.leg(3_300, 1, failed(Create)), ["release 1"]);
    assert_eq!(told.leg(3_400, 2, Up), ["answer", "connect caller 2"]);
    let mut told = Told::at_the_second();
    told.leg(3_400, 2, Up);
    assert_eq!(told.leg(3_500, 1, failed(Connect)), NOTHING);
    assert_eq!(told.leg(3_600, 1, gone()), ["release 1"]);
    assert_eq!(told.engine.call(CALL).unwrap().result, None);
}

#[test]
fn a_command_that_failed_ends_what_it_was_for() {
    use FailedCommand::{Answer, Connect, Create, Dial, PassOn};
    for command in [Answer, Connect] {
        let mut told = Told::talking();
        let done = told.caller(300, failed(command));
        assert_eq!(done, ["hang up 1 16", "hang up caller 38"], "{command:?}");
        assert_eq!(told.how_it_ended(), (Some(CallResult::Failed), Some(EndedBy::Divert)));
    }
    let mut told = Told::talking();
    assert_eq!(told.leg(300, 1, failed(Connect)), ["hang up 1 16", "hang up caller 38"]);
    assert_eq!(told.how_it_ended(), (Some(CallResult::Failed), Some(EndedBy::Divert)));
    let mut told = Told::dialled();
    assert_eq!(told.leg(300, 1, failed(Dial)), ["hang up 1 16", "decide 2"]);
    let mut told = Told::dialled();
    assert_eq!(told.leg(300, 1, failed(Create)), ["release 1", "decide 2"]);
    let mut told = Told::new(Kind { to_dialplan: true, ..ORDINARY });
    assert_eq!(told.nobody(10, 1, Unroutable::AllFull), ["pass on"]);
    assert_eq!(told.next_timeout(), None, "the dialplan's own business from here on");
    assert_eq!(told.caller(20, failed(PassOn)), ["hang up caller 38"]);
}

#[test]
fn a_decision_that_comes_after_the_caller_left_only_gives_its_slots_back() {
    let (reason, candidates) = (Unroutable::AllFull, Vec::new());
    let (name, verdict) = ("1002".to_owned(), Verdict::Closed);
    for decision in
        [Decision::Unroutable { reason, candidates }, Decision::Refused { name, verdict }]
    {
        let mut told = Told::new(ORDINARY);
        assert_eq!(told.caller(10, gone()), NOTHING, "an answer is owed");
        assert_eq!(told.call(20, CallEvent::Decided { leg: 1, decision }), ["close"]);
        assert_eq!(told.titles(), ["Received", "Ended"]);
    }
    let mut told = Told::new(ORDINARY);
    told.caller(10, gone());
    assert_eq!(told.decided(20, 1), ["release 1", "close"]);
}

#[test]
fn a_leg_that_an_earlier_process_dialled_is_followed_to_its_end() {
    let mut told = Told::found();
    assert_eq!(told.next_timeout(), Some(50_000), "it rings no longer than all may together");
    let found = CallEvent::LegFound { leg: 1, offer: offer(1) };
    assert_eq!(told.call(100, found.clone()), ["guard for 140000"]);
    assert_eq!(told.next_timeout(), Some(100 + 22_000), "as if it were dialled now");
    assert_eq!(told.call(200, found), NOTHING, "once");
    assert_eq!(told.leg(300, 1, Ringing), ["ring"]);
    assert_eq!(told.leg(400, 1, busy()), ["release 1", "decide 2"]);
}

#[test]
fn legs_that_may_have_been_dialled_unheard_of_are_those_behind_the_last_known() {
    let lost = |told: &Told| [1, 2, 3].map(|no| told.may_have_lost(no));
    assert_eq!(lost(&Told::found()), [true, true, true]);
    assert_eq!(lost(&Told::new(ORDINARY)), [true, true, true], "the answer may be lost");
    assert_eq!(lost(&Told::dialled()), [false, true, true]);
    let mut told = Told::dialled();
    told.leg(300, 1, busy());
    assert_eq!(lost(&told), [false, true, true]);
    assert_eq!(lost(&Told::talking()), [false, false, false]);
    assert!(!told.engine.may_have_lost(LegId { call: CallId::new(8), no: 2 }));
}

#[test]
fn only_another_trunk_is_asked_for_when_as_many_as_may_be_were_tried() {
    let mut told = Told::falling_back(1);
    told.decided(0, 1);
    let state = ChannelState::Down;
    let failed = ChannelEvent::Gone { cause: None, sip_code: Some(503), state };
    assert_eq!(told.leg(100, 1, failed), ["release 1", "decide 2 by another trunk"]);
    let done = told.nobody(200, 2, Unroutable::AllTried);
    assert_eq!(done, ["decide 3 as fallback"]);
}

#[test]
fn a_call_that_was_tried_somewhere_is_not_one_that_was_refused() {
    let mut told = Told::new(Kind { to_dialplan: true, ..ORDINARY });
    told.decided(0, 1);
    told.leg(100, 1, busy());
    assert_eq!(told.nobody(200, 2, Unroutable::FlowPaused), ["pass on"]);
    told.caller(300, gone());
    assert_eq!(told.how_it_ended().0, Some(CallResult::Unrouted));
    // Of several reasons, the first one.
    let mut told = Told::falling_back(9);
    assert_eq!(told.nobody(0, 1, Unroutable::FlowPaused), ["decide 2 as fallback"]);
    assert_eq!(told.nobody(100, 2, Unroutable::FlowClosed), ["pass on"]);
    told.caller(200, gone());
    assert_eq!(told.how_it_ended().0, Some(CallResult::Paused));
}

#[test]
fn a_leg_that_went_unheard_ends_no_earlier_than_the_last_that_was_heard_of_it() {
    let mut told = Told::dialled();
    told.leg(500, 1, Ringing);
    let (seen_at, state) = (Timestamp(200), ChannelState::Ringing);
    told.leg(900, 1, ChannelEvent::Missing { seen_at, state });
    assert_eq!(told.leg.unwrap().ended_at, Some(Timestamp(500)));
}

#[test]
fn a_timer_that_was_moved_or_cleared_since_does_nothing() {
    let mut told = Told::dialled();
    assert_eq!(told.next_timeout(), Some(1_000));
    for timer in [Timer::Ringback, Timer::Ring, Timer::Budget, Timer::MaxCall] {
        assert_eq!(told.call(999, CallEvent::Expired(timer)), NOTHING, "{timer}");
    }
    for timer in [Timer::Ring, Timer::Budget, Timer::MaxCall] {
        assert_eq!(told.call(1_000, CallEvent::Expired(timer)), NOTHING, "{timer}");
    }
    assert_eq!(told.call(1_000, CallEvent::Expired(Timer::Ringback)), ["ring"]);
}

#[test]
fn a_call_that_is_taken_over_does_again_what_may_have_been_lost() {
    let adopt = |mut told: Told| {
        let done = told.call(5_000, CallEvent::Adopted);
        let is_told = told.titles().contains(&"Adopted");
        (done, is_told)
    };
    let again = |done: &[&str]| (done.iter().map(|&text| text.to_owned()).collect(), true);
    assert_eq!(adopt(Told::new(ORDINARY)), again(&["decide 2"]));
    let mut asked = Told::new(ORDINARY);
    asked.decided(0, 1);
    assert_eq!(adopt(asked), again(&["create 1 within 140000"]));
    assert_eq!(adopt(Told::dialled()), again(&[]));
    assert_eq!(adopt(Told::talking()), again(&["answer", "connect caller 1"]));
    let mut answered = Told::talking();
    answered.caller(300, Up);
    assert_eq!(adopt(answered), again(&["connect caller 1"]));
    let mut passed_on = Told::new(Kind { to_dialplan: true, ..ORDINARY });
    passed_on.nobody(10, 1, Unroutable::AllFull);
    assert_eq!(adopt(passed_on), again(&["pass on"]));
    let mut over = Told::talking();
    over.leg(300, 1, gone());
    assert_eq!(adopt(over), (vec!["hang up caller 16".to_owned()], false));
}

#[test]
fn a_clock_that_is_set_while_a_call_ends_moves_its_end() {
    let mut told = Told::talking();
    told.caller(10_200, gone());
    told.call(11_000, CallEvent::ClockSet { by_ms: 3_600_000 });
    let record = told.engine.call(CALL).unwrap();
    assert_eq!(record.started_at, Timestamp(3_600_000));
    assert_eq!(record.answered_at, Some(Timestamp(3_600_200)));
    assert_eq!(record.ended_at, Some(Timestamp(3_610_200)));
    assert_eq!(record.talk_ms, 10_000);
    assert_eq!(told.next_timeout(), Some(3_615_200));
}

#[test]
fn the_engine_says_how_far_each_channel_has_come() {
    let presences = |told: &Told| -> Vec<Presence> {
        told.engine.channels().map(|(_, view)| view.presence).collect()
    };
    let mut told = Told::new(ORDINARY);
    assert_eq!(presences(&told), [Presence::There]);
    told.decided(0, 1);
    assert_eq!(presences(&told), [Presence::There, Presence::Asked]);
    for (event, presence) in
        [(Ready, Presence::There), (Ringing, Presence::Ringing), (Up, Presence::Up)]
    {
        told.leg(100, 1, event);
        assert_eq!(presences(&told), [Presence::There, presence]);
    }
    told.caller(300, Up);
    assert_eq!(presences(&told), [Presence::Up, Presence::Up]);
    told.caller(400, gone());
    assert_eq!(presences(&told), [Presence::Up]);
}

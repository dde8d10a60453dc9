use super::*;
use crate::ari::identity::Identity;
use crate::ari::mark::End;
use crate::ari::resync::Lost;
use crate::engine::{Arrival, CallEvent, Command, FallbackRoute, Route, Timer};
use crate::model::call::{CallRecord, LegRecord};
use crate::model::cause::{CallResult, EndedBy, HangupCause, Outcome};
use crate::model::id::{CallId, DestinationId, ForwardingFlowId, TrunkId};
use crate::model::number::Caller;
use crate::model::objects::account::DEFAULT_ACCOUNT;
use crate::model::objects::forwarding_flow::Ringback;
use crate::routing::decide::Decision;
use crate::routing::snapshot::Offer;

const CALL: CallId = CallId::new(7);

fn leg() -> ChannelId {
    LegId { call: CALL, no: 1 }.channel()
}

fn caller() -> ChannelId {
    ChannelId("1795.1".to_owned())
}

/// A call whose leg has gone through these events.
fn engine(events: &[ChannelEvent]) -> Engine {
    let mut engine = Engine::default();
    let route = Route {
        flow: ForwardingFlowId::new(1),
        name: "flow".into(),
        ringback: Ringback::Ring,
        ring_budget_ms: 60_000,
        max_attempts: 3,
        max_call_ms: 60_000,
        fallback: FallbackRoute::Dialplan,
    };
    let arrival = Arrival {
        call: CALL,
        account: DEFAULT_ACCOUNT,
        channel: caller(),
        did: "100".parse().unwrap(),
        caller: Caller::default(),
        alike: None,
        caller_key: None,
        session: CALL,
        repeat: None,
        counts_as_visit: false,
        is_test: false,
        is_up: false,
        is_found: false,
        bridge: BridgeId("b-1".into()),
        route: Some(route),
    };
    let offer = Offer {
        destination: Some(DestinationId::new(1)),
        name: "a".into(),
        trunk: TrunkId::new(1),
        tariff: None,
        endpoint: "PJSIP/1@a".into(),
        ring_timeout_ms: 20_000,
    };
    let decision = Decision::Picked { offer, candidates: Vec::new(), would: None };
    engine.handle(Timestamp(0), Input::Arrived(Box::new(arrival)));
    let decided = CallEvent::Decided { leg: 1, decision };
    engine.handle(Timestamp(0), Input::Call { call: CALL, event: decided });
    for event in events {
        let input = Input::Channel { channel: leg(), event: event.clone() };
        engine.handle(Timestamp(0), input);
    }
    engine
}

fn asterisk(channels: &[(ChannelId, ChannelState, Role)]) -> Snapshot {
    let channels = channels.iter().map(|(id, state, role)| {
        let caller = Identity::default();
        let name = format!("PJSIP/{id}");
        let (state, role) = (*state, role.clone());
        let (since, answered_at, facts) = (None, None, None);
        (id.clone(), ChannelSnapshot { name, state, role, caller, since, answered_at, facts })
    });
    Snapshot {
        version: "22.10.1".into(),
        startup_time: "now".into(),
        channels: channels.collect(),
        bridges: BTreeMap::new(),
        ends: BTreeMap::new(),
        lost: Lost::default(),
    }
}

fn there(channel: ChannelId, state: ChannelState) -> (ChannelId, ChannelState, Role) {
    let role = match LegId::of_channel(&channel) {
        Some(leg) => Role::Leg(leg),
        None => Role::Caller { did: "100".parse().unwrap(), is_withheld: false },
    };
    (channel, state, role)
}

fn missed_by(engine: &Engine, channels: &[(ChannelId, ChannelState, Role)]) -> Vec<Input> {
    inputs(compare(engine, &asterisk(channels)).missed)
}

fn inputs(missed: Vec<Missed>) -> Vec<Input> {
    missed.into_iter().map(|missed| missed.input).collect()
}

#[test]
fn nothing_is_to_be_done_when_both_agree() {
    let engine = engine(&[ChannelEvent::Ready, ChannelEvent::Ringing]);
    let same = [there(caller(), ChannelState::Down), there(leg(), ChannelState::Ringing)];
    assert_eq!(compare(&engine, &asterisk(&same)), Differences::default());
}

#[test]
fn an_answer_and_a_hang_up_that_were_missed_are_made_up_for() {
    let ringing = engine(&[ChannelEvent::Ready, ChannelEvent::Ringing]);
    let answered = [there(caller(), ChannelState::Down), there(leg(), ChannelState::Up)];
    let up = Input::Channel { channel: leg(), event: ChannelEvent::Up };
    assert_eq!(missed_by(&ringing, &answered), [up]);

    let only_leg = [there(leg(), ChannelState::Ringing)];
    let missed = missed_by(&ringing, &only_leg);
    assert!(
        matches!(&missed[..], [Input::Channel { channel, event: ChannelEvent::Gone { .. } }]
            if *channel == caller()),
        "{missed:?}"
    );
}

#[test]
fn what_was_missed_of_a_channel_is_the_last_that_happened_to_it() {
    use ChannelEvent::{Ready, Ringing, Up};
    const FOUND: [ChannelState; 3] = [ChannelState::Down, ChannelState::Ringing, ChannelState::Up];
    let told = |of: ChannelId, missed: Vec<Input>| -> Vec<ChannelEvent> {
        let event = |input| match input {
            Input::Channel { channel, event } if channel == of => event,
            other => panic!("{other:?}"),
        };
        missed.into_iter().map(event).collect()
    };
    for (known, wanted) in [
        (&[][..], [Some(Ready), Some(Ready), Some(Up)]),
        (&[Ready], [None, Some(Ringing), Some(Up)]),
        (&[Ready, Ringing], [None, None, Some(Up)]),
        (&[Ready, Ringing, Up], [None, None, None]),
    ] {
        let engine = engine(known);
        for (found, wanted) in FOUND.into_iter().zip(wanted) {
            let asterisk = [there(caller(), ChannelState::Down), there(leg(), found)];
            let told = told(leg(), missed_by(&engine, &asterisk));
            assert_eq!(told, Vec::from_iter(wanted), "{known:?}, found {found:?}");
        }
    }
    // Every caller rings until divert answers.
    let engine = engine(&[Ready]);
    for (found, wanted) in FOUND.into_iter().zip([None, None, Some(Up)]) {
        let asterisk = [there(caller(), found), there(leg(), ChannelState::Down)];
        let told = told(caller(), missed_by(&engine, &asterisk));
        assert_eq!(told, Vec::from_iter(wanted), "the caller, found {found:?}");
    }
}

#[test]
fn a_leg_that_went_after_an_answer_nobody_wrote_down_was_in_a_conversation() {
    for (state, ended_by) in
        [(ChannelState::Up, Some(EndedBy::Destination)), (ChannelState::Down, None)]
    {
        let mut engine = engine(&[ChannelEvent::Ready, ChannelEvent::Ringing]);
        for input in missed_by(&engine, &[there(caller(), state)]) {
            engine.handle(Timestamp(5_000), input);
        }
        assert_eq!(engine.call(CALL).unwrap().ended_by, ended_by, "{state:?}");
    }
}

#[test]
fn an_end_that_nobody_heard_counts_from_when_all_was_heard() {
    let talking = engine(&[ChannelEvent::Ready, ChannelEvent::Up]);
    let missed = compare(&talking, &asterisk(&[there(caller(), ChannelState::Up)])).missed;
    let (heard_at, state) = (Timestamp(7_000), ChannelState::Up);
    let unheard = missed.iter().cloned().map(|missed| missed.unheard_since(Some(heard_at)));
    let missing = ChannelEvent::Missing { seen_at: heard_at, state };
    let up = Input::Channel { channel: caller(), event: ChannelEvent::Up };
    let gone = Input::Channel { channel: leg(), event: missing };
    assert_eq!(inputs(unheard.collect()), [up, gone]);
    let as_heard = missed.iter().cloned().map(|missed| missed.unheard_since(None));
    assert_eq!(as_heard.collect::<Vec<_>>(), missed);
}

/// Asterisk without these channels, each of which has left word of its end.
fn with_marks(marks: &[(ChannelId, i64, ChannelState, Option<i64>)]) -> Snapshot {
    let mut without = asterisk(&[]);
    for (channel, at, state, answered_at) in marks {
        let (at, state) = (Timestamp(*at), *state);
        let end = End { at, state, cause: Some(HangupCause::NORMAL), sip_code: None };
        let ended = Ended { end, answered_at: answered_at.map(Timestamp) };
        without.ends.insert(channel.clone(), ended);
    }
    without
}

/// The call after all that was missed has been told.
fn told(mut engine: Engine, asterisk: &Snapshot, heard_at: i64) -> Vec<Command> {
    let mut now = Timestamp(heard_at);
    for missed in compare(&engine, asterisk).missed {
        let Missed { at, input, .. } = missed.unheard_since(Some(Timestamp(heard_at)));
        now = at.unwrap_or(Timestamp(99_000)).max(now);
        engine.handle(now, input);
    }
    std::iter::from_fn(|| engine.poll_command()).map(|(_, command)| command).collect()
}

fn rows(commands: &[Command]) -> (&CallRecord, &LegRecord) {
    let call = commands.iter().rev().find_map(|command| match command {
        Command::Save(call) => Some(&**call),
        _ => None,
    });
    let leg = commands.iter().rev().find_map(|command| match command {
        Command::SaveLeg(leg) => Some(&**leg),
        _ => None,
    });
    (call.unwrap(), leg.unwrap())
}

#[test]
fn who_ended_a_conversation_first_and_when_is_told_by_the_marks() {
    use ChannelState::Up;
    for (caller_at, leg_at, by) in
        [(7_000, 8_000, EndedBy::Caller), (8_000, 7_000, EndedBy::Destination)]
    {
        let talking = engine(&[ChannelEvent::Ready, ChannelEvent::Up]);
        let marks = [(caller(), caller_at, Up, None), (leg(), leg_at, Up, Some(0))];
        let commands = told(talking, &with_marks(&marks), 2_000);
        let (call, leg) = rows(&commands);
        assert_eq!((call.ended_by, call.talk_ms), (Some(by), 7_000));
        assert_eq!(call.ended_at, Some(Timestamp(7_000)));
        assert_eq!(leg.ended_at, Some(Timestamp(leg_at)));
        assert_eq!(leg.cause, Some(HangupCause::NORMAL));
    }
}

#[test]
fn one_mark_dates_the_end_of_both() {
    let talking = engine(&[ChannelEvent::Ready, ChannelEvent::Up]);
    let marks = [(caller(), 7_000, ChannelState::Up, None)];
    let commands = told(talking, &with_marks(&marks), 2_000);
    let (call, leg) = rows(&commands);
    assert_eq!((call.talk_ms, leg.ended_at), (7_000, Some(Timestamp(7_000))));
}

#[test]
fn an_answer_that_nobody_heard_is_told_by_the_mark() {
    use ChannelState::{Ringing, Up};
    let ringing = || engine(&[ChannelEvent::Ready, ChannelEvent::Ringing]);
    // divert answered the caller and did not live to write it down.
    let talked = [(caller(), 9_000, Up, None), (leg(), 9_100, Up, Some(3_000))];
    let commands = told(ringing(), &with_marks(&talked), 2_000);
    let (call, leg_row) = rows(&commands);
    assert_eq!(call.result, Some(CallResult::Answered));
    assert_eq!((call.answered_at, call.talk_ms), (Some(Timestamp(3_000)), 6_000));
    assert_eq!(leg_row.answered_at, Some(Timestamp(3_000)));
    // Nobody was there to connect them.
    let waited = [(caller(), 9_000, Ringing, None), (leg(), 9_100, Up, Some(3_000))];
    let commands = told(ringing(), &with_marks(&waited), 2_000);
    let (call, leg_row) = rows(&commands);
    assert_eq!((call.result, call.answered_at), (Some(CallResult::Abandoned), None));
    let times = (leg_row.answered_at, leg_row.ended_at);
    assert_eq!(times, (Some(Timestamp(3_000)), Some(Timestamp(9_100))), "it costs all the same");
}

/// Asterisk with both of them in these states, the leg answered at this time.
fn with_answer(caller_state: ChannelState, answered_at: Option<i64>) -> Snapshot {
    let both = [there(caller(), caller_state), there(leg(), ChannelState::Up)];
    let mut found = asterisk(&both);
    found.channels.get_mut(&leg()).unwrap().answered_at = answered_at.map(Timestamp);
    found
}

/// The same, with the end of the call: all that was missed is heard at 99 s, and at 100 s the
/// phone hangs up.
fn hung_up(mut engine: Engine, asterisk: &Snapshot, heard_at: i64) -> Vec<Command> {
    for missed in compare(&engine, asterisk).missed {
        let Missed { at, input, .. } = missed.unheard_since(Some(Timestamp(heard_at)));
        engine.handle(at.unwrap_or(Timestamp(99_000)), input);
    }
    let gone = ChannelEvent::Gone { cause: None, sip_code: None, state: ChannelState::Up };
    engine.handle(Timestamp(100_000), Input::Channel { channel: leg(), event: gone });
    std::iter::from_fn(|| engine.poll_command()).map(|(_, command)| command).collect()
}

#[test]
fn a_conversation_that_began_unheard_is_told_from_its_beginning() {
    use ChannelState::{Ringing, Up};
    let ringing = || engine(&[ChannelEvent::Ready, ChannelEvent::Ringing]);
    for (answered_at, wanted) in [(Some(3_000), 3_000), (None, 2_000)] {
        let commands = hung_up(ringing(), &with_answer(Up, answered_at), 2_000);
        let (call, leg_row) = rows(&commands);
        let wanted_at = Some(Timestamp(wanted));
        assert_eq!((call.answered_at, leg_row.answered_at), (wanted_at, wanted_at));
        assert_eq!(call.talk_ms, 100_000 - wanted);
        let is_answer = |command: &Command| matches!(command, Command::Answer { .. });
        assert!(!commands.iter().any(is_answer), "the caller is up");
    }
    // Nobody was there to connect them before now, but the phone has been paid for since then.
    for (answered_at, wanted) in [(Some(3_000), 3_000), (None, 99_000)] {
        let commands = hung_up(ringing(), &with_answer(Ringing, answered_at), 2_000);
        let (call, leg_row) = rows(&commands);
        assert_eq!((call.answered_at, call.talk_ms), (Some(Timestamp(99_000)), 1_000));
        assert_eq!(leg_row.answered_at, Some(Timestamp(wanted)));
    }
}

#[test]
fn a_caller_who_left_a_conversation_nobody_heard_of_was_in_one_though_the_leg_lives() {
    use ChannelState::{Ringing, Up};
    for (answered_at, state, wanted) in [
        (Some(3_000), Up, (Some(CallResult::Answered), 6_000)),
        (None, Up, (Some(CallResult::Answered), 0)),
        (Some(3_000), Ringing, (Some(CallResult::Abandoned), 0)),
    ] {
        let mut found = with_marks(&[(caller(), 9_000, state, None)]);
        found.channels.extend(with_answer(Up, answered_at).channels);
        found.channels.remove(&caller());
        let ringing = engine(&[ChannelEvent::Ready, ChannelEvent::Ringing]);
        let commands = hung_up(ringing, &found, 2_000);
        let (call, leg_row) = rows(&commands);
        assert_eq!((call.result, call.talk_ms), wanted, "{answered_at:?}, {state:?}");
        assert_eq!(call.ended_at, Some(Timestamp(9_000)));
        let paid_from = leg_row.answered_at;
        assert_eq!(paid_from, Some(Timestamp(answered_at.unwrap_or(9_000))), "{state:?}");
    }
}

#[test]
fn a_leg_that_ended_while_the_caller_waits_says_why() {
    let ringing = engine(&[ChannelEvent::Ready, ChannelEvent::Ringing]);
    let mut found = with_marks(&[(leg(), 5_000, ChannelState::Ringing, None)]);
    found.channels = asterisk(&[there(caller(), ChannelState::Ringing)]).channels;
    let end = &mut found.ends.get_mut(&leg()).unwrap().end;
    (end.cause, end.sip_code) = (Some(HangupCause::USER_BUSY), Some(486));
    let commands = told(ringing, &found, 2_000);
    let (_, leg) = rows(&commands);
    assert_eq!((leg.outcome, leg.ended_at), (Some(Outcome::Busy), Some(Timestamp(5_000))));
}

#[test]
fn a_caller_who_left_while_it_rang_was_not_answered() {
    use ChannelState::Ringing;
    let ringing = engine(&[ChannelEvent::Ready, ChannelEvent::Ringing]);
    let marks = [(caller(), 9_000, Ringing, None), (leg(), 9_100, Ringing, None)];
    let commands = told(ringing, &with_marks(&marks), 2_000);
    let (call, leg) = rows(&commands);
    assert_eq!((call.result, leg.answered_at), (Some(CallResult::Abandoned), None));
}

#[test]
fn a_leg_that_went_while_another_one_answered_was_in_no_conversation() {
    let mut engine = engine(&[ChannelEvent::Ready]);
    // The first one gives no sign, and the next one is asked for.
    for timer in [Timer::Ringback, Timer::Ring] {
        let event = CallEvent::Expired(timer);
        engine.handle(Timestamp(30_000), Input::Call { call: CALL, event });
    }
    let offer = Offer {
        destination: Some(DestinationId::new(2)),
        name: "b".into(),
        trunk: TrunkId::new(1),
        tariff: None,
        endpoint: "PJSIP/2@a".into(),
        ring_timeout_ms: 20_000,
    };
    let decision = Decision::Picked { offer, candidates: Vec::new(), would: None };
    let event = CallEvent::Decided { leg: 2, decision };
    engine.handle(Timestamp(30_000), Input::Call { call: CALL, event });
    let second = LegId { call: CALL, no: 2 }.channel();
    let input = Input::Channel { channel: second.clone(), event: ChannelEvent::Ready };
    engine.handle(Timestamp(30_000), input);
    let missed =
        missed_by(&engine, &[there(caller(), ChannelState::Down), there(leg(), ChannelState::Up)]);
    assert!(
        matches!(&missed[..], [
            Input::Channel { channel: first, event: ChannelEvent::Up },
            Input::Channel { channel: gone, event: ChannelEvent::Gone { .. } },
        ] if *first == leg() && *gone == second),
        "{missed:?}"
    );
}

#[test]
fn a_leg_on_its_way_is_waited_for() {
    let asked = engine(&[]);
    assert_eq!(missed_by(&asked, &[there(caller(), ChannelState::Down)]), []);
    let made = [there(caller(), ChannelState::Down), there(leg(), ChannelState::Down)];
    let ready = Input::Channel { channel: leg(), event: ChannelEvent::Ready };
    assert_eq!(missed_by(&asked, &made), [ready]);
}

#[test]
fn only_what_is_seen_twice_is_confirmed() {
    let stray = |no| LegId { call: CallId::new(99), no }.channel();
    let seen = |no| {
        let asterisk =
            asterisk(&[there(stray(1), ChannelState::Up), there(stray(no), ChannelState::Up)]);
        compare(&Engine::default(), &asterisk)
    };
    assert_eq!(seen(3).confirmed_by(&seen(2)).orphans, [stray(1)]);
    assert_eq!(seen(3).confirmed_by(&Differences::default()), Differences::default());
}

#[test]
fn what_belongs_to_no_call_is_found() {
    let stray = LegId { call: CallId::new(99), no: 2 }.channel();
    let stranger = ChannelId("1795.9".to_owned());
    let test = ChannelId("tcaller-x".to_owned());
    let silent = ChannelId("1795.8".to_owned());
    let mut asterisk = asterisk(&[
        there(stray.clone(), ChannelState::Up),
        there(stranger.clone(), ChannelState::Down),
        (test.clone(), ChannelState::Up, Role::TestCaller(CallId::new(98))),
        (silent.clone(), ChannelState::Down, Role::Other(String::new())),
        // Ours, whatever it was made for.
        (LegId { call: CALL, no: 3 }.channel(), ChannelState::Up, Role::Other("x".into())),
    ]);
    asterisk.bridges.insert(BridgeId("b-9".into()), Vec::new());
    let found = compare(&Engine::default(), &asterisk);
    assert_eq!(found.orphans, [stray, test]);
    let strangers = found.strangers.iter().map(|(channel, _)| channel);
    assert!(strangers.eq([&silent, &stranger]), "{:?}", found.strangers);
    assert_eq!(found.empty_bridges, [BridgeId("b-9".into())]);
    assert_eq!(found.missed, []);
    // The end of a test call is no orphan while its call lives.
    let of_call = (ChannelId("tcaller-y".to_owned()), ChannelState::Up, Role::TestCaller(CALL));
    let channels = [there(caller(), ChannelState::Down), there(leg(), ChannelState::Down), of_call];
    let found = compare(&engine(&[ChannelEvent::Ready]), &self::asterisk(&channels));
    assert_eq!(found, Differences::default());
}

//! Wire events as the engine's events. Pure: the same event always gives the same answer.
//!
//! Only what the engine acts on comes through; everything else is `None`. Which call a channel
//! belongs to is not known here.

use super::identity::{Identity, Privacy};
use super::role::Role;
use super::wire::{self, Channel, Event};
use crate::engine::ChannelEvent;
use crate::model::cause::HangupCause;
use crate::model::id::{CallId, ChannelId, LegId};
use crate::model::number::{Did, NumberError};

/// What an event means to divert.
#[derive(Clone, Debug, PartialEq)]
pub enum Translated {
    /// A call entered our application.
    Arrived {
        channel: ChannelId,
        /// The text as the dialplan gave it, where it is no DID.
        did: Result<Did, (String, NumberError)>,
        caller: Identity,
        /// The dialplan answered it before it gave it to us.
        already_up: bool,
    },
    /// Something happened to a channel, perhaps one that is none of ours.
    Channel { channel: ChannelId, event: ChannelEvent },
    /// A channel entered our application and does not say what for in a way we know.
    Stray { channel: ChannelId, name: String, args: String },
    /// Our own end of a test call stands in our application.
    TestCaller { channel: ChannelId, call: CallId },
}

/// Translates one event; `None` when the engine has no use for it.
#[must_use]
pub fn translate(event: &Event) -> Option<Translated> {
    match event {
        Event::ChannelDestroyed(event) => {
            let cause = event.cause.and_then(cause);
            about(&event.channel, gone(&event.channel, cause, event.tech_cause))
        }
        Event::ChannelStateChange(event) => match event.channel.state {
            wire::State::Ringing => about(&event.channel, ChannelEvent::Ringing),
            wire::State::Up => about(&event.channel, ChannelEvent::Up),
            wire::State::Down | wire::State::Other | wire::State::Ring => None,
        },
        // A channel that came to us gets no ChannelDestroyed unless it was subscribed to, so the
        // end of its stay is its end. Legs that divert made always get one, with the cause.
        Event::StasisEnd(event) if !is_our_leg(&event.channel) => {
            about(&event.channel, gone(&event.channel, None, None))
        }
        // One that takes the seat of another, as after a transfer, is not given to us by a dialplan.
        Event::StasisStart(event) if event.replace_channel.is_some() => None,
        Event::StasisStart(event) => started(&event.channel, &event.args),
        _ => None,
    }
}

fn started(channel: &Channel, args: &[String]) -> Option<Translated> {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args[..] {
        ["did", did, ref more @ ..] if !is_our_leg(channel) => Some(Translated::Arrived {
            channel: known(channel)?,
            did: did.parse().map_err(|error| (did.to_owned(), error)),
            caller: channel.identity(Privacy::of(more.iter().copied())),
            already_up: channel.state == wire::State::Up,
        }),
        ["leg", ..] if is_our_leg(channel) => about(channel, ChannelEvent::Ready),
        _ if is_our_leg(channel) => None,
        _ => match Role::parse(&args.join(",")) {
            Role::TestCaller(call) => {
                Some(Translated::TestCaller { channel: known(channel)?, call })
            }
            Role::Probe => None,
            role => Some(Translated::Stray {
                channel: known(channel)?,
                name: channel.name.clone(),
                args: role.to_string(),
            }),
        },
    }
}

fn about(channel: &Channel, event: ChannelEvent) -> Option<Translated> {
    Some(Translated::Channel { channel: known(channel)?, event })
}

fn known(channel: &Channel) -> Option<ChannelId> {
    (!channel.id.is_empty()).then(|| channel.channel_id())
}

/// Whether divert dialled it. Leg 0 is the caller, who came to us, whoever chose the channel's id.
fn is_our_leg(channel: &Channel) -> bool {
    LegId::of_channel(&channel.channel_id()).is_some_and(|leg| leg.no != LegId::CALLER)
}

fn gone(channel: &Channel, cause: Option<HangupCause>, tech_cause: Option<i64>) -> ChannelEvent {
    let sip_code = tech_cause.and_then(|code| u16::try_from(code).ok());
    ChannelEvent::Gone {
        cause,
        sip_code: sip_code.filter(|code| (100..700).contains(code)),
        state: channel.state.engine(),
    }
}

/// 0 is Asterisk's word for "not known".
fn cause(number: i64) -> Option<HangupCause> {
    u16::try_from(number).ok().filter(|number| (1..=127).contains(number)).map(HangupCause)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fmt::Write as _;

    use serde_json::{Value, json};

    use super::*;
    use crate::ari::variable::Variable;
    use crate::engine::ChannelState;
    use crate::model::number::Caller;

    const GOLDEN: &str =
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/ari-events.jsonl"));

    fn leg() -> LegId {
        LegId { call: CallId::new(5), no: 1 }
    }

    fn read(event: &Value) -> Option<Translated> {
        translate(&wire::decode(event.to_string().as_bytes()).unwrap())
    }

    fn start(id: &str, state: &str, args: &Value) -> Option<Translated> {
        let caller = json!({"name": "A\r\nX: 1", "number": "12025550100"});
        read(&json!({
            "type": "StasisStart",
            "args": args,
            "channel": {"id": id, "name": "PJSIP/carrier-1", "state": state, "caller": caller},
        }))
    }

    #[test]
    fn a_call_arrives_with_its_did_and_a_clean_caller() {
        let arrived = |did: Result<Did, _>, already_up| {
            Some(Translated::Arrived {
                channel: ChannelId("1.1".into()),
                did,
                caller: Identity {
                    caller: Caller { number: "12025550100".into(), name: "AX: 1".into() },
                    corrections: vec![(Variable::CallerName, "AX: 1".into())],
                },
                already_up,
            })
        };
        let did = "+1#2*a".parse::<Did>().unwrap();
        assert_eq!(
            start("1.1", "Ring", &json!(["did", "+1#2*a"])),
            arrived(Ok(did.clone()), false)
        );
        assert_eq!(start("1.1", "Up", &json!(["did", "+1#2*a"])), arrived(Ok(did), true));
        let withheld = start("1.1", "Ring", &json!(["did", "1", "prohib_passed_screen"]));
        let Some(Translated::Arrived { caller, .. }) = withheld else { panic!("{withheld:?}") };
        assert_eq!(
            (caller.caller, &caller.corrections[..1]),
            (Caller::default(), &[(Variable::CallerName, "AX: 1".into())][..])
        );
        let private = start("1.1", "Ring", &json!(["did", "1", "allowed_not_screened", "0", "id"]));
        let Some(Translated::Arrived { caller, .. }) = private else { panic!("{private:?}") };
        assert_eq!(caller.caller, Caller::default());
        assert!(caller.corrections.iter().any(|(one, _)| *one == Variable::CallerPresentation));
        let wrong = ("1 2".to_owned(), NumberError::Character(' '));
        assert_eq!(start("1.1", "Ring", &json!(["did", "1 2"])), arrived(Err(wrong), false));
        let empty = (String::new(), NumberError::Empty);
        assert_eq!(start("1.1", "Ring", &json!(["did", ""])), arrived(Err(empty), false));
    }

    #[test]
    fn a_leg_becomes_ready_and_a_test_caller_is_told_apart() {
        let id = leg().channel().0;
        let ready = Translated::Channel { channel: leg().channel(), event: ChannelEvent::Ready };
        let args = json!(["leg", leg().call.to_string(), "1"]);
        assert_eq!(start(&id, "Down", &args), Some(ready));
        assert_eq!(start("1.1", "Down", &args), Some(stray(&args)), "no channel of ours");

        let call = leg().call;
        let caller = Translated::TestCaller { channel: ChannelId("t-1".into()), call };
        assert_eq!(start("t-1", "Up", &json!(["testcaller", call.to_string()])), Some(caller));
        assert_eq!(start("probe-1", "Down", &json!(["divert-probe"])), None, "another divert asks");
        for args in [json!(["did", "1"]), json!([])] {
            assert_eq!(start(&id, "Down", &args), None, "a leg is no call");
        }
    }

    fn stray(args: &Value) -> Translated {
        let args: Vec<&str> = args.as_array().unwrap().iter().filter_map(Value::as_str).collect();
        let (name, args) = ("PJSIP/carrier-1".to_owned(), args.join(","));
        Translated::Stray { channel: ChannelId("1.1".into()), name, args }
    }

    #[test]
    fn a_channel_that_does_not_say_what_for_is_a_stray_unless_it_replaces_one() {
        for args in [
            json!([]),
            json!(["did"]),
            json!(["inbound", "1", "2"]),
            json!(["", ""]),
            json!(["testcaller", "x"]),
        ] {
            assert_eq!(start("1.1", "Ring", &args), Some(stray(&args)), "{args}");
        }
        let transferred = json!({
            "type": "StasisStart",
            "args": [],
            "channel": {"id": "1.1", "name": "Local/2@x-1;1", "state": "Up"},
            "replace_channel": {"id": "1.0", "state": "Up"},
        });
        assert_eq!(read(&transferred), None);
    }

    #[test]
    fn the_caller_of_a_test_call_is_an_ordinary_caller() {
        let id = LegId { no: LegId::CALLER, ..leg() }.channel().0;
        let arrived = start(&id, "Ring", &json!(["did", "1"]));
        assert!(matches!(arrived, Some(Translated::Arrived { .. })), "{arrived:?}");
        let end = read(&json!({"type": "StasisEnd", "channel": {"id": id, "state": "Up"}}));
        assert!(matches!(end, Some(Translated::Channel { .. })), "{end:?}");
    }

    #[test]
    fn states_and_ends_come_through() {
        let id = leg().channel().0;
        let about =
            |id: &str, event| Some(Translated::Channel { channel: ChannelId(id.into()), event });
        let state = |state: &str| {
            read(&json!({"type": "ChannelStateChange", "channel": {"id": id, "state": state}}))
        };
        assert_eq!(state("Ringing"), about(&id, ChannelEvent::Ringing));
        assert_eq!(state("Up"), about(&id, ChannelEvent::Up));
        for other in ["Down", "Ring", "Busy", "Dialing", ""] {
            assert_eq!(state(other), None, "{other}");
        }

        let gone = |cause: Option<u16>, sip_code, state| ChannelEvent::Gone {
            cause: cause.map(HangupCause),
            sip_code,
            state,
        };
        let destroyed = |cause: Value, tech_cause: Value, state: &str| {
            read(&json!({
                "type": "ChannelDestroyed",
                "cause": cause,
                "tech_cause": tech_cause,
                "channel": {"id": id, "state": state},
            }))
        };
        let table = [
            (json!(19), json!(480), "Down", gone(Some(19), Some(480), ChannelState::Down)),
            (json!(19), json!(480), "Ringing", gone(Some(19), Some(480), ChannelState::Ringing)),
            (json!(16), json!(487), "Ring", gone(Some(16), Some(487), ChannelState::Ringing)),
            (json!(16), json!(0), "Up", gone(Some(16), None, ChannelState::Up)),
            (json!(26), Value::Null, "Up", gone(Some(26), None, ChannelState::Up)),
            (json!(0), json!(-1), "Busy", gone(None, None, ChannelState::Down)),
            (json!(99_999), json!(1u64 << 40), "Up", gone(None, None, ChannelState::Up)),
        ];
        for (cause, tech_cause, state, event) in table {
            assert_eq!(destroyed(cause, tech_cause, state), about(&id, event));
        }

        let end =
            |id: &str| read(&json!({"type": "StasisEnd", "channel": {"id": id, "state": "Up"}}));
        assert_eq!(end("1.1"), about("1.1", gone(None, None, ChannelState::Up)));
        assert_eq!(end(&id), None, "ChannelDestroyed follows");
        assert_eq!(end(""), None);
    }

    /// The recordings, with the channels and arguments of their time put into today's form.
    fn todays(scenario: &mut BTreeMap<String, String>, event: &Value) -> Value {
        let mut event = event.clone();
        if let Some(args) = event["args"].as_array_mut() {
            match args.first().and_then(Value::as_str) {
                Some("inbound") => args[0] = "did".into(),
                Some("leg") => *args = vec!["leg".into(), "call".into(), "1".into()],
                _ => {}
            }
        }
        for id in [event["channel"]["id"].clone(), event["peer"]["id"].clone()] {
            let Some(id) = id.as_str().filter(|id| !id.starts_with("17952")) else { continue };
            let no = u16::try_from(scenario.len()).unwrap() + 1;
            scenario.entry(id.to_owned()).or_insert_with(|| LegId { no, ..leg() }.channel().0);
        }
        if let Some(new) = event["channel"]["id"].as_str().and_then(|id| scenario.get(id)).cloned()
        {
            event["channel"]["id"] = new.into();
        }
        event
    }

    #[test]
    fn the_recorded_scenarios_give_what_happened_in_them() {
        // Arrived, ready, ringing, up, gone with a cause, gone without.
        let mut counts = BTreeMap::<String, [usize; 6]>::new();
        let mut ids = BTreeMap::<String, BTreeMap<String, String>>::new();
        for line in GOLDEN.lines() {
            let line: Value = serde_json::from_str(line).unwrap();
            let scenario = line["scenario"].as_str().unwrap().to_owned();
            let event = todays(ids.entry(scenario.clone()).or_default(), &line["event"]);
            let count = counts.entry(scenario).or_default();
            match read(&event) {
                Some(Translated::Arrived { .. }) => count[0] += 1,
                Some(Translated::Channel { event: ChannelEvent::Ready, .. }) => count[1] += 1,
                Some(Translated::Channel { event: ChannelEvent::Ringing, .. }) => count[2] += 1,
                Some(Translated::Channel { event: ChannelEvent::Up, .. }) => count[3] += 1,
                Some(Translated::Channel { event: ChannelEvent::Gone { cause, .. }, .. }) => {
                    count[if cause.is_some() { 4 } else { 5 }] += 1;
                }
                Some(Translated::Channel {
                    event:
                        ChannelEvent::Answered { .. }
                        | ChannelEvent::CommandFailed { .. }
                        | ChannelEvent::Missing { .. },
                    ..
                }) => panic!("no event says that"),
                Some(Translated::Stray { .. } | Translated::TestCaller { .. }) | None => {}
            }
        }
        let mut table = String::new();
        for (scenario, [arrived, ready, ringing, up, gone, gone_unknown]) in &counts {
            writeln!(
                table,
                "{scenario:26} {arrived:2} {ready:2} {ringing:2} {up:2} {gone:2} {gone_unknown:2}"
            )
            .unwrap();
        }
        insta::assert_snapshot!(table, @r"
        app-replaced                0  0  0  0  0  0
        attended-transfer-dtmf      1  1  1  3  3  1
        bridge-blind-transfer       2  1  1  2  1  1
        bridge-play                 1  0  0  1  0  1
        bridge-record               1  0  0  1  0  1
        broadcast                   0  0  0  0  0  1
        callerid                    1  0  6  0  6  0
        channel-transfer-blind      0  1  1  2  2  1
        confirm-press-1             0  0  0  1  1  0
        create-dial-answer-bridge   2  2  2  4  4  2
        dial-timeout                0  1  1  0  1  0
        dtmf-absorb                 1  0  0  2  1  1
        dtmf-absorb-events          2  0  0  4  2  2
        dtmf-bridge-type-dtmf_events  2  0  0  4  2  2
        dtmf-in-bridge              1  1  0  2  2  1
        early-media-bridge          1  1  0  0  2  1
        errors                      0  0  1  0  1  0
        holding-queue               1  0  0  1  0  1
        inbound-hangup-sub-False    1  0  0  1  0  1
        inbound-hangup-sub-True     1  0  0  1  1  1
        inbound-reject              6  0  0  0  0  6
        inbound-ring-abandon        2  2  2  0  4  2
        local-channel               0  0  0  0  1  0
        misc                        3  0  0  0  6  2
        originate-answer            0  1  1  1  1  0
        originate-busy              0  0  0  0  1  0
        originate-timeout           0  0  1  0  1  0
        outbound-cause              0  6  0  0 24  0
        outbound-ws                 0  0  0  0  0  3
        play-before-answer          1  0  0  0  0  1
        queue-hold-music            4  0  0  4  0  4
        record                      1  0  0  1  0  1
        record-in-dial-bridge       0  0  1  1  1  0
        rest-over-ws                1  0  0  1  0  0
        rest-over-ws-204            0  0  0  0  0  0
        rest-over-ws-404            0  0  0  0  0  0
        ring-all                    2  4  3  3  6  1
        ring-all-loser              0  0  1  0  1  0
        unreachable-contact         0  0  0  0  2  0
        ws-drop                     1  0  0  1  0  0
        ws-reconnect                1  0  0  1  0  1
        ");
    }
}

//! The JSON of ARI: events, channels and bridges, as Asterisk writes it.
//!
//! One type for each event Asterisk 22.10 was seen to send, with the fields divert may have a use
//! for. Reading is forgiving, because a call must not be lost over a field: what is missing or
//! `null` is empty, what is new is ignored, and an event of an unknown type is kept as it came.
//! Numbers are 64 bits wide throughout. Nothing is interpreted here; that is
//! [`translate`](super::translate)'s work.
//!
//! The type is looked at before anything else, so an event costs one pass and allocates only for
//! the fields named here.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};
use serde_json::value::RawValue;
use thiserror::Error;

use super::identity::{Identity, Privacy};
use crate::engine;
use crate::model::id::{BridgeId, ChannelId};
use crate::model::time::Timestamp;

/// A frame that is no event.
#[derive(Debug, Error)]
pub enum DecodeError {
    #[error("an event of type {event_type} has another shape than expected")]
    Shape { event_type: String, source: serde_json::Error },
    #[error("not a JSON object with a type")]
    Untyped(#[source] serde_json::Error),
}

/// Reads one frame of the event stream.
///
/// # Errors
/// When it is not JSON, has no type, or is a known type with fields of another kind.
pub fn decode(frame: &[u8]) -> Result<Event, DecodeError> {
    let event_type = match type_in_front(frame) {
        Some(event_type) => Cow::Borrowed(event_type),
        None => serde_json::from_slice::<Peek<'_>>(frame).map_err(DecodeError::Untyped)?.event_type,
    };
    let shape = |source| DecodeError::Shape { event_type: event_type.clone().into_owned(), source };
    if let Some(event) = Event::known(&event_type, frame) {
        return event.map_err(shape);
    }
    let raw = serde_json::from_slice::<&RawValue>(frame).map_err(shape)?.to_owned();
    Ok(Event::Unknown { event_type: event_type.into_owned(), raw })
}

#[derive(Deserialize)]
struct Peek<'a> {
    #[serde(borrow, rename = "type")]
    event_type: Cow<'a, str>,
}

/// The type where Asterisk writes it: as the first field. Whether the rest is JSON is not known yet.
fn type_in_front(frame: &[u8]) -> Option<&str> {
    let after = |rest: &'_ [u8], token: &[u8]| -> Option<usize> {
        let trimmed = rest.trim_ascii_start();
        trimmed.starts_with(token).then(|| rest.len() - trimmed.len() + token.len())
    };
    let mut rest = frame;
    for token in [b"{".as_slice(), b"\"type\"", b":", b"\""] {
        rest = rest.get(after(rest, token)?..)?;
    }
    let end = rest.iter().position(|byte| !byte.is_ascii_alphanumeric())?;
    let (event_type, rest) = rest.split_at_checked(end)?;
    (rest.first() == Some(&b'"')).then(|| std::str::from_utf8(event_type).ok())?
}

/// `null` counts as missing.
fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

macro_rules! objects {
    ($($(#[$doc:meta])* $name:ident { $($(#[$note:meta])* $field:ident: $type:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, Default, Deserialize, PartialEq)]
        #[serde(default)]
        pub struct $name {
            $($(#[$note])* #[serde(deserialize_with = "or_default")] pub $field: $type,)*
        }
    )*};
}

macro_rules! events {
    ($($(#[$doc:meta])* $name:ident { $($(#[$note:meta])* $field:ident: $type:ty,)* })*) => {
        objects! {$(
            $(#[$doc])*
            $name {
                /// When Asterisk sent it.
                timestamp: Time,
                /// The application it was sent to.
                application: String,
                $($(#[$note])* $field: $type,)*
            }
        )*}

        /// One event, by its type.
        #[derive(Clone, Debug)]
        pub enum Event {
            $($name(Box<$name>),)*
            /// A type divert does not know, kept as it came.
            Unknown { event_type: String, raw: Box<RawValue> },
        }

        impl Event {
            /// The type, or `unknown`: a label with a bounded number of values.
            #[must_use]
            pub const fn label(&self) -> &'static str {
                match self {
                    $(Self::$name(_) => stringify!($name),)*
                    Self::Unknown { .. } => "unknown",
                }
            }

            /// When Asterisk sent it, where it says so.
            #[must_use]
            pub fn sent_at(&self) -> Option<Timestamp> {
                match self {
                    $(Self::$name(event) => event.timestamp.0,)*
                    Self::Unknown { .. } => None,
                }
            }

            fn known(event_type: &str, frame: &[u8]) -> Option<serde_json::Result<Self>> {
                match event_type {
                    $(stringify!($name) => {
                        Some(serde_json::from_slice(frame).map(|event| Self::$name(Box::new(event))))
                    })*
                    _ => None,
                }
            }
        }
    };
}

objects! {
    Bridge {
        id: String,
        technology: String,
        bridge_type: String,
        bridge_class: String,
        creator: String,
        name: String,
        channels: Vec<String>,
        creationtime: Time,
    }

    Channel {
        id: String,
        /// `PJSIP/trunk-00000001`.
        name: String,
        state: State,
        /// The SIP `Call-ID`.
        protocol_id: String,
        caller: Party,
        connected: Party,
        dialplan: Dialplan,
        creationtime: Time,
        /// The variables that ari.conf's `channelvars` names.
        channelvars: BTreeMap<String, String>,
    }

    /// Where in the dialplan a channel is, and in which application.
    Dialplan {
        context: String,
        exten: String,
        priority: i64,
        app_name: String,
        app_data: String,
    }

    LiveRecording {
        name: String,
        format: String,
        state: String,
        target_uri: String,
        cause: Option<String>,
        /// Seconds of audio; the next two are parts of it.
        duration: Option<i64>,
        talking_duration: Option<i64>,
        silence_duration: Option<i64>,
    }

    /// A name and a number, as they came from outside.
    Party {
        name: String,
        number: String,
    }

    Playback {
        id: String,
        media_uri: String,
        next_media_uri: Option<String>,
        target_uri: String,
        /// `failed` when a prompt does not exist.
        state: String,
    }

    /// Whom a REFER asks for.
    ReferTo {
        requested_destination: RequestedDestination,
        destination_channel: Option<Channel>,
        connected_channel: Option<Channel>,
        bridge: Option<Bridge>,
    }

    /// Who sent a REFER, and whom it talked to.
    ReferredBy {
        source_channel: Channel,
        connected_channel: Option<Channel>,
        bridge: Option<Bridge>,
    }

    RequestedDestination {
        destination: String,
        protocol_id: Option<String>,
    }
}

events! {
    ApplicationRegistered {}

    /// Another connection took our application over; nothing comes after it.
    ApplicationReplaced {}

    BridgeBlindTransfer {
        channel: Channel,
        exten: String,
        context: String,
        result: String,
        is_external: bool,
        transferee: Option<Channel>,
        replace_channel: Option<Channel>,
        bridge: Option<Bridge>,
    }

    BridgeDestroyed {
        bridge: Bridge,
    }

    CallBroadcast {
        channel: Channel,
        caller: String,
        called: String,
    }

    ChannelCallerId {
        caller_presentation: i64,
        caller_presentation_txt: String,
        channel: Channel,
    }

    ChannelConnectedLine {
        channel: Channel,
    }

    ChannelDestroyed {
        /// Q.850; 0 when Asterisk does not know.
        cause: Option<i64>,
        cause_txt: String,
        /// The SIP response behind the cause, from Asterisk 22.7 on.
        tech_cause: Option<i64>,
        channel: Channel,
    }

    ChannelDialplan {
        dialplan_app: String,
        dialplan_app_data: String,
        channel: Channel,
    }

    ChannelDtmfReceived {
        digit: String,
        duration_ms: i64,
        channel: Channel,
    }

    ChannelEnteredBridge {
        bridge: Bridge,
        channel: Option<Channel>,
    }

    /// Its cause may be a flag instead of Q.850, so nothing is made of it.
    ChannelHangupRequest {
        cause: Option<i64>,
        tech_cause: Option<i64>,
        soft: bool,
        channel: Channel,
    }

    ChannelLeftBridge {
        bridge: Bridge,
        channel: Channel,
    }

    ChannelStateChange {
        channel: Channel,
    }

    /// The only event about a channel that has no `channel`.
    ChannelTransfer {
        refer_to: ReferTo,
        referred_by: ReferredBy,
        state: Option<String>,
    }

    ChannelUnhold {
        channel: Channel,
    }

    ChannelUserevent {
        eventname: String,
        userevent: serde_json::Value,
        channel: Option<Channel>,
        bridge: Option<Bridge>,
    }

    ChannelVarset {
        variable: String,
        value: String,
        channel: Option<Channel>,
    }

    /// Has no final status for legs made by create and dial: `ChannelDestroyed` has.
    Dial {
        dialstatus: String,
        forward: String,
        dialstring: String,
        caller: Option<Channel>,
        peer: Channel,
    }

    PlaybackFinished {
        playback: Playback,
    }

    PlaybackStarted {
        playback: Playback,
    }

    RESTResponse {
        transaction_id: String,
        request_id: String,
        status_code: i64,
        reason_phrase: String,
        uri: String,
        content_type: Option<String>,
        message_body: Option<String>,
    }

    RecordingFailed {
        recording: LiveRecording,
    }

    RecordingFinished {
        recording: LiveRecording,
    }

    RecordingStarted {
        recording: LiveRecording,
    }

    StasisEnd {
        channel: Channel,
    }

    StasisStart {
        args: Vec<String>,
        channel: Channel,
        /// Set when the channel takes another one's seat, as after a transfer.
        replace_channel: Option<Channel>,
    }
}

impl Bridge {
    #[must_use]
    pub fn bridge_id(&self) -> BridgeId {
        BridgeId(self.id.clone())
    }
}

impl Channel {
    #[must_use]
    pub fn channel_id(&self) -> ChannelId {
        ChannelId(self.id.clone())
    }

    /// Who calls on this channel. Whether the caller wants to stay unknown is not in its JSON.
    #[must_use]
    pub fn identity(&self, privacy: Privacy) -> Identity {
        Identity::of(&self.caller.number, &self.caller.name, privacy)
    }
}

/// What a channel's line is doing.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum State {
    Down,
    /// One of the states no channel of divert's should be in (`Busy`, `Dialing`, `OffHook` …).
    #[default]
    Other,
    /// An inbound call that is not answered yet.
    Ring,
    /// An outbound call whose far end rings.
    Ringing,
    Up,
}

impl State {
    /// In the engine's words, which do not tell the two directions of ringing apart.
    #[must_use]
    pub const fn engine(self) -> engine::ChannelState {
        match self {
            Self::Down | Self::Other => engine::ChannelState::Down,
            Self::Ring | Self::Ringing => engine::ChannelState::Ringing,
            Self::Up => engine::ChannelState::Up,
        }
    }

    pub(super) fn read(text: &str) -> Self {
        match text {
            "Down" => Self::Down,
            "Ring" => Self::Ring,
            "Ringing" => Self::Ringing,
            "Up" => Self::Up,
            _ => Self::Other,
        }
    }
}

/// A time as Asterisk writes it (`2026-11-21T01:12:15.929+0000`); `None` where it is missing or
/// cannot be read.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Time(pub Option<Timestamp>);

impl Time {
    fn read(text: &str) -> Self {
        let time: Option<jiff::Timestamp> = text.parse().ok();
        Self(time.map(|time| Timestamp(time.as_millisecond())))
    }
}

/// Reads a type from a string without copying the string.
struct Text<T>(fn(&str) -> T);

impl<T> Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        Ok((self.0)(text))
    }
}

impl<'de> Deserialize<'de> for State {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text(Self::read))
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text(Self::read))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const GOLDEN: &str =
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/ari-events.jsonl"));

    #[derive(Deserialize)]
    struct Line<'a> {
        #[serde(borrow)]
        event: &'a RawValue,
    }

    fn golden() -> impl Iterator<Item = &'static str> {
        GOLDEN.lines().map(|line| serde_json::from_str::<Line<'_>>(line).unwrap().event.get())
    }

    #[test]
    fn every_event_of_a_real_asterisk_has_its_type() {
        let mut seen = BTreeSet::new();
        for text in golden() {
            let event = decode(text.as_bytes()).unwrap();
            let event_type =
                serde_json::from_str::<serde_json::Value>(text).unwrap()["type"].clone();
            assert_eq!(event.label(), event_type, "{text}");
            assert!(event.sent_at().is_some(), "{text}");
            seen.insert(event.label());
        }
        assert_eq!(seen.len(), 27);
    }

    #[test]
    fn the_fields_that_matter_are_read() {
        let text = golden().find(|text| text.contains("\"ChannelDestroyed\"")).unwrap();
        let Ok(Event::ChannelDestroyed(gone)) = decode(text.as_bytes()) else { panic!("{text}") };
        assert_eq!((gone.cause, gone.tech_cause), (Some(1), Some(404)));
        assert_eq!(gone.channel.id, "out-1-2247de");
        assert_eq!(gone.channel.state, State::Down);
        assert_eq!(gone.channel.dialplan.context, "from-peer");
        assert_eq!(gone.timestamp.0.unwrap().rfc3339(), "2026-11-21T01:12:15.933Z");
        assert_eq!(gone.channel.channelvars.len(), 2);

        let text = golden().find(|text| text.contains("\"ChannelTransfer\"")).unwrap();
        let Ok(Event::ChannelTransfer(refer)) = decode(text.as_bytes()) else { panic!("{text}") };
        assert_eq!(refer.refer_to.requested_destination.destination, "201");
        assert_eq!(refer.referred_by.source_channel.caller.number, "12025550100");
        assert_eq!(refer.referred_by.bridge.unwrap().channels.len(), 2);
    }

    #[test]
    fn an_unknown_event_is_kept_as_it_came() {
        let text = r#"{"type":"MoonRise","phase":{"full":18446744073709551616}}"#;
        match decode(text.as_bytes()) {
            Ok(Event::Unknown { event_type, raw }) => {
                assert_eq!((event_type.as_str(), raw.get()), ("MoonRise", text));
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_type_may_stand_anywhere_and_the_rest_may_be_missing_or_null() {
        let texts = [
            r#"{"type":"StasisEnd"}"#,
            r#"{"channel":null,"type":"StasisEnd","timestamp":"yesterday"}"#,
            r#" { "type" : "StasisEnd", "channel":{"id":null,"state":"Flying","new":[1]}}"#,
            r#"{"type":"StasisEnd","channel":{"dialplan":{"priority":null}}}"#,
        ];
        for text in texts {
            match decode(text.as_bytes()) {
                Ok(Event::StasisEnd(end)) => assert_eq!(end.channel, Channel::default(), "{text}"),
                other => panic!("{text}: {other:?}"),
            }
        }
    }

    #[test]
    fn what_is_no_event_is_an_error() {
        let deep = format!("{{\"type\":\"X\",\"a\":{}", "[".repeat(100_000));
        let frames: [&[u8]; 8] = [
            b"",
            b"hello",
            b"[]",
            b"{}",
            b"{\"type\":7}",
            b"{\"type\":\"StasisStart\"",
            b"{\"type\":\"Dial\",\"peer\":1}",
            deep.as_bytes(),
        ];
        for frame in frames {
            assert!(decode(frame).is_err(), "{:?}", String::from_utf8_lossy(frame));
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes);
        }

        #[test]
        fn no_damage_to_a_real_event_makes_it_panic(
            line in 0..800_usize,
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
            keep in any::<prop::sample::Index>(),
        ) {
            let mut bytes = golden().nth(line).unwrap().as_bytes().to_vec();
            for (at, byte) in damage {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            let _ = decode(&bytes);
            bytes.truncate(keep.index(bytes.len()));
            let _ = decode(&bytes);
        }
    }
}

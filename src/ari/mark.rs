//! The marks that the dialplan leaves of channels that have ended, for a divert that was away.
//!
//! `divert-end` of `asterisk/etc/divert.conf` writes them into global variables: the only thing that
//! a dialplan can write and ARI can read once a channel is gone. Asterisk finds a variable by going
//! through all of them, so there are few: the caller's number in Asterisk's own counting, modulo
//! [`SLOTS`], names the variable, and the channel's full id in it tells whose end it is.

use url::form_urlencoded;

use super::identity::{Identity, Privacy};
use super::wire::State;
use crate::engine::ChannelState;
use crate::model::cause::HangupCause;
use crate::model::id::{ChannelId, DestinationId, TrunkId};
use crate::model::number::Did;
use crate::model::time::Timestamp;

/// How many callers come and go before a mark is overwritten; the dialplan counts as far.
pub const SLOTS: u64 = 1_000;

/// Where the marks of a caller and of its legs are left: the second part of Asterisk's own ids,
/// `1795223621.63`, counted round. All ids that somebody else chose share the first place.
#[must_use]
pub fn slot(caller: &ChannelId) -> u64 {
    let number = caller.0.split('.').nth(1).unwrap_or_default();
    let digits = number.bytes().filter(u8::is_ascii_digit);
    digits.fold(0, |sum, digit| (sum * 10 + u64::from(digit - b'0')) % SLOTS)
}

/// The variable with the end of the caller of this slot.
#[must_use]
pub fn of_caller(slot: u64) -> String {
    format!("DIVERT_END_{slot}")
}

/// The variable with the end of the latest of its legs.
#[must_use]
pub fn of_leg(slot: u64) -> String {
    format!("DIVERT_LEG_{slot}")
}

/// How a channel ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct End {
    pub at: Timestamp,
    /// The last state it was in.
    pub state: ChannelState,
    pub cause: Option<HangupCause>,
    /// The SIP response behind the cause.
    pub sip_code: Option<u16>,
}

/// The end of a caller, with all that a row needs.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CallerMark {
    pub channel: ChannelId,
    pub end: End,
    /// It went on in the dialplan, instead of hanging up.
    pub has_left: bool,
    /// When it came to the dialplan.
    pub since: Timestamp,
    pub did: Did,
    pub caller: Identity,
    /// The application it was sent to.
    pub app: String,
}

/// The end of a leg, with all that a row and a bill need.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct LegMark {
    pub channel: ChannelId,
    pub end: End,
    /// The channel of the caller it was dialled for.
    pub caller: ChannelId,
    pub started_at: Option<Timestamp>,
    pub answered_at: Option<Timestamp>,
    pub destination: Option<DestinationId>,
    pub trunk: Option<TrunkId>,
    pub endpoint: String,
}

impl CallerMark {
    /// `None` for a text that no caller's end looks like.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let fields: Vec<&str> = text.split('|').collect();
        let [channel, at, state, cause, how, since, pres, did, number, name, app] = fields[..]
        else {
            return None;
        };
        let privacy = Privacy::of([pres]);
        Some(Self {
            channel: ChannelId(channel.to_owned()),
            end: end(at, state, cause, "")?,
            has_left: how == "left",
            since: time(since)?,
            did: decoded(did).parse().ok()?,
            caller: Identity::of(&decoded(number), &decoded(name), privacy),
            app: app.to_owned(),
        })
    }
}

impl LegMark {
    /// `None` for a text that no leg's end looks like.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let fields: Vec<&str> = text.split('|').collect();
        let [
            channel,
            at,
            state,
            cause,
            sip,
            caller,
            started,
            answered,
            destination,
            trunk,
            endpoint,
        ] = fields[..]
        else {
            return None;
        };
        Some(Self {
            channel: ChannelId(channel.to_owned()),
            end: end(at, state, cause, sip)?,
            caller: ChannelId(caller.to_owned()),
            started_at: time(started),
            answered_at: time(answered),
            destination: destination.parse().ok(),
            trunk: trunk.parse().ok(),
            endpoint: endpoint.to_owned(),
        })
    }
}

fn end(at: &str, state: &str, cause: &str, sip: &str) -> Option<End> {
    let within = |text: &str, range: std::ops::Range<u16>| {
        text.parse().ok().filter(|number| range.contains(number))
    };
    Some(End {
        at: time(at)?,
        state: State::read(state).engine(),
        cause: within(cause, 1..128).map(HangupCause),
        sip_code: within(sip, 100..700),
    })
}

/// `1795744976.800`, with three digits behind the point or more; 0 is Asterisk's word for never.
pub(super) fn time(text: &str) -> Option<Timestamp> {
    let (seconds, fraction) = text.split_once('.')?;
    let seconds: i64 = seconds.parse().ok().filter(|seconds| *seconds > 0)?;
    let millis: i64 = fraction.get(..3)?.parse().ok().filter(|millis| *millis >= 0)?;
    Some(Timestamp(seconds.checked_mul(1_000)?.checked_add(millis)?))
}

/// What `URIENCODE` wrote.
fn decoded(text: &str) -> String {
    let mut parts = form_urlencoded::parse(text.as_bytes());
    parts.next().map(|(text, _)| text.into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::number::Caller;

    #[test]
    fn a_slot_is_counted_as_the_dialplan_counts_it() {
        let of = |id: &str| slot(&ChannelId(id.into()));
        assert_eq!(of("1795223621.63"), 63);
        assert_eq!(of("1795223621.1063"), 63);
        assert_eq!(of("pbx1-1795223621.2999.x"), 999);
        assert_eq!(of("1795223621.99999999999999999999999999000"), 0);
        assert_eq!((of("tcaller-x"), of("")), (0, 0));
    }

    #[test]
    fn the_end_of_a_caller_is_read_as_asterisk_wrote_it() {
        let text = "1795744974.6|1795744976.800|Ring|16|gone|1795744974.267|prohib|%2b1202|\
                    %2b12025550199|Zo%c3%ab%2c%20%7cx|divert-a";
        let mark = CallerMark::parse(text).unwrap();
        assert_eq!(mark.channel.0, "1795744974.6");
        let end = End {
            at: Timestamp(1_795_744_976_800),
            state: ChannelState::Ringing,
            cause: Some(HangupCause(16)),
            sip_code: None,
        };
        assert_eq!((mark.end, mark.has_left), (end, false));
        assert_eq!(mark.since, Timestamp(1_795_744_974_267));
        assert_eq!((mark.did.as_str(), &*mark.app), ("+1202", "divert-a"));
        assert_eq!(mark.caller.caller, Caller::default(), "withheld");
        let shown = CallerMark::parse(&text.replace("prohib", "allowed")).unwrap().caller.caller;
        assert_eq!((&*shown.number, &*shown.name), ("+12025550199", "Zoë, |x"));
    }

    #[test]
    fn the_end_of_a_leg_is_read_as_asterisk_wrote_it() {
        let text = "d-x-1|1795744978.301|Up|16|200|1795744974.6|1795744974.269673|1795744974.783108|\
                    dst_00000000000000000000000001||PJSIP/1001@phones";
        let mark = LegMark::parse(text).unwrap();
        assert_eq!(mark.answered_at, Some(Timestamp(1_795_744_974_783)));
        assert_eq!(mark.started_at, Some(Timestamp(1_795_744_974_269)));
        assert_eq!((mark.destination, mark.trunk), (Some(DestinationId::new(1)), None));
        assert_eq!((&*mark.caller.0, &*mark.endpoint), ("1795744974.6", "PJSIP/1001@phones"));
        assert_eq!(mark.end.state, ChannelState::Up);
        let never = LegMark::parse(&text.replace("1795744974.783108", "0.000000")).unwrap();
        assert_eq!(never.answered_at, None);
    }

    #[test]
    fn what_is_no_mark_is_none() {
        for text in ["", "x", "a|b|c|d|e|f|g|h|i|j", "1.1|0.000|Up|16|gone|1.000||1||"] {
            assert_eq!(CallerMark::parse(text), None, "{text}");
            assert_eq!(LegMark::parse(text), None, "{text}");
        }
    }
}

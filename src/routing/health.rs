//! Whether a trunk works: what Asterisk says of its endpoint, and a circuit that opens when calls over
//! it fail one after another.
//!
//! An open circuit keeps calls away for a while; then one call finds out, and only one, whether the
//! trunk works again.

use crate::model::cause::Outcome;
use crate::model::id::LegId;
use crate::model::time::Timestamp;
use crate::model::timeline::Down;

/// So many failures in a row open the circuit.
const FAILURES: u32 = 3;
/// For so long.
const OPEN_MS: i64 = 15_000;

/// One trunk.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Circuit {
    /// What Asterisk says; `None` is not known, and taken for well.
    is_online: Option<bool>,
    /// Not heard to be online since it was offline, or since Asterisk began anew.
    is_awaited: bool,
    failures: u32,
    /// The circuit is open until then, and half open from then on.
    open_until: Option<Timestamp>,
    /// Who finds out.
    probe: Option<LegId>,
}

/// How a trunk stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Standing {
    /// So many calls in a row failed; it is left alone until then.
    Failing {
        failures: u32,
        until: Timestamp,
    },
    /// Asterisk says that its endpoint is offline, or does not have it.
    Offline,
    /// It failed, and the next call, or one that is on its way, finds out whether it works again.
    Probing,
    /// Asterisk does not watch it, or has not asked its peer yet: calls go over it.
    Unknown,
    Up,
}

/// What a call tells about the trunk it went over.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Sign {
    Fails,
    /// Neither: it was ended before it could tell, or refused for a reason of its own.
    Nothing,
    Works,
}

impl Sign {
    #[must_use]
    pub fn of(outcome: Outcome) -> Self {
        match outcome {
            Outcome::TrunkFailed => Self::Fails,
            Outcome::Abandoned
            | Outcome::Cancelled
            | Outcome::LostRace
            | Outcome::TrunkRejected
            // The number, more often than the trunk: one dead phone must not take the others down.
            | Outcome::Unreachable => Self::Nothing,
            Outcome::Answered
            | Outcome::BadNumber
            | Outcome::Busy
            | Outcome::CodecMismatch
            | Outcome::Declined
            | Outcome::NoAnswer
            | Outcome::Redirected => Self::Works,
        }
    }
}

impl Circuit {
    /// For an Asterisk that began anew: whatever went over the old one tells nothing of it.
    #[must_use]
    pub fn anew() -> Self {
        Self { is_awaited: true, ..Self::default() }
    }

    /// What Asterisk says of the endpoint. Of one that is back, the next call finds out at once whether
    /// it works.
    pub fn endpoint_is(&mut self, is_online: Option<bool>) {
        self.is_online = is_online;
        let is_back = is_online == Some(true) && std::mem::take(&mut self.is_awaited);
        if is_back && self.open_until.is_some() {
            self.open_until = Some(Timestamp(0));
        }
        self.is_awaited |= is_online == Some(false);
    }

    /// For a clock that was set.
    pub fn move_by(&mut self, ms: i64) {
        self.open_until = self.open_until.map(|until| until.plus_ms(ms));
    }

    /// Why no call may go over it.
    #[must_use]
    pub fn down(&self, at: Timestamp) -> Option<Down> {
        if self.is_online == Some(false) {
            return Some(Down::Offline);
        }
        match self.open_until? {
            until if at < until => Some(Down::Failing { failures: self.failures }),
            _ => self.probe.map(|_| Down::Probing),
        }
    }

    /// The same for who looks on.
    #[must_use]
    pub fn standing(&self, at: Timestamp) -> Standing {
        match (self.is_online, self.open_until) {
            (Some(false), _) => Standing::Offline,
            (_, Some(until)) if at < until => Standing::Failing { failures: self.failures, until },
            (_, Some(_)) => Standing::Probing,
            (None, None) => Standing::Unknown,
            (Some(true), None) => Standing::Up,
        }
    }

    /// A call is sent over it.
    pub fn begin(&mut self, leg: LegId) {
        if self.open_until.is_some() {
            self.probe = Some(leg);
        }
    }

    /// What became of a call, or what it shows while it is under way.
    pub fn hear(&mut self, leg: LegId, sign: Sign, at: Timestamp) {
        match sign {
            Sign::Works => (self.failures, self.open_until, self.probe) = (0, None, None),
            Sign::Nothing => self.forget(leg),
            Sign::Fails => {
                self.failures = self.failures.saturating_add(1);
                let is_probe = self.probe == Some(leg);
                if is_probe || (self.open_until.is_none() && self.failures >= FAILURES) {
                    self.probe = None;
                    self.open_until = Some(at.plus_ms(OPEN_MS));
                }
            }
        }
    }

    /// The leg is gone; if it was to find out, another will.
    pub fn forget(&mut self, leg: LegId) {
        if self.probe == Some(leg) {
            self.probe = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::CallId;

    fn leg(call: u128) -> LegId {
        LegId { call: CallId::new(call), no: 1 }
    }

    fn opened() -> Circuit {
        let mut circuit = Circuit::default();
        for call in 0..3 {
            assert_eq!(circuit.down(Timestamp(0)), None);
            circuit.hear(leg(call), Sign::of(Outcome::TrunkFailed), Timestamp(0));
        }
        circuit
    }

    #[test]
    fn three_failures_in_a_row_open_it_for_fifteen_seconds() {
        let circuit = opened();
        assert_eq!(circuit.down(Timestamp(14_999)), Some(Down::Failing { failures: 3 }));
        assert_eq!(circuit.down(Timestamp(15_000)), None);
        let mut circuit = Circuit::default();
        for outcome in [Outcome::Unreachable, Outcome::TrunkFailed, Outcome::Busy] {
            circuit.hear(leg(1), Sign::of(outcome), Timestamp(0));
            circuit.hear(leg(2), Sign::of(Outcome::Cancelled), Timestamp(0));
        }
        assert_eq!(circuit, Circuit::default(), "a busy phone shows that the trunk works");
    }

    #[test]
    fn a_clock_that_is_set_leaves_it_open_for_as_long() {
        let mut circuit = opened();
        circuit.move_by(3_600_000);
        assert_eq!(circuit.down(Timestamp(3_614_999)), Some(Down::Failing { failures: 3 }));
        assert_eq!(circuit.down(Timestamp(3_615_000)), None);
    }

    #[test]
    fn one_call_finds_out_and_only_one() {
        let mut circuit = opened();
        circuit.begin(leg(9));
        assert_eq!(circuit.down(Timestamp(15_000)), Some(Down::Probing));
        // One from before the circuit opened says nothing new.
        circuit.hear(leg(2), Sign::Fails, Timestamp(15_100));
        assert_eq!(circuit.down(Timestamp(15_100)), Some(Down::Probing));
        circuit.hear(leg(9), Sign::Fails, Timestamp(16_000));
        assert_eq!(circuit.down(Timestamp(30_999)), Some(Down::Failing { failures: 5 }));
        circuit.begin(leg(10));
        circuit.forget(leg(10));
        assert_eq!(circuit.down(Timestamp(31_000)), None, "it ended without telling anything");
        circuit.begin(leg(11));
        circuit.hear(leg(11), Sign::Works, Timestamp(31_000));
        assert_eq!(circuit, Circuit::default());
    }

    #[test]
    fn it_tells_how_it_stands() {
        let mut circuit = Circuit::default();
        assert_eq!(circuit.standing(Timestamp(0)), Standing::Unknown);
        circuit.endpoint_is(Some(true));
        assert_eq!(circuit.standing(Timestamp(0)), Standing::Up);
        circuit.endpoint_is(Some(false));
        assert_eq!(circuit.standing(Timestamp(0)), Standing::Offline);
        let circuit = opened();
        let until = Timestamp(15_000);
        assert_eq!(circuit.standing(Timestamp(14_999)), Standing::Failing { failures: 3, until });
        assert_eq!(circuit.standing(until), Standing::Probing);
    }

    #[test]
    fn an_endpoint_that_is_offline_takes_nothing() {
        let mut circuit = Circuit { is_online: Some(false), ..Circuit::default() };
        assert_eq!(circuit.down(Timestamp(0)), Some(Down::Offline));
        circuit.hear(leg(1), Sign::Works, Timestamp(0));
        assert_eq!(circuit.down(Timestamp(0)), Some(Down::Offline), "only Asterisk says so");
    }

    #[test]
    fn an_endpoint_that_is_back_is_tried_at_once() {
        let mut circuit = opened();
        circuit.endpoint_is(Some(false));
        assert_eq!(circuit.down(Timestamp(1)), Some(Down::Offline));
        circuit.endpoint_is(Some(true));
        assert_eq!(circuit.down(Timestamp(2)), None);
        circuit.begin(leg(9));
        assert_eq!(circuit.down(Timestamp(2)), Some(Down::Probing), "by one call");
        circuit.hear(leg(9), Sign::Fails, Timestamp(3));
        circuit.endpoint_is(Some(true));
        assert_eq!(circuit.down(Timestamp(4)), Some(Down::Failing { failures: 4 }), "no news");
        let mut circuit = Circuit::anew();
        for call in 0..3 {
            circuit.hear(leg(call), Sign::Fails, Timestamp(0));
        }
        circuit.endpoint_is(None);
        assert_eq!(circuit.down(Timestamp(1)), Some(Down::Failing { failures: 3 }));
        circuit.endpoint_is(Some(true));
        assert_eq!(circuit.down(Timestamp(1)), None, "its peer was not asked before");
    }
}

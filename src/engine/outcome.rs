//! What became of a leg, as one function of what Asterisk says when its channel is destroyed.
//!
//! Measured on Asterisk 22.10: ITU-T Q.850 cause, SIP response and the state of the channel at that
//! moment. `Dial` events and the causes of hang-up requests are not used: they are absent or wrong
//! for legs dialled over ARI.

use super::ChannelState;
use crate::model::cause::{CallResult, HangupCause, Outcome};
use crate::model::timeline::{Candidate, Unroutable, Verdict};

/// The outcome of a leg that ended without our doing and without a conversation.
///
/// The SIP response says more than the cause where both are known: 603 and 403 are both cause 21.
/// Asterisk reports a refused TCP connection as 34 with 503, just like a 503 on the wire.
#[must_use]
pub fn of_leg(cause: Option<HangupCause>, sip: Option<u16>, state: ChannelState) -> Outcome {
    if state == ChannelState::Up {
        return Outcome::Answered;
    }
    sip.and_then(|code| of_sip(code, state))
        .or_else(|| cause.map(|cause| of_cause(cause, state)))
        .unwrap_or_else(|| silence(state))
}

/// RFC 3261 §21; `None` for provisional and successful responses, which end nothing.
fn of_sip(code: u16, state: ChannelState) -> Option<Outcome> {
    Some(match code {
        ..=299 => return None,
        300..=399 => Outcome::Redirected,
        404 | 484 | 485 | 604 => Outcome::BadNumber,
        408 | 410 => Outcome::Unreachable,
        480 => silence(state),
        // Who is called, or what filters for them, wants no call of a caller without a name, or none
        // that it cannot read (RFC 5079 §5, RFC 3261 §21.4.27); and with any 6xx, this call at all
        // (RFC 8197, RFC 8688). 604 and 606 are about the number and the codecs.
        433 | 493 | 601..=603 | 605 | 607..=699 => Outcome::Declined,
        486 | 600 => Outcome::Busy,
        487 => Outcome::Cancelled,
        488 | 606 => Outcome::CodecMismatch,
        500..=599 => Outcome::TrunkFailed,
        _ => Outcome::TrunkRejected,
    })
}

/// Q.850, for legs without a SIP response: other technologies, and Asterisk before 22.7.
fn of_cause(cause: HangupCause, state: ChannelState) -> Outcome {
    match cause.0 {
        1 | 28 => Outcome::BadNumber,
        2 | 3 | 18 | 20 | 22 => Outcome::Unreachable,
        16 | 19 | 31 => silence(state),
        17 => Outcome::Busy,
        21 => Outcome::Declined,
        23 => Outcome::Redirected,
        26 => Outcome::LostRace,
        58 | 65 | 79 | 88 => Outcome::CodecMismatch,
        _ => Outcome::TrunkFailed,
    }
}

/// Nobody answered: it rang, or there never was anybody.
fn silence(state: ChannelState) -> Outcome {
    match state {
        ChannelState::Ringing | ChannelState::Up => Outcome::NoAnswer,
        ChannelState::Down => Outcome::Unreachable,
    }
}

/// The cause to reject an unanswered caller with, so that Asterisk sends the right SIP response.
#[must_use]
pub fn rejection(outcome: Outcome) -> HangupCause {
    match outcome {
        // 404
        Outcome::BadNumber => HangupCause::UNALLOCATED,
        // 486
        Outcome::Busy => HangupCause::USER_BUSY,
        // 488
        Outcome::CodecMismatch => HangupCause::BEARER_NOT_AVAILABLE,
        // 603: Asterisk makes it of 16 on an unanswered call, and 403 of 21.
        Outcome::Answered | Outcome::Declined => HangupCause::NORMAL,
        // 480
        Outcome::Abandoned
        | Outcome::Cancelled
        | Outcome::LostRace
        | Outcome::NoAnswer
        | Outcome::Unreachable => HangupCause::NO_ANSWER,
        // 503
        Outcome::Redirected | Outcome::TrunkFailed | Outcome::TrunkRejected => {
            HangupCause::CONGESTION
        }
    }
}

/// What a call came to whose last attempt ended so.
#[must_use]
pub fn result(outcome: Outcome) -> CallResult {
    match outcome {
        Outcome::Answered => CallResult::Answered,
        Outcome::Busy => CallResult::Busy,
        Outcome::Declined => CallResult::Declined,
        Outcome::Abandoned | Outcome::Cancelled | Outcome::LostRace | Outcome::NoAnswer => {
            CallResult::NoAnswer
        }
        Outcome::BadNumber
        | Outcome::CodecMismatch
        | Outcome::Redirected
        | Outcome::TrunkFailed
        | Outcome::TrunkRejected
        | Outcome::Unreachable => CallResult::Failed,
    }
}

/// What a call comes to for which no destination could be chosen: where they refused it for several
/// reasons, the best of them as [`CallResult`] has it. `None` if nobody refused it: the flow or its
/// fallback number is gone, or all were tried.
#[must_use]
pub fn refusal(reason: Unroutable, candidates: &[Candidate]) -> Option<CallResult> {
    match reason {
        Unroutable::FlowCapped => Some(CallResult::Capped),
        Unroutable::FlowClosed => Some(CallResult::Closed),
        Unroutable::FlowGone | Unroutable::NoFallback => None,
        Unroutable::FlowPaused => Some(CallResult::Paused),
        Unroutable::FlowTooFast => Some(CallResult::RateLimited),
        Unroutable::RepeatCaller => Some(CallResult::RefusedCaller),
        Unroutable::AllClosed
        | Unroutable::AllDisabled
        | Unroutable::AllDown
        | Unroutable::AllFull
        | Unroutable::AllPaused
        | Unroutable::AllThrottled
        | Unroutable::AllTried
        | Unroutable::Mixed
        | Unroutable::NoCredit => {
            candidates.iter().filter_map(|candidate| refused(candidate.verdict)).min()
        }
    }
}

/// What a call comes to that is refused so; `None` where it is not.
#[must_use]
pub fn refused(verdict: Verdict) -> Option<CallResult> {
    match verdict {
        Verdict::Capped { .. } => Some(CallResult::Capped),
        Verdict::Closed => Some(CallResult::Closed),
        Verdict::Disabled | Verdict::Drained | Verdict::Paused => Some(CallResult::Paused),
        Verdict::Down { .. } | Verdict::LedgerAway | Verdict::NoTrunk => Some(CallResult::Failed),
        Verdict::Full { .. } => Some(CallResult::Full),
        Verdict::NoCredit | Verdict::Unrated => Some(CallResult::NoCredit),
        Verdict::Spacing { .. } | Verdict::TooFast => Some(CallResult::RateLimited),
        Verdict::Chosen
        | Verdict::NumberTried
        | Verdict::ChosenByRule
        | Verdict::ChosenNextTrunk
        | Verdict::ChosenSticky
        | Verdict::LowerPriority
        | Verdict::NotItsTurn
        | Verdict::SameAsLast
        | Verdict::StickyElsewhere
        | Verdict::Tried
        | Verdict::TrunkTried => None,
    }
}

#[cfg(test)]
mod tests {
    use ChannelState::{Down, Ringing, Up};

    use super::*;
    use crate::model::throttle::{CapCount, CapPeriod};
    use crate::model::timeline::{self, LimitScope};

    /// Each line as it was measured on an ARI-dialled PJSIP leg of Asterisk 22.10.1, or read in its
    /// source: what the far end did, cause, SIP response, state, outcome.
    const TABLE: &[(&str, u16, u16, ChannelState, Outcome)] = &[
        ("302", 23, 302, Down, Outcome::Redirected),
        ("401", 21, 401, Down, Outcome::TrunkRejected),
        ("403", 21, 403, Down, Outcome::TrunkRejected),
        ("404", 1, 404, Down, Outcome::BadNumber),
        ("407", 21, 407, Down, Outcome::TrunkRejected),
        ("408", 18, 408, Down, Outcome::Unreachable),
        ("410", 22, 410, Down, Outcome::Unreachable),
        ("480 before it rang", 19, 480, Down, Outcome::Unreachable),
        ("480 after it rang", 19, 480, Ringing, Outcome::NoAnswer),
        ("484", 28, 484, Down, Outcome::BadNumber),
        ("485", 1, 485, Down, Outcome::BadNumber),
        ("486", 17, 486, Ringing, Outcome::Busy),
        ("488", 58, 488, Down, Outcome::CodecMismatch),
        ("500", 38, 500, Down, Outcome::TrunkFailed),
        ("502", 27, 502, Down, Outcome::TrunkFailed),
        ("503", 34, 503, Down, Outcome::TrunkFailed),
        ("504", 102, 504, Down, Outcome::TrunkFailed),
        ("505", 127, 505, Down, Outcome::TrunkFailed),
        ("600", 17, 600, Ringing, Outcome::Busy),
        ("603", 21, 603, Ringing, Outcome::Declined),
        ("604", 1, 604, Down, Outcome::BadNumber),
        ("606", 58, 606, Down, Outcome::CodecMismatch),
        ("TCP refused", 34, 503, Down, Outcome::TrunkFailed),
        ("an unlisted 4xx", 127, 499, Down, Outcome::TrunkRejected),
        ("433 anonymity disallowed", 127, 433, Down, Outcome::Declined),
        ("493 undecipherable", 127, 493, Down, Outcome::Declined),
        ("607 unwanted", 127, 607, Ringing, Outcome::Declined),
        ("608 rejected", 127, 608, Down, Outcome::Declined),
        ("an unlisted 6xx", 127, 699, Down, Outcome::Declined),
        ("an unlisted 5xx", 127, 580, Down, Outcome::TrunkFailed),
        ("our timeout, it rang", 19, 480, Ringing, Outcome::NoAnswer),
        ("our timeout, silent peer", 19, 480, Down, Outcome::Unreachable),
        ("conversation over", 16, 0, Up, Outcome::Answered),
        ("Asterisk 16: busy", 17, 0, Down, Outcome::Busy),
        ("Asterisk 16: declined", 21, 0, Ringing, Outcome::Declined),
        ("Asterisk 16: our timeout", 16, 0, Ringing, Outcome::NoAnswer),
        ("no route", 3, 0, Down, Outcome::Unreachable),
        ("absent", 20, 0, Down, Outcome::Unreachable),
        ("answered elsewhere", 26, 0, Ringing, Outcome::LostRace),
    ];

    #[test]
    fn outcomes_are_as_measured() {
        for &(what, cause, sip, state, wanted) in TABLE {
            let sip = (sip != 0).then_some(sip);
            assert_eq!(of_leg(Some(HangupCause(cause)), sip, state), wanted, "{what}");
        }
        assert_eq!(of_leg(None, None, Ringing), Outcome::NoAnswer);
        assert_eq!(of_leg(None, None, Down), Outcome::Unreachable);
    }

    #[test]
    fn a_cause_says_it_where_no_sip_response_is_known() {
        for (cause, wanted) in [
            (1, Outcome::BadNumber),
            (2, Outcome::Unreachable),
            (17, Outcome::Busy),
            (19, Outcome::NoAnswer),
            (21, Outcome::Declined),
            (23, Outcome::Redirected),
            (26, Outcome::LostRace),
            (28, Outcome::BadNumber),
            (34, Outcome::TrunkFailed),
            (58, Outcome::CodecMismatch),
            (65, Outcome::CodecMismatch),
            (79, Outcome::CodecMismatch),
            (88, Outcome::CodecMismatch),
        ] {
            assert_eq!(of_leg(Some(HangupCause(cause)), None, Ringing), wanted, "{cause}");
        }
    }

    #[test]
    fn a_provisional_response_ends_nothing_and_our_own_cancelling_is_no_failure() {
        let busy = Some(HangupCause::USER_BUSY);
        assert_eq!(of_leg(busy, Some(183), Ringing), Outcome::Busy, "as the cause says");
        assert_eq!(of_leg(busy, Some(299), Ringing), Outcome::Busy);
        assert_eq!(of_leg(None, Some(487), Ringing), Outcome::Cancelled);
    }

    #[test]
    fn a_rejected_caller_is_told_why() {
        let cause = |outcome| rejection(outcome).0;
        assert_eq!(cause(Outcome::Busy), 17);
        assert_eq!(cause(Outcome::NoAnswer), 19);
        assert_eq!(cause(Outcome::BadNumber), 1);
        assert_eq!(cause(Outcome::Declined), 16, "which Asterisk sends as 603");
        assert_eq!(cause(Outcome::TrunkFailed), 34);
        assert_eq!(cause(Outcome::CodecMismatch), 58);
    }

    #[test]
    fn each_refusal_has_its_word() {
        use CallResult::{
            Capped, Closed, Failed, Full, NoCredit, Paused, RateLimited, RefusedCaller,
        };

        let (per, count) = (CapPeriod::Day, CapCount::Answers);
        for (verdict, word) in [
            (Verdict::Capped { per, count, used: 1, max: 1 }, Some(Capped)),
            (Verdict::Chosen, None),
            (Verdict::Closed, Some(Closed)),
            (Verdict::Disabled, Some(Paused)),
            (Verdict::Down { why: timeline::Down::Offline }, Some(Failed)),
            (Verdict::Drained, Some(Paused)),
            (Verdict::Full { scope: LimitScope::Account, live: 1, max: 1 }, Some(Full)),
            (Verdict::LedgerAway, Some(Failed)),
            (Verdict::NoCredit, Some(NoCredit)),
            (Verdict::NoTrunk, Some(Failed)),
            (Verdict::NotItsTurn, None),
            (Verdict::Paused, Some(Paused)),
            (Verdict::Spacing { wait_ms: 1 }, Some(RateLimited)),
            (Verdict::TooFast, Some(RateLimited)),
            (Verdict::Tried, None),
            (Verdict::Unrated, Some(NoCredit)),
        ] {
            assert_eq!(refused(verdict), word, "{verdict:?}");
        }
        for (reason, word) in [
            (Unroutable::AllTried, None),
            (Unroutable::FlowCapped, Some(Capped)),
            (Unroutable::FlowClosed, Some(Closed)),
            (Unroutable::FlowGone, None),
            (Unroutable::FlowPaused, Some(Paused)),
            (Unroutable::FlowTooFast, Some(RateLimited)),
            (Unroutable::NoFallback, None),
            (Unroutable::RepeatCaller, Some(RefusedCaller)),
        ] {
            assert_eq!(refusal(reason, &[]), word, "{reason:?}");
        }
    }
}

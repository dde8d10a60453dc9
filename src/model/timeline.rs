//! The steps of a call as people read them: what happened and why. Data only; the wording for
//! people is in [`Step::sentence`], so that the API, the CLI and the dashboard say the same.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::billing::Charge;
use super::cause::{CallResult, EndedBy, HangupCause, Outcome};
use super::id::DestinationId;
use super::number::{Caller, Did};
use super::stickiness::RepeatAction;
use super::throttle::{CapCount, CapPeriod};
use super::time::Timestamp;

/// One step with its moment.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct TimelineEntry {
    /// From 0, in order, within the call.
    pub seq: u32,
    pub at: Timestamp,
    pub step: Step,
}

#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "step")]
pub enum Step {
    /// divert came back and found the call alive.
    Adopted,
    Answered {
        leg: u16,
        name: String,
    },
    Ended {
        by: EndedBy,
        result: CallResult,
        talk_ms: i64,
        cause: HangupCause,
    },
    /// Nobody took the call: what happens instead.
    Fallback {
        what: String,
    },
    /// One attempt ended without a conversation.
    NotAnswered {
        leg: u16,
        name: String,
        outcome: Outcome,
        cause: Option<HangupCause>,
        sip_code: Option<u16>,
        rang_ms: i64,
    },
    /// The end of a test call: what an ordinary one would have cost and changed.
    Receipt(Receipt),
    Received {
        did: Did,
        caller: Caller,
        flow: Option<String>,
        /// Nobody owns the number, and somebody owns this one, which lacks its `+` or has one more.
        #[serde(skip_serializing_if = "Option::is_none")]
        alike: Option<Did>,
        is_test: bool,
    },
    /// The caller has called so often that the flow's rule holds.
    Repeat {
        calls: u32,
        within_sec: u32,
        then: RepeatAction,
    },
    Ringing {
        leg: u16,
        name: String,
    },
    /// A destination was chosen.
    Routed {
        leg: u16,
        name: String,
        endpoint: String,
        candidates: Vec<Candidate>,
    },
    /// No destination is left to try.
    Unroutable {
        reason: Unroutable,
        candidates: Vec<Candidate>,
    },
}

/// One destination as it was judged for one attempt.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Candidate {
    pub destination: DestinationId,
    pub name: String,
    pub priority: i32,
    pub weight: u32,
    pub verdict: Verdict,
    /// Of the one chosen: the trunks that come before the one it was chosen on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub passed_over: Vec<PassedOver>,
}

/// A trunk that was not taken though it comes first.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct PassedOver {
    pub trunk: String,
    pub verdict: Verdict,
}

/// What a test call would have left behind, had it been an ordinary one.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Receipt {
    /// What would have been billed; `None` when nothing costs there, or nobody answered.
    pub charge: Option<Charge>,
    /// The destination to which the caller would belong, and until when: `None` in the pair is as
    /// long as there is no other.
    pub sticky: Option<(String, Option<Timestamp>)>,
    /// How many times the wheel would have turned.
    pub wheel_turns: u32,
    /// How much of caps would have been used: whose, of what, how many.
    pub caps: Vec<(String, CapCount, u32)>,
    /// It would have counted as a call of this caller.
    pub counts_as_visit: bool,
}

/// Why a destination was taken or passed over.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "verdict")]
pub enum Verdict {
    /// As many as it may have in this period.
    Capped {
        per: CapPeriod,
        count: CapCount,
        used: u32,
        max: u32,
    },
    /// Its turn.
    Chosen,
    /// The flow's repeat-caller rule names it.
    ChosenByRule,
    /// The trunk before failed for this call, and divert chooses among several.
    ChosenNextTrunk,
    /// The caller belongs to it.
    ChosenSticky,
    /// Outside its schedule.
    Closed,
    Disabled,
    Down {
        why: Down,
    },
    /// Weight 0: no new callers.
    Drained,
    /// The limits of several nodes could not be asked for.
    LedgerAway,
    /// A call there costs, and the balance is used up.
    NoCredit,
    /// No trunk carries toll-free calls.
    NoTrunk,
    /// Eligible, and the wheel stood on another.
    NotItsTurn,
    /// The same number was called for this call already, and did not take it.
    NumberTried,
    /// A destination of a lower priority number could take the call.
    LowerPriority,
    Full {
        scope: LimitScope,
        live: u32,
        max: u32,
    },
    Paused,
    /// It had this caller the last time, and the flow's repeat-caller rule asks for another.
    SameAsLast,
    /// The last call there began less than its spacing ago.
    Spacing {
        wait_ms: i64,
    },
    /// Eligible, and the caller belongs to another.
    StickyElsewhere,
    /// Its arrival rate is used up.
    TooFast,
    /// This trunk failed for this call already.
    TrunkTried,
    /// Already tried for this call.
    Tried,
    /// The account is prepaid and its deck has no rate for the number.
    Unrated,
}

impl Verdict {
    /// Taken, for whatever reason.
    #[must_use]
    pub const fn is_chosen(self) -> bool {
        matches!(
            self,
            Self::Chosen | Self::ChosenByRule | Self::ChosenNextTrunk | Self::ChosenSticky
        )
    }

    /// Why it was passed over, in plain words; `None` when it was chosen, tried, or only not its turn.
    #[must_use]
    pub fn why_not(self) -> Option<String> {
        let why = match self {
            Self::Chosen
            | Self::ChosenByRule
            | Self::ChosenNextTrunk
            | Self::ChosenSticky
            | Self::LowerPriority
            | Self::NotItsTurn
            | Self::StickyElsewhere
            | Self::Tried => return None,
            Self::Capped { per, count, used, max } => {
                let count = count.to_string().replace('_', " ");
                match per {
                    CapPeriod::Total => format!("{used}/{max} {count} used"),
                    _ => format!("{used}/{max} {count} of the {per} used"),
                }
            }
            Self::Closed => "closed".to_owned(),
            Self::Down { why: Down::Failing { failures } } => {
                let what = if failures == 1 { "failure" } else { "failures" };
                format!("down after {failures} {what}")
            }
            Self::Down { why: Down::Offline } => "offline".to_owned(),
            Self::Down { why: Down::Probing } => "down, being tried".to_owned(),
            Self::LedgerAway => "its limit could not be asked for".to_owned(),
            Self::NoCredit => "no credit".to_owned(),
            Self::NoTrunk => "no trunk carries toll-free calls".to_owned(),
            Self::NumberTried => "its number was tried already".to_owned(),
            Self::SameAsLast => "had this caller the last time".to_owned(),
            Self::Spacing { wait_ms } => format!("spacing, {} to wait", duration(wait_ms)),
            Self::TooFast => "its rate is used up".to_owned(),
            Self::TrunkTried => "failed for this call".to_owned(),
            Self::Unrated => "no rate for the number".to_owned(),
            Self::Disabled => "disabled".to_owned(),
            Self::Drained => "draining".to_owned(),
            Self::Full { scope, live, max } => match scope {
                LimitScope::Account => format!("account full {live}/{max}"),
                LimitScope::Destination => format!("full {live}/{max}"),
                LimitScope::Server => format!("server full {live}/{max}"),
                LimitScope::Trunk => format!("trunk full {live}/{max}"),
            },
            Self::Paused => "paused".to_owned(),
        };
        Some(why)
    }
}

/// Why a destination is taken for dead.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "down")]
pub enum Down {
    /// So many calls in a row failed on the trunk; it is left alone for a while.
    Failing { failures: u32 },
    /// Asterisk says that the endpoint of the trunk is offline.
    Offline,
    /// One call is on its way to find out whether the trunk works again.
    Probing,
}

/// What a live-call limit counts.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitScope {
    Account,
    Destination,
    Server,
    Trunk,
}

/// Why no destination could be chosen: the most specific reason that all of them share.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unroutable {
    AllClosed,
    AllDisabled,
    AllDown,
    AllFull,
    AllPaused,
    /// Rate, spacing or caps of every one are used up.
    AllThrottled,
    AllTried,
    /// A cap of the flow is used up.
    FlowCapped,
    /// Outside the flow's schedule.
    FlowClosed,
    /// The flow was removed while the call was on its way.
    FlowGone,
    FlowPaused,
    /// Rate or spacing of the flow.
    FlowTooFast,
    Mixed,
    NoCredit,
    /// The flow had a fallback number when the call came, and has none any more.
    NoFallback,
    /// The flow's repeat-caller rule.
    RepeatCaller,
}

impl Step {
    /// One word for the left column of a timeline.
    #[must_use]
    pub fn title(&self) -> &'static str {
        match self {
            Self::Adopted => "Adopted",
            Self::Answered { .. } => "Answered",
            Self::Ended { .. } => "Ended",
            Self::Fallback { .. } => "Fallback",
            Self::NotAnswered { outcome, .. } => match outcome {
                Outcome::Abandoned => "Abandoned",
                Outcome::Answered => "Answered",
                Outcome::BadNumber => "Bad number",
                Outcome::Busy => "Busy",
                Outcome::Cancelled => "Cancelled",
                Outcome::CodecMismatch => "No codec",
                Outcome::Declined => "Declined",
                Outcome::LostRace => "Lost race",
                Outcome::NoAnswer => "No answer",
                Outcome::Redirected => "Redirected",
                Outcome::TrunkFailed => "Trunk failed",
                Outcome::TrunkRejected => "Refused",
                Outcome::Unreachable => "Unreachable",
            },
            Self::Receipt(_) => "Receipt",
            Self::Received { .. } => "Received",
            Self::Repeat { .. } => "Repeat caller",
            Self::Ringing { .. } => "Ringing",
            Self::Routed { .. } => "Routed",
            Self::Unroutable { .. } => "Unroutable",
        }
    }

    /// The rest of the line: what and why, in plain words.
    #[must_use]
    pub fn sentence(&self) -> String {
        match self {
            Self::Adopted => "divert was away and took the call up again".to_owned(),
            Self::Answered { name, .. } | Self::Ringing { name, .. } => name.clone(),
            Self::Ended { by, talk_ms, cause, .. } => {
                let by = match by {
                    EndedBy::Caller => "by the caller",
                    EndedBy::Destination => "by the destination",
                    EndedBy::Divert => "by divert",
                    EndedBy::Restart => "by a restart of Asterisk",
                };
                format!("{by} · talk {} · cause {cause}", duration(*talk_ms))
            }
            Self::Fallback { what } => what.clone(),
            Self::NotAnswered { name, cause, sip_code, rang_ms, .. } => {
                let mut text = name.clone();
                if let Some(code) = sip_code {
                    let _ = write!(text, " · SIP {code}");
                }
                if let Some(cause) = cause {
                    let _ = write!(text, " · cause {cause}");
                }
                if *rang_ms > 0 {
                    let _ = write!(text, " · rang {}", duration(*rang_ms));
                }
                text
            }
            Self::Receipt(receipt) => receipt.sentence(),
            Self::Repeat { calls, within_sec, then } => {
                let then = match then {
                    RepeatAction::Destination(_) => "sent to the destination of the rule",
                    RepeatAction::Different => "sent to another destination than the last time",
                    RepeatAction::Reject => "rejected as busy",
                    RepeatAction::Tag => "marked",
                };
                let times = match calls {
                    1 => "once".to_owned(),
                    times => format!("{times} times"),
                };
                format!("called at least {times} within {} · {then}", span(*within_sec))
            }
            Self::Received { did, caller, flow, alike, is_test } => {
                let mut flow = flow.as_ref().map_or_else(
                    || "no forwarding flow owns this number".to_owned(),
                    |name| format!("flow {name:?}"),
                );
                if let Some(alike) = alike {
                    let _ = write!(flow, "; {}", did_you_mean(alike));
                }
                let test = if *is_test { " · test" } else { "" };
                format!("{caller} → {did} · {flow}{test}")
            }
            Self::Routed { name, candidates, .. } => {
                let chosen = candidates.iter().find(|c| c.verdict.is_chosen());
                let mut text = match chosen {
                    Some(c) => {
                        let by = match c.verdict {
                            Verdict::ChosenByRule => " · by the rule on repeated calls",
                            Verdict::ChosenNextTrunk => " · over its next trunk",
                            Verdict::ChosenSticky => " · which has this caller",
                            _ => "",
                        };
                        format!("{name} (priority {}, weight {}){by}", c.priority, c.weight)
                    }
                    None => name.clone(),
                };
                text.push_str(&skipped(candidates));
                text
            }
            Self::Unroutable { reason, candidates } => {
                let reason = match reason {
                    Unroutable::AllClosed => "every destination is closed",
                    Unroutable::AllDisabled => "every destination is disabled",
                    Unroutable::AllDown => "every destination is down",
                    Unroutable::AllFull => "every destination is full",
                    Unroutable::AllPaused => "every destination is paused",
                    Unroutable::AllThrottled => "every destination has had its calls",
                    Unroutable::AllTried => "every destination was tried",
                    Unroutable::FlowCapped => "the flow has had its calls",
                    Unroutable::FlowClosed => "the flow is closed",
                    Unroutable::FlowGone => "the flow was removed",
                    Unroutable::FlowPaused => "the flow is paused",
                    Unroutable::FlowTooFast => "calls come faster than the flow takes them",
                    Unroutable::Mixed => "no destination is free",
                    Unroutable::NoCredit => "the balance is used up",
                    Unroutable::NoFallback => "the fallback number was taken away",
                    Unroutable::RepeatCaller => "the caller calls too often",
                };
                format!("{reason}{}", skipped(candidates))
            }
        }
    }
}

impl Receipt {
    /// What would have happened, in plain words.
    #[must_use]
    pub fn sentence(&self) -> String {
        let mut would = Vec::new();
        match &self.charge {
            Some(Charge { billed_sec, amount, currency }) => {
                would.push(format!("billed {amount} {currency} for {billed_sec} s"));
            }
            None => would.push("billed nothing".to_owned()),
        }
        if let Some((destination, until)) = &self.sticky {
            let until = until.map_or_else(String::new, |until| format!(" until {until}"));
            would.push(format!("kept the caller with {destination}{until}"));
        }
        if self.wheel_turns > 0 {
            let times = match self.wheel_turns {
                1 => "once".to_owned(),
                times => format!("{times} times"),
            };
            would.push(format!("turned the wheel {times}"));
        }
        for (whose, what, how_many) in &self.caps {
            let what = what.to_string().replace('_', " ");
            would.push(format!("used {how_many} of the cap on {what} of {whose}"));
        }
        if self.counts_as_visit {
            would.push("counted as a call of this caller".to_owned());
        }
        format!("would have {}", would.join(", "))
    }
}

/// What to think of where a number is unknown that is known but for its `+`.
#[must_use]
pub fn did_you_mean(alike: &Did) -> String {
    let carrier = if alike.as_str().starts_with('+') {
        "Does your carrier send the +?"
    } else {
        "Does your carrier send a + that the flow's number lacks?"
    };
    format!("did you mean {alike}? {carrier}")
}

/// Those a reader wants to know about: passed over for a reason, not merely not their turn.
fn skipped(candidates: &[Candidate]) -> String {
    let mut text = String::new();
    for candidate in candidates {
        if let Some(why) = candidate.verdict.why_not() {
            let _ = write!(text, " · {} skipped: {why}", candidate.name);
        }
        for over in &candidate.passed_over {
            let why = over.verdict.why_not().unwrap_or_default();
            let _ = write!(text, " · trunk {} skipped: {why}", over.trunk);
        }
    }
    text
}

/// A length of time that somebody set: `24 h`, `5 min`, `90 s`.
fn span(sec: u32) -> String {
    match sec {
        1.. if sec.is_multiple_of(3_600) => format!("{} h", sec / 3_600),
        1.. if sec.is_multiple_of(60) => format!("{} min", sec / 60),
        _ => format!("{sec} s"),
    }
}

/// A length of time that was measured: `850 ms`, `12.4 s`, `3:42`, `2:03:05 h`.
#[must_use]
pub fn duration(ms: i64) -> String {
    match ms {
        ..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        60_000..3_600_000 => format!("{}:{:02}", ms / 60_000, ms / 1_000 % 60),
        _ => {
            let (minutes, seconds) = (ms / 60_000, ms / 1_000 % 60);
            format!("{}:{:02}:{seconds:02} h", minutes / 60, minutes % 60)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_people_say_them() {
        assert_eq!(duration(850), "850 ms");
        assert_eq!(duration(12_480), "12.4 s");
        assert_eq!(duration(222_100), "3:42");
        assert_eq!(duration(3_599_999), "59:59");
        assert_eq!(duration(3_600_000), "1:00:00 h");
        assert_eq!(duration(7_385_900), "2:03:05 h");
    }

    #[test]
    fn a_repeated_caller_is_told_of_in_words() {
        let sentence = |calls, within_sec| {
            Step::Repeat { calls, within_sec, then: RepeatAction::Tag }.sentence()
        };
        assert_eq!(sentence(1, 86_400), "called at least once within 24 h · marked");
        assert_eq!(sentence(3, 86_400), "called at least 3 times within 24 h · marked");
        assert_eq!(sentence(2, 300), "called at least 2 times within 5 min · marked");
        assert_eq!(sentence(2, 90), "called at least 2 times within 90 s · marked");
    }

    #[test]
    fn one_failure_is_no_failures() {
        let down = |failures| Verdict::Down { why: Down::Failing { failures } }.why_not().unwrap();
        assert_eq!(down(1), "down after 1 failure");
        assert_eq!(down(3), "down after 3 failures");
    }

    #[test]
    fn a_routed_step_says_who_was_passed_over_and_why() {
        let candidate = |name: &str, verdict| Candidate {
            destination: DestinationId::new(1),
            name: name.into(),
            priority: 1,
            weight: 70,
            verdict,
            passed_over: Vec::new(),
        };
        let full = Verdict::Full { scope: LimitScope::Destination, live: 10, max: 10 };
        let step = Step::Routed {
            leg: 1,
            name: "slave-b".into(),
            endpoint: "PJSIP/1001@b".into(),
            candidates: vec![candidate("slave-a", full), candidate("slave-b", Verdict::Chosen)],
        };
        assert_eq!(
            step.sentence(),
            "slave-b (priority 1, weight 70) · slave-a skipped: full 10/10"
        );
    }
}

//! The steps of a call as people read them: what happened and why. Data only; the wording for
//! people is in [`Step::sentence`], so that the API, the CLI and the dashboard say the same.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::cause::{CallResult, EndedBy, HangupCause, Outcome};
use super::id::DestinationId;
use super::number::{Caller, Did};
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
    Received {
        did: Did,
        caller: Caller,
        flow: Option<String>,
        is_test: bool,
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
}

/// Why a destination was taken or passed over.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "verdict")]
pub enum Verdict {
    Chosen,
    Disabled,
    /// Weight 0: no new callers.
    Drained,
    /// Eligible, and the wheel stood on another.
    NotItsTurn,
    /// A destination of a lower priority number could take the call.
    LowerPriority,
    Full {
        scope: LimitScope,
        live: u32,
        max: u32,
    },
    Paused,
    /// Already tried for this call.
    Tried,
}

/// What a live-call limit counts.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitScope {
    Destination,
    Server,
    Trunk,
}

/// Why no destination could be chosen: the most specific reason that all of them share.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unroutable {
    AllDisabled,
    AllFull,
    AllPaused,
    AllTried,
    /// The flow was removed while the call was on its way.
    FlowGone,
    Mixed,
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
            Self::Received { .. } => "Received",
            Self::Ringing { .. } => "Ringing",
            Self::Routed { .. } => "Routed",
            Self::Unroutable { .. } => "Unroutable",
        }
    }

    /// The rest of the line: what and why, in plain words.
    #[must_use]
    pub fn sentence(&self) -> String {
        match self {
            Self::Adopted => "divert was restarted and took the call over".to_owned(),
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
            Self::Received { did, caller, flow, is_test } => {
                let flow = flow.as_ref().map_or_else(
                    || "no forwarding flow owns this number".to_owned(),
                    |name| format!("flow {name:?}"),
                );
                let test = if *is_test { " · test" } else { "" };
                format!("{caller} → {did} · {flow}{test}")
            }
            Self::Routed { name, candidates, .. } => {
                let chosen = candidates.iter().find(|c| c.verdict == Verdict::Chosen);
                let mut text = match chosen {
                    Some(c) => format!("{name} (priority {}, weight {})", c.priority, c.weight),
                    None => name.clone(),
                };
                text.push_str(&skipped(candidates));
                text
            }
            Self::Unroutable { reason, candidates } => {
                let reason = match reason {
                    Unroutable::AllDisabled => "every destination is disabled",
                    Unroutable::AllFull => "every destination is full",
                    Unroutable::AllPaused => "every destination is paused",
                    Unroutable::AllTried => "every destination was tried",
                    Unroutable::FlowGone => "the flow was removed",
                    Unroutable::Mixed => "no destination is free",
                };
                format!("{reason}{}", skipped(candidates))
            }
        }
    }
}

/// Those a reader wants to know about: passed over for a reason, not merely not their turn.
fn skipped(candidates: &[Candidate]) -> String {
    let mut text = String::new();
    for candidate in candidates {
        let why = match candidate.verdict {
            Verdict::Chosen | Verdict::LowerPriority | Verdict::NotItsTurn | Verdict::Tried => {
                continue;
            }
            Verdict::Disabled => "disabled".to_owned(),
            Verdict::Drained => "draining".to_owned(),
            Verdict::Full { scope, live, max } => match scope {
                LimitScope::Destination => format!("full {live}/{max}"),
                LimitScope::Server => format!("server full {live}/{max}"),
                LimitScope::Trunk => format!("trunk full {live}/{max}"),
            },
            Verdict::Paused => "paused".to_owned(),
        };
        let _ = write!(text, " · {} skipped: {why}", candidate.name);
    }
    text
}

/// `850 ms`, `12.4 s`, `3:42`.
#[must_use]
pub fn duration(ms: i64) -> String {
    match ms {
        ..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        _ => format!("{}:{:02}", ms / 60_000, ms / 1_000 % 60),
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
    }

    #[test]
    fn a_routed_step_says_who_was_passed_over_and_why() {
        let candidate = |name: &str, verdict| Candidate {
            destination: DestinationId::new(1),
            name: name.into(),
            priority: 1,
            weight: 70,
            verdict,
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

//! What holds calls back and brings callers back, both ways: throttles, stickiness, the rule for
//! repeated callers, and how callers' numbers are written.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::Unnamed;
use super::fields::{Fields, without_nulls};
use super::read::reference;
use crate::model::destination::Destination;
use crate::model::id::DestinationId;
use crate::model::number_plan::NumberPlan;
use crate::model::problem::{Problem, similar};
use crate::model::stickiness::{RepeatAction, RepeatRule, Stickiness, StickyWindow};
use crate::model::throttle::{ArrivalRate, CapCount, RatePeriod, Throttle, VolumeCap};

const CALLER_NUMBERS: [&str; 3] = ["country", "international_prefix", "national_prefix"];
const CAP: [&str; 3] = ["count", "max", "per"];
const RATE: [&str; 3] = ["burst", "calls", "per"];
const REPEAT: [&str; 4] = ["calls", "count", "then", "within_sec"];
const STICKINESS: [&str; 6] =
    ["beats_priority", "on", "rebind", "rolling_sec", "sliding", "window"];

const A_STICKINESS: &str = "type never, same_day, or {rolling_sec: 86400}";
const A_THEN: &str = "type different, reject, tag, or {destination: one of this flow's}";

/// The keys `rate`, `spacing_sec` and `caps` of a flow or a destination.
pub(super) fn read_throttle(fields: &mut Fields<'_, '_>) -> Throttle {
    Throttle {
        rate: read_rate(fields),
        spacing_sec: fields.count("spacing_sec", &(1..=86_400)),
        caps: read_caps(fields),
    }
}

/// Adds the keys of a throttle; what is not set is left out.
pub(super) fn write_throttle(throttle: &Throttle, object: &mut Value) {
    object["rate"] = json!(throttle.rate);
    object["spacing_sec"] = json!(throttle.spacing_sec);
    if !throttle.caps.is_empty() {
        object["caps"] = json!(throttle.caps);
    }
}

fn read_rate(fields: &mut Fields<'_, '_>) -> Option<ArrivalRate> {
    let mut rate = fields.inner("rate", &RATE)?;
    if !rate.has("calls") {
        rate.missing("calls", "type how many calls may begin, as {calls: 5, per: second}");
    }
    if !rate.has("per") {
        rate.missing("per", "type second, minute or hour");
    }
    Some(ArrivalRate {
        calls: rate.count("calls", &(1..=10_000)).unwrap_or(1),
        per: rate.choice("per").unwrap_or(RatePeriod::Second),
        burst: rate.count("burst", &(1..=10_000)).unwrap_or(1),
    })
}

fn read_caps(fields: &mut Fields<'_, '_>) -> Vec<VolumeCap> {
    let mut caps = Vec::new();
    let mut seen = BTreeSet::new();
    for (pointer, item) in fields.list("caps") {
        let Some(mut cap) = Fields::open(item, &pointer, &CAP, fields.problems) else {
            continue;
        };
        if !cap.has("per") {
            cap.missing("per", "type hour, day, month or total");
        }
        if !cap.has("max") {
            cap.missing("max", "type the most there may be in that time");
        }
        let per = cap.choice("per");
        let count = if cap.has("count") { cap.choice("count") } else { Some(CapCount::Attempts) };
        let max = cap.limit("max", 100_000_000, "the cap");
        let (Some(per), Some(count)) = (per, count) else {
            continue;
        };
        if !seen.insert((per, count)) {
            let message = format!("{count} per {per} have a cap already");
            cap.problems.push(Problem::new(pointer, "taken", message, "keep one of them"));
        } else if let Some(max) = max {
            caps.push(VolumeCap { per, count, max });
        }
    }
    caps
}

/// The key `stickiness` of a flow: one word, or a mapping.
pub(super) fn read_stickiness(fields: &mut Fields<'_, '_>) -> Stickiness {
    const KEY: &str = "stickiness";
    let with = |window| Stickiness { window, ..Stickiness::default() };
    match fields.value(KEY) {
        None => return Stickiness::default(),
        Some(Value::String(word)) => match read_window(word) {
            Ok(window) => return with(window),
            Err(hint) => {
                fields.wrong(KEY, "invalid", format!("{word:?} is not a choice here"), hint);
                return Stickiness::default();
            }
        },
        Some(Value::Object(_)) => {}
        Some(other) => {
            let message = format!("{other} does not say how long a caller stays");
            fields.wrong(KEY, "wrong_type", message, A_STICKINESS);
            return Stickiness::default();
        }
    }
    let Some(mut sticky) = fields.inner(KEY, &STICKINESS) else {
        return Stickiness::default();
    };
    let sec = sticky.count("rolling_sec", &(60..=31_536_000));
    let sliding = sticky.switch("sliding").unwrap_or(true);
    let mut window = StickyWindow::Never;
    if sticky.has("rolling_sec") {
        let hint = "keep window: same_day for the calendar's day, rolling_sec for a length of time";
        sticky.refuse("window", "window and rolling_sec exclude each other", hint);
        if let Some(sec) = sec {
            window = StickyWindow::Rolling { sec, sliding };
        }
    } else {
        if !sticky.has("window") {
            sticky.missing("window", A_STICKINESS);
        }
        if let Some(word) = sticky.text("window") {
            match read_window(&word) {
                Ok(read) => window = read,
                Err(hint) => {
                    sticky.wrong(
                        "window",
                        "invalid",
                        format!("{word:?} is not a choice here"),
                        hint,
                    );
                }
            }
        }
        let hint = "leave it out, or type rolling_sec: and a number of seconds";
        sticky.refuse("sliding", "only a rolling window can slide", hint);
    }
    let default = Stickiness::default();
    Stickiness {
        window,
        on: sticky.choice("on").unwrap_or_default(),
        rebind: sticky.switch("rebind").unwrap_or(default.rebind),
        beats_priority: sticky.switch("beats_priority").unwrap_or(default.beats_priority),
    }
}

/// A window that is one word; else what to type.
fn read_window(word: &str) -> Result<StickyWindow, String> {
    match word {
        "never" => Ok(StickyWindow::Never),
        "same_day" => Ok(StickyWindow::SameDay),
        other => Err(match similar(other, ["never", "same_day", "rolling_sec"]) {
            Some("rolling_sec") | None => A_STICKINESS.to_owned(),
            Some(meant) => format!("did you mean {meant}?"),
        }),
    }
}

/// One word where that says it all.
pub(super) fn write_stickiness(stickiness: &Stickiness) -> Value {
    let Stickiness { window, on, rebind, beats_priority } = *stickiness;
    let word = match window {
        StickyWindow::Never => Some("never"),
        StickyWindow::SameDay => Some("same_day"),
        StickyWindow::Rolling { .. } => None,
    };
    let (rolling_sec, sliding) = match window {
        StickyWindow::Rolling { sec, sliding } => (Some(sec), Some(sliding)),
        StickyWindow::Never | StickyWindow::SameDay => (None, None),
    };
    match word {
        Some(word) if *stickiness == (Stickiness { window, ..Stickiness::default() }) => {
            json!(word)
        }
        word => without_nulls(json!({
            "window": word,
            "rolling_sec": rolling_sec,
            "sliding": sliding,
            "on": on,
            "rebind": rebind,
            "beats_priority": beats_priority,
        })),
    }
}

/// The value of `repeat_caller`, once the destinations of the flow are known.
pub(super) fn read_repeat(
    value: &Value,
    pointer: &str,
    destinations: &[Destination],
    unnamed: Unnamed,
    problems: &mut Vec<Problem>,
) -> Option<RepeatRule> {
    let mut rule = Fields::open(value, pointer, &REPEAT, problems)?;
    if !rule.has("calls") {
        rule.missing("calls", "type how many calls before this one make a repeated caller");
    }
    if !rule.has("within_sec") {
        rule.missing("within_sec", "type how far back calls count, in seconds, as 3600");
    }
    let calls = rule.count("calls", &(1..=100));
    let within_sec = rule.count("within_sec", &(1..=2_678_400));
    let count = rule.choice("count").unwrap_or_default();
    let then = read_then(&mut rule, destinations, unnamed);
    Some(RepeatRule { calls: calls?, within_sec: within_sec?, count, then: then? })
}

fn read_then(
    rule: &mut Fields<'_, '_>,
    destinations: &[Destination],
    unnamed: Unnamed,
) -> Option<RepeatAction> {
    const KEY: &str = "then";
    let Some(value) = rule.value(KEY) else {
        rule.missing(KEY, A_THEN);
        return None;
    };
    if value.is_object() {
        let mut then = rule.inner(KEY, &["destination"])?;
        if !then.has("destination") {
            then.missing("destination", "type the name of one of this flow's destinations");
        }
        let roster: Vec<(DestinationId, String)> =
            destinations.iter().map(|one| (one.id, one.name.clone())).collect();
        let kind = "destination of this flow";
        let id = reference(&mut then, "destination", kind, &roster, unnamed)?;
        return Some(RepeatAction::Destination(id));
    }
    let typed = rule.text(KEY)?;
    match typed.as_str() {
        "different" => return Some(RepeatAction::Different),
        "reject" => return Some(RepeatAction::Reject),
        "tag" => return Some(RepeatAction::Tag),
        "skip_screening" => {
            let message = "no destination screens its callers yet, so that nothing can be skipped";
            rule.wrong(KEY, "not_allowed", message, A_THEN);
        }
        other => {
            let hint = match similar(other, ["different", "reject", "tag"]) {
                Some(meant) => format!("did you mean {meant}?"),
                None if destinations.iter().any(|one| one.name == other) => {
                    format!("type {{destination: {other:?}}}")
                }
                None => A_THEN.to_owned(),
            };
            rule.wrong(KEY, "invalid", format!("{other:?} is not a choice here"), hint);
        }
    }
    None
}

/// The rule with its destination by name.
pub(super) fn write_repeat(rule: &RepeatRule, destinations: &[Destination]) -> Value {
    let then = match rule.then {
        RepeatAction::Destination(id) => {
            let name = destinations.iter().find(|one| one.id == id).map(|one| one.name.clone());
            json!({ "destination": name.unwrap_or_else(|| id.to_string()) })
        }
        RepeatAction::Different | RepeatAction::Reject | RepeatAction::Tag => json!(rule.then),
    };
    json!({
        "calls": rule.calls,
        "within_sec": rule.within_sec,
        "count": rule.count,
        "then": then,
    })
}

/// The key `caller_numbers` of a flow.
pub(super) fn read_caller_numbers(fields: &mut Fields<'_, '_>) -> NumberPlan {
    let Some(mut plan) = fields.inner("caller_numbers", &CALLER_NUMBERS) else {
        return NumberPlan::default();
    };
    NumberPlan {
        country: plan.parsed("country", "a country code without +"),
        national_prefix: plan.parsed("national_prefix", "a prefix of digits"),
        international_prefix: plan.parsed("international_prefix", "a prefix of digits"),
    }
}

/// Null when nothing is known.
pub(super) fn write_caller_numbers(plan: &NumberPlan) -> Value {
    if *plan == NumberPlan::default() { Value::Null } else { without_nulls(json!(plan)) }
}

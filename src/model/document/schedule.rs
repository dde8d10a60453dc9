//! Schedules, both ways: `{hours: {mon-fri: "09:00-17:00"}, holidays: ["2026-12-25"]}`.

use std::collections::BTreeMap;

use jiff::civil::Date;
use serde_json::{Map, Value, json};

use super::fields::{Fields, not_a, text};
use crate::model::problem::{Problem, token};
use crate::model::schedule::{Schedule, Span};

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const HOLIDAY: [&str; 2] = ["date", "hours"];
const SCHEDULE: [&str; 2] = ["holidays", "hours"];

const A_DATE: &str = "type a day that exists in quotes, as \"2026-12-25\"";

/// The schedule under `schedule`; `None` when it is left out or cannot be read.
pub(super) fn read_schedule(fields: &mut Fields<'_, '_>) -> Option<Schedule> {
    let mut schedule = fields.inner("schedule", &SCHEDULE)?;
    let faults = schedule.problems.len();
    if !schedule.has("hours") {
        let hint = "type hours: {mon-fri: \"09:00-17:00\"}, or {daily: \"00:00-24:00\"} if it is \
                    open on all days but the holidays";
        schedule.missing("hours", hint);
    }
    let read =
        Schedule { weekly: read_week(&mut schedule), holidays: read_holidays(&mut schedule) };
    if schedule.problems.len() == faults && !read.has_hours() {
        let hint = "give a day hours; what shall take no call for a while is paused instead";
        schedule.wrong("hours", "never_open", "no day has hours, so that it is never open", hint);
    }
    Some(read)
}

/// A value that reads as this schedule, days that follow each other and are alike as one range.
pub(super) fn write_schedule(schedule: &Schedule) -> Value {
    let mut hours = Map::new();
    let mut from = 0;
    for alike in schedule.weekly.chunk_by(|one, next| one == next) {
        let to = from + alike.len() - 1;
        let key = match (from, to) {
            (0, 6) => "daily".to_owned(),
            _ if from == to => DAYS[from].to_owned(),
            _ => format!("{}-{}", DAYS[from], DAYS[to]),
        };
        if !alike[0].is_empty() {
            hours.insert(key, write_spans(&alike[0]));
        }
        from = to + 1;
    }
    let holidays = schedule.holidays.iter().map(|(date, spans)| match &spans[..] {
        [] => json!(date),
        spans => json!({ "date": date, "hours": write_spans(spans) }),
    });
    let holidays: Vec<Value> = holidays.collect();
    if holidays.is_empty() {
        json!({ "hours": hours })
    } else {
        json!({ "hours": hours, "holidays": holidays })
    }
}

fn write_spans(spans: &[Span]) -> Value {
    match spans {
        [span] => json!(span),
        spans => json!(spans),
    }
}

fn read_week(fields: &mut Fields<'_, '_>) -> [Vec<Span>; 7] {
    let mut weekly: [Vec<Span>; 7] = Default::default();
    let at = fields.at("hours");
    let days = match fields.value("hours") {
        None => return weekly,
        Some(Value::Object(days)) => days,
        Some(other) => {
            let hint = "type the hours of each day, as {mon-fri: \"09:00-17:00\"}";
            fields.wrong("hours", "wrong_type", not_a(other, "a mapping"), hint);
            return weekly;
        }
    };
    let mut said: [Option<&str>; 7] = [None; 7];
    for (key, value) in days {
        let pointer = format!("{at}/{}", token(key));
        let Some(range) = days_of(key) else {
            let message = format!("{key:?} is not a day, nor a range of days");
            fields.problems.push(Problem::new(pointer, "unknown_key", message, meant_by(key)));
            continue;
        };
        let spans = read_spans(value, &pointer, fields.problems);
        let twice: Vec<&str> =
            range.iter().filter(|day| said[**day].is_some()).map(|day| DAYS[*day]).collect();
        if let Some(first) = range.iter().find_map(|day| said[*day]) {
            let message = format!("{} stands under {first} as well", twice.join(", "));
            let hint = "give each day its hours once, several of them as a list";
            fields.problems.push(Problem::new(pointer, "taken", message, hint));
        }
        for day in range {
            said[day] = said[day].or(Some(key));
            weekly[day].clone_from(&spans);
        }
    }
    weekly
}

/// Which days a key means, Monday being 0. A range may run over the weekend.
fn days_of(key: &str) -> Option<Vec<usize>> {
    let day = |name: &str| DAYS.iter().position(|known| *known == name);
    match key.split_once('-') {
        None if key == "daily" => Some((0..7).collect()),
        None => Some(vec![day(key)?]),
        Some((from, to)) => {
            let (from, to) = (day(from)?, day(to)?);
            let further = (to + 7 - from) % 7;
            (further > 0).then(|| (0..=further).map(|days| (from + days) % 7).collect())
        }
    }
}

/// What to type for a key such as `Monday` or `Mon - Fri`.
fn meant_by(key: &str) -> String {
    let short = |part: &str| part.trim().chars().take(3).collect::<String>().to_lowercase();
    let short = key.split('-').map(short).collect::<Vec<_>>().join("-");
    match days_of(&short) {
        Some(_) => format!("did you mean {short}?"),
        None => format!("type {}, a range as mon-fri, or daily", DAYS.join(", ")),
    }
}

/// The hours of one day, in their order: one text, or a list of them. Those that cannot be read
/// are left out.
fn read_spans(value: &Value, pointer: &str, problems: &mut Vec<Problem>) -> Vec<Span> {
    let items: Vec<(String, &Value)> = match value {
        Value::Null => Vec::new(),
        Value::Array(items) => {
            items.iter().enumerate().map(|(i, item)| (format!("{pointer}/{i}"), item)).collect()
        }
        other => vec![(pointer.to_owned(), other)],
    };
    let mut spans: Vec<Span> = Vec::with_capacity(items.len());
    for (pointer, item) in items {
        let read = text(item, &pointer).and_then(|typed| {
            typed.parse::<Span>().map_err(|hint| {
                let message = format!("{typed:?} is not a time from one hour to another");
                Problem::new(pointer.clone(), "invalid", message, hint)
            })
        });
        match read {
            Err(problem) => problems.push(problem),
            Ok(span) => {
                if let Some(other) = spans.iter().find(|other| span.overlaps(**other)) {
                    let message = format!("{span} and {other} overlap");
                    let hint = "join them, or let one end where the other begins";
                    problems.push(Problem::new(pointer, "overlap", message, hint));
                }
                spans.push(span);
            }
        }
    }
    spans.sort();
    spans
}

fn read_holidays(fields: &mut Fields<'_, '_>) -> BTreeMap<Date, Vec<Span>> {
    let mut holidays: BTreeMap<Date, Vec<Span>> = BTreeMap::new();
    for (pointer, item) in fields.list("holidays") {
        let (date, spans) = if item.is_object() {
            let Some(mut holiday) = Fields::open(item, &pointer, &HOLIDAY, fields.problems) else {
                continue;
            };
            if !holiday.has("date") {
                holiday.missing("date", A_DATE);
            }
            let (date, at) = (holiday.value("date"), holiday.at("hours"));
            let hours = holiday.value("hours").unwrap_or(&Value::Null);
            let date = date.and_then(|date| {
                read_date(date, &holiday.at("date"))
                    .map_err(|problem| holiday.problems.push(problem))
                    .ok()
            });
            (date, read_spans(hours, &at, holiday.problems))
        } else {
            let date = read_date(item, &pointer);
            (date.map_err(|problem| fields.problems.push(problem)).ok(), Vec::new())
        };
        if let Some(date) = date
            && holidays.insert(date, spans).is_some()
        {
            let message = format!("{date} is listed twice");
            fields.problems.push(Problem::new(pointer, "taken", message, "leave one of them out"));
        }
    }
    holidays
}

fn read_date(value: &Value, pointer: &str) -> Result<Date, Problem> {
    let typed = text(value, pointer)?;
    // Only the one spelling that is written back: the parser knows many.
    let date = typed.parse::<Date>().ok().filter(|date| date.to_string() == typed);
    date.ok_or_else(|| {
        let message = format!("{typed:?} is not a date of the calendar");
        Problem::new(pointer, "invalid", message, A_DATE)
    })
}

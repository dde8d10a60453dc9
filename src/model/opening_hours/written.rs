//! Opening hours as they are written: `{hours: {mon-fri: "09:00-17:00"}, holidays: ["2026-12-25"]}`.

use std::collections::BTreeMap;

use jiff::civil::Date;
use serde_json::{Map, Value, json};

use super::{Hours, OpeningHours, Span};
use crate::model::id::ScheduleId;
use crate::model::object::{Field, Fields, Names, Reader, Record, Ref, Shape, not_a, schema_of};
use crate::model::problem::token;

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const HOLIDAY: [&str; 2] = ["date", "hours"];
const KEYS: [&str; 2] = ["holidays", "hours"];
const DAY: &str = "^(daily|(mon|tue|wed|thu|fri|sat|sun)(-(mon|tue|wed|thu|fri|sat|sun))?)$";
const SPAN: &str = "^ *[0-2]?[0-9]:[0-5][0-9] *- *[0-2]?[0-9]:[0-5][0-9] *$";

const A_DATE: &str = "type a day that exists in quotes, as \"2026-12-25\"";

/// The keys `hours` and `holidays`, wherever they stand.
impl Record for OpeningHours {
    fn fields() -> Vec<Field> {
        vec![
            Field::required(
                "hours",
                "By day (`mon`), range of days (`mon-fri`) or `daily`: one span of hours or a list \
                 of them. A span that ends no later than it begins runs over midnight.",
                || {
                    json!({
                        "type": "object", "minProperties": 1, "propertyNames": { "pattern": DAY },
                        "additionalProperties": spans_schema(),
                    })
                },
            ),
            Field::optional(
                "holidays",
                "Days that are closed, or objects of `date` and the `hours` of that day.",
                || {
                    let date = json!({ "type": "string", "format": "date" });
                    json!({ "type": "array", "items": { "oneOf": [date, {
                        "type": "object", "additionalProperties": false, "required": ["date"],
                        "properties": { "date": date, "hours": spans_schema() },
                    }] } })
                },
            ),
        ]
    }

    fn read_from(fields: &mut Fields<'_, '_, '_>) -> Option<Self> {
        let faults = fields.reader.problems.len();
        if !fields.has("hours") {
            let hint = "type hours: {mon-fri: \"09:00-17:00\"}, or {daily: \"00:00-24:00\"} if it \
                        is open on all days but the holidays";
            fields.missing("hours", hint);
        }
        let read = Self { weekly: read_week(fields), holidays: read_holidays(fields) };
        if fields.reader.problems.len() > faults {
            return None;
        }
        if !read.has_hours() {
            let hint = "give a day hours; what shall take no call for a while is paused instead";
            fields.wrong("hours", "never_open", "no day has hours, so that it is never open", hint);
            return None;
        }
        Some(read)
    }

    /// Days that follow each other and are alike as one range.
    fn write_to(&self, object: &mut Map<String, Value>, _: &dyn Names) {
        let mut hours = Map::new();
        let mut from = 0;
        for alike in self.weekly.chunk_by(|one, next| one == next) {
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
        object.insert("hours".to_owned(), Value::Object(hours));
        let holidays = self.holidays.iter().map(|(date, spans)| match &spans[..] {
            [] => json!(date),
            spans => json!({ "date": date, "hours": write_spans(spans) }),
        });
        let holidays: Vec<Value> = holidays.collect();
        if !holidays.is_empty() {
            object.insert("holidays".to_owned(), Value::Array(holidays));
        }
    }
}

fn spans_schema() -> Value {
    let span = json!({ "type": "string", "pattern": SPAN });
    json!({ "oneOf": [span, { "type": "array", "items": span }, { "type": "null" }] })
}

/// A mapping of hours, or the name of a schedule.
impl Shape for Hours {
    type Value = Self;

    fn read(value: &Value, pointer: &str, reader: &mut Reader<'_>) -> Option<Self> {
        let is_span = value.as_str().is_some_and(|text| text.parse::<Span>().is_ok());
        if value.is_string() && !is_span {
            return Ref::<ScheduleId>::read(value, pointer, reader).map(Self::Schedule);
        }
        let mut fields = Fields::open(value, pointer, &KEYS, reader)?;
        OpeningHours::read_from(&mut fields).map(Self::Own)
    }

    fn write(value: &Self, names: &dyn Names) -> Value {
        match value {
            Self::Own(hours) => hours.write_whole(names),
            Self::Schedule(id) => Ref::write(id, names),
        }
    }

    fn schema() -> Value {
        let own = schema_of(&OpeningHours::fields(), "");
        json!({ "oneOf": [own, { "type": "string" }] })
    }
}

fn write_spans(spans: &[Span]) -> Value {
    match spans {
        [span] => json!(span),
        spans => json!(spans),
    }
}

fn read_week(fields: &mut Fields<'_, '_, '_>) -> [Vec<Span>; 7] {
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
            fields.reader.fault(pointer, "unknown_key", message, meant_by(key));
            continue;
        };
        let spans = read_spans(value, &pointer, fields.reader);
        let twice: Vec<&str> =
            range.iter().filter(|day| said[**day].is_some()).map(|day| DAYS[*day]).collect();
        if let Some(first) = range.iter().find_map(|day| said[*day]) {
            let message = format!("{} stands under {first} as well", twice.join(", "));
            let hint = "give each day its hours once, several of them as a list";
            fields.reader.fault(pointer, "taken", message, hint);
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
fn read_spans(value: &Value, pointer: &str, reader: &mut Reader<'_>) -> Vec<Span> {
    let items: Vec<(String, &Value)> = match value {
        Value::Null => Vec::new(),
        Value::Array(items) => {
            items.iter().enumerate().map(|(i, item)| (format!("{pointer}/{i}"), item)).collect()
        }
        other => vec![(pointer.to_owned(), other)],
    };
    let mut spans: Vec<Span> = Vec::with_capacity(items.len());
    for (pointer, item) in items {
        let Some(typed) = reader.text(item, &pointer) else {
            continue;
        };
        let span = match typed.parse::<Span>() {
            Ok(span) => span,
            Err(hint) => {
                let message = format!("{typed:?} is not a time from one hour to another");
                reader.fault(pointer, "invalid", message, hint);
                continue;
            }
        };
        if let Some(other) = spans.iter().find(|other| span.overlaps(**other)) {
            let message = format!("{span} and {other} overlap");
            let hint = "join them, or let one end where the other begins";
            reader.fault(pointer, "overlap", message, hint);
        }
        spans.push(span);
    }
    spans.sort();
    spans
}

fn read_holidays(fields: &mut Fields<'_, '_, '_>) -> BTreeMap<Date, Vec<Span>> {
    let mut holidays: BTreeMap<Date, Vec<Span>> = BTreeMap::new();
    let at = fields.at("holidays");
    let Some(items) = fields.value("holidays") else {
        return holidays;
    };
    for (pointer, item) in fields.reader.items(items, &at).unwrap_or_default() {
        let (date, spans) = if item.is_object() {
            let Some(mut holiday) = Fields::open(item, &pointer, &HOLIDAY, fields.reader) else {
                continue;
            };
            if !holiday.has("date") {
                holiday.missing("date", A_DATE);
            }
            let hours = holiday.value("hours").unwrap_or(&Value::Null);
            let (date, at) = (holiday.value("date"), holiday.at("date"));
            let date = date.and_then(|date| read_date(date, &at, holiday.reader));
            (date, read_spans(hours, &holiday.at("hours"), holiday.reader))
        } else {
            (read_date(item, &pointer, fields.reader), Vec::new())
        };
        if let Some(date) = date
            && holidays.insert(date, spans).is_some()
        {
            let message = format!("{date} is listed twice");
            fields.reader.fault(pointer, "taken", message, "leave one of them out");
        }
    }
    holidays
}

fn read_date(value: &Value, pointer: &str, reader: &mut Reader<'_>) -> Option<Date> {
    let typed = reader.text(value, pointer)?;
    // Only the one spelling that is written back: the parser knows many.
    let date = typed.parse::<Date>().ok().filter(|date| date.to_string() == typed);
    if date.is_none() {
        let message = format!("{typed:?} is not a date of the calendar");
        reader.fault(pointer, "invalid", message, A_DATE);
    }
    date
}

//! Whether something is open now, and when that changes, told beside its schedule.

use std::str::FromStr;

use serde_json::Value;

use super::client::Client;
use super::find;
use crate::clock;
use crate::model::configuration::Configuration;
use crate::model::object::{Fields, Reader, Record as _, Source, Unnamed};
use crate::model::opening_hours::OpeningHours;
use crate::model::time::{Timestamp, Zone};

/// The zone of those that name none.
///
/// # Errors
/// See [`Client`].
pub async fn account_zone(client: &Client) -> anyhow::Result<Zone> {
    let account: Value = client.get("/v1/account", &[]).await?;
    Ok(zone(&account["time_zone"]).unwrap_or(Zone::UTC))
}

fn zone(value: &Value) -> Option<Zone> {
    Zone::from_str(value.as_str()?).ok()
}

/// For what has opening hours or names a schedule: how that stands, by the name of the field.
///
/// # Errors
/// See [`Client`].
pub async fn notes(client: &Client, object: &Value) -> anyhow::Result<Vec<(&'static str, String)>> {
    let schedule = &object["schedule"];
    let (field, hours) = match (schedule, &object["hours"]) {
        (Value::String(name), _) => {
            let all = find::list(client, "/v1/schedules", &[]).await?;
            let named = |one: &&Value| one["name"] == **name || one["id"] == **name;
            ("schedule", all.iter().find(named).cloned().unwrap_or_default())
        }
        (Value::Object(_), _) => ("schedule", schedule.clone()),
        (_, Value::Object(_)) => ("now", object.clone()),
        _ => return Ok(Vec::new()),
    };
    let zone = match zone(&object["time_zone"]) {
        Some(zone) => zone,
        None => account_zone(client).await?,
    };
    let hours = read(&hours);
    let note = hours.map(|hours| now_and_then(&hours, &zone, clock::now()));
    Ok(note.map(|note| (field, note)).into_iter().collect())
}

/// `open until Fri 2026-11-27 18:00`.
#[must_use]
pub fn now(hours: &Value, zone: &Zone) -> Option<String> {
    Some(stands(&read(hours)?, zone, clock::now()).0)
}

fn read(hours: &Value) -> Option<OpeningHours> {
    let nothing = Configuration::default();
    let mut mint = || 0;
    let mut reader = Reader::new(&nothing, Unnamed::Keep, &mut mint);
    // A name stands beside them, and a newer server may say more.
    reader.source = Source::Row;
    let mut fields = Fields::open(hours, "", &OpeningHours::keys(), &mut reader)?;
    OpeningHours::read_from(&mut fields)
}

/// How it stands at a moment, and when that changes.
fn stands(hours: &OpeningHours, zone: &Zone, at: Timestamp) -> (String, Option<Timestamp>) {
    let shown = |at: Timestamp| zone.local(at).strftime("%a %F %H:%M").to_string();
    let (is_open, _) = hours.state(zone, at);
    let until = hours.next_change(zone, at);
    let text = match (is_open, until) {
        (true, Some(until)) => format!("open until {}", shown(until)),
        (true, None) => "open, always".to_owned(),
        (false, Some(until)) => format!("closed until {}", shown(until)),
        (false, None) => "closed for more than a year".to_owned(),
    };
    (text, until)
}

/// How it stands, and how after the next change: the next opening and the next closing.
fn now_and_then(hours: &OpeningHours, zone: &Zone, at: Timestamp) -> String {
    let (now, until) = stands(hours, zone, at);
    match until {
        Some(until) => format!("{now}, then {}", stands(hours, zone, until).0),
        None => now,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn it_is_told_when_something_opens_or_closes_in_its_zone() {
        let zone: Zone = "America/Chicago".parse().unwrap();
        let told = |hours: Value, now: &str| {
            let now = now.parse::<jiff::Timestamp>().unwrap();
            read(&hours).map(|hours| now_and_then(&hours, &zone, Timestamp(now.as_millisecond())))
        };
        let office = json!({ "name": "office", "hours": { "mon-fri": "09:00-17:00" } });
        let open = told(office.clone(), "2026-11-27T16:00:00Z").unwrap();
        assert_eq!(open, "open until Fri 2026-11-27 17:00, then closed until Mon 2026-11-30 09:00");
        let closed = told(office, "2026-11-27T23:00:00Z").unwrap();
        assert_eq!(
            closed,
            "closed until Mon 2026-11-30 09:00, then open until Mon 2026-11-30 17:00"
        );
        // Days that follow each other without a gap are one opening.
        let night = json!({ "hours": { "mon": "09:00-24:00", "tue": "00:00-10:00" } });
        let open = told(night, "2026-11-30T20:00:00Z").unwrap();
        assert_eq!(open, "open until Tue 2026-12-01 10:00, then closed until Mon 2026-12-07 09:00");
        let daily = json!({ "hours": { "daily": "00:00-24:00" } });
        assert_eq!(told(daily, "2026-11-30T20:00:00Z").unwrap(), "open, always");
        assert_eq!(told(json!({ "hours": 5 }), "2026-11-30T20:00:00Z"), None);
    }
}

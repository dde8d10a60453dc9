//! Schedules: opening hours with a name, for all that is open at the same times.

use serde_json::{Value, json};

use super::Rules;
use crate::model::id::ScheduleId;
use crate::model::object::{Flat, object};
use crate::model::opening_hours::OpeningHours;

object! {
    /// Opening hours with a name: flows and destinations that are open at the same times name one
    /// schedule, each in its own time zone.
    pub struct Schedule(ScheduleId) {
        opening: Flat<OpeningHours>,
    }
}

impl Rules for Schedule {
    fn example() -> Value {
        json!({
            "name": "office",
            "hours": { "mon-fri": "08:00-18:00", "sat": ["09:00-12:00", "13:00-16:00"] },
            "holidays": [{ "date": "2026-12-24", "hours": "08:00-12:00" }, "2026-12-25"],
        })
    }
}

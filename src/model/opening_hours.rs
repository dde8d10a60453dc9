//! When something is open: hours of a week, and days that are different.
//!
//! Times are those of a clock on the wall in some zone, which is said elsewhere; nothing here knows
//! of zones but [`OpeningHours::state`].

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use jiff::civil::{Date, DateTime};
use serde::{Deserialize, Serialize};

use super::id::ScheduleId;
use super::time::{Timestamp, Zone};

mod written;

/// Open in the hours of its weekday, unless the day is listed among the holidays.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct OpeningHours {
    /// Monday first. A day without hours is closed.
    pub weekly: [Vec<Span>; 7],
    /// Days with hours of their own; none at all is closed.
    pub holidays: BTreeMap<Date, Vec<Span>>,
}

/// Hours of one day, from the first minute to before the last: `09:00-17:00`. One that ends no later
/// than it begins runs over midnight and belongs to the day it begins on.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span {
    /// Minutes since midnight, 0 to 1439.
    from: u16,
    /// 1 to 1440.
    to: u16,
}

/// When something is open that has hours of its own, or those of a schedule with a name.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Hours {
    Own(OpeningHours),
    Schedule(ScheduleId),
}

impl Hours {
    /// The schedule that is named.
    #[must_use]
    pub fn schedule(&self) -> Option<ScheduleId> {
        match self {
            Self::Own(_) => None,
            Self::Schedule(id) => Some(*id),
        }
    }

    /// Those that stand where they are used.
    #[must_use]
    pub fn own(&self) -> Option<&OpeningHours> {
        match self {
            Self::Own(hours) => Some(hours),
            Self::Schedule(_) => None,
        }
    }
}

impl From<OpeningHours> for Hours {
    fn from(hours: OpeningHours) -> Self {
        Self::Own(hours)
    }
}

impl Span {
    const DAY: u16 = 24 * 60;

    fn runs_over_midnight(self) -> bool {
        self.to <= self.from
    }

    /// Whether two of the same day have a minute of that day in common.
    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        let end = |span: Self| if span.runs_over_midnight() { Self::DAY } else { span.to };
        self.from < end(other) && other.from < end(self)
    }
}

impl OpeningHours {
    /// Whether it has any hours at all.
    #[must_use]
    pub fn has_hours(&self) -> bool {
        self.weekly.iter().chain(self.holidays.values()).any(|spans| !spans.is_empty())
    }

    /// Hours that end one minute before others of the day begin, or before the day ends, each with
    /// what would leave out no minute.
    #[must_use]
    pub fn short_by_a_minute(&self) -> BTreeMap<Span, Span> {
        let days = self.weekly.iter().chain(self.holidays.values());
        let short = |spans: &[Span]| -> Vec<(Span, Span)> {
            let begins = |minute: u16| spans.iter().any(|span| span.from == minute);
            let is_short = |span: &Span| {
                let next = span.to + 1;
                !begins(span.to) && (next == Span::DAY || begins(next))
            };
            let short = spans.iter().copied().filter(is_short);
            short.map(|span| (span, Span { to: span.to + 1, ..span })).collect()
        };
        days.flat_map(|spans| short(spans)).collect()
    }

    /// Whether it is open when a clock on the wall shows this.
    #[must_use]
    pub fn is_open(&self, at: DateTime) -> bool {
        let minute = u16::try_from(i32::from(at.hour()) * 60 + i32::from(at.minute()));
        let minute = minute.unwrap_or_default();
        let today = self
            .spans(at.date())
            .iter()
            .any(|span| minute >= span.from && (span.runs_over_midnight() || minute < span.to));
        let since_yesterday = || {
            let yesterday = at.date().yesterday().map(|day| self.spans(day)).unwrap_or_default();
            yesterday.iter().any(|span| span.runs_over_midnight() && minute < span.to)
        };
        today || since_yesterday()
    }

    /// The hours that begin on this day.
    #[must_use]
    pub fn spans(&self, day: Date) -> &[Span] {
        match self.holidays.get(&day) {
            Some(spans) => spans,
            None => &self.weekly[usize::from(day.weekday().to_monday_zero_offset().unsigned_abs())],
        }
    }

    /// Whether it is open at `at`, and until when that certainly holds: the next minute at which a
    /// span begins or ends, or the next local midnight.
    #[must_use]
    pub fn state(&self, zone: &Zone, at: Timestamp) -> (bool, Timestamp) {
        let local = zone.local(at);
        let is_open = self.is_open(local);
        let minute = i64::from(local.hour()) * 60 + i64::from(local.minute());
        let into_minute_ms = i64::from(local.second()) * 1_000 + i64::from(local.millisecond());
        let today = self.spans(local.date()).iter();
        let yesterday = local.date().yesterday().map(|day| self.spans(day)).unwrap_or_default();
        let edge = today
            .flat_map(|span| [span.from, span.to])
            .chain(yesterday.iter().map(|span| span.to))
            .map(i64::from)
            .filter(|edge| *edge > minute)
            .min()
            .unwrap_or(i64::from(Span::DAY));
        let by_clock = at.plus_ms((edge - minute) * 60_000 - into_minute_ms);
        // A change of the clock in between makes the edge come sooner or later than counted.
        let change = zone.next_transition(at).unwrap_or(by_clock);
        (is_open, by_clock.min(change))
    }
}

/// Looks ahead by so many edges of hours and days: more than a year.
const FAR: usize = 4_000;

impl OpeningHours {
    /// When it opens next, if it is closed at `at`; `None` if it does not for more than a year.
    #[must_use]
    pub fn next_opening(&self, zone: &Zone, at: Timestamp) -> Option<Timestamp> {
        self.next(zone, at, true)
    }

    /// When it opens next if it is closed at `at`, or closes if it is open; `None` if it does not for
    /// more than a year.
    #[must_use]
    pub fn next_change(&self, zone: &Zone, at: Timestamp) -> Option<Timestamp> {
        let (is_open, _) = self.state(zone, at);
        self.next(zone, at, !is_open)
    }

    /// The first moment from `at` on when it is open, or closed.
    fn next(&self, zone: &Zone, at: Timestamp, open: bool) -> Option<Timestamp> {
        let mut at = at;
        for _ in 0..FAR {
            let (is_open, until) = self.state(zone, at);
            if is_open == open {
                return Some(at);
            }
            at = until;
        }
        None
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, to } = self;
        write!(f, "{:02}:{:02}-{:02}:{:02}", from / 60, from % 60, to / 60, to % 60)
    }
}

impl FromStr for Span {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const HINT: &str = "type hours as \"09:00-17:00\", to 24:00 at the latest";
        let minutes = |text: &str| {
            let (hours, minutes) = text.trim().split_once(':')?;
            let digits = |text: &str| text.bytes().all(|c| c.is_ascii_digit());
            if hours.len() > 2 || minutes.len() != 2 || !digits(hours) || !digits(minutes) {
                return None;
            }
            let (hours, minutes): (u16, u16) = (hours.parse().ok()?, minutes.parse().ok()?);
            (minutes < 60 && hours * 60 + minutes <= Self::DAY).then_some(hours * 60 + minutes)
        };
        let (from, to) = text.split_once('-').ok_or(HINT)?;
        let (from, to) = minutes(from).zip(minutes(to)).ok_or(HINT)?;
        if from == Self::DAY || from == to {
            return Err("hours that end when they begin are none; a whole day is \"00:00-24:00\"");
        }
        // Midnight as an end is that of the same day.
        Ok(Self { from, to: if to == 0 { Self::DAY } else { to } })
    }
}

impl TryFrom<String> for Span {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Span> for String {
    fn from(span: Span) -> Self {
        span.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn spans(texts: &[&str]) -> Vec<Span> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn open_at(schedule: &OpeningHours, local: &str) -> bool {
        schedule.is_open(local.parse().unwrap())
    }

    fn at(instant: &str) -> Timestamp {
        Timestamp(instant.parse::<jiff::Timestamp>().unwrap().as_millisecond())
    }

    #[test]
    fn it_says_when_it_opens_next() {
        let zone: Zone = "America/Chicago".parse().unwrap();
        let at = |text: &str| Timestamp(text.parse::<jiff::Timestamp>().unwrap().as_millisecond());
        let mut schedule = OpeningHours::default();
        assert_eq!(schedule.next_opening(&zone, at("2026-11-20T12:00:00Z")), None);
        for day in 0..5 {
            schedule.weekly[day] =
                vec!["09:00-12:00".parse().unwrap(), "13:00-17:00".parse().unwrap()];
        }
        // The holiday is a Monday.
        schedule.holidays.insert(jiff::civil::date(2026, 11, 23), Vec::new());
        for (now, opens) in [
            ("2026-11-20T14:59:59.999Z", "2026-11-20T15:00:00.000Z"),
            ("2026-11-20T15:00:00Z", "2026-11-20T15:00:00.000Z"),
            ("2026-11-20T18:00:00Z", "2026-11-20T19:00:00.000Z"),
            ("2026-11-20T23:00:00Z", "2026-11-24T15:00:00.000Z"),
        ] {
            assert_eq!(schedule.next_opening(&zone, at(now)).unwrap().rfc3339(), opens, "{now}");
        }
    }

    #[test]
    fn hours_are_read_as_people_type_them() {
        for (typed, shown) in [
            ("09:00-17:00", "09:00-17:00"),
            ("9:00 - 17:00", "09:00-17:00"),
            ("00:00-24:00", "00:00-24:00"),
            ("22:00-02:00", "22:00-02:00"),
            ("22:00-00:00", "22:00-24:00"),
        ] {
            let span: Span = typed.parse().unwrap();
            assert_eq!((span.to_string(), String::from(span)), (shown.into(), shown.into()));
        }
        for bad in [
            "",
            "9-17",
            "09:00",
            "25:00-26:00",
            "09:60-11:00",
            "24:00-25:00",
            "24:00-09:00",
            "24:01-09:00",
            "09:00-24:01",
            "10:00-10:00",
            "00:00-00:00",
            "09:00-17:00-18:00",
            "9:5-10:00",
            "+9:00-10:00",
            "09:00:00-10:00:00",
            "009:00-10:00",
            "９:00-10:00",
        ] {
            assert!(bad.parse::<Span>().is_err(), "{bad}");
        }
    }

    #[test]
    fn hours_of_one_day_overlap_or_not() {
        for (one, other, wanted) in [
            ("09:00-12:00", "12:00-17:00", false),
            ("09:00-12:01", "12:00-17:00", true),
            ("09:00-17:00", "10:00-11:00", true),
            ("22:00-02:00", "00:00-01:00", false),
            ("22:00-02:00", "23:59-24:00", true),
            ("22:00-02:00", "23:00-01:00", true),
        ] {
            let (one, other): (Span, Span) = (one.parse().unwrap(), other.parse().unwrap());
            assert_eq!((one.overlaps(other), other.overlaps(one)), (wanted, wanted));
        }
    }

    #[test]
    fn hours_that_leave_out_one_minute_are_told() {
        for (typed, short) in [
            (&["00:00-23:59"][..], &["00:00-24:00"][..]),
            (&["18:00-23:59"], &["18:00-24:00"]),
            (&["09:00-12:59", "13:00-17:00"], &["09:00-13:00"]),
            (&["06:00-21:59", "22:00-05:59"], &["06:00-22:00", "22:00-06:00"]),
            (&["00:00-24:00"], &[]),
            (&["00:00-23:58"], &[]),
            (&["09:00-12:00", "12:00-17:00"], &[]),
            (&["09:00-12:58", "13:00-17:00"], &[]),
            (&["12:00-23:59", "23:59-24:00"], &[]),
        ] {
            let mut weekly = OpeningHours::default();
            weekly.weekly[6] = spans(typed);
            let mut holiday = OpeningHours::default();
            holiday.holidays.insert("2026-12-24".parse().unwrap(), spans(typed));
            for schedule in [weekly, holiday] {
                let told: Vec<Span> = schedule.short_by_a_minute().into_values().collect();
                assert_eq!(told, spans(short), "{typed:?}");
            }
        }
    }

    #[test]
    fn a_weekday_is_open_from_the_first_minute_to_before_the_last() {
        let mut schedule = OpeningHours::default();
        assert!(!schedule.has_hours());
        schedule.weekly[0] = spans(&["09:00-12:00", "13:00-24:00"]);
        assert!(schedule.has_hours());
        // 2026-11-23 is a Monday.
        for (time, wanted) in [
            ("08:59:59.999", false),
            ("09:00:00", true),
            ("11:59:59.999", true),
            ("12:00:00", false),
            ("13:00:00", true),
            ("23:59:59.999", true),
        ] {
            assert_eq!(open_at(&schedule, &format!("2026-11-23T{time}")), wanted, "{time}");
        }
        assert!(!open_at(&schedule, "2026-11-24T00:00:00"));
        assert!(!open_at(&schedule, "2026-11-22T10:00:00"));
    }

    #[test]
    fn hours_over_midnight_belong_to_the_day_they_begin_on() {
        let mut schedule = OpeningHours::default();
        schedule.weekly[4] = spans(&["22:00-02:00"]);
        // 2026-11-27 is a Friday.
        for (local, wanted) in [
            ("2026-11-27T01:00:00", false),
            ("2026-11-27T21:59:00", false),
            ("2026-11-27T22:00:00", true),
            ("2026-11-28T00:00:00", true),
            ("2026-11-28T01:59:59", true),
            ("2026-11-28T02:00:00", false),
            ("2026-11-28T22:00:00", false),
        ] {
            assert_eq!(open_at(&schedule, local), wanted, "{local}");
        }
        // Over the end of the week, which begins on Monday, and over that of the year.
        schedule.weekly[6] = spans(&["23:00-01:00"]);
        assert!(open_at(&schedule, "2026-11-30T00:30:00"));
        schedule.weekly[3] = spans(&["23:00-01:00"]);
        assert!(open_at(&schedule, "2027-01-01T00:30:00"));
    }

    #[test]
    fn a_holiday_replaces_the_hours_of_its_weekday() {
        let mut schedule = OpeningHours { weekly: Default::default(), holidays: BTreeMap::new() };
        schedule.weekly.fill(spans(&["09:00-17:00", "22:00-02:00"]));
        let holidays = [("2026-12-24", spans(&["10:00-12:00"])), ("2026-12-26", vec![])];
        for (day, hours) in holidays {
            schedule.holidays.insert(day.parse().unwrap(), hours);
        }
        for (local, wanted) in [
            // The night before runs into the holiday, even into a closed one.
            ("2026-12-24T01:59:00", true),
            ("2026-12-24T02:00:00", false),
            ("2026-12-24T09:30:00", false),
            ("2026-12-24T11:59:00", true),
            ("2026-12-24T12:00:00", false),
            ("2026-12-24T23:00:00", false),
            // The night of the holiday is not an ordinary one.
            ("2026-12-25T00:00:00", false),
            ("2026-12-25T09:00:00", true),
            ("2026-12-26T01:59:00", true),
            ("2026-12-26T10:00:00", false),
            ("2026-12-27T01:00:00", false),
            ("2026-12-27T09:00:00", true),
            ("2027-12-24T09:30:00", true),
        ] {
            assert_eq!(open_at(&schedule, local), wanted, "{local}");
        }
    }

    #[test]
    fn a_state_holds_until_the_next_edge_of_the_clock_there() {
        let berlin: Zone = "Europe/Berlin".parse().unwrap();
        let mut schedule = OpeningHours::default();
        schedule.weekly.fill(spans(&["01:30-04:00", "22:00-23:00"]));
        for (instant, is_open, until) in [
            // 13:00 there; closed until 22:00.
            ("2026-11-21T12:00:00.250Z", false, "2026-11-21T21:00:00Z"),
            ("2026-11-21T21:00:00Z", true, "2026-11-21T22:00:00Z"),
            ("2026-11-21T21:59:59.999Z", true, "2026-11-21T22:00:00Z"),
            // Nothing more today: midnight.
            ("2026-11-21T22:00:00Z", false, "2026-11-21T23:00:00Z"),
            // Clocks go from 02:00 to 03:00: open at 01:45, looked at again at the change.
            ("2026-03-29T00:45:00Z", true, "2026-03-29T01:00:00Z"),
            ("2026-03-29T01:00:00Z", true, "2026-03-29T02:00:00Z"),
            // Clocks go from 03:00 back to 02:00; before and after it is half past two.
            ("2026-10-25T00:30:00Z", true, "2026-10-25T01:00:00Z"),
            ("2026-10-25T01:30:00Z", true, "2026-10-25T03:00:00Z"),
        ] {
            assert_eq!(schedule.state(&berlin, at(instant)), (is_open, at(until)), "{instant}");
        }
        // 01:30 comes twice in Chicago: what opens then opens twice.
        let chicago: Zone = "America/Chicago".parse().unwrap();
        schedule.weekly.fill(spans(&["01:30-01:45"]));
        for (instant, wanted) in [
            ("2026-11-01T06:29:00Z", false),
            ("2026-11-01T06:30:00Z", true),
            ("2026-11-01T06:45:00Z", false),
            ("2026-11-01T07:30:00Z", true),
            ("2026-11-01T07:45:00Z", false),
        ] {
            assert_eq!(schedule.state(&chicago, at(instant)).0, wanted, "{instant}");
        }
    }

    /// Begins and lengths on the quarter hour, night hours too.
    fn any_spans() -> impl Strategy<Value = Vec<Span>> {
        let span = (0..96_u16, 1..96_u16).prop_map(|(from, quarters)| {
            let (from, to) = (from * 15, (from + quarters) * 15 % Span::DAY);
            Span { from, to: if to == 0 { Span::DAY } else { to } }
        });
        prop::collection::vec(span, 0..3)
    }

    proptest! {
        #[test]
        fn what_is_said_to_hold_holds_across_every_change_of_the_clocks(
            weekly in prop::array::uniform7(any_spans()),
            holiday in prop::option::of(any_spans()),
            (zone, near) in prop::sample::select(vec![
                ("Europe/Berlin", "2026-03-29T01:00:00Z"),
                ("Europe/Berlin", "2026-10-25T01:00:00Z"),
                ("America/Chicago", "2026-03-08T08:00:00Z"),
                ("America/Chicago", "2026-11-01T07:00:00Z"),
                // Half an hour only; at midnight; a day that was left out; seconds in the offset.
                ("Australia/Lord_Howe", "2026-04-04T15:00:00Z"),
                ("Africa/Cairo", "2026-04-23T22:00:00Z"),
                ("Pacific/Apia", "2011-12-30T10:00:00Z"),
                ("Africa/Monrovia", "1972-01-07T00:44:30Z"),
                ("UTC", "2026-12-31T23:00:00Z"),
            ]),
            offset_ms in -100_000_000..100_000_000_i64,
        ) {
            let zone: Zone = zone.parse().unwrap();
            let at = at(near).plus_ms(offset_ms);
            let mut schedule = OpeningHours { weekly, holidays: BTreeMap::new() };
            if let Some(spans) = holiday {
                schedule.holidays.insert(zone.local(super::tests::at(near)).date(), spans);
            }
            let (is_open, until) = schedule.state(&zone, at);
            prop_assert!(until > at);
            prop_assert!(until.since_ms(at) <= 86_400_000);
            let is_open_at = |at: Timestamp| schedule.is_open(zone.local(at));
            let mut moment = at;
            while moment < until {
                prop_assert_eq!(is_open_at(moment), is_open, "{} until {}", moment, until);
                moment = moment.plus_ms(15_000);
            }
            prop_assert_eq!(is_open_at(until.plus_ms(-1)), is_open);
        }
    }
}

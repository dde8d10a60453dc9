//! Whether one more call may begin: spacing, rate and volume caps of a destination or a flow.
//!
//! What counts when the call is answered or over is held for it from the moment it is sent, so a burst
//! at 99 of 100 lets one in. Periods are those of a clock on the wall: an hour that the autumn repeats
//! is two periods, a day of 23 or 25 hours is one.

use super::rate::{Due, Pace};
use crate::model::memory::{Remembered, Throttled};
use crate::model::throttle::{CapCount, CapPeriod, Throttle, VolumeCap};
use crate::model::time::{Timestamp, Zone};
use crate::model::timeline::Verdict;

/// Until when what was never counted lies in a period.
const NEVER: Timestamp = Timestamp(i64::MIN);

/// A throttle, ready to be asked.
#[derive(Debug)]
pub struct Gate {
    pace: Option<Pace>,
    spacing_ms: Option<i64>,
    caps: Vec<VolumeCap>,
    zone: Zone,
}

/// What a gate has let through, and what is under way behind it.
#[derive(Clone, Debug, Default)]
pub struct Meter {
    due: Due,
    last_start: Option<Timestamp>,
    /// Legs that were sent and have not been answered yet.
    pub ringing: u32,
    /// Legs that were sent and are not over.
    pub running: u32,
    volumes: Vec<Volume>,
}

#[derive(Clone, Copy, Debug)]
struct Volume {
    per: CapPeriod,
    count: CapCount,
    since: Timestamp,
    /// From here on the period is another one, in which nothing is used yet.
    until: Timestamp,
    /// When it was last counted: whatever zone it is moved to, it stays in the period of that moment.
    counted_at: Timestamp,
    used: u32,
    /// Changed since it was last asked for.
    is_news: bool,
}

impl Gate {
    /// `None` where nothing is limited.
    #[must_use]
    pub fn of(throttle: &Throttle, zone: &Zone) -> Option<Self> {
        if *throttle == Throttle::default() {
            return None;
        }
        Some(Self {
            pace: throttle.rate.as_ref().and_then(Pace::of),
            spacing_ms: throttle.spacing_sec.map(|sec| i64::from(sec) * 1_000),
            caps: throttle.caps.clone(),
            zone: zone.clone(),
        })
    }

    /// Why no call may begin at `at`; `None` if one may.
    #[must_use]
    pub fn refuses(&self, meter: &Meter, at: Timestamp) -> Option<Verdict> {
        if let Some((spacing_ms, last)) = self.spacing_ms.zip(meter.last_start) {
            let since_ms = at.since_ms(last);
            if since_ms < spacing_ms {
                return Some(Verdict::Spacing { wait_ms: spacing_ms - since_ms });
            }
        }
        if self.pace.is_some_and(|pace| pace.admit(meter.due, at).is_none()) {
            return Some(Verdict::TooFast);
        }
        self.caps.iter().find_map(|cap| {
            let used = meter.used(*cap, at);
            let (per, count, max) = (cap.per, cap.count, cap.max);
            (used >= max).then_some(Verdict::Capped { per, count, used, max })
        })
    }

    /// What the caps count, each once.
    pub fn counts(&self) -> impl Iterator<Item = CapCount> {
        let first = |at: usize, count| self.caps[..at].iter().all(|cap| cap.count != count);
        let caps = self.caps.iter().enumerate();
        caps.filter(move |(at, cap)| first(*at, cap.count)).map(|(_, cap)| cap.count)
    }

    /// Each cap, and how much of it is used, with what is held for calls under way.
    #[must_use]
    pub fn standing(&self, meter: &Meter, at: Timestamp) -> Vec<(VolumeCap, u32)> {
        self.caps.iter().map(|cap| (*cap, meter.used(*cap, at))).collect()
    }
}

impl Meter {
    /// After a change of configuration: what is used stays used. `gate` is the new one; what is under
    /// way is counted anew by the caller.
    #[must_use]
    pub fn follow(self, gate: Option<&Gate>) -> Self {
        let Some(gate) = gate else {
            return Self::default();
        };
        let volume = |cap: &VolumeCap| {
            let same = |old: &&Volume| old.per == cap.per && old.count == cap.count;
            let Some(old) = self.volumes.iter().find(same) else {
                return Volume::new(*cap);
            };
            let mut volume = *old;
            if old.until != NEVER {
                volume.lie_in(&gate.zone);
                volume.is_news |= volume.since != old.since;
            }
            volume
        };
        let volumes = gate.caps.iter().map(volume).collect();
        Self { volumes, ringing: 0, running: 0, ..self }
    }

    /// For a clock that was set: what is spaced stays so. Periods are those of the calendar.
    pub fn move_by(&mut self, ms: i64) {
        self.due = self.due.moved_by(ms);
        self.last_start = self.last_start.map(|at| at.plus_ms(ms));
    }

    /// A call was sent.
    pub fn begin(&mut self, gate: &Gate, at: Timestamp) {
        self.last_start = Some(at);
        if let Some(pace) = gate.pace {
            self.due = pace.admit(self.due, at).unwrap_or(self.due);
        }
        self.add(gate, CapCount::Attempts, 1, at);
    }

    /// Counts `more` of what `count` says.
    pub fn add(&mut self, gate: &Gate, count: CapCount, more: u32, at: Timestamp) {
        for volume in self.volumes.iter_mut().filter(|volume| volume.count == count) {
            if at >= volume.until {
                (volume.since, volume.until) = period(&gate.zone, volume.per, at);
                volume.used = 0;
            }
            volume.used = volume.used.saturating_add(more);
            volume.counted_at = at;
            volume.is_news = true;
        }
    }

    /// What was used in the period that began at `since`, as it was remembered.
    pub fn recall(
        &mut self,
        gate: &Gate,
        per: CapPeriod,
        count: CapCount,
        since: Timestamp,
        used: u32,
    ) {
        let of = |volume: &&mut Volume| volume.per == per && volume.count == count;
        if let Some(volume) = self.volumes.iter_mut().find(of) {
            volume.used = used;
            // When it was last counted is not known; the zone may be another one, now or soon.
            volume.counted_at = since.plus_ms(half_ms(per));
            volume.lie_in(&gate.zone);
        }
    }

    /// Hands over what has changed since the last time.
    pub fn news(&mut self, of: Throttled, mut tell: impl FnMut(Remembered)) {
        for volume in self.volumes.iter_mut().filter(|volume| volume.is_news) {
            volume.is_news = false;
            let Volume { per, count, since, used, .. } = *volume;
            tell(Remembered::Volume { of, per, count, since, used });
        }
    }

    #[must_use]
    pub fn has_news(&self) -> bool {
        self.volumes.iter().any(|volume| volume.is_news)
    }

    /// With what is held for calls under way.
    fn used(&self, cap: VolumeCap, at: Timestamp) -> u32 {
        let same = |volume: &&Volume| volume.per == cap.per && volume.count == cap.count;
        let volume = self.volumes.iter().find(same).filter(|volume| at < volume.until);
        let held = match cap.count {
            CapCount::Answers => self.ringing,
            CapCount::Attempts => 0,
            CapCount::BillableMinutes => self.running,
        };
        volume.map_or(0, |volume| volume.used).saturating_add(held)
    }
}

impl Volume {
    fn new(cap: VolumeCap) -> Self {
        Self {
            per: cap.per,
            count: cap.count,
            since: Timestamp(0),
            until: NEVER,
            counted_at: Timestamp(0),
            used: 0,
            is_news: false,
        }
    }

    /// Its period becomes the one of this zone in which it was last counted.
    fn lie_in(&mut self, zone: &Zone) {
        (self.since, self.until) = period(zone, self.per, self.counted_at);
    }
}

/// Well within a period that began so long ago, also one that a change of the clock cut short.
fn half_ms(per: CapPeriod) -> i64 {
    const HOUR_MS: i64 = 3_600_000;
    match per {
        CapPeriod::Hour => HOUR_MS / 4,
        CapPeriod::Day => 12 * HOUR_MS,
        CapPeriod::Month => 360 * HOUR_MS,
        CapPeriod::Total => 0,
    }
}

/// From when, and before when, the period lasts in which `at` is.
#[must_use]
pub fn period(zone: &Zone, per: CapPeriod, at: Timestamp) -> (Timestamp, Timestamp) {
    let local = zone.local(at);
    let midnights = |first: jiff::civil::Date, next: Option<jiff::civil::Date>| {
        let until = next.map_or(Timestamp(i64::MAX), |day| zone.midnight(day));
        (zone.midnight(first), until)
    };
    match per {
        CapPeriod::Day => midnights(local.date(), local.date().tomorrow().ok()),
        CapPeriod::Hour => {
            let minutes = i64::from(local.minute()) * 60 + i64::from(local.second());
            let since = at.plus_ms(-(minutes * 1_000 + at.0.rem_euclid(1_000)));
            let until = since.plus_ms(3_600_000);
            // A change of the clock begins another hour, whatever the hands show.
            let before = zone.last_transition(at).map_or(since, |change| since.max(change));
            let after = zone.next_transition(at).map_or(until, |change| until.min(change));
            (before, after)
        }
        CapPeriod::Month => {
            let first = local.date().first_of_month();
            midnights(first, local.date().last_of_month().tomorrow().ok())
        }
        CapPeriod::Total => (Timestamp(0), Timestamp(i64::MAX)),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::throttle::{ArrivalRate, RatePeriod};

    const HOUR: i64 = 3_600_000;

    fn zone(name: &str) -> Zone {
        name.parse().unwrap()
    }

    fn at(text: &str) -> Timestamp {
        Timestamp(text.parse::<jiff::Timestamp>().unwrap().as_millisecond())
    }

    fn gate(caps: &[(CapPeriod, CapCount, u32)], zone: &Zone) -> Gate {
        let cap = |&(per, count, max)| VolumeCap { per, count, max };
        let caps = caps.iter().map(cap).collect();
        Gate::of(&Throttle { caps, ..Throttle::default() }, zone).unwrap()
    }

    fn meter(gate: &Gate) -> Meter {
        Meter::default().follow(Some(gate))
    }

    #[test]
    fn a_period_is_one_of_the_zone() {
        let ms = |per, zone: &Zone, when: &str| {
            let (since, until) = period(zone, per, at(when));
            assert!(since <= at(when) && at(when) < until);
            (since.rfc3339(), until.0 - since.0)
        };
        let chicago = zone("America/Chicago");
        let day = |when| ms(CapPeriod::Day, &chicago, when);
        assert_eq!(day("2026-03-08T12:00:00Z"), ("2026-03-08T06:00:00.000Z".into(), 23 * HOUR));
        assert_eq!(day("2026-11-01T12:00:00Z"), ("2026-11-01T05:00:00.000Z".into(), 25 * HOUR));
        let month = ms(CapPeriod::Month, &chicago, "2026-02-10T00:00:00Z");
        assert_eq!(month, ("2026-02-01T06:00:00.000Z".into(), 28 * 24 * HOUR));
        // 01:30 comes twice, and each is in an hour of its own.
        let hour = |when| ms(CapPeriod::Hour, &chicago, when);
        assert_eq!(hour("2026-11-01T06:30:00Z"), ("2026-11-01T06:00:00.000Z".into(), HOUR));
        assert_eq!(hour("2026-11-01T07:30:00Z"), ("2026-11-01T07:00:00.000Z".into(), HOUR));
        // Half an hour is put back, so that 01:30 to 02:00 comes twice.
        let island = ms(CapPeriod::Hour, &zone("Australia/Lord_Howe"), "2026-04-04T15:10:00Z");
        assert_eq!(island, ("2026-04-04T15:00:00.000Z".into(), HOUR / 2));
        // The 30th of December 2011 was left out.
        let apia = ms(CapPeriod::Day, &zone("Pacific/Apia"), "2011-12-30T09:00:00Z");
        assert_eq!(apia, ("2011-12-29T10:00:00.000Z".into(), 24 * HOUR));
        let kolkata = ms(CapPeriod::Hour, &zone("Asia/Kolkata"), "2026-01-01T00:10:00Z");
        assert_eq!(kolkata.0, "2025-12-31T23:30:00.000Z");
    }

    #[test]
    fn a_burst_at_ninety_nine_of_a_hundred_lets_one_in() {
        let gate = gate(&[(CapPeriod::Day, CapCount::Answers, 100)], &Zone::UTC);
        let mut meter = meter(&gate);
        let now = at("2026-11-21T12:00:00Z");
        meter.add(&gate, CapCount::Answers, 99, now);
        let mut admitted = 0;
        for _ in 0..50 {
            if gate.refuses(&meter, now).is_none() {
                meter.begin(&gate, now);
                meter.ringing += 1;
                admitted += 1;
            }
        }
        assert_eq!(admitted, 1);
        meter.ringing -= 1;
        assert_eq!(gate.refuses(&meter, now), None, "nobody answered: the place is free again");
    }

    #[test]
    fn what_rings_over_midnight_holds_its_place_in_the_new_day() {
        let gate = gate(&[(CapPeriod::Day, CapCount::Answers, 1)], &zone("America/Chicago"));
        let mut meter = meter(&gate);
        let before = at("2026-11-21T05:59:30Z");
        meter.add(&gate, CapCount::Answers, 1, before);
        assert!(gate.refuses(&meter, before).is_some());
        let after = at("2026-11-21T06:00:00Z");
        assert_eq!(gate.refuses(&meter, after), None);
        meter.ringing = 1;
        assert!(gate.refuses(&meter, after).is_some());
    }

    #[test]
    fn a_period_ends_to_the_millisecond() {
        for per in [CapPeriod::Hour, CapPeriod::Day, CapPeriod::Month] {
            let gate = gate(&[(per, CapCount::Attempts, 2)], &zone("America/Chicago"));
            let (since, until) = period(&gate.zone, per, at("2026-11-21T12:00:00Z"));
            let mut meter = meter(&gate);
            let used = |meter: &Meter, at| gate.standing(meter, at)[0].1;
            meter.begin(&gate, since);
            meter.begin(&gate, until.plus_ms(-1));
            assert_eq!(used(&meter, until.plus_ms(-1)), 2, "{per}");
            assert!(gate.refuses(&meter, until.plus_ms(-1)).is_some(), "{per}");
            assert_eq!(used(&meter, until), 0, "{per}");
            assert_eq!(gate.refuses(&meter, until), None, "{per}");
            meter.begin(&gate, until);
            assert_eq!(used(&meter, until), 1, "{per}: counted in the new period");
        }
    }

    #[test]
    fn a_total_is_never_reset() {
        let gate = gate(&[(CapPeriod::Total, CapCount::Attempts, 2)], &Zone::UTC);
        let mut meter = meter(&gate);
        meter.begin(&gate, Timestamp(0));
        meter.begin(&gate, at("2030-01-01T00:00:00Z"));
        let capped = gate.refuses(&meter, at("2090-01-01T00:00:00Z"));
        let (per, count) = (CapPeriod::Total, CapCount::Attempts);
        assert_eq!(capped, Some(Verdict::Capped { per, count, used: 2, max: 2 }));
    }

    #[test]
    fn caps_are_remembered_over_a_restart() {
        let zone = zone("Pacific/Apia");
        let gate = gate(&[(CapPeriod::Month, CapCount::BillableMinutes, 10)], &zone);
        let mut before = meter(&gate);
        let now = at("2026-11-21T12:00:00Z");
        before.add(&gate, CapCount::BillableMinutes, 10, now);
        let of = Throttled::Destination(crate::model::id::DestinationId::new(1));
        let mut told = Vec::new();
        before.news(of, |news| told.push(news));
        assert!(!before.has_news());
        let [Remembered::Volume { per, count, since, used, .. }] = told[..] else {
            panic!("{told:?}");
        };
        let mut after = meter(&gate);
        after.recall(&gate, per, count, since, used);
        assert!(gate.refuses(&after, now).is_some());
        assert_eq!(gate.refuses(&after, at("2026-12-01T12:00:00Z")), None);
    }

    #[test]
    fn what_is_used_stays_used_when_the_zone_moves() {
        let cap =
            [(CapPeriod::Month, CapCount::Answers, 1), (CapPeriod::Day, CapCount::Answers, 1)];
        let (here, now) = (gate(&cap, &Zone::UTC), at("2026-11-20T15:00:00Z"));
        let mut used = meter(&here);
        used.add(&here, CapCount::Answers, 1, now);
        let of = Throttled::ForwardingFlow(crate::model::id::ForwardingFlowId::new(1));
        let mut told = Vec::new();
        used.news(of, |news| told.push(news));
        for name in ["America/Chicago", "Pacific/Apia", "Asia/Kolkata"] {
            let there = gate(&cap, &zone(name));
            let mut moved = used.clone().follow(Some(&there));
            assert!(there.refuses(&moved, now).is_some(), "to {name}");
            assert_eq!(there.standing(&moved, now).iter().map(|(_, used)| used).sum::<u32>(), 2);
            assert_eq!(there.refuses(&moved, at("2026-12-01T12:00:00Z")), None);
            assert!(moved.has_news(), "the new period is written");
            moved.news(of, |_| {});
            assert!(!moved.follow(Some(&there)).has_news(), "once");
            // The same while divert was not there.
            let mut recalled = meter(&there);
            for news in &told {
                let Remembered::Volume { per, count, since, used, .. } = *news else {
                    panic!("{news:?}");
                };
                recalled.recall(&there, per, count, since, used);
            }
            assert!(there.refuses(&recalled, now).is_some(), "restarted in {name}");
            // Or the zone moves behind the restart.
            let mut recalled = meter(&here);
            for news in &told {
                let Remembered::Volume { per, count, since, used, .. } = *news else {
                    panic!("{news:?}");
                };
                recalled.recall(&here, per, count, since, used);
            }
            let recalled = recalled.follow(Some(&there));
            assert!(there.refuses(&recalled, now).is_some(), "restarted, then to {name}");
        }
    }

    #[test]
    fn each_cap_keeps_what_is_used_of_it() {
        use CapCount::{Answers, Attempts};
        use CapPeriod::{Day, Hour, Month};
        let caps =
            [(Hour, Answers, 9), (Day, Answers, 9), (Day, Attempts, 9), (Month, Attempts, 9)];
        let now = at("2026-11-21T12:30:00Z");
        let full = gate(&caps, &Zone::UTC);
        let mut meter = meter(&full);
        for (used, (per, count, _)) in (1..).zip(caps) {
            let (since, _) = period(&Zone::UTC, per, now);
            meter.recall(&full, per, count, since, used);
        }
        let standing = |gate: &Gate, meter: &Meter| -> Vec<u32> {
            gate.standing(meter, now).into_iter().map(|(_, used)| used).collect()
        };
        assert_eq!(standing(&full, &meter), [1, 2, 3, 4]);
        let mut turned = caps;
        turned.reverse();
        for some in [&caps[..], &turned, &caps[..1], &caps[1..2], &caps[2..3], &caps[3..]] {
            let gate = gate(some, &Zone::UTC);
            let used =
                |cap| 1 + u32::try_from(caps.iter().position(|of| of == cap).unwrap()).unwrap();
            let wanted: Vec<u32> = some.iter().map(used).collect();
            assert_eq!(standing(&gate, &meter.clone().follow(Some(&gate))), wanted);
        }
    }

    #[test]
    fn what_is_recalled_counts_until_the_end_of_its_period_in_the_zone_of_now() {
        for (per, since, zone_of_now, until) in [
            (CapPeriod::Hour, "2026-11-20T15:00:00Z", "Asia/Kathmandu", "2026-11-20T16:15:00Z"),
            (CapPeriod::Day, "2026-11-20T00:00:00Z", "America/Chicago", "2026-11-21T06:00:00Z"),
            (CapPeriod::Month, "2026-11-01T00:00:00Z", "America/Chicago", "2026-12-01T06:00:00Z"),
        ] {
            let gate = gate(&[(per, CapCount::Attempts, 9)], &zone(zone_of_now));
            let mut meter = meter(&gate);
            meter.recall(&gate, per, CapCount::Attempts, at(since), 5);
            assert_eq!(gate.standing(&meter, at(until).plus_ms(-1))[0].1, 5, "{per}");
            assert_eq!(gate.standing(&meter, at(until))[0].1, 0, "{per}");
        }
    }

    #[test]
    fn a_clock_that_is_set_leaves_spacing_and_rate_as_long_as_they_were() {
        let rate = ArrivalRate { calls: 1, per: RatePeriod::Minute, burst: 1 };
        let throttle = Throttle { rate: Some(rate), spacing_sec: Some(10), ..Throttle::default() };
        let gate = Gate::of(&throttle, &Zone::UTC).unwrap();
        for by_ms in [3_600_000, -3_600_000] {
            let start = at("2026-11-21T12:00:00Z");
            let mut meter = Meter::default();
            meter.begin(&gate, start);
            meter.move_by(by_ms);
            let refusal = |ms| gate.refuses(&meter, start.plus_ms(by_ms + ms));
            assert_eq!(refusal(9_999), Some(Verdict::Spacing { wait_ms: 1 }), "{by_ms}");
            assert_eq!(refusal(59_999), Some(Verdict::TooFast), "{by_ms}");
            assert_eq!(refusal(60_000), None, "{by_ms}");
        }
    }

    #[test]
    fn spacing_and_rate_are_used_by_what_begins() {
        let rate = ArrivalRate { calls: 1, per: RatePeriod::Minute, burst: 1 };
        let throttle = Throttle { rate: Some(rate), spacing_sec: Some(10), ..Throttle::default() };
        let gate = Gate::of(&throttle, &Zone::UTC).unwrap();
        let mut meter = meter(&gate);
        meter.begin(&gate, Timestamp(0));
        let refusal = |ms| gate.refuses(&meter, Timestamp(ms));
        assert_eq!(refusal(9_999), Some(Verdict::Spacing { wait_ms: 1 }));
        assert_eq!(refusal(10_000), Some(Verdict::TooFast));
        assert_eq!(refusal(60_000), None);
    }

    proptest! {
        #[test]
        fn periods_follow_each_other_without_a_gap(
            name in prop::sample::select(vec![
                "UTC", "America/Chicago", "Europe/Berlin", "Asia/Kolkata", "Pacific/Apia",
                "Australia/Lord_Howe", "America/Sao_Paulo", "Africa/Cairo",
            ]),
            // 2005 to 2035.
            sec in 1_104_537_600_i64..2_051_222_400,
        ) {
            let (zone, at) = (zone(name), Timestamp(sec * 1_000));
            for per in [CapPeriod::Hour, CapPeriod::Day, CapPeriod::Month] {
                let (since, until) = period(&zone, per, at);
                prop_assert!(since <= at && at < until, "{per}");
                prop_assert_eq!(period(&zone, per, since), (since, until));
                prop_assert_eq!(period(&zone, per, until.plus_ms(-1)), (since, until));
                prop_assert_eq!(period(&zone, per, until).0, until);
            }
        }
    }
}

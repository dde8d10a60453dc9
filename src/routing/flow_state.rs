//! What one flow and its destinations have come to: wheel, meters, callers.

use super::pick::Wheel;
use super::recent::Recent;
use super::repeat::Visits;
use super::snapshot::{FlowPlan, Line};
use super::throttle::Meter;
use crate::model::id::DestinationId;
use crate::model::memory::Binding;
use crate::model::number::CallerKey;
use crate::model::objects::destination::DestinationState;
use crate::model::opening_hours::OpeningHours;
use crate::model::time::{Timestamp, Zone};

#[derive(Clone, Debug, Default)]
pub(super) struct FlowState {
    pub wheel: Wheel,
    pub lines: Vec<LineState>,
    pub meter: Meter,
    hours: Hours,
    pub ties: Recent<CallerKey, Binding>,
    pub visits: Recent<CallerKey, Visits>,
    pub is_counted: bool,
    pub is_turned: bool,
}

#[derive(Clone, Debug, Default)]
pub(super) struct LineState {
    pub meter: Meter,
    hours: Hours,
}

/// What a schedule said, and for how long that certainly holds.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
struct Hours {
    since: Timestamp,
    until: Timestamp,
    is_open: bool,
}

impl Hours {
    fn is_open(self, schedule: Option<&OpeningHours>, zone: &Zone, at: Timestamp) -> bool {
        schedule.is_none_or(|schedule| self.at(schedule, zone, at).is_open)
    }

    fn refresh(&mut self, schedule: Option<&OpeningHours>, zone: &Zone, at: Timestamp) {
        if let Some(schedule) = schedule {
            *self = self.at(schedule, zone, at);
        }
    }

    /// These, or others if they say nothing of that moment.
    fn at(self, schedule: &OpeningHours, zone: &Zone, at: Timestamp) -> Self {
        if (self.since..self.until).contains(&at) {
            return self;
        }
        let (is_open, until) = schedule.state(zone, at);
        Self { since: at, until, is_open }
    }
}

impl LineState {
    pub fn is_open(&self, line: &Line, at: Timestamp) -> bool {
        self.hours.is_open(line.hours.as_deref(), &line.zone, at)
    }
}

impl FlowState {
    pub fn is_open(&self, plan: &FlowPlan, at: Timestamp) -> bool {
        self.hours.is_open(plan.hours.as_deref(), &plan.zone, at)
    }

    /// Looks up what the schedules say, for as long as that holds.
    pub fn look_up_hours(&mut self, plan: &FlowPlan, at: Timestamp) {
        self.hours.refresh(plan.hours.as_deref(), &plan.zone, at);
        for (line, here) in plan.lines.iter().zip(&mut self.lines) {
            here.hours.refresh(line.hours.as_deref(), &line.zone, at);
        }
    }

    /// Who had this caller the last time.
    pub fn last_of(&self, caller: &CallerKey) -> Option<DestinationId> {
        self.visits.get(caller).and_then(Visits::last)
    }

    /// From one plan of the flow to the next. `cleared` hears of callers who belong to nobody now.
    pub fn follow(
        mut self,
        old: Option<&FlowPlan>,
        plan: &FlowPlan,
        mut cleared: impl FnMut(&CallerKey),
    ) -> Self {
        let mut before = std::mem::take(&mut self.lines);
        let mut wheel = Wheel::new(plan.lines.len());
        for (place, line) in plan.lines.iter().enumerate() {
            let known = old.and_then(|old| {
                let at = old.place(line.destination.id)?;
                Some((at, old.lines[at].destination.priority == line.destination.priority))
            });
            let mut here = LineState::default();
            if let Some((at, is_same_tier)) = known {
                if is_same_tier {
                    wheel.keep(place, &self.wheel, at);
                }
                here.meter = std::mem::take(&mut before[at].meter);
            }
            here.meter = here.meter.follow(line.gate.as_deref());
            self.lines.push(here);
        }
        self.wheel = wheel;
        self.meter = self.meter.follow(plan.gate.as_deref());
        self.hours = Hours::default();
        self.forget_disabled(old, plan, &mut cleared);
        if plan.flow.repeat_caller.is_none() {
            self.visits = Recent::default();
        }
        self
    }

    /// A destination that is disabled, or gone, has no callers of its own any more; one that is
    /// paused keeps them.
    fn forget_disabled(
        &mut self,
        old: Option<&FlowPlan>,
        plan: &FlowPlan,
        cleared: &mut impl FnMut(&CallerKey),
    ) {
        let had_callers = old.into_iter().flat_map(|old| old.flow.destinations.iter());
        let gone = had_callers
            .filter(|one| one.state != DestinationState::Disabled)
            .filter(|one| !may_have_callers(plan, one.id));
        // Most changes disable none, and callers are many.
        for gone in gone {
            let ties = self.ties.iter().filter(|(_, binding)| binding.destination == gone.id);
            let callers: Vec<CallerKey> = ties.map(|(caller, _)| caller.clone()).collect();
            for caller in callers {
                self.ties.remove(&caller);
                cleared(&caller);
            }
        }
    }
}

pub(super) fn may_have_callers(plan: &FlowPlan, id: DestinationId) -> bool {
    let known = plan.flow.destinations.iter().find(|one| one.id == id);
    known.is_some_and(|one| one.state != DestinationState::Disabled)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::configuration::Configuration;
    use crate::model::id::{ForwardingFlowId, ServerId, TrunkId};
    use crate::model::objects::account::DEFAULT_ACCOUNT;
    use crate::model::objects::destination::{Destination, Landing};
    use crate::model::objects::forwarding_flow::ForwardingFlow;
    use crate::model::objects::trunk::{Reach, Trunk};
    use crate::routing::snapshot::Snapshot;

    #[test]
    fn hours_of_a_flow_and_of_its_destinations_are_looked_up_together() {
        let until = |end: &str| {
            let span = format!("00:00-{end}").parse().unwrap();
            let weekly = std::array::from_fn(|_| vec![span]);
            Some(OpeningHours { weekly, ..OpeningHours::default() }.into())
        };
        let (id, trunk) = (ForwardingFlowId::new(1), TrunkId::new(1));
        let landing = Landing::Trunk { trunk, number: "1001".parse().unwrap() };
        let mut line = Destination::new(DestinationId::new(1), "a", landing);
        line.schedule = until("02:00");
        let mut flow = ForwardingFlow::new(id, "flow", ServerId::new(1));
        (flow.schedule, flow.destinations) = (until("03:00"), vec![line]);
        let all = Configuration {
            trunks: vec![Trunk::new(trunk, "trunk", Reach::Endpoint("x".parse().unwrap()))],
            forwarding_flows: vec![flow],
            ..Configuration::default()
        };
        let snapshot = Snapshot::build(&[(DEFAULT_ACCOUNT, all)], None);
        let plan = snapshot.flow(id).unwrap();
        let mut state = FlowState::default().follow(None, plan, |_| {});
        state.look_up_hours(plan, Timestamp(0));
        let ends = [state.hours, state.lines[0].hours].map(|hours| hours.until);
        assert_eq!(ends, [Timestamp(3 * 3_600_000), Timestamp(2 * 3_600_000)]);
    }

    #[test]
    fn hours_are_looked_up_once_for_as_long_as_they_hold() {
        const HOUR: i64 = 3_600_000;
        let daily = || vec!["09:00-17:00".parse().unwrap()];
        let schedule =
            OpeningHours { weekly: std::array::from_fn(|_| daily()), ..OpeningHours::default() };
        let at = |hour: i64, ms: i64| Timestamp(hour * HOUR + ms);
        let mut hours = Hours::default();
        hours.refresh(None, &Zone::UTC, at(10, 0));
        assert_eq!(hours, Hours::default(), "without a schedule there is nothing to look up");
        assert!(hours.is_open(None, &Zone::UTC, at(3, 0)));
        hours.refresh(Some(&schedule), &Zone::UTC, at(10, 0));
        assert_eq!(hours, Hours { since: at(10, 0), until: at(17, 0), is_open: true });
        // Another schedule would say the contrary, and is asked only outside that time.
        let closed = OpeningHours::default();
        for (when, is_known) in
            [(at(10, -1), false), (at(10, 0), true), (at(17, -1), true), (at(17, 0), false)]
        {
            assert_eq!(hours.is_open(Some(&closed), &Zone::UTC, when), is_known, "{when}");
            let mut again = hours;
            again.refresh(Some(&closed), &Zone::UTC, when);
            assert_eq!((again.is_open, again == hours), (is_known, is_known), "{when}");
        }
    }
}

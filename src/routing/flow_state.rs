//! What one flow and its destinations have come to: wheel, meters, callers.

use super::pick::Wheel;
use super::recent::Recent;
use super::repeat::Visits;
use super::snapshot::{FlowPlan, Line};
use super::throttle::Meter;
use crate::model::destination::DestinationState;
use crate::model::id::DestinationId;
use crate::model::memory::Binding;
use crate::model::number::CallerKey;
use crate::model::schedule::Schedule;
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
#[derive(Clone, Copy, Debug, Default)]
struct Hours {
    since: Timestamp,
    until: Timestamp,
    is_open: bool,
}

impl Hours {
    fn is_open(self, schedule: Option<&Schedule>, zone: &Zone, at: Timestamp) -> bool {
        match schedule {
            None => true,
            Some(_) if self.since <= at && at < self.until => self.is_open,
            Some(schedule) => schedule.state(zone, at).0,
        }
    }

    fn refresh(&mut self, schedule: Option<&Schedule>, zone: &Zone, at: Timestamp) {
        if let Some(schedule) = schedule
            && !(self.since <= at && at < self.until)
        {
            let (is_open, until) = schedule.state(zone, at);
            *self = Self { since: at, until, is_open };
        }
    }
}

impl LineState {
    pub fn is_open(&self, line: &Line, at: Timestamp) -> bool {
        self.hours.is_open(line.destination.schedule.as_ref(), &line.zone, at)
    }
}

impl FlowState {
    pub fn is_open(&self, plan: &FlowPlan, at: Timestamp) -> bool {
        self.hours.is_open(plan.flow.schedule.as_ref(), &plan.zone, at)
    }

    /// Looks up what the schedules say, for as long as that holds.
    pub fn look_up_hours(&mut self, plan: &FlowPlan, at: Timestamp) {
        self.hours.refresh(plan.flow.schedule.as_ref(), &plan.zone, at);
        for (line, here) in plan.lines.iter().zip(&mut self.lines) {
            here.hours.refresh(line.destination.schedule.as_ref(), &line.zone, at);
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
        let is_gone = |id: DestinationId| !may_have_callers(plan, id);
        let had_callers = |old: &FlowPlan| {
            old.flow.destinations.iter().any(|one| may_have_callers(old, one.id) && is_gone(one.id))
        };
        if self.ties.is_empty() || !old.is_some_and(had_callers) {
            return;
        }
        let ties = self.ties.iter().filter(|(_, binding)| is_gone(binding.destination));
        let callers: Vec<CallerKey> = ties.map(|(caller, _)| caller.clone()).collect();
        for caller in callers {
            self.ties.remove(&caller);
            cleared(&caller);
        }
    }
}

pub(super) fn may_have_callers(plan: &FlowPlan, id: DestinationId) -> bool {
    let known = plan.flow.destinations.iter().find(|one| one.id == id);
    known.is_some_and(|one| one.state != DestinationState::Disabled)
}

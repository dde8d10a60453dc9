//! What became of the calls of a period, in figures: of calls as the log has them here, of calls as they
//! would have been in `day`.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::model::billing::Micros;
use crate::model::call::{CallRecord, LegRecord};
use crate::model::cause::{CallResult, Outcome};
use crate::model::id::{DestinationId, ForwardingFlowId, LegId, ServerId};
use crate::model::time::Timestamp;

/// A call as the log has it.
#[derive(Clone, Debug)]
pub struct LoggedCall {
    pub call: CallRecord,
    /// Where it arrived; `None` is not known.
    pub master: Option<ServerId>,
    /// In order of dialling.
    pub legs: Vec<LegRecord>,
}

/// Which calls count; those that began before are there for the slots they hold.
#[derive(Clone, Copy, Debug)]
pub struct Period {
    pub from: Timestamp,
    pub to: Timestamp,
    /// Only the calls of this flow; all others are routed too, for the limits they share.
    pub flow: Option<ForwardingFlowId>,
}

impl Period {
    /// The name of the call's flow if its calls count at all.
    pub(super) fn name_of(self, call: &CallRecord) -> Option<&str> {
        match (&call.flow, self.flow) {
            (Some((flow, name)), only) => {
                only.is_none_or(|only| only == *flow).then_some(name.as_str())
            }
            (None, None) => Some(""),
            (None, Some(_)) => None,
        }
    }
}

/// What became of the calls of a period.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Figures {
    pub calls: u64,
    pub answered: u64,
    /// The caller hung up first.
    pub abandoned: u64,
    /// Nobody took the call: it came to the flow's fallback, or back to the dialplan.
    pub not_taken: u64,
    pub talk_ms: i64,
    /// By currency.
    pub cost: BTreeMap<String, Micros>,
    /// How often no destination could be chosen, by reason.
    pub refusals: BTreeMap<String, u64>,
    pub destinations: BTreeMap<DestinationId, Share>,
}

/// What one destination had of it.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize)]
pub struct Share {
    pub flow: String,
    pub name: String,
    /// Calls that were sent there.
    pub calls: u64,
    pub answered: u64,
    pub talk_ms: i64,
    pub cost: BTreeMap<String, Micros>,
    /// Most calls there at one time, those from before the period among them.
    pub highest_live: u32,
}

/// The figures of `calls` as they were. What they cost is not in the log: see [`Figures::charge`].
#[must_use]
pub fn logged(calls: &[LoggedCall], period: Period) -> Figures {
    let mut figures = Figures::default();
    // Each leg with its end; at one moment, ends come before beginnings.
    let mut moves: BTreeSet<(Timestamp, bool, LegId, DestinationId)> = BTreeSet::new();
    for LoggedCall { call, legs, .. } in calls {
        let Some(flow) = period.name_of(call) else {
            continue;
        };
        let counts = call.started_at >= period.from && call.started_at < period.to;
        if counts {
            figures.calls += 1;
            let is_answer = |leg: &LegRecord| leg.outcome == Some(Outcome::Answered);
            let by_fallback = legs.iter().any(|leg| is_answer(leg) && leg.destination.is_none());
            figures.talk_ms += if by_fallback { 0 } else { call.talk_ms };
            match call.result {
                Some(CallResult::Answered) if !by_fallback => figures.answered += 1,
                Some(CallResult::Abandoned) => figures.abandoned += 1,
                _ => figures.not_taken += 1,
            }
        }
        for leg in legs {
            let Some(destination) = leg.destination else {
                continue;
            };
            let id = LegId { call: leg.call, no: leg.no };
            moves.insert((leg.started_at, true, id, destination));
            let ended_at = leg.ended_at.unwrap_or(period.to);
            moves.insert((ended_at.max(leg.started_at.plus_ms(1)), false, id, destination));
            let share = figures.share(destination, flow, &leg.name);
            if counts {
                share.calls += 1;
                if leg.outcome == Some(Outcome::Answered) {
                    share.answered += 1;
                    share.talk_ms += call.talk_ms;
                }
            }
        }
    }
    let mut live: BTreeMap<DestinationId, u32> = BTreeMap::new();
    for (_, begins, _, destination) in moves {
        let live = live.entry(destination).or_default();
        *live = if begins { *live + 1 } else { live.saturating_sub(1) };
        if let Some(share) = figures.destinations.get_mut(&destination) {
            share.highest_live = share.highest_live.max(*live);
        }
    }
    figures
}

impl Figures {
    /// Adds what a leg cost.
    pub fn charge(&mut self, destination: Option<DestinationId>, amount: Micros, currency: &str) {
        let whole = self.cost.entry(currency.to_owned()).or_default();
        whole.0 = whole.0.saturating_add(amount.0);
        if let Some(share) = destination.and_then(|id| self.destinations.get_mut(&id)) {
            let part = share.cost.entry(currency.to_owned()).or_default();
            part.0 = part.0.saturating_add(amount.0);
        }
    }

    pub(super) fn share(
        &mut self,
        destination: DestinationId,
        flow: &str,
        name: &str,
    ) -> &mut Share {
        let share = self.destinations.entry(destination).or_default();
        if share.name.is_empty() {
            flow.clone_into(&mut share.flow);
            name.clone_into(&mut share.name);
        }
        share
    }
}

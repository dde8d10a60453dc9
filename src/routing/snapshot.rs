//! All configuration a node routes by, indexed: built once, shared, swapped whole.
//!
//! Whatever a decision needs is resolved here, so that it looks nothing up by name or id: zones,
//! trunks, tariffs, dial strings, and the numbers of the limits that a call counts in.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::index::Index;
use super::slots::{Limit, Scope};
use super::throttle::Gate;
use crate::model::billing::Tariff;
use crate::model::configuration::Configuration;
use crate::model::id::{
    AccountId, DestinationId, ForwardingFlowId, RateDeckId, ScheduleId, ServerId, TrunkId,
};
use crate::model::number::{Caller, CallerKey, DialNumber, Did};
use crate::model::objects::account::AccountSettings;
use crate::model::objects::destination::{Destination, DestinationState, Landing};
use crate::model::objects::forwarding_flow::{Fallback, ForwardingFlow, Spread};
use crate::model::objects::rate_deck::RateDeck;
use crate::model::objects::server::Server;
use crate::model::objects::trunk::Trunk;
use crate::model::opening_hours::{Hours, OpeningHours};
use crate::model::time::Zone;

/// Immutable.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// Each with the place of its flow; of several flows, the last.
    dids: Arc<Index<Did, u32>>,
    /// The places of the others, which there are only with several masters.
    namesakes: Arc<BTreeMap<Did, Vec<u32>>>,
    pub(super) layout: Arc<Layout>,
}

/// Everything but the DIDs. What is kept from call to call is kept by the places of these lists, so
/// [`super::state::State`] shares the layout that it is for.
#[derive(Debug, Default)]
pub(super) struct Layout {
    /// By id.
    pub flows: Vec<Arc<FlowPlan>>,
    /// By id.
    pub trunks: Vec<Trunk>,
    /// By scope.
    pub limits: Vec<Limit>,
    pub has_prepaid: bool,
}

/// A forwarding flow with everything resolved that a decision needs.
#[derive(Debug)]
pub struct FlowPlan {
    pub account: AccountId,
    pub flow: ForwardingFlow,
    /// By priority, then in the order of the flow. Dangling ones are left out: `check` reports them.
    pub lines: Vec<Line>,
    /// The number that is dialled when no destination takes the call, if the flow has one.
    pub fallback: Option<Way>,
    /// Whose days count.
    pub zone: Zone,
    /// When it is open; `None` is always.
    pub hours: Option<Arc<OpeningHours>>,
    pub(super) gate: Option<Box<Gate>>,
    pub(super) is_prepaid: bool,
}

/// One destination, ready to be judged.
#[derive(Debug)]
pub struct Line {
    pub destination: Destination,
    /// How a call gets there, best first. None at all where no trunk carries toll-free calls.
    pub ways: Vec<Way>,
    /// Share of the tier: round-robin is the wheel with equal weights; 0 drains either way.
    pub weight: u32,
    pub zone: Zone,
    /// When it is open; `None` is always.
    pub hours: Option<Arc<OpeningHours>>,
    pub(super) gate: Option<Box<Gate>>,
}

/// One trunk to a destination, or to the fallback number.
#[derive(Debug)]
pub struct Way {
    pub offer: Offer,
    /// Numbers of the limits a call counts in, the destination's own first.
    pub(super) limits: Vec<u32>,
    /// Those of them that have a maximum.
    pub(super) limited: Vec<(u32, u32)>,
    /// Place of the trunk.
    pub(super) trunk: u32,
    /// A deck prices the trunk and has no rate for the number.
    pub(super) is_unrated: bool,
}

/// What a leg holds as long as it lives.
#[derive(Debug)]
pub(super) struct Held<'a> {
    /// Numbers of the limits that it counts in.
    pub limits: &'a [u32],
    /// Place of its trunk.
    pub trunk: Option<usize>,
}

/// What to dial, ready for the engine.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Offer {
    /// `None` for the fallback number of a flow.
    pub destination: Option<DestinationId>,
    pub name: String,
    pub trunk: TrunkId,
    /// `PJSIP/1001@trunk`.
    pub endpoint: String,
    pub ring_timeout_ms: i64,
    /// What it costs; `None` is nothing.
    pub tariff: Option<Arc<Tariff>>,
}

impl Snapshot {
    /// Indexes what one node needs: the flows whose master is named `master`, of all accounts. With
    /// `None`, the flows of every master.
    #[must_use]
    pub fn build(accounts: &[(AccountId, Configuration)], master: Option<&str>) -> Self {
        let layout = Layout::build(accounts, master);
        let flows = || layout.flows.iter().map(|plan| &plan.flow.dids);
        let mut dids = Index::with_capacity(flows().map(Vec::len).sum());
        let mut namesakes: BTreeMap<Did, Vec<u32>> = BTreeMap::new();
        for (place, owned) in (0..).zip(flows()) {
            for did in owned {
                if let Some(other) = dids.insert(did.clone(), place) {
                    namesakes.entry(did.clone()).or_default().push(other);
                }
            }
        }
        let (dids, namesakes) = (Arc::new(dids), Arc::new(namesakes));
        Self { dids, namesakes, layout: Arc::new(layout) }
    }

    /// The next snapshot after a change that touched no number: `accounts` come without their DIDs,
    /// which are those of this one, whatever their number. `None` if flows came or went, since then
    /// the DIDs are others too.
    #[must_use]
    pub fn again(
        &self,
        mut accounts: Vec<(AccountId, Configuration)>,
        master: Option<&str>,
    ) -> Option<Self> {
        for (_, configuration) in &mut accounts {
            for flow in &mut configuration.forwarding_flows {
                if let Some(before) = self.flow(flow.id) {
                    flow.dids.clone_from(&before.flow.dids);
                }
            }
        }
        let layout = Layout::build(&accounts, master);
        let ids = |layout: &Layout| -> Vec<_> {
            layout.flows.iter().map(|plan| (plan.flow.id, plan.account)).collect()
        };
        (ids(&layout) == ids(&self.layout)).then(|| Self {
            dids: Arc::clone(&self.dids),
            namesakes: Arc::clone(&self.namesakes),
            layout: Arc::new(layout),
        })
    }

    /// Who owns a DID, byte for byte. With several masters, see [`Snapshot::owners`].
    #[must_use]
    pub fn owner(&self, did: &Did) -> Option<&Arc<FlowPlan>> {
        self.layout.flows.get(self.dids.get(did.as_str())? as usize)
    }

    /// The same number with a `+`, or without, where somebody owns that: most likely who dials `did`
    /// means it.
    #[must_use]
    pub fn alike(&self, did: &Did) -> Option<Did> {
        did.alike().filter(|alike| self.owner(alike).is_some())
    }

    /// Who owns a DID on any master: at most one flow on each.
    pub fn owners(&self, did: &str) -> impl Iterator<Item = &Arc<FlowPlan>> {
        let others = self.namesakes.get(did).into_iter().flatten().copied();
        let places = self.dids.get(did).into_iter().chain(others);
        places.filter_map(|at| self.layout.flows.get(at as usize))
    }

    #[must_use]
    pub fn flow(&self, id: ForwardingFlowId) -> Option<&Arc<FlowPlan>> {
        self.layout.flow(id).map(|(_, plan)| plan)
    }

    pub fn flows(&self) -> impl Iterator<Item = &Arc<FlowPlan>> {
        self.layout.flows.iter()
    }

    /// Whether some account pays beforehand.
    #[must_use]
    pub fn has_prepaid(&self) -> bool {
        self.layout.has_prepaid
    }

    pub fn trunks(&self) -> impl Iterator<Item = &Trunk> {
        self.layout.trunks.iter()
    }

    /// By what a caller is known again on a flow. `None` for one who cannot be: withheld, too short,
    /// or a number of the flow itself, which forwarded calls carry.
    #[must_use]
    pub fn caller_key(&self, plan: &FlowPlan, caller: &Caller) -> Option<CallerKey> {
        let numbers = &plan.flow.caller_numbers;
        let key = CallerKey::of(&caller.number, numbers)?;
        let digits = key.as_str();
        let is_own = |did: &str| self.owners(did).any(|owner| owner.flow.id == plan.flow.id);
        let abroad = format!("+{digits}");
        let at_home = numbers.at_home(digits);
        let before = numbers.national_prefix.as_ref().map_or("", |prefix| prefix.as_str());
        let national = format!("{before}{at_home}");
        let written = [&*caller.number, digits, &*abroad, at_home, &*national];
        let is_known = written.into_iter().any(is_own);
        (!is_known).then_some(key)
    }
}

impl Layout {
    fn build(accounts: &[(AccountId, Configuration)], master: Option<&str>) -> Self {
        let parts: Vec<Parts> = accounts.iter().map(|(id, all)| Parts::of(*id, all)).collect();
        let mut ours: Vec<(&Parts, &ForwardingFlow)> = parts
            .iter()
            .flat_map(|parts| parts.flows_of(master).map(move |flow| (parts, flow)))
            .collect();
        ours.sort_by_key(|(_, flow)| flow.id);

        let mut limits: BTreeMap<Scope, Option<u32>> = BTreeMap::new();
        for (parts, flow) in &ours {
            limits.insert(Scope::Account(parts.account), parts.settings.max_live);
            let destinations = flow.destinations.iter();
            limits.extend(destinations.map(|one| (Scope::Destination(one.id), one.max_live)));
        }
        for parts in &parts {
            let servers = parts.servers.values();
            limits.extend(servers.map(|server| (Scope::Server(server.id), server.max_live)));
            let trunks = parts.trunks.values();
            limits.extend(trunks.map(|trunk| (Scope::Trunk(trunk.id), trunk.max_live)));
        }
        let limits = limits.into_iter().map(|(scope, max)| Limit { scope, max }).collect();
        let trunks = parts.iter().flat_map(|parts| parts.trunks.values());
        let mut trunks: Vec<Trunk> = trunks.map(|trunk| (*trunk).clone()).collect();
        trunks.sort_by_key(|trunk| trunk.id);

        let has_prepaid = ours.iter().any(|(parts, _)| parts.settings.prepaid);
        let flows = Vec::with_capacity(ours.len());
        let mut layout = Self { flows, trunks, limits, has_prepaid };
        for (parts, flow) in &ours {
            let plan = parts.plan(flow, &layout);
            layout.flows.push(Arc::new(plan));
        }
        layout
    }

    /// With its place.
    pub fn flow(&self, id: ForwardingFlowId) -> Option<(usize, &Arc<FlowPlan>)> {
        let at = self.flows.binary_search_by_key(&id, |plan| plan.flow.id).ok()?;
        Some((at, &self.flows[at]))
    }

    pub fn trunk(&self, id: TrunkId) -> Option<usize> {
        self.trunks.binary_search_by_key(&id, |trunk| trunk.id).ok()
    }

    /// Number of a limit.
    pub fn limit(&self, scope: Scope) -> Option<u32> {
        let at = self.limits.binary_search_by_key(&scope, |limit| limit.scope).ok()?;
        u32::try_from(at).ok()
    }
}

impl Way {
    /// What a leg holds that is sent over it.
    pub(super) fn held(&self) -> Held<'_> {
        Held { limits: &self.limits, trunk: Some(self.trunk as usize) }
    }
}

impl Line {
    /// Only callers of its own get there: by its weight, or because somebody drains it.
    pub(super) fn drains(&self) -> bool {
        self.weight == 0 || self.destination.state == DestinationState::Draining
    }
}

impl FlowPlan {
    /// Place of a destination among the lines.
    #[must_use]
    pub fn place(&self, destination: DestinationId) -> Option<usize> {
        self.lines.iter().position(|line| line.destination.id == destination)
    }

    #[must_use]
    pub fn line(&self, destination: DestinationId) -> Option<&Line> {
        self.lines.iter().find(|line| line.destination.id == destination)
    }

    /// The lines that share calls with the one at `place`: all of its priority.
    pub(super) fn tier(&self, place: usize) -> std::ops::Range<usize> {
        let priority = self.lines[place].destination.priority;
        let first = self.lines.partition_point(|line| line.destination.priority < priority);
        let behind = self.lines.partition_point(|line| line.destination.priority <= priority);
        first..behind
    }
}

/// A number and the way to it.
struct Dialled<'a> {
    trunk: &'a Trunk,
    /// The slave it is on.
    server: Option<ServerId>,
    number: &'a DialNumber,
}

/// One account's configuration by id.
struct Parts<'a> {
    account: AccountId,
    settings: &'a AccountSettings,
    flows: &'a [ForwardingFlow],
    servers: BTreeMap<ServerId, &'a Server>,
    trunks: BTreeMap<TrunkId, &'a Trunk>,
    decks: BTreeMap<RateDeckId, Arc<RateDeck>>,
    schedules: BTreeMap<ScheduleId, Arc<OpeningHours>>,
    /// By name.
    toll_free: Vec<&'a Trunk>,
}

impl<'a> Parts<'a> {
    fn of(account: AccountId, all: &'a Configuration) -> Self {
        let mut toll_free: Vec<&Trunk> =
            all.trunks.iter().filter(|trunk| trunk.carries_toll_free).collect();
        toll_free.sort_by(|a, b| (&a.name, a.id).cmp(&(&b.name, b.id)));
        let decks = all.rate_decks.iter();
        let schedules = all.schedules.iter();
        Self {
            account,
            settings: &all.account,
            flows: &all.forwarding_flows,
            servers: all.servers.iter().map(|server| (server.id, server)).collect(),
            trunks: all.trunks.iter().map(|trunk| (trunk.id, trunk)).collect(),
            decks: decks.map(|deck| (deck.id, Arc::new(deck.clone()))).collect(),
            schedules: schedules.map(|one| (one.id, Arc::new(one.opening.clone()))).collect(),
            toll_free,
        }
    }

    fn flows_of(&self, master: Option<&str>) -> impl Iterator<Item = &'a ForwardingFlow> {
        self.flows.iter().filter(move |flow| {
            let name = self.servers.get(&flow.master).map(|server| server.name.as_str());
            master.is_none() || name == master
        })
    }

    /// What prices calls over `trunk`: its own deck, else for calls to numbers the account's.
    fn deck(&self, trunk: &Trunk, is_to_number: bool) -> Option<&Arc<RateDeck>> {
        let deck = trunk.rate_deck.or(self.settings.rate_deck.filter(|_| is_to_number));
        self.decks.get(&deck?)
    }

    /// Those that stand there, or of the schedule that is named.
    fn hours(&self, hours: Option<&Hours>) -> Option<Arc<OpeningHours>> {
        match hours? {
            Hours::Own(hours) => Some(Arc::new(hours.clone())),
            Hours::Schedule(id) => self.schedules.get(id).cloned(),
        }
    }

    fn plan(&self, flow: &ForwardingFlow, layout: &Layout) -> FlowPlan {
        let zone = flow.time_zone.as_ref().unwrap_or(&self.settings.time_zone);
        let resolve = |destination| self.line(flow, zone, destination, layout);
        let mut lines: Vec<Line> = flow.destinations.iter().filter_map(resolve).collect();
        lines.sort_by_key(|line| line.destination.priority);
        let fallback = match &flow.fallback {
            Fallback::Dialplan | Fallback::HangUp(_) => None,
            Fallback::Number { trunk, number } => {
                let trunk = self.trunks.get(trunk);
                trunk.and_then(|trunk| {
                    self.way(flow, None, &Dialled { trunk, server: None, number }, layout)
                })
            }
        };
        FlowPlan {
            account: self.account,
            flow: flow.clone(),
            lines,
            fallback,
            zone: zone.clone(),
            hours: self.hours(flow.schedule.as_ref()),
            gate: Gate::of(&flow.throttle, zone).map(Box::new),
            is_prepaid: self.settings.prepaid,
        }
    }

    fn line(
        &self,
        flow: &ForwardingFlow,
        zone: &Zone,
        destination: &Destination,
        layout: &Layout,
    ) -> Option<Line> {
        let way = |trunk: &Trunk, server: Option<ServerId>, number: &DialNumber| {
            self.way(flow, Some(destination), &Dialled { trunk, server, number }, layout)
        };
        let ways = match &destination.landing {
            Landing::Slave { server, did } => {
                let server = self.servers.get(server)?;
                vec![way(self.trunks.get(&server.trunk?)?, Some(server.id), did)?]
            }
            Landing::Trunk { trunk, number } => vec![way(self.trunks.get(trunk)?, None, number)?],
            Landing::TollFree { number } if self.settings.toll_free_termination => {
                let number = number.dialled();
                self.toll_free.iter().filter_map(|trunk| way(trunk, None, &number)).collect()
            }
            Landing::TollFree { .. } => Vec::new(),
        };
        let weight = match flow.spread {
            Spread::RoundRobin => destination.weight.min(1),
            Spread::Weighted => destination.weight,
        };
        let zone = destination.time_zone.as_ref().unwrap_or(zone);
        Some(Line {
            destination: destination.clone(),
            ways,
            weight,
            zone: zone.clone(),
            hours: self.hours(destination.schedule.as_ref()),
            gate: Gate::of(&destination.throttle, zone).map(Box::new),
        })
    }

    /// To a destination of `flow`, or to its fallback number.
    fn way(
        &self,
        flow: &ForwardingFlow,
        to: Option<&Destination>,
        dialled: &Dialled<'_>,
        layout: &Layout,
    ) -> Option<Way> {
        let Dialled { trunk, server, number } = *dialled;
        let scopes = [
            to.map(|destination| Scope::Destination(destination.id)),
            server.map(Scope::Server),
            Some(Scope::Trunk(trunk.id)),
            Some(Scope::Account(self.account)),
        ];
        let limits: Vec<u32> =
            scopes.into_iter().flatten().filter_map(|scope| layout.limit(scope)).collect();
        let own_timeout_sec = to.and_then(|destination| destination.ring_timeout_sec);
        let ring_timeout_sec = own_timeout_sec.unwrap_or(flow.ring_timeout_sec);
        let name = to.map_or_else(|| format!("fallback {number}"), |to| to.name.clone());
        let deck = self.deck(trunk, server.is_none());
        let price = deck.map(|deck| deck.tariff(number.as_str(), self.settings.currency));
        Some(Way {
            limited: limits
                .iter()
                .filter_map(|at| Some((*at, layout.limits[*at as usize].max?)))
                .collect(),
            limits,
            trunk: u32::try_from(layout.trunk(trunk.id)?).ok()?,
            is_unrated: price == Some(None),
            offer: Offer {
                destination: to.map(|destination| destination.id),
                name,
                trunk: trunk.id,
                endpoint: trunk.dial_string(number),
                ring_timeout_ms: i64::from(ring_timeout_sec) * 1_000,
                tariff: price.flatten().map(Arc::new),
            },
        })
    }
}

//! All configuration a node routes by, indexed: built once, shared, swapped whole.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::slots::{Limit, Scope};
use crate::model::billing::Tariff;
use crate::model::configuration::Configuration;
use crate::model::destination::{Destination, Landing};
use crate::model::forwarding_flow::ForwardingFlow;
use crate::model::id::{AccountId, DestinationId, ForwardingFlowId, ServerId, TrunkId};
use crate::model::number::{DialNumber, Did};
use crate::model::server::Server;
use crate::model::trunk::Trunk;

/// Immutable. `version` tells which configuration a decision was made on.
#[derive(Debug, Default)]
pub struct Snapshot {
    flows: BTreeMap<ForwardingFlowId, Arc<FlowPlan>>,
    dids: BTreeMap<Did, ForwardingFlowId>,
    trunks: BTreeMap<TrunkId, Trunk>,
}

/// A forwarding flow with everything resolved that a decision needs.
#[derive(Debug)]
pub struct FlowPlan {
    pub account: AccountId,
    pub flow: ForwardingFlow,
    /// By priority, then in the order of the flow. Dangling ones are left out: `check` reports them.
    pub lines: Vec<Line>,
}

/// One destination, ready to be judged.
#[derive(Debug)]
pub struct Line {
    pub destination: Destination,
    pub limits: Vec<Limit>,
    pub offer: Offer,
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
        let mut snapshot = Self::default();
        for (account, configuration) in accounts {
            let servers: BTreeMap<ServerId, &Server> =
                configuration.servers.iter().map(|server| (server.id, server)).collect();
            let trunks: BTreeMap<TrunkId, &Trunk> =
                configuration.trunks.iter().map(|trunk| (trunk.id, trunk)).collect();
            let is_ours = |flow: &&ForwardingFlow| {
                let name = servers.get(&flow.master).map(|server| server.name.as_str());
                master.is_none() || name == master
            };
            for flow in configuration.forwarding_flows.iter().filter(is_ours) {
                let mut lines: Vec<Line> = flow
                    .destinations
                    .iter()
                    .filter_map(|destination| Line::resolve(destination, flow, &servers, &trunks))
                    .collect();
                lines.sort_by_key(|line| line.destination.priority);
                snapshot.dids.extend(flow.dids.iter().map(|did| (did.clone(), flow.id)));
                let plan = FlowPlan { account: *account, flow: flow.clone(), lines };
                snapshot.flows.insert(flow.id, Arc::new(plan));
            }
            snapshot.trunks.extend(configuration.trunks.iter().map(|t| (t.id, t.clone())));
        }
        snapshot
    }

    /// Who owns a DID, byte for byte.
    #[must_use]
    pub fn owner(&self, did: &Did) -> Option<&Arc<FlowPlan>> {
        self.flows.get(self.dids.get(did)?)
    }

    #[must_use]
    pub fn flow(&self, id: ForwardingFlowId) -> Option<&Arc<FlowPlan>> {
        self.flows.get(&id)
    }

    pub fn flows(&self) -> impl Iterator<Item = &Arc<FlowPlan>> {
        self.flows.values()
    }

    pub fn trunks(&self) -> impl Iterator<Item = &Trunk> {
        self.trunks.values()
    }

    /// What dials `number` over `trunk`, outside every limit.
    #[must_use]
    pub fn fallback_offer(
        &self,
        trunk: TrunkId,
        number: &DialNumber,
        ring_timeout_ms: i64,
    ) -> Option<Offer> {
        let endpoint = self.trunks.get(&trunk)?.dial_string(number);
        let name = format!("fallback {number}");
        Some(Offer { destination: None, name, trunk, endpoint, ring_timeout_ms, tariff: None })
    }
}

impl Line {
    fn resolve(
        destination: &Destination,
        flow: &ForwardingFlow,
        servers: &BTreeMap<ServerId, &Server>,
        trunks: &BTreeMap<TrunkId, &Trunk>,
    ) -> Option<Self> {
        let (server, trunk, number) = match &destination.landing {
            Landing::Slave { server, did } => {
                let server = servers.get(server)?;
                (Some(server), trunks.get(&server.trunk?)?, did)
            }
            Landing::Trunk { trunk, number } => (None, trunks.get(trunk)?, number),
            Landing::TollFree { .. } => return None,
        };
        let mut limits =
            vec![Limit { scope: Scope::Destination(destination.id), max: destination.max_live }];
        if let Some(server) = server {
            limits.push(Limit { scope: Scope::Server(server.id), max: server.max_live });
        }
        limits.push(Limit { scope: Scope::Trunk(trunk.id), max: trunk.max_live });
        let ring_timeout_sec = destination.ring_timeout_sec.unwrap_or(flow.ring_timeout_sec);
        let offer = Offer {
            destination: Some(destination.id),
            name: destination.name.clone(),
            trunk: trunk.id,
            endpoint: trunk.dial_string(number),
            ring_timeout_ms: i64::from(ring_timeout_sec) * 1_000,
            tariff: None,
        };
        Some(Self { destination: destination.clone(), limits, offer })
    }
}

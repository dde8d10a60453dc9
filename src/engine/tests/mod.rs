//! The engine on the simulator: whole calls, and any order of events.

mod billing;
mod calls;
mod edges;
mod order;
mod receipts;
mod refusals;

use crate::model::billing::{Currency, Prefix, Rounding, Tariff};
use crate::model::configuration::Configuration;
use crate::model::id::{DestinationId, ForwardingFlowId, RateDeckId, ServerId, TrunkId};
use crate::model::objects::account::DEFAULT_ACCOUNT;
use crate::model::objects::destination::{Destination, DestinationState, Landing};
use crate::model::objects::forwarding_flow::{Fallback, ForwardingFlow, Ringback, Spread};
use crate::model::objects::server::{Server, ServerRole};
use crate::model::objects::trunk::{Reach, Trunk};
use crate::routing::snapshot::Snapshot;

pub const DID: &str = "+12025550100";

/// A cent a second.
pub fn tariff() -> Tariff {
    Tariff {
        deck: RateDeckId::new(1),
        prefix: Prefix::default(),
        per_minute: "0.60".parse().unwrap(),
        increment: "1/1".parse().unwrap(),
        bills_ring_time: false,
        rounding: Rounding::Up,
        decimals: 4,
        currency: Currency::default(),
    }
}

/// A flow that tries `numbers` in order, on the simulator's phones.
pub fn flow(numbers: &[&str]) -> ForwardingFlow {
    let destination = |(at, number): (usize, &&str)| Destination {
        id: DestinationId::new(at as u128 + 1),
        name: (*number).to_owned(),
        landing: Landing::Trunk { trunk: TrunkId::new(1), number: number.parse().unwrap() },
        priority: i32::try_from(at).unwrap(),
        weight: 1,
        max_live: None,
        ring_timeout_sec: None,
        state: DestinationState::Active,
        ..Destination::new(
            DestinationId::new(0),
            "",
            Landing::Trunk { trunk: TrunkId::new(0), number: "0".parse().unwrap() },
        )
    };
    ForwardingFlow {
        id: ForwardingFlowId::new(1),
        name: "solar-east".to_owned(),
        master: ServerId::new(1),
        dids: vec![DID.parse().unwrap()],
        destinations: numbers.iter().enumerate().map(destination).collect(),
        spread: Spread::Weighted,
        ringback: Ringback::Ring,
        ring_timeout_sec: 20,
        ring_budget_sec: 60,
        max_attempts: 6,
        max_call_sec: 3_600,
        fallback: Fallback::HangUp(None),
        ..ForwardingFlow::new(ForwardingFlowId::new(0), "", ServerId::new(0))
    }
}

pub fn snapshot(flow: ForwardingFlow) -> Snapshot {
    built(configuration(flow))
}

pub fn built(configuration: Configuration) -> Snapshot {
    Snapshot::build(&[(DEFAULT_ACCOUNT, configuration)], Some("master"))
}

/// Trunk 1 leads to the simulator's phones, trunk 2 nowhere.
pub fn configuration(flow: ForwardingFlow) -> Configuration {
    let trunk = |id: u128, name: &str| Trunk {
        id: TrunkId::new(id),
        name: name.to_owned(),
        reach: Reach::Endpoint(name.parse().unwrap()),
        max_live: None,
        ..Trunk::new(TrunkId::new(0), "", Reach::Endpoint("x".parse().unwrap()))
    };
    let master = Server {
        id: ServerId::new(1),
        name: "master".to_owned(),
        role: ServerRole::Master,
        trunk: None,
        max_live: None,
    };
    Configuration {
        servers: vec![master],
        trunks: vec![trunk(1, "phones"), trunk(2, "dead")],
        numbers: Vec::new(),
        forwarding_flows: vec![flow],
        ..Configuration::default()
    }
}

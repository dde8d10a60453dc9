//! All configuration of one account, and the difference between two of them.

use serde::{Deserialize, Serialize};

use super::forwarding_flow::ForwardingFlow;
use super::id::{ForwardingFlowId, NumberId, ServerId, TrunkId};
use super::number::Did;
use super::server::Server;
use super::trunk::Trunk;

#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Configuration {
    pub servers: Vec<Server>,
    pub trunks: Vec<Trunk>,
    pub numbers: Vec<Number>,
    /// Sorted by name; the DIDs of each are those numbers whose `forwarding_flow` it is.
    pub forwarding_flows: Vec<ForwardingFlow>,
}

/// A number of the account on one master. It has exactly one owner, or none.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Number {
    pub id: NumberId,
    pub did: Did,
    /// The master it arrives on.
    pub server: ServerId,
    pub forwarding_flow: Option<ForwardingFlowId>,
}

/// One row-level change; a list of them is written in one transaction or not at all.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Change {
    DeleteForwardingFlow(ForwardingFlowId),
    DeleteNumber(NumberId),
    DeleteServer(ServerId),
    DeleteTrunk(TrunkId),
    PutForwardingFlow(ForwardingFlow),
    PutNumber(Number),
    PutServer(Server),
    PutTrunk(Trunk),
}

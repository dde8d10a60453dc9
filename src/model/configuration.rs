//! All configuration of one account, and the steps from one to another.
//!
//! What is wrong between its objects is found in `check`, what may be taken out is said in
//! `removal`, and the difference for people in `plan`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use serde::{Deserialize, Serialize};

use super::account::AccountSettings;
use super::billing::RateDeck;
use super::forwarding_flow::ForwardingFlow;
use super::id::{ForwardingFlowId, NumberId, ObjectId, RateDeckId, ServerId, TrunkId};
use super::number::Did;
use super::server::Server;
use super::trunk::Trunk;

#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Configuration {
    pub account: AccountSettings,
    pub rate_decks: Vec<RateDeck>,
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
///
/// A flow is put with all its destinations. Which DIDs it owns is not part of it: that is said by
/// the numbers, each with its own change.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Change {
    DeleteForwardingFlow(ForwardingFlowId),
    DeleteNumber(NumberId),
    DeleteRateDeck(RateDeckId),
    DeleteServer(ServerId),
    DeleteTrunk(TrunkId),
    PutAccount(AccountSettings),
    PutForwardingFlow(Box<ForwardingFlow>),
    PutNumber(Number),
    PutRateDeck(RateDeck),
    PutServer(Server),
    PutTrunk(Trunk),
}

/// What has an id and a name that is unique among its kind.
pub trait Named: Clone + PartialEq {
    type Id: Copy + Display + Into<ObjectId> + Ord;

    /// The word for it: `server`.
    const KIND: &'static str;

    fn id(&self) -> Self::Id;
    fn name(&self) -> &str;
    #[must_use]
    fn renamed(self, name: String) -> Self;
}

macro_rules! named {
    ($($type:ident $id:ident $kind:literal;)*) => {$(
        impl Named for $type {
            type Id = $id;

            const KIND: &'static str = $kind;

            fn id(&self) -> $id {
                self.id
            }

            fn name(&self) -> &str {
                &self.name
            }

            fn renamed(self, name: String) -> Self {
                Self { name, ..self }
            }
        }
    )*};
}

named! {
    ForwardingFlow ForwardingFlowId "forwarding flow";
    RateDeck RateDeckId "rate deck";
    Server ServerId "server";
    Trunk TrunkId "trunk";
}

impl Configuration {
    #[must_use]
    pub fn server(&self, id: ServerId) -> Option<&Server> {
        self.servers.iter().find(|server| server.id == id)
    }

    #[must_use]
    pub fn rate_deck(&self, id: RateDeckId) -> Option<&RateDeck> {
        self.rate_decks.iter().find(|deck| deck.id == id)
    }

    #[must_use]
    pub fn trunk(&self, id: TrunkId) -> Option<&Trunk> {
        self.trunks.iter().find(|trunk| trunk.id == id)
    }

    #[must_use]
    pub fn forwarding_flow(&self, id: ForwardingFlowId) -> Option<&ForwardingFlow> {
        self.forwarding_flows.iter().find(|flow| flow.id == id)
    }

    /// Brings everything into the order in which two equal configurations are equal: objects by
    /// name, DIDs by their characters. Destinations keep the order their flow gives them.
    pub fn sort(&mut self) {
        self.rate_decks.sort_by(|a, b| a.name.cmp(&b.name));
        self.servers.sort_by(|a, b| a.name.cmp(&b.name));
        self.trunks.sort_by(|a, b| a.name.cmp(&b.name));
        self.forwarding_flows.sort_by(|a, b| a.name.cmp(&b.name));
        self.numbers.sort_by(|a, b| (&a.did, a.server).cmp(&(&b.did, b.server)));
        for flow in &mut self.forwarding_flows {
            flow.dids.sort();
            flow.dids.dedup();
        }
    }

    /// Makes the numbers say what the flows' DIDs say: each DID of a flow has a number of that
    /// owner on the flow's master, and a number that no flow lists is kept only if it was owned by
    /// nobody before or `keep` names it.
    pub fn settle_numbers(
        &mut self,
        keep: &BTreeSet<(ServerId, Did)>,
        mint: &mut dyn FnMut() -> u128,
    ) {
        let mut owners: BTreeMap<(ServerId, Did), ForwardingFlowId> = BTreeMap::new();
        for flow in &self.forwarding_flows {
            for did in &flow.dids {
                owners.entry((flow.master, did.clone())).or_insert(flow.id);
            }
        }
        self.numbers.retain_mut(|number| {
            let key = (number.server, number.did.clone());
            let before = number.forwarding_flow;
            number.forwarding_flow = owners.remove(&key);
            number.forwarding_flow.is_some() || before.is_none() || keep.contains(&key)
        });
        self.numbers.extend(owners.into_iter().map(|((server, did), flow)| Number {
            id: NumberId::new(mint()),
            did,
            server,
            forwarding_flow: Some(flow),
        }));
    }
}

/// The changes that lead from `old` to `new`, in an order in which each can be applied by itself:
/// no reference dangles and no name is taken twice in between. Empty when they are the same.
#[must_use]
pub fn diff(old: &Configuration, new: &Configuration) -> Vec<Change> {
    let mut changes = Vec::new();
    step_aside(&old.rate_decks, &new.rate_decks, Change::PutRateDeck, &mut changes);
    step_aside(&old.trunks, &new.trunks, Change::PutTrunk, &mut changes);
    step_aside(&old.servers, &new.servers, Change::PutServer, &mut changes);
    let flow = |flow| Change::PutForwardingFlow(Box::new(flow));
    step_aside(&old.forwarding_flows, &new.forwarding_flows, flow, &mut changes);

    put(&old.rate_decks, &new.rate_decks, Change::PutRateDeck, &mut changes);
    if old.account != new.account {
        changes.push(Change::PutAccount(new.account.clone()));
    }
    put(&old.trunks, &new.trunks, Change::PutTrunk, &mut changes);
    put(&old.servers, &new.servers, Change::PutServer, &mut changes);
    for flow in &new.forwarding_flows {
        if old.forwarding_flow(flow.id).is_none_or(|before| !same_but_dids(before, flow)) {
            changes.push(Change::PutForwardingFlow(Box::new(flow.clone())));
        }
    }
    let kept: BTreeSet<NumberId> = new.numbers.iter().map(|number| number.id).collect();
    let gone = |number: &&Number| !kept.contains(&number.id);
    let by_id: BTreeMap<NumberId, &Number> = old.numbers.iter().map(|n| (n.id, n)).collect();
    changes.extend(old.numbers.iter().filter(gone).map(|n| Change::DeleteNumber(n.id)));
    let differs = |number: &&Number| by_id.get(&number.id) != Some(number);
    changes.extend(new.numbers.iter().filter(differs).cloned().map(Change::PutNumber));

    let flow = Change::DeleteForwardingFlow;
    delete(&old.forwarding_flows, &new.forwarding_flows, flow, &mut changes);
    delete(&old.servers, &new.servers, Change::DeleteServer, &mut changes);
    delete(&old.trunks, &new.trunks, Change::DeleteTrunk, &mut changes);
    delete(&old.rate_decks, &new.rate_decks, Change::DeleteRateDeck, &mut changes);
    changes
}

fn same_but_dids(a: &ForwardingFlow, b: &ForwardingFlow) -> bool {
    let mut a = a.clone();
    a.dids.clone_from(&b.dids);
    a == *b
}

/// Whoever holds a name that another will bear is first called by its id.
fn step_aside<T: Named>(old: &[T], new: &[T], put: fn(T) -> Change, changes: &mut Vec<Change>) {
    let wanted: BTreeMap<&str, T::Id> = new.iter().map(|one| (one.name(), one.id())).collect();
    for holder in old {
        if wanted.get(holder.name()).is_some_and(|heir| *heir != holder.id()) {
            changes.push(put(holder.clone().renamed(holder.id().to_string())));
        }
    }
}

fn put<T: Named>(old: &[T], new: &[T], put: fn(T) -> Change, changes: &mut Vec<Change>) {
    let before: BTreeMap<T::Id, &T> = old.iter().map(|one| (one.id(), one)).collect();
    let differs = |one: &&T| before.get(&one.id()) != Some(one);
    changes.extend(new.iter().filter(differs).cloned().map(put));
}

fn delete<T: Named>(old: &[T], new: &[T], delete: fn(T::Id) -> Change, changes: &mut Vec<Change>) {
    let kept: BTreeSet<T::Id> = new.iter().map(T::id).collect();
    changes.extend(old.iter().map(T::id).filter(|id| !kept.contains(id)).map(delete));
}

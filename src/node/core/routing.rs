//! What routing is told besides calls, and what it is asked: memory, balances, endpoints, reasons.

use std::collections::BTreeMap;

use super::Core;
use crate::api::{ExplainQuestion, NodeStatus};
use crate::clock;
use crate::model::billing::Micros;
use crate::model::call::CallRecord;
use crate::model::id::{AccountId, ForwardingFlowId, TrunkId};
use crate::model::time::Timestamp;
use crate::node::health::Endpoints;
use crate::node::watch::Recalled;
use crate::routing::explain::{self, ExplainedCall, FlowLive};
use crate::routing::standing;
use crate::store::Record;

/// So old may what the store says be when it is heard here.
const POSTED_MS: i64 = 1_000;

/// A bill that the store may not have counted yet.
pub(super) struct Billed {
    at: Timestamp,
    /// Its row among those that are written.
    place: u64,
    account: AccountId,
    amount: Micros,
}

impl Core {
    /// What was remembered of flows, caps and rules that are new here.
    pub fn recall(&mut self, recalled: Recalled) {
        for what in recalled.remembered {
            self.state.recall(&self.snapshot, what);
        }
        for (flow, visits) in recalled.visits {
            for (caller, visit) in visits {
                self.state.recall_visit(&self.snapshot, flow, &caller, visit);
            }
        }
    }

    /// What the store says is left of prepaid accounts. It may not know yet of what was billed a
    /// moment ago: that is taken off once more, so that an account has rather less than too much.
    pub fn balances_are(&mut self, balances: &BTreeMap<AccountId, Micros>) {
        let now = clock::now();
        self.billed.retain(|bill| {
            now.since_ms(bill.at) < POSTED_MS || !self.writer.has_written(bill.place)
        });
        for (account, balance) in balances {
            self.state.set_balance(*account, Some(*balance));
        }
        for bill in &self.billed {
            self.state.charge(bill.account, bill.amount);
        }
    }

    /// A bill is on its way to the store.
    pub(super) fn was_billed(&mut self, at: Timestamp, account: AccountId, amount: Micros) {
        if self.snapshot.has_prepaid() {
            self.state.charge(account, amount);
            self.billed.push(Billed { at, place: self.writer.place(), account, amount });
        }
    }

    /// How the wheels stand goes to the store: now and then is enough.
    pub fn remember_wheels(&mut self) {
        for (account, what) in self.state.turned_wheels() {
            self.writer.push(Record::Remembered { account, what });
        }
    }

    /// Why, and where to: as for a call that came now.
    pub fn explain(&self, account: AccountId, question: &ExplainQuestion) -> Option<ExplainedCall> {
        let ExplainQuestion { did, caller, at } = question;
        explain::explain_call(
            &self.snapshot,
            &self.state,
            account,
            &explain::SupposedCall { did, caller, at: *at },
        )
    }

    /// How a flow stands.
    pub fn live(&self, account: AccountId, flow: ForwardingFlowId) -> Option<FlowLive> {
        self.snapshot.flow(flow).filter(|plan| plan.account == account)?;
        explain::live(&self.snapshot, &self.state, flow, clock::now())
    }

    /// How the node of this name stands, as far as it concerns the account.
    pub fn status(&self, name: String, account: AccountId) -> NodeStatus {
        let mut live = BTreeMap::new();
        let mut live_calls = 0;
        let theirs = |call: &&CallRecord| call.account == account && call.ended_at.is_none();
        for call in self.engine.calls().filter(theirs) {
            live_calls += 1;
            if let Some((flow, _)) = &call.flow {
                *live.entry(*flow).or_insert(0) += 1;
            }
        }
        let mut flows: Vec<_> = live
            .into_iter()
            .filter_map(|(id, live)| Some((id, self.snapshot.flow(id)?.flow.name.clone(), live)))
            .collect();
        flows.sort_by(|(_, a, live), (_, b, more)| more.cmp(live).then_with(|| a.cmp(b)));
        NodeStatus {
            name,
            up_since: self.up_since,
            version: self.version.clone(),
            startup_time: self.startup_time.clone(),
            live_calls,
            flows,
            trunks: standing::trunks(&self.snapshot, &self.state, clock::now()),
        }
    }

    /// What Asterisk says of the endpoints behind the trunks. Void while it is not known whether it is
    /// the Asterisk that was there before. Gives the trunks that are to be looked into.
    pub fn endpoints_are(&mut self, endpoints: &Endpoints) -> Vec<TrunkId> {
        if self.held_back.is_some() {
            return Vec::new();
        }
        self.state.follow(&self.snapshot);
        for (trunk, is_up) in self.trunks.see(self.snapshot.trunks(), endpoints, clock::now()) {
            self.state.set_endpoint(trunk, is_up);
        }
        self.trunks.doubted(clock::now())
    }

    /// Whether Asterisk has every trunk that divert makes there.
    pub fn trunks_are_made(&self) -> Result<(), String> {
        let missing = self.trunks.missing();
        if missing.is_empty() {
            return Ok(());
        }
        let names = missing.join("\", \"");
        Err(format!("Asterisk lost, or does not take, the endpoint of trunk \"{names}\""))
    }
}

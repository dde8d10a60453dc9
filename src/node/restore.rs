//! What an earlier process of the node left in the store, taken back at the start.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::bail;
use tracing::info;

use super::core::Core;
use super::watch::{self, Recalled};
use crate::clock;
use crate::engine::journal::JournalEntry;
use crate::model::billing::Micros;
use crate::model::call::CallRecord;
use crate::model::id::{AccountId, LegId};
use crate::model::slot::{Holding, Scope};
use crate::model::time::Timestamp;
use crate::routing::sessions;
use crate::routing::snapshot::Snapshot;
use crate::store::{Db, JournalLine, Reconciled, StoreError};

/// All of it, read before the first of it counts: a store that goes away meanwhile is asked again.
pub struct Left {
    /// What was remembered of the flows of this node.
    recalled: Recalled,
    /// Where there are prepaid accounts.
    balances: Option<BTreeMap<AccountId, Micros>>,
    startup: Option<String>,
    heard_at: Option<Timestamp>,
    /// The calls left open, with the lines of their journals.
    open: Vec<(CallRecord, Vec<JournalLine>)>,
    slots: BTreeMap<LegId, BTreeSet<Scope>>,
    recent: Vec<CallRecord>,
}

impl Left {
    /// # Errors
    /// [`StoreError`] when it cannot be read.
    pub async fn read(db: &Db, node: &str, snapshot: &Snapshot) -> Result<Self, StoreError> {
        let recalled = watch::recall(db, &Snapshot::default(), snapshot).await?;
        let mut balances = None;
        if snapshot.has_prepaid() {
            balances = Some(watch::read_balances(db, db.accounts().await?).await?);
        }
        let mut open = Vec::new();
        for record in db.open_calls(node).await? {
            let lines = db.journal(record.account, record.id).await?;
            open.push((record, lines));
        }
        let since = clock::now().plus_ms(-sessions::SPAN_MS);
        Ok(Self {
            recalled,
            balances,
            startup: db.startup(node).await?,
            heard_at: db.heard_at(node).await?,
            open,
            slots: db.slots_of(node).await?,
            recent: db.recent_calls(node, since).await?,
        })
    }

    /// Gives it to the loop; returns the slots that are held.
    ///
    /// # Errors
    /// The journal of an open call is of another version.
    pub fn take_over(self, core: &mut Core) -> anyhow::Result<Vec<Holding>> {
        core.recall(self.recalled);
        if let Some(balances) = self.balances {
            core.balances_are(&balances);
        }
        core.remember_startup(self.startup);
        core.remember_heard(self.heard_at);
        for (record, lines) in self.open {
            let mut journal = Vec::with_capacity(lines.len());
            for line in lines {
                match serde_json::from_value::<JournalEntry>(line.body) {
                    Ok(entry) => journal.push(entry),
                    Err(error) => bail!(
                        "the journal of {} cannot be read by this version of divert ({error}); \
                         stop with the version that wrote it and let its calls end",
                        record.id
                    ),
                }
            }
            core.restore(&record, &journal);
        }
        core.restore_sessions(self.recent);
        Ok(core.readopt_slots(&self.slots))
    }
}

/// Makes the ledger in the store say what this node holds.
///
/// # Errors
/// [`StoreError`] when it cannot be written.
pub async fn set_slots_right(db: &Db, node: &str, held: &[Holding]) -> Result<(), StoreError> {
    let found = db.reconcile_slots(node, held).await?;
    if found != Reconciled::default() {
        info!(
            released = found.released,
            inserted = found.inserted,
            miscounted = found.miscounted,
            "slots in the ledger are set right"
        );
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Arc;

    use tokio::sync::mpsc;
    use wiremock::MockServer;

    use super::*;
    use crate::api::ExplainQuestion;
    use crate::model::billing::Rounding;
    use crate::model::configuration::Configuration;
    use crate::model::id::{DestinationId, ForwardingFlowId, RateDeckId, ServerId, TrunkId};
    use crate::model::number::Caller;
    use crate::model::objects::account::{AccountSettings, DEFAULT_ACCOUNT};
    use crate::model::objects::destination::{Destination, Landing};
    use crate::model::objects::forwarding_flow::ForwardingFlow;
    use crate::model::objects::rate_deck::{Rate, RateDeck};
    use crate::model::objects::server::{Server, ServerRole};
    use crate::model::objects::trunk::{Reach, Trunk};
    use crate::model::timeline::Unroutable;
    use crate::node::lanes::Lanes;
    use crate::node::ledger::Ledger;
    use crate::node::tests::client_of;
    use crate::node::writer::Writer;
    use crate::routing::decide::Decision;

    /// One flow of a prepaid account, on which every call costs.
    pub fn prepaid() -> Configuration {
        let (master, trunk, deck) = (ServerId::new(1), TrunkId::new(1), RateDeckId::new(1));
        let landing = Landing::Trunk { trunk, number: "1001".parse().unwrap() };
        let mut flow = ForwardingFlow::new(ForwardingFlowId::new(1), "flow", master);
        flow.dids = vec!["100".parse().unwrap()];
        flow.destinations = vec![Destination::new(DestinationId::new(1), "a", landing)];
        let rate = Rate {
            prefix: "".parse().unwrap(),
            per_minute: "0.01".parse().unwrap(),
            increment: "1/1".parse().unwrap(),
        };
        Configuration {
            account: AccountSettings {
                prepaid: true,
                rate_deck: Some(deck),
                ..AccountSettings::default()
            },
            rate_decks: vec![RateDeck {
                id: deck,
                name: "retail".into(),
                rates: vec![rate].into(),
                bills_ring_time: false,
                rounding: Rounding::default(),
                decimals: RateDeck::DECIMALS,
            }],
            servers: vec![Server {
                id: master,
                name: "master".into(),
                role: ServerRole::Master,
                trunk: None,
                max_live: None,
            }],
            trunks: vec![Trunk::new(trunk, "phones", Reach::Endpoint("phones".parse().unwrap()))],
            forwarding_flows: vec![flow],
            ..Configuration::default()
        }
    }

    #[tokio::test]
    async fn a_prepaid_account_that_was_never_paid_into_has_nothing_from_the_first_call_on() {
        let folder = tempfile::TempDir::new().unwrap();
        let url = format!("sqlite:{}", folder.path().join("divert.sqlite").display());
        let db = Db::open(&url).await.unwrap();
        let snapshot = Arc::new(Snapshot::build(&[(DEFAULT_ACCOUNT, prepaid())], Some("master")));
        let lanes = Lanes::new(client_of(&MockServer::start().await), mpsc::channel(1).0);
        let (writer, _) = Writer::start(db.clone(), "a".into(), None);
        let ledger = Ledger::memory(writer.clone());
        let mut core = Core::new(Arc::clone(&snapshot), lanes, writer, ledger);
        let left = Left::read(&db, "a", &snapshot).await.unwrap();
        left.take_over(&mut core).unwrap();

        let (did, caller) = ("100".parse().unwrap(), Caller::default());
        let question = ExplainQuestion { did, caller, at: clock::now() };
        let told = core.explain(DEFAULT_ACCOUNT, &question).unwrap().explanation.decision;
        let reason = match &told {
            Decision::Unroutable { reason, .. } => Some(*reason),
            Decision::Picked { .. } | Decision::Refused { .. } => None,
        };
        assert_eq!(reason, Some(Unroutable::NoCredit), "{told:?}");
    }
}

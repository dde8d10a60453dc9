//! What an earlier process of the node left in the store, taken back at the start.

use anyhow::bail;
use tracing::info;

use super::core::Core;
use crate::clock;
use crate::engine::journal::JournalEntry;
use crate::routing::sessions;
use crate::routing::snapshot::Snapshot;
use crate::store::{Db, Reconciled, StoreError};

/// What earlier processes remembered of the flows of this node.
pub async fn recall(core: &mut Core, db: &Db, snapshot: &Snapshot) -> Result<(), StoreError> {
    for account in db.accounts().await? {
        core.recall(db.remembered(account).await?);
    }
    for plan in snapshot.flows() {
        if let Some(rule) = plan.flow.repeat_caller {
            let since = clock::now().plus_ms(-i64::from(rule.within_sec) * 1_000);
            let visits = db.visits(plan.account, plan.flow.id, since).await?;
            core.recall_visits(plan.flow.id, visits);
        }
    }
    if snapshot.has_prepaid() {
        core.balances_are(&db.balances().await?);
    }
    Ok(())
}

/// The calls that an earlier process of this node left open.
pub async fn take_over(core: &mut Core, db: &Db, node: &str) -> anyhow::Result<()> {
    core.remember_startup(db.startup(node).await?);
    core.remember_heard(db.heard_at(node).await?);
    for record in db.open_calls(node).await? {
        let lines = db.journal(record.account, record.id).await?;
        let mut journal = Vec::with_capacity(lines.len());
        for line in lines {
            match serde_json::from_value::<JournalEntry>(line.body) {
                Ok(entry) => journal.push(entry),
                Err(error) => bail!(
                    "the journal of {} cannot be read by this version of divert ({error}); stop \
                     with the version that wrote it and let its calls end",
                    record.id
                ),
            }
        }
        core.restore(&record, &journal);
    }
    let found = db.reconcile_slots(node, &core.readopt_slots()).await?;
    if found != Reconciled::default() {
        info!(
            released = found.released,
            inserted = found.inserted,
            miscounted = found.miscounted,
            "slots in the ledger are set right"
        );
    }
    let since = clock::now().plus_ms(-sessions::SPAN_MS);
    core.restore_sessions(db.recent_calls(node, since).await?);
    Ok(())
}

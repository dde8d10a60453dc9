//! Rows on their way to the store: appended at once, written in batches behind the calls.
//!
//! No call waits for the disk. While the store is away rows are kept in memory, within bounds: then
//! journal and timeline are shed first, and rows of calls last.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use tracing::{error, info, warn};

use crate::store::{Db, Record};

/// Rows in one transaction.
const BATCH: usize = 1_000;
/// How long rows gather before they are written.
const GATHER: Duration = Duration::from_millis(50);
/// From here on detail is shed …
const MAX_DETAIL: usize = 200_000;
/// … and from here on everything.
const MAX_ROWS: usize = 1_000_000;
const RETRY: Duration = Duration::from_millis(250);

/// Where the loop puts rows. Never blocks.
#[derive(Clone, Debug)]
pub struct Writer {
    queue: mpsc::UnboundedSender<Record>,
    depth: Arc<AtomicUsize>,
    pushed: Arc<AtomicU64>,
    written: Arc<AtomicU64>,
}

impl Writer {
    /// Starts the writing task, which ends when the last `Writer` is dropped and all is written.
    #[must_use]
    pub fn start(db: Db, node: String) -> (Self, tokio::task::JoinHandle<()>) {
        let (queue, rows) = mpsc::unbounded_channel();
        let depth = Arc::new(AtomicUsize::new(0));
        let (pushed, written) = (Arc::default(), Arc::default());
        let progress = (Arc::clone(&depth), Arc::clone(&written));
        let task = tokio::spawn(write(db, node, rows, progress));
        (Self { queue, depth, pushed, written }, task)
    }

    pub fn push(&self, row: Record) {
        let is_detail = matches!(row, Record::Journal { .. } | Record::Step { .. });
        let max = if is_detail { MAX_DETAIL } else { MAX_ROWS };
        if self.depth.load(Ordering::Relaxed) >= max {
            metrics::counter!("divert_rows_shed_total").increment(1);
            return;
        }
        self.depth.fetch_add(1, Ordering::Relaxed);
        self.pushed.fetch_add(1, Ordering::Relaxed);
        if self.queue.send(row).is_err() {
            error!("the writing task is gone: a row is lost");
        }
    }
}

impl Writer {
    /// The place of the row that was pushed last, for [`Writer::has_written`].
    #[must_use]
    pub fn place(&self) -> u64 {
        self.pushed.load(Ordering::Relaxed)
    }

    /// Whether everything up to `place` is in the store, or will never be.
    #[must_use]
    pub fn has_written(&self, place: u64) -> bool {
        self.written.load(Ordering::Relaxed) >= place
    }
}

async fn write(
    db: Db,
    node: String,
    mut rows: mpsc::UnboundedReceiver<Record>,
    (depth, written): (Arc<AtomicUsize>, Arc<AtomicU64>),
) {
    let mut batch = Vec::with_capacity(BATCH);
    while rows.recv_many(&mut batch, BATCH).await > 0 {
        if batch.len() < BATCH {
            tokio::time::sleep(GATHER).await;
            while batch.len() < BATCH
                && let Ok(row) = rows.try_recv()
            {
                batch.push(row);
            }
        }
        let taken = batch.len();
        coalesce(&mut batch);
        store(&db, &node, &batch).await;
        batch.clear();
        written.fetch_add(taken as u64, Ordering::Relaxed);
        let left = depth.fetch_sub(taken, Ordering::Relaxed) - taken;
        metrics::gauge!("divert_db_spool_events")
            .set(f64::from(u32::try_from(left).unwrap_or(u32::MAX)));
    }
}

/// Of several states of one call or leg within a batch only the last is worth writing; of slots
/// that came and went, nothing.
fn coalesce(batch: &mut Vec<Record>) {
    let mut seen = BTreeSet::new();
    let mut gone = BTreeSet::new();
    let mut passing = BTreeSet::new();
    let mut at = batch.len();
    let mut keep = vec![true; at];
    for row in batch.iter().rev() {
        at -= 1;
        keep[at] = match row {
            Record::Call(call) => seen.insert((call.id, None)),
            Record::Leg { leg, .. } => seen.insert((leg.call, Some(leg.no))),
            Record::SlotReleased { leg } => gone.insert(*leg),
            Record::SlotTaken(holding) => {
                let is_passing = gone.contains(&holding.leg);
                if is_passing {
                    passing.insert(holding.leg);
                }
                !is_passing
            }
            Record::Cdr(_)
            | Record::Journal { .. }
            | Record::Remembered { .. }
            | Record::Step { .. } => true,
        };
    }
    let mut keep = keep.into_iter();
    batch.retain(|row| {
        let is_passing = matches!(row, Record::SlotReleased { leg } if passing.contains(leg));
        keep.next().unwrap_or(true) && !is_passing
    });
    // Rows of calls first: the others refer to them.
    batch.sort_by_key(|row| !matches!(row, Record::Call(_)));
}

/// Until it is written, or until it is plain that it never will be.
async fn store(db: &Db, node: &str, batch: &[Record]) {
    let mut is_down = false;
    while let Err(error) = db.record(node, batch).await {
        if !error.may_retry() {
            if batch.len() > 1 {
                // One bad row must not take the others with it.
                let (first, second) = batch.split_at(batch.len() / 2);
                Box::pin(store(db, node, first)).await;
                Box::pin(store(db, node, second)).await;
                return;
            }
            error!(rows = batch.len(), %error, "a row refused by the store is lost");
            metrics::counter!("divert_rows_lost_total").increment(batch.len() as u64);
            return;
        }
        if !is_down {
            is_down = true;
            warn!(%error, "the store is away; calls go on, rows wait in memory");
        }
        tokio::time::sleep(RETRY).await;
    }
    if is_down {
        info!("the store is back; waiting rows are written");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::account::DEFAULT_ACCOUNT;
    use crate::model::id::{CallId, LegId};
    use crate::model::slot::Holding;
    use crate::model::time::Timestamp;

    #[test]
    fn slots_that_come_and_go_within_a_batch_are_not_written() {
        let leg = |call| LegId { call: CallId::new(call), no: 1 };
        let taken = |call| {
            Record::SlotTaken(Holding {
                account: DEFAULT_ACCOUNT,
                leg: leg(call),
                limits: Vec::new(),
                taken_at: Timestamp(0),
                expires_at: Timestamp(1),
            })
        };
        let released = |call| Record::SlotReleased { leg: leg(call) };
        let mut batch =
            vec![taken(1), taken(2), released(3), released(1), taken(4), released(4), released(3)];
        coalesce(&mut batch);
        assert_eq!(batch, [taken(2), released(3)]);
    }
}

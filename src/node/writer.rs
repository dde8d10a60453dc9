//! Rows on their way to the store: appended at once, written in batches behind the calls.
//!
//! No call waits for the disk. While the store is away rows are kept in memory, within bounds: then
//! journal and timeline are shed first, and rows of calls last.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
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
}

impl Writer {
    /// Starts the writing task, which ends when the last `Writer` is dropped and all is written.
    pub fn start(db: Db, node: String) -> (Self, tokio::task::JoinHandle<()>) {
        let (queue, rows) = mpsc::unbounded_channel();
        let depth = Arc::new(AtomicUsize::new(0));
        let task = tokio::spawn(write(db, node, rows, Arc::clone(&depth)));
        (Self { queue, depth }, task)
    }

    pub fn push(&self, row: Record) {
        let is_detail = matches!(row, Record::Journal { .. } | Record::Step { .. });
        let max = if is_detail { MAX_DETAIL } else { MAX_ROWS };
        if self.depth.load(Ordering::Relaxed) >= max {
            metrics::counter!("divert_rows_shed_total").increment(1);
            return;
        }
        self.depth.fetch_add(1, Ordering::Relaxed);
        if self.queue.send(row).is_err() {
            error!("the writing task is gone: a row is lost");
        }
    }
}

async fn write(
    db: Db,
    node: String,
    mut rows: mpsc::UnboundedReceiver<Record>,
    depth: Arc<AtomicUsize>,
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
        let left = depth.fetch_sub(taken, Ordering::Relaxed) - taken;
        metrics::gauge!("divert_db_spool_events")
            .set(f64::from(u32::try_from(left).unwrap_or(u32::MAX)));
    }
}

/// Of several states of one call or leg within a batch only the last is worth writing.
fn coalesce(batch: &mut Vec<Record>) {
    let mut seen = std::collections::BTreeSet::new();
    let mut at = batch.len();
    let mut keep = vec![true; at];
    for row in batch.iter().rev() {
        at -= 1;
        keep[at] = match row {
            Record::Call(call) => seen.insert((call.id, None)),
            Record::Leg { leg, .. } => seen.insert((leg.call, Some(leg.no))),
            Record::Cdr(_) | Record::Journal { .. } | Record::Step { .. } => true,
        };
    }
    let mut keep = keep.into_iter();
    batch.retain(|_| keep.next().unwrap_or(true));
    // Rows of calls first: the others refer to them.
    batch.sort_by_key(|row| !matches!(row, Record::Call(_)));
}

/// Until it is written, or until it is plain that it never will be.
async fn store(db: &Db, node: &str, batch: &[Record]) {
    let mut is_down = false;
    while let Err(error) = db.record(node, batch).await {
        if !error.may_retry() {
            error!(rows = batch.len(), %error, "rows refused by the store are lost");
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

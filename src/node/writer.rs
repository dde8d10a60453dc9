//! Rows on their way to the store: appended at once, written in batches behind the calls.
//!
//! No call waits for the disk. While the store is away rows wait in memory and, after a moment, in the
//! [`Spool`] as well; both have bounds, at which journal and timeline are shed first, and rows of
//! calls last.

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::{debug, error, info, warn};

use super::keeper::{Keeper, News};
use super::spool::Spool;
use crate::api::RowCounts;
use crate::store::{Db, Record, StoreError};

/// Rows in one transaction.
pub(super) const BATCH: usize = 1_000;
/// How long rows gather before they are written.
const GATHER: Duration = Duration::from_millis(50);
/// From here on detail is shed …
const MAX_DETAIL: u64 = 200_000;
/// … and from here on everything.
const MAX_ROWS: u64 = 1_000_000;
const RETRY: Duration = Duration::from_millis(250);
/// How long the store may take over a batch: it may be at the other end of a cable that was cut.
const PATIENCE: Duration = Duration::from_secs(30);
/// When nothing was written for so long, rows that wait are put into the spool, again and again.
const LATE: Duration = Duration::from_secs(1);
/// How often what is in the database's log is brought into the database itself.
const CHECKPOINT: Duration = Duration::from_mins(1);

/// Where the loop puts rows. Never blocks.
#[derive(Clone, Debug)]
pub struct Writer {
    queue: mpsc::UnboundedSender<Record>,
    progress: Arc<Progress>,
}

/// How far the writing has got.
#[derive(Debug, Default)]
pub struct Progress {
    pushed: AtomicU64,
    /// In the store, or lost.
    written: AtomicU64,
    spooled: AtomicU64,
    lost: AtomicU64,
    is_shedding: AtomicBool,
    /// Why nothing is written just now.
    away: Mutex<Option<String>>,
    /// Why the spool takes nothing.
    spool_fault: Mutex<Option<String>>,
}

impl Writer {
    /// Starts the writing task, which ends when the last `Writer` is dropped and all is written.
    #[must_use]
    pub fn start(db: Db, node: String, spool: Option<Spool>) -> (Self, JoinHandle<()>) {
        let (queue, rows) = mpsc::unbounded_channel();
        let progress = Arc::new(Progress::default());
        progress.lose(0, SHED);
        progress.lose(0, REFUSED);
        let spool = spool.and_then(|spool| {
            let started = Keeper::start(spool);
            started.inspect_err(|error| error!(%error, "rows will wait in memory only")).ok()
        });
        let writing = Writing {
            db,
            node,
            spool,
            queue: rows,
            is_open: true,
            fresh: Vec::with_capacity(BATCH),
            waiting: VecDeque::new(),
            done: 0,
            given: 0,
            given_before: 0,
            kept: 0,
            checkpoint_at: Instant::now() + CHECKPOINT,
            progress: Arc::clone(&progress),
        };
        (Self { queue, progress }, tokio::spawn(writing.run()))
    }

    pub fn push(&self, row: Record) {
        let progress = &self.progress;
        let max = if row.is_detail() { MAX_DETAIL } else { MAX_ROWS };
        if progress.waiting() >= max {
            progress.lose(1, SHED);
            if !progress.is_shedding.swap(true, Ordering::Relaxed) {
                error!("too many rows wait for the store: details of calls are no longer kept");
            }
            return;
        }
        progress.pushed.fetch_add(1, Ordering::Relaxed);
        if self.queue.send(row).is_err() {
            error!("the writing task is gone: a row is lost");
        }
    }

    /// The place of the row that was pushed last, for [`Writer::has_written`].
    #[must_use]
    pub fn place(&self) -> u64 {
        self.progress.pushed.load(Ordering::Relaxed)
    }

    /// Whether everything up to `place` is in the store, or will never be.
    #[must_use]
    pub fn has_written(&self, place: u64) -> bool {
        self.progress.written.load(Ordering::Relaxed) >= place
    }

    #[must_use]
    pub fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }
}

/// More rows than may wait.
const SHED: &str = "shed";
/// Rows that the store will never take.
const REFUSED: &str = "refused";

impl Progress {
    #[must_use]
    pub fn rows(&self) -> RowCounts {
        RowCounts {
            waiting: self.waiting(),
            spooled: self.spooled.load(Ordering::Relaxed),
            lost: self.lost.load(Ordering::Relaxed),
        }
    }

    /// # Errors
    /// Why nothing is written just now, in plain words.
    pub fn state(&self) -> Result<(), String> {
        let Some(why) = locked(&self.away).clone() else {
            return Ok(());
        };
        let mut text = format!("{} rows wait to be written: {why}", self.waiting());
        if let Some(why) = &*locked(&self.spool_fault) {
            text.push_str("; they are in memory only: ");
            text.push_str(why);
        }
        Err(text)
    }

    fn waiting(&self) -> u64 {
        let written = self.written.load(Ordering::Relaxed);
        self.pushed.load(Ordering::Relaxed).saturating_sub(written)
    }

    fn lose(&self, rows: u64, why: &'static str) {
        self.lost.fetch_add(rows, Ordering::Relaxed);
        metrics::counter!("divert_rows_lost_total", "why" => why).increment(rows);
    }

    fn tell(&self) {
        let rows = self.rows();
        let set = |name, rows| {
            metrics::gauge!(name).set(f64::from(u32::try_from(rows).unwrap_or(u32::MAX)));
        };
        set("divert_rows_waiting", rows.waiting);
        set("divert_rows_spooled", rows.spooled);
    }
}

fn locked(text: &Mutex<Option<String>>) -> MutexGuard<'_, Option<String>> {
    text.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The writing task. Places of rows count from the first that came.
struct Writing {
    db: Db,
    node: String,
    spool: Option<Keeper>,
    queue: mpsc::UnboundedReceiver<Record>,
    is_open: bool,
    /// Empty between two looks at the queue.
    fresh: Vec<Record>,
    /// Those that come after the batch under way, the oldest first.
    waiting: VecDeque<Record>,
    /// How many rows are written.
    done: u64,
    /// Up to which place rows were given to the spool …
    given: u64,
    /// … the same before it got those which it works on …
    given_before: u64,
    /// … and up to which they are in it; 0 while it is empty.
    kept: u64,
    checkpoint_at: Instant,
    progress: Arc<Progress>,
}

/// Rows that are written together.
struct Batch {
    rows: Arc<Vec<Record>>,
    /// How many they were before those that say nothing were left out.
    taken: usize,
}

/// A try to write a batch: those of its rows that the store refuses, or why it is away.
type Attempt = JoinHandle<Result<Vec<(Record, StoreError)>, String>>;

impl Writing {
    async fn run(mut self) {
        while self.gather().await {
            let batch = self.batch();
            self.see_through(batch).await;
        }
        // What was written need not be written again by the next process.
        let goodbye = async {
            while self.spool.as_ref().is_some_and(Keeper::is_busy) {
                let news = news(&mut self.spool).await;
                self.spool_news(news);
            }
            if let Some(spool) = self.spool {
                spool.end().await;
            }
        };
        if timeout(LATE, goodbye).await.is_err() {
            warn!("the spool was not emptied: its disk does not answer");
        }
    }

    /// Waits for rows; `false` when there will be none.
    async fn gather(&mut self) -> bool {
        while self.waiting.is_empty() {
            tokio::select! {
                count = self.queue.recv_many(&mut self.fresh, BATCH) => {
                    if count == 0 {
                        return false;
                    }
                    self.waiting.extend(self.fresh.drain(..));
                    if count < BATCH {
                        sleep(GATHER).await;
                        while self.waiting.len() < BATCH
                            && let Ok(row) = self.queue.try_recv()
                        {
                            self.waiting.push_back(row);
                        }
                    }
                }
                news = news(&mut self.spool) => self.spool_news(news),
                () = sleep_until(self.checkpoint_at) => {
                    if let Err(error) = self.db.checkpoint().await {
                        debug!(%error, "the database's log stays as it is");
                    }
                    self.checkpoint_at = Instant::now() + CHECKPOINT;
                }
            }
        }
        true
    }

    fn batch(&mut self) -> Batch {
        // No row goes with those of the spool that is not in it: when they are written it is empty.
        let given = usize::try_from(self.given.saturating_sub(self.done)).unwrap_or(usize::MAX);
        let most = if given > 0 { given.min(BATCH) } else { BATCH };
        let mut rows: Vec<Record> = self.waiting.drain(..most.min(self.waiting.len())).collect();
        let taken = rows.len();
        coalesce(&mut rows);
        Batch { rows: Arc::new(rows), taken }
    }

    /// Until the batch is written. What comes meanwhile waits.
    async fn see_through(&mut self, batch: Batch) {
        let mut attempt = self.attempt(&batch, Duration::ZERO);
        let mut late_at = Instant::now() + LATE;
        let mut is_late = false;
        loop {
            tokio::select! {
                tried = &mut attempt => match tried.unwrap_or_else(|panic| Err(panic.to_string())) {
                    Ok(refused) => {
                        self.is_written(&batch, refused);
                        return;
                    }
                    Err(why) => {
                        self.is_away(why);
                        attempt = self.attempt(&batch, RETRY);
                    }
                },
                count = self.queue.recv_many(&mut self.fresh, BATCH), if self.is_open => {
                    self.is_open = count > 0;
                    self.waiting.extend(self.fresh.drain(..));
                    self.progress.tell();
                }
                news = news(&mut self.spool) => {
                    // What the disk has no room for now is tried again later.
                    let is_kept = matches!(&news, News::Appended { result: Ok(()), .. });
                    self.spool_news(news);
                    if is_kept {
                        self.keep(&batch);
                    }
                }
                () = sleep_until(late_at) => {
                    // A disk may be busy for a second.
                    let is_new = locked(&self.progress.away).is_none();
                    if std::mem::replace(&mut is_late, true) && is_new {
                        self.is_away("the database does not answer".to_owned());
                    }
                    self.keep(&batch);
                    late_at = Instant::now() + LATE;
                }
            }
        }
    }

    fn attempt(&self, batch: &Batch, pause: Duration) -> Attempt {
        let (db, node, rows) = (self.db.clone(), self.node.clone(), Arc::clone(&batch.rows));
        tokio::spawn(async move {
            sleep(pause).await;
            match timeout(PATIENCE, store(&db, &node, &rows)).await {
                Ok(stored) => stored.map_err(|error| error.to_string()),
                Err(_) => Err("the database does not answer".to_owned()),
            }
        })
    }

    fn is_written(&mut self, batch: &Batch, refused: Vec<(Record, StoreError)>) {
        for (row, error) in refused {
            self.progress.lose(1, REFUSED);
            let text = serde_json::to_string(&row).unwrap_or_default();
            match &self.spool {
                Some(spool) if !text.is_empty() => spool.set_aside(text, error.to_string()),
                _ => error!(%error, "a row was refused by the store and is lost: {text}"),
            }
        }
        self.done += batch.taken as u64;
        self.clear_spool();
        self.progress.written.fetch_add(batch.taken as u64, Ordering::Relaxed);
        self.progress.is_shedding.store(false, Ordering::Relaxed);
        self.progress.tell();
        if locked(&self.progress.away).take().is_some() {
            if !self.spool.as_ref().is_some_and(Keeper::is_busy) {
                locked(&self.progress.spool_fault).take();
            }
            info!(waiting = self.waiting.len(), "the store is back; waiting rows are written");
        }
    }

    fn is_away(&self, why: String) {
        let mut away = locked(&self.progress.away);
        if away.is_none() {
            warn!("the store is away ({why}); calls go on, rows wait");
        }
        *away = Some(why);
    }

    /// Gives to the spool what it was not given yet, as much as goes at once.
    fn keep(&mut self, batch: &Batch) {
        let Some(spool) = self.spool.as_mut().filter(|spool| !spool.is_busy()) else {
            return;
        };
        let from = self.given.max(self.done);
        let batch_end = self.done + batch.taken as u64;
        let (rows, to) = if from < batch_end {
            (batch.rows.to_vec(), batch_end)
        } else {
            let at = usize::try_from(from - batch_end).unwrap_or(usize::MAX);
            let rows: Vec<Record> = self.waiting.iter().skip(at).take(BATCH).cloned().collect();
            let to = from + rows.len() as u64;
            (rows, to)
        };
        if !rows.is_empty() {
            (self.given_before, self.given) = (self.given, to);
            spool.append(rows);
        }
    }

    fn spool_news(&mut self, news: News) {
        let path = self.spool.as_ref().map(|spool| spool.path().display().to_string());
        let path = path.unwrap_or_default();
        let fault = match news {
            News::Appended { result: Ok(()), rows } => {
                if self.kept == 0 && rows > 0 {
                    info!("waiting rows are kept in {path} too");
                }
                self.kept = self.given;
                self.progress.spooled.store(rows, Ordering::Relaxed);
                None
            }
            News::Appended { result: Err(error), .. } => {
                self.given = self.given_before;
                Some(error.to_string())
            }
            News::Cleared => {
                self.progress.spooled.store(0, Ordering::Relaxed);
                None
            }
            News::Stuck => Some("the disk does not answer".to_owned()),
        };
        let fault = fault.map(|why| format!("{path}: {why}"));
        let before = std::mem::replace(&mut *locked(&self.progress.spool_fault), fault.clone());
        if let Some(fault) = fault.filter(|_| before.is_none()) {
            warn!("rows that wait for the database wait in memory only: {fault}");
        }
        self.clear_spool();
        self.progress.tell();
    }

    /// Empties the spool once all that is in it is written.
    fn clear_spool(&mut self) {
        if let Some(spool) = self.spool.as_mut().filter(|spool| !spool.is_busy())
            && self.kept > 0
            && self.done >= self.kept
        {
            self.kept = 0;
            spool.clear();
        }
    }
}

/// For ever where there is no spool.
async fn news(spool: &mut Option<Keeper>) -> News {
    match spool {
        Some(spool) => spool.news().await,
        None => std::future::pending().await,
    }
}

/// Of several states of one call or leg within a batch only the last is worth writing; of slots
/// that came and went, nothing.
pub(super) fn coalesce(batch: &mut Vec<Record>) {
    let mut seen = BTreeSet::new();
    let mut gone = BTreeSet::new();
    let mut passing = BTreeSet::new();
    let (mut is_alive, mut has_heard) = (false, false);
    let mut at = batch.len();
    let mut keep = vec![true; at];
    for row in batch.iter().rev() {
        at -= 1;
        keep[at] = match row {
            Record::Alive { .. } => !std::mem::replace(&mut is_alive, true),
            Record::Heard { .. } => !std::mem::replace(&mut has_heard, true),
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
            | Record::Startup { .. }
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

/// Writes rows. Those that the store refuses are handed back with its reasons, and keep no other from
/// being written.
///
/// # Errors
/// The store is away. Some rows may be written; all may be written again.
pub(super) async fn store(
    db: &Db,
    node: &str,
    rows: &[Record],
) -> Result<Vec<(Record, StoreError)>, StoreError> {
    match (db.record(node, rows).await, rows) {
        (Ok(()), _) => Ok(Vec::new()),
        (Err(error), _) if error.may_retry() => Err(error),
        (Err(error), [row]) => Ok(vec![(row.clone(), error)]),
        (Err(_), rows) => {
            let (first, second) = rows.split_at(rows.len() / 2);
            let mut refused = Box::pin(store(db, node, first)).await?;
            refused.extend(Box::pin(store(db, node, second)).await?);
            Ok(refused)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::{CallId, LegId};
    use crate::model::objects::account::DEFAULT_ACCOUNT;
    use crate::model::slot::Holding;
    use crate::model::time::Timestamp;
    use crate::node::spool::tests::Hanging;

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

    async fn eventually(what: &str, is_so: impl Fn() -> bool) {
        let begun = Instant::now();
        while !is_so() {
            assert!(begun.elapsed() < Duration::from_secs(20), "{what}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    #[tokio::test]
    async fn a_spool_whose_disk_hangs_keeps_no_row_from_a_database_that_is_well() {
        let folder = tempfile::TempDir::new().unwrap();
        let db = Db::open(&format!("sqlite:{}/divert.sqlite", folder.path().display())).await;
        let db = db.unwrap();
        let Db::Sqlite(pool) = &db else { panic!("it is one") };
        let (spool, disk) = Hanging::spool(folder.path().join("a.spool"));
        let (writer, task) = Writer::start(db.clone(), "a".into(), Some(spool));
        let progress = writer.progress();
        let is_told = |what: &str| progress.state().is_err_and(|why| why.contains(what));
        let push = |at| writer.push(Record::Heard { at: Timestamp(at) });
        let waits = |rows| progress.rows().waiting == rows;

        // The node must be known for what is heard to be kept.
        writer.push(Record::Alive { at: Timestamp(0) });
        eventually("the node is known", || waits(0)).await;

        // The database is away for a moment, and what waits is given to the spool.
        let lock = pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
        push(1);
        eventually("the spool is told to hang", || is_told("a.spool: the disk does not")).await;
        lock.rollback().await.unwrap();
        eventually("what waited is written", || waits(0)).await;
        assert_eq!(progress.state(), Ok(()));
        // Now and later.
        for at in 2..5 {
            push(at);
            eventually("what comes is written", || waits(0)).await;
        }
        assert_eq!(db.heard_at("a").await.unwrap(), Some(Timestamp(4)));

        // What reached the disk after all is in the database already.
        disk.hang(false);
        let len = || std::fs::metadata(folder.path().join("a.spool")).unwrap().len();
        eventually("the spool is emptied", || len() == 0 && progress.rows().spooled == 0).await;
        let lock = pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
        push(5);
        push(6);
        eventually("the spool works again", || progress.rows().spooled == 1 && len() > 0).await;
        assert!(!is_told("in memory only"));
        lock.rollback().await.unwrap();
        eventually("all is written", || waits(0) && len() == 0).await;
        // Nor does it hold up the end.
        disk.hang(true);
        drop(writer);
        timeout(Duration::from_secs(5), task).await.unwrap().unwrap();
        assert_eq!(db.heard_at("a").await.unwrap(), Some(Timestamp(6)));
        disk.hang(false);
    }

    #[test]
    fn of_the_signs_of_life_within_a_batch_only_the_last_is_written() {
        let alive = |at| Record::Alive { at: Timestamp(at) };
        let mut batch = vec![alive(1), Record::Heard { at: Timestamp(2) }, alive(3)];
        coalesce(&mut batch);
        assert_eq!(batch, [Record::Heard { at: Timestamp(2) }, alive(3)]);
    }
}

//! Rows on their way to the store: none is lost, whatever the database does meanwhile, and also when
//! the process is killed before it is back.

use std::path::Path;
use std::time::Duration;

use divert::api::RowCounts;
use divert::model::id::{CallId, DestinationId, ForwardingFlowId};
use divert::model::memory::Remembered;
use divert::model::timeline::{Step, TimelineEntry};
use divert::node::spool::Spool;
use divert::node::writer::Writer;
use divert::store::{CallFilter, CdrFilter, Db, JournalBody, Record};
use rstest::rstest;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use crate::store::billing::cdr;
use crate::store::calls::{call_of, ended, ended_leg, leg_of};
use crate::store::disk::SmallDisk;
use crate::store::engine::{Engine, TestStore};
use crate::store::{ACCOUNT, NOW};

const MOST: u64 = 64 << 20;

/// All that is written of one answered call.
fn rows(call: u128) -> Vec<Record> {
    let id = CallId::new(call);
    let body = serde_json::value::to_raw_value(&serde_json::json!({ "at": 1 })).unwrap();
    vec![
        call_of(ended(call)),
        leg_of(ended_leg(call, 1)),
        Record::Step {
            account: ACCOUNT,
            call: id,
            entry: TimelineEntry { seq: 0, at: NOW, step: Step::Adopted },
        },
        Record::Journal { account: ACCOUNT, call: id, seq: 0, at: NOW, body: JournalBody(body) },
        Record::Cdr(cdr(call, 1)),
    ]
}

fn wheel(standing: i64) -> Record {
    let standing = vec![(DestinationId::new(1), standing)];
    let what = Remembered::Wheel { flow: ForwardingFlowId::new(1), priority: 1, standing };
    Record::Remembered { account: ACCOUNT, what }
}

/// Looks again and again, for 30 s at most.
async fn eventually(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !is_so().await {
        assert!(begun.elapsed() < Duration::from_secs(30), "{what}");
        sleep(Duration::from_millis(20)).await;
    }
}

struct Started {
    writer: Writer,
    task: JoinHandle<()>,
}

impl Started {
    fn new(db: &Db, spool: Option<Spool>) -> Self {
        let (writer, task) = Writer::start(db.clone(), "a".to_owned(), spool);
        Self { writer, task }
    }

    fn push(&self, calls: std::ops::Range<u128>) {
        calls.flat_map(rows).for_each(|row| self.writer.push(row));
    }

    fn rows(&self) -> RowCounts {
        self.writer.progress().rows()
    }

    async fn is_away(&self) -> String {
        eventually("it is told that nothing is written", async || {
            self.writer.progress().state().is_err()
        })
        .await;
        self.writer.progress().state().unwrap_err()
    }

    async fn are_spooled(&self, rows: u64) {
        eventually("rows are kept in the spool", async || self.rows().spooled == rows).await;
    }

    async fn are_written(&self) {
        eventually("all is written", async || self.rows() == RowCounts::default()).await;
        assert_eq!(self.writer.progress().state(), Ok(()));
    }

    /// As a process that is killed: nothing more is done, and nothing is said.
    async fn kill(self) {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
    }
}

fn cost(row: &Record) -> Option<i64> {
    match row {
        Record::Cdr(bill) => Some(bill.charge.amount.0),
        _ => None,
    }
}

async fn calls_and_bills(db: &Db) -> (usize, usize) {
    let calls = db.calls(ACCOUNT, &CallFilter::default(), None, 1_000).await.unwrap();
    let bills = db.cdrs(ACCOUNT, &CdrFilter::default(), None, 1_000).await.unwrap();
    (calls.len(), bills.len())
}

/// Once the process before has let go of it, as the kernel sees to where there is one.
async fn free_spool(folder: &Path) -> Spool {
    let begun = Instant::now();
    loop {
        match Spool::open(folder.join("a.spool"), MOST) {
            Err(_) if begun.elapsed() < Duration::from_secs(5) => {
                sleep(Duration::from_millis(20)).await;
            }
            opened => return opened.unwrap(),
        }
    }
}

fn spool(folder: &Path) -> Spool {
    Spool::open(folder.join("a.spool"), MOST).unwrap()
}

/// As at the next start.
async fn replay(folder: &Path, db: &Db) {
    let mut spool = free_spool(folder).await;
    spool.replay(db, "a").await.unwrap();
    assert_eq!(std::fs::metadata(spool.path()).unwrap().len(), 0);
}

/// Keeps everything from being written, until it is taken away.
async fn lock(store: &TestStore, is_locked: bool) {
    match (&store.db, is_locked) {
        (Db::Postgres(_), true) => {
            let function = "CREATE OR REPLACE FUNCTION away() RETURNS trigger LANGUAGE plpgsql AS \
                'BEGIN RAISE EXCEPTION ''no room'' USING ERRCODE = ''53100''; END'";
            store.execute(function).await;
            store.execute("CREATE TRIGGER away BEFORE INSERT ON cdr EXECUTE FUNCTION away()").await;
        }
        (Db::Postgres(_), false) => store.execute("DROP TRIGGER away ON cdr").await,
        (Db::Sqlite(_), _) => unreachable!("a disk is filled instead"),
    }
}

#[tokio::test]
async fn rows_wait_while_the_disk_is_full_and_are_written_once_there_is_room() {
    let disk = SmallDisk::new("6m");
    let elsewhere = tempfile::tempdir().unwrap();
    let db = Db::open(&disk.url()).await.unwrap();
    let started = Started::new(&db, Some(spool(elsewhere.path())));
    started.push(1..4);
    started.are_written().await;

    disk.fill();
    for round in 0..25 {
        started.push(100 + round * 20..120 + round * 20);
        tokio::task::yield_now().await;
    }
    let why = started.is_away().await;
    eventually("the reason is told", async || {
        started.writer.progress().state().is_err_and(|why| why.contains("disk is full"))
    })
    .await;
    assert!(why.contains("rows wait to be written"), "{why}");
    started.are_spooled(started.rows().waiting).await;
    assert!(started.rows().waiting > 0);

    disk.free();
    started.push(4..10);
    started.are_written().await;
    assert_eq!(calls_and_bills(&db).await, (509, 509));
}

#[tokio::test]
async fn a_spool_on_the_full_disk_leaves_rows_in_memory_and_says_so() {
    let disk = SmallDisk::new("6m");
    let db = Db::open(&disk.url()).await.unwrap();
    let started = Started::new(&db, Some(spool(disk.path())));
    disk.fill();
    started.push(1..501);
    eventually("it is told that memory is all there is", async || {
        started.writer.progress().state().is_err_and(|why| why.contains("in memory only"))
    })
    .await;
    assert_eq!(started.rows().spooled, 0);
    disk.free();
    started.are_written().await;
    assert_eq!(calls_and_bills(&db).await, (500, 500));
}

#[tokio::test]
async fn rows_wait_while_postgres_has_no_room() {
    let store = Engine::Postgres.store().await;
    let folder = tempfile::tempdir().unwrap();
    let started = Started::new(&store.db, Some(spool(folder.path())));
    lock(&store, true).await;
    started.push(1..41);
    started.are_spooled(200).await;
    assert!(started.is_away().await.contains("no room"));
    assert_eq!(calls_and_bills(&store.db).await, (0, 0));
    lock(&store, false).await;
    started.are_written().await;
    assert_eq!(calls_and_bills(&store.db).await, (40, 40));
    assert_eq!(std::fs::metadata(folder.path().join("a.spool")).unwrap().len(), 0);
}

/// A database that does not take rows until [`TestStore`] says so.
struct Blocked {
    store: TestStore,
    lock: Option<sqlx::Transaction<'static, sqlx::Sqlite>>,
}

impl Blocked {
    async fn new(engine: Engine) -> Self {
        let store = engine.store().await;
        let mut lock = None;
        match &store.db {
            Db::Sqlite(pool) => lock = Some(pool.begin_with("BEGIN IMMEDIATE").await.unwrap()),
            Db::Postgres(_) => self::lock(&store, true).await,
        }
        Self { store, lock }
    }

    async fn free(&mut self) {
        match self.lock.take() {
            Some(lock) => lock.rollback().await.unwrap(),
            None => lock(&self.store, false).await,
        }
    }
}

#[rstest]
#[tokio::test]
async fn what_waited_when_the_process_was_killed_is_written_by_the_next_one_once(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let mut blocked = Blocked::new(engine).await;
    let folder = tempfile::tempdir().unwrap();
    let started = Started::new(&blocked.store.db, Some(spool(folder.path())));
    started.push(1..21);
    (1..=3).for_each(|standing| started.writer.push(wheel(standing)));
    started.writer.push(Record::Startup { of: "2026-11-21T01:00:00.000+0000".to_owned() });
    (1..=3).for_each(|ms| started.writer.push(Record::Heard { at: NOW.plus_ms(ms) }));
    eventually("all is in the spool", async || started.rows().spooled >= 105).await;
    started.kill().await;
    let file = folder.path().join("a.spool");
    // As if the last write had been torn, and an earlier one was damaged on the disk.
    let mut text = std::fs::read_to_string(&file).unwrap();
    text.insert_str(0, "{\"call\":damaged}\n");
    text.push_str("{\"cdr\":{\"call\":");
    std::fs::write(&file, &text).unwrap();

    blocked.free().await;
    let db = &blocked.store.db;
    // One bill, at least, was written all the same: its answer had not come back.
    db.record("a", &rows(7)).await.unwrap();
    let balance = async || db.balance(ACCOUNT).await.unwrap().amount.0;
    let once = -rows(7).iter().filter_map(cost).sum::<i64>();
    replay(folder.path(), db).await;
    assert_eq!(calls_and_bills(db).await, (20, 20));
    assert_eq!(balance().await, 20 * once);
    assert_eq!(db.journal(ACCOUNT, CallId::new(3)).await.unwrap().len(), 1);
    assert_eq!(db.heard_at("a").await.unwrap(), Some(NOW.plus_ms(3)));
    assert!(db.startup("a").await.unwrap().is_some());
    let Record::Remembered { what, .. } = wheel(3) else { unreachable!() };
    assert_eq!(db.remembered(ACCOUNT).await.unwrap(), [what]);
    let aside = std::fs::read_to_string(folder.path().join("a.refused")).unwrap();
    assert_eq!(aside, "{\"call\":damaged}\n");

    // And again, as if it had been killed before the file was emptied.
    std::fs::write(&file, &text).unwrap();
    replay(folder.path(), db).await;
    assert_eq!(calls_and_bills(db).await, (20, 20));
    assert_eq!(balance().await, 20 * once);
}

/// A row of a call with this caller, as a line of the spool.
fn line(call: u128, caller: &str) -> Vec<u8> {
    let mut call = ended(call);
    call.caller.name = caller.into();
    let mut line = serde_json::to_vec(&call_of(call)).unwrap();
    line.push(b'\n');
    line
}

#[tokio::test]
async fn a_line_torn_in_the_middle_of_a_character_keeps_nothing_else_from_being_written() {
    let store = Engine::Sqlite.store().await;
    let folder = tempfile::tempdir().unwrap();
    let torn_at = |line: &[u8]| line.iter().position(|byte| !byte.is_ascii()).unwrap() + 1;
    let torn = line(2, "Zoë");
    let torn = &torn[..torn_at(&torn)];
    assert!(std::str::from_utf8(torn).is_err());
    // Once in the middle, where the disk lost the rest, and once as the last that was written.
    let text = [&line(1, "Zoë"), torn, b"\n", &line(3, "Chloë"), torn].concat();
    std::fs::write(folder.path().join("a.spool"), text).unwrap();
    replay(folder.path(), &store.db).await;
    assert_eq!(calls_and_bills(&store.db).await, (2, 0));
    let aside = std::fs::read_to_string(folder.path().join("a.refused")).unwrap();
    assert_eq!(aside, format!("{}\n", String::from_utf8_lossy(torn)));
}

#[tokio::test]
async fn what_is_refused_at_the_start_is_set_aside_once_however_often_it_is_tried() {
    let store = Engine::Postgres.store().await;
    let folder = tempfile::tempdir().unwrap();
    let refuses = "CREATE FUNCTION refuses() RETURNS trigger LANGUAGE plpgsql AS \
        'BEGIN IF new.caller_name = ''refused'' THEN RAISE EXCEPTION ''no''; END IF; \
         RETURN new; END'";
    store.execute(refuses).await;
    let trigger = "CREATE TRIGGER refuses BEFORE INSERT ON call FOR EACH ROW \
                   EXECUTE FUNCTION refuses()";
    store.execute(trigger).await;
    let (damaged, refused) = (b"{\"call\":damaged}\n".to_vec(), line(1, "refused"));
    let mut text = [&damaged[..], &refused].concat();
    // More than one batch, so that the first is written before the store goes away.
    text.extend((2..1_102).flat_map(|call| line(call, "")));
    let bill = serde_json::to_vec(&Record::Cdr(cdr(2, 1))).unwrap();
    text.extend([&bill[..], b"\n"].concat());
    std::fs::write(folder.path().join("a.spool"), text).unwrap();

    lock(&store, true).await;
    let aside = folder.path().join("a.refused");
    let mut spool = spool(folder.path());
    for _ in 0..2 {
        assert!(spool.replay(&store.db, "a").await.is_err());
        assert!(!aside.exists());
    }
    lock(&store, false).await;
    spool.replay(&store.db, "a").await.unwrap();
    let aside = std::fs::read(&aside).unwrap();
    assert_eq!(aside, [damaged, refused].concat());
}

#[tokio::test]
async fn a_database_that_is_only_locked_is_told_of_within_seconds() {
    let mut blocked = Blocked::new(Engine::Sqlite).await;
    let started = Started::new(&blocked.store.db, None);
    started.push(1..2);
    let why = started.is_away().await;
    // Once SQLite itself gives up, after 5 s, it is told that the database is locked.
    assert_eq!(why, "5 rows wait to be written: the database does not answer");
    // Reading goes on.
    blocked.store.db.ping().await.unwrap();
    blocked.free().await;
    started.are_written().await;
}

#[tokio::test]
async fn a_full_spool_keeps_bills_and_calls_rather_than_details() {
    let mut blocked = Blocked::new(Engine::Sqlite).await;
    let folder = tempfile::tempdir().unwrap();
    let most = 40_000;
    let small = Spool::open(folder.path().join("a.spool"), most).unwrap();
    let started = Started::new(&blocked.store.db, Some(small));
    let details = |call| rows(call).into_iter().filter(Record::is_detail);
    started.push(1..2);
    (1..2_000_u32).for_each(|seq| {
        let Some(Record::Step { account, call, entry }) = details(1).next() else { panic!() };
        started.writer.push(Record::Step { account, call, entry: TimelineEntry { seq, ..entry } });
    });
    eventually("the spool has no more room for details", async || {
        let spooled = started.rows().spooled;
        sleep(Duration::from_millis(1_500)).await;
        spooled > 5 && started.rows().spooled == spooled
    })
    .await;
    let before = started.rows().spooled;
    started.push(2..5);
    started.are_spooled(before + 9).await;
    started.kill().await;
    assert!(std::fs::metadata(folder.path().join("a.spool")).unwrap().len() <= most);

    blocked.free().await;
    replay(folder.path(), &blocked.store.db).await;
    assert_eq!(calls_and_bills(&blocked.store.db).await, (4, 4));
}

#[tokio::test]
async fn a_row_that_is_refused_takes_no_other_with_it_and_is_kept_for_people() {
    let store = Engine::Sqlite.store().await;
    // The worst kind: it ends the whole transaction.
    let ends = "CREATE TRIGGER ends BEFORE INSERT ON call WHEN new.caller_name = 'ends' \
                BEGIN SELECT RAISE(ROLLBACK, 'over'); END";
    store.execute(ends).await;
    let folder = tempfile::tempdir().unwrap();
    let started = Started::new(&store.db, Some(spool(folder.path())));
    let mut bad = ended(50);
    bad.caller.name = "ends".into();
    started.push(1..50);
    started.writer.push(call_of(bad.clone()));
    started.push(51..101);
    eventually("all others are written", async || started.rows().waiting == 0).await;
    assert_eq!(started.rows().lost, 1);
    assert_eq!(calls_and_bills(&store.db).await, (99, 99));
    let aside = std::fs::read_to_string(folder.path().join("a.refused")).unwrap();
    assert_eq!(serde_json::from_str::<Record>(aside.trim()).unwrap(), call_of(bad));
}

#[tokio::test]
async fn a_spool_belongs_to_one_process() {
    let folder = tempfile::tempdir().unwrap();
    let first = spool(folder.path());
    let second = Spool::open(first.path().to_owned(), MOST).unwrap_err();
    assert!(second.to_string().contains("in use by another divert"), "{second}");
}

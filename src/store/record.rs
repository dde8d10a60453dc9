//! Writing what happens in calls: the hot path of the store.
//!
//! A batch is one transaction with few statements, whatever its length: rows of one table go in
//! together, in chunks of a few fixed sizes so that their statements stay prepared. Everything may
//! be written again, and late: a call or leg that has ended is never opened again, one that was
//! answered never un-answered, and a step or journal line once written stays as it is.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sqlx::QueryBuilder;
use sqlx::types::Json;

use super::column::{Int, Text, json};
use super::memory::Memory;
use super::{Db, StoreError, Tx};
use crate::model::billing::Cdr;
use crate::model::call::{CallRecord, LegRecord};
use crate::model::id::{AccountId, CallId, LegId};
use crate::model::memory::Remembered;
use crate::model::slot::Holding;
use crate::model::time::Timestamp;
use crate::model::timeline::TimelineEntry;

/// One thing to keep of a call.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Record {
    /// The process of the node ran at that moment, by the wall clock.
    #[serde(skip)]
    Alive {
        at: Timestamp,
    },
    Call(CallRecord),
    /// The bill of a leg: the first one that is written counts, and lowers the balance.
    Cdr(Cdr),
    /// One line of the journal.
    Journal {
        account: AccountId,
        call: CallId,
        seq: u32,
        at: Timestamp,
        body: JournalBody,
    },
    /// Up to which moment the node heard all that happened in its Asterisk.
    Heard {
        at: Timestamp,
    },
    Leg {
        account: AccountId,
        leg: LegRecord,
    },
    /// What routing must not forget.
    Remembered {
        account: AccountId,
        what: Remembered,
    },
    /// A leg's slots are free again.
    #[serde(skip)]
    SlotReleased {
        leg: LegId,
    },
    /// A leg has got its slots, by whatever decided over the limits; here they are only written
    /// down.
    #[serde(skip)]
    SlotTaken(Holding),
    /// When the node's Asterisk was started, in its own words.
    Startup {
        of: String,
    },
    /// One step of the timeline.
    Step {
        account: AccountId,
        call: CallId,
        entry: TimelineEntry,
    },
}

impl Record {
    /// What is told of a call beside what it was and what it costs.
    #[must_use]
    pub fn is_detail(&self) -> bool {
        matches!(self, Self::Journal { .. } | Self::Step { .. })
    }
}

/// A JSON object, already in writing.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct JournalBody(pub Box<RawValue>);

impl PartialEq for JournalBody {
    fn eq(&self, other: &Self) -> bool {
        self.0.get() == other.0.get()
    }
}

impl Db {
    /// Writes `batch`, all of it or nothing. `node` owns the calls in it.
    ///
    /// Writing a batch again changes nothing, so a caller that heard no answer may repeat it.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]; [`StoreError::Internal`] for a batch that will never fit.
    pub async fn record(&self, node: &str, batch: &[Record]) -> Result<(), StoreError> {
        if batch.is_empty() {
            return Ok(());
        }
        // Encoded before the transaction begins, which on SQLite keeps every other writer waiting.
        let rows = Rows::of(batch)?;
        let mut tx = self.begin().await?;
        for calls in chunks(&rows.calls) {
            tx.put_calls(node, calls).await?;
        }
        for legs in chunks(&rows.legs) {
            tx.put_legs(legs).await?;
        }
        for steps in chunks(&rows.steps) {
            tx.add_lines(ADD_STEPS, steps).await?;
        }
        for lines in chunks(&rows.journal) {
            tx.add_lines(ADD_JOURNAL, lines).await?;
        }
        for &(account, what) in &rows.memory {
            tx.remember(account, what).await?;
        }
        if let Some(startup) = rows.startup {
            tx.remember_startup(node, startup).await?;
        }
        if let Some(at) = rows.alive_at {
            tx.remember_alive(node, at).await?;
        }
        if let Some(at) = rows.heard_at {
            tx.remember_heard(node, at).await?;
        }
        // Last, because every writer of an account waits for its balance.
        tx.bill(&rows.cdrs).await?;
        if !rows.slots.is_empty() {
            tx.settle_slots(node, &rows.taken(), &rows.released()).await?;
        }
        tx.commit().await
    }
}

/// A batch by table. No key comes twice: Postgres refuses to update a row twice in one statement.
/// In order of key, so that two writers never wait for each other in a circle.
struct Rows<'a> {
    calls: Vec<&'a CallRecord>,
    legs: Vec<(AccountId, &'a LegRecord)>,
    cdrs: Vec<&'a Cdr>,
    steps: Vec<Line>,
    journal: Vec<Line>,
    memory: Vec<(AccountId, &'a Remembered)>,
    startup: Option<&'a str>,
    alive_at: Option<Timestamp>,
    heard_at: Option<Timestamp>,
    /// What each leg holds in the end; `None` is nothing.
    slots: BTreeMap<LegId, Option<&'a Holding>>,
}

/// A row of `timeline` or `journal`.
struct Line {
    call: CallId,
    seq: u32,
    account: AccountId,
    at: Timestamp,
    body: Json<Box<RawValue>>,
}

impl<'a> Rows<'a> {
    fn of(batch: &'a [Record]) -> Result<Self, sqlx::Error> {
        let mut calls: BTreeMap<CallId, &CallRecord> = BTreeMap::new();
        let mut legs: BTreeMap<(CallId, u16), (AccountId, &LegRecord)> = BTreeMap::new();
        let mut cdrs: BTreeMap<LegId, &Cdr> = BTreeMap::new();
        let mut steps: BTreeMap<(CallId, u32), Line> = BTreeMap::new();
        let mut journal: BTreeMap<(CallId, u32), Line> = BTreeMap::new();
        let mut memory = Memory::default();
        let mut slots = BTreeMap::new();
        let (mut startup, mut alive_at, mut heard_at) = (None, None, None);
        for record in batch {
            match record {
                Record::Alive { at } => alive_at = Some(*at),
                Record::Call(call) => {
                    let kept = calls.entry(call.id).or_insert(call);
                    if supersedes(call, kept) {
                        *kept = call;
                    }
                }
                Record::Cdr(cdr) => {
                    cdrs.entry(cdr.id()).or_insert(cdr);
                }
                Record::Heard { at } => heard_at = Some(*at),
                &Record::Journal { account, call, seq, at, ref body } => {
                    let line = Line { call, seq, account, at, body: json(&body.0)? };
                    journal.entry((call, seq)).or_insert(line);
                }
                Record::Leg { account, leg } => {
                    let kept = legs.entry((leg.call, leg.no)).or_insert((*account, leg));
                    if leg_supersedes(leg, kept.1) {
                        *kept = (*account, leg);
                    }
                }
                Record::Remembered { account, what } => memory.put(*account, what),
                Record::SlotReleased { leg } => drop(slots.insert(*leg, None)),
                Record::SlotTaken(holding) => drop(slots.insert(holding.leg, Some(holding))),
                Record::Startup { of } => startup = Some(of.as_str()),
                &Record::Step { account, call, ref entry } => {
                    let TimelineEntry { seq, at, ref step } = *entry;
                    let line = Line { call, seq, account, at, body: json(step)? };
                    steps.entry((call, seq)).or_insert(line);
                }
            }
        }
        Ok(Self {
            calls: calls.into_values().collect(),
            legs: legs.into_values().collect(),
            cdrs: cdrs.into_values().collect(),
            steps: steps.into_values().collect(),
            journal: journal.into_values().collect(),
            memory: memory.into_rows(),
            startup,
            alive_at,
            heard_at,
            slots,
        })
    }

    fn taken(&self) -> Vec<&'a Holding> {
        self.slots.values().copied().flatten().collect()
    }

    fn released(&self) -> Vec<LegId> {
        self.slots.iter().filter(|(_, held)| held.is_none()).map(|(leg, _)| *leg).collect()
    }
}

/// Whether `new` replaces `old`, which came before it: the same rule as in [`CALL_SUPERSEDES`].
fn supersedes(new: &CallRecord, old: &CallRecord) -> bool {
    new.ended_at.is_some()
        || (old.ended_at.is_none() && (old.answered_at.is_none() || new.answered_at.is_some()))
}

/// The same for legs.
fn leg_supersedes(new: &LegRecord, old: &LegRecord) -> bool {
    new.ended_at.is_some()
        || (old.ended_at.is_none() && (old.answered_at.is_none() || new.answered_at.is_some()))
}

impl Tx {
    async fn put_calls(&mut self, node: &str, calls: &[&CallRecord]) -> Result<(), StoreError> {
        on!(in self, db => {
            let mut query = QueryBuilder::new(PUT_CALLS);
            query.push_values(calls, |mut row, call| {
                let flow = call.flow.as_ref();
                row.push_bind(Text(call.id))
                    .push_bind(Text(call.account))
                    .push_bind(Text(node))
                    .push_bind(Text(&call.did))
                    .push_bind(Text(&call.caller.number))
                    .push_bind(Text(&call.caller.name))
                    .push_bind(flow.map(|(id, _)| Text(*id)))
                    .push_bind(flow.map(|(_, name)| Text(name)))
                    .push_bind(call.is_test)
                    .push_bind(Text(call.status))
                    .push_bind(Int(call.started_at))
                    .push_bind(call.answered_at.map(Int))
                    .push_bind(call.ended_at.map(Int))
                    .push_bind(Int(call.talk_ms))
                    .push_bind(call.result.map(Text))
                    .push_bind(call.ended_by.map(Text))
                    .push_bind(call.cause.map(Int))
                    .push_bind(Text(&call.channel))
                    .push_bind(Text(&call.bridge))
                    .push_bind(call.caller_key.as_ref().map(|key| Text(key.as_str())))
                    .push_bind(Text(call.session))
                    .push_bind(call.is_repeat);
            });
            query.push(CALL_SUPERSEDES).build().execute(db).await.map(drop)
        })?;
        Ok(())
    }

    async fn put_legs(&mut self, legs: &[(AccountId, &LegRecord)]) -> Result<(), StoreError> {
        on!(in self, db => {
            let mut query = QueryBuilder::new(PUT_LEGS);
            query.push_values(legs, |mut row, (account, leg)| {
                row.push_bind(Text(leg.call))
                    .push_bind(Int(leg.no))
                    .push_bind(Text(*account))
                    .push_bind(leg.destination.map(Text))
                    .push_bind(Text(&leg.name))
                    .push_bind(Text(&leg.endpoint))
                    .push_bind(Int(leg.started_at))
                    .push_bind(leg.ringing_at.map(Int))
                    .push_bind(leg.answered_at.map(Int))
                    .push_bind(leg.ended_at.map(Int))
                    .push_bind(leg.outcome.map(Text))
                    .push_bind(leg.cause.map(Int))
                    .push_bind(leg.sip_code.map(Int))
                    .push_bind(leg.trunk.map(Text));
            });
            query.push(LEG_SUPERSEDES).build().execute(db).await.map(drop)
        })?;
        Ok(())
    }

    async fn add_lines(&mut self, into: &'static str, lines: &[Line]) -> Result<(), StoreError> {
        on!(in self, db => {
            let mut query = QueryBuilder::new(into);
            query.push_values(lines, |mut row, line| {
                row.push_bind(Text(line.call))
                    .push_bind(Int(line.seq))
                    .push_bind(Text(line.account))
                    .push_bind(Int(line.at))
                    .push_bind(&line.body);
            });
            query.push(" ON CONFLICT (call_id, seq) DO NOTHING").build().execute(db).await.map(drop)
        })?;
        Ok(())
    }
}

/// Cuts `rows` into chunks of [`CHUNKS`], the largest that fit first.
pub(super) fn chunks<T>(rows: &[T]) -> impl Iterator<Item = &[T]> {
    let mut rest = rows;
    std::iter::from_fn(move || {
        let size = CHUNKS.into_iter().find(|&size| size <= rest.len())?;
        let (chunk, after) = rest.split_at(size);
        rest = after;
        Some(chunk)
    })
}

/// Each size is one prepared statement per table and connection.
const CHUNKS: [usize; 4] = [64, 16, 4, 1];

const PUT_CALLS: &str = "INSERT INTO call (id, account_id, node, did, caller_number, caller_name, \
    flow_id, flow_name, is_test, status, started_at, answered_at, ended_at, talk_ms, result, \
    ended_by, cause, channel, bridge, caller_key, session_id, is_repeat) ";
const CALL_SUPERSEDES: &str = " ON CONFLICT (id) DO UPDATE SET node = excluded.node, \
        did = excluded.did, caller_number = excluded.caller_number, \
        caller_name = excluded.caller_name, flow_id = excluded.flow_id, \
        flow_name = excluded.flow_name, is_test = excluded.is_test, status = excluded.status, \
        started_at = excluded.started_at, answered_at = excluded.answered_at, \
        ended_at = excluded.ended_at, talk_ms = excluded.talk_ms, result = excluded.result, \
        ended_by = excluded.ended_by, cause = excluded.cause, channel = excluded.channel, \
        bridge = excluded.bridge, caller_key = excluded.caller_key, \
        session_id = excluded.session_id, is_repeat = excluded.is_repeat \
    WHERE call.account_id = excluded.account_id AND (excluded.ended_at IS NOT NULL \
        OR (call.ended_at IS NULL \
            AND (call.answered_at IS NULL OR excluded.answered_at IS NOT NULL)))";
const PUT_LEGS: &str = "INSERT INTO leg (call_id, no, account_id, destination_id, name, endpoint, \
    started_at, ringing_at, answered_at, ended_at, outcome, cause, sip_code, trunk_id) ";
const LEG_SUPERSEDES: &str = " ON CONFLICT (call_id, no) DO UPDATE SET \
        destination_id = excluded.destination_id, name = excluded.name, \
        endpoint = excluded.endpoint, started_at = excluded.started_at, \
        ringing_at = excluded.ringing_at, answered_at = excluded.answered_at, \
        ended_at = excluded.ended_at, outcome = excluded.outcome, cause = excluded.cause, \
        sip_code = excluded.sip_code, trunk_id = excluded.trunk_id \
    WHERE leg.account_id = excluded.account_id AND (excluded.ended_at IS NOT NULL \
        OR (leg.ended_at IS NULL \
            AND (leg.answered_at IS NULL OR excluded.answered_at IS NOT NULL)))";
const ADD_STEPS: &str = "INSERT INTO timeline (call_id, seq, account_id, at, step) ";
const ADD_JOURNAL: &str = "INSERT INTO journal (call_id, seq, account_id, at, body) ";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_cover_every_row_once_and_in_order() {
        for len in [0, 1, 3, 4, 63, 64, 65, 200] {
            let rows: Vec<usize> = (0..len).collect();
            assert_eq!(chunks(&rows).flatten().copied().collect::<Vec<_>>(), rows);
            assert!(chunks(&rows).all(|chunk| CHUNKS.contains(&chunk.len())));
        }
    }
}

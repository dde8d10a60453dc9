//! What routing remembers: bindings of callers, volumes of caps, standings of wheels.
//!
//! [`Record::Remembered`](super::Record) writes it; here it is written row by row within the batch,
//! and read back at the start of a node.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sqlx::FromRow;
use sqlx::types::Json;

use super::column::{Int, Text, json};
use super::{Db, StoreError, Tx};
use crate::model::id::{AccountId, CallId, DestinationId, ForwardingFlowId};
use crate::model::memory::{Binding, Remembered, Throttled, Visit};
use crate::model::number::CallerKey;
use crate::model::throttle::{CapCount, CapPeriod};
use crate::model::time::Timestamp;

/// Most earlier calls of a flow that are read for its rule about callers who call again.
const MOST_VISITS: i64 = 200_000;

impl Db {
    /// All that is remembered for `account`; bindings in the order in which they were touched.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn remembered(&self, account: AccountId) -> Result<Vec<Remembered>, StoreError> {
        let mut tx = self.snapshot().await?;
        let bindings: Vec<BindingRow> = on!(in &mut tx, db => {
            sqlx::query_as(BINDINGS).bind(Text(account)).fetch_all(db).await
        })?;
        let volumes: Vec<VolumeRow> = on!(in &mut tx, db => {
            sqlx::query_as(VOLUMES).bind(Text(account)).fetch_all(db).await
        })?;
        let wheels: Vec<WheelRow> = on!(in &mut tx, db => {
            sqlx::query_as(WHEELS).bind(Text(account)).fetch_all(db).await
        })?;
        tx.commit().await?;
        let bindings = bindings.into_iter().map(BindingRow::into_remembered);
        let volumes = volumes.into_iter().map(VolumeRow::into_remembered);
        let wheels = wheels.into_iter().map(WheelRow::into_remembered);
        Ok(bindings.chain(volumes).chain(wheels).collect())
    }

    /// The calls of callers who can be known again, on a flow, from `since` on: in order of time,
    /// without test calls, and of a great many the newest only.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn visits(
        &self,
        account: AccountId,
        flow: ForwardingFlowId,
        since: Timestamp,
    ) -> Result<Vec<(CallerKey, Visit)>, StoreError> {
        let rows: Vec<VisitRow> = on!(self, db => {
            sqlx::query_as(VISITS)
                .bind(Text(account))
                .bind(Text(flow))
                .bind(Int(since))
                .bind(Int(MOST_VISITS))
                .fetch_all(db)
                .await
        })?;
        Ok(rows.into_iter().rev().map(VisitRow::into_visit).collect())
    }
}

/// What of a batch is remembered: the last word on each key, in order of key.
#[derive(Default)]
pub(super) struct Memory<'a>(BTreeMap<Key<'a>, (AccountId, &'a Remembered)>);

#[derive(Eq, Ord, PartialEq, PartialOrd)]
enum Key<'a> {
    Binding(ForwardingFlowId, &'a CallerKey),
    Volume(Throttled, CapPeriod, CapCount),
    Wheel(ForwardingFlowId, i32),
}

impl<'a> Memory<'a> {
    pub fn put(&mut self, account: AccountId, what: &'a Remembered) {
        let key = match what {
            Remembered::Binding { flow, caller, .. } => Key::Binding(*flow, caller),
            Remembered::Volume { of, per, count, .. } => Key::Volume(*of, *per, *count),
            Remembered::Wheel { flow, priority, .. } => Key::Wheel(*flow, *priority),
        };
        self.0.insert(key, (account, what));
    }

    /// Rows ready for [`Tx::remember`].
    pub fn into_rows(self) -> Vec<(AccountId, &'a Remembered)> {
        self.0.into_values().collect()
    }
}

impl Tx {
    pub(super) async fn remember(
        &mut self,
        account: AccountId,
        what: &Remembered,
    ) -> Result<(), StoreError> {
        match what {
            Remembered::Binding { flow, caller, binding: None } => on!(in self, db => {
                let query = sqlx::query(DELETE_BINDING).bind(Text(account));
                query.bind(Text(*flow)).bind(Text(caller)).execute(db).await.map(drop)
            })?,
            Remembered::Binding { flow, caller, binding: Some(binding) } => on!(in self, db => {
                sqlx::query(PUT_BINDING)
                    .bind(Text(*flow))
                    .bind(Text(caller))
                    .bind(Text(account))
                    .bind(Text(binding.destination))
                    .bind(Int(binding.set_at))
                    .bind(Int(binding.touched_at))
                    .execute(db)
                    .await
                    .map(drop)
            })?,
            Remembered::Volume { of, per, count, since, used } => on!(in self, db => {
                sqlx::query(PUT_VOLUME)
                    .bind(Text(*of))
                    .bind(Text(*per))
                    .bind(Text(*count))
                    .bind(Text(account))
                    .bind(Int(*since))
                    .bind(Int(*used))
                    .execute(db)
                    .await
                    .map(drop)
            })?,
            Remembered::Wheel { flow, priority, standing } => {
                let standings: Vec<Standing> = standing.iter().map(Standing::of).collect();
                let standings = json(&standings)?;
                on!(in self, db => {
                    sqlx::query(PUT_WHEEL)
                        .bind(Text(*flow))
                        .bind(Int(*priority))
                        .bind(Text(account))
                        .bind(&standings)
                        .execute(db)
                        .await
                        .map(drop)
                })?;
            }
        }
        Ok(())
    }
}

#[derive(FromRow)]
struct BindingRow {
    flow_id: Text<ForwardingFlowId>,
    caller_key: Text<CallerKey>,
    destination_id: Text<DestinationId>,
    set_at: Int<Timestamp>,
    touched_at: Int<Timestamp>,
}

impl BindingRow {
    fn into_remembered(self) -> Remembered {
        let binding = Binding {
            destination: self.destination_id.0,
            set_at: self.set_at.0,
            touched_at: self.touched_at.0,
        };
        let (flow, caller) = (self.flow_id.0, self.caller_key.0);
        Remembered::Binding { flow, caller, binding: Some(binding) }
    }
}

#[derive(FromRow)]
struct VolumeRow {
    throttled_id: Text<Throttled>,
    period: Text<CapPeriod>,
    counted: Text<CapCount>,
    since: Int<Timestamp>,
    used: Int<u32>,
}

impl VolumeRow {
    fn into_remembered(self) -> Remembered {
        Remembered::Volume {
            of: self.throttled_id.0,
            per: self.period.0,
            count: self.counted.0,
            since: self.since.0,
            used: self.used.0,
        }
    }
}

#[derive(FromRow)]
struct WheelRow {
    flow_id: Text<ForwardingFlowId>,
    priority: Int<i32>,
    standings: Json<Vec<Standing>>,
}

impl WheelRow {
    fn into_remembered(self) -> Remembered {
        let standing = self.standings.0.into_iter().map(|one| (one.destination, one.standing));
        Remembered::Wheel {
            flow: self.flow_id.0,
            priority: self.priority.0,
            standing: standing.collect(),
        }
    }
}

#[derive(FromRow)]
struct VisitRow {
    id: Text<CallId>,
    caller_key: Text<CallerKey>,
    started_at: Int<Timestamp>,
    sent_to: Option<Text<DestinationId>>,
    is_answered: bool,
}

impl VisitRow {
    fn into_visit(self) -> (CallerKey, Visit) {
        let sent_to = self.sent_to.map(|Text(destination)| destination);
        let (call, at, is_answered) = (self.id.0, self.started_at.0, self.is_answered);
        (self.caller_key.0, Visit { call, at, sent_to, is_answered })
    }
}

#[derive(Deserialize, Serialize)]
struct Standing {
    destination: DestinationId,
    standing: i64,
}

impl Standing {
    fn of(&(destination, standing): &(DestinationId, i64)) -> Self {
        Self { destination, standing }
    }
}

const BINDINGS: &str = "SELECT flow_id, caller_key, destination_id, set_at, touched_at \
    FROM binding WHERE account_id = $1 ORDER BY touched_at";
const VOLUMES: &str =
    "SELECT throttled_id, period, counted, since, used FROM volume WHERE account_id = $1";
// The last leg is the one that was answered, if one was; while it lives it has no outcome yet.
const VISITS: &str = "SELECT call.id, call.caller_key, call.started_at, \
        leg.destination_id AS sent_to, \
        leg.answered_at IS NOT NULL AND COALESCE(leg.outcome, 'answered') = 'answered' \
            AS is_answered \
    FROM call LEFT JOIN leg ON leg.call_id = call.id AND leg.no = \
        (SELECT MAX(no) FROM leg AS one WHERE one.call_id = call.id \
            AND one.destination_id IS NOT NULL) \
    WHERE call.account_id = $1 AND call.flow_id = $2 AND call.started_at >= $3 \
        AND call.caller_key IS NOT NULL AND NOT call.is_test \
    ORDER BY call.started_at DESC, call.id DESC LIMIT $4";
const WHEELS: &str = "SELECT flow_id, priority, standings FROM wheel WHERE account_id = $1";

const DELETE_BINDING: &str =
    "DELETE FROM binding WHERE account_id = $1 AND flow_id = $2 AND caller_key = $3";
const PUT_BINDING: &str = "INSERT INTO binding (flow_id, caller_key, account_id, destination_id, \
        set_at, touched_at) VALUES ($1, $2, $3, $4, $5, $6) \
    ON CONFLICT (flow_id, caller_key) DO UPDATE SET destination_id = excluded.destination_id, \
        set_at = excluded.set_at, touched_at = excluded.touched_at \
    WHERE binding.account_id = excluded.account_id";
const PUT_VOLUME: &str = "INSERT INTO volume (throttled_id, period, counted, account_id, since, \
        used) VALUES ($1, $2, $3, $4, $5, $6) \
    ON CONFLICT (throttled_id, period, counted) DO UPDATE SET since = excluded.since, \
        used = excluded.used \
    WHERE volume.account_id = excluded.account_id";
const PUT_WHEEL: &str = "INSERT INTO wheel (flow_id, priority, account_id, standings) \
    VALUES ($1, $2, $3, $4) \
    ON CONFLICT (flow_id, priority) DO UPDATE SET standings = excluded.standings \
    WHERE wheel.account_id = excluded.account_id";

//! Reading calls: the log, one call in full, the calls a node still owns, and journals.
//! [`Record`](super::Record) writes them.

use sqlx::types::Json;
use sqlx::{FromRow, QueryBuilder};

use super::column::{Int, Text};
use super::{Db, StoreError};
use crate::model::call::{CallRecord, CallStatus, LegRecord};
use crate::model::cause::{CallResult, EndedBy, HangupCause, Outcome};
use crate::model::id::{
    AccountId, BridgeId, CallId, ChannelId, DestinationId, ForwardingFlowId, TrunkId,
};
use crate::model::number::{Caller, CallerKey, Did};
use crate::model::time::Timestamp;
use crate::model::timeline::{Step, TimelineEntry};

/// What a filter asks of the first call of a session as of any call.
macro_rules! narrow {
    ($query:ident, $filter:ident) => {
        if let Some(flow) = $filter.flow {
            $query.push(" AND flow_id = ").push_bind(Text(flow));
        }
        if let Some(did) = &$filter.did {
            let (one, other) = crate::store::calls::spellings(did.as_str());
            $query.push(" AND did IN (").push_bind(Text(one));
            $query.push(", ").push_bind(Text(other)).push(")");
        }
        if let Some(caller) = &$filter.caller {
            let (one, other) = crate::store::calls::spellings(caller);
            $query.push(" AND caller_number IN (").push_bind(Text(one));
            $query.push(", ").push_bind(Text(other)).push(")");
        }
        if let Some(is_test) = $filter.is_test {
            $query.push(" AND is_test = ").push_bind(is_test);
        }
        if let Some(from) = $filter.from {
            $query.push(" AND started_at >= ").push_bind(Int(from));
        }
        if let Some(to) = $filter.to {
            $query.push(" AND started_at < ").push_bind(Int(to));
        }
    };
}
pub(super) use narrow;

/// A number as it is looked for: carriers write one and the same with a `+` or without.
pub(super) fn spellings(number: &str) -> (String, String) {
    let digits = number.strip_prefix('+').unwrap_or(number);
    (digits.to_owned(), format!("+{digits}"))
}

/// Which calls to list; every field that is set must hold.
#[derive(Clone, Debug, Default)]
pub struct CallFilter {
    /// From the first to the last of these.
    pub ids: Option<(CallId, CallId)>,
    /// The calls of this session only.
    pub session: Option<CallId>,
    pub flow: Option<ForwardingFlowId>,
    /// Calls that were sent there, whoever answered them.
    pub destination: Option<DestinationId>,
    /// With or without a `+`, as the caller's number.
    pub did: Option<Did>,
    /// With or without a `+`.
    pub caller: Option<String>,
    pub result: Option<CallResult>,
    pub is_test: Option<bool>,
    /// Calls that have not ended, or those that have.
    pub live: Option<bool>,
    /// Started at this moment or later.
    pub from: Option<Timestamp>,
    /// Started before this moment.
    pub to: Option<Timestamp>,
}

/// One call with everything that is kept of it but its journal.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CallDetail {
    pub call: CallRecord,
    /// The node that owns it, or owned it last.
    pub node: String,
    /// In order of dialling.
    pub legs: Vec<LegRecord>,
    /// In order of `seq`.
    pub timeline: Vec<TimelineEntry>,
}

/// One line of a call's journal; what `body` holds is the engine's business.
#[derive(Clone, Debug, PartialEq)]
pub struct JournalLine {
    pub seq: u32,
    pub at: Timestamp,
    pub body: serde_json::Value,
}

impl Db {
    /// At most `limit` calls of `account` that pass `filter`, the newest first; those older than
    /// the call `before`, for the next page.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn calls(
        &self,
        account: AccountId,
        filter: &CallFilter,
        before: Option<CallId>,
        limit: u32,
    ) -> Result<Vec<CallRecord>, StoreError> {
        let rows: Vec<CallRow> = on!(self, db => {
            let mut query = QueryBuilder::new(CALLS);
            query.push(" WHERE account_id = ").push_bind(Text(account));
            narrow!(query, filter);
            if let Some(destination) = filter.destination {
                query.push(" AND EXISTS (").push(SENT).push(" AND leg.call_id = call.id");
                query.push(" AND leg.destination_id = ").push_bind(Text(destination)).push(")");
            }
            if let Some((first, last)) = filter.ids {
                query.push(" AND id >= ").push_bind(Text(first));
                query.push(" AND id <= ").push_bind(Text(last));
            }
            if let Some(session) = filter.session {
                query.push(" AND session_id = ").push_bind(Text(session));
            }
            if let Some(result) = filter.result {
                query.push(" AND result = ").push_bind(Text(result));
            }
            match filter.live {
                Some(true) => drop(query.push(" AND ended_at IS NULL")),
                Some(false) => drop(query.push(" AND ended_at IS NOT NULL")),
                None => {}
            }
            if let Some(before) = before {
                query.push(" AND id < ").push_bind(Text(before));
            }
            query.push(" ORDER BY id DESC LIMIT ").push_bind(Int(limit));
            query.build_query_as().fetch_all(db).await
        })?;
        Ok(rows.into_iter().map(CallRow::into_call).collect())
    }

    /// One call with its legs and its timeline.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn call(
        &self,
        account: AccountId,
        id: CallId,
    ) -> Result<Option<CallDetail>, StoreError> {
        let mut tx = self.snapshot().await?;
        let call: Option<CallRow> = on!(in &mut tx, db => {
            QueryBuilder::new(CALLS)
                .push(" WHERE account_id = ")
                .push_bind(Text(account))
                .push(" AND id = ")
                .push_bind(Text(id))
                .build_query_as()
                .fetch_optional(db)
                .await
        })?;
        let Some(call) = call else {
            return Ok(None);
        };
        let legs: Vec<LegRow> = on!(in &mut tx, db => {
            QueryBuilder::new(LEGS)
                .push(" WHERE account_id = ")
                .push_bind(Text(account))
                .push(" AND call_id = ")
                .push_bind(Text(id))
                .push(" ORDER BY no")
                .build_query_as()
                .fetch_all(db)
                .await
        })?;
        let steps: Vec<StepRow> = on!(in &mut tx, db => {
            sqlx::query_as(TIMELINE).bind(Text(account)).bind(Text(id)).fetch_all(db).await
        })?;
        tx.commit().await?;
        Ok(Some(CallDetail {
            node: call.node.0.clone(),
            call: call.into_call(),
            legs: legs.into_iter().map(LegRow::into_leg).collect(),
            timeline: steps.into_iter().map(StepRow::into_entry).collect(),
        }))
    }

    /// Who answered each of `calls`: the legs that were or are talked on, at most one for each.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn answered_legs(
        &self,
        account: AccountId,
        calls: &[CallId],
    ) -> Result<Vec<LegRecord>, StoreError> {
        let rows: Vec<LegRow> = on!(self, db => {
            let mut query = QueryBuilder::new(LEGS);
            query.push(" WHERE account_id = ").push_bind(Text(account));
            query.push(ANSWERED).push(" AND call_id IN (");
            let mut ids = query.separated(", ");
            for call in calls {
                ids.push_bind(Text(*call));
            }
            query.push(")").build_query_as().fetch_all(db).await
        })?;
        Ok(rows.into_iter().map(LegRow::into_leg).collect())
    }

    /// The calls of all accounts that `node` owns and that have not ended, or of which a leg has not:
    /// it may have to be billed yet. The oldest first.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn open_calls(&self, node: &str) -> Result<Vec<CallRecord>, StoreError> {
        let rows: Vec<CallRow> = on!(self, db => {
            QueryBuilder::new(CALLS)
                .push(" WHERE node = ")
                .push_bind(Text(node))
                .push(" AND ended_at IS NULL")
                // Two queries in one: neither engine would use the index of open calls for an OR.
                .push(" UNION ")
                .push(CALLS)
                .push(" WHERE id IN (SELECT call_id FROM leg WHERE ended_at IS NULL) AND node = ")
                .push_bind(Text(node))
                .push(" ORDER BY id")
                .build_query_as()
                .fetch_all(db)
                .await
        })?;
        Ok(rows.into_iter().map(CallRow::into_call).collect())
    }

    /// The calls of all accounts that `node` owns and that began at `since` or later or have not
    /// ended, the oldest first.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn recent_calls(
        &self,
        node: &str,
        since: Timestamp,
    ) -> Result<Vec<CallRecord>, StoreError> {
        let rows: Vec<CallRow> = on!(self, db => {
            QueryBuilder::new(CALLS)
                .push(" WHERE node = ")
                .push_bind(Text(node))
                .push(" AND (started_at >= ")
                .push_bind(Int(since))
                .push(" OR ended_at IS NULL) ORDER BY id")
                .build_query_as()
                .fetch_all(db)
                .await
        })?;
        Ok(rows.into_iter().map(CallRow::into_call).collect())
    }

    /// The journal of one call, in order of `seq`; empty for a call that is not the account's.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn journal(
        &self,
        account: AccountId,
        call: CallId,
    ) -> Result<Vec<JournalLine>, StoreError> {
        let rows: Vec<(Int<u32>, Int<Timestamp>, Json<serde_json::Value>)> = on!(self, db => {
            sqlx::query_as(JOURNAL).bind(Text(account)).bind(Text(call)).fetch_all(db).await
        })?;
        let line = |(Int(seq), Int(at), Json(body))| JournalLine { seq, at, body };
        Ok(rows.into_iter().map(line).collect())
    }
}

#[derive(FromRow)]
pub(super) struct CallRow {
    id: Text<CallId>,
    account_id: Text<AccountId>,
    pub(super) node: Text<String>,
    did: Text<Did>,
    caller_number: Text<String>,
    caller_name: Text<String>,
    flow_id: Option<Text<ForwardingFlowId>>,
    flow_name: Option<Text<String>>,
    is_test: bool,
    status: Text<CallStatus>,
    started_at: Int<Timestamp>,
    answered_at: Option<Int<Timestamp>>,
    ended_at: Option<Int<Timestamp>>,
    talk_ms: Int<i64>,
    result: Option<Text<CallResult>>,
    ended_by: Option<Text<EndedBy>>,
    cause: Option<Int<HangupCause>>,
    channel: Text<String>,
    bridge: Text<String>,
    caller_key: Option<Text<CallerKey>>,
    session_id: Text<CallId>,
    is_repeat: bool,
}

impl CallRow {
    pub(super) fn into_call(self) -> CallRecord {
        let flow_name = self.flow_name.map(|Text(name)| name).unwrap_or_default();
        CallRecord {
            id: self.id.0,
            account: self.account_id.0,
            did: self.did.0,
            caller: Caller { number: self.caller_number.0, name: self.caller_name.0 },
            caller_key: self.caller_key.map(|Text(key)| key),
            session: self.session_id.0,
            is_repeat: self.is_repeat,
            flow: self.flow_id.map(|Text(flow)| (flow, flow_name)),
            is_test: self.is_test,
            status: self.status.0,
            started_at: self.started_at.0,
            answered_at: self.answered_at.map(|Int(at)| at),
            ended_at: self.ended_at.map(|Int(at)| at),
            talk_ms: self.talk_ms.0,
            result: self.result.map(|Text(result)| result),
            ended_by: self.ended_by.map(|Text(by)| by),
            cause: self.cause.map(|Int(cause)| cause),
            channel: ChannelId(self.channel.0),
            bridge: BridgeId(self.bridge.0),
        }
    }
}

#[derive(FromRow)]
pub(super) struct LegRow {
    call_id: Text<CallId>,
    no: Int<u16>,
    destination_id: Option<Text<DestinationId>>,
    name: Text<String>,
    endpoint: Text<String>,
    started_at: Int<Timestamp>,
    ringing_at: Option<Int<Timestamp>>,
    answered_at: Option<Int<Timestamp>>,
    ended_at: Option<Int<Timestamp>>,
    outcome: Option<Text<Outcome>>,
    cause: Option<Int<HangupCause>>,
    sip_code: Option<Int<u16>>,
    trunk_id: Option<Text<TrunkId>>,
}

impl LegRow {
    pub(super) fn into_leg(self) -> LegRecord {
        LegRecord {
            call: self.call_id.0,
            no: self.no.0,
            destination: self.destination_id.map(|Text(destination)| destination),
            trunk: self.trunk_id.map(|Text(trunk)| trunk),
            name: self.name.0,
            endpoint: self.endpoint.0,
            started_at: self.started_at.0,
            ringing_at: self.ringing_at.map(|Int(at)| at),
            answered_at: self.answered_at.map(|Int(at)| at),
            ended_at: self.ended_at.map(|Int(at)| at),
            outcome: self.outcome.map(|Text(outcome)| outcome),
            cause: self.cause.map(|Int(cause)| cause),
            sip_code: self.sip_code.map(|Int(code)| code),
        }
    }
}

#[derive(FromRow)]
struct StepRow {
    seq: Int<u32>,
    at: Int<Timestamp>,
    step: Json<Step>,
}

impl StepRow {
    fn into_entry(self) -> TimelineEntry {
        TimelineEntry { seq: self.seq.0, at: self.at.0, step: self.step.0 }
    }
}

pub(super) const CALLS: &str = "SELECT id, account_id, node, did, caller_number, caller_name, flow_id, \
    flow_name, is_test, status, started_at, answered_at, ended_at, talk_ms, result, ended_by, \
    cause, channel, bridge, caller_key, session_id, is_repeat FROM call";
const LEGS: &str = "SELECT call_id, no, destination_id, name, endpoint, started_at, ringing_at, \
    answered_at, ended_at, outcome, cause, sip_code, trunk_id FROM leg";
// A leg that lost a race was answered too; only the outcome tells.
const ANSWERED: &str =
    " AND (outcome = 'answered' OR (outcome IS NULL AND answered_at IS NOT NULL))";
pub(super) const SENT: &str = "SELECT 1 FROM leg WHERE leg.account_id = call.account_id";
const TIMELINE: &str =
    "SELECT seq, at, step FROM timeline WHERE account_id = $1 AND call_id = $2 ORDER BY seq";
const JOURNAL: &str =
    "SELECT seq, at, body FROM journal WHERE account_id = $1 AND call_id = $2 ORDER BY seq";

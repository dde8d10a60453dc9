//! Redials as the call log shows them: one row for the calls of a session, dated by its first call.
//!
//! Which calls belong together was decided when they began (`routing::sessions`); here they are only
//! put together.

use std::collections::BTreeMap;

use sqlx::{FromRow, QueryBuilder};

use super::calls::{CALLS, CallFilter, CallRow, SENT, narrow};
use super::column::{Int, Text};
use super::{Db, StoreError};
use crate::model::call::{CallRecord, CallStatus};
use crate::model::cause::CallResult;
use crate::model::id::{AccountId, CallId};
use crate::model::time::Timestamp;

/// The calls of one caller that followed each other; most often a single one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Session {
    /// Whose DID, caller, flow and start are those of the session.
    pub first: CallRecord,
    /// The first one too, the oldest first.
    pub calls: Vec<CallId>,
    /// Of the last call.
    pub status: CallStatus,
    /// The best of all, in the order of [`CallResult`]; `None` until one has ended.
    pub result: Option<CallResult>,
    /// Of the last call; `None` while one lives.
    pub ended_at: Option<Timestamp>,
    /// Of all calls together.
    pub talk_ms: i64,
    /// The flow's repeat-caller rule held for one of them.
    pub is_repeat: bool,
}

impl Db {
    /// At most `limit` sessions of `account` that pass `filter`, the newest first; those that began
    /// before the session `before`, for the next page.
    ///
    /// DID, caller, flow, test and time are asked of the first call, the result of all together, the
    /// destination of each; a session is live while one of its calls is.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn sessions(
        &self,
        account: AccountId,
        filter: &CallFilter,
        before: Option<CallId>,
        limit: u32,
    ) -> Result<Vec<Session>, StoreError> {
        let mut tx = self.snapshot().await?;
        let first: Vec<CallRow> = on!(in &mut tx, db => {
            let mut query = QueryBuilder::new(CALLS);
            query.push(" WHERE session_id = id AND account_id = ").push_bind(Text(account));
            narrow!(query, filter);
            if let Some(result) = filter.result {
                query.push(" AND EXISTS (").push(OF_SESSION).push(" AND one.result = ");
                query.push_bind(Text(result)).push(")");
                let better = result.better();
                if !better.is_empty() {
                    query.push(" AND NOT EXISTS (").push(OF_SESSION).push(" AND one.result IN (");
                    let mut words = query.separated(", ");
                    for word in better {
                        words.push_bind(Text(*word));
                    }
                    query.push("))");
                }
            }
            if let Some(destination) = filter.destination {
                query.push(" AND EXISTS (").push(OF_SESSION).push(" AND EXISTS (").push(SENT);
                query.push(" AND leg.call_id = one.id AND leg.destination_id = ");
                query.push_bind(Text(destination)).push("))");
            }
            if let Some(live) = filter.live {
                query.push(if live { " AND EXISTS (" } else { " AND NOT EXISTS (" });
                query.push(OF_SESSION).push(" AND one.ended_at IS NULL)");
            }
            if let Some(before) = before {
                query.push(" AND id < ").push_bind(Text(before));
            }
            query.push(" ORDER BY id DESC LIMIT ").push_bind(Int(limit));
            query.build_query_as().fetch_all(db).await
        })?;
        let first: Vec<CallRecord> = first.into_iter().map(CallRow::into_call).collect();
        if first.is_empty() {
            return Ok(Vec::new());
        }
        let attempts: Vec<AttemptRow> = on!(in &mut tx, db => {
            let mut query = QueryBuilder::new(ATTEMPTS);
            query.push(" WHERE account_id = ").push_bind(Text(account));
            query.push(" AND session_id IN (");
            let mut ids = query.separated(", ");
            for call in &first {
                ids.push_bind(Text(call.id));
            }
            query.push(") ORDER BY started_at, id").build_query_as().fetch_all(db).await
        })?;
        tx.commit().await?;
        let mut attempts_of: BTreeMap<CallId, Vec<AttemptRow>> = BTreeMap::new();
        for attempt in attempts {
            attempts_of.entry(attempt.session_id.0).or_default().push(attempt);
        }
        let whole = |first: CallRecord| {
            let attempts = attempts_of.remove(&first.id).unwrap_or_default();
            Session::of(first, &attempts)
        };
        Ok(first.into_iter().map(whole).collect())
    }
}

impl Session {
    fn of(first: CallRecord, attempts: &[AttemptRow]) -> Self {
        let is_live = attempts.iter().any(|one| one.ended_at.is_none());
        let ends = attempts.iter().filter_map(|one| one.ended_at.map(|Int(at)| at));
        let results = attempts.iter().filter_map(|one| one.result.map(|Text(result)| result));
        Self {
            calls: attempts.iter().map(|one| one.id.0).collect(),
            status: attempts.last().map_or(first.status, |last| last.status.0),
            result: results.min(),
            ended_at: ends.max().filter(|_| !is_live),
            talk_ms: attempts.iter().map(|one| one.talk_ms.0).sum(),
            is_repeat: attempts.iter().any(|one| one.is_repeat),
            first,
        }
    }
}

#[derive(FromRow)]
struct AttemptRow {
    id: Text<CallId>,
    session_id: Text<CallId>,
    status: Text<CallStatus>,
    ended_at: Option<Int<Timestamp>>,
    talk_ms: Int<i64>,
    result: Option<Text<CallResult>>,
    is_repeat: bool,
}

const ATTEMPTS: &str =
    "SELECT id, session_id, status, ended_at, talk_ms, result, is_repeat FROM call";
const OF_SESSION: &str = "SELECT 1 FROM call one \
    WHERE one.account_id = call.account_id AND one.session_id = call.id";

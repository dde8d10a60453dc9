//! All calls of a period at once, for running them again.

use std::collections::BTreeMap;

use sqlx::QueryBuilder;

use super::calls::{CALLS, CallRow, LegRow};
use super::column::{Int, Text};
use super::{Db, StoreError};
use crate::model::call::{CallRecord, LegRecord};
use crate::model::id::{AccountId, CallId, ForwardingFlowId};
use crate::model::time::Timestamp;

/// A call of a period, or one that reaches into it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CallUnderWay {
    pub call: CallRecord,
    /// The node that owned it last.
    pub node: String,
    /// In order of dialling.
    pub legs: Vec<LegRecord>,
}

impl Db {
    /// The calls of `account` that were under way at some moment from `from` on and before `to`,
    /// the oldest first; no test calls.
    ///
    /// A call that began longer than [`LONGEST_MS`] before `from` is not looked for.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn calls_under_way(
        &self,
        account: AccountId,
        from: Timestamp,
        to: Timestamp,
    ) -> Result<Vec<CallUnderWay>, StoreError> {
        macro_rules! under_way {
            ($query:ident) => {
                $query.push(" WHERE account_id = ").push_bind(Text(account));
                $query.push(" AND is_test = ").push_bind(false);
                $query.push(" AND started_at >= ").push_bind(Int(from.plus_ms(-LONGEST_MS)));
                $query.push(" AND started_at < ").push_bind(Int(to));
                $query.push(" AND (ended_at IS NULL OR started_at >= ").push_bind(Int(from));
                $query.push(" OR ended_at > ").push_bind(Int(from)).push(")");
            };
        }
        let mut tx = self.snapshot().await?;
        let calls: Vec<CallRow> = on!(in &mut tx, db => {
            let mut query = QueryBuilder::new(CALLS);
            under_way!(query);
            query.push(" ORDER BY started_at, id").build_query_as().fetch_all(db).await
        })?;
        let legs: Vec<LegRow> = on!(in &mut tx, db => {
            let mut query = QueryBuilder::new(LEGS);
            query.push(" WHERE account_id = ").push_bind(Text(account));
            query.push(" AND call_id IN (SELECT id FROM call");
            under_way!(query);
            query.push(") ORDER BY call_id, no").build_query_as().fetch_all(db).await
        })?;
        tx.commit().await?;
        let mut legs_of: BTreeMap<CallId, Vec<LegRecord>> = BTreeMap::new();
        for leg in legs.into_iter().map(LegRow::into_leg) {
            legs_of.entry(leg.call).or_default().push(leg);
        }
        let whole = |row: CallRow| {
            let node = row.node.0.clone();
            let call = row.into_call();
            let legs = legs_of.remove(&call.id).unwrap_or_default();
            CallUnderWay { call, node, legs }
        };
        Ok(calls.into_iter().map(whole).collect())
    }

    /// How often no destination could be chosen for the calls that began in the period, by reason
    /// as the timeline has it; no test calls.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn refusals(
        &self,
        account: AccountId,
        from: Timestamp,
        to: Timestamp,
        flow: Option<ForwardingFlowId>,
    ) -> Result<BTreeMap<String, u64>, StoreError> {
        let rows: Vec<(Text<String>, Int<u32>)> = on!(self, db => {
            let mut query = QueryBuilder::new(REFUSALS);
            query.push(" AND c.account_id = ").push_bind(Text(account));
            query.push(" AND c.started_at >= ").push_bind(Int(from));
            query.push(" AND c.started_at < ").push_bind(Int(to));
            if let Some(flow) = flow {
                query.push(" AND c.flow_id = ").push_bind(Text(flow));
            }
            query.push(" GROUP BY t.step->>'reason'").build_query_as().fetch_all(db).await
        })?;
        Ok(rows.into_iter().map(|(Text(reason), Int(count))| (reason, count.into())).collect())
    }
}

/// The longest conversation a flow allows, 12 hours, and what goes before it.
pub const LONGEST_MS: i64 = 13 * 3_600_000;

const LEGS: &str = "SELECT call_id, no, destination_id, name, endpoint, started_at, ringing_at, \
    answered_at, ended_at, outcome, cause, sip_code, trunk_id FROM leg";
const REFUSALS: &str = "SELECT t.step->>'reason', COUNT(*) FROM call c \
    JOIN timeline t ON t.account_id = c.account_id AND t.call_id = c.id \
    WHERE NOT c.is_test AND t.step->>'step' = 'unroutable'";

//! Reports about calls: how many, how many answered, how long and what they cost, by flow, by
//! destination, or by the hours and days of a zone.
//!
//! Test calls are in no report but their own. A call belongs to the moment at which it began, a
//! session to that of its first call. Integers only; every sum is exact.

use std::collections::BTreeMap;

use sqlx::{FromRow, QueryBuilder};
use strum::{Display, EnumString, VariantNames};

use super::column::{Int, Text};
use super::{Db, StoreError};
use crate::model::billing::{Currency, Micros};
use crate::model::cause::CallResult;
use crate::model::id::{AccountId, DestinationId, ForwardingFlowId};
use crate::model::time::{Timestamp, Zone};

/// Which calls count, whatever the rows are.
macro_rules! narrow {
    ($sql:ident, $account:ident, $query:ident) => {
        $sql.push(" WHERE c.account_id = ").push_bind(Text($account));
        $sql.push(" AND c.is_test = ").push_bind($query.tests);
        if let Some(flow) = $query.flow {
            $sql.push(" AND c.flow_id = ").push_bind(Text(flow));
        }
    };
    ($sql:ident, $account:ident, $query:ident, $column:literal = $destination:ident) => {
        narrow!($sql, $account, $query);
        if let Some(destination) = $destination {
            $sql.push(concat!(" AND ", $column, " = ")).push_bind(Text(destination));
        }
    };
}

macro_rules! within {
    ($sql:ident, $query:ident) => {
        $sql.push(" AND c.started_at >= ").push_bind(Int($query.from));
        $sql.push(" AND c.started_at < ").push_bind(Int($query.to));
    };
}

/// The periods as a table to join with.
macro_rules! periods {
    ($sql:ident, $periods:ident) => {
        for (no, (begins, ends)) in (0_u32..).zip(&$periods) {
            $sql.push(if no == 0 { "(" } else { ", (" }).push_bind(Int(no));
            $sql.push(", ").push_bind(Int(*begins)).push(", ").push_bind(Int(*ends)).push(")");
        }
    };
}

/// What the rows of a report are.
#[derive(Clone, Copy, Debug, Display, EnumString, Eq, PartialEq, VariantNames)]
#[strum(serialize_all = "snake_case")]
pub enum By {
    Day,
    Destination,
    Flow,
    Hour,
}

/// Which calls a report is about.
#[derive(Clone, Debug)]
pub struct ReportQuery {
    pub by: By,
    /// Begun at this moment or later.
    pub from: Timestamp,
    /// Begun before this moment.
    pub to: Timestamp,
    /// Whose days and hours.
    pub zone: Zone,
    pub flow: Option<ForwardingFlowId>,
    /// Test calls only, instead of all others.
    pub tests: bool,
}

/// One line of a report.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ReportRow {
    /// By flow and by destination: the flow, or `None` for calls on numbers that nobody owned.
    pub flow: Option<ForwardingFlowId>,
    /// Its newest name in the log.
    pub flow_name: Option<String>,
    /// By destination: the destination, or `None` for the fallback number of the flow.
    pub destination: Option<DestinationId>,
    /// Its newest name in the log.
    pub destination_name: Option<String>,
    /// The part of the day or hour that lies in the period asked for.
    pub period: Option<(Timestamp, Timestamp)>,
    /// By destination, or of one: those that were sent there.
    pub calls: i64,
    /// Calls with redials counted as one.
    pub sessions: i64,
    pub answered: i64,
    /// What they came to, once they are over; by destination, or of one, with all that followed on it.
    pub results: BTreeMap<CallResult, i64>,
    /// Conversation.
    pub talk_ms: i64,
    pub billed_sec: i64,
    /// By currency; empty when nothing was billed.
    pub costs: Vec<Cost>,
}

/// An amount with its currency.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Cost {
    pub amount: Micros,
    pub currency: Currency,
}

impl ReportRow {
    /// Answered ones of a thousand calls, rounded; `None` without a call.
    #[must_use]
    pub fn answered_per_mille(&self) -> Option<i64> {
        (self.calls > 0).then(|| (self.answered * 1_000 + self.calls / 2) / self.calls)
    }
}

impl ReportQuery {
    /// Most rows of a report by time: three years of days, 45 days of hours.
    pub const MOST_PERIODS: usize = 1_100;

    /// The days or hours of the zone that the period has a part of, in order; `None` when they are
    /// too many. A day may have 23 or 25 hours; an hour begins with the minute 0 of the clock on the
    /// wall, and where that is put back by half an hour, one row has half an hour.
    #[must_use]
    pub fn periods(&self) -> Option<Vec<(Timestamp, Timestamp)>> {
        let mut periods = Vec::new();
        let mut begin = self.from;
        while begin < self.to {
            if periods.len() == Self::MOST_PERIODS {
                return None;
            }
            let end = self.end_of_period(begin).min(self.to);
            periods.push((begin, end));
            begin = end;
        }
        Some(periods)
    }

    fn end_of_period(&self, begin: Timestamp) -> Timestamp {
        let local = self.zone.local(begin);
        if self.by == By::Hour {
            let hour = i64::from(local.minute()) * 60_000
                + i64::from(local.second()) * 1_000
                + i64::from(local.millisecond());
            return begin.plus_ms(HOUR_MS - hour);
        }
        // Where clocks were put back over midnight, the next date has begun once already.
        let mut date = local.date();
        while let Ok(next) = date.tomorrow() {
            let midnight = self.zone.midnight(next);
            if midnight > begin {
                return midnight;
            }
            date = next;
        }
        self.to
    }
}

impl Db {
    /// The rows of a report: by time in order of time, a row for each period; else the one with the
    /// most calls first.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]; [`StoreError::Internal`] for more periods than
    /// [`ReportQuery::MOST_PERIODS`], which the caller checks.
    pub async fn report(
        &self,
        account: AccountId,
        query: &ReportQuery,
    ) -> Result<Vec<ReportRow>, StoreError> {
        self.report_of(account, query, None).await
    }

    /// As [`Db::report`], but of the calls that were sent to `destination` only, and of what became
    /// of them there.
    ///
    /// # Errors
    /// As [`Db::report`].
    pub async fn report_of(
        &self,
        account: AccountId,
        query: &ReportQuery,
        destination: Option<DestinationId>,
    ) -> Result<Vec<ReportRow>, StoreError> {
        match query.by {
            By::Day | By::Hour => self.report_by_time(account, query, destination).await,
            By::Destination | By::Flow => self.report_by_key(account, query, destination).await,
        }
    }

    /// Whose days are the account's.
    ///
    /// # Errors
    /// [`StoreError::NoAccount`] and [`StoreError::Unavailable`].
    pub async fn zone(&self, account: AccountId) -> Result<Zone, StoreError> {
        Ok(self.settings(account).await?.time_zone)
    }

    async fn report_by_time(
        &self,
        account: AccountId,
        query: &ReportQuery,
        destination: Option<DestinationId>,
    ) -> Result<Vec<ReportRow>, StoreError> {
        let (figures, legs) = counted(query.by, destination);
        let periods = query.periods().ok_or_else(|| {
            StoreError::Internal(sqlx::Error::Encode("a report has too many periods".into()))
        })?;
        if periods.is_empty() {
            return Ok(Vec::new());
        }
        let mut tx = self.snapshot().await?;
        let totals: Vec<(Int<u32>, Totals)> = on!(in &mut tx, db => {
            let mut sql = QueryBuilder::new(PERIODS);
            periods!(sql, periods);
            sql.push(") SELECT p.no, ").push(figures).push(FROM_PERIODS);
            sql.push(legs);
            narrow!(sql, account, query, "l.destination_id" = destination);
            let rows: Vec<TimeRow> =
                sql.push(" GROUP BY p.no").build_query_as().fetch_all(db).await?;
            Ok::<_, sqlx::Error>(rows.into_iter().map(|row| (row.no, row.totals)).collect())
        })?;
        let results: Vec<TimeResultRow> = on!(in &mut tx, db => {
            let mut sql = QueryBuilder::new(PERIODS);
            periods!(sql, periods);
            sql.push(") SELECT p.no, ").push(RESULTS).push(FROM_PERIODS).push(legs);
            narrow!(sql, account, query, "l.destination_id" = destination);
            sql.push(ENDED).push(" GROUP BY p.no, c.result").build_query_as().fetch_all(db).await
        })?;
        let bills: Vec<TimeBillRow> = on!(in &mut tx, db => {
            let mut sql = QueryBuilder::new(PERIODS);
            periods!(sql, periods);
            sql.push(") SELECT p.no, ").push(BILLED).push(FROM_PERIODS).push(BILLS);
            narrow!(sql, account, query, "d.destination_id" = destination);
            sql.push(" GROUP BY p.no, d.currency ORDER BY d.currency");
            sql.build_query_as().fetch_all(db).await
        })?;
        tx.commit().await?;
        let mut rows: Vec<ReportRow> = periods
            .into_iter()
            .map(|period| ReportRow { period: Some(period), ..ReportRow::default() })
            .collect();
        for (Int(no), totals) in totals {
            if let Some(row) = rows.get_mut(no as usize) {
                totals.fill(row);
            }
        }
        for TimeResultRow { no: Int(no), came_to } in results {
            if let Some(row) = rows.get_mut(no as usize) {
                came_to.fill(row);
            }
        }
        for TimeBillRow { no: Int(no), bill } in bills {
            if let Some(row) = rows.get_mut(no as usize) {
                bill.fill(row);
            }
        }
        Ok(rows)
    }

    async fn report_by_key(
        &self,
        account: AccountId,
        query: &ReportQuery,
        destination: Option<DestinationId>,
    ) -> Result<Vec<ReportRow>, StoreError> {
        let (figures, legs) = counted(query.by, destination);
        let [by_leg, by_bill] = match query.by {
            By::Destination => ["l.destination_id", "d.destination_id"],
            By::Day | By::Flow | By::Hour => ["CAST(NULL AS TEXT)"; 2],
        };
        let mut tx = self.snapshot().await?;
        let totals: Vec<KeyRow> = on!(in &mut tx, db => {
            let mut sql = QueryBuilder::new(NAMED);
            sql.push("SELECT c.account_id, c.flow_id, ").push(by_leg);
            sql.push(" AS destination_id, ").push(figures);
            sql.push(" FROM call c").push(legs);
            narrow!(sql, account, query, "l.destination_id" = destination);
            within!(sql, query);
            sql.push(" GROUP BY 1, 2, 3) t").build_query_as().fetch_all(db).await
        })?;
        let results: Vec<KeyResultRow> = on!(in &mut tx, db => {
            let mut sql = QueryBuilder::new("SELECT c.flow_id, ");
            sql.push(by_leg).push(" AS destination_id, ").push(RESULTS);
            sql.push(" FROM call c").push(legs);
            narrow!(sql, account, query, "l.destination_id" = destination);
            within!(sql, query);
            sql.push(ENDED).push(" GROUP BY 1, 2, c.result").build_query_as().fetch_all(db).await
        })?;
        let bills: Vec<KeyBillRow> = on!(in &mut tx, db => {
            let mut sql = QueryBuilder::new("SELECT c.flow_id, ");
            sql.push(by_bill).push(" AS destination_id, ").push(BILLED);
            sql.push(" FROM call c").push(BILLS);
            narrow!(sql, account, query, "d.destination_id" = destination);
            within!(sql, query);
            sql.push(" GROUP BY 1, 2, d.currency ORDER BY d.currency");
            sql.build_query_as().fetch_all(db).await
        })?;
        tx.commit().await?;
        let mut rows = BTreeMap::new();
        for KeyRow { key, flow_name, destination_name, totals } in totals {
            let (flow, destination) = key.ids();
            let mut row = ReportRow {
                flow,
                flow_name: flow_name.map(|Text(name)| name),
                destination,
                destination_name: destination_name.map(|Text(name)| name),
                ..ReportRow::default()
            };
            totals.fill(&mut row);
            rows.insert((flow, destination), row);
        }
        for KeyResultRow { key, came_to } in results {
            if let Some(row) = rows.get_mut(&key.ids()) {
                came_to.fill(row);
            }
        }
        for KeyBillRow { key, bill } in bills {
            if let Some(row) = rows.get_mut(&key.ids()) {
                bill.fill(row);
            }
        }
        let mut rows: Vec<ReportRow> = rows.into_values().collect();
        rows.sort_by_key(|row| (std::cmp::Reverse(row.calls), row.flow, row.destination));
        Ok(rows)
    }
}

/// What is counted: calls, or what became of them at destinations; and the table that takes.
fn counted(by: By, destination: Option<DestinationId>) -> (&'static str, &'static str) {
    if by == By::Destination || destination.is_some() {
        (LEG_FIGURES, LEGS)
    } else {
        (CALL_FIGURES, "")
    }
}

#[derive(FromRow)]
struct Totals {
    calls: Int<i64>,
    sessions: Int<i64>,
    answered: Int<i64>,
    talk_ms: Int<i64>,
}

#[derive(FromRow)]
struct TimeRow {
    no: Int<u32>,
    #[sqlx(flatten)]
    totals: Totals,
}

/// What a row is about.
#[derive(FromRow)]
struct Key {
    flow_id: Option<Text<ForwardingFlowId>>,
    destination_id: Option<Text<DestinationId>>,
}

#[derive(FromRow)]
struct KeyRow {
    #[sqlx(flatten)]
    key: Key,
    flow_name: Option<Text<String>>,
    destination_name: Option<Text<String>>,
    #[sqlx(flatten)]
    totals: Totals,
}

#[derive(FromRow)]
struct CameTo {
    result: Text<CallResult>,
    times: Int<i64>,
}

#[derive(FromRow)]
struct TimeResultRow {
    no: Int<u32>,
    #[sqlx(flatten)]
    came_to: CameTo,
}

#[derive(FromRow)]
struct KeyResultRow {
    #[sqlx(flatten)]
    key: Key,
    #[sqlx(flatten)]
    came_to: CameTo,
}

#[derive(FromRow)]
struct Bill {
    billed_sec: Int<i64>,
    amount: Int<i64>,
    currency: Text<Currency>,
}

#[derive(FromRow)]
struct TimeBillRow {
    no: Int<u32>,
    #[sqlx(flatten)]
    bill: Bill,
}

#[derive(FromRow)]
struct KeyBillRow {
    #[sqlx(flatten)]
    key: Key,
    #[sqlx(flatten)]
    bill: Bill,
}

impl CameTo {
    fn fill(self, row: &mut ReportRow) {
        row.results.insert(self.result.0, self.times.0);
    }
}

impl Bill {
    fn fill(self, row: &mut ReportRow) {
        row.billed_sec += self.billed_sec.0;
        row.costs.push(Cost { amount: Micros(self.amount.0), currency: self.currency.0 });
    }
}

impl Totals {
    fn fill(self, row: &mut ReportRow) {
        row.calls = self.calls.0;
        row.sessions = self.sessions.0;
        row.answered = self.answered.0;
        row.talk_ms = self.talk_ms.0;
    }
}

impl Key {
    fn ids(&self) -> (Option<ForwardingFlowId>, Option<DestinationId>) {
        let flow = self.flow_id.as_ref().map(|Text(id)| *id);
        (flow, self.destination_id.as_ref().map(|Text(id)| *id))
    }
}

const HOUR_MS: i64 = 3_600_000;

const PERIODS: &str = "WITH period (no, begins, ends) AS (VALUES ";
const FROM_PERIODS: &str =
    " FROM period p JOIN call c ON c.started_at >= p.begins AND c.started_at < p.ends";
// What calls came to, and what they came to at the destinations they were sent to.
const CALL_FIGURES: &str = "COUNT(*) AS calls, \
    CAST(SUM(CASE WHEN c.session_id = c.id THEN 1 ELSE 0 END) AS BIGINT) AS sessions, \
    CAST(SUM(CASE WHEN c.result = 'answered' \
        OR (c.result IS NULL AND c.answered_at IS NOT NULL) THEN 1 ELSE 0 END) AS BIGINT) \
        AS answered, \
    CAST(SUM(c.talk_ms) AS BIGINT) AS talk_ms";
const LEG_FIGURES: &str = "COUNT(DISTINCT c.id) AS calls, COUNT(DISTINCT c.session_id) AS sessions, \
    CAST(SUM(CASE WHEN l.outcome = 'answered' \
        OR (l.outcome IS NULL AND l.answered_at IS NOT NULL) THEN 1 ELSE 0 END) AS BIGINT) \
        AS answered, \
    CAST(SUM(CASE WHEN l.outcome = 'answered' THEN c.talk_ms ELSE 0 END) AS BIGINT) AS talk_ms";
// A call may have several legs at one destination.
const RESULTS: &str = "c.result, COUNT(DISTINCT c.id) AS times";
const ENDED: &str = " AND c.result IS NOT NULL";
const LEGS: &str = " JOIN leg l ON l.account_id = c.account_id AND l.call_id = c.id";
const BILLED: &str = "d.currency, CAST(SUM(d.billed_sec) AS BIGINT) AS billed_sec, \
    CAST(SUM(d.amount) AS BIGINT) AS amount";
const BILLS: &str = " JOIN cdr d ON d.account_id = c.account_id AND d.call_id = c.id";
const NAMED: &str = "SELECT t.flow_id, (SELECT n.flow_name FROM call n \
        WHERE n.account_id = t.account_id AND n.flow_id = t.flow_id \
        ORDER BY n.id DESC LIMIT 1) AS flow_name, \
    t.destination_id, (SELECT n.name FROM leg n \
        WHERE n.account_id = t.account_id AND n.destination_id = t.destination_id \
        ORDER BY n.started_at DESC LIMIT 1) AS destination_name, \
    t.calls, t.sessions, t.answered, t.talk_ms FROM (";

//! Bills: the billed records of legs, the balance of each account, and what is put into it.
//!
//! A leg is billed at most once, ever: its record is a row with the leg as its key, and the balance
//! is lowered in the transaction that adds the row, for rows that were really added. So everything
//! here may be written again, late, and by two nodes at once.

use std::collections::BTreeMap;

use sqlx::{FromRow, QueryBuilder};

use super::column::{Int, Text};
use super::record::chunks;
use super::{Db, StoreError, Tx};
use crate::model::billing::{
    Cdr, Charge, Credit, Currency, Increment, Micros, Prefix, Rounding, Tariff,
};
use crate::model::id::{
    AccountId, CallId, CreditId, DestinationId, ForwardingFlowId, LegId, RateDeckId, TrunkId,
};
use crate::model::objects::account::AccountSettings;
use crate::model::time::Timestamp;

/// Which bills to list; every field that is set must hold.
#[derive(Clone, Debug, Default)]
pub struct CdrFilter {
    pub flow: Option<ForwardingFlowId>,
    pub destination: Option<DestinationId>,
    pub trunk: Option<TrunkId>,
    /// Legs dialled at this moment or later.
    pub from: Option<Timestamp>,
    /// Legs dialled before this moment.
    pub to: Option<Timestamp>,
}

/// What an account has left, and how it pays.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct AccountBalance {
    /// Less than nothing once calls cost more than was put in.
    pub amount: Micros,
    pub currency: Currency,
    /// Calls that cost are refused once nothing is left.
    pub prepaid: bool,
}

impl Db {
    /// At most `limit` bills of `account` that pass `filter`, those of the newest calls first; those
    /// that come after `before` in this order, for the next page.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn cdrs(
        &self,
        account: AccountId,
        filter: &CdrFilter,
        before: Option<LegId>,
        limit: u32,
    ) -> Result<Vec<Cdr>, StoreError> {
        let rows: Vec<CdrRow> = on!(self, db => {
            let mut query = QueryBuilder::new(CDRS);
            query.push(" WHERE account_id = ").push_bind(Text(account));
            if let Some(flow) = filter.flow {
                query.push(" AND flow_id = ").push_bind(Text(flow));
            }
            if let Some(destination) = filter.destination {
                query.push(" AND destination_id = ").push_bind(Text(destination));
            }
            if let Some(trunk) = filter.trunk {
                query.push(" AND trunk_id = ").push_bind(Text(trunk));
            }
            if let Some(from) = filter.from {
                query.push(" AND started_at >= ").push_bind(Int(from));
            }
            if let Some(to) = filter.to {
                query.push(" AND started_at < ").push_bind(Int(to));
            }
            if let Some(LegId { call, no }) = before {
                query.push(" AND (call_id, leg_no) < (").push_bind(Text(call));
                query.push(", ").push_bind(Int(no)).push(")");
            }
            query.push(" ORDER BY call_id DESC, leg_no DESC LIMIT ").push_bind(Int(limit));
            query.build_query_as().fetch_all(db).await
        })?;
        Ok(rows.into_iter().map(CdrRow::into_cdr).collect())
    }

    /// The bills of one call, in the order of its legs.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn cdrs_of_call(
        &self,
        account: AccountId,
        call: CallId,
    ) -> Result<Vec<Cdr>, StoreError> {
        self.cdrs_of_calls(account, &[call]).await
    }

    /// The bills of `calls`, each call's in the order of its legs.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn cdrs_of_calls(
        &self,
        account: AccountId,
        calls: &[CallId],
    ) -> Result<Vec<Cdr>, StoreError> {
        let rows: Vec<CdrRow> = on!(self, db => {
            let mut query = QueryBuilder::new(CDRS);
            query.push(" WHERE account_id = ").push_bind(Text(account));
            query.push(" AND call_id IN (");
            let mut ids = query.separated(", ");
            for call in calls {
                ids.push_bind(Text(*call));
            }
            query.push(") ORDER BY call_id, leg_no").build_query_as().fetch_all(db).await
        })?;
        Ok(rows.into_iter().map(CdrRow::into_cdr).collect())
    }

    /// What `account` has left.
    ///
    /// # Errors
    /// [`StoreError::NoAccount`], [`StoreError::Unavailable`].
    pub async fn balance(&self, account: AccountId) -> Result<AccountBalance, StoreError> {
        let AccountSettings { currency, prepaid, .. } = self.settings(account).await?;
        let amount: Option<Int<i64>> = on!(self, db => {
            sqlx::query_scalar(BALANCE).bind(Text(account)).fetch_optional(db).await
        })?;
        let amount = amount.map_or(0, |Int(amount)| amount);
        Ok(AccountBalance { amount: Micros(amount), currency, prepaid })
    }

    /// What every account has left; those that are not in it have nothing.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn balances(&self) -> Result<BTreeMap<AccountId, Micros>, StoreError> {
        let rows: Vec<(Text<AccountId>, Int<i64>)> =
            on!(self, db => sqlx::query_as(BALANCES).fetch_all(db).await)?;
        Ok(rows.into_iter().map(|(Text(account), Int(left))| (account, Micros(left))).collect())
    }

    /// Puts `credit` into `account`, once for its id, and tells what the account has then.
    ///
    /// # Errors
    /// [`StoreError::NoAccount`], [`StoreError::Unavailable`].
    pub async fn add_credit(
        &self,
        account: AccountId,
        credit: &Credit,
    ) -> Result<AccountBalance, StoreError> {
        let mut tx = self.begin().await?;
        let added = on!(in &mut tx, db => {
            sqlx::query(ADD_CREDIT)
                .bind(Text(credit.id))
                .bind(Text(account))
                .bind(Int(credit.amount.0))
                .bind(Text(&credit.note))
                .bind(Int(credit.at))
                .execute(db)
                .await
                .map(|done| done.rows_affected())
        });
        let added = added.map_err(|error| match StoreError::from(error) {
            StoreError::Dangling => StoreError::NoAccount,
            error => error,
        })?;
        if added > 0 {
            tx.move_balance(account, i128::from(credit.amount.0)).await?;
        }
        tx.commit().await?;
        self.balance(account).await
    }

    /// At most `limit` credits of `account`, the newest first; those older than `before`, for the
    /// next page.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn credits(
        &self,
        account: AccountId,
        before: Option<CreditId>,
        limit: u32,
    ) -> Result<Vec<Credit>, StoreError> {
        let rows: Vec<CreditRow> = on!(self, db => {
            let mut query = QueryBuilder::new(CREDITS);
            query.push(" WHERE account_id = ").push_bind(Text(account));
            if let Some(before) = before {
                query.push(" AND id < ").push_bind(Text(before));
            }
            query.push(" ORDER BY id DESC LIMIT ").push_bind(Int(limit));
            query.build_query_as().fetch_all(db).await
        })?;
        Ok(rows.into_iter().map(CreditRow::into_credit).collect())
    }
}

impl Tx {
    /// Adds those of `cdrs` that are new and takes what they cost from the balances.
    pub(super) async fn bill(&mut self, cdrs: &[&Cdr]) -> Result<(), StoreError> {
        let mut costs: BTreeMap<AccountId, i128> = BTreeMap::new();
        for cdrs in chunks(cdrs) {
            for (account, cost) in self.add_cdrs(cdrs).await? {
                *costs.entry(account).or_default() += i128::from(cost.0);
            }
        }
        for (account, cost) in costs {
            self.move_balance(account, -cost).await?;
        }
        Ok(())
    }

    /// Whose the new ones are, and what each costs.
    async fn add_cdrs(&mut self, cdrs: &[&Cdr]) -> Result<Vec<(AccountId, Micros)>, StoreError> {
        let added: Vec<(Text<AccountId>, Int<i64>)> = on!(in self, db => {
            let mut query = QueryBuilder::new(ADD_CDRS);
            query.push_values(cdrs, |mut row, cdr| {
                row.push_bind(Text(cdr.call))
                    .push_bind(Int(cdr.leg))
                    .push_bind(Text(cdr.account))
                    .push_bind(cdr.flow.map(Text))
                    .push_bind(cdr.destination.map(Text))
                    .push_bind(cdr.trunk.map(Text))
                    .push_bind(Text(&cdr.endpoint))
                    .push_bind(Text(cdr.tariff.deck))
                    .push_bind(Text(&cdr.tariff.prefix))
                    .push_bind(Int(cdr.tariff.per_minute.0))
                    .push_bind(Text(cdr.tariff.increment))
                    .push_bind(cdr.tariff.bills_ring_time)
                    .push_bind(Text(cdr.tariff.rounding))
                    .push_bind(Int(u16::from(cdr.tariff.decimals)))
                    .push_bind(Int(cdr.started_at))
                    .push_bind(Int(cdr.answered_at))
                    .push_bind(Int(cdr.ended_at))
                    .push_bind(Int(cdr.charge.billed_sec))
                    .push_bind(Int(cdr.charge.amount.0))
                    .push_bind(Text(cdr.charge.currency));
            });
            query.push(UNLESS_BILLED).build_query_as().fetch_all(db).await
        })?;
        Ok(added.into_iter().map(|(Text(account), Int(cost))| (account, Micros(cost))).collect())
    }

    /// Stops at the ends of what the column holds, so that no bill is ever refused for its sum.
    async fn move_balance(&mut self, account: AccountId, by: i128) -> Result<(), StoreError> {
        let most = i128::from(i64::MAX);
        let by = i64::try_from(by.clamp(-most, most)).unwrap_or_default();
        on!(in self, db => {
            sqlx::query(MOVE_BALANCE)
                .bind(Text(account))
                .bind(Int(by))
                .bind(Int(-i64::MAX))
                .bind(Int(i64::MAX))
                .execute(db)
                .await
                .map(drop)
        })?;
        Ok(())
    }
}

#[derive(FromRow)]
struct CdrRow {
    call_id: Text<CallId>,
    leg_no: Int<u16>,
    account_id: Text<AccountId>,
    flow_id: Option<Text<ForwardingFlowId>>,
    destination_id: Option<Text<DestinationId>>,
    trunk_id: Option<Text<TrunkId>>,
    endpoint: Text<String>,
    deck_id: Text<RateDeckId>,
    prefix: Text<Prefix>,
    per_minute: Int<i64>,
    increment: Text<Increment>,
    bills_ring_time: bool,
    rounding: Text<Rounding>,
    decimals: Int<u8>,
    started_at: Int<Timestamp>,
    answered_at: Int<Timestamp>,
    ended_at: Int<Timestamp>,
    billed_sec: Int<i64>,
    amount: Int<i64>,
    currency: Text<Currency>,
}

impl CdrRow {
    fn into_cdr(self) -> Cdr {
        let currency = self.currency.0;
        Cdr {
            call: self.call_id.0,
            leg: self.leg_no.0,
            account: self.account_id.0,
            flow: self.flow_id.map(|Text(flow)| flow),
            destination: self.destination_id.map(|Text(destination)| destination),
            trunk: self.trunk_id.map(|Text(trunk)| trunk),
            endpoint: self.endpoint.0,
            tariff: Tariff {
                deck: self.deck_id.0,
                prefix: self.prefix.0,
                per_minute: Micros(self.per_minute.0),
                increment: self.increment.0,
                bills_ring_time: self.bills_ring_time,
                rounding: self.rounding.0,
                decimals: self.decimals.0,
                currency,
            },
            started_at: self.started_at.0,
            answered_at: self.answered_at.0,
            ended_at: self.ended_at.0,
            charge: Charge {
                billed_sec: self.billed_sec.0,
                amount: Micros(self.amount.0),
                currency,
            },
        }
    }
}

#[derive(FromRow)]
struct CreditRow {
    id: Text<CreditId>,
    amount: Int<i64>,
    note: Text<String>,
    at: Int<Timestamp>,
}

impl CreditRow {
    fn into_credit(self) -> Credit {
        let amount = Micros(self.amount.0);
        Credit { id: self.id.0, amount, note: self.note.0, at: self.at.0 }
    }
}

const CDRS: &str = "SELECT call_id, leg_no, account_id, flow_id, destination_id, trunk_id, \
    endpoint, deck_id, prefix, per_minute, increment, bills_ring_time, rounding, decimals, \
    started_at, answered_at, ended_at, billed_sec, amount, currency FROM cdr";
const ADD_CDRS: &str = "INSERT INTO cdr (call_id, leg_no, account_id, flow_id, destination_id, \
    trunk_id, endpoint, deck_id, prefix, per_minute, increment, bills_ring_time, rounding, \
    decimals, started_at, answered_at, ended_at, billed_sec, amount, currency) ";
const UNLESS_BILLED: &str =
    " ON CONFLICT (call_id, leg_no) DO NOTHING RETURNING account_id, amount";
const BALANCE: &str = "SELECT amount FROM balance WHERE account_id = $1";
const BALANCES: &str = "SELECT account_id, amount FROM balance ORDER BY account_id";
// No difference overflows: those in the conditions are of two numbers with one sign.
const MOVE_BALANCE: &str = "INSERT INTO balance (account_id, amount) VALUES ($1, $2) \
    ON CONFLICT (account_id) DO UPDATE SET amount = CASE \
        WHEN excluded.amount < 0 AND balance.amount < $3 - excluded.amount THEN $3 \
        WHEN excluded.amount > 0 AND balance.amount > $4 - excluded.amount THEN $4 \
        ELSE balance.amount + excluded.amount END";
const ADD_CREDIT: &str = "INSERT INTO credit (id, account_id, amount, note, at) \
    VALUES ($1, $2, $3, $4, $5) ON CONFLICT (id) DO NOTHING";
const CREDITS: &str = "SELECT id, amount, note, at FROM credit";

//! Changing the configuration of an account: a list of changes, all of them or none.
//!
//! The version of the account is checked and counted up first. That row also makes the changes of
//! one account wait for each other. References are checked at the end, so their order is free; and
//! names and DIDs are set aside before they are put, so that two rows may swap theirs.

use super::column::{Int, Text};
use super::configuration::VERSION;
use super::{Db, StoreError, Tx};
use crate::model::configuration::{Change, Number};
use crate::model::destination::{Destination, Landing};
use crate::model::forwarding_flow::{Fallback, ForwardingFlow};
use crate::model::id::{AccountId, ForwardingFlowId};
use crate::model::server::Server;
use crate::model::time::Timestamp;
use crate::model::trunk::{Reach, Trunk};

impl Db {
    /// Writes `changes` if the configuration still has the version `expected`; the new version.
    ///
    /// A flow is put with its destinations, and those it no longer has are deleted. Its `dids` are
    /// ignored: whose a number is says the number. Deletions come first, wherever they stand in the
    /// list, and deleting what does not exist changes nothing.
    ///
    /// # Errors
    /// Nothing is written with any of them: [`StoreError::Stale`], [`StoreError::Taken`],
    /// [`StoreError::NameTaken`], [`StoreError::Dangling`] (also for an id that belongs to another
    /// account), [`StoreError::NoAccount`], [`StoreError::Unavailable`].
    pub async fn change(
        &self,
        account: AccountId,
        expected: i64,
        changes: &[Change],
        now: Timestamp,
    ) -> Result<i64, StoreError> {
        let mut tx = self.begin().await?;
        let version = tx.count_up(account, expected, now).await?;
        for change in changes {
            tx.delete_or_set_aside(account, change).await?;
        }
        for change in changes {
            match change {
                Change::PutForwardingFlow(flow) => tx.put_flow(account, flow).await?,
                Change::PutNumber(number) => tx.put_number(account, number).await?,
                Change::PutAccount(_) | Change::PutRateDeck(_) => {}
                Change::PutServer(server) => tx.put_server(account, server).await?,
                Change::PutTrunk(trunk) => tx.put_trunk(account, trunk).await?,
                Change::DeleteForwardingFlow(_)
                | Change::DeleteNumber(_)
                | Change::DeleteRateDeck(_)
                | Change::DeleteServer(_)
                | Change::DeleteTrunk(_) => {}
            }
        }
        tx.commit().await?;
        Ok(version)
    }
}

/// Runs one statement for an account and an id.
macro_rules! run {
    ($tx:expr, $sql:expr, $account:expr, $id:expr) => {
        on!(in $tx, db => {
            sqlx::query($sql).bind(Text($account)).bind(Text($id)).execute(db).await.map(drop)
        })?
    };
}

impl Tx {
    async fn count_up(
        &mut self,
        account: AccountId,
        expected: i64,
        now: Timestamp,
    ) -> Result<i64, StoreError> {
        let version: Option<Int<i64>> = on!(in self, db => {
            sqlx::query_scalar(COUNT_UP)
                .bind(Text(account))
                .bind(Int(expected))
                .bind(Int(now))
                .fetch_optional(db)
                .await
        })?;
        if let Some(Int(version)) = version {
            return Ok(version);
        }
        let found: Option<Int<i64>> = on!(in self, db => {
            sqlx::query_scalar(VERSION).bind(Text(account)).fetch_optional(db).await
        })?;
        let Int(found) = found.ok_or(StoreError::NoAccount)?;
        Err(StoreError::Stale { found })
    }

    async fn delete_or_set_aside(
        &mut self,
        account: AccountId,
        change: &Change,
    ) -> Result<(), StoreError> {
        match change {
            Change::DeleteForwardingFlow(id) => {
                run!(self, DELETE_DESTINATIONS, account, *id);
                run!(self, DELETE_FLOW, account, *id);
            }
            Change::DeleteNumber(id) => run!(self, DELETE_NUMBER, account, *id),
            Change::DeleteRateDeck(_) | Change::PutAccount(_) | Change::PutRateDeck(_) => {}
            Change::DeleteServer(id) => run!(self, DELETE_SERVER, account, *id),
            Change::DeleteTrunk(id) => run!(self, DELETE_TRUNK, account, *id),
            Change::PutForwardingFlow(flow) => {
                run!(self, SET_FLOW_ASIDE, account, flow.id);
                run!(self, SET_DESTINATIONS_ASIDE, account, flow.id);
            }
            Change::PutNumber(number) => run!(self, SET_NUMBER_ASIDE, account, number.id),
            Change::PutServer(server) => run!(self, SET_SERVER_ASIDE, account, server.id),
            Change::PutTrunk(trunk) => run!(self, SET_TRUNK_ASIDE, account, trunk.id),
        }
        Ok(())
    }

    async fn put_trunk(&mut self, account: AccountId, trunk: &Trunk) -> Result<(), StoreError> {
        let (address, endpoint) = match &trunk.reach {
            Reach::Address(address) => (Some(Text(address)), None),
            Reach::Endpoint(name) => (None, Some(Text(name.as_str()))),
        };
        let written = on!(in self, db => {
            sqlx::query(PUT_TRUNK)
                .bind(Text(trunk.id))
                .bind(Text(account))
                .bind(Text(&trunk.name))
                .bind(address)
                .bind(endpoint)
                .bind(trunk.max_live.map(Int))
                .execute(db)
                .await
                .map(|done| done.rows_affected())
        });
        named(written, &trunk.name)
    }

    async fn put_server(&mut self, account: AccountId, server: &Server) -> Result<(), StoreError> {
        let written = on!(in self, db => {
            sqlx::query(PUT_SERVER)
                .bind(Text(server.id))
                .bind(Text(account))
                .bind(Text(&server.name))
                .bind(Text(server.role))
                .bind(server.trunk.map(Text))
                .bind(server.max_live.map(Int))
                .execute(db)
                .await
                .map(|done| done.rows_affected())
        });
        named(written, &server.name)
    }

    async fn put_number(&mut self, account: AccountId, number: &Number) -> Result<(), StoreError> {
        let written = on!(in self, db => {
            sqlx::query(PUT_NUMBER)
                .bind(Text(number.id))
                .bind(Text(account))
                .bind(Text(&number.did))
                .bind(Text(number.server))
                .bind(number.forwarding_flow.map(Text))
                .execute(db)
                .await
                .map(|done| done.rows_affected())
        });
        let taken = || StoreError::Taken { did: number.did.clone() };
        one_row(written.map_err(|error| StoreError::unless_unique(error, taken))?)
    }

    async fn put_flow(
        &mut self,
        account: AccountId,
        flow: &ForwardingFlow,
    ) -> Result<(), StoreError> {
        let (kind, cause, trunk, number) = match &flow.fallback {
            Fallback::Dialplan => ("dialplan", None, None, None),
            Fallback::HangUp(cause) => ("hang_up", *cause, None, None),
            Fallback::Number { trunk, number } => ("number", None, Some(*trunk), Some(number)),
        };
        let written = on!(in self, db => {
            sqlx::query(PUT_FLOW)
                .bind(Text(flow.id))
                .bind(Text(account))
                .bind(Text(&flow.name))
                .bind(Text(flow.master))
                .bind(Text(flow.spread))
                .bind(Text(flow.ringback))
                .bind(Int(flow.ring_timeout_sec))
                .bind(Int(flow.ring_budget_sec))
                .bind(Int(flow.max_attempts))
                .bind(Int(flow.max_call_sec))
                .bind(Text(kind))
                .bind(cause.map(Int))
                .bind(trunk.map(Text))
                .bind(number.map(Text))
                .execute(db)
                .await
                .map(|done| done.rows_affected())
        });
        named(written, &flow.name)?;
        for (place, destination) in (0_i64..).zip(&flow.destinations) {
            self.put_destination(account, flow.id, place, destination).await?;
        }
        run!(self, DELETE_DESTINATIONS_ASIDE, account, flow.id);
        Ok(())
    }

    async fn put_destination(
        &mut self,
        account: AccountId,
        flow: ForwardingFlowId,
        place: i64,
        destination: &Destination,
    ) -> Result<(), StoreError> {
        let (server, trunk, number) = match &destination.landing {
            Landing::Slave { server, did } => (Some(*server), None, did),
            Landing::Trunk { trunk, number } => (None, Some(*trunk), number),
            Landing::TollFree { .. } => return Err(StoreError::Dangling),
        };
        let written = on!(in self, db => {
            sqlx::query(PUT_DESTINATION)
                .bind(Text(destination.id))
                .bind(Text(account))
                .bind(Text(flow))
                .bind(Int(place))
                .bind(Text(&destination.name))
                .bind(server.map(Text))
                .bind(trunk.map(Text))
                .bind(Text(number))
                .bind(Int(destination.priority))
                .bind(Int(destination.weight))
                .bind(destination.max_live.map(Int))
                .bind(destination.ring_timeout_sec.map(Int))
                .bind(Text(destination.state))
                .execute(db)
                .await
                .map(|done| done.rows_affected())
        });
        named(written, &destination.name)
    }
}

fn named(written: Result<u64, sqlx::Error>, name: &str) -> Result<(), StoreError> {
    let taken = || StoreError::NameTaken { name: name.to_owned() };
    one_row(written.map_err(|error| StoreError::unless_unique(error, taken))?)
}

/// A put that wrote nothing met an id that belongs to another account.
fn one_row(written: u64) -> Result<(), StoreError> {
    if written == 1 { Ok(()) } else { Err(StoreError::Dangling) }
}

const COUNT_UP: &str = "UPDATE account SET version = version + 1, changed_at = $3 \
    WHERE id = $1 AND version = $2 RETURNING version";

const DELETE_FLOW: &str = "DELETE FROM forwarding_flow WHERE account_id = $1 AND id = $2";
const DELETE_NUMBER: &str = "DELETE FROM number WHERE account_id = $1 AND id = $2";
const DELETE_SERVER: &str = "DELETE FROM server WHERE account_id = $1 AND id = $2";
const DELETE_TRUNK: &str = "DELETE FROM trunk WHERE account_id = $1 AND id = $2";
const DELETE_DESTINATIONS: &str =
    "DELETE FROM destination WHERE account_id = $1 AND forwarding_flow_id = $2";

// Set aside under the id, which nobody else has, until the put that follows.
const SET_FLOW_ASIDE: &str =
    "UPDATE forwarding_flow SET name = id WHERE account_id = $1 AND id = $2";
const SET_NUMBER_ASIDE: &str = "UPDATE number SET did = id WHERE account_id = $1 AND id = $2";
const SET_SERVER_ASIDE: &str = "UPDATE server SET name = id WHERE account_id = $1 AND id = $2";
const SET_TRUNK_ASIDE: &str = "UPDATE trunk SET name = id WHERE account_id = $1 AND id = $2";
const SET_DESTINATIONS_ASIDE: &str = "UPDATE destination SET name = id, place = -1 \
    WHERE account_id = $1 AND forwarding_flow_id = $2";
const DELETE_DESTINATIONS_ASIDE: &str = "DELETE FROM destination \
    WHERE account_id = $1 AND forwarding_flow_id = $2 AND place = -1";

const PUT_TRUNK: &str = "INSERT INTO trunk (id, account_id, name, address, endpoint, max_live) \
    VALUES ($1, $2, $3, $4, $5, $6) \
    ON CONFLICT (id) DO UPDATE SET name = excluded.name, address = excluded.address, \
        endpoint = excluded.endpoint, max_live = excluded.max_live \
    WHERE trunk.account_id = excluded.account_id";
const PUT_SERVER: &str = "INSERT INTO server (id, account_id, name, role, trunk_id, max_live) \
    VALUES ($1, $2, $3, $4, $5, $6) \
    ON CONFLICT (id) DO UPDATE SET name = excluded.name, role = excluded.role, \
        trunk_id = excluded.trunk_id, max_live = excluded.max_live \
    WHERE server.account_id = excluded.account_id";
const PUT_NUMBER: &str = "INSERT INTO number (id, account_id, did, server_id, forwarding_flow_id) \
    VALUES ($1, $2, $3, $4, $5) \
    ON CONFLICT (id) DO UPDATE SET did = excluded.did, server_id = excluded.server_id, \
        forwarding_flow_id = excluded.forwarding_flow_id \
    WHERE number.account_id = excluded.account_id";
const PUT_FLOW: &str = "INSERT INTO forwarding_flow (id, account_id, name, master_id, spread, \
        ringback, ring_timeout_sec, ring_budget_sec, max_attempts, max_call_sec, fallback, \
        fallback_cause, fallback_trunk_id, fallback_number) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) \
    ON CONFLICT (id) DO UPDATE SET name = excluded.name, master_id = excluded.master_id, \
        spread = excluded.spread, ringback = excluded.ringback, \
        ring_timeout_sec = excluded.ring_timeout_sec, \
        ring_budget_sec = excluded.ring_budget_sec, max_attempts = excluded.max_attempts, \
        max_call_sec = excluded.max_call_sec, fallback = excluded.fallback, \
        fallback_cause = excluded.fallback_cause, \
        fallback_trunk_id = excluded.fallback_trunk_id, \
        fallback_number = excluded.fallback_number \
    WHERE forwarding_flow.account_id = excluded.account_id";
const PUT_DESTINATION: &str = "INSERT INTO destination (id, account_id, forwarding_flow_id, \
        place, name, server_id, trunk_id, number, priority, weight, max_live, \
        ring_timeout_sec, state) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13) \
    ON CONFLICT (id) DO UPDATE SET forwarding_flow_id = excluded.forwarding_flow_id, \
        place = excluded.place, name = excluded.name, server_id = excluded.server_id, \
        trunk_id = excluded.trunk_id, number = excluded.number, priority = excluded.priority, \
        weight = excluded.weight, max_live = excluded.max_live, \
        ring_timeout_sec = excluded.ring_timeout_sec, state = excluded.state \
    WHERE destination.account_id = excluded.account_id";

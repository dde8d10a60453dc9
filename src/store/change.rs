//! Changing the configuration of an account: a list of changes, all of them or none.
//!
//! The version of the account is checked and counted up first. That row also makes the changes of
//! one account wait for each other. References are checked at the end, so their order is free; and
//! names and DIDs are set aside before they are put, so that two rows may swap theirs.

use std::collections::BTreeSet;

use super::column::{Int, Text, json, json_unless_default};
use super::configuration::VERSION;
use super::{Db, StoreError, Tx};
use crate::model::account::AccountSettings;
use crate::model::billing::RateDeck;
use crate::model::configuration::{Change, Number};
use crate::model::destination::{Destination, Landing};
use crate::model::forwarding_flow::{Fallback, ForwardingFlow};
use crate::model::id::{AccountId, ForwardingFlowId, RateDeckId};
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
        let numbers = changes
            .iter()
            .any(|change| matches!(change, Change::DeleteNumber(_) | Change::PutNumber(_)));
        let version = tx.count_up(account, expected, numbers, now).await?;
        for change in changes {
            tx.delete_or_set_aside(account, change).await?;
        }
        for change in changes {
            match change {
                Change::PutForwardingFlow(flow) => tx.put_flow(account, flow).await?,
                Change::PutNumber(number) => tx.put_number(account, number).await?,
                Change::PutAccount(settings) => tx.put_account(account, settings).await?,
                Change::PutRateDeck(deck) => tx.put_rate_deck(account, deck).await?,
                Change::PutServer(server) => tx.put_server(account, server).await?,
                Change::PutTrunk(trunk) => tx.put_trunk(account, trunk).await?,
                Change::DeleteForwardingFlow(_)
                | Change::DeleteNumber(_)
                | Change::DeleteRateDeck(_)
                | Change::DeleteServer(_)
                | Change::DeleteTrunk(_) => {}
            }
        }
        tx.check_decks(account, changes).await?;
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
        numbers: bool,
        now: Timestamp,
    ) -> Result<i64, StoreError> {
        let version: Option<Int<i64>> = on!(in self, db => {
            sqlx::query_scalar(COUNT_UP)
                .bind(Text(account))
                .bind(Int(expected))
                .bind(Int(now))
                .bind(numbers)
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
                for forget in FORGET_FLOW {
                    run!(self, forget, account, *id);
                }
                run!(self, DELETE_DESTINATIONS, account, *id);
                run!(self, DELETE_FLOW, account, *id);
            }
            Change::DeleteNumber(id) => run!(self, DELETE_NUMBER, account, *id),
            Change::DeleteRateDeck(id) => run!(self, DELETE_RATE_DECK, account, *id),
            Change::DeleteServer(id) => run!(self, DELETE_SERVER, account, *id),
            Change::DeleteTrunk(id) => run!(self, DELETE_TRUNK, account, *id),
            Change::PutForwardingFlow(flow) => {
                run!(self, SET_FLOW_ASIDE, account, flow.id);
                run!(self, SET_DESTINATIONS_ASIDE, account, flow.id);
            }
            Change::PutNumber(number) => run!(self, SET_NUMBER_ASIDE, account, number.id),
            Change::PutAccount(_) => {}
            Change::PutRateDeck(deck) => run!(self, SET_RATE_DECK_ASIDE, account, deck.id),
            Change::PutServer(server) => run!(self, SET_SERVER_ASIDE, account, server.id),
            Change::PutTrunk(trunk) => run!(self, SET_TRUNK_ASIDE, account, trunk.id),
        }
        Ok(())
    }

    /// The rate decks that these changes name are the account's own; the schema only says that they
    /// exist.
    async fn check_decks(
        &mut self,
        account: AccountId,
        changes: &[Change],
    ) -> Result<(), StoreError> {
        let named = changes.iter().filter_map(|change| match change {
            Change::PutAccount(settings) => settings.rate_deck,
            Change::PutTrunk(trunk) => trunk.rate_deck,
            _ => None,
        });
        for deck in named.collect::<BTreeSet<RateDeckId>>() {
            let found: Option<Text<RateDeckId>> = on!(in self, db => {
                sqlx::query_scalar(OWN_RATE_DECK)
                    .bind(Text(account))
                    .bind(Text(deck))
                    .fetch_optional(db)
                    .await
            })?;
            found.ok_or(StoreError::Dangling)?;
        }
        Ok(())
    }

    async fn put_account(
        &mut self,
        account: AccountId,
        settings: &AccountSettings,
    ) -> Result<(), StoreError> {
        let written = on!(in self, db => {
            sqlx::query(PUT_ACCOUNT)
                .bind(Text(account))
                .bind(Text(&settings.time_zone))
                .bind(settings.max_live.map(Int))
                .bind(settings.toll_free_termination)
                .bind(settings.prepaid)
                .bind(Text(settings.currency))
                .bind(settings.rate_deck.map(Text))
                .execute(db)
                .await
                .map(|done| done.rows_affected())
        });
        one_row(written?)
    }

    async fn put_rate_deck(
        &mut self,
        account: AccountId,
        deck: &RateDeck,
    ) -> Result<(), StoreError> {
        let rates = json(&deck.rates)?;
        let written = on!(in self, db => {
            sqlx::query(PUT_RATE_DECK)
                .bind(Text(deck.id))
                .bind(Text(account))
                .bind(Text(&deck.name))
                .bind(deck.bills_ring_time)
                .bind(Text(deck.rounding))
                .bind(Int(deck.decimals))
                .bind(rates)
                .execute(db)
                .await
                .map(|done| done.rows_affected())
        });
        named(written, &deck.name)
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
                .bind(trunk.carries_toll_free)
                .bind(trunk.rate_deck.map(Text))
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
        let schedule = flow.schedule.as_ref().map(json).transpose()?;
        let throttle = json_unless_default(&flow.throttle)?;
        let stickiness = json_unless_default(&flow.stickiness)?;
        let repeat_caller = flow.repeat_caller.as_ref().map(json).transpose()?;
        let caller_numbers = json_unless_default(&flow.caller_numbers)?;
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
                .bind(flow.time_zone.as_ref().map(Text))
                .bind(schedule)
                .bind(throttle)
                .bind(stickiness)
                .bind(repeat_caller)
                .bind(caller_numbers)
                .bind(Int(flow.redial_gap_sec))
                .bind(Text(flow.state))
                .execute(db)
                .await
                .map(|done| done.rows_affected())
        });
        named(written, &flow.name)?;
        for (place, destination) in (0_i64..).zip(&flow.destinations) {
            self.put_destination(account, flow.id, place, destination).await?;
        }
        for forget in FORGET_DESTINATIONS {
            run!(self, forget, account, flow.id);
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
        let (server, trunk, toll_free, number) = match &destination.landing {
            Landing::Slave { server, did } => (Some(*server), None, None, Some(did)),
            Landing::TollFree { number } => (None, None, Some(number), None),
            Landing::Trunk { trunk, number } => (None, Some(*trunk), None, Some(number)),
        };
        let schedule = destination.schedule.as_ref().map(json).transpose()?;
        let throttle = json_unless_default(&destination.throttle)?;
        let written = on!(in self, db => {
            sqlx::query(PUT_DESTINATION)
                .bind(Text(destination.id))
                .bind(Text(account))
                .bind(Text(flow))
                .bind(Int(place))
                .bind(Text(&destination.name))
                .bind(server.map(Text))
                .bind(trunk.map(Text))
                .bind(toll_free.map(Text))
                .bind(number.map(Text))
                .bind(Int(destination.priority))
                .bind(Int(destination.weight))
                .bind(destination.max_live.map(Int))
                .bind(destination.ring_timeout_sec.map(Int))
                .bind(Text(destination.state))
                .bind(destination.time_zone.as_ref().map(Text))
                .bind(schedule)
                .bind(throttle)
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

const COUNT_UP: &str = "UPDATE account SET version = version + 1, changed_at = $3, \
        numbers_version = CASE WHEN $4 THEN version + 1 ELSE numbers_version END \
    WHERE id = $1 AND version = $2 RETURNING version";

// What routing remembers goes with what it is of; a destination that is disabled keeps no callers.
const FORGET_FLOW: [&str; 4] = [
    "DELETE FROM binding WHERE account_id = $1 AND flow_id = $2",
    "DELETE FROM volume WHERE account_id = $1 AND throttled_id = $2",
    "DELETE FROM volume WHERE account_id = $1 AND throttled_id IN \
        (SELECT id FROM destination WHERE forwarding_flow_id = $2)",
    "DELETE FROM wheel WHERE account_id = $1 AND flow_id = $2",
];
const FORGET_DESTINATIONS: [&str; 2] = [
    "DELETE FROM binding WHERE account_id = $1 AND flow_id = $2 AND destination_id IN \
        (SELECT id FROM destination \
            WHERE forwarding_flow_id = $2 AND (place = -1 OR state = 'disabled'))",
    "DELETE FROM volume WHERE account_id = $1 AND throttled_id IN \
        (SELECT id FROM destination WHERE forwarding_flow_id = $2 AND place = -1)",
];

const DELETE_FLOW: &str = "DELETE FROM forwarding_flow WHERE account_id = $1 AND id = $2";
const DELETE_NUMBER: &str = "DELETE FROM number WHERE account_id = $1 AND id = $2";
const DELETE_RATE_DECK: &str = "DELETE FROM rate_deck WHERE account_id = $1 AND id = $2";
const DELETE_SERVER: &str = "DELETE FROM server WHERE account_id = $1 AND id = $2";
const DELETE_TRUNK: &str = "DELETE FROM trunk WHERE account_id = $1 AND id = $2";
const DELETE_DESTINATIONS: &str =
    "DELETE FROM destination WHERE account_id = $1 AND forwarding_flow_id = $2";

// Set aside under the id, which nobody else has, until the put that follows.
const SET_FLOW_ASIDE: &str =
    "UPDATE forwarding_flow SET name = id WHERE account_id = $1 AND id = $2";
const SET_NUMBER_ASIDE: &str = "UPDATE number SET did = id WHERE account_id = $1 AND id = $2";
const SET_RATE_DECK_ASIDE: &str =
    "UPDATE rate_deck SET name = id WHERE account_id = $1 AND id = $2";
const SET_SERVER_ASIDE: &str = "UPDATE server SET name = id WHERE account_id = $1 AND id = $2";
const SET_TRUNK_ASIDE: &str = "UPDATE trunk SET name = id WHERE account_id = $1 AND id = $2";
const SET_DESTINATIONS_ASIDE: &str = "UPDATE destination SET name = id, place = -1 \
    WHERE account_id = $1 AND forwarding_flow_id = $2";
const DELETE_DESTINATIONS_ASIDE: &str = "DELETE FROM destination \
    WHERE account_id = $1 AND forwarding_flow_id = $2 AND place = -1";

const OWN_RATE_DECK: &str = "SELECT id FROM rate_deck WHERE account_id = $1 AND id = $2";

const PUT_ACCOUNT: &str = "UPDATE account SET time_zone = $2, max_live = $3, \
        toll_free_termination = $4, prepaid = $5, currency = $6, rate_deck_id = $7 \
    WHERE id = $1";
const PUT_RATE_DECK: &str = "INSERT INTO rate_deck (id, account_id, name, bills_ring_time, \
        rounding, decimals, rates) \
    VALUES ($1, $2, $3, $4, $5, $6, $7) \
    ON CONFLICT (id) DO UPDATE SET name = excluded.name, \
        bills_ring_time = excluded.bills_ring_time, rounding = excluded.rounding, \
        decimals = excluded.decimals, rates = excluded.rates \
    WHERE rate_deck.account_id = excluded.account_id";
const PUT_TRUNK: &str = "INSERT INTO trunk (id, account_id, name, address, endpoint, max_live, \
        carries_toll_free, rate_deck_id) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8) \
    ON CONFLICT (id) DO UPDATE SET name = excluded.name, address = excluded.address, \
        endpoint = excluded.endpoint, max_live = excluded.max_live, \
        carries_toll_free = excluded.carries_toll_free, rate_deck_id = excluded.rate_deck_id \
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
        fallback_cause, fallback_trunk_id, fallback_number, time_zone, schedule, throttle, \
        stickiness, repeat_caller, caller_numbers, redial_gap_sec, state) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, \
        $19, $20, $21, $22) \
    ON CONFLICT (id) DO UPDATE SET name = excluded.name, master_id = excluded.master_id, \
        spread = excluded.spread, ringback = excluded.ringback, \
        ring_timeout_sec = excluded.ring_timeout_sec, \
        ring_budget_sec = excluded.ring_budget_sec, max_attempts = excluded.max_attempts, \
        max_call_sec = excluded.max_call_sec, fallback = excluded.fallback, \
        fallback_cause = excluded.fallback_cause, \
        fallback_trunk_id = excluded.fallback_trunk_id, \
        fallback_number = excluded.fallback_number, time_zone = excluded.time_zone, \
        schedule = excluded.schedule, throttle = excluded.throttle, \
        stickiness = excluded.stickiness, repeat_caller = excluded.repeat_caller, \
        caller_numbers = excluded.caller_numbers, redial_gap_sec = excluded.redial_gap_sec, \
        state = excluded.state \
    WHERE forwarding_flow.account_id = excluded.account_id";
const PUT_DESTINATION: &str = "INSERT INTO destination (id, account_id, forwarding_flow_id, \
        place, name, server_id, trunk_id, toll_free, number, priority, weight, max_live, \
        ring_timeout_sec, state, time_zone, schedule, throttle) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17) \
    ON CONFLICT (id) DO UPDATE SET forwarding_flow_id = excluded.forwarding_flow_id, \
        place = excluded.place, name = excluded.name, server_id = excluded.server_id, \
        trunk_id = excluded.trunk_id, toll_free = excluded.toll_free, \
        number = excluded.number, priority = excluded.priority, weight = excluded.weight, \
        max_live = excluded.max_live, ring_timeout_sec = excluded.ring_timeout_sec, \
        state = excluded.state, time_zone = excluded.time_zone, schedule = excluded.schedule, \
        throttle = excluded.throttle \
    WHERE destination.account_id = excluded.account_id";

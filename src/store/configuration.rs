//! Reading the configuration of an account, all of it at one moment; `change` writes it.
//!
//! Numbers are read by themselves in `numbers` where only those matter: an account may have a
//! million of them, and most changes touch none.

use std::collections::BTreeMap;

use sqlx::FromRow;
use sqlx::types::Json;

use super::column::{Int, Text};
use super::{Db, StoreError, Tx};
use crate::model::account::AccountSettings;
use crate::model::billing::{Currency, RateDeck, Rates, Rounding};
use crate::model::cause::HangupCause;
use crate::model::configuration::Configuration;
use crate::model::destination::{Destination, DestinationState, Landing};
use crate::model::forwarding_flow::{
    Fallback, ForwardingFlow, ForwardingFlowState, Ringback, Spread,
};
use crate::model::id::{AccountId, DestinationId, ForwardingFlowId, RateDeckId, ServerId, TrunkId};
use crate::model::number::{DialNumber, Did, TollFree};
use crate::model::number_plan::NumberPlan;
use crate::model::schedule::Schedule;
use crate::model::server::{Server, ServerRole};
use crate::model::stickiness::{RepeatRule, Stickiness};
use crate::model::throttle::Throttle;
use crate::model::time::Zone;
use crate::model::trunk::{EndpointName, Reach, SipAddress, Trunk};

/// How often the configuration of an account was changed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Version {
    /// One more with every change.
    pub configuration: i64,
    /// What `configuration` was when a number last changed.
    pub numbers: i64,
}

impl Db {
    /// All accounts, in order of id.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn accounts(&self) -> Result<Vec<AccountId>, StoreError> {
        Ok(self.versions().await?.into_keys().collect())
    }

    /// The version of each account's configuration. Nodes that share a database learn of each
    /// other's changes by asking for these.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn versions(&self) -> Result<BTreeMap<AccountId, Version>, StoreError> {
        let rows: Vec<(Text<AccountId>, Int<i64>, Int<i64>)> =
            on!(self, db => sqlx::query_as(VERSIONS).fetch_all(db).await)?;
        let version = |(Text(account), Int(configuration), Int(numbers))| {
            (account, Version { configuration, numbers })
        };
        Ok(rows.into_iter().map(version).collect())
    }

    /// The configuration of `account` and its version. What has a name is in order of name, numbers
    /// and the DIDs of each flow in order of DID, destinations as they were put.
    ///
    /// # Errors
    /// [`StoreError::NoAccount`] and [`StoreError::Unavailable`].
    pub async fn configuration(
        &self,
        account: AccountId,
    ) -> Result<(Configuration, i64), StoreError> {
        self.configuration_with(account, None).await
    }

    /// As [`Db::configuration`], but as if the account had no numbers than those that are written
    /// like `did`, in whatever case.
    ///
    /// # Errors
    /// [`StoreError::NoAccount`] and [`StoreError::Unavailable`].
    pub async fn configuration_around(
        &self,
        account: AccountId,
        did: &Did,
    ) -> Result<(Configuration, i64), StoreError> {
        self.configuration_with(account, Some(did)).await
    }

    async fn configuration_with(
        &self,
        account: AccountId,
        did: Option<&Did>,
    ) -> Result<(Configuration, i64), StoreError> {
        let mut tx = self.snapshot().await?;
        let (mut configuration, version) = tx.configuration_without_numbers(account).await?;
        configuration.numbers = tx.numbers_like(account, did).await?;
        tx.commit().await?;
        configuration.numbers.sort_by(|a, b| (&a.did, a.id).cmp(&(&b.did, b.id)));
        let mut dids_of: BTreeMap<ForwardingFlowId, Vec<Did>> = BTreeMap::new();
        for number in &configuration.numbers {
            if let Some(flow) = number.forwarding_flow {
                dids_of.entry(flow).or_default().push(number.did.clone());
            }
        }
        for flow in &mut configuration.forwarding_flows {
            flow.dids = dids_of.remove(&flow.id).unwrap_or_default();
        }
        Ok((configuration, version.configuration))
    }

    /// As [`Db::configuration`], but as if the account had no numbers.
    ///
    /// # Errors
    /// [`StoreError::NoAccount`] and [`StoreError::Unavailable`].
    pub async fn configuration_without_numbers(
        &self,
        account: AccountId,
    ) -> Result<(Configuration, Version), StoreError> {
        let mut tx = self.snapshot().await?;
        let found = tx.configuration_without_numbers(account).await?;
        tx.commit().await?;
        Ok(found)
    }
}

impl Tx {
    async fn configuration_without_numbers(
        &mut self,
        account: AccountId,
    ) -> Result<(Configuration, Version), StoreError> {
        let row: Option<AccountRow> = on!(in self, db => {
            sqlx::query_as(ACCOUNT).bind(Text(account)).fetch_optional(db).await
        })?;
        let row = row.ok_or(StoreError::NoAccount)?;
        let decks: Vec<RateDeckRow> = on!(in self, db => {
            sqlx::query_as(RATE_DECKS).bind(Text(account)).fetch_all(db).await
        })?;
        let trunks: Vec<TrunkRow> = on!(in self, db => {
            sqlx::query_as(TRUNKS).bind(Text(account)).fetch_all(db).await
        })?;
        let servers: Vec<ServerRow> = on!(in self, db => {
            sqlx::query_as(SERVERS).bind(Text(account)).fetch_all(db).await
        })?;
        let destinations: Vec<DestinationRow> = on!(in self, db => {
            sqlx::query_as(DESTINATIONS).bind(Text(account)).fetch_all(db).await
        })?;
        let flows: Vec<FlowRow> = on!(in self, db => {
            sqlx::query_as(FLOWS).bind(Text(account)).fetch_all(db).await
        })?;

        let version = row.version();
        let mut configuration = Configuration {
            account: row.into_settings(),
            rate_decks: decks.into_iter().map(RateDeckRow::into_deck).collect(),
            servers: servers.into_iter().map(ServerRow::into_server).collect(),
            trunks: trunks.into_iter().map(TrunkRow::into_trunk).collect::<Result<_, _>>()?,
            forwarding_flows: into_flows(flows, destinations)?,
            numbers: Vec::new(),
        };
        // Here and not in SQL, where the order of names depends on the locale of the database.
        configuration.rate_decks.sort_by_cached_key(|deck| by_name(&deck.name));
        configuration.servers.sort_by_cached_key(|server| by_name(&server.name));
        configuration.trunks.sort_by_cached_key(|trunk| by_name(&trunk.name));
        configuration.forwarding_flows.sort_by_cached_key(|flow| by_name(&flow.name));
        Ok((configuration, version))
    }
}

fn by_name(name: &str) -> (String, String) {
    (name.to_lowercase(), name.to_owned())
}

/// Flows with their destinations, which come in order of place.
fn into_flows(
    flows: Vec<FlowRow>,
    destinations: Vec<DestinationRow>,
) -> Result<Vec<ForwardingFlow>, StoreError> {
    let mut destinations_of: BTreeMap<ForwardingFlowId, Vec<Destination>> = BTreeMap::new();
    for row in destinations {
        let Text(flow) = row.forwarding_flow_id;
        destinations_of.entry(flow).or_default().push(row.into_destination()?);
    }
    let complete = |row: FlowRow| {
        let mut flow = row.into_flow()?;
        flow.destinations = destinations_of.remove(&flow.id).unwrap_or_default();
        Ok(flow)
    };
    flows.into_iter().map(complete).collect()
}

#[derive(FromRow)]
struct AccountRow {
    version: Int<i64>,
    numbers_version: Int<i64>,
    time_zone: Text<Zone>,
    max_live: Option<Int<u32>>,
    toll_free_termination: bool,
    prepaid: bool,
    currency: Text<Currency>,
    rate_deck_id: Option<Text<RateDeckId>>,
}

impl AccountRow {
    fn version(&self) -> Version {
        Version { configuration: self.version.0, numbers: self.numbers_version.0 }
    }

    fn into_settings(self) -> AccountSettings {
        AccountSettings {
            time_zone: self.time_zone.0,
            max_live: self.max_live.map(|Int(max)| max),
            toll_free_termination: self.toll_free_termination,
            prepaid: self.prepaid,
            currency: self.currency.0,
            rate_deck: self.rate_deck_id.map(|Text(deck)| deck),
        }
    }
}

#[derive(FromRow)]
struct RateDeckRow {
    id: Text<RateDeckId>,
    name: Text<String>,
    bills_ring_time: bool,
    rounding: Text<Rounding>,
    decimals: Int<u8>,
    rates: Json<Rates>,
}

impl RateDeckRow {
    fn into_deck(self) -> RateDeck {
        RateDeck {
            id: self.id.0,
            name: self.name.0,
            rates: self.rates.0,
            bills_ring_time: self.bills_ring_time,
            rounding: self.rounding.0,
            decimals: self.decimals.0,
        }
    }
}

#[derive(FromRow)]
struct TrunkRow {
    id: Text<TrunkId>,
    name: Text<String>,
    address: Option<Text<SipAddress>>,
    endpoint: Option<Text<EndpointName>>,
    max_live: Option<Int<u32>>,
    carries_toll_free: bool,
    rate_deck_id: Option<Text<RateDeckId>>,
}

impl TrunkRow {
    fn into_trunk(self) -> Result<Trunk, StoreError> {
        let reach = match (self.address, self.endpoint) {
            (Some(Text(address)), None) => Reach::Address(address),
            (None, Some(Text(endpoint))) => Reach::Endpoint(endpoint),
            _ => return Err(broken("a trunk has one address or one endpoint")),
        };
        Ok(Trunk {
            id: self.id.0,
            name: self.name.0,
            reach,
            max_live: self.max_live.map(|Int(max)| max),
            carries_toll_free: self.carries_toll_free,
            rate_deck: self.rate_deck_id.map(|Text(deck)| deck),
        })
    }
}

#[derive(FromRow)]
struct ServerRow {
    id: Text<ServerId>,
    name: Text<String>,
    role: Text<ServerRole>,
    trunk_id: Option<Text<TrunkId>>,
    max_live: Option<Int<u32>>,
}

impl ServerRow {
    fn into_server(self) -> Server {
        Server {
            id: self.id.0,
            name: self.name.0,
            role: self.role.0,
            trunk: self.trunk_id.map(|Text(trunk)| trunk),
            max_live: self.max_live.map(|Int(max)| max),
        }
    }
}

#[derive(FromRow)]
struct DestinationRow {
    id: Text<DestinationId>,
    forwarding_flow_id: Text<ForwardingFlowId>,
    name: Text<String>,
    server_id: Option<Text<ServerId>>,
    trunk_id: Option<Text<TrunkId>>,
    toll_free: Option<Text<TollFree>>,
    number: Option<Text<DialNumber>>,
    priority: Int<i32>,
    weight: Int<u32>,
    max_live: Option<Int<u32>>,
    ring_timeout_sec: Option<Int<u32>>,
    state: Text<DestinationState>,
    time_zone: Option<Text<Zone>>,
    schedule: Option<Json<Schedule>>,
    throttle: Option<Json<Throttle>>,
}

impl DestinationRow {
    fn into_destination(self) -> Result<Destination, StoreError> {
        let landing = match (self.server_id, self.trunk_id, self.toll_free, self.number) {
            (Some(Text(server)), None, None, Some(Text(did))) => Landing::Slave { server, did },
            (None, Some(Text(trunk)), None, Some(Text(number))) => Landing::Trunk { trunk, number },
            (None, None, Some(Text(number)), None) => Landing::TollFree { number },
            _ => return Err(broken("a destination lands in one place")),
        };
        Ok(Destination {
            id: self.id.0,
            name: self.name.0,
            landing,
            priority: self.priority.0,
            weight: self.weight.0,
            max_live: self.max_live.map(|Int(max)| max),
            ring_timeout_sec: self.ring_timeout_sec.map(|Int(sec)| sec),
            state: self.state.0,
            time_zone: self.time_zone.map(|Text(zone)| zone),
            schedule: self.schedule.map(|Json(schedule)| schedule),
            throttle: or_default(self.throttle),
        })
    }
}

#[derive(FromRow)]
struct FlowRow {
    id: Text<ForwardingFlowId>,
    name: Text<String>,
    master_id: Text<ServerId>,
    state: Text<ForwardingFlowState>,
    spread: Text<Spread>,
    ringback: Text<Ringback>,
    ring_timeout_sec: Int<u32>,
    ring_budget_sec: Int<u32>,
    max_attempts: Int<u32>,
    max_call_sec: Int<u32>,
    fallback: Text<String>,
    fallback_cause: Option<Int<HangupCause>>,
    fallback_trunk_id: Option<Text<TrunkId>>,
    fallback_number: Option<Text<DialNumber>>,
    time_zone: Option<Text<Zone>>,
    schedule: Option<Json<Schedule>>,
    throttle: Option<Json<Throttle>>,
    stickiness: Option<Json<Stickiness>>,
    repeat_caller: Option<Json<RepeatRule>>,
    caller_numbers: Option<Json<NumberPlan>>,
    redial_gap_sec: Int<u32>,
}

impl FlowRow {
    /// Without destinations and DIDs, which are rows of their own.
    fn into_flow(self) -> Result<ForwardingFlow, StoreError> {
        let fallback = match (self.fallback.0.as_str(), self.fallback_trunk_id) {
            ("dialplan", None) => Fallback::Dialplan,
            ("hang_up", None) => Fallback::HangUp(self.fallback_cause.map(|Int(cause)| cause)),
            ("number", Some(Text(trunk))) => {
                let Text(number) =
                    self.fallback_number.ok_or_else(|| broken("a fallback lacks its number"))?;
                Fallback::Number { trunk, number }
            }
            _ => return Err(broken("a flow has one fallback")),
        };
        Ok(ForwardingFlow {
            id: self.id.0,
            name: self.name.0,
            master: self.master_id.0,
            dids: Vec::new(),
            destinations: Vec::new(),
            state: self.state.0,
            spread: self.spread.0,
            ringback: self.ringback.0,
            ring_timeout_sec: self.ring_timeout_sec.0,
            ring_budget_sec: self.ring_budget_sec.0,
            max_attempts: self.max_attempts.0,
            max_call_sec: self.max_call_sec.0,
            fallback,
            time_zone: self.time_zone.map(|Text(zone)| zone),
            schedule: self.schedule.map(|Json(schedule)| schedule),
            throttle: or_default(self.throttle),
            stickiness: or_default(self.stickiness),
            repeat_caller: self.repeat_caller.map(|Json(rule)| rule),
            caller_numbers: or_default(self.caller_numbers),
            redial_gap_sec: self.redial_gap_sec.0,
        })
    }
}

/// Reads what [`json_unless_default`](super::column::json_unless_default) wrote.
fn or_default<T: Default>(column: Option<Json<T>>) -> T {
    column.map_or_else(T::default, |Json(value)| value)
}

/// For rows that the schema's own checks rule out.
fn broken(rule: &'static str) -> StoreError {
    StoreError::Internal(sqlx::Error::Decode(rule.into()))
}

const VERSIONS: &str = "SELECT id, version, numbers_version FROM account";
pub(super) const VERSION: &str = "SELECT version FROM account WHERE id = $1";
const ACCOUNT: &str = "SELECT version, numbers_version, time_zone, max_live, \
    toll_free_termination, prepaid, currency, rate_deck_id FROM account WHERE id = $1";
const RATE_DECKS: &str = "SELECT id, name, bills_ring_time, rounding, decimals, rates \
    FROM rate_deck WHERE account_id = $1";
const TRUNKS: &str = "SELECT id, name, address, endpoint, max_live, carries_toll_free, \
    rate_deck_id FROM trunk WHERE account_id = $1";
const SERVERS: &str = "SELECT id, name, role, trunk_id, max_live FROM server WHERE account_id = $1";
const DESTINATIONS: &str = "SELECT id, forwarding_flow_id, name, server_id, trunk_id, toll_free, \
    number, priority, weight, max_live, ring_timeout_sec, state, time_zone, schedule, throttle \
    FROM destination WHERE account_id = $1 ORDER BY place";
const FLOWS: &str = "SELECT id, name, master_id, state, spread, ringback, ring_timeout_sec, \
    ring_budget_sec, max_attempts, max_call_sec, fallback, fallback_cause, fallback_trunk_id, \
    fallback_number, time_zone, schedule, throttle, stickiness, repeat_caller, caller_numbers, \
    redial_gap_sec FROM forwarding_flow WHERE account_id = $1";

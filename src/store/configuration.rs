//! Reading the configuration of an account, all of it at one moment; `change` writes it.

use std::collections::BTreeMap;

use sqlx::FromRow;

use super::column::{Int, Text};
use super::{Db, StoreError};
use crate::model::account::AccountSettings;
use crate::model::cause::HangupCause;
use crate::model::configuration::{Configuration, Number};
use crate::model::destination::{Destination, DestinationState, Landing};
use crate::model::forwarding_flow::{Fallback, ForwardingFlow, Ringback, Spread};
use crate::model::id::{AccountId, DestinationId, ForwardingFlowId, NumberId, ServerId, TrunkId};
use crate::model::number::{DialNumber, Did, NumberPlan};
use crate::model::server::{Server, ServerRole};
use crate::model::stickiness::Stickiness;
use crate::model::throttle::Throttle;
use crate::model::time::Zone;
use crate::model::trunk::{EndpointName, Reach, SipAddress, Trunk};

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
    pub async fn versions(&self) -> Result<BTreeMap<AccountId, i64>, StoreError> {
        let rows: Vec<(Text<AccountId>, Int<i64>)> =
            on!(self, db => sqlx::query_as(VERSIONS).fetch_all(db).await)?;
        Ok(rows.into_iter().map(|(Text(account), Int(version))| (account, version)).collect())
    }

    /// The configuration of `account` and its version. Servers, trunks and flows are in order of
    /// name, numbers and the DIDs of each flow in order of DID, destinations as they were put.
    ///
    /// # Errors
    /// [`StoreError::NoAccount`] and [`StoreError::Unavailable`].
    pub async fn configuration(
        &self,
        account: AccountId,
    ) -> Result<(Configuration, i64), StoreError> {
        let mut tx = self.snapshot().await?;
        let version: Option<Int<i64>> = on!(in &mut tx, db => {
            sqlx::query_scalar(VERSION).bind(Text(account)).fetch_optional(db).await
        })?;
        let Int(version) = version.ok_or(StoreError::NoAccount)?;
        let trunks: Vec<TrunkRow> = on!(in &mut tx, db => {
            sqlx::query_as(TRUNKS).bind(Text(account)).fetch_all(db).await
        })?;
        let servers: Vec<ServerRow> = on!(in &mut tx, db => {
            sqlx::query_as(SERVERS).bind(Text(account)).fetch_all(db).await
        })?;
        let numbers: Vec<NumberRow> = on!(in &mut tx, db => {
            sqlx::query_as(NUMBERS).bind(Text(account)).fetch_all(db).await
        })?;
        let destinations: Vec<DestinationRow> = on!(in &mut tx, db => {
            sqlx::query_as(DESTINATIONS).bind(Text(account)).fetch_all(db).await
        })?;
        let flows: Vec<FlowRow> = on!(in &mut tx, db => {
            sqlx::query_as(FLOWS).bind(Text(account)).fetch_all(db).await
        })?;
        tx.commit().await?;

        let mut numbers: Vec<Number> = numbers.into_iter().map(NumberRow::into_number).collect();
        numbers.sort_by(|a, b| (&a.did, a.id).cmp(&(&b.did, b.id)));
        let mut configuration = Configuration {
            account: AccountSettings::default(),
            rate_decks: Vec::new(),
            servers: servers.into_iter().map(ServerRow::into_server).collect(),
            trunks: trunks.into_iter().map(TrunkRow::into_trunk).collect::<Result<_, _>>()?,
            forwarding_flows: into_flows(flows, destinations, &numbers)?,
            numbers,
        };
        // Here and not in SQL, where the order of names depends on the locale of the database.
        configuration.servers.sort_by_cached_key(|server| by_name(&server.name));
        configuration.trunks.sort_by_cached_key(|trunk| by_name(&trunk.name));
        configuration.forwarding_flows.sort_by_cached_key(|flow| by_name(&flow.name));
        Ok((configuration, version))
    }
}

impl Db {
    /// Whose days are the account's.
    ///
    /// # Errors
    /// [`StoreError::NoAccount`] and [`StoreError::Unavailable`].
    pub async fn zone(&self, account: AccountId) -> Result<Zone, StoreError> {
        Ok(self.configuration(account).await?.0.account.time_zone)
    }
}

fn by_name(name: &str) -> (String, String) {
    (name.to_lowercase(), name.to_owned())
}

/// Flows with their destinations, which come in order of place, and their DIDs.
fn into_flows(
    flows: Vec<FlowRow>,
    destinations: Vec<DestinationRow>,
    numbers: &[Number],
) -> Result<Vec<ForwardingFlow>, StoreError> {
    let mut destinations_of: BTreeMap<ForwardingFlowId, Vec<Destination>> = BTreeMap::new();
    for row in destinations {
        let Text(flow) = row.forwarding_flow_id;
        destinations_of.entry(flow).or_default().push(row.into_destination()?);
    }
    let mut dids_of: BTreeMap<ForwardingFlowId, Vec<Did>> = BTreeMap::new();
    for number in numbers {
        if let Some(flow) = number.forwarding_flow {
            dids_of.entry(flow).or_default().push(number.did.clone());
        }
    }
    let complete = |row: FlowRow| {
        let mut flow = row.into_flow()?;
        flow.destinations = destinations_of.remove(&flow.id).unwrap_or_default();
        flow.dids = dids_of.remove(&flow.id).unwrap_or_default();
        Ok(flow)
    };
    flows.into_iter().map(complete).collect()
}

#[derive(FromRow)]
struct TrunkRow {
    id: Text<TrunkId>,
    name: Text<String>,
    address: Option<Text<SipAddress>>,
    endpoint: Option<Text<EndpointName>>,
    max_live: Option<Int<u32>>,
}

impl TrunkRow {
    fn into_trunk(self) -> Result<Trunk, StoreError> {
        let reach = match (self.address, self.endpoint) {
            (Some(Text(address)), None) => Reach::Address(address),
            (None, Some(Text(endpoint))) => Reach::Endpoint(endpoint),
            _ => return Err(broken("a trunk has one address or one endpoint")),
        };
        let max_live = self.max_live.map(|Int(max)| max);
        let (id, name) = (self.id.0, self.name.0);
        Ok(Trunk { id, name, reach, max_live, carries_toll_free: false, rate_deck: None })
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
struct NumberRow {
    id: Text<NumberId>,
    did: Text<Did>,
    server_id: Text<ServerId>,
    forwarding_flow_id: Option<Text<ForwardingFlowId>>,
}

impl NumberRow {
    fn into_number(self) -> Number {
        Number {
            id: self.id.0,
            did: self.did.0,
            server: self.server_id.0,
            forwarding_flow: self.forwarding_flow_id.map(|Text(flow)| flow),
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
    number: Text<DialNumber>,
    priority: Int<i32>,
    weight: Int<u32>,
    max_live: Option<Int<u32>>,
    ring_timeout_sec: Option<Int<u32>>,
    state: Text<DestinationState>,
}

impl DestinationRow {
    fn into_destination(self) -> Result<Destination, StoreError> {
        let Text(number) = self.number;
        let landing = match (self.server_id, self.trunk_id) {
            (Some(Text(server)), None) => Landing::Slave { server, did: number },
            (None, Some(Text(trunk))) => Landing::Trunk { trunk, number },
            _ => return Err(broken("a destination lands on one server or one trunk")),
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
            time_zone: None,
            schedule: None,
            throttle: Throttle::default(),
        })
    }
}

#[derive(FromRow)]
struct FlowRow {
    id: Text<ForwardingFlowId>,
    name: Text<String>,
    master_id: Text<ServerId>,
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
            spread: self.spread.0,
            ringback: self.ringback.0,
            ring_timeout_sec: self.ring_timeout_sec.0,
            ring_budget_sec: self.ring_budget_sec.0,
            max_attempts: self.max_attempts.0,
            max_call_sec: self.max_call_sec.0,
            fallback,
            time_zone: None,
            schedule: None,
            throttle: Throttle::default(),
            stickiness: Stickiness::default(),
            repeat_caller: None,
            caller_numbers: NumberPlan::default(),
            redial_gap_sec: ForwardingFlow::REDIAL_GAP_SEC,
        })
    }
}

/// For rows that the schema's own checks rule out.
fn broken(rule: &'static str) -> StoreError {
    StoreError::Internal(sqlx::Error::Decode(rule.into()))
}

const VERSIONS: &str = "SELECT id, version FROM account";
pub(super) const VERSION: &str = "SELECT version FROM account WHERE id = $1";
const TRUNKS: &str =
    "SELECT id, name, address, endpoint, max_live FROM trunk WHERE account_id = $1";
const SERVERS: &str = "SELECT id, name, role, trunk_id, max_live FROM server WHERE account_id = $1";
const NUMBERS: &str =
    "SELECT id, did, server_id, forwarding_flow_id FROM number WHERE account_id = $1";
const DESTINATIONS: &str = "SELECT id, forwarding_flow_id, name, server_id, trunk_id, number, \
    priority, weight, max_live, ring_timeout_sec, state \
    FROM destination WHERE account_id = $1 ORDER BY place";
const FLOWS: &str = "SELECT id, name, master_id, spread, ringback, ring_timeout_sec, \
    ring_budget_sec, max_attempts, max_call_sec, fallback, fallback_cause, fallback_trunk_id, \
    fallback_number FROM forwarding_flow WHERE account_id = $1";

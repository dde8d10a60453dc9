//! Forwarding flows: the DIDs of one master, spread over destinations.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use strum::{Display, EnumString, VariantNames};

use super::destination::{Destinations, Landing};
use super::server::ServerRole;
use super::{Rules, count};
use crate::model::cause::HangupCause;
use crate::model::check::Check;
use crate::model::id::{DestinationId, ForwardingFlowId, ObjectId, ServerId, TrunkId};
use crate::model::number::{DialNumber, Did};
use crate::model::number_plan::NumberPlan;
use crate::model::object::{
    Fields, Flat, Int, Names, OrDefault, Reader, Record as _, Ref, Shape, choices, object,
};
use crate::model::opening_hours::Hours;
use crate::model::plan::{Action, Plan, fields};
use crate::model::stickiness::{RepeatAction, RepeatRule, Stickiness};
use crate::model::tags::Tags;
use crate::model::throttle::Throttle;
use crate::model::time::Zone;

object! {
    /// DIDs of one master, spread over destinations.
    pub struct ForwardingFlow(ForwardingFlowId) {
        /// The name of the master whose DIDs these are.
        master: Ref<ServerId> => "type the name of the server where the calls arrive",
        /// Numbers as the carrier delivers them. Each belongs to one flow at most.
        dids: Dids,
        /// `active`, or `paused`: it takes test calls only, all others go to the fallback.
        state: ForwardingFlowState = ForwardingFlowState::Active,
        /// `weighted` shares calls by weight, `round_robin` equally, but weight 0 still drains.
        spread: Spread = Spread::Weighted,
        /// What an unanswered caller hears: ringing, or what the destination sends.
        ringback: Ringback = Ringback::Ring,
        /// How long one destination rings, in seconds.
        ring_timeout_sec: Int<u32, 5, 120> = ForwardingFlow::RING_TIMEOUT_SEC,
        /// How long all destinations of one call may ring together, in seconds.
        ring_budget_sec: Int<u32, 5, 600> = ForwardingFlow::RING_BUDGET_SEC,
        /// Most destinations tried for one call.
        max_attempts: Int<u32, 1, 20> = ForwardingFlow::MAX_ATTEMPTS,
        /// Longest conversation, in seconds, up to 12 hours.
        max_call_sec: Int<u32, 10, 43_200> = ForwardingFlow::MAX_CALL_SEC,
        /// Where a call goes that no destination took: `"dialplan"`, `"hang_up"`,
        /// `{"hang_up": <Q.850 cause>}` or `{"trunk": <name>, "number": <number>}`.
        fallback: Fallback = Fallback::Dialplan,
        /// Whose days count, and in which the schedule is; absent takes the account's.
        time_zone: Option<Zone>,
        /// When it is open: hours of its own, or the name of a schedule; absent is always. A call
        /// outside goes to the fallback.
        schedule: Option<Hours>,
        /// Over all destinations together; each call counts once, however many are tried.
        throttle: Flat<Throttle>,
        /// Whether a returning caller goes to the destination of the last time: `"never"`,
        /// `"same_day"`, or an object of `window` or `rolling_sec` (60 to 31536000), `sliding`
        /// (default true), `on` (`answered` or `offered`), `rebind` (default true),
        /// `beats_priority`.
        stickiness: Stickiness = Stickiness::default(),
        /// How its callers' numbers are written where they come from, to know one caller by two
        /// spellings.
        caller_numbers: OrDefault<NumberPlan>,
        /// Calls of one caller that follow each other within so many seconds are shown as one.
        redial_gap_sec: Int<u32, 0, 900> = ForwardingFlow::REDIAL_GAP_SEC,
        /// Where its calls may go, in the order in which equal ones are listed.
        destinations: Destinations,
        /// What happens to a caller who has called it often.
        repeat_caller: Option<RepeatRule>,
        /// Words by which flows are found together.
        tags: Tags,
    }
}

/// The DIDs of a flow. In the store they are rows of their own.
pub struct Dids;

impl Shape for Dids {
    type Value = Vec<Did>;

    fn read(value: &Value, pointer: &str, reader: &mut Reader<'_>) -> Option<Vec<Did>> {
        let flow = ForwardingFlowId::new(reader.own_id);
        let mut seen: BTreeSet<Did> = BTreeSet::new();
        for (at, item) in reader.items(value, pointer)? {
            let Some(did) = Did::read(item, &at, reader) else {
                continue;
            };
            if seen.contains(&did) {
                let message = format!("{did} is listed twice in this flow");
                reader.fault(at, "taken", message, "leave one of them out");
            } else {
                reader.places.put_did(flow, &did, at);
                seen.insert(did);
            }
        }
        Some(seen.into_iter().collect())
    }

    fn write(value: &Vec<Did>, names: &dyn Names) -> Value {
        if names.is_row() { Value::Null } else { json!(value) }
    }

    fn schema() -> Value {
        json!({ "type": "array", "items": Did::schema() })
    }

    fn absent() -> Option<Vec<Did>> {
        Some(Vec::new())
    }
}

/// Defaults of the settings that a flow need not name.
impl ForwardingFlow {
    pub const MAX_ATTEMPTS: u32 = 6;
    pub const MAX_CALL_SEC: u32 = 4 * 3600;
    pub const REDIAL_GAP_SEC: u32 = 60;
    pub const RING_BUDGET_SEC: u32 = 120;
    pub const RING_TIMEOUT_SEC: u32 = 30;

    /// One without DIDs and destinations, and with nothing set but what it must have.
    #[must_use]
    pub fn new(id: ForwardingFlowId, name: impl Into<String>, master: ServerId) -> Self {
        Self {
            id,
            name: name.into(),
            master,
            dids: Vec::new(),
            destinations: Vec::new(),
            state: ForwardingFlowState::default(),
            spread: Spread::default(),
            ringback: Ringback::default(),
            ring_timeout_sec: Self::RING_TIMEOUT_SEC,
            ring_budget_sec: Self::RING_BUDGET_SEC,
            max_attempts: Self::MAX_ATTEMPTS,
            max_call_sec: Self::MAX_CALL_SEC,
            fallback: Fallback::Dialplan,
            time_zone: None,
            schedule: None,
            throttle: Throttle::default(),
            stickiness: Stickiness::default(),
            repeat_caller: None,
            tags: Vec::new(),
            caller_numbers: NumberPlan::default(),
            redial_gap_sec: Self::REDIAL_GAP_SEC,
        }
    }
}

#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    Deserialize,
    Display,
    EnumString,
    Eq,
    PartialEq,
    Serialize,
    VariantNames,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Spread {
    /// Equal shares whatever the weights, but weight 0 still drains.
    RoundRobin,
    #[default]
    Weighted,
}

/// Whether it takes calls. A paused one sends them to its fallback, but for test calls, so that a flow
/// can be tried before it is opened.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    Deserialize,
    Display,
    EnumString,
    Eq,
    PartialEq,
    Serialize,
    VariantNames,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum ForwardingFlowState {
    #[default]
    Active,
    Paused,
}

/// What an unanswered caller hears.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    Deserialize,
    Display,
    EnumString,
    Eq,
    PartialEq,
    Serialize,
    VariantNames,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Ringback {
    /// What the destination sends before it answers: its ringing, announcements, music.
    EarlyMedia,
    /// Ringing, as soon as the destination rings.
    #[default]
    Ring,
}

/// The last resort of a flow.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fallback {
    /// Back to the dialplan that sent the call, which goes on behind `Stasis()`.
    Dialplan,
    /// Hang up with the cause of the last failure, or with this one.
    HangUp(Option<HangupCause>),
    /// One last number, outside every limit of the destinations.
    Number { trunk: TrunkId, number: DialNumber },
}

choices! { ForwardingFlowState Ringback Spread }

/// A word, or a mapping.
impl Shape for Fallback {
    type Value = Self;

    fn read(value: &Value, pointer: &str, reader: &mut Reader<'_>) -> Option<Self> {
        const HINT: &str =
            "type dialplan, hang_up, {hang_up: 17} or {trunk: carrier, number: \"…\"}";
        match value {
            Value::String(word) if word == "dialplan" => return Some(Self::Dialplan),
            Value::String(word) if word == "hang_up" => return Some(Self::HangUp(None)),
            Value::Object(_) => {}
            other => {
                reader.fault(pointer, "invalid", format!("{other} is not a fallback"), HINT);
                return None;
            }
        }
        let keys = ["hang_up", "number", "trunk"];
        let mut fields = Fields::open(value, pointer, &keys, reader)?;
        if fields.has("hang_up") {
            let hint = "keep either hang_up, or trunk and number";
            fields.refuse("trunk", "nothing is dialled after hanging up", hint);
            fields.refuse("number", "nothing is dialled after hanging up", hint);
            let cause = fields.read::<Int<u16, 1, 127>>("hang_up");
            return Some(Self::HangUp(cause.map(HangupCause)));
        }
        let trunk = fields.read::<Ref<TrunkId>>("trunk");
        let number = fields.read::<DialNumber>("number");
        if !fields.has("trunk") {
            fields.missing("trunk", HINT);
        }
        if !fields.has("number") {
            fields.missing("number", "type the number to dial over the trunk");
        }
        Some(Self::Number { trunk: trunk?, number: number? })
    }

    fn write(value: &Self, names: &dyn Names) -> Value {
        match value {
            Self::Dialplan => json!("dialplan"),
            Self::HangUp(None) => json!("hang_up"),
            Self::HangUp(Some(cause)) => json!({ "hang_up": cause }),
            Self::Number { trunk, number } => {
                json!({ "trunk": Ref::write(trunk, names), "number": number })
            }
        }
    }

    fn schema() -> Value {
        json!({ "oneOf": [
            { "enum": ["dialplan", "hang_up"] },
            {
                "type": "object", "additionalProperties": false, "required": ["hang_up"],
                "properties": { "hang_up": Int::<u16, 1, 127>::schema() },
            },
            {
                "type": "object", "additionalProperties": false, "required": ["trunk", "number"],
                "properties": { "trunk": { "type": "string" }, "number": DialNumber::schema() },
            },
        ] })
    }
}

impl Rules for ForwardingFlow {
    const HAS_NUMBERS: bool = true;

    fn example() -> Value {
        json!({
            "name": "sales",
            "master": "pbx",
            "dids": ["+12025550100"],
            "destinations": [{ "name": "slave-a-sales", "server": "slave-a", "did": "1001" }],
            "time_zone": "America/Chicago",
            "schedule": {
                "hours": { "mon-fri": "08:00-18:00", "sat": ["09:00-12:00", "13:00-16:00"] },
                "holidays": [{ "date": "2026-12-24", "hours": "08:00-12:00" }, "2026-12-25"],
            },
            "rate": { "calls": 10, "per": "second", "burst": 20 },
            "caps": [{ "per": "day", "count": "answers", "max": 500 }],
            "stickiness": { "rolling_sec": 86400, "sliding": true, "on": "answered" },
            "repeat_caller": { "calls": 3, "within_sec": 3600, "then": "different" },
            "caller_numbers": { "country": "1" },
            "redial_gap_sec": 120,
        })
    }

    fn check(&self, check: &mut Check<'_>) {
        let who = format!("forwarding flow {}", self.name);
        let here = check.places.key(self.id, "master");
        check.has_role(self.master, ServerRole::Master, &format!("master of {who}"), here);
        if self.destinations.is_empty() {
            check.note(
                [check.places.key(self.id, "destinations")],
                "no_destination",
                format!("{who} has no destination"),
                "list at least one server with a did, one trunk with a number, or one toll_free \
                 number",
            );
        }
        let mut names: BTreeMap<&str, usize> = BTreeMap::new();
        for (at, destination) in self.destinations.iter().enumerate() {
            if let Some(first) = names.insert(&destination.name, at) {
                check.note(
                    [check.places.key(destination.id, "name"), check.places.key(self.id, "name")],
                    "taken",
                    format!("destinations[{first}] of {who} is named {} too", destination.name),
                    "give each destination of a flow its own name",
                );
            }
            destination.check(&self.name, check);
        }
        if let Some(RepeatAction::Destination(id)) = self.repeat_caller.map(|rule| rule.then)
            && !self.destinations.iter().any(|one| one.id == id)
        {
            check.note(
                [check.places.key(self.id, "repeat_caller/then/destination")],
                "dangling",
                format!("repeated callers of {who} go to a destination that is not there"),
                "type the name of one of the flow's destinations",
            );
        }
        if let Fallback::Number { trunk, .. } = &self.fallback {
            let here = check.places.key(self.id, "fallback/trunk");
            check.exists(*trunk, &format!("the fallback of {who}"), [here, None]);
        }
        if let Some(Hours::Schedule(schedule)) = &self.schedule {
            let here = check.places.key(self.id, "schedule");
            check.exists(*schedule, &who, [here, None]);
        }
    }

    fn users_of(&self, id: ObjectId) -> Vec<String> {
        let who = format!("forwarding flow {}", self.name);
        let mut users = Vec::new();
        let own = self.schedule.as_ref().and_then(Hours::schedule).map(ObjectId::from);
        if ObjectId::from(self.master) == id || own == Some(id) {
            users.push(who.clone());
        }
        for destination in &self.destinations {
            let landing = match &destination.landing {
                Landing::Slave { server, .. } => Some(ObjectId::from(*server)),
                Landing::TollFree { .. } => None,
                Landing::Trunk { trunk, .. } => Some(ObjectId::from(*trunk)),
            };
            let hours = destination.schedule.as_ref().and_then(Hours::schedule);
            if landing == Some(id) || hours.map(ObjectId::from) == Some(id) {
                users.push(destination.words(&self.name));
            }
        }
        if matches!(self.fallback, Fallback::Number { trunk, .. } if ObjectId::from(trunk) == id) {
            users.push(format!("the fallback of {who}"));
        }
        users
    }

    fn plan_parts(old: &Self, new: &Self, plan: &mut Plan<'_>) -> Vec<String> {
        let label = |name: &str| format!("destination {name} of {}", new.name);
        for gone in &old.destinations {
            if !new.destinations.iter().any(|one| one.id == gone.id) {
                plan.line(Action::Remove, label(&gone.name));
            }
        }
        for one in &new.destinations {
            let Some(before) = old.destinations.iter().find(|other| other.id == one.id) else {
                plan.line(Action::Add, label(&one.name));
                continue;
            };
            let names = plan.names();
            let (was, is) = (before.write_whole(names), one.write_whole(names));
            plan.changed(&label(&before.name), &fields(&was, &is));
        }

        let (was, is) = (BTreeSet::from_iter(&old.dids), BTreeSet::from_iter(&new.dids));
        let added = is.difference(&was).map(|did| format!("DID {did} added"));
        let dropped = was.difference(&is).map(|did| format!("DID {did} removed"));
        let mut changes: Vec<String> = added.chain(dropped).collect();
        let order = |of: &Self, among: &Self| -> Vec<DestinationId> {
            let both = |id: &DestinationId| among.destinations.iter().any(|other| other.id == *id);
            of.destinations.iter().map(|one| one.id).filter(both).collect()
        };
        if order(old, new) != order(new, old) {
            changes.push("destinations in another order".to_owned());
        }
        changes
    }

    fn size(&self) -> Option<String> {
        let dids = count(self.dids.len(), "DID");
        Some(format!("{dids}, {}", count(self.destinations.len(), "destination")))
    }
}

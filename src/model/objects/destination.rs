//! Destinations of a forwarding flow: where a call may go, how eagerly, and how many at once.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use strum::{Display, EnumString, VariantNames};

use super::server::ServerRole;
use crate::model::check::Check;
use crate::model::id::{DestinationId, ForwardingFlowId, Id as _, ServerId, TrunkId};
use crate::model::number::{DialNumber, TollFree};
use crate::model::number_plan::NumberPlan;
use crate::model::object::{
    Declared, Entry, Field, Fields, Flat, Int, Limit, Name, Names, OwnId, Part, Reader, Record,
    Ref, Roster, Shape, Source, choices, exactly_one, record,
};
use crate::model::opening_hours::Hours;
use crate::model::stickiness::OWN_DESTINATION;
use crate::model::throttle::Throttle;
use crate::model::time::Zone;

record! {
    /// Where calls of a flow may go: `server` and `did`, `trunk` and `number`, or `toll_free`.
    pub struct Destination {
        /// Inside a flow: the destination this was; leave it out for a new one.
        id: OwnId<DestinationId>,
        landing: Flat<Landing>,
        /// Unique in its flow, 1 to 60 characters; absent takes the server's name, or the number.
        name: OwnName,
        /// Lower is tried first; equal numbers share.
        priority: Int<i32, -100, 100> = 1,
        /// Share among equal priorities; 0 takes no new calls.
        weight: Int<u32, 0, 1_000> = 1,
        /// Most live calls of this flow there; absent is no limit.
        max_live: Option<Limit<100_000>>,
        /// How long it rings before the next one is tried, in seconds; absent takes the flow's.
        ring_timeout_sec: Option<Int<u32, 5, 120>>,
        /// Draining takes no callers but those who belong to it; paused takes nobody and keeps its
        /// place; disabled is out of rotation. None of them drops a live call.
        state: DestinationState = DestinationState::Active,
        /// For schedule and caps; absent takes the flow's.
        time_zone: Option<Zone>,
        /// When it is open: hours of its own, or the name of a schedule; absent is always.
        schedule: Option<Hours>,
        throttle: Flat<Throttle>,
    }
}

/// A name that need not be typed, where the place in which calls land gives one.
pub struct OwnName;

impl Part for OwnName {
    type Value = String;

    fn part_fields(declared: &Declared<String>) -> Vec<Field> {
        vec![Field::optional(declared.key, declared.doc, Name::schema)]
    }

    fn read_part(fields: &mut Fields<'_, '_, '_>, declared: &Declared<String>) -> Option<String> {
        let own = fields.reader.own_name.take();
        // Without one, a name that no other destination shares.
        let own = own.unwrap_or_else(|| DestinationId::new(fields.reader.own_id).to_string());
        Some(fields.read::<Name>(declared.key).unwrap_or(own))
    }

    fn write_part(
        value: &String,
        declared: &Declared<String>,
        object: &mut Map<String, Value>,
        _: &dyn Names,
    ) {
        object.insert(declared.key.to_owned(), json!(value));
    }
}

impl Record for Landing {
    fn fields() -> Vec<Field> {
        vec![
            Field::optional("server", "The name of a slave.", Ref::<ServerId>::schema),
            Field::optional("did", "The DID on that slave.", DialNumber::schema),
            Field::optional("trunk", "The name of a trunk.", Ref::<TrunkId>::schema),
            Field::optional("number", "The number dialled over it.", DialNumber::schema),
            Field::optional(
                "toll_free",
                "A toll-free number of North America; divert chooses among the trunks that carry such \
                 calls. The account must be allowed to.",
                TollFree::schema,
            ),
        ]
    }

    /// Also names the destination by where it lands.
    fn read_from(fields: &mut Fields<'_, '_, '_>) -> Option<Self> {
        const HINT: &str = "type server: and did:, trunk: and number:, or toll_free:";
        let server = fields.read::<Ref<ServerId>>("server");
        let trunk = fields.read::<Ref<TrunkId>>("trunk");
        let did = fields.value("did").and_then(|did| {
            let at = fields.at("did");
            fields.reader.parsed::<DialNumber>(did, &at, "a DID")
        });
        let number = fields.read::<DialNumber>("number");
        let toll_free = fields.read::<TollFree>("toll_free");
        fields.reader.own_name = None;
        if fields.has("toll_free") {
            let hint = "keep toll_free alone, or leave it out";
            fields.refuse("server", "a toll-free number is on no server", hint);
            fields.refuse("did", "a toll-free number is on no server", hint);
            let message = "divert chooses the trunk of a toll-free number";
            fields.refuse(
                "trunk",
                message,
                "leave trunk out, or type number: instead of toll_free:",
            );
            fields.refuse("number", "a toll-free destination has one number", hint);
            fields.reader.own_name = toll_free.as_ref().map(ToString::to_string);
            return toll_free.map(|number| Self::TollFree { number });
        }
        if fields.has("server") || (fields.has("did") && !fields.has("trunk")) {
            let hint = "keep server and did for a slave, trunk and number for anything else";
            fields.refuse("trunk", "a destination has a server or a trunk, not both", hint);
            fields.refuse("number", "a destination on a server has a did", "type did: instead");
            if !fields.has("server") {
                fields.missing("server", "type the name of the slave that has this did");
            }
            if !fields.has("did") && !fields.has("number") {
                fields.missing("did", "type the DID on the slave where the call lands");
            }
            let name = server.and_then(|id| {
                fields.reader.roster(ServerId::PREFIX).name(id.value()).map(str::to_owned)
            });
            fields.reader.own_name = name;
            return Some(Self::Slave { server: server?, did: did? });
        }
        fields.refuse("did", "a destination on a trunk has a number", "type number: instead");
        if !fields.has("trunk") {
            fields.missing("trunk", HINT);
        } else if !fields.has("number") && !fields.has("did") {
            fields.missing("number", "type the number to dial over the trunk");
        }
        fields.reader.own_name = number.as_ref().map(ToString::to_string);
        Some(Self::Trunk { trunk: trunk?, number: number? })
    }

    fn write_to(&self, object: &mut Map<String, Value>, names: &dyn Names) {
        let mut put = |key: &str, value| object.insert(key.to_owned(), value);
        match self {
            Self::Slave { server, did } => {
                put("server", Ref::write(server, names));
                put("did", json!(did));
            }
            Self::TollFree { number } => {
                put("toll_free", json!(number));
            }
            Self::Trunk { trunk, number } => {
                put("trunk", Ref::write(trunk, names));
                put("number", json!(number));
            }
        }
    }
}

/// The destinations of a flow in the order in which they were typed. They keep their ids by id or by
/// name, within their flow.
pub struct Destinations;

impl Shape for Destinations {
    type Value = Vec<Destination>;

    fn read(value: &Value, pointer: &str, reader: &mut Reader<'_>) -> Option<Self::Value> {
        let flow = ForwardingFlowId::new(reader.own_id);
        let items = reader.items(value, pointer)?;
        let current = reader.current.forwarding_flow(flow);
        let current = current.map_or(&[][..], |flow| &flow.destinations);
        let mut there = Roster::default();
        for one in current {
            there.add(one.id.value(), &one.name);
        }

        // A row says what is; nothing was there before it.
        let is_row = reader.source == Source::Row;
        let mut taken = BTreeSet::new();
        let mut typed = Vec::with_capacity(items.len());
        for (at, item) in &items {
            let exists = |id: DestinationId| there.has(id.value()) || is_row;
            let id = reader.typed_id::<DestinationId>(item, at, OWN_DESTINATION, &exists);
            if let Some(id) = id.filter(|id| !taken.insert(id.value())) {
                let message = format!("{id} stands here a second time");
                let hint = "leave id out for a new destination";
                reader.fault(format!("{at}/id"), "taken", message, hint);
            }
            typed.push(id);
        }
        let mut destinations: Vec<Destination> = Vec::with_capacity(items.len());
        for ((pointer, value), id) in items.into_iter().zip(typed) {
            let is_new = id.is_none();
            let id = id.unwrap_or_else(|| DestinationId::new((reader.mint)()));
            let entry = Entry { id: id.into(), name: String::new(), pointer, value };
            let Some(mut destination) = Destination::read_entry(&entry, reader) else {
                continue;
            };
            let same = there.find(&destination.name);
            if let Some(same) = same.filter(|same| is_new && taken.insert(*same)) {
                destination.id = DestinationId::new(same);
                reader.places.put(destination.id, entry.pointer);
            }
            destinations.push(destination);
        }
        let own = reader.rosters.entry(DestinationId::PREFIX).or_default();
        for one in &destinations {
            own.add(one.id.value(), &one.name);
        }
        reader.own_id = flow.value();
        Some(destinations)
    }

    fn write(value: &Self::Value, names: &dyn Names) -> Value {
        if value.is_empty() {
            return Value::Null;
        }
        value.iter().map(|one| one.write_whole(names)).collect()
    }

    fn schema() -> Value {
        json!({ "type": "array", "items": Destination::whole_schema() })
    }

    fn absent() -> Option<Self::Value> {
        Some(Vec::new())
    }
}

impl Destination {
    /// With what is said of its landing.
    #[must_use]
    pub fn whole_schema() -> Value {
        exactly_one(Self::schema(), &[&["server", "did"], &["trunk", "number"], &["toll_free"]])
    }

    /// One as people would type it.
    #[must_use]
    pub fn example() -> Value {
        json!({
            "name": "evening", "toll_free": "8005550199", "weight": 30, "max_live": 10,
            "time_zone": "America/New_York", "schedule": { "hours": { "daily": "18:00-02:00" } },
            "rate": { "calls": 1, "per": "minute" }, "spacing_sec": 20,
            "caps": [{ "per": "month", "count": "billable_minutes", "max": 10000 }],
        })
    }

    /// One that has this id already.
    pub fn read_entry(entry: &Entry<'_>, reader: &mut Reader<'_>) -> Option<Self> {
        reader.places.put(entry.id, &entry.pointer);
        reader.own_id = entry.id.value();
        Self::read(entry.value, &entry.pointer, reader)
    }

    /// What people call it in a sentence.
    #[must_use]
    pub fn words(&self, flow: &str) -> String {
        format!("destination {} of forwarding flow {flow}", self.name)
    }

    /// What must hold between it and other objects.
    pub fn check(&self, flow: &str, check: &mut Check<'_>) {
        let who = self.words(flow);
        match &self.landing {
            Landing::Slave { server, .. } => {
                let here = check.places.key(self.id, "server");
                check.has_role(*server, ServerRole::Slave, &format!("server of {who}"), here);
            }
            Landing::TollFree { .. } if !check.whole.account.toll_free_termination => {
                let message =
                    format!("{who}: toll-free termination is not enabled on this account");
                let hint = "contact support; who runs divert enables it by account: \
                            {toll_free_termination: true}";
                let here = check.places.key(self.id, "toll_free");
                let switch = check.places.account_key("toll_free_termination");
                check.note([here, switch], "toll_free_not_enabled", message, hint);
            }
            Landing::TollFree { .. } => {}
            Landing::Trunk { trunk, .. } => {
                check.exists(*trunk, &who, [check.places.key(self.id, "trunk"), None]);
            }
        }
        if let Some(Hours::Schedule(schedule)) = &self.schedule {
            check.exists(*schedule, &who, [check.places.key(self.id, "schedule"), None]);
        }
    }
}

choices! { DestinationState }

impl Landing {
    /// Whether both lead to the same telephone. A number of seven digits or more is one telephone over
    /// any trunk, in any spelling that `numbers` knows; what is shorter, or no number, belongs to the
    /// trunk or the slave where it is dialled.
    #[must_use]
    pub fn is_same_phone(&self, other: &Self, numbers: &NumberPlan) -> bool {
        let Some((one, other)) = self.number_and_trunk().zip(other.number_and_trunk()) else {
            return self == other;
        };
        let worldwide = |(number, _): &(DialNumber, _)| {
            let digits = number.as_str().strip_prefix('+').unwrap_or(number.as_str());
            let is_number = digits.len() >= 7 && digits.bytes().all(|c| c.is_ascii_digit());
            is_number.then(|| numbers.international(number.as_str()))
        };
        match (worldwide(&one), worldwide(&other)) {
            (Some(one), Some(other)) => one == other,
            _ => one == other,
        }
    }

    /// What is dialled, and over which trunk where that is said; `None` on a slave.
    fn number_and_trunk(&self) -> Option<(DialNumber, Option<TrunkId>)> {
        match self {
            Self::Slave { .. } => None,
            Self::TollFree { number } => Some((number.dialled(), None)),
            Self::Trunk { trunk, number } => Some((number.clone(), Some(*trunk))),
        }
    }
}

impl Destination {
    /// One with nothing set but what it must have.
    #[must_use]
    pub fn new(id: DestinationId, name: impl Into<String>, landing: Landing) -> Self {
        Self {
            id,
            name: name.into(),
            landing,
            priority: 1,
            weight: 1,
            max_live: None,
            ring_timeout_sec: None,
            state: DestinationState::Active,
            time_zone: None,
            schedule: None,
            throttle: Throttle::default(),
        }
    }
}

/// Where a call to a destination lands.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Landing {
    /// A DID on a slave, reached over the slave's trunk.
    Slave { server: ServerId, did: DialNumber },
    /// A toll-free number; divert chooses among the trunks that carry such calls.
    TollFree { number: TollFree },
    /// A number dialled over a trunk.
    Trunk { trunk: TrunkId, number: DialNumber },
}

/// Draining takes no callers but those who belong to it; paused takes nobody, and keeps its place and
/// its returning callers; disabled is out of rotation. None of them drops a live call.
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
pub enum DestinationState {
    #[default]
    Active,
    Disabled,
    Draining,
    Paused,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_one_telephone_over_any_trunk_and_an_extension_is_not() {
        let over = |trunk, number: &str| Landing::Trunk {
            trunk: TrunkId::new(trunk),
            number: number.parse().unwrap(),
        };
        let on = |server, did: &str| Landing::Slave {
            server: ServerId::new(server),
            did: did.parse().unwrap(),
        };
        let free = Landing::TollFree { number: "8005550199".parse().unwrap() };
        let plain = NumberPlan::default();
        let american = NumberPlan { country: "1".parse().ok(), ..NumberPlan::default() };
        for (one, other, numbers, wanted) in [
            (over(1, "+12025550100"), over(2, "12025550100"), &plain, true),
            (over(1, "2025550100"), over(2, "12025550100"), &plain, false),
            (over(1, "2025550100"), over(2, "12025550100"), &american, true),
            (over(1, "+12025550100"), over(1, "+12025550101"), &plain, false),
            (over(1, "1001"), over(1, "1001"), &plain, true),
            (over(1, "1001"), over(2, "1001"), &plain, false),
            (over(1, "sales-team"), over(2, "sales-team"), &plain, false),
            (over(1, "+18005550199"), free.clone(), &plain, true),
            (free.clone(), free, &plain, true),
            (on(1, "2025550100"), on(1, "2025550100"), &plain, true),
            (on(1, "2025550100"), on(2, "2025550100"), &plain, false),
            (on(1, "2025550100"), over(1, "2025550100"), &plain, false),
        ] {
            assert_eq!(one.is_same_phone(&other, numbers), wanted, "{one:?} {other:?}");
            assert_eq!(other.is_same_phone(&one, numbers), wanted, "{other:?} {one:?}");
        }
    }
}

//! Numbers: which DID arrives on which master, and who owns it. There may be a million of them, so that
//! they are no kind like the others: they are read, written and listed by themselves.

use serde_json::{Map, Value, json};

use crate::model::id::{ForwardingFlowId, Id as _, NumberId, ServerId};
use crate::model::number::Did;
use crate::model::object::{Declared, Field, Fields, Names, OwnId, Part, Ref, Shape, has, record};
use crate::model::tags::Tags;

record! {
    /// A number of the account on one master. It has one owner, or none.
    pub struct Number {
        /// Given by divert; in a document it says which number this was.
        id: OwnId<NumberId>,
        /// As the carrier delivers it. It cannot be changed.
        did: Did => "type 1 to 50 of letters, digits and _ - . * # + in quotes",
        /// The name of the flow that owns it; absent is nobody.
        forwarding_flow: Option<Ref<ForwardingFlowId>>,
        /// The name of the master it arrives on; absent takes that of the flow.
        server: Arrival,
        /// Words by which numbers are found together.
        tags: Tags,
    }
}

impl Number {
    /// With where it arrives: on a server, or on that of its owner.
    #[must_use]
    pub fn whole_schema() -> Value {
        let mut schema = Self::schema();
        schema["anyOf"] = json!([has(&["server"]), has(&["forwarding_flow"])]);
        schema
    }

    /// One as people would type it.
    #[must_use]
    pub fn example() -> Value {
        json!({ "did": "+12025550177", "forwarding_flow": "sales" })
    }
}

/// The master on which a number arrives, which need not be said where it has an owner.
pub struct Arrival;

impl Arrival {
    /// The owner that was typed, and its master.
    fn owner(fields: &Fields<'_, '_, '_>) -> Option<ServerId> {
        let typed = fields.value("forwarding_flow")?.as_str()?;
        let roster = fields.reader.roster(ForwardingFlowId::PREFIX);
        let id = typed.parse::<ForwardingFlowId>().ok().map(ForwardingFlowId::value);
        let id = id.filter(|id| roster.has(*id)).or_else(|| roster.find(typed))?;
        fields.reader.masters.get(&ForwardingFlowId::new(id)).copied()
    }
}

impl Part for Arrival {
    type Value = ServerId;

    fn part_fields(declared: &Declared<ServerId>) -> Vec<Field> {
        vec![Field::optional(declared.key, declared.doc, Ref::<ServerId>::schema)]
    }

    fn read_part(
        fields: &mut Fields<'_, '_, '_>,
        declared: &Declared<ServerId>,
    ) -> Option<ServerId> {
        let key = declared.key;
        let server = fields.read::<Ref<ServerId>>(key);
        let master = Self::owner(fields);
        if !fields.has(key) && !fields.has("forwarding_flow") {
            fields.missing(key, "type the name of the server where it arrives");
        }
        if let (Some(server), Some(master)) = (server, master)
            && server != master
        {
            let message = "the forwarding flow that owns it has another master";
            fields.wrong(key, "taken", message, "leave server out: it is the flow's master");
        }
        server.or(master)
    }

    fn write_part(
        value: &ServerId,
        declared: &Declared<ServerId>,
        object: &mut Map<String, Value>,
        names: &dyn Names,
    ) {
        object.insert(declared.key.to_owned(), Ref::write(value, names));
    }
}

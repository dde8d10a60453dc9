//! Servers: Asterisk or VICIdial boxes, a master where calls arrive or a slave that takes them.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use strum::{Display, EnumString, VariantNames};

use super::Rules;
use crate::model::check::Check;
use crate::model::id::{ServerId, TrunkId};
use crate::model::object::{Limit, Ref, choices, object};

object! {
    /// An Asterisk or VICIdial box: a master where calls arrive, or a slave that takes them.
    pub struct Server(ServerId) {
        /// `master`: calls arrive there. `slave`: it takes them.
        role: ServerRole => "type master or slave",
        /// How the master reaches a slave: the name of a trunk. A master has none.
        trunk: Option<Ref<TrunkId>>,
        /// Most live calls on it over all flows; absent is no limit.
        max_live: Option<Limit<100_000>>,
    }
}

#[derive(
    Clone, Copy, Debug, Deserialize, Display, EnumString, Eq, PartialEq, Serialize, VariantNames,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum ServerRole {
    Master,
    Slave,
}

choices! { ServerRole }

impl Rules for Server {
    fn example() -> Value {
        json!({ "name": "slave-a", "role": "slave", "trunk": "to-slave-a", "max_live": 200 })
    }

    fn check(&self, check: &mut Check<'_>) {
        let here = || [check.places.key(self.id, "trunk"), check.places.key(self.id, "role")];
        match (self.role, self.trunk) {
            (ServerRole::Slave, None) => check.note(
                here(),
                "missing",
                format!("server {} is a slave without a trunk", self.name),
                "type the trunk over which the master reaches it",
            ),
            (ServerRole::Master, Some(_)) => check.note(
                here(),
                "not_allowed",
                format!("server {} is a master, which is not reached over a trunk", self.name),
                "leave trunk out, or make its role slave",
            ),
            (ServerRole::Slave, Some(trunk)) => {
                check.exists(trunk, &format!("server {}", self.name), here());
            }
            (ServerRole::Master, None) => {}
        }
    }
}

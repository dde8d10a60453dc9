//! Servers: Asterisk or VICIdial boxes, a master where calls arrive or a slave that takes them.

use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, VariantNames};

use super::id::{ServerId, TrunkId};

#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Server {
    pub id: ServerId,
    /// Unique in the account, 1 to 60 characters.
    pub name: String,
    pub role: ServerRole,
    /// How the master reaches a slave; a master has none.
    pub trunk: Option<TrunkId>,
    /// Most live calls on it over all flows; `None` is no limit.
    pub max_live: Option<u32>,
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

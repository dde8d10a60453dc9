//! Slots: one unit of a live-call limit each, held by a leg.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::id::{AccountId, DestinationId, IdError, LegId, ServerId, TrunkId};
use super::time::Timestamp;
use super::timeline::LimitScope;

/// What a limit is set on. Its text is the id alone: `dst_…`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(try_from = "String", into = "String")]
pub enum Scope {
    Account(AccountId),
    Destination(DestinationId),
    Server(ServerId),
    Trunk(TrunkId),
}

impl Scope {
    #[must_use]
    pub fn kind(self) -> LimitScope {
        match self {
            Self::Account(_) => LimitScope::Account,
            Self::Destination(_) => LimitScope::Destination,
            Self::Server(_) => LimitScope::Server,
            Self::Trunk(_) => LimitScope::Trunk,
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account(id) => id.fmt(f),
            Self::Destination(id) => id.fmt(f),
            Self::Server(id) => id.fmt(f),
            Self::Trunk(id) => id.fmt(f),
        }
    }
}

impl FromStr for Scope {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        match text.split_once('_').map(|(prefix, _)| prefix) {
            Some(AccountId::PREFIX) => text.parse().map(Self::Account),
            Some(ServerId::PREFIX) => text.parse().map(Self::Server),
            Some(TrunkId::PREFIX) => text.parse().map(Self::Trunk),
            _ => text.parse().map(Self::Destination),
        }
    }
}

impl TryFrom<String> for Scope {
    type Error = IdError;

    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}

impl From<Scope> for String {
    fn from(scope: Scope) -> Self {
        scope.to_string()
    }
}

/// A scope with its limit; `None` is no limit, but the leg is counted all the same.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limit {
    pub scope: Scope,
    pub max: Option<u32>,
}

/// What a leg holds, or asks for: one slot of each of `limits`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Holding {
    pub account: AccountId,
    pub leg: LegId,
    pub limits: Vec<Limit>,
    pub taken_at: Timestamp,
    /// By then the leg has certainly ended, whatever has become of its node.
    pub expires_at: Timestamp,
}

impl Holding {
    /// Nothing of it can be refused.
    #[must_use]
    pub fn is_unlimited(&self) -> bool {
        self.limits.iter().all(|limit| limit.max.is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_reads_back_as_itself() {
        let scopes = [
            Scope::Account(AccountId::new(1)),
            Scope::Destination(DestinationId::new(2)),
            Scope::Server(ServerId::new(3)),
            Scope::Trunk(TrunkId::new(u128::MAX)),
        ];
        for scope in scopes {
            assert_eq!(scope.to_string().parse(), Ok(scope));
        }
        for wrong in ["", "dst_", "call_00000000000000000000000001", "srv_x"] {
            assert!(wrong.parse::<Scope>().is_err(), "{wrong}");
        }
    }
}

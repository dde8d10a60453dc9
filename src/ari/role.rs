//! What a channel in our application is for, written into its `appArgs`.
//!
//! Asterisk gives the arguments back in `StasisStart` and, as `app_data`, in every channel it
//! lists, so that ownership can be rebuilt from Asterisk alone.

use std::fmt;

use super::identity::Privacy;
use crate::model::id::{CallId, DestinationId, LegId, TrunkId};
use crate::model::number::Did;

/// The role of a channel, as its arguments tell.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Role {
    /// `did,<did>[,…]`: a call came in on that DID, from somebody who may want to stay unknown (see
    /// [`Privacy::of`]).
    Caller { did: Did, is_withheld: bool },
    /// `leg,<call id>,<no>[,…]`: divert dialled it. What follows is a [`LegFacts`].
    Leg(LegId),
    /// In our application, for a purpose divert does not know: kept as it was found, and empty for
    /// one that came without a word.
    Other(String),
    /// `probe`: another divert finds out whether somebody listens, and takes the channel away itself.
    Probe,
    /// `testcaller,<call id>`: divert's own end of a test call.
    TestCaller(CallId),
}

impl Role {
    /// Reads the arguments, without the name of the application before them.
    #[must_use]
    pub fn parse(args: &str) -> Self {
        Self::known(args).unwrap_or_else(|| Self::Other(args.to_owned()))
    }

    /// Reads Asterisk's `app_data`: `None` for a channel of another application.
    #[must_use]
    pub fn of_app_data(app_data: &str, app: &str) -> Option<Self> {
        let args = app_data.strip_prefix(app)?;
        if args.is_empty() {
            Some(Self::parse(""))
        } else {
            args.strip_prefix(',').map(Self::parse)
        }
    }

    fn known(args: &str) -> Option<Self> {
        if args == PROBE {
            return Some(Self::Probe);
        }
        let (kind, rest) = args.split_once(',')?;
        let first = rest.split(',').next()?;
        match kind {
            "did" => {
                let is_withheld = Privacy::of(rest.split(',').skip(1)).is_withheld();
                Some(Self::Caller { did: first.parse().ok()?, is_withheld })
            }
            "leg" => {
                let no = rest.split(',').nth(1)?.parse().ok()?;
                Some(Self::Leg(LegId { call: first.parse().ok()?, no }))
            }
            "testcaller" => Some(Self::TestCaller(first.parse().ok()?)),
            _ => None,
        }
    }
}

/// No dialplan would write it.
const PROBE: &str = "divert-probe";

/// For whom and where a leg was dialled: enough for a process that never heard of it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct LegFacts {
    /// The caller's channel.
    pub caller: String,
    pub destination: Option<DestinationId>,
    pub trunk: Option<TrunkId>,
}

impl LegFacts {
    /// Reads them out of the arguments of a leg, without the name of the application.
    #[must_use]
    pub fn parse(args: &str) -> Option<Self> {
        let mut fields = args.split(',').skip(3);
        Some(Self {
            caller: fields.next()?.to_owned(),
            destination: fields.next()?.parse().ok(),
            trunk: fields.next()?.parse().ok(),
        })
    }
}

/// As they follow the role in `appArgs`.
impl fmt::Display for LegFacts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { caller, destination, trunk } = self;
        let destination = destination.map(|id| id.to_string()).unwrap_or_default();
        let trunk = trunk.map(|id| id.to_string()).unwrap_or_default();
        write!(f, ",{caller},{destination},{trunk}")
    }
}

/// The arguments, ready for `appArgs`.
impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Caller { did, is_withheld: false } => write!(f, "did,{did}"),
            Self::Caller { did, is_withheld: true } => write!(f, "did,{did},prohib"),
            Self::Leg(leg) => write!(f, "leg,{},{}", leg.call, leg.no),
            Self::Other(args) => f.write_str(args),
            Self::Probe => f.write_str(PROBE),
            Self::TestCaller(call) => write!(f, "testcaller,{call}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_role_reads_back_as_itself() {
        let call = CallId::new(77);
        let roles = [
            Role::Caller { did: "+1*#TF-9.a_b".parse().unwrap(), is_withheld: false },
            Role::Caller { did: "h".parse().unwrap(), is_withheld: true },
            Role::Leg(LegId { call, no: 12 }),
            Role::TestCaller(call),
            Role::Probe,
            Role::Other("snoop,x".into()),
        ];
        for role in roles {
            assert_eq!(Role::parse(&role.to_string()), role);
            let app_data = format!("divert-a,{role}");
            assert_eq!(Role::of_app_data(&app_data, "divert-a"), Some(role));
            assert_eq!(Role::of_app_data(&app_data, "divert"), None, "{app_data}");
        }
    }

    #[test]
    fn a_leg_tells_for_whom_and_where_it_was_dialled() {
        let leg = LegId { call: CallId::new(7), no: 2 };
        let (caller, trunk) = ("1795.1".to_owned(), Some(TrunkId::new(3)));
        let facts = LegFacts { caller, destination: None, trunk };
        let args = format!("{}{facts}", Role::Leg(leg));
        assert_eq!(Role::parse(&args), Role::Leg(leg));
        assert_eq!(LegFacts::parse(&args), Some(facts));
        assert_eq!(LegFacts::parse(&Role::Leg(leg).to_string()), None);
    }

    #[test]
    fn what_is_not_quite_a_role_is_kept_as_it_is() {
        for args in ["", "did", "did,", "did,1 2", "leg,1,1", "leg,x", "testcaller,acc_1", "leg,,"]
        {
            assert_eq!(Role::parse(args), Role::Other(args.into()));
        }
        assert_eq!(Role::of_app_data("divert", "divert"), Some(Role::Other(String::new())));
        assert_eq!(Role::of_app_data("divert-a", "divert"), None);
    }
}

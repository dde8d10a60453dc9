//! Accounts: every row belongs to one, and every query takes its id as a typed argument.

use serde_json::{Value, json};

use crate::model::billing::Currency;
use crate::model::id::{AccountId, RateDeckId};
use crate::model::object::{Limit, Ref, record};
use crate::model::time::Zone;

/// The account that exists from the first start, used wherever only one is needed.
pub const DEFAULT_ACCOUNT: AccountId = AccountId::new(1);

record! {
    /// What holds for everything of the account.
    #[derive(Default)]
    pub struct AccountSettings {
        /// For flows and destinations that name none: a name of the IANA database.
        time_zone: Zone = Zone::UTC,
        /// Most live legs of all its flows; absent is no limit.
        max_live: Option<Limit<100_000>>,
        /// Whether there may be toll-free destinations. Switched by who runs divert.
        toll_free_termination: bool = false,
        /// Calls that cost are refused once the balance is used up.
        prepaid: bool = false,
        /// Of every amount, in ISO 4217.
        currency: Currency = Currency::default(),
        /// The name of the rate deck for calls to numbers over trunks that have none of their own.
        rate_deck: Option<Ref<RateDeckId>>,
    }
}

impl AccountSettings {
    /// Every setting, as one may type them.
    #[must_use]
    pub fn example() -> Value {
        json!({
            "time_zone": "America/Chicago", "currency": "USD", "max_live": 500,
            "toll_free_termination": true, "prepaid": true, "rate_deck": "retail",
        })
    }
}

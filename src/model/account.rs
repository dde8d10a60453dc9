//! Accounts: every row belongs to one, and every query takes its id as a typed argument.

use serde::{Deserialize, Serialize};

use super::billing::Currency;
use super::id::{AccountId, RateDeckId};
use super::time::Zone;

/// The account that exists from the first start, used wherever only one is needed.
pub const DEFAULT_ACCOUNT: AccountId = AccountId::new(1);

/// What holds for everything of an account.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct AccountSettings {
    /// For flows and destinations that name none.
    pub time_zone: Zone,
    /// Most live legs of all its flows; `None` is no limit.
    pub max_live: Option<u32>,
    /// Whether it may have toll-free destinations. Switched by who runs divert.
    pub toll_free_termination: bool,
    /// Calls that cost are refused once the balance is used up.
    pub prepaid: bool,
    /// Of every amount of the account.
    pub currency: Currency,
    /// For calls to numbers over trunks that have no deck of their own.
    pub rate_deck: Option<RateDeckId>,
}

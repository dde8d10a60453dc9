//! Accounts: every row belongs to one, and every query takes its id as a typed argument.

use super::id::AccountId;

/// The account that exists from the first start, used wherever only one is needed.
pub const DEFAULT_ACCOUNT: AccountId = AccountId::new(1);

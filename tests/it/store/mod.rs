//! The store on both engines: every test here has one body and runs twice.

pub mod disk;
pub mod edit;
pub mod engine;

mod away;
pub mod billing;
mod call_lists;
pub mod calls;
mod configuration;
mod distribution;
mod history;
mod idempotency;
mod keys;
mod log;
mod memory;
mod nodes;
mod numbers;
mod objects;
mod opening;
mod slots;

use divert::model::id::AccountId;
use divert::model::objects::account::DEFAULT_ACCOUNT;
use divert::model::time::Timestamp;

pub const ACCOUNT: AccountId = DEFAULT_ACCOUNT;
/// A second account, which [`engine::TestStore::with_other_account`] adds.
pub const OTHER: AccountId = AccountId::new(2);
pub const NOW: Timestamp = Timestamp(1_795_269_787_120);

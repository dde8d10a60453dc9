//! What the words mean: parsing and nothing else. A value that exists is valid.
//!
//! No I/O, clock, randomness or async here; every time and every id is handed in.

pub mod account;
pub mod billing;
pub mod call;
pub mod cause;
pub mod check;
pub mod configuration;
pub mod destination;
pub mod document;
pub mod forwarding_flow;
pub mod id;
pub mod memory;
pub mod notice;
pub mod number;
pub mod number_plan;
pub mod plan;
pub mod problem;
pub mod removal;
pub mod schedule;
pub mod server;
pub mod slot;
pub mod stickiness;
pub mod text;
pub mod throttle;
pub mod time;
pub mod timeline;
pub mod trunk;

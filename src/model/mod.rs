//! What the words mean: parsing and nothing else. A value that exists is valid.
//!
//! No I/O, clock, randomness or async here; every time and every id is handed in.

pub mod account;
pub mod call;
pub mod cause;
pub mod configuration;
pub mod destination;
pub mod forwarding_flow;
pub mod id;
pub mod number;
pub mod problem;
pub mod server;
pub mod time;
pub mod timeline;
pub mod trunk;

//! divert: call routing and call forwarding for Asterisk.
//!
//! A call arrives on a number; divert decides where it goes and sees it through.
//!
//! ```text
//! cli ─► node ─► ari  api                    adapters: they never import each other
//!                 │    │
//!                 │    └─► store             SQL; api and node read and write through it
//!                 ▼
//!              engine ─► routing ─► model    pure: no async, no clock, no I/O, no randomness
//! ```
//!
//! * [`model`]: what the words mean. A value that exists is valid.
//! * [`routing`]: pure decisions over an immutable snapshot of the configuration.
//! * [`engine`]: calls as state machines, inputs in and commands out; with a simulator.
//! * [`store`]: `SQLite` or Postgres, one SQL text for both.
//! * [`ari`]: Asterisk's REST interface: commands over HTTP, events over a websocket.
//! * [`api`]: divert's own HTTP API.
//! * [`node`]: the loop that brings them together, and the only place where adapters meet.
//! * [`harness`]: test calls.
//! * [`yaml`]: configuration documents as text, with the line of everything in them.
//! * [`cli`], [`config`], [`telemetry`], [`clock`]: the program around it.

pub mod api;
pub mod ari;
pub mod cli;
pub mod clock;
pub mod config;
pub mod engine;
pub mod harness;
pub mod model;
pub mod node;
pub mod routing;
pub mod store;
pub mod telemetry;
pub mod yaml;

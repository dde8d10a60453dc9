//! Test calls: scenarios written down in files, run on the simulator and on a real Asterisk, and
//! compared.
//!
//! * [`scenario`]: the file format, and what differs between a promise and what was played.
//! * [`day`]: the calls of a day, run again through another configuration; in `figures`, what became
//!   of them.
//! * [`rehearse`]: a scenario on the simulator.
//! * [`trace`]: what the channels of a call told divert, for comparing one world with the other.
//!
//! Calls on a real Asterisk are made by `tests/asterisk`, which needs phones; nothing here does I/O
//! but reading scenario files.

pub mod day;
mod figures;
#[cfg(feature = "sim")]
pub mod rehearse;
pub mod scenario;
pub mod trace;

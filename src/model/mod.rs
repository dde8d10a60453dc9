//! What the words mean: parsing and nothing else. A value that exists is valid.
//!
//! No I/O, clock, randomness or async here; every time and every id is handed in. What can be
//! configured describes itself by the macros of `object`; each kind has a file in `objects`.

#[macro_use]
mod kinds;

pub mod billing;
pub mod call;
pub mod cause;
pub mod change;
pub mod check;
pub mod configuration;
pub mod document;
pub mod filter;
pub mod id;
pub mod memory;
pub mod notice;
pub mod number;
pub mod number_plan;
pub mod number_range;
pub mod object;
pub mod objects;
pub mod opening_hours;
pub mod places;
pub mod plan;
pub mod problem;
pub mod removal;
pub mod slot;
pub mod stickiness;
pub mod tags;
pub mod text;
pub mod throttle;
pub mod time;
pub mod timeline;
pub mod undo;

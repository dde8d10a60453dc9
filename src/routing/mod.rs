//! Pure decisions over an immutable snapshot of the configuration.
//!
//! Nothing here waits, reads a clock or draws a random number: the same snapshot, state and question
//! always give the same answer, whoever asks (a call over ARI, a dialplan, a dry run).

pub mod check;
pub mod choose;
pub mod decide;
pub mod explain;
pub mod health;
pub mod index;
pub mod pick;
pub mod rate;
pub mod recent;
pub mod repeat;
pub mod sessions;
pub mod slots;
pub mod snapshot;
pub mod state;
pub mod sticky;
pub mod throttle;

#[cfg(test)]
mod tests;

//! Pure decisions over an immutable snapshot of the configuration.
//!
//! Nothing here waits, reads a clock or draws a random number: the same snapshot, state and question
//! always give the same answer, whoever asks (a call over ARI, a dialplan, a dry run).
//!
//! * [`snapshot`]: the configuration, with everything resolved that a decision needs.
//! * [`state`]: what changes from call to call, by the places of the snapshot.
//! * [`choose`] looks, [`decide`] does, [`explain`] tells: all by the same code.
//! * What they ask: [`pick`] (the wheel), [`slots`] (live limits), [`throttle`] and [`rate`], [`sticky`]
//!   and [`repeat`] (returning callers), [`health`] (trunks).
//! * [`index`], [`recent`]: finding by key, and forgetting the oldest.
//! * [`check`] and `misread`: what is wrong with a configuration, or probably not meant.

pub mod ask;
pub mod check;
pub mod choose;
pub mod decide;
pub mod explain;
mod flow_state;
pub mod health;
pub mod index;
mod misread;
pub mod pick;
pub mod rate;
pub mod recall;
pub mod recent;
pub mod repeat;
pub mod sessions;
pub mod slots;
pub mod snapshot;
pub mod standing;
pub mod state;
pub mod sticky;
pub mod throttle;

#[cfg(test)]
mod tests;

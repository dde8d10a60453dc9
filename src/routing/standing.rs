//! How the trunks stand: the state that decides over calls, told.

use super::health::Standing;
use super::snapshot::Snapshot;
use super::state::State;
use crate::model::id::TrunkId;
use crate::model::time::Timestamp;

#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TrunkStanding {
    pub trunk: TrunkId,
    pub name: String,
    pub standing: Standing,
    /// Legs that are dialled or up over it, from this node.
    pub live: u32,
}

/// Every trunk of the configuration, in order of id.
#[must_use]
pub fn trunks(snapshot: &Snapshot, state: &State, at: Timestamp) -> Vec<TrunkStanding> {
    if !state.follows(snapshot) {
        let mut state = state.clone();
        state.follow(snapshot);
        return trunks(snapshot, &state, at);
    }
    let all = snapshot.trunks().zip(&state.trunks).enumerate();
    let standing = all.map(|(place, (trunk, circuit))| TrunkStanding {
        trunk: trunk.id,
        name: trunk.name.clone(),
        standing: circuit.standing(at),
        live: state.over_trunk(place),
    });
    standing.collect()
}

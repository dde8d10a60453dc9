//! The process's file descriptors, and who may have them.
//!
//! Without one nothing can be opened: no connection to Asterisk, no file of the database. Clients of
//! the API come in any number, so they get what the others leave.

use rustix::process::{Resource, getrlimit};
use tracing::warn;

use crate::api::{Room, TURNED_AWAY};
use crate::{ari, store};

/// Standard streams, the runtime, listeners, name lookups, files that are read once.
const PROGRAM: usize = 16;
/// What connections to the API never get, so that they never lack to others.
const KEPT: usize = ari::DESCRIPTORS + store::DESCRIPTORS + PROGRAM + 2 * TURNED_AWAY;
/// More than an API of this kind has clients.
const MOST_TCP: usize = 512;
const MOST_UNIX: usize = 64;
/// Without any, nobody could even ask what is wrong.
const LEAST: usize = 4;

/// How many connections the API may have, by the limit of this process (`ulimit -n`).
pub(super) fn room() -> Room {
    // None is no limit.
    let limit = getrlimit(Resource::Nofile).current;
    let room =
        share(limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX)));
    if room.tcp < MOST_TCP {
        warn!(
            limit,
            connections = room.tcp + room.unix,
            "few file descriptors: the API gets what Asterisk and the database leave; raise \
             ulimit -n, or LimitNOFILE of the unit"
        );
    }
    room
}

fn share(limit: usize) -> Room {
    let spare = limit.saturating_sub(KEPT);
    let unix = (spare / 3).clamp(LEAST, MOST_UNIX);
    Room::new(spare.saturating_sub(unix).clamp(LEAST, MOST_TCP), unix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_api_gets_what_the_others_leave() {
        for (limit, tcp, unix) in
            [(0, 4, 4), (128, 10, 4), (KEPT + 30, 20, 10), (65_536, 512, 64), (usize::MAX, 512, 64)]
        {
            assert_eq!(share(limit), Room::new(tcp, unix), "{limit}");
        }
        for limit in KEPT + 2 * LEAST..2_000 {
            let room = share(limit);
            assert!(room.tcp + room.unix + KEPT <= limit, "{limit}: {room:?}");
        }
    }
}

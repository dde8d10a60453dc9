//! What Asterisk knows of its trunks: whether their endpoints can be called.
//!
//! Asterisk asks its peers by `OPTIONS` and calls none that does not reply, so its word is asked for
//! every two seconds, all endpoints in one request. What a failing call says of a trunk is not
//! known here but to `routing`, which weighs both.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tracing::{debug, info, warn};

use crate::ari::client::{Client, EndpointState};
use crate::model::id::TrunkId;
use crate::model::trunk::{Reach, Trunk};

/// All endpoints of one technology by name.
pub type Endpoints = BTreeMap<String, EndpointState>;

/// How often Asterisk is asked when nobody wants to know earlier.
const POLL: Duration = Duration::from_secs(2);

/// Asks Asterisk again and again, and at once when told to, until nobody listens.
pub async fn ask(client: Client, at_once: Arc<Notify>, tell: mpsc::Sender<Endpoints>) {
    while !tell.is_closed() {
        let _ = tokio::time::timeout(POLL, at_once.notified()).await;
        match client.endpoints("PJSIP").await {
            Ok(endpoints) => {
                let _ = tell.send(endpoints).await;
            }
            // That there is no connection is told elsewhere.
            Err(error) => debug!(%error, "the state of the trunks could not be read"),
        }
    }
}

/// Looks at a trunk that Asterisk may not have asked yet before it counts as offline: longer than
/// Asterisk takes to ask the peer of one of ours and to give up on it (5 s and 2 s, see `trunks`).
const SETTLING: u32 = 5;

/// Whether calls over a trunk have any chance.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Health {
    /// Its endpoint stands in no configuration of this Asterisk.
    Missing,
    Offline,
    Online,
    /// Made by divert or read by a new Asterisk a moment ago, and seen so many times since: Asterisk
    /// calls such an endpoint offline until its peer has replied once, so the first calls find out.
    Settling(u32),
    /// Asterisk was told not to watch it.
    Unwatched,
}

impl Health {
    fn of(trunk: &Trunk, endpoints: &Endpoints) -> Self {
        match endpoints.get(&trunk.endpoint()) {
            None => Self::Missing,
            Some(EndpointState::Offline) => Self::Offline,
            Some(EndpointState::Online) => Self::Online,
            Some(EndpointState::Unknown) => Self::Unwatched,
        }
    }

    /// As routing wants it: `None` is not known. An endpoint that divert makes itself may be there
    /// before Asterisk is asked again: the first calls find out.
    fn is_up(self, trunk: &Trunk) -> Option<bool> {
        match self {
            Self::Missing if matches!(trunk.reach, Reach::Address(_)) => None,
            Self::Missing | Self::Offline => Some(false),
            Self::Online => Some(true),
            Self::Settling(_) | Self::Unwatched => None,
        }
    }
}

/// The state of each trunk as it was told last.
#[derive(Debug, Default)]
pub struct Trunks(BTreeMap<TrunkId, (String, Health)>);

impl Trunks {
    /// Asterisk began anew, and has to ask its peers first: what it said of these before is void.
    pub fn begin_anew<'a>(&mut self, trunks: impl Iterator<Item = &'a Trunk>) {
        let settling = |trunk: &Trunk| (trunk.id, (trunk.name.clone(), Health::Settling(0)));
        self.0.extend(trunks.map(settling));
    }

    /// Takes note of what Asterisk says and gives it back for every trunk; changes are logged.
    pub fn see<'a>(
        &mut self,
        trunks: impl Iterator<Item = &'a Trunk>,
        endpoints: &Endpoints,
    ) -> Vec<(TrunkId, Option<bool>)> {
        let mut before = std::mem::take(&mut self.0);
        let mut all = Vec::new();
        for trunk in trunks {
            let known = before.remove(&trunk.id);
            let is_ours = matches!(trunk.reach, Reach::Address(_));
            let health = match (Health::of(trunk, endpoints), &known) {
                (Health::Offline, None | Some((_, Health::Missing))) if is_ours => {
                    Health::Settling(1)
                }
                (Health::Offline, Some((_, Health::Settling(looks)))) if *looks < SETTLING => {
                    Health::Settling(looks + 1)
                }
                (health, _) => health,
            };
            if known.as_ref().map(|(_, health)| *health) != Some(health) {
                tell(trunk, health, known.is_none());
            }
            self.0.insert(trunk.id, (trunk.name.clone(), health));
            all.push((trunk.id, health.is_up(trunk)));
        }
        for (name, _) in before.into_values() {
            gauge(&name, false);
        }
        all
    }
}

fn tell(trunk: &Trunk, health: Health, is_new: bool) {
    let (name, endpoint) = (&trunk.name, trunk.endpoint());
    match (health, &trunk.reach) {
        (Health::Missing, Reach::Endpoint(_)) => warn!(
            "trunk {name:?} cannot be used: Asterisk has no PJSIP endpoint {endpoint:?}; type \
             'pjsip show endpoints' there, or correct the trunk"
        ),
        (Health::Missing, Reach::Address(address)) => {
            info!("trunk {name:?} to {address} is not in Asterisk yet");
        }
        (Health::Offline, _) => warn!(
            "trunk {name:?} is offline: its peer does not reply to Asterisk's OPTIONS, or its \
             endpoint {endpoint:?} has no address"
        ),
        (Health::Settling(_), _) => {}
        (Health::Online | Health::Unwatched, _) if is_new => {}
        (Health::Online | Health::Unwatched, _) => info!("trunk {name:?} can be called again"),
    }
    gauge(name, health.is_up(trunk) != Some(false));
}

/// Trunks are made by hand, so there are few.
fn gauge(trunk: &str, is_up: bool) {
    metrics::gauge!("divert_trunk_up", "trunk" => trunk.to_owned()).set(if is_up {
        1.0
    } else {
        0.0
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trunk(id: u128, endpoint: &str) -> Trunk {
        Trunk::new(TrunkId::new(id), endpoint, Reach::Endpoint(endpoint.parse().unwrap()))
    }

    #[test]
    fn every_trunk_is_told_with_what_asterisk_says_of_its_endpoint() {
        let trunks: Vec<Trunk> = ["up", "down", "unwatched", "missing"]
            .into_iter()
            .zip(1..)
            .map(|(e, id)| trunk(id, e))
            .collect();
        let endpoints = |down| -> Endpoints {
            let states = [
                ("up", EndpointState::Online),
                ("down", down),
                ("unwatched", EndpointState::Unknown),
                ("no-trunk", EndpointState::Offline),
            ];
            states.into_iter().map(|(name, state)| (name.to_owned(), state)).collect()
        };
        let mut seen = Trunks::default();
        let told = seen.see(trunks.iter(), &endpoints(EndpointState::Offline));
        let ups: Vec<_> = told.iter().map(|(_, is_up)| *is_up).collect();
        assert_eq!(ups, [Some(true), Some(false), None, Some(false)]);
        let told = seen.see(trunks.iter(), &endpoints(EndpointState::Online));
        assert_eq!(told[1], (TrunkId::new(2), Some(true)));
        let ours =
            Trunk::new(TrunkId::new(9), "ours", Reach::Address("127.0.0.1".parse().unwrap()));
        assert_eq!(seen.see([&ours].into_iter(), &Endpoints::new())[0].1, None, "on its way");
        let offline = Endpoints::from([(ours.endpoint(), EndpointState::Offline)]);
        for look in 1..=SETTLING {
            assert_eq!(seen.see([&ours].into_iter(), &offline)[0].1, None, "look {look}");
        }
        assert_eq!(seen.see([&ours].into_iter(), &offline)[0].1, Some(false), "it does not reply");
        let down = &trunks[1];
        let offline = Endpoints::from([(down.endpoint(), EndpointState::Offline)]);
        seen.begin_anew([down].into_iter());
        for look in 1..=SETTLING {
            assert_eq!(seen.see([down].into_iter(), &offline)[0].1, None, "look {look} since then");
        }
        assert_eq!(seen.see([down].into_iter(), &offline)[0].1, Some(false), "it was asked by now");
        assert_eq!(seen.see(trunks[..1].iter(), &Endpoints::new()).len(), 1);
        assert_eq!(seen.0.len(), 1, "what is no trunk any more is forgotten");
    }
}

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
use crate::model::objects::trunk::{Reach, Trunk};
use crate::model::time::Timestamp;

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

/// How long Asterisk may call a trunk offline that it has not asked yet: longer than it takes to ask
/// the peer of one of ours and to give up on it (5 s and 2 s, see `trunks`).
const SETTLING_MS: i64 = 10_000;

/// How long one of ours may take to be made, from the moment it is wanted.
const MAKING_MS: i64 = 3_000;
/// How often one of ours that is gone is made again.
const MAKE_AGAIN_MS: i64 = 2_000;
/// How often it is looked into why one of ours is offline: perhaps it lost its address.
const DOUBT_MS: i64 = 30_000;

/// Whether calls over a trunk have any chance.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Health {
    /// Its endpoint stands in no configuration of this Asterisk; one of ours was taken away, or
    /// cannot be made.
    Missing,
    Offline,
    Online,
    /// Made by divert or read by a new Asterisk a moment ago: Asterisk calls such an endpoint offline
    /// until its peer has replied once, so the first calls find out.
    Settling,
    /// Asterisk was told not to watch it.
    Unwatched,
}

impl Health {
    fn of(trunk: &Trunk, endpoints: &Endpoints, is_in_making: bool) -> Self {
        match endpoints.get(&trunk.endpoint()) {
            None if is_in_making => Self::Settling,
            None => Self::Missing,
            Some(EndpointState::Offline) => Self::Offline,
            Some(EndpointState::Online) => Self::Online,
            Some(EndpointState::Unknown) => Self::Unwatched,
        }
    }

    /// As routing wants it: `None` is not known.
    fn is_up(self) -> Option<bool> {
        match self {
            Self::Missing | Self::Offline => Some(false),
            Self::Online => Some(true),
            Self::Settling | Self::Unwatched => None,
        }
    }

    fn is_down(self) -> bool {
        self.is_up() == Some(false)
    }
}

fn is_ours(reach: &Reach) -> bool {
    matches!(reach, Reach::Address(_))
}

/// What is known of one trunk. One that leads elsewhere now is another one.
#[derive(Debug)]
struct Known {
    name: String,
    reach: Reach,
    /// As it was told last.
    health: Health,
    /// It was told to be down, and not to be back since.
    was_down: bool,
    /// Until then Asterisk may not have asked its peer.
    settles_until: Timestamp,
    /// Until then one of ours may not have been made.
    made_until: Timestamp,
    /// Since then it is looked into why one of ours is down; `None` while it is not.
    doubted_at: Option<Timestamp>,
}

impl Known {
    fn new(trunk: &Trunk, settles_until: Timestamp, now: Timestamp) -> Self {
        Self {
            name: trunk.name.clone(),
            reach: trunk.reach.clone(),
            health: Health::Settling,
            was_down: false,
            settles_until,
            made_until: now.plus_ms(if is_ours(&trunk.reach) { MAKING_MS } else { 0 }),
            doubted_at: None,
        }
    }
}

/// The state of each trunk as it was told last.
#[derive(Debug, Default)]
pub struct Trunks(BTreeMap<TrunkId, Known>);

impl Trunks {
    /// Asterisk began anew, and has to ask its peers first: what it said of these before is void.
    pub fn begin_anew<'a>(&mut self, trunks: impl Iterator<Item = &'a Trunk>, now: Timestamp) {
        let until = now.plus_ms(SETTLING_MS);
        self.0.extend(trunks.map(|trunk| (trunk.id, Known::new(trunk, until, now))));
    }

    /// For a clock that was set.
    pub fn clock_set(&mut self, by_ms: i64) {
        for known in self.0.values_mut() {
            known.settles_until = known.settles_until.plus_ms(by_ms);
            known.made_until = known.made_until.plus_ms(by_ms);
            known.doubted_at = known.doubted_at.map(|at| at.plus_ms(by_ms));
        }
    }

    /// Takes note of what Asterisk says and gives it back for every trunk; changes are logged.
    pub fn see<'a>(
        &mut self,
        trunks: impl Iterator<Item = &'a Trunk>,
        endpoints: &Endpoints,
        now: Timestamp,
    ) -> Vec<(TrunkId, Option<bool>)> {
        let mut before = std::mem::take(&mut self.0);
        let mut all = Vec::new();
        for trunk in trunks {
            let is_ours = is_ours(&trunk.reach);
            let until = if is_ours { now.plus_ms(SETTLING_MS) } else { now };
            let known = before.remove(&trunk.id).filter(|known| known.reach == trunk.reach);
            let mut known = known.unwrap_or_else(|| Known::new(trunk, until, now));
            let health = match Health::of(trunk, endpoints, now < known.made_until) {
                Health::Offline if now < known.settles_until => Health::Settling,
                // Its peer will have to be asked first.
                health @ (Health::Missing | Health::Settling) => {
                    known.settles_until = until;
                    health
                }
                health => health,
            };
            if known.health != health {
                tell(trunk, health, known.was_down);
                known.was_down = health.is_down() || (known.was_down && health == Health::Settling);
            }
            known.health = health;
            known.name.clone_from(&trunk.name);
            gauge(&known.name, health);
            self.0.insert(trunk.id, known);
            all.push((trunk.id, health.is_up()));
        }
        for known in before.into_values() {
            gauge(&known.name, Health::Missing);
        }
        all
    }

    /// Trunks of ours that are to be looked into, and made again where something of them is gone.
    pub fn doubted(&mut self, now: Timestamp) -> Vec<TrunkId> {
        let is_older = |at: Option<Timestamp>, ms| at.is_none_or(|at| now.since_ms(at) >= ms);
        let mut doubted = Vec::new();
        for (trunk, known) in self.0.iter_mut().filter(|(_, known)| is_ours(&known.reach)) {
            let is_due = match known.health {
                Health::Missing => is_older(known.doubted_at, MAKE_AGAIN_MS),
                Health::Offline => is_older(known.doubted_at, DOUBT_MS),
                Health::Online | Health::Settling | Health::Unwatched => {
                    known.doubted_at = None;
                    false
                }
            };
            if is_due {
                known.doubted_at = Some(now);
                doubted.push(*trunk);
            }
        }
        doubted
    }

    /// The names of those of ours that Asterisk does not have.
    pub fn missing(&self) -> Vec<&str> {
        let is_missing = |known: &&Known| known.health == Health::Missing && is_ours(&known.reach);
        self.0.values().filter(is_missing).map(|known| known.name.as_str()).collect()
    }
}

fn tell(trunk: &Trunk, health: Health, was_down: bool) {
    let (name, endpoint) = (&trunk.name, trunk.endpoint());
    match health {
        Health::Missing if is_ours(&trunk.reach) => warn!(
            "trunk {name:?} cannot be used: its endpoint {endpoint:?} is gone from Asterisk, and is made \
             again; should it not come back, type 'divert doctor'"
        ),
        Health::Missing => warn!(
            "trunk {name:?} cannot be used: Asterisk has no PJSIP endpoint {endpoint:?}; type \
             'pjsip show endpoints' there, or correct the trunk"
        ),
        Health::Offline => warn!(
            "trunk {name:?} is offline: its peer does not reply to Asterisk's OPTIONS, or its \
             endpoint {endpoint:?} has no address"
        ),
        Health::Online | Health::Unwatched if was_down => {
            info!("trunk {name:?} can be called again");
        }
        Health::Online | Health::Settling | Health::Unwatched => {}
    }
}

/// 1 where a call has a chance, 0 where it has none, and no number where that is not known yet. Trunks
/// are made by hand, so there are few.
fn gauge(trunk: &str, health: Health) {
    let up = match health {
        Health::Missing | Health::Offline => 0.0,
        Health::Online | Health::Unwatched => 1.0,
        Health::Settling => f64::NAN,
    };
    metrics::gauge!("divert_trunk_up", "trunk" => trunk.to_owned()).set(up);
}

#[cfg(test)]
mod tests {
    use metrics_exporter_prometheus::PrometheusBuilder;

    use super::*;

    fn theirs(id: u128, endpoint: &str) -> Trunk {
        Trunk::new(TrunkId::new(id), endpoint, Reach::Endpoint(endpoint.parse().unwrap()))
    }

    #[test]
    fn every_trunk_is_told_with_what_asterisk_says_of_its_endpoint() {
        let trunks: Vec<Trunk> = ["up", "down", "unwatched", "missing"]
            .into_iter()
            .zip(1..)
            .map(|(e, id)| theirs(id, e))
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
        let now = Timestamp(0);
        let told = seen.see(trunks.iter(), &endpoints(EndpointState::Offline), now);
        let ups: Vec<_> = told.iter().map(|(_, is_up)| *is_up).collect();
        assert_eq!(ups, [Some(true), Some(false), None, Some(false)]);
        let told = seen.see(trunks.iter(), &endpoints(EndpointState::Online), now);
        assert_eq!(told[1], (TrunkId::new(2), Some(true)));
        assert_eq!(seen.see(trunks[..1].iter(), &Endpoints::new(), now).len(), 1);
        assert_eq!(seen.0.len(), 1, "what is no trunk any more is forgotten");
    }

    fn ours(address: &str) -> Trunk {
        Trunk::new(TrunkId::new(9), "ours", Reach::Address(address.parse().unwrap()))
    }

    /// What is told of a trunk that Asterisk says this of, or nothing, so many milliseconds on.
    fn look(
        seen: &mut Trunks,
        trunk: &Trunk,
        says: Option<EndpointState>,
        ms: i64,
    ) -> Option<bool> {
        let endpoints = says.map(|state| (trunk.endpoint(), state)).into_iter().collect();
        seen.see([trunk].into_iter(), &endpoints, Timestamp(ms))[0].1
    }

    #[test]
    fn one_that_asterisk_has_not_asked_yet_is_offline_only_after_a_time() {
        use EndpointState::{Offline, Online};
        let (mut seen, trunk) = (Trunks::default(), ours("127.0.0.1"));
        assert_eq!(look(&mut seen, &trunk, None, 0), None, "on its way");
        // However often one looks: each change of the configuration does.
        for ms in [5_000, 5_001, 5_002, 5_003, 5_004, 5_005, 9_999] {
            assert_eq!(look(&mut seen, &trunk, Some(Offline), ms), None, "after {ms} ms");
        }
        assert_eq!(look(&mut seen, &trunk, Some(Offline), 10_000), Some(false), "it was asked");
        assert_eq!(look(&mut seen, &trunk, Some(Online), 11_000), Some(true));
        assert_eq!(look(&mut seen, &trunk, Some(Offline), 12_000), Some(false));

        let down = theirs(2, "down");
        seen.begin_anew([&down].into_iter(), Timestamp(20_000));
        assert_eq!(look(&mut seen, &down, Some(Offline), 29_999), None);
        assert_eq!(look(&mut seen, &down, Some(Offline), 30_000), Some(false));
    }

    #[test]
    fn one_of_ours_that_is_gone_is_down_and_looked_into_until_it_is_back() {
        use EndpointState::{Offline, Online};
        let (mut seen, trunk) = (Trunks::default(), ours("127.0.0.1"));
        let mut at = |says, ms| {
            let is_up = look(&mut seen, &trunk, says, ms);
            let missing = seen.missing().len();
            (is_up, missing, seen.doubted(Timestamp(ms)).len())
        };
        assert_eq!(at(None, 0), (None, 0, 0), "it is being made");
        assert_eq!(at(None, 2_999), (None, 0, 0));
        assert_eq!(at(None, 3_000), (Some(false), 1, 1), "it cannot be made");
        assert_eq!(at(Some(Online), 4_000), (Some(true), 0, 0));
        assert_eq!(at(None, 60_000), (Some(false), 1, 1), "it was taken away");
        assert_eq!(at(None, 62_000), (Some(false), 1, 1), "again and again");
        assert_eq!(at(Some(Offline), 62_100), (None, 0, 0), "back, and not asked yet");
        assert_eq!(at(Some(Offline), 71_999), (None, 0, 0));
        assert_eq!(at(Some(Offline), 72_000), (Some(false), 0, 1), "perhaps its address is gone");
        assert_eq!(at(Some(Offline), 101_999), (Some(false), 0, 0));
        assert_eq!(at(Some(Offline), 102_000), (Some(false), 0, 1));

        let theirs = theirs(1, "theirs");
        assert_eq!(look(&mut seen, &theirs, None, 110_000), Some(false));
        assert_eq!((seen.missing().len(), seen.doubted(Timestamp(110_000)).len()), (0, 0));
    }

    #[test]
    fn one_that_leads_elsewhere_is_another_one() {
        use EndpointState::{Offline, Online};
        let (mut seen, before, after) = (Trunks::default(), ours("127.0.0.1"), ours("127.0.0.2"));
        assert_eq!(look(&mut seen, &before, Some(Online), 0), Some(true));
        // The first look may come before the endpoint is made anew.
        assert_eq!(look(&mut seen, &after, Some(Online), 60_000), Some(true));
        assert_eq!(look(&mut seen, &after, Some(Offline), 60_100), None, "not asked yet");
        assert_eq!(look(&mut seen, &after, Some(Offline), 70_000), Some(false));
    }

    #[test]
    fn only_one_that_was_down_is_told_to_be_back() {
        use EndpointState::{Offline, Online};
        let (mut seen, trunk) = (Trunks::default(), ours("127.0.0.1"));
        let mut was_down = |says, ms| {
            look(&mut seen, &trunk, says, ms);
            seen.0[&trunk.id].was_down
        };
        let looks = [(None, 0), (Some(Offline), 1), (Some(Online), 2), (Some(Offline), 20_000)];
        assert_eq!(looks.map(|(says, ms)| was_down(says, ms)), [false, false, false, true]);
        assert!(!was_down(Some(Online), 20_001), "it was told");
    }

    #[test]
    fn the_gauge_says_what_is_known() {
        use EndpointState::{Offline, Online};
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        metrics::with_local_recorder(&recorder, || {
            let (mut seen, trunk) = (Trunks::default(), ours("127.0.0.1"));
            let looks = [
                (None, 0, "NaN"),
                (Some(Offline), 1, "NaN"),
                (Some(Online), 2, "1"),
                (Some(Offline), 20_000, "0"),
            ];
            for (says, ms, wanted) in looks {
                look(&mut seen, &trunk, says, ms);
                let wanted = format!("divert_trunk_up{{trunk=\"ours\"}} {wanted}");
                assert!(handle.render().contains(&wanted), "{says:?}");
            }
        });
    }
}

//! Everything of ours that lives in Asterisk right now, read after each connect: events that fell
//! into the gap do not come again.
//!
//! Ownership is read from what Asterisk holds (application, arguments, bridge names), never from
//! divert's own memory. What is to be done about a difference is the node's decision.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::AriError;
use super::client::{Client, Info};
use super::identity::{Identity, Privacy};
use super::mark::{self, CallerMark, End, LegMark};
use super::role::{LegFacts, Role};
use super::wire::{Bridge, Channel};
use crate::engine::ChannelState;
use crate::model::id::{BridgeId, ChannelId};
use crate::model::time::Timestamp;

/// The name of a bridge of ours, by which it is known again. It names the application, so that
/// two nodes on one Asterisk never tidy up after each other.
#[must_use]
pub fn bridge_name(app: &str, bridge: &BridgeId) -> String {
    format!("{}{bridge}", bridge_prefix(app))
}

fn bridge_prefix(app: &str) -> String {
    format!("divert/{app}/")
}

/// The state of our application in one Asterisk.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Snapshot {
    /// `22.10.1`.
    pub version: String,
    /// As Asterisk writes it; another text than before means that Asterisk was restarted.
    pub startup_time: String,
    /// The channels that stand in our application.
    pub channels: BTreeMap<ChannelId, ChannelSnapshot>,
    /// divert's bridges, with the channels in them.
    pub bridges: BTreeMap<BridgeId, Vec<ChannelId>>,
    /// How those ended that were asked for, are gone, and have left a mark.
    pub ends: BTreeMap<ChannelId, Ended>,
    /// The ends of callers that a process before may not have lived to write down, and the ends of
    /// legs that may be theirs: after it died, and only then.
    pub lost: Lost,
}

/// Marks whose calls may be unknown.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Lost {
    pub callers: Vec<CallerMark>,
    pub legs: Vec<LegMark>,
}

/// A channel that ended while nobody listened.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ended {
    pub end: End,
    /// Of a leg.
    pub answered_at: Option<Timestamp>,
}

/// A channel that should be in Asterisk.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Known {
    pub channel: ChannelId,
    /// The caller of its call, or itself.
    pub caller: ChannelId,
    /// Its answer is known.
    pub is_up: bool,
}

#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ChannelSnapshot {
    /// Asterisk's name of it, for people: `PJSIP/carrier-00000001`.
    pub name: String,
    pub state: ChannelState,
    pub role: Role,
    pub caller: Identity,
    /// When Asterisk made it.
    pub since: Option<Timestamp>,
    /// Of a leg that is up, where nobody here knows it: when Asterisk says that it was answered.
    pub answered_at: Option<Timestamp>,
    /// Of a leg.
    pub facts: Option<LegFacts>,
}

impl Snapshot {
    /// Picks what belongs to `app` out of everything Asterisk has.
    #[must_use]
    pub fn of(info: Info, app: &str, channels: &[Channel], bridges: &[Bridge]) -> Self {
        let channel = |channel: &Channel| {
            let role = role(channel, app)?;
            let state = channel.state.engine();
            let is_withheld = matches!(role, Role::Caller { is_withheld: true, .. });
            // Marking it once more changes nothing.
            let privacy = if is_withheld { Privacy::Unmarked } else { Privacy::No };
            let caller = channel.identity(privacy);
            let name = channel.name.clone();
            let since = channel.creationtime.0;
            let facts = match role {
                Role::Leg(_) => LegFacts::parse(&channel.dialplan.app_data[app.len() + 1..]),
                _ => None,
            };
            let found =
                ChannelSnapshot { name, state, role, caller, since, answered_at: None, facts };
            Some((channel.channel_id(), found))
        };
        let bridge = |bridge: &Bridge| {
            let channels = bridge.channels.iter().cloned().map(ChannelId).collect();
            (bridge.bridge_id(), channels)
        };
        let prefix = bridge_prefix(app);
        Self {
            version: info.version,
            startup_time: info.startup_time,
            channels: channels.iter().filter_map(channel).collect(),
            bridges: bridges
                .iter()
                .filter(|bridge| bridge.name.starts_with(&prefix))
                .map(bridge)
                .collect(),
            ends: BTreeMap::new(),
            lost: Lost::default(),
        }
    }
}

/// The role of a channel that stands in `app`. A leg on its way in or out is in no application for
/// a moment and does not count.
fn role(channel: &Channel, app: &str) -> Option<Role> {
    let dialplan = &channel.dialplan;
    if dialplan.app_name != "Stasis" {
        return None;
    }
    Role::of_app_data(&dialplan.app_data, app)
}

/// Reads the snapshot, all three parts at once, and then how those of `known` ended that are not
/// in it. `died_at` is when the process before died, if it did: then the marks tell of calls that
/// nobody knows.
///
/// # Errors
/// When any part cannot be read: half a snapshot would look like hung-up calls.
pub async fn snapshot(
    client: &Client,
    known: &[Known],
    died_at: Option<Timestamp>,
) -> Result<Snapshot, AriError> {
    let (info, channels, bridges) =
        tokio::try_join!(client.info(), client.channels(), client.bridges())?;
    let mut snapshot = Snapshot::of(info, client.app(), &channels, &bridges);
    let is_missing = |known: &Known| !snapshot.channels.contains_key(&known.channel);
    let missing: Vec<Known> = known.iter().filter(|known| is_missing(known)).cloned().collect();
    let ends: Vec<Option<(ChannelId, Ended)>> = stream::iter(missing)
        .map(|known| ended(client.clone(), known))
        .buffer_unordered(AT_ONCE)
        .try_collect()
        .await?;
    snapshot.ends = ends.into_iter().flatten().collect();
    read_answers(client, known, died_at.is_some(), &mut snapshot).await?;
    if let Some(died_at) = died_at {
        snapshot.lost = lost(client, known, &snapshot, died_at).await?;
        let Lost { callers, legs } = &snapshot.lost;
        let callers = callers
            .iter()
            .map(|mark| (mark.channel.clone(), Ended { end: mark.end, answered_at: None }));
        let legs = legs.iter().map(|mark| {
            let ended = Ended { end: mark.end, answered_at: mark.answered_at };
            (mark.channel.clone(), ended)
        });
        snapshot.ends.extend(callers.chain(legs));
    }
    Ok(snapshot)
}

/// When those legs were answered whose answer nobody heard: of `known` ones, and after a death of all
/// others too.
async fn read_answers(
    client: &Client,
    known: &[Known],
    of_unknown: bool,
    snapshot: &mut Snapshot,
) -> Result<(), AriError> {
    let known: BTreeMap<&ChannelId, bool> =
        known.iter().map(|known| (&known.channel, known.is_up)).collect();
    let is_unheard = |(channel, found): &(&ChannelId, &ChannelSnapshot)| {
        matches!(found.role, Role::Leg(_))
            && found.state == ChannelState::Up
            && known.get(channel).map_or(of_unknown, |is_up| !is_up)
    };
    let legs = snapshot.channels.iter().filter(is_unheard);
    let legs: Vec<ChannelId> = legs.map(|(channel, _)| channel.clone()).collect();
    let answered = |channel: ChannelId| async move {
        let text = match client.answered_at(&channel).await {
            // It can be done without.
            Err(AriError::Refused { .. } | AriError::Decode { .. }) => String::new(),
            text => text?,
        };
        Ok::<_, AriError>((channel, mark::time(&text)))
    };
    let answers: Vec<(ChannelId, Option<Timestamp>)> =
        stream::iter(legs).map(answered).buffer_unordered(AT_ONCE).try_collect().await?;
    for (channel, answered_at) in answers {
        if let Some(found) = snapshot.channels.get_mut(&channel) {
            found.answered_at = answered_at;
        }
    }
    Ok(())
}

/// The marks of callers who came to our application shortly before `died_at`, and of legs that are theirs, or those of
/// callers who are there still.
async fn lost(
    client: &Client,
    known: &[Known],
    snapshot: &Snapshot,
    died_at: Timestamp,
) -> Result<Lost, AriError> {
    let since = died_at.plus_ms(-UNWRITTEN_MS);
    let callers: Vec<String> = read(client, (0..mark::SLOTS).map(mark::of_caller)).await?;
    let callers = callers.iter().filter_map(|text| CallerMark::parse(text));
    let is_ours = |mark: &CallerMark| mark.app == client.app() && mark.since >= since;
    let callers: Vec<CallerMark> = callers.filter(is_ours).collect();
    let here = snapshot.channels.iter();
    let here = here.filter(|(_, found)| matches!(found.role, Role::Caller { .. }));
    let theirs = callers.iter().map(|mark| &mark.channel);
    let theirs = theirs.chain(known.iter().map(|known| &known.caller));
    let theirs = theirs.chain(here.map(|(channel, _)| channel));
    let slots: BTreeSet<u64> = theirs.map(mark::slot).collect();
    let legs: Vec<String> = read(client, slots.into_iter().map(mark::of_leg)).await?;
    let legs = legs.iter().filter_map(|text| LegMark::parse(text)).collect();
    Ok(Lost { callers, legs })
}

async fn read(
    client: &Client,
    names: impl Iterator<Item = String>,
) -> Result<Vec<String>, AriError> {
    let names: Vec<String> = names.collect();
    let value = |name: String| {
        let client = client.clone();
        async move { client.global(&name).await }
    };
    stream::iter(names).map(value).buffer_unordered(AT_ONCE).try_collect().await
}

/// How long before its death a process may have got calls that it did not write down.
const UNWRITTEN_MS: i64 = 60_000;

/// The mark that a channel has left; `None` when there is none, or another's.
async fn ended(client: Client, known: Known) -> Result<Option<(ChannelId, Ended)>, AriError> {
    let Known { channel, caller, .. } = known;
    let slot = mark::slot(&caller);
    let found = if channel == caller {
        let mark = CallerMark::parse(&client.global(&mark::of_caller(slot)).await?);
        mark.map(|mark| (mark.channel, Ended { end: mark.end, answered_at: None }))
    } else {
        let mark = LegMark::parse(&client.global(&mark::of_leg(slot)).await?);
        mark.map(|mark| (mark.channel, Ended { end: mark.end, answered_at: mark.answered_at }))
    };
    Ok(found.filter(|(marked, _)| *marked == channel))
}

/// How many marks are asked for at the same time.
const AT_ONCE: usize = 8;

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;
    use crate::model::id::{CallId, LegId};

    #[test]
    fn only_what_is_ours_is_in_it() {
        let call = CallId::new(3);
        let leg = LegId { call, no: 2 };
        let leg_args = format!("divert-a,{}", Role::Leg(leg));
        let test_args = format!("divert-a,{}", Role::TestCaller(call));
        let channel = |id: &str, state: &str, app_name: &str, app_data: &str| -> Channel {
            from_value(json!({
                "id": id,
                "state": state,
                "caller": {"name": "Ann", "number": "1"},
                "dialplan": {"app_name": app_name, "app_data": app_data},
            }))
            .unwrap()
        };
        let channels = [
            channel("1.1", "Ring", "Stasis", "divert-a,did,+1#2"),
            channel(&leg.channel().0, "Up", "Stasis", &leg_args),
            channel("t-1", "Up", "Stasis", &test_args),
            channel("s-1", "Down", "Stasis", "divert-a,snoop"),
            channel("1.2", "Up", "Stasis", "divert-ab,did,1"),
            channel("1.3", "Up", "Stasis", "divert-a"),
            channel("1.4", "Up", "Dial", "divert-a,did,1"),
            channel("1.5", "Up", "", ""),
        ];
        let bridge = |id: &str, name: &str| -> Bridge {
            from_value(json!({"id": id, "name": name, "channels": ["1.1", "x"]})).unwrap()
        };
        let bridges = [
            bridge("b1", "divert/divert-a/1"),
            bridge("b2", ""),
            bridge("b3", "divert/divert-ab/1"),
        ];
        let snapshot = Snapshot::of(
            Info { startup_time: "then".into(), ..Info::default() },
            "divert-a",
            &channels,
            &bridges,
        );

        let found: Vec<_> = snapshot
            .channels
            .iter()
            .map(|(id, channel)| (id.0.clone(), channel.state, channel.role.clone()))
            .collect();
        let did = "+1#2".parse().unwrap();
        assert_eq!(
            found,
            [
                ("1.1".to_owned(), ChannelState::Ringing, Role::Caller { did, is_withheld: false }),
                ("1.3".to_owned(), ChannelState::Up, Role::Other(String::new())),
                (leg.channel().0, ChannelState::Up, Role::Leg(leg)),
                ("s-1".to_owned(), ChannelState::Down, Role::Other("snoop".into())),
                ("t-1".to_owned(), ChannelState::Up, Role::TestCaller(call)),
            ]
        );
        assert_eq!(
            snapshot.channels[&ChannelId("1.1".into())].caller,
            Identity::of("1", "Ann", Privacy::No)
        );
        let members = vec![ChannelId("1.1".into()), ChannelId("x".into())];
        assert_eq!(snapshot.bridges, BTreeMap::from([(BridgeId("b1".into()), members)]));
        assert_eq!(snapshot.startup_time, "then");
    }
}

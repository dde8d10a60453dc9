//! Calls of a process that died before it had written them down, told from what Asterisk still has:
//! its channels, and the marks of those that have ended.

use std::collections::BTreeSet;
use std::sync::Arc;

use tracing::warn;

use super::test_call::test_call_on;
use super::{Core, Kept};
use crate::ari::mark::{CallerMark, LegMark};
use crate::ari::resync::Snapshot;
use crate::ari::role::Role;
use crate::clock;
use crate::engine::{Arrival, CallEvent, ChannelState, Input, Route};
use crate::model::id::{BridgeId, CallId, ChannelId, DestinationId, LegId, TrunkId};
use crate::model::number::{Caller, Did};
use crate::model::objects::account::DEFAULT_ACCOUNT;
use crate::model::time::Timestamp;
use crate::routing::decide::LiveLeg;
use crate::routing::snapshot::{FlowPlan, Offer};
use crate::store::Record;

/// A leg that nobody wrote down.
struct FoundLeg {
    id: LegId,
    caller: ChannelId,
    destination: Option<DestinationId>,
    trunk: Option<TrunkId>,
    /// As its mark tells.
    endpoint: Option<String>,
    since: Option<Timestamp>,
    /// It is there; otherwise only its mark is left.
    is_alive: bool,
}

/// A caller whose call nobody wrote down.
struct FoundCaller {
    channel: ChannelId,
    did: Did,
    caller: Caller,
    is_up: bool,
    /// It went on in the dialplan.
    has_left: bool,
    since: Option<Timestamp>,
}

impl Core {
    /// Takes up what the process before did not live to write down, except for the calls of these
    /// callers, which are `written`. What became of each channel is told afterwards, like that of
    /// every other.
    pub(super) fn take_found(&mut self, written: &BTreeSet<ChannelId>, asterisk: &Snapshot) {
        let mut callers = callers(asterisk);
        callers.retain(|found| {
            !written.contains(&found.channel)
                && !self.engine.knows_caller(&found.channel)
                && test_call_on(&found.channel).is_none()
        });
        for leg in legs(asterisk) {
            if self.engine.call(leg.id.call).is_none() {
                let Some(at) = callers.iter().position(|found| found.channel == leg.caller) else {
                    continue;
                };
                let caller = callers.swap_remove(at);
                self.take_call(leg.id.call, caller, asterisk);
            }
            if self.engine.may_have_lost(leg.id) {
                self.take_leg(&leg);
            }
        }
        for found in callers {
            // Who is there still is taken like a new caller; who is gone has had no leg.
            if !asterisk.channels.contains_key(&found.channel) {
                self.take_call(CallId::new(clock::mint()), found, asterisk);
            }
        }
    }

    fn take_call(&mut self, call: CallId, found: FoundCaller, asterisk: &Snapshot) {
        let FoundCaller { channel, did, caller, is_up, has_left, since } = found;
        warn!(call.id = %call, channel.id = %channel, "a call was not written down: taken up");
        let owner: Option<Arc<FlowPlan>> = self.snapshot.owner(&did).cloned();
        let caller_key = owner.as_ref().and_then(|plan| self.snapshot.caller_key(plan, &caller));
        let account = owner.as_ref().map_or(DEFAULT_ACCOUNT, |plan| plan.account);
        let at = since.unwrap_or_else(clock::now);
        let alike = owner.is_none().then(|| self.snapshot.alike(&did)).flatten();
        let session = owner.as_ref().map_or(call, |plan| {
            let gap_sec = plan.flow.redial_gap_sec;
            self.sessions.join(plan.flow.id, &did, caller_key.as_ref(), false, call, at, gap_sec)
        });
        let mut bridges = asterisk.bridges.iter();
        let bridge = bridges.find(|(_, members)| members.contains(&channel));
        let bridge = if let Some((bridge, _)) = bridge {
            // From here on it is known to exist.
            self.bridges.must_make(bridge);
            bridge.clone()
        } else {
            BridgeId(format!("b-{}", CallId::new(clock::mint()).digits()))
        };
        self.kept.insert(call, Kept { account, next_line: 0, last_at: Timestamp(0) });
        let route = owner.filter(|_| !has_left).map(|plan| Route::of(&plan));
        let arrival = Arrival {
            call,
            account,
            channel,
            did,
            alike,
            caller,
            caller_key,
            session,
            repeat: None,
            counts_as_visit: false,
            is_test: false,
            is_up,
            is_found: !has_left,
            bridge,
            route,
        };
        self.feed_at(since, Input::Arrived(Box::new(arrival)));
        self.must_adopt = true;
    }

    fn take_leg(&mut self, found: &FoundLeg) {
        let &FoundLeg { id, since, is_alive, .. } = found;
        let Some(offer) = self.offer(found) else {
            warn!(call.id = %id.call, leg = id.no, "a leg over an unknown trunk: not taken up");
            return;
        };
        let (destination, trunk) = (offer.destination, Some(offer.trunk));
        let event = CallEvent::LegFound { leg: id.no, offer };
        self.feed_at(since, Input::Call { call: id.call, event });
        self.must_adopt = true;
        if is_alive {
            let account = self.account(id.call);
            let live =
                LiveLeg { leg: id, account, destination, trunk, is_test: false, is_up: false };
            let holding = self.readopt(&live, None);
            self.writer.push(Record::SlotTaken(holding));
        }
    }

    /// What was offered for the leg: as it would be now, if its destination is still there.
    fn offer(&self, found: &FoundLeg) -> Option<Offer> {
        let trunk = found.trunk?;
        let mut ways = self.snapshot.flows().flat_map(|plan| {
            let lines = plan.lines.iter().flat_map(|line| &line.ways);
            lines.chain(&plan.fallback)
        });
        let way = ways.find(|way| {
            let Offer { destination, trunk: over, endpoint, .. } = &way.offer;
            *destination == found.destination
                && *over == trunk
                && (destination.is_some()
                    || found.endpoint.as_ref().is_none_or(|dialled| dialled == endpoint))
        });
        way.map(|way| way.offer.clone())
    }
}

/// Every caller there is a trace of.
fn callers(asterisk: &Snapshot) -> Vec<FoundCaller> {
    let here = asterisk.channels.iter().filter_map(|(channel, found)| {
        let Role::Caller { did, .. } = &found.role else {
            return None;
        };
        Some(FoundCaller {
            channel: channel.clone(),
            did: did.clone(),
            caller: found.caller.caller.clone(),
            is_up: found.state == ChannelState::Up,
            has_left: false,
            since: found.since,
        })
    });
    let gone = asterisk.lost.callers.iter().map(|mark: &CallerMark| FoundCaller {
        channel: mark.channel.clone(),
        did: mark.did.clone(),
        caller: mark.caller.caller.clone(),
        is_up: false,
        has_left: mark.has_left,
        since: Some(mark.since),
    });
    here.chain(gone).collect()
}

/// Every leg there is a trace of, the first of each call first.
fn legs(asterisk: &Snapshot) -> Vec<FoundLeg> {
    let here = asterisk.channels.values().filter_map(|found| {
        let (Role::Leg(id), Some(facts)) = (&found.role, &found.facts) else {
            return None;
        };
        Some(FoundLeg {
            id: *id,
            caller: ChannelId(facts.caller.clone()),
            destination: facts.destination,
            trunk: facts.trunk,
            endpoint: None,
            since: found.since,
            is_alive: true,
        })
    });
    let gone = asterisk.lost.legs.iter().filter_map(|mark: &LegMark| {
        Some(FoundLeg {
            id: LegId::of_channel(&mark.channel)?,
            caller: mark.caller.clone(),
            destination: mark.destination,
            trunk: mark.trunk,
            endpoint: Some(mark.endpoint.clone()),
            since: mark.started_at,
            is_alive: false,
        })
    });
    let mut legs: Vec<FoundLeg> = here.chain(gone).collect();
    legs.sort_by_key(|leg| leg.id);
    legs
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use tokio::sync::mpsc;
    use wiremock::matchers::any;
    use wiremock::{Mock, MockServer, ResponseTemplate};

    use super::*;
    use crate::ari::identity::Identity;
    use crate::ari::resync::{ChannelSnapshot, Ended, Lost};
    use crate::ari::role::LegFacts;
    use crate::model::cause::{CallResult, EndedBy, Outcome};
    use crate::node::core::Resync;
    use crate::node::lanes::Lanes;
    use crate::node::ledger::Ledger;
    use crate::node::restore::tests::prepaid;
    use crate::node::tests::client_of;
    use crate::node::writer::Writer;
    use crate::routing::snapshot::Snapshot as Configuration;
    use crate::store::{CallDetail, CallFilter, CdrFilter, Db};

    const TALKED: CallId = CallId::new(0x0193_5000_0000_7000_8000_0000_0000_0001);

    fn caller(channel: &str, end: &str, how: &str) -> CallerMark {
        let text = format!("{channel}|{end}|16|{how}|1795744974.000|allowed|100|%2B1|Ann|divert-a");
        CallerMark::parse(&text).unwrap()
    }

    fn leg() -> LegMark {
        let channel = LegId { call: TALKED, no: 1 }.channel();
        let (destination, trunk) = (DestinationId::new(1), TrunkId::new(1));
        let text = format!(
            "{channel}|1795744980.500|Up|16|200|1795744974.1|1795744974.100000|1795744975.500000|\
             {destination}|{trunk}|PJSIP/1001@phones"
        );
        LegMark::parse(&text).unwrap()
    }

    /// Asterisk after all of these have ended.
    fn asterisk() -> Snapshot {
        let callers = vec![
            caller("1795744974.1", "1795744980.400|Up", "gone"),
            caller("1795744974.2", "1795744976.000|Ring", "gone"),
            caller("1795744974.3", "1795744976.000|Ring", "left"),
            caller("1795744974.4", "1795744976.000|Up", "gone"),
        ];
        let legs = vec![leg()];
        let mut ends = BTreeMap::new();
        for mark in &callers {
            ends.insert(mark.channel.clone(), Ended { end: mark.end, answered_at: None });
        }
        for mark in &legs {
            let ended = Ended { end: mark.end, answered_at: mark.answered_at };
            ends.insert(mark.channel.clone(), ended);
        }
        Snapshot {
            version: "22".into(),
            startup_time: "then".into(),
            channels: BTreeMap::new(),
            bridges: BTreeMap::new(),
            ends,
            lost: Lost { callers, legs },
        }
    }

    async fn core_on(db: &Db) -> (Core, tokio::task::JoinHandle<()>) {
        core_asking(db, &MockServer::start().await)
    }

    fn core_asking(db: &Db, server: &MockServer) -> (Core, tokio::task::JoinHandle<()>) {
        let configuration = Configuration::build(&[(DEFAULT_ACCOUNT, prepaid())], Some("master"));
        let lanes = Lanes::new(client_of(server), mpsc::channel(64).0);
        let (writer, writing) = Writer::start(db.clone(), "a".into(), None);
        let ledger = Ledger::memory(writer.clone());
        (Core::new(Arc::new(configuration), lanes, writer, ledger), writing)
    }

    /// Asterisk with a caller who waits for a leg that rings, in this bridge of ours.
    fn ringing(bridge: Option<&BridgeId>) -> Snapshot {
        let caller = ChannelId("1795744974.5".into());
        let leg = LegId { call: TALKED, no: 1 };
        let facts = LegFacts {
            caller: caller.0.clone(),
            destination: Some(DestinationId::new(1)),
            trunk: Some(TrunkId::new(1)),
        };
        let channel = |role, facts| ChannelSnapshot {
            name: String::new(),
            state: ChannelState::Ringing,
            role,
            caller: Identity::default(),
            since: None,
            answered_at: None,
            facts,
        };
        let did = Role::Caller { did: "100".parse().unwrap(), is_withheld: false };
        let channels = [
            (caller.clone(), channel(did, None)),
            (leg.channel(), channel(Role::Leg(leg), Some(facts))),
        ];
        let bridges = bridge.map(|bridge| (bridge.clone(), vec![caller]));
        let (ends, lost) = (BTreeMap::new(), Lost::default());
        let (channels, bridges) = (channels.into(), bridges.into_iter().collect());
        Snapshot { channels, bridges, ends, lost, ..asterisk() }
    }

    #[tokio::test]
    async fn a_call_that_is_found_makes_a_bridge_only_if_it_has_none() {
        let found = BridgeId("b-1".into());
        for bridge in [None, Some(&found)] {
            let folder = tempfile::TempDir::new().unwrap();
            let url = format!("sqlite:{}", folder.path().join("divert.sqlite").display());
            let db = Db::open(&url).await.unwrap();
            let (mut core, _writing) = core_on(&db).await;
            core.resynced(Resync::Connected, &ringing(bridge));
            let talks_in = core.engine.call(TALKED).unwrap().bridge.clone();
            assert_eq!(bridge.is_some(), talks_in == found);
            assert_eq!(core.bridges.must_make(&talks_in), bridge.is_none());
        }
    }

    /// Asterisk takes a channel out of its bridge before it puts it there again.
    #[tokio::test]
    async fn who_talk_in_their_bridge_are_not_put_there_again() {
        for are_bridged in [true, false] {
            let folder = tempfile::TempDir::new().unwrap();
            let url = format!("sqlite:{}", folder.path().join("divert.sqlite").display());
            let db = Db::open(&url).await.unwrap();
            let server = MockServer::start().await;
            Mock::given(any()).respond_with(ResponseTemplate::new(204)).mount(&server).await;
            let (mut core, _writing) = core_asking(&db, &server);
            let bridge = BridgeId("b-1".into());
            let mut talking = ringing(Some(&bridge));
            for channel in talking.channels.values_mut() {
                channel.state = ChannelState::Up;
            }
            if are_bridged {
                talking.bridges.insert(bridge, talking.channels.keys().cloned().collect());
            }
            core.resynced(Resync::Connected, &talking);
            // Commands of one call go out in their order: what comes before this has come by then.
            core.feed(Input::Call { call: TALKED, event: CallEvent::EndRequested });
            let asked = loop {
                let requests = server.received_requests().await.unwrap();
                if requests.iter().any(|request| request.method.as_str() == "DELETE") {
                    break requests;
                }
                tokio::task::yield_now().await;
            };
            let is_put = asked.iter().any(|request| request.url.path().ends_with("/addChannel"));
            assert_eq!(is_put, !are_bridged, "{are_bridged}");
        }
    }

    #[tokio::test]
    async fn calls_that_nobody_wrote_down_get_their_rows_and_bills_from_their_marks() {
        let folder = tempfile::TempDir::new().unwrap();
        let url = format!("sqlite:{}", folder.path().join("divert.sqlite").display());
        let db = Db::open(&url).await.unwrap();
        let (mut core, writing) = core_on(&db).await;
        core.written = Some([ChannelId("1795744974.4".into())].into());
        core.resynced(Resync::Connected, &asterisk());
        // Nothing is done twice by another reading.
        core.resynced(Resync::Connected, &asterisk());
        assert_eq!(core.engine.calls().count(), 0);
        drop(core);
        writing.await.unwrap();

        let rows = db.calls(DEFAULT_ACCOUNT, &CallFilter::default(), None, 10).await.unwrap();
        assert_eq!(rows.len(), 3, "the fourth was written before: {rows:?}");
        let on = |channel: &str| rows.iter().find(|row| row.channel.0 == channel).unwrap();
        let told = |channel: &str| (on(channel).result, on(channel).ended_by);
        let by_caller = Some(EndedBy::Caller);
        assert_eq!(told("1795744974.1"), (Some(CallResult::Answered), by_caller));
        assert_eq!(told("1795744974.2"), (Some(CallResult::Abandoned), by_caller));
        assert_eq!(told("1795744974.3"), (Some(CallResult::Unrouted), Some(EndedBy::Divert)));
        assert_eq!(on("1795744974.2").ended_at, Some(Timestamp(1_795_744_976_000)));
        assert_eq!(on("1795744974.1").talk_ms, 4_900);
        assert_eq!(on("1795744974.1").id, TALKED);

        let CallDetail { legs, .. } = db.call(DEFAULT_ACCOUNT, TALKED).await.unwrap().unwrap();
        assert_eq!(legs.len(), 1);
        assert_eq!(legs[0].outcome, Some(Outcome::Answered));
        let bills = db.cdrs(DEFAULT_ACCOUNT, &CdrFilter::default(), None, 10).await.unwrap();
        assert_eq!(bills.len(), 1);
        assert_eq!((bills[0].call, bills[0].leg), (TALKED, 1));
        // Nothing beyond the conversation, though the leg lived a moment longer.
        assert_eq!(bills[0].ended_at.since_ms(bills[0].answered_at), 4_900);
        assert_eq!(bills[0].charge.billed_sec, 5);
    }
}

//! Redials: which calls of one caller the call log shows as one row.
//!
//! Presentation only: nothing is routed, counted or billed by it. A call joins the session of the
//! one before it when it begins, and stays there for good, so that a later change of the gap
//! regroups nothing. A session is named after its first call.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::call::CallRecord;
use crate::model::id::{CallId, ForwardingFlowId};
use crate::model::number::{CallerKey, Did};
use crate::model::time::Timestamp;

/// From the beginning of its first call, no call joins a session later than this.
pub const SPAN_MS: i64 = 15 * 60_000;
/// Who has talked so long has not called in vain: the next call is another matter.
const CONVERSATION_MS: i64 = 10_000;
/// Most callers remembered; the oldest session goes first. A forgotten one is only not collapsed.
const MOST: usize = 1 << 20;

/// The sessions that the next call may join. Forgets each when no call can join it any more.
#[derive(Clone, Debug, Default)]
pub struct Sessions {
    callers: BTreeMap<Who, Standing>,
    /// Calls that have not ended.
    live: BTreeMap<CallId, Who>,
    /// When a session without a live call is over for good.
    due: BTreeSet<(Timestamp, Who)>,
}

/// Calls that differ in any of these are never one row.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Who {
    flow: ForwardingFlowId,
    did: Did,
    caller: CallerKey,
    is_test: bool,
}

/// The call that came last, and how many are still live.
#[derive(Clone, Copy, Debug)]
struct Standing {
    session: CallId,
    /// When the session's first call began.
    since: Timestamp,
    last: CallId,
    /// When the last call ended; `None` while it lives, and after a conversation.
    redial_from: Option<Timestamp>,
    live: usize,
}

impl Sessions {
    /// The session of a call that begins at `at`: that of the call before it if this is a redial,
    /// else its own. `gap_sec` is how long after the end of the one before it may come; 0 is never.
    #[expect(clippy::too_many_arguments, reason = "the facts of one arrival, each asked for once")]
    pub fn join(
        &mut self,
        flow: ForwardingFlowId,
        did: &Did,
        key: Option<&CallerKey>,
        is_test: bool,
        call: CallId,
        at: Timestamp,
        gap_sec: u32,
    ) -> CallId {
        self.forget(at);
        let Some(caller) = key else {
            return call;
        };
        let who = Who { flow, did: did.clone(), caller: caller.clone(), is_test };
        let before = self.callers.get(&who).copied();
        let (session, since) = before
            .filter(|before| before.may_be_followed(at, gap_sec))
            .map_or((call, at), |before| (before.session, before.since));
        self.begin(who, call, session, since);
        session
    }

    /// The call is over. Any later word about it changes nothing.
    pub fn ended(&mut self, call: CallId, at: Timestamp, talk_ms: i64) {
        if let Some(who) = self.live.remove(&call)
            && let Some(standing) = self.callers.get_mut(&who)
        {
            standing.live -= 1;
            if standing.last == call && talk_ms < CONVERSATION_MS {
                standing.redial_from = Some(at);
            }
            if standing.live == 0 {
                self.due.insert((standing.over(), who));
            }
        }
        self.forget(at);
    }

    /// What an earlier process knew: its calls of the last [`SPAN_MS`] and those that still live,
    /// in any order.
    #[must_use]
    pub fn restored(mut calls: Vec<CallRecord>) -> Self {
        calls.sort_by_key(|call| (call.started_at, call.id));
        let began: BTreeMap<CallId, Timestamp> =
            calls.iter().map(|call| (call.id, call.started_at)).collect();
        let mut sessions = Self::default();
        for call in calls {
            let (Some(caller), Some((flow, _))) = (call.caller_key, call.flow) else {
                continue;
            };
            let who = Who { flow, did: call.did, caller, is_test: call.is_test };
            // A first call that is not among them began too long ago for anybody to join it.
            let since = began.get(&call.session).copied().unwrap_or(Timestamp(i64::MIN));
            sessions.begin(who, call.id, call.session, since);
            if let Some(ended_at) = call.ended_at {
                sessions.ended(call.id, ended_at, call.talk_ms);
            }
        }
        sessions
    }

    /// How many callers are remembered.
    #[must_use]
    pub fn remembered(&self) -> usize {
        self.callers.len()
    }

    fn begin(&mut self, who: Who, call: CallId, session: CallId, since: Timestamp) {
        let mut live = 1;
        if let Some(before) = self.callers.get(&who) {
            self.due.remove(&(before.over(), who.clone()));
            live += before.live;
        }
        let standing = Standing { session, since, last: call, redial_from: None, live };
        self.live.insert(call, who.clone());
        self.callers.insert(who, standing);
    }

    fn forget(&mut self, now: Timestamp) {
        while let Some((over, who)) = self.due.first().cloned() {
            if over >= now && self.due.len() <= MOST {
                return;
            }
            self.callers.remove(&who);
            self.due.remove(&(over, who));
        }
    }
}

impl Standing {
    fn may_be_followed(&self, at: Timestamp, gap_sec: u32) -> bool {
        let is_near = |end: Timestamp| at >= end && at.since_ms(end) <= i64::from(gap_sec) * 1_000;
        gap_sec > 0
            && self.live == 0
            && self.redial_from.is_some_and(is_near)
            && at <= self.since.plus_ms(SPAN_MS)
    }

    /// The last moment at which somebody may join.
    fn over(&self) -> Timestamp {
        match self.redial_from {
            Some(_) => self.since.plus_ms(SPAN_MS),
            None => self.since,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::model::call::CallStatus;
    use crate::model::id::{BridgeId, ChannelId};
    use crate::model::number::Caller;
    use crate::model::objects::account::DEFAULT_ACCOUNT;

    const FLOW: ForwardingFlowId = ForwardingFlowId::new(1);
    const SEC: i64 = 1_000;
    const GAP: u32 = 60;

    fn did() -> Did {
        "800".parse().unwrap()
    }

    fn key() -> CallerKey {
        CallerKey::kept("12025550100")
    }

    /// Sessions in which call 1 began at 0 and ended after 20 s, with so long a talk.
    fn after_one(talk_ms: i64) -> Sessions {
        let mut sessions = Sessions::default();
        assert_eq!(redial(&mut sessions, 1, 0), CallId::new(1));
        sessions.ended(CallId::new(1), Timestamp(20 * SEC), talk_ms);
        sessions
    }

    fn redial(sessions: &mut Sessions, call: u128, at_sec: i64) -> CallId {
        let at = Timestamp(at_sec * SEC);
        sessions.join(FLOW, &did(), Some(&key()), false, CallId::new(call), at, GAP)
    }

    #[test]
    fn a_redial_joins_and_one_after_the_gap_does_not() {
        for (at, joins) in [(20, true), (21, true), (80, true), (81, false), (19, false)] {
            let session = redial(&mut after_one(0), 2, at);
            assert_eq!(session, CallId::new(if joins { 1 } else { 2 }), "after {at} s");
        }
    }

    #[test]
    fn the_gap_counts_from_the_end_of_the_call_before() {
        let mut sessions = after_one(0);
        for call in 2..=6 {
            let begins = 50 * i64::try_from(call).unwrap() - 40;
            assert_eq!(redial(&mut sessions, call, begins), CallId::new(1), "{call}");
            sessions.ended(CallId::new(call), Timestamp((begins + 10) * SEC), 0);
        }
    }

    #[test]
    fn flow_did_caller_and_test_flag_must_be_the_same() {
        let other_did: Did = "801".parse().unwrap();
        let other_key = CallerKey::kept("12025550101");
        let (did, key, call) = (did(), key(), CallId::new(2));
        let at = Timestamp(30 * SEC);
        let other_flow = ForwardingFlowId::new(2);
        for (flow, did, key, is_test, joins) in [
            (FLOW, &did, Some(&key), false, true),
            (other_flow, &did, Some(&key), false, false),
            (FLOW, &other_did, Some(&key), false, false),
            (FLOW, &did, Some(&other_key), false, false),
            (FLOW, &did, Some(&key), true, false),
            (FLOW, &did, None, false, false),
        ] {
            let session = after_one(0).join(flow, did, key, is_test, call, at, GAP);
            assert_eq!(session == CallId::new(1), joins, "{flow} {did} {key:?} {is_test}");
        }
    }

    #[test]
    fn withheld_callers_are_never_one() {
        let mut sessions = Sessions::default();
        for call in [CallId::new(1), CallId::new(2)] {
            assert_eq!(sessions.join(FLOW, &did(), None, false, call, Timestamp(0), GAP), call);
            sessions.ended(call, Timestamp(0), 0);
        }
        assert_eq!(sessions.remembered(), 0);
    }

    #[test]
    fn a_gap_of_0_is_off() {
        let (mut sessions, call) = (after_one(0), CallId::new(2));
        let at = Timestamp(20 * SEC);
        assert_eq!(sessions.join(FLOW, &did(), Some(&key()), false, call, at, 0), call);
    }

    #[test]
    fn a_conversation_ends_a_session_and_a_word_does_not() {
        assert_eq!(redial(&mut after_one(9_999), 2, 30), CallId::new(1));
        assert_eq!(redial(&mut after_one(10_000), 2, 30), CallId::new(2));
        assert_eq!(after_one(10_000).remembered(), 0, "nobody can join it");
    }

    #[test]
    fn a_session_takes_nobody_after_a_quarter_of_an_hour() {
        for (at, joins) in [(900, true), (901, false)] {
            let mut sessions = after_one(0);
            for (call, began) in (2..).zip((60..=860).step_by(50)) {
                assert_eq!(redial(&mut sessions, call, began), CallId::new(1));
                sessions.ended(CallId::new(call), Timestamp((began + 1) * SEC), 0);
            }
            let last = redial(&mut sessions, 99, at);
            assert_eq!(last == CallId::new(1), joins, "after {at} s");
        }
    }

    #[test]
    fn calls_side_by_side_are_never_one_and_end_as_they_like() {
        let mut sessions = Sessions::default();
        assert_eq!(redial(&mut sessions, 1, 0), CallId::new(1));
        assert_eq!(redial(&mut sessions, 2, 5), CallId::new(2));
        sessions.ended(CallId::new(2), Timestamp(10 * SEC), 0);
        assert_eq!(redial(&mut sessions, 3, 12), CallId::new(3), "the first still lives");
        sessions.ended(CallId::new(1), Timestamp(14 * SEC), 0);
        sessions.ended(CallId::new(1), Timestamp(15 * SEC), 0);
        sessions.ended(CallId::new(3), Timestamp(16 * SEC), 0);
        assert_eq!(redial(&mut sessions, 4, 20), CallId::new(3), "the one before it");
    }

    #[test]
    fn what_nobody_can_join_is_forgotten() {
        let mut sessions = Sessions::default();
        for caller in 0..100 {
            let key = CallerKey::kept(&format!("1202555{caller:04}"));
            let (call, at) = (CallId::new(caller), Timestamp(0));
            sessions.join(FLOW, &did(), Some(&key), false, call, at, GAP);
            sessions.ended(call, Timestamp(SEC), 0);
        }
        assert_eq!(sessions.remembered(), 100);
        sessions.ended(CallId::new(0), Timestamp(SPAN_MS + 1), 0);
        assert_eq!(sessions.remembered(), 0);
        assert!(sessions.live.is_empty() && sessions.due.is_empty());
    }

    fn record(call: u128, session: u128, began: i64, ended: Option<i64>, talk: i64) -> CallRecord {
        CallRecord {
            id: CallId::new(call),
            account: DEFAULT_ACCOUNT,
            did: did(),
            caller: Caller::default(),
            caller_key: Some(key()),
            session: CallId::new(session),
            is_repeat: false,
            flow: Some((FLOW, "flow".to_owned())),
            is_test: false,
            status: CallStatus::Ended,
            started_at: Timestamp(began),
            answered_at: None,
            ended_at: ended.map(Timestamp),
            talk_ms: talk,
            result: None,
            ended_by: None,
            cause: None,
            channel: ChannelId(String::new()),
            bridge: BridgeId(String::new()),
        }
    }

    #[test]
    fn a_restart_changes_nothing_for_the_next_call() {
        let second = record(2, 1, 30 * SEC, Some(31 * SEC), 0);
        let first = record(1, 1, 0, Some(20 * SEC), 0);
        let mut sessions = Sessions::restored(vec![second.clone(), first.clone()]);
        assert_eq!(redial(&mut sessions, 3, 40), CallId::new(1));

        let alive = record(2, 1, 30 * SEC, None, 0);
        let mut sessions = Sessions::restored(vec![first, alive]);
        assert_eq!(redial(&mut sessions, 3, 40), CallId::new(3), "side by side");
        let mut sessions = Sessions::restored(vec![second]);
        assert_eq!(redial(&mut sessions, 3, 40), CallId::new(3), "it began too long ago");
    }

    proptest! {
        /// Calls of two callers as they may come, with a gap that somebody changes all the time.
        #[test]
        fn rows_are_short_and_their_calls_never_overlap(
            calls in prop::collection::vec(
                (0..2_u8, 0..90_i64, 0..120_i64, 0..20_i64, 0..200_u32), 1..80),
        ) {
            let mut sessions = Sessions::default();
            let mut now = 0;
            let mut rows: BTreeMap<CallId, Vec<(i64, i64, i64, u32)>> = BTreeMap::new();
            let mut ends: BTreeSet<(i64, CallId, i64)> = BTreeSet::new();
            for (no, (caller, wait, lasts, talk, gap)) in (0..).zip(calls) {
                now += wait * SEC;
                while let Some(&(at, call, talk)) = ends.first().filter(|(at, ..)| *at <= now) {
                    ends.pop_first();
                    sessions.ended(call, Timestamp(at), talk);
                }
                let call = CallId::new(no);
                let key = CallerKey::kept(&format!("1202555000{caller}"));
                let session =
                    sessions.join(FLOW, &did(), Some(&key), false, call, Timestamp(now), gap);
                let talk = talk.min(lasts) * SEC;
                ends.insert((now + lasts * SEC, call, talk));
                // The row of a call is told once and never again: nothing can regroup it.
                rows.entry(session).or_default().push((now, now + lasts * SEC, talk, gap));
            }
            for row in rows.values() {
                prop_assert!(row[row.len() - 1].0 - row[0].0 <= SPAN_MS);
                for pair in row.windows(2) {
                    let ((_, end, talk, _), (begin, _, _, gap)) = (pair[0], pair[1]);
                    prop_assert!(begin >= end, "side by side");
                    prop_assert!(begin - end <= i64::from(gap) * SEC, "the gap of its time");
                    prop_assert!(talk < CONVERSATION_MS, "after a conversation");
                }
            }
        }
    }
}

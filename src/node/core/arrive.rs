//! Callers who come: a call begins, or they go back to the dialplan at once.

use std::sync::Arc;

use tracing::warn;

use super::rows::count;
use super::test_call::test_call_on;
use super::{Core, Kept};
use crate::ari::identity::Identity;
use crate::clock;
use crate::engine::{Arrival, Input, Route};
use crate::model::call::{CallRecord, CallStatus};
use crate::model::cause::{CallResult, EndedBy};
use crate::model::id::{BridgeId, CallId, ChannelId};
use crate::model::number::{Caller, Did};
use crate::model::objects::account::DEFAULT_ACCOUNT;
use crate::model::text::visible;
use crate::model::time::Timestamp;
use crate::model::timeline::{Step, TimelineEntry};
use crate::routing::snapshot::FlowPlan;
use crate::store::Record;

impl Core {
    pub(super) fn arrive(&mut self, channel: ChannelId, did: Did, identity: Identity, is_up: bool) {
        let Identity { caller, corrections } = identity;
        if self.engine.knows_caller(&channel) {
            return;
        }
        let test = test_call_on(&channel);
        let awaited = test.and_then(|call| self.awaited_tests.remove(&call));
        if test.is_some() && awaited.is_none() {
            // Of a process that died, or of somebody who only named it so: no call, and no test.
            warn!(channel.id = %channel, "hanging up a test call that nobody waits for");
            self.lanes.hang_up_orphan(channel);
            return;
        }
        // A test call is the one by which somebody finds out what is wrong.
        if test.is_none() && !self.load.admits(self.lanes.outstanding()) {
            self.shed(channel, did, caller);
            return;
        }
        let call = test.unwrap_or_else(|| CallId::new(clock::mint()));
        let owner: Option<&Arc<FlowPlan>> = self.snapshot.owner(&did);
        let account = owner.map_or(DEFAULT_ACCOUNT, |plan| plan.account);
        let route = owner.map(|plan| Route::of(plan));
        let route = if test.is_some() { route.map(Route::for_test) } else { route };
        let mint = || BridgeId(format!("b-{}", CallId::new(clock::mint()).digits()));
        let bridge = self.bridges.lend(mint);
        self.kept.insert(call, Kept { account, next_line: 0, last_at: Timestamp(0) });
        // Before anybody is called: whom a leg shows is read from the caller's channel.
        if !corrections.is_empty() {
            self.lanes.correct(call, channel.clone(), corrections);
        }
        let caller_key = owner.and_then(|plan| self.snapshot.caller_key(plan, &caller));
        let (is_test, now) = (test.is_some(), clock::now());
        let known = owner.zip(caller_key.as_ref());
        let repeat = known.and_then(|(plan, key)| self.state.repeat(plan, key, now));
        let counts_as_visit = known.is_some_and(|(plan, _)| plan.flow.repeat_caller.is_some());
        if let Some((plan, key)) = known.filter(|_| !is_test) {
            self.state.visit(&self.snapshot, plan, key, call, now);
        }
        let alike = owner.is_none().then(|| self.snapshot.alike(&did)).flatten();
        let session = owner.map_or(call, |plan| {
            let (key, gap_sec) = (caller_key.as_ref(), plan.flow.redial_gap_sec);
            self.sessions.join(plan.flow.id, &did, key, is_test, call, now, gap_sec)
        });
        self.feed(Input::Arrived(Box::new(Arrival {
            call,
            account,
            channel,
            did,
            alike,
            caller,
            caller_key,
            session,
            repeat,
            counts_as_visit,
            is_test,
            is_up,
            is_found: false,
            bridge,
            route,
        })));
        if let Some(arrived) = awaited {
            // Who asked for the test call may have gone away.
            let _ = arrived.send(());
        }
    }

    /// There are too many calls: this one goes back to the dialplan before anything is begun.
    pub(super) fn shed(&mut self, channel: ChannelId, did: Did, caller: Caller) {
        self.pass_on_stranger(channel.clone());
        metrics::counter!("divert_calls_shed_total").increment(1);
        let owner: Option<&Arc<FlowPlan>> = self.snapshot.owner(&did);
        let (now, call) = (clock::now(), CallId::new(clock::mint()));
        let record = CallRecord {
            id: call,
            account: owner.map_or(DEFAULT_ACCOUNT, |plan| plan.account),
            did,
            caller,
            caller_key: None,
            session: call,
            is_repeat: false,
            flow: owner.map(|plan| (plan.flow.id, plan.flow.name.clone())),
            is_test: false,
            status: CallStatus::Ended,
            started_at: now,
            answered_at: None,
            ended_at: Some(now),
            talk_ms: 0,
            result: Some(CallResult::Unrouted),
            ended_by: Some(EndedBy::Divert),
            cause: None,
            channel,
            bridge: BridgeId(format!("b-{}", call.digits())),
        };
        count(&record);
        let step = Step::Fallback { what: "back to the dialplan: too many calls at once".into() };
        let entry = TimelineEntry { seq: 0, at: now, step };
        self.writer.push(Record::Step { account: record.account, call, entry });
        self.writer.push(Record::Call(record));
    }

    /// A dialplan gave us a channel and no number: nobody would ever take care of it here.
    pub(super) fn send_on(&self, channel: ChannelId, name: &str, args: &str) {
        let app = self.lanes.client().app();
        let args = visible(args);
        let comma = if args.is_empty() { "" } else { "," };
        warn!(
            channel.id = %channel,
            "{name:?} came by Stasis({app}{comma}{args}), which tells no number, and goes on in its \
             dialplan: write Gosub(divert-ari,s,1(${{EXTEN}})) there, with the file of 'divert print \
             dialplan', or else Stasis({app},did,${{EXTEN}})"
        );
        self.pass_on_stranger(channel);
    }

    pub(super) fn pass_on_stranger(&self, channel: ChannelId) {
        let client = self.lanes.client().clone();
        tokio::spawn(async move {
            if let Err(error) = client.continue_in_dialplan(&channel).await {
                warn!(channel.id = %channel, %error, "could not pass a call on");
            }
        });
    }
}

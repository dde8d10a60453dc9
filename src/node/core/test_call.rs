//! Calls that divert itself places as a test: expected when they are, and only then taken for one.

use tokio::sync::oneshot;
use tracing::debug;

use super::Core;
use crate::clock;
use crate::model::id::{AccountId, CallId, ChannelId, ForwardingFlowId};
use crate::model::number::Did;

/// Prefix of the channel on which a test call enters the dialplan. Only who may originate over ARI
/// can name a channel, so no carrier and no header can make a call a test.
const TEST_CHANNEL: &str = "tc-";

/// The channel on which the test call `call` enters the dialplan.
#[must_use]
pub fn test_channel(call: CallId) -> ChannelId {
    ChannelId(format!("{TEST_CHANNEL}{}", call.digits()))
}

pub(super) fn test_call_on(channel: &ChannelId) -> Option<CallId> {
    CallId::from_digits(channel.0.strip_prefix(TEST_CHANNEL)?)
}

/// A test call about to be originated.
#[derive(Debug)]
pub struct ExpectedTest {
    pub call: CallId,
    /// What it dials.
    pub did: Did,
    /// Told when it has come back to us through the dialplan.
    pub arrived: oneshot::Receiver<()>,
}

impl Core {
    /// Our own end of a test call was answered: whoever picked up hears that somebody is there.
    pub(super) fn test_caller_is_up(&self, channel: ChannelId, call: CallId) {
        if self.engine.call(call).is_none() {
            self.lanes.hang_up_orphan(channel);
            return;
        }
        let client = self.lanes.client().clone();
        tokio::spawn(async move {
            let playback = format!("p-{}", call.digits());
            if let Err(error) = client.play(&channel, "tone:440/200,0/2800", &playback).await {
                debug!(%error, "the test caller stays silent");
            }
        });
    }

    /// Prepares a test call.
    ///
    /// # Errors
    /// In words for the user.
    pub fn expect_test(
        &mut self,
        account: AccountId,
        flow: ForwardingFlowId,
        did: Option<Did>,
    ) -> Result<ExpectedTest, String> {
        let plan = self.snapshot.flow(flow).filter(|plan| plan.account == account);
        let Some(plan) = plan else {
            return Err("this node does not serve the flow: is its master this server?".to_owned());
        };
        let did = match did {
            Some(did) if plan.flow.dids.contains(&did) => did,
            Some(did) => return Err(format!("the flow does not own the DID {did}")),
            None => match plan.flow.dids.first() {
                Some(did) => did.clone(),
                None => return Err("the flow has no DID to call".to_owned()),
            },
        };
        let call = CallId::new(clock::mint());
        let (sender, arrived) = oneshot::channel();
        self.awaited_tests.insert(call, sender);
        Ok(ExpectedTest { call, did, arrived })
    }

    /// A test call that never came is forgotten.
    pub fn forget_tests(&mut self) {
        self.awaited_tests.retain(|_, sender| !sender.is_closed());
    }
}

//! What the API may ask of the node.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::sync::{Notify, mpsc, oneshot};
use tracing::warn;

use super::core::{ExpectedTest, test_channel};
use crate::api::{ExplainQuestion, Node, Readiness, TestCallRefused, TestCallRequest};
use crate::ari::AriError;
use crate::ari::client::{Client, Originate};
use crate::ari::role::Role;
use crate::ari::variable::Variable;
use crate::model::id::{AccountId, CallId, ChannelId, ForwardingFlowId};
use crate::model::number::{Caller, Did};
use crate::routing::explain::{ExplainedCall, FlowLive};

/// How long a test call may take from the dialplan's door to us.
const ARRIVAL: Duration = Duration::from_secs(3);

/// A question to the loop.
pub enum Request {
    Explain {
        account: AccountId,
        question: ExplainQuestion,
        reply: oneshot::Sender<Option<ExplainedCall>>,
    },
    Live {
        account: AccountId,
        flow: ForwardingFlowId,
        reply: oneshot::Sender<Option<FlowLive>>,
    },
    End {
        account: AccountId,
        call: CallId,
        reply: oneshot::Sender<bool>,
    },
    ExpectTest {
        account: AccountId,
        flow: ForwardingFlowId,
        did: Option<Did>,
        reply: oneshot::Sender<Result<ExpectedTest, String>>,
    },
}

/// The node as the API sees it.
pub struct Port {
    pub requests: mpsc::Sender<Request>,
    pub changed: Arc<Notify>,
    pub readiness: Arc<Mutex<Readiness>>,
    pub client: Client,
    /// The dialplan context a test call enters, as a carrier's would.
    pub context: String,
}

impl Port {
    /// What the loop answers; nothing at all when it is about to stop.
    async fn ask<T: Default>(&self, request: impl FnOnce(oneshot::Sender<T>) -> Request) -> T {
        let (reply, answer) = oneshot::channel();
        match self.requests.send(request(reply)).await {
            Ok(()) => answer.await.unwrap_or_default(),
            Err(_) => T::default(),
        }
    }

    async fn test_call(
        &self,
        account: AccountId,
        flow: ForwardingFlowId,
        request: TestCallRequest,
    ) -> Result<CallId, TestCallRefused> {
        let (reply, answer) = oneshot::channel();
        let question = Request::ExpectTest { account, flow, did: request.did, reply };
        let stopping = || refused("stopping", "divert is about to stop");
        self.requests.send(question).await.map_err(|_| stopping())?;
        let expected = answer.await.map_err(|_| stopping())?;
        let ExpectedTest { call, did, arrived } =
            expected.map_err(|why| refused("not_served", why))?;
        let caller = request.caller.unwrap_or_else(|| Caller::clean("", "Test call"));
        let endpoint = format!("Local/{did}@{}/n", self.context);
        let originate = Originate {
            endpoint: &endpoint,
            app_args: &Role::TestCaller(call).to_string(),
            channel_id: &ChannelId(format!("tcaller-{}", call.digits())),
            other_channel_id: Some(&test_channel(call)),
            caller: Some(&caller),
            variables: &[(Variable::CdrDisable, "1")],
        };
        self.client.originate(originate).await.map_err(|error| match error {
            AriError::Transport { .. } => refused("asterisk_unreachable", error.to_string()),
            _ => refused("asterisk_refused", error.to_string()),
        })?;
        if let Ok(Ok(())) = tokio::time::timeout(ARRIVAL, arrived).await {
            return Ok(call);
        }
        warn!(call.id = %call, "a test call did not arrive");
        let context = &self.context;
        Err(refused(
            "not_arrived",
            format!(
                "the test call dialled {did} in the dialplan context {context:?}, but did not reach \
                 divert: check that context with 'dialplan show {did}@{context}'"
            ),
        ))
    }
}

fn refused(code: &'static str, message: impl Into<String>) -> TestCallRefused {
    TestCallRefused { code, message: message.into() }
}

impl Node for Port {
    fn place_test_call(
        &self,
        account: AccountId,
        flow: ForwardingFlowId,
        request: TestCallRequest,
    ) -> BoxFuture<'_, Result<CallId, TestCallRefused>> {
        self.test_call(account, flow, request).boxed()
    }

    fn explain(
        &self,
        account: AccountId,
        question: ExplainQuestion,
    ) -> BoxFuture<'_, Option<ExplainedCall>> {
        self.ask(move |reply| Request::Explain { account, question, reply }).boxed()
    }

    fn live(&self, account: AccountId, flow: ForwardingFlowId) -> BoxFuture<'_, Option<FlowLive>> {
        self.ask(move |reply| Request::Live { account, flow, reply }).boxed()
    }

    fn end_call(&self, account: AccountId, call: CallId) -> BoxFuture<'_, bool> {
        self.ask(move |reply| Request::End { account, call, reply }).boxed()
    }

    fn configuration_changed(&self) {
        self.changed.notify_one();
    }

    fn readiness(&self) -> Readiness {
        self.readiness.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

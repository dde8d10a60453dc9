//! What the API may ask of the node.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::sync::{Notify, mpsc, oneshot};
use tracing::warn;

use super::core::{ExpectedTest, test_channel};
use super::lanes::seconds;
use super::writer::Progress;
use crate::api::{ExplainQuestion, Node, NodeStatus, Readiness, TestCallRefused, TestCallRequest};
use crate::ari::AriError;
use crate::ari::client::{Client, Originate};
use crate::ari::role::Role;
use crate::ari::variable::Variable;
use crate::engine::Route;
use crate::model::cause::HangupCause;
use crate::model::id::{AccountId, CallId, ChannelId, ForwardingFlowId};
use crate::model::number::{Caller, Did};
use crate::routing::explain::{ExplainedCall, FlowLive};

/// How long a test call may take from the dialplan's door to us.
const ARRIVAL: Duration = Duration::from_secs(3);
/// How long its near end waits for an answer: it must not give up before the call does.
const PATIENCE_MS: i64 = Route::TEST_RING_MS + 15_000;

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
    Status {
        account: AccountId,
        reply: oneshot::Sender<Option<NodeStatus>>,
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
    /// Of the writing, which may fail while reading goes on.
    pub progress: Arc<Progress>,
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
        let channel = ChannelId(format!("tcaller-{}", call.digits()));
        let originate = Originate {
            endpoint: &endpoint,
            app_args: &Role::TestCaller(call).to_string(),
            channel_id: &channel,
            other_channel_id: Some(&test_channel(call)),
            caller: Some(&caller),
            timeout_sec: seconds(PATIENCE_MS),
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
        // Wherever the dialplan has sent it instead, nobody follows it there.
        if let Err(error) = self.client.hang_up(&channel, HangupCause::NORMAL).await {
            warn!(channel.id = %channel, %error, "it could not be hung up");
        }
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

    fn status(&self, account: AccountId) -> BoxFuture<'_, Option<NodeStatus>> {
        self.ask(move |reply| Request::Status { account, reply }).boxed()
    }

    fn end_call(&self, account: AccountId, call: CallId) -> BoxFuture<'_, bool> {
        self.ask(move |reply| Request::End { account, call, reply }).boxed()
    }

    fn configuration_changed(&self) {
        self.changed.notify_one();
    }

    fn readiness(&self) -> Readiness {
        let Readiness { asterisk, store, trunks, .. } =
            self.readiness.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let store = store.and_then(|()| self.progress.state());
        Readiness { asterisk, store, trunks, rows: self.progress.rows() }
    }
}

#[cfg(test)]
mod tests {
    use wiremock::matchers::any;
    use wiremock::{Mock, MockServer, ResponseTemplate};

    use super::*;
    use crate::api::RowCounts;
    use crate::model::objects::account::DEFAULT_ACCOUNT;
    use crate::node::tests::client_of;

    #[tokio::test]
    async fn a_test_call_may_ring_as_long_as_its_flow_lets_it_and_is_hung_up_if_it_is_lost() {
        let server = MockServer::start().await;
        Mock::given(any()).respond_with(ResponseTemplate::new(204)).mount(&server).await;
        let (requests, mut asked) = mpsc::channel(1);
        let readiness = Readiness {
            asterisk: Ok(()),
            store: Ok(()),
            trunks: Ok(()),
            rows: RowCounts::default(),
        };
        let port = Port {
            requests,
            changed: Arc::default(),
            readiness: Arc::new(Mutex::new(readiness)),
            progress: Arc::default(),
            client: client_of(&server),
            context: "from-carrier".into(),
        };
        let call = CallId::new(7);
        tokio::spawn(async move {
            let Some(Request::ExpectTest { reply, .. }) = asked.recv().await else {
                panic!("a test call is announced first");
            };
            let (never, arrived) = oneshot::channel();
            let expected = ExpectedTest { call, did: "100".parse().unwrap(), arrived };
            assert!(reply.send(Ok(expected)).is_ok());
            std::future::pending::<()>().await;
            drop(never);
        });
        let request = TestCallRequest { did: None, caller: None };
        let refused = port.test_call(DEFAULT_ACCOUNT, ForwardingFlowId::new(1), request).await;
        assert_eq!(refused.unwrap_err().code, "not_arrived");

        let requests = server.received_requests().await.unwrap();
        let [originate, hang_up] = &requests[..] else { panic!("{requests:?}") };
        let query = |name: &str| {
            let pairs = originate.url.query_pairs().find(|(known, _)| known == name);
            pairs.unwrap().1.into_owned()
        };
        // A minute for the destinations, a minute for the fallback number.
        assert!(query("timeout").parse::<u32>().unwrap() > 120, "{}", originate.url);
        let channel = query("channelId");
        assert_eq!(hang_up.method.as_str(), "DELETE");
        assert!(hang_up.url.path().ends_with(&format!("/channels/{channel}")), "{}", hang_up.url);
    }
}

//! Commands to Asterisk, one lane for each call: in order within a call, side by side among calls.
//!
//! A lane turns engine commands into requests and failures into inputs. Ids are minted before the
//! command, so every request is safe to repeat: 409 on a create and 404 on a hang-up mean "done".

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tracing::{Instrument, debug, info_span, warn};

use crate::ari::AriError;
use crate::ari::client::{BridgeKind, Client, CreateChannel};
use crate::ari::mark;
use crate::ari::resync::bridge_name;
use crate::ari::role::{LegFacts, Role};
use crate::ari::variable::{MAX_VALUE, Variable, is_plain};
use crate::engine::{ChannelEvent, ChannelState, Command, FailedCommand, Input};
use crate::model::id::{BridgeId, CallId, ChannelId};

/// How long a failed bridge may turn out to be a hang-up that was quicker.
const SECOND_TRY: Duration = Duration::from_millis(200);
/// Far more than one call ever has under way; beyond it Asterisk answers nothing at all.
const LANE: usize = 256;

/// One command, with what only the loop knows.
#[derive(Debug)]
pub struct Errand {
    pub command: Command,
    /// The bridge of a `Connect` does not exist yet.
    pub must_make_bridge: bool,
}

#[derive(Debug)]
pub struct Lanes {
    client: Client,
    results: mpsc::Sender<Input>,
    open: HashMap<CallId, mpsc::Sender<(Work, Outstanding)>>,
    outstanding: Arc<()>,
}

/// What a lane does, in order.
#[derive(Debug)]
enum Work {
    /// Makes the caller's channel fit to be shown.
    Correct {
        channel: ChannelId,
        corrections: Vec<(Variable, String)>,
    },
    Errand(Errand),
}

/// Counts an errand until it is done; by being there, so that none is ever forgotten.
type Outstanding = Arc<()>;

impl Lanes {
    /// Failures come back over `results`.
    pub fn new(client: Client, results: mpsc::Sender<Input>) -> Self {
        Self { client, results, open: HashMap::new(), outstanding: Arc::default() }
    }

    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Sets what a caller shows, before any command that comes later.
    pub fn correct(
        &mut self,
        call: CallId,
        channel: ChannelId,
        corrections: Vec<(Variable, String)>,
    ) {
        self.enqueue(call, Work::Correct { channel, corrections });
    }

    pub fn send(&mut self, call: CallId, errand: Errand) {
        self.enqueue(call, Work::Errand(errand));
    }

    fn enqueue(&mut self, call: CallId, work: Work) {
        let lane = self.open.entry(call).or_insert_with(|| {
            let (lane, errands) = mpsc::channel(LANE);
            let lane_of_call = work_off(self.client.clone(), errands, self.results.clone());
            tokio::spawn(lane_of_call.instrument(info_span!("lane", call.id = %call)));
            lane
        });
        if let Err(refused) = lane.try_send((work, Arc::clone(&self.outstanding))) {
            // A hang-up is given again by its timer; anything else has become pointless by now.
            warn!(call.id = %call, "a command was dropped: {refused}");
            metrics::counter!("divert_commands_dropped_total").increment(1);
        }
    }

    /// How many errands are not done yet.
    pub fn outstanding(&self) -> usize {
        Arc::strong_count(&self.outstanding) - 1
    }

    /// Nothing more will come for this call; what is queued is still done.
    pub fn close(&mut self, call: CallId) {
        self.open.remove(&call);
    }

    /// Hangs up a channel that belongs to no call.
    pub fn hang_up_orphan(&self, channel: ChannelId) {
        metrics::counter!("divert_orphans_total", "kind" => "channel").increment(1);
        let client = self.client.clone();
        tokio::spawn(async move {
            let cause = crate::model::cause::HangupCause::NORMAL;
            if let Err(error) = client.hang_up(&channel, cause).await {
                warn!(channel.id = %channel, %error, "an orphan could not be hung up");
            }
        });
    }

    pub fn destroy(&self, bridges: Vec<BridgeId>) {
        if bridges.is_empty() {
            return;
        }
        let client = self.client.clone();
        tokio::spawn(async move {
            for bridge in bridges {
                if let Err(error) = client.destroy_bridge(&bridge).await {
                    warn!(bridge.id = %bridge, %error, "a bridge could not be destroyed");
                }
            }
        });
    }
}

async fn work_off(
    client: Client,
    mut queue: mpsc::Receiver<(Work, Outstanding)>,
    results: mpsc::Sender<Input>,
) {
    while let Some((work, _until_done)) = queue.recv().await {
        let input = match work {
            Work::Correct { channel, corrections } => {
                correct(&client, &channel, &corrections).await;
                None
            }
            Work::Errand(errand) => execute(&client, errand).await,
        };
        if let Some(input) = input {
            // The loop is gone only when the process ends.
            let _ = results.send(input).await;
        }
    }
}

async fn execute(client: &Client, errand: Errand) -> Option<Input> {
    let Errand { command, must_make_bridge } = errand;
    match command {
        Command::Answer { channel } => {
            let done = client.answer(&channel).await;
            failed(client, &[channel], FailedCommand::Answer, done).await
        }
        Command::Connect { bridge, channels } => {
            let done = connect(client, &bridge, &channels, must_make_bridge).await;
            failed(client, &channels, FailedCommand::Connect, done).await
        }
        Command::Create { leg, destination, trunk, endpoint, originator, limit_ms, is_test } => {
            let id = leg.channel();
            let (call, no) = (leg.call.to_string(), leg.no.to_string());
            let (limit, slot) =
                (seconds(limit_ms).to_string(), mark::slot(&originator).to_string());
            // No channel has that name.
            let caller = if is_plain(&originator) { &originator.0 } else { "-" };
            let facts = LegFacts { caller: caller.to_owned(), destination, trunk };
            let args = format!("{}{facts}", Role::Leg(leg));
            let destination = destination.map(|id| id.to_string()).unwrap_or_default();
            let trunk = trunk.map(|id| id.to_string()).unwrap_or_default();
            let mut variables = vec![
                (Variable::Call, call.as_str()),
                (Variable::Leg, &no),
                (Variable::CallHeader, &call),
                (Variable::AbsoluteTimeout, &limit),
                (Variable::HangupHandler, "divert-end,leg,1"),
                (Variable::Slot, &slot),
                (Variable::CallerChannel, caller),
                (Variable::Destination, &destination),
                (Variable::Trunk, &trunk),
            ];
            if endpoint.len() <= MAX_VALUE {
                variables.push((Variable::Endpoint, endpoint.as_str()));
            }
            if is_test {
                variables.push((Variable::TestHeader, "1"));
            }
            let create = CreateChannel {
                channel_id: &id,
                endpoint: &endpoint,
                app_args: &args,
                originator: Some(&originator),
                variables: &variables,
            };
            let done = client.create(create).await;
            // A 404 here is the technology or endpoint, not the channel.
            done.err().map(|error| command_failed(leg.channel(), FailedCommand::Create, &error))
        }
        Command::Dial { leg, caller, timeout_ms } => {
            let done = client.dial(&leg.channel(), Some(&caller), seconds(timeout_ms)).await;
            failed(client, &[leg.channel()], FailedCommand::Dial, done).await
        }
        Command::Guard { channel, limit_ms } => {
            let limit = seconds(limit_ms).to_string();
            let done = client.set_channel_variable(&channel, Variable::AbsoluteTimeout, &limit);
            unheeded(&channel, "guard", done.await);
            None
        }
        Command::HangUp { channel, cause } => match client.hang_up(&channel, cause).await {
            Ok(true) => None,
            // Its end was told while nobody listened.
            Ok(false) => Some(gone(channel)),
            Err(error) => {
                unheeded(&channel, "hang up", Err(error));
                None
            }
        },
        Command::PassOn { channel } => {
            let done = client.continue_in_dialplan(&channel).await;
            failed(client, &[channel], FailedCommand::PassOn, done).await
        }
        Command::Ring { channel } => {
            unheeded(&channel, "ring", client.ring(&channel).await);
            None
        }
        Command::Bill(_)
        | Command::Close { .. }
        | Command::Decide(_)
        | Command::Note(_)
        | Command::Report(_)
        | Command::Release { .. }
        | Command::Save(_)
        | Command::SaveLeg(_) => None,
    }
}

async fn correct(client: &Client, channel: &ChannelId, corrections: &[(Variable, String)]) {
    metrics::counter!("divert_callers_corrected_total").increment(1);
    for (variable, value) in corrections {
        let mut done = client.set_channel_variable(channel, *variable, value).await;
        let is_text = matches!(variable, Variable::CallerName | Variable::CallerNumber);
        if is_text && done.as_ref().is_err_and(|error| !matches!(error, AriError::NotFound { .. }))
        {
            // Rather nothing is shown than what was to be corrected.
            unheeded(channel, "correct what the caller shows", done);
            done = client.set_channel_variable(channel, *variable, "").await;
        }
        unheeded(channel, "correct what the caller shows", done);
    }
}

async fn connect(
    client: &Client,
    bridge: &BridgeId,
    channels: &[ChannelId],
    must_make: bool,
) -> Result<(), AriError> {
    let name = bridge_name(client.app(), bridge);
    if must_make {
        client.create_bridge(bridge, &name, BridgeKind::Mixing).await?;
    }
    let channels: Vec<&ChannelId> = channels.iter().collect();
    let first = client.add_to_bridge(bridge, &channels).await;
    if first.is_ok() {
        return first;
    }
    tokio::time::sleep(SECOND_TRY).await;
    client.create_bridge(bridge, &name, BridgeKind::Mixing).await?;
    client.add_to_bridge(bridge, &channels).await
}

/// What a failure means to the engine: whoever hung up meanwhile is gone, and nothing failed. Of a
/// bridge and what should be in it, Asterisk does not say which it does not know.
async fn failed(
    client: &Client,
    channels: &[ChannelId],
    command: FailedCommand,
    done: Result<(), AriError>,
) -> Option<Input> {
    let error = done.err()?;
    let last = channels.last()?.clone();
    let is_transport = matches!(error, AriError::Transport { .. });
    if matches!(error, AriError::NotFound { .. }) && command != FailedCommand::Connect {
        return Some(gone(last));
    }
    if !is_transport {
        // A channel that hangs up refuses commands for a moment before it is gone.
        tokio::time::sleep(SECOND_TRY).await;
        for channel in channels {
            if let Err(AriError::NotFound { .. }) = client.channel(channel).await {
                return Some(gone(channel.clone()));
            }
        }
    }
    // The leg, where there is one: it speaks for the call.
    Some(command_failed(last, command, &error))
}

fn command_failed(channel: ChannelId, command: FailedCommand, error: &AriError) -> Input {
    debug!(channel.id = %channel, ?command, %error, "a command failed");
    let event = ChannelEvent::CommandFailed { command, detail: error.to_string() };
    Input::Channel { channel, event }
}

fn gone(channel: ChannelId) -> Input {
    let event = ChannelEvent::Gone { cause: None, sip_code: None, state: ChannelState::Down };
    Input::Channel { channel, event }
}

/// A failure the call can live with.
fn unheeded(channel: &ChannelId, what: &str, done: Result<(), AriError>) {
    match done {
        Ok(()) | Err(AriError::NotFound { .. }) => {}
        Err(error) => warn!(channel.id = %channel, %error, "could not {what}"),
    }
}

/// ARI counts in whole seconds; ours are never cut short.
pub fn seconds(ms: i64) -> u32 {
    u32::try_from(ms.max(0).saturating_add(999) / 1_000).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use wiremock::matchers::{path, query_param};
    use wiremock::{Mock, MockServer, ResponseTemplate};

    use super::*;
    use crate::model::id::LegId;
    use crate::node::tests::client_of;

    #[test]
    fn seconds_are_rounded_up() {
        assert_eq!([seconds(0), seconds(1), seconds(1_000), seconds(1_001)], [0, 1, 1, 2]);
        assert_eq!(seconds(-5), 0);
    }

    /// What a failed command comes to where Asterisk knows these channels.
    async fn after(
        known: &[&ChannelId],
        of: &[ChannelId],
        command: FailedCommand,
        error: AriError,
    ) -> Option<Input> {
        let server = MockServer::start().await;
        for channel in known {
            let there = ResponseTemplate::new(200).set_body_string("{}");
            Mock::given(path(format!("/ari/channels/{channel}")))
                .respond_with(there)
                .mount(&server)
                .await;
        }
        failed(&client_of(&server), of, command, Err(error)).await
    }

    #[tokio::test]
    async fn a_channel_asterisk_does_not_know_is_gone() {
        let (caller, leg) =
            (ChannelId("1.1".into()), LegId { call: CallId::new(1), no: 1 }.channel());
        let both = [caller.clone(), leg.clone()];
        let unknown = || AriError::NotFound { op: "dial", message: String::new() };
        let refused =
            || AriError::Refused { op: "answer", status: 409, message: "not in Stasis".into() };
        let dial = after(&[&leg], &both[1..], FailedCommand::Dial, unknown()).await;
        assert_eq!(dial, Some(gone(leg.clone())));
        let answer = after(&[], &both[..1], FailedCommand::Answer, refused()).await;
        assert_eq!(answer, Some(gone(caller.clone())), "it hung up in that moment");
        let connect = after(&[&leg], &both, FailedCommand::Connect, unknown()).await;
        assert_eq!(connect, Some(gone(caller.clone())));
        let connect = after(&[&caller], &both, FailedCommand::Connect, refused()).await;
        assert_eq!(connect, Some(gone(leg.clone())));
        let connect = after(&[&caller, &leg], &both, FailedCommand::Connect, unknown()).await;
        let failed_for = |input: Option<Input>| match input {
            Some(Input::Channel { channel, event: ChannelEvent::CommandFailed { .. } }) => channel,
            other => panic!("{other:?}"),
        };
        assert_eq!(failed_for(connect), leg, "it was the bridge");
        let answer = after(&[&caller], &both[..1], FailedCommand::Answer, refused()).await;
        assert_eq!(failed_for(answer), caller);
    }

    #[tokio::test]
    async fn what_asterisk_does_not_take_is_shown_to_nobody() {
        for (status, sent) in [(204, &["A"][..]), (404, &["A"]), (500, &["A", ""])] {
            let server = MockServer::start().await;
            let answer = ResponseTemplate::new(status);
            Mock::given(query_param("value", "A")).respond_with(answer).mount(&server).await;
            let cleared = ResponseTemplate::new(204);
            Mock::given(query_param("value", "")).respond_with(cleared).mount(&server).await;
            let client = client_of(&server);
            let corrections = [(Variable::CallerName, "A".to_owned())];
            correct(&client, &ChannelId("1.1".into()), &corrections).await;
            let requests = server.received_requests().await.unwrap();
            let value = |request: &wiremock::Request| {
                let mut pairs = request.url.query_pairs();
                pairs.find(|(name, _)| name == "value").unwrap().1.into_owned()
            };
            assert_eq!(requests.iter().map(value).collect::<Vec<_>>(), sent, "{status}");
        }
    }
}

//! The commands divert gives Asterisk, one method each.
//!
//! Every id is chosen by the caller beforehand, so a command whose answer was lost is simply given
//! again: "exists already" after a create and "not found" after a hang-up both mean done. The few
//! commands that would do harm when done twice (`dial`, `play`) are repeated only if the first one
//! certainly never left. A 2xx means *queued*: what really happened is told by events.
//!
//! A command that Asterisk holds back behind a playback (`answer`, setting a variable,
//! `add_to_bridge`) blocks only itself here; stopping the playback first is the caller's work.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use strum::IntoStaticStr;

pub use super::http::Timeouts;
use super::http::{Http, Request};
use super::variable::{self, Global, Variable};
use super::version::Version;
use super::wire::{Bridge, Channel};
use super::{AriError, Settings};
use crate::model::cause::HangupCause;
use crate::model::id::{BridgeId, ChannelId};
use crate::model::number::Caller;
use crate::model::text::visible;

/// The REST side of one Asterisk. A clone uses the same connections.
#[derive(Clone, Debug)]
pub struct Client {
    app: Arc<str>,
    http: Arc<Http>,
    /// The Asterisk that told its version last takes any cause for a hang-up, not just some reasons.
    takes_causes: Arc<AtomicBool>,
}

/// What Asterisk says about itself.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Info {
    /// `22.10.1`.
    pub version: String,
    /// As Asterisk writes it. Another text than before means that Asterisk was restarted and every
    /// call of before is gone.
    pub startup_time: String,
    /// The time of the last reload, as Asterisk writes it.
    pub last_reload_time: String,
    /// Often the same on two machines made from one image: no key for anything.
    pub entity_id: String,
}

/// A leg to be made, not yet dialled.
#[derive(Clone, Copy, Debug)]
pub struct CreateChannel<'a> {
    pub channel_id: &'a ChannelId,
    /// `PJSIP/1001@trunk`.
    pub endpoint: &'a str,
    pub app_args: &'a str,
    /// The caller, whose codecs the leg shall have. Does not tie their lives together, but the
    /// dialplan finds in the caller's `SHARED(DIVERT_LEG)` whom to end with it.
    pub originator: Option<&'a ChannelId>,
    pub variables: &'a [(Variable, &'a str)],
}

/// A call that divert itself makes and that enters our application when it is answered.
#[derive(Clone, Copy, Debug)]
pub struct Originate<'a> {
    pub endpoint: &'a str,
    pub app_args: &'a str,
    pub channel_id: &'a ChannelId,
    /// The id of the other half, where the endpoint is a `Local/` one.
    pub other_channel_id: Option<&'a ChannelId>,
    pub caller: Option<&'a Caller>,
    /// How long it may ring; Asterisk's own patience is 30 s.
    pub timeout_sec: u32,
    pub variables: &'a [(Variable, &'a str)],
}

/// How a bridge joins its channels.
#[derive(Clone, Copy, Debug, Eq, IntoStaticStr, PartialEq)]
pub enum BridgeKind {
    /// Digits pressed in the bridge come as events: for feature codes.
    #[strum(serialize = "mixing,dtmf_events")]
    Features,
    /// Asterisk may let two channels exchange audio natively, which costs it least.
    #[strum(serialize = "mixing")]
    Mixing,
}

/// Whether an endpoint can be called.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum EndpointState {
    Offline,
    Online,
    /// Asterisk does not watch it, as is usual for trunks.
    #[default]
    #[serde(other)]
    Unknown,
}

/// Every method gives [`AriError`] as its documentation there tells.
#[expect(clippy::missing_errors_doc, reason = "said once, in the doc of the block")]
impl Client {
    pub fn new(settings: &Settings) -> Result<Self, AriError> {
        Self::with_timeouts(settings, Timeouts::default())
    }

    pub fn with_timeouts(settings: &Settings, timeouts: Timeouts) -> Result<Self, AriError> {
        let http = Arc::new(Http::new(settings, timeouts)?);
        let takes_causes = Arc::new(AtomicBool::new(true));
        Ok(Self { app: settings.app.as_str().into(), http, takes_causes })
    }

    /// Our Stasis application.
    #[must_use]
    pub fn app(&self) -> &str {
        &self.app
    }

    // What is there

    /// Hang-ups follow the version it tells; without one they are those of the newest Asterisk.
    pub async fn info(&self) -> Result<Info, AriError> {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Parts {
            system: System,
            status: Status,
        }
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct System {
            version: String,
            entity_id: String,
        }
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Status {
            startup_time: String,
            last_reload_time: String,
        }

        let request = get("info", &["asterisk", "info"]).query("only", "status,system");
        let Parts { system, status } = self.http.send(request).await?.json()?;
        let version = system.version.parse::<Version>();
        let takes_causes = version.is_ok_and(|version| version >= Version::REASON_CODES);
        self.takes_causes.store(takes_causes || version.is_err(), Ordering::Relaxed);
        Ok(Info {
            version: system.version,
            startup_time: status.startup_time,
            last_reload_time: status.last_reload_time,
            entity_id: system.entity_id,
        })
    }

    /// Every channel of the whole Asterisk.
    pub async fn channels(&self) -> Result<Vec<Channel>, AriError> {
        self.http.send(get("channels", &["channels"])).await?.json()
    }

    /// [`AriError::NotFound`] when it is gone.
    pub async fn channel(&self, channel: &ChannelId) -> Result<Channel, AriError> {
        self.http.send(get("channel", &["channels", &channel.0])).await?.json()
    }

    /// Every bridge of the whole Asterisk.
    pub async fn bridges(&self) -> Result<Vec<Bridge>, AriError> {
        self.http.send(get("bridges", &["bridges"])).await?.json()
    }

    /// [`AriError::NotFound`] when there is no such endpoint.
    pub async fn endpoint(&self, tech: &str, resource: &str) -> Result<EndpointState, AriError> {
        #[derive(Deserialize)]
        struct Endpoint {
            #[serde(default)]
            state: EndpointState,
        }
        let request = get("endpoint", &["endpoints", tech, resource]);
        self.http.send(request).await?.json().map(|endpoint: Endpoint| endpoint.state)
    }

    /// All endpoints of a technology by name.
    pub async fn endpoints(&self, tech: &str) -> Result<BTreeMap<String, EndpointState>, AriError> {
        #[derive(Deserialize)]
        struct Endpoint {
            resource: String,
            #[serde(default)]
            state: EndpointState,
        }
        let endpoints: Vec<Endpoint> =
            self.http.send(get("endpoints", &["endpoints", tech])).await?.json()?;
        Ok(endpoints.into_iter().map(|endpoint| (endpoint.resource, endpoint.state)).collect())
    }

    // The caller's channel

    /// Tells the caller that it rings: SIP 180, or a tone once answered.
    pub async fn ring(&self, channel: &ChannelId) -> Result<(), AriError> {
        self.http.send(post("ring", &["channels", &channel.0, "ring"])).await?.done()
    }

    pub async fn answer(&self, channel: &ChannelId) -> Result<(), AriError> {
        self.http.send(post("answer", &["channels", &channel.0, "answer"])).await?.done()
    }

    /// Gives the channel back to the dialplan, behind `Stasis()`.
    pub async fn continue_in_dialplan(&self, channel: &ChannelId) -> Result<(), AriError> {
        let request = post("continue", &["channels", &channel.0, "continue"]);
        let gone = [StatusCode::NOT_FOUND, StatusCode::CONFLICT];
        self.http.send(request).await?.done_or_echo_of(&gone)
    }

    // Legs

    /// Makes a leg with our id in our application; it can be dialled once it is there
    /// (`StasisStart`). Asterisk says "500 allocation failed" for an endpoint it cannot reach.
    pub async fn create(&self, create: CreateChannel<'_>) -> Result<(), AriError> {
        let mut request = post("create", &["channels", "create"])
            .query("endpoint", create.endpoint)
            .query("app", &self.app)
            .query("appArgs", create.app_args)
            .query("channelId", &create.channel_id.0);
        let mut body = variables(create.variables);
        if let Some(originator) = create.originator {
            request = request.query("originator", &originator.0);
            if let Some(name) = variable::shared_leg(originator) {
                body["variables"][name] = json!(create.channel_id.0);
            }
        }
        let request = request
            .refuse_if(endpoint_fault(create.endpoint))
            .refuse_if(id_fault(create.channel_id))
            .refuse_if(variables_fault(create.variables))
            .body(body);
        self.http.send(request).await?.done_or(StatusCode::CONFLICT)
    }

    /// Dials a leg. `caller` is whom it shows to the callee; it is taken back by Asterisk itself
    /// after `timeout_sec`, which ends it with cause 19.
    pub async fn dial(
        &self,
        channel: &ChannelId,
        caller: Option<&ChannelId>,
        timeout_sec: u32,
    ) -> Result<(), AriError> {
        let mut request = post("dial", &["channels", &channel.0, "dial"])
            .query("timeout", &timeout_sec.to_string())
            .once();
        if let Some(caller) = caller {
            request = request.query("caller", &caller.0);
        }
        self.http.send(request).await?.done()
    }

    /// Makes and dials a channel at once; it enters our application when it is answered.
    pub async fn originate(&self, originate: Originate<'_>) -> Result<(), AriError> {
        let mut request = post("originate", &["channels"])
            .query("endpoint", originate.endpoint)
            .query("app", &self.app)
            .query("appArgs", originate.app_args)
            .query("channelId", &originate.channel_id.0)
            .query("timeout", &originate.timeout_sec.to_string());
        if let Some(other) = originate.other_channel_id {
            request = request.query("otherChannelId", &other.0).refuse_if(id_fault(other));
        }
        if let Some(caller) = originate.caller {
            request = request.query("callerId", &caller_id(caller));
        }
        let request = request
            .refuse_if(endpoint_fault(originate.endpoint))
            .refuse_if(id_fault(originate.channel_id))
            .refuse_if(variables_fault(originate.variables))
            .body(variables(originate.variables));
        self.http.send(request).await?.done_or(StatusCode::CONFLICT)
    }

    /// Hangs up, or rejects what is not answered yet; `false` when the channel was gone already.
    pub async fn hang_up(&self, channel: &ChannelId, cause: HangupCause) -> Result<bool, AriError> {
        let request = delete("hang_up", &["channels", &channel.0]);
        let request = if self.takes_causes.load(Ordering::Relaxed) {
            request.query("reason_code", &cause.to_string())
        } else {
            request.query("reason", reason(cause))
        };
        let answer = self.http.send(request).await?;
        let was_there = answer.is_success();
        answer.done_or(StatusCode::NOT_FOUND).map(|()| was_there)
    }

    // Variables

    pub async fn set_channel_variable(
        &self,
        channel: &ChannelId,
        variable: Variable,
        value: &str,
    ) -> Result<(), AriError> {
        let request = post("set_channel_variable", &["channels", &channel.0, "variable"])
            .query("variable", variable.name())
            .query("value", value)
            .refuse_if(variable::fault_for(variable, value));
        self.http.send(request).await?.done()
    }

    /// When a channel was answered, by Asterisk's own account of it: as text, and empty where it has
    /// none, or is gone.
    pub async fn answered_at(&self, channel: &ChannelId) -> Result<String, AriError> {
        let request = get("answered_at", &["channels", &channel.0, "variable"]);
        self.variable(request.query("variable", "CDR(answer,u)")).await
    }

    /// A variable of the whole Asterisk; empty when it was never set.
    pub async fn global(&self, name: &str) -> Result<String, AriError> {
        let request = get("global", &["asterisk", "variable"]);
        self.variable(request.query("variable", name)).await
    }

    async fn variable(&self, request: Request) -> Result<String, AriError> {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Found {
            value: String,
        }
        match self.http.send(request).await?.json() {
            Err(AriError::NotFound { .. }) => Ok(String::new()),
            found => found.map(|Found { value }| value),
        }
    }

    pub async fn set_global(&self, name: Global, value: &str) -> Result<(), AriError> {
        let request = post("set_global", &["asterisk", "variable"])
            .query("variable", &name.name(&self.app))
            .query("value", value)
            .refuse_if(variable::fault(value));
        self.http.send(request).await?.done()
    }

    // Bridges

    /// An id must never be used for a second bridge, not even after the first is gone.
    pub async fn create_bridge(
        &self,
        bridge: &BridgeId,
        name: &str,
        kind: BridgeKind,
    ) -> Result<(), AriError> {
        let request = post("create_bridge", &["bridges", &bridge.0])
            .query("type", kind.into())
            .query("name", name);
        self.http.send(request).await?.done_or(StatusCode::CONFLICT)
    }

    /// All of them or, if one is not there (400) or not in our application (409, 422), none. The
    /// numbers shown on the phones stay as they were when dialled.
    pub async fn add_to_bridge(
        &self,
        bridge: &BridgeId,
        channels: &[&ChannelId],
    ) -> Result<(), AriError> {
        let ids: Vec<&str> = channels.iter().map(|channel| channel.0.as_str()).collect();
        let request = post("add_to_bridge", &["bridges", &bridge.0, "addChannel"])
            .query("channel", &ids.join(","))
            // Asterisk would send each side its own number, by an UPDATE or re-INVITE of its own.
            .query("inhibitConnectedLineUpdates", "true")
            .refuse_if(channels.is_empty().then_some("there is no channel to add"));
        self.http.send(request).await?.done()
    }

    /// To be called when the channels have left: a bridge that goes while they hang up was seen to
    /// change their causes.
    pub async fn destroy_bridge(&self, bridge: &BridgeId) -> Result<(), AriError> {
        let request = delete("destroy_bridge", &["bridges", &bridge.0]);
        self.http.send(request).await?.done_or(StatusCode::NOT_FOUND)
    }

    // Sound

    /// Plays to one channel. Several media URIs may be given, separated by commas.
    pub async fn play(
        &self,
        channel: &ChannelId,
        media: &str,
        playback_id: &str,
    ) -> Result<(), AriError> {
        let request = post("play", &["channels", &channel.0, "play", playback_id])
            .query("media", media)
            .once();
        self.http.send(request).await?.done()
    }

    /// A playback that is over already is fine.
    pub async fn stop_playback(&self, playback_id: &str) -> Result<(), AriError> {
        let request = delete("stop_playback", &["playbacks", playback_id]);
        self.http.send(request).await?.done_or(StatusCode::NOT_FOUND)
    }

    // Asterisk itself

    /// Tells Asterisk which events not to send to our application. Lost when the application is, so
    /// it has to be told after each connect.
    pub async fn event_filter(&self, disallowed: &[&str]) -> Result<(), AriError> {
        let types: Vec<Value> = disallowed.iter().map(|kind| json!({ "type": kind })).collect();
        // An allow-list would swallow the answers to requests over the websocket.
        let body = json!({ "allowed": [], "disallowed": types });
        let request = put("event_filter", &["applications", &self.app, "eventFilter"]).body(body);
        self.http.send(request).await?.done()
    }

    /// Writes an object of Asterisk's own configuration, such as `res_pjsip/endpoint/1001`.
    pub async fn put_dynamic(
        &self,
        config_class: &str,
        object_type: &str,
        id: &str,
        fields: &[(&str, &str)],
    ) -> Result<(), AriError> {
        let fields: Vec<Value> = fields
            .iter()
            .map(|(attribute, value)| json!({ "attribute": attribute, "value": value }))
            .collect();
        let request = put("put_dynamic", &dynamic(config_class, object_type, id))
            .body(json!({ "fields": fields }));
        self.http.send(request).await?.done()
    }

    /// Reads such an object, attribute by attribute; `None` when there is none.
    pub async fn dynamic(
        &self,
        config_class: &str,
        object_type: &str,
        id: &str,
    ) -> Result<Option<Vec<(String, String)>>, AriError> {
        #[derive(Deserialize)]
        struct Field {
            attribute: String,
            value: String,
        }
        let request = get("dynamic", &dynamic(config_class, object_type, id));
        let fields: Vec<Field> = match self.http.send(request).await?.json() {
            Err(AriError::NotFound { .. }) => return Ok(None),
            other => other?,
        };
        Ok(Some(fields.into_iter().map(|field| (field.attribute, field.value)).collect()))
    }

    /// Removes such an object; one that does not exist is fine.
    pub async fn delete_dynamic(
        &self,
        config_class: &str,
        object_type: &str,
        id: &str,
    ) -> Result<(), AriError> {
        let request = delete("delete_dynamic", &dynamic(config_class, object_type, id));
        self.http.send(request).await?.done_or(StatusCode::NOT_FOUND)
    }
}

fn get(op: &'static str, segments: &[&str]) -> Request {
    Request::new(op, Method::GET, segments)
}

fn post(op: &'static str, segments: &[&str]) -> Request {
    Request::new(op, Method::POST, segments)
}

fn put(op: &'static str, segments: &[&str]) -> Request {
    Request::new(op, Method::PUT, segments)
}

fn delete(op: &'static str, segments: &[&str]) -> Request {
    Request::new(op, Method::DELETE, segments)
}

fn dynamic<'a>(config_class: &'a str, object_type: &'a str, id: &'a str) -> [&'a str; 6] {
    ["asterisk", "config", "dynamic", config_class, object_type, id]
}

fn variables(pairs: &[(Variable, &str)]) -> Value {
    let map = pairs.iter().map(|(variable, value)| (variable.name().to_owned(), json!(value)));
    json!({ "variables": map.collect::<serde_json::Map<_, _>>() })
}

fn variables_fault(pairs: &[(Variable, &str)]) -> Option<&'static str> {
    pairs.iter().find_map(|(variable, value)| variable::fault_for(*variable, value))
}

/// The nearest of ARI's 13 names for causes, with the SIP status that a caller gets for it. Where there
/// is none, the first of the cause's class (Q.850) which makes a caller act the same.
const fn reason(cause: HangupCause) -> &'static str {
    match cause.0 {
        17 => "busy",                    // 486
        18 => "timeout",                 // 408
        19 => "no_answer",               // 480
        21 => "rejected",                // 403
        26 => "answered_elsewhere",      // 603
        28 => "number_incomplete",       // 484
        38 => "failure",                 // 500
        58 => "codec_mismatch",          // 488
        1..=3 | 22 => "unallocated",     // 404
        20 | 31 => "normal_unspecified", // 480
        // A way that is out of order, where another may be open.
        25 | 27 | 32..=47 => "congestion", // 503
        48..=95 => "failure",
        96..=127 => "interworking", // 500
        _ => "normal",              // 603
    }
}

/// What is wrong with an endpoint, if anything. `&` would ring two, `?` would add SIP headers.
fn endpoint_fault(endpoint: &str) -> Option<&'static str> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"/@:;=._+*#%-~[]".contains(&byte);
    let is_good = endpoint.contains('/') && endpoint.bytes().all(allowed);
    (!is_good).then_some("the endpoint is not one plain Technology/resource")
}

/// Longest id Asterisk takes, in bytes.
const MAX_ID: usize = 149;

fn id_fault(channel: &ChannelId) -> Option<&'static str> {
    (channel.0.is_empty() || channel.0.len() > MAX_ID)
        .then_some("a channel id has 1 to 149 characters")
}

/// `"Name" <number>`, without what would end either part early.
fn caller_id(caller: &Caller) -> String {
    let plain = |text: &str| -> String {
        visible(text).chars().filter(|c| !"\"\\<>".contains(*c)).collect()
    };
    format!("\"{}\" <{}>", plain(&caller.name), plain(&caller.number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_one_plain_destination() {
        for good in [
            "PJSIP/1001@trunk",
            "PJSIP/%2399+*_a.b-c@t",
            "Local/1@phones/n",
            "PJSIP/x/sip:1@[::1]:5060",
        ] {
            assert_eq!(endpoint_fault(good), None, "{good}");
        }
        for bad in [
            "",
            "1001",
            "PJSIP/1@t&PJSIP/2@t",
            "PJSIP/t/sip:1@h?X-Evil=1",
            "PJSIP/1 2@t",
            "PJSIP/1@t,30,tT",
            "PJSIP/${X}@t",
            "PJSIP/1@t\r\n",
            "PJSIP/é@t",
        ] {
            assert!(endpoint_fault(bad).is_some(), "{bad}");
        }
    }

    #[test]
    fn causes_without_a_reason_of_their_own_get_the_nearest() {
        for (cause, name) in [
            (HangupCause::UNALLOCATED, "unallocated"),
            (HangupCause::NORMAL, "normal"),
            (HangupCause::USER_BUSY, "busy"),
            (HangupCause::NO_USER_RESPONSE, "timeout"),
            (HangupCause::NO_ANSWER, "no_answer"),
            (HangupCause::CALL_REJECTED, "rejected"),
            (HangupCause::NUMBER_CHANGED, "unallocated"),
            (HangupCause::ANSWERED_ELSEWHERE, "answered_elsewhere"),
            (HangupCause::OUT_OF_ORDER, "congestion"),
            (HangupCause::INVALID_NUMBER_FORMAT, "number_incomplete"),
            (HangupCause::CONGESTION, "congestion"),
            (HangupCause::FAILURE, "failure"),
            (HangupCause(41), "congestion"),
            (HangupCause(42), "congestion"),
            (HangupCause(50), "failure"),
            (HangupCause::BEARER_NOT_AVAILABLE, "codec_mismatch"),
            (HangupCause::RECOVERY_ON_TIMER, "interworking"),
            (HangupCause::INTERWORKING, "interworking"),
        ] {
            assert_eq!(reason(cause), name, "{cause}");
        }
    }

    #[test]
    fn a_caller_id_cannot_be_broken_out_of() {
        let caller = Caller { number: "1>2".into(), name: "A \"B\" <9>\\\r\n".into() };
        assert_eq!(caller_id(&caller), "\"A B 9\" <12>");
    }
}

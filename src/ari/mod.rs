//! Asterisk's REST interface (ARI): commands over HTTP, events over a websocket.
//!
//! * [`claim`]: whether another program has our application.
//! * [`client`]: one method for each command divert gives, safe to retry.
//! * [`socket`]: the event stream, which comes back by itself for as long as the process lives.
//! * [`wire`]: the JSON of events, channels and bridges, as Asterisk writes it.
//! * [`translate`]: wire events as the engine's events.
//! * [`resync`]: everything of ours that lives in Asterisk right now.
//! * [`mark`]: what the dialplan left of channels that have ended.
//! * [`identity`]: who calls, fit to be shown to somebody else.
//! * [`role`]: what a channel of ours is for, carried in `appArgs`.
//! * [`variable`]: every channel variable divert may set.
//! * [`version`]: versions of Asterisk, and what divert misses on older ones.
//!
//! Nothing here decides anything, and nothing here remembers a call: events in the gap of a cut
//! connection are lost (Asterisk drops them), so after each [`socket::SocketEvent::Connected`] the
//! truth is read with [`resync::snapshot`].
//!
//! Follows the ARI of Asterisk 22 (<https://docs.asterisk.org/Asterisk_22_Documentation/API_Documentation/Asterisk_REST_Interface/>).

pub mod claim;
pub mod client;
mod http;
pub mod identity;
pub mod mark;
pub mod resync;
pub mod role;
pub mod socket;
pub mod translate;
pub mod variable;
pub mod version;
pub mod wire;

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use thiserror::Error;
use url::Url;

/// How many file descriptors the connections to Asterisk may need at once: a request that finds no idle
/// connection opens another, and the events have one of their own, with a probe before each.
pub const DESCRIPTORS: usize = 2 * http::MAX_IN_FLIGHT + 2;

/// The events divert has no use for, to be put into the application's event filter after each
/// connect ([`client::Client::event_filter`]): Asterisk then sends about 5 of 56 events of a call.
///
/// `RESTResponse` must never be filtered by an allow-list, so there is only this list.
pub const DISALLOWED: &[&str] = &[
    "BridgeCreated",
    "BridgeDestroyed",
    "BridgeMerged",
    "BridgeVideoSourceChanged",
    "ChannelCallerId",
    "ChannelConnectedLine",
    "ChannelCreated",
    "ChannelDialplan",
    "ChannelEnteredBridge",
    "ChannelHangupRequest",
    "ChannelHold",
    "ChannelLeftBridge",
    "ChannelTalkingFinished",
    "ChannelTalkingStarted",
    "ChannelUnhold",
    "ChannelVarset",
    "ContactStatusChange",
    "DeviceStateChanged",
    "Dial",
    "EndpointStateChange",
    "PeerStatusChange",
    "PlaybackContinuing",
    "PlaybackStarted",
    "RecordingStarted",
];

/// Where Asterisk is and who we are to it.
#[derive(Clone)]
pub struct Settings {
    /// `http://127.0.0.1:8088/ari`, or `https`; the websocket is found from it.
    pub url: Url,
    pub user: String,
    pub password: String,
    /// Our Stasis application, one for each node.
    pub app: String,
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut url = self.url.clone();
        // What somebody wrote into the URL against all advice is not shown either.
        if url.password().is_some() {
            let _ = url.set_password(Some("redacted"));
        }
        url.set_query(None);
        f.debug_struct("Settings")
            .field("url", &url.as_str())
            .field("user", &self.user)
            .field("password", &"[redacted]")
            .field("app", &self.app)
            .finish()
    }
}

impl Settings {
    /// The URL without a slash at its end.
    ///
    /// # Errors
    /// When it is not a plain `http` or `https` URL: credentials in it would end in logs.
    fn base(&self) -> Result<String, AriError> {
        let wrong = |detail| Err(AriError::Settings { detail });
        if !matches!(self.url.scheme(), "http" | "https") || self.url.host_str().is_none() {
            return wrong("the URL must look like http://127.0.0.1:8088/ari");
        }
        if !self.url.username().is_empty() || self.url.password().is_some() {
            return wrong("user and password do not belong into the URL");
        }
        if self.url.query().is_some() || self.url.fragment().is_some() {
            return wrong("the URL must end with its path: no ? and no #");
        }
        if self.app.is_empty() {
            return wrong("the name of the application is empty");
        }
        Ok(self.url.as_str().trim_end_matches('/').to_owned())
    }

    /// The value of the `Authorization` header. Never `?api_key=`, which lands in logs.
    fn authorization(&self) -> String {
        format!("Basic {}", STANDARD.encode(format!("{}:{}", self.user, self.password)))
    }
}

/// What can go wrong with a command.
#[derive(Debug, Error)]
pub enum AriError {
    /// A bug or a bad name on our side, stopped before it reached Asterisk.
    #[error("{op} was not sent: {detail}")]
    Argument { op: &'static str, detail: &'static str },
    #[error("the answer to {op} cannot be read")]
    Decode { op: &'static str, source: serde_json::Error },
    /// The channel, bridge, endpoint or application does not exist (any more).
    #[error("{op}: Asterisk does not know it: {message}")]
    NotFound { op: &'static str, message: String },
    #[error("Asterisk refused {op} with {status}: {message}")]
    Refused { op: &'static str, status: u16, message: String },
    #[error("the settings for Asterisk are wrong: {detail}")]
    Settings { detail: &'static str },
    /// No answer. `sent`: Asterisk may nevertheless have done it.
    #[error("no answer from Asterisk to {op}: {detail}")]
    Transport { op: &'static str, sent: bool, detail: String },
    #[error("Asterisk refused user and password (see ari.conf), asked for {op}")]
    Unauthorized { op: &'static str },
}

impl AriError {
    /// Whether the same command may succeed later without anybody changing anything.
    #[must_use]
    pub fn retry_may_help(&self) -> bool {
        match self {
            Self::Transport { .. } => true,
            // 500 stands for "allocation failed", which is Asterisk's word for unreachable.
            Self::Refused { status, .. } => matches!(status, 429 | 502 | 503 | 504),
            Self::Argument { .. }
            | Self::Decode { .. }
            | Self::NotFound { .. }
            | Self::Settings { .. }
            | Self::Unauthorized { .. } => false,
        }
    }
}

/// Makes ring the process's TLS library, if none is yet: HTTP client and websocket both need one.
fn install_tls() {
    // An error means that somebody was quicker, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

/// Percent-encodes all but RFC 3986's unreserved characters. Stricter than the URL standard on
/// purpose: Asterisk reads a bare `+` as a space, in paths too.
fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            const HEX: &[u8; 16] = b"0123456789ABCDEF";
            out.push('%');
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(url: &str) -> Settings {
        Settings {
            url: url.parse().unwrap(),
            user: "divert".into(),
            password: "s3cret".into(),
            app: "divert".into(),
        }
    }

    #[test]
    fn the_password_is_never_shown() {
        let shown = format!("{:?}", settings("http://x:s3cret@127.0.0.1/ari?api_key=x:s3cret"));
        assert!(!shown.contains("s3cret"), "{shown}");
        assert!(shown.contains("divert"), "{shown}");
    }

    #[test]
    fn the_url_must_be_plain() {
        assert_eq!(settings("http://h:1/ari/").base().unwrap(), "http://h:1/ari");
        for url in ["ws://h/ari", "http://u@h/ari", "http://h/ari?api_key=a:b", "http://h/ari#x"] {
            assert!(matches!(settings(url).base(), Err(AriError::Settings { .. })), "{url}");
        }
    }

    #[test]
    fn every_reserved_character_is_escaped() {
        assert_eq!(encode("a-b._~9"), "a-b._~9");
        assert_eq!(encode("+1#2*3 4%/é"), "%2B1%232%2A3%204%25%2F%C3%A9");
    }

    #[test]
    fn only_what_may_pass_by_itself_is_worth_a_retry() {
        let refused = |status| AriError::Refused { op: "dial", status, message: String::new() };
        assert!(!refused(500).retry_may_help());
        assert!(!refused(409).retry_may_help());
        assert!(refused(503).retry_may_help());
        let transport =
            AriError::Transport { op: "dial", sent: true, detail: "timed out".to_owned() };
        assert!(transport.retry_may_help());
        assert!(!AriError::Unauthorized { op: "info" }.retry_may_help());
    }

    #[test]
    fn what_the_translation_needs_is_not_filtered_away() {
        let needed = [
            "ApplicationReplaced",
            "ChannelDestroyed",
            "ChannelDtmfReceived",
            "ChannelStateChange",
            "PlaybackFinished",
            "RESTResponse",
            "RecordingFinished",
            "StasisEnd",
            "StasisStart",
        ];
        for kind in needed {
            assert!(!DISALLOWED.contains(&kind), "{kind}");
        }
        assert!(DISALLOWED.is_sorted());
    }
}

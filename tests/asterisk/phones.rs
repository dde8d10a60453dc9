//! The second Asterisk: phones that divert dials, and the carrier that calls divert.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use divert::model::number::{Caller, Did};
use futures_util::StreamExt as _;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::ari::Ari;
use crate::lab::eventually;

/// What was seen of one channel of the phones.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    pub ringing: Option<Instant>,
    pub up: Option<Instant>,
    pub gone: Option<Gone>,
    /// The number it dialled, for a channel that came from divert.
    pub exten: String,
    /// It came from divert.
    pub is_called: bool,
}

#[derive(Clone, Copy, Debug)]
pub struct Gone {
    pub at: Instant,
    pub cause: u16,
    /// The SIP response behind the cause.
    pub sip: Option<u16>,
}

type Book = Arc<Mutex<BTreeMap<String, Seen>>>;

#[derive(Debug)]
pub struct Phones {
    pub ari: Ari,
    seen: Book,
}

/// A caller.
#[derive(Clone, Debug)]
pub struct Line {
    pub channel: String,
    ari: Ari,
    seen: Book,
    pub since: Instant,
}

impl Phones {
    pub async fn watch(ari: Ari) -> Self {
        let seen = Book::default();
        let (url, _) = ari.events();
        let (mut events, _) = tokio_tungstenite::connect_async(url).await.unwrap();
        let book = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Some(Ok(message)) = events.next().await {
                if let Message::Text(text) = message {
                    note(&book, &serde_json::from_str(&text).unwrap_or_default());
                }
            }
        });
        Self { ari, seen }
    }

    /// Calls a number of divert's and plays a tone once it is answered.
    pub async fn call(&self, did: &Did, caller: &Caller) -> Line {
        self.call_with(&at_divert(did), caller, &json!({})).await
    }

    /// The same over any endpoint, with channel variables for the carrier's side.
    pub async fn call_with(&self, endpoint: &str, caller: &Caller, variables: &Value) -> Line {
        let channel = format!("line-{:x}", divert::clock::mint());
        let caller = format!("\"{}\" <{}>", caller.name, caller.number);
        let query = [
            ("endpoint", endpoint),
            ("extension", "hold"),
            ("context", "caller"),
            ("priority", "1"),
            ("callerId", caller.as_str()),
            ("channelId", channel.as_str()),
            ("timeout", "120"),
        ];
        let since = Instant::now();
        self.ari.post("/channels", &query, &json!({ "variables": variables })).await;
        Line { channel, ari: self.ari.clone(), seen: Arc::clone(&self.seen), since }
    }

    /// Calls a number and records everything the caller hears; [`Phones::recording`] fetches it.
    pub async fn call_recording(&self, did: &Did, caller: &Caller, name: &str) -> Line {
        let endpoint = format!("Local/{did}@record/n");
        self.call_with(&endpoint, caller, &json!({ "RECORD_AS": name })).await
    }

    /// A recording as a WAV file, once it is there.
    pub async fn recording(&self, name: &str) -> Vec<u8> {
        let path = format!("/recordings/stored/{name}/file");
        eventually("the recording to be written", Duration::from_secs(10), async || {
            self.ari.get_bytes(&path).await.filter(|bytes| bytes.len() > 44)
        })
        .await
    }

    /// The channels by which divert reached the phone with this number, also those that are over.
    pub fn called(&self, number: &str) -> Vec<(String, Seen)> {
        let seen = self.seen.lock().unwrap();
        let of_number = |(_, seen): &(&String, &Seen)| seen.is_called && seen.exten == number;
        seen.iter().filter(of_number).map(|(id, seen)| (id.clone(), seen.clone())).collect()
    }

    /// The channel of the phone with this number that talks now.
    pub async fn talking(&self, number: &str) -> String {
        eventually("the phone to answer", Duration::from_secs(10), async || {
            let all = self.called(number);
            let up = all.into_iter().find(|(_, seen)| seen.up.is_some() && seen.gone.is_none());
            up.map(|(id, _)| id)
        })
        .await
    }

    pub fn is_alive(&self, channel: &str) -> bool {
        self.seen.lock().unwrap().get(channel).is_some_and(|seen| seen.gone.is_none())
    }

    pub async fn hang_up(&self, channel: &str) {
        self.ari.delete(&format!("/channels/{channel}?reason_code=16")).await;
    }

    pub async fn until_gone(&self, channel: &str, limit: Duration) -> Gone {
        eventually("the phone's channel to end", limit, async || {
            self.seen.lock().unwrap().get(channel)?.gone
        })
        .await
    }
}

impl Line {
    pub fn seen(&self) -> Seen {
        self.seen.lock().unwrap().get(&self.channel).cloned().unwrap_or_default()
    }

    /// Answered within the limit; how long it took.
    pub async fn until_up(&self, limit: Duration) -> Duration {
        let up = eventually("the caller to be answered", limit, async || {
            let seen = self.seen();
            assert!(seen.gone.is_none() || seen.up.is_some(), "the caller was rejected: {seen:?}");
            seen.up
        });
        up.await.duration_since(self.since)
    }

    pub async fn until_gone(&self, limit: Duration) -> Gone {
        eventually("the caller to be hung up", limit, async || self.seen().gone).await
    }

    pub async fn hang_up(&self) {
        self.ari.delete(&format!("/channels/{}?reason_code=16", self.channel)).await;
    }
}

/// The endpoint that calls a number of divert's. In a SIP URI `#` must be escaped.
pub fn at_divert(did: &Did) -> String {
    format!("PJSIP/{}@divert", did.as_str().replace('#', "%23"))
}

fn note(book: &Book, event: &Value) {
    let channel = &event["channel"];
    let Some(id) = channel["id"].as_str() else {
        return;
    };
    let mut book = book.lock().unwrap();
    let seen = book.entry(id.to_owned()).or_default();
    if channel["dialplan"]["context"] == "phones" && seen.exten.is_empty() {
        seen.is_called = true;
        channel["dialplan"]["exten"].as_str().unwrap_or_default().clone_into(&mut seen.exten);
    }
    let now = Some(Instant::now());
    match (event["type"].as_str(), channel["state"].as_str()) {
        (Some("ChannelStateChange"), Some("Ringing")) => seen.ringing = seen.ringing.or(now),
        (Some("ChannelStateChange"), Some("Up")) => seen.up = seen.up.or(now),
        (Some("ChannelDestroyed"), _) => {
            let number = |key: &str| event[key].as_u64().and_then(|n| u16::try_from(n).ok());
            let (cause, sip) = (number("cause").unwrap_or_default(), number("tech_cause"));
            seen.gone = Some(Gone { at: Instant::now(), cause, sip });
        }
        _ => {}
    }
}

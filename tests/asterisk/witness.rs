//! What Asterisk itself tells of callers: an application beside divert's, which hears of every channel.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use divert::model::id::ChannelId;
use futures_util::StreamExt as _;
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;

use crate::ari::Ari;

/// How far a caller came in the dialplan.
#[derive(Clone, Debug, Default)]
pub struct Path {
    pub number: String,
    /// It came to `Stasis()` …
    pub entered: bool,
    /// … and went on behind it: divert was not there, or sent it back.
    pub left: bool,
    /// The fallback was dialled for it.
    pub fell_back: bool,
}

#[derive(Debug)]
pub struct Witness {
    paths: Arc<Mutex<BTreeMap<ChannelId, Path>>>,
    task: JoinHandle<()>,
}

impl Witness {
    pub async fn watch(ari: &Ari) -> Self {
        let (mut events, _) = tokio_tungstenite::connect_async(ari.events()).await.unwrap();
        let paths = Arc::default();
        let book = Arc::clone(&paths);
        let task = tokio::spawn(async move {
            while let Some(Ok(message)) = events.next().await {
                if let Message::Text(text) = message {
                    note(&book, &serde_json::from_str(&text).unwrap_or_default());
                }
            }
        });
        Self { paths, task }
    }

    /// Every channel of a caller.
    pub fn callers(&self) -> BTreeMap<ChannelId, Path> {
        self.paths.lock().unwrap().clone()
    }
}

impl Drop for Witness {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn note(book: &Mutex<BTreeMap<ChannelId, Path>>, event: &Value) {
    let channel = &event["channel"];
    let is_caller = channel["name"].as_str().is_some_and(|name| name.starts_with("PJSIP/carrier-"));
    let Some(id) = channel["id"].as_str().filter(|_| is_caller) else {
        return;
    };
    let mut book = book.lock().unwrap();
    let path = book.entry(ChannelId(id.to_owned())).or_default();
    channel["caller"]["number"].as_str().unwrap_or_default().clone_into(&mut path.number);
    if event["type"] == "ChannelDialplan" {
        match event["dialplan_app"].as_str() {
            Some("Stasis") => path.entered = true,
            Some("Goto") => path.left |= path.entered,
            Some("Dial") => path.fell_back = true,
            _ => {}
        }
    }
}

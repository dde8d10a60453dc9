//! The leak gate: after every test nothing is left, neither in Asterisk nor at the phones nor in
//! divert.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::lab::Lab;

/// How long Asterisk and divert may take to tidy up.
const LIMIT: Duration = Duration::from_secs(30);

/// # Panics
/// With everything that is still there after 30 s.
pub async fn check(lab: &Lab) {
    let since = Instant::now();
    loop {
        let left = leftovers(lab).await;
        if left.is_empty() {
            return;
        }
        let text = left.join("\n");
        assert!(since.elapsed() < LIMIT, "still there after {LIMIT:?}:\n{text}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn leftovers(lab: &Lab) -> Vec<String> {
    let mut left = Vec::new();
    for (who, ari) in [("Asterisk", &lab.pbx), ("the phones", &lab.phones.ari)] {
        for (what, path) in [("channel", "/channels"), ("bridge", "/bridges")] {
            let list = ari.try_get(path).await;
            let list = list.unwrap_or_else(|| Value::from(vec!["no answer"]));
            for item in list.as_array().into_iter().flatten() {
                let name = item.get("name").unwrap_or(item);
                left.push(format!("{what} {} {name} of {who}", item["id"]));
            }
        }
    }
    if lab.divert.is_running() {
        let live = lab.divert.try_get("/v1/calls?live=true").await.unwrap_or_default();
        match live["data"].as_array() {
            Some(calls) => left.extend(calls.iter().map(|call| format!("call {}", call["id"]))),
            None => left.push("no answer from divert".to_owned()),
        }
        let metrics = lab.divert.metrics().await;
        let live = metrics.lines().filter(|line| line.starts_with("divert_calls_live"));
        left.extend(live.filter(|line| !line.ends_with(" 0")).map(str::to_owned));
    }
    left
}

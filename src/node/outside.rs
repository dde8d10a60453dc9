//! Errands to Asterisk that are no call's: what the loop sends others on, since it never waits itself.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OnceCell, mpsc, watch};
use tracing::debug;

use super::core::Resync;
use super::run::{Heard, REGULATE};
use crate::ari::client::Client;
use crate::ari::resync::Known;
use crate::ari::variable::Global;
use crate::ari::{self, AriError, resync};
use crate::clock;
use crate::model::time::Timestamp;

/// What the loop needs to send others on errands.
pub(super) struct Outside {
    pub(super) client: Client,
    pub(super) name: String,
    hear: mpsc::Sender<Heard>,
    /// When the process before this one died, once that was asked.
    died_at: Arc<OnceCell<Option<Timestamp>>>,
}

impl Outside {
    pub(super) fn new(client: Client, name: String, hear: mpsc::Sender<Heard>) -> Self {
        Self { client, name, hear, died_at: Arc::default() }
    }

    /// Tells the dialplan that we live.
    pub(super) fn beat(&self, at: Timestamp) {
        let client = self.client.clone();
        tokio::spawn(async move {
            let seconds = (at.0 / 1_000).to_string();
            if let Err(error) = client.set_global(Global::Beat, &seconds).await {
                debug!(%error, "the sign of life was not taken");
            }
        });
    }

    /// The last act: so old a sign of life tells the dialplan, and the next process, that this one
    /// stopped and did not die.
    pub(super) async fn say_goodbye(&self) {
        if let Err(error) = self.client.set_global(Global::Beat, "0").await {
            debug!(%error, "the sign of life was not taken");
        }
    }

    /// Reads Asterisk's state and sends it to the loop. `is_first`: nothing was read yet by this
    /// process.
    pub(super) fn resync(&self, generation: u64, why: Resync, known: Vec<Known>, is_first: bool) {
        let (client, hear) = (self.client.clone(), self.hear.clone());
        let before = Arc::clone(&self.died_at);
        tokio::spawn(async move {
            let result = async {
                let mut died_at = None;
                if why == Resync::Connected {
                    if is_first {
                        // Once: from here on it is our own sign.
                        died_at = *before.get_or_try_init(|| last_death(&client)).await?;
                    }
                    // First of all, or a stale sign of life turns the first calls away.
                    let seconds = (clock::wall().0 / 1_000).to_string();
                    client.set_global(Global::Beat, &seconds).await?;
                    // An earlier process may have ended in the middle of a rush.
                    client.set_global(Global::Shed, "0").await?;
                    client.event_filter(ari::DISALLOWED).await?;
                }
                resync::snapshot(&client, &known, died_at).await
            }
            .await;
            if result.is_err() {
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            let _ = hear.send(Heard::Resynced { generation, why, result }).await;
        });
    }
}

/// When the process before this one gave its last sign of life, if it died: one that was asked to
/// stop says so by a sign from the year 1970, and an Asterisk that was restarted knows of none.
async fn last_death(client: &Client) -> Result<Option<Timestamp>, AriError> {
    let beat = client.global(&Global::Beat.name(client.app())).await?;
    let seconds = beat.parse::<i64>().ok().filter(|seconds| *seconds > 0);
    Ok(seconds.map(|seconds| Timestamp(seconds.saturating_mul(1_000))))
}

/// Tells the dialplan how many percent of the calls to keep; only the newest figure counts.
pub(super) async fn keep_door(client: Client, mut share: watch::Receiver<u32>) {
    while share.changed().await.is_ok() {
        let percent = *share.borrow_and_update();
        while let Err(error) = client.set_global(Global::Shed, &percent.to_string()).await {
            debug!(%error, "the share of calls to keep was not taken");
            tokio::time::sleep(REGULATE).await;
            if share.has_changed().unwrap_or(true) {
                break;
            }
        }
    }
}

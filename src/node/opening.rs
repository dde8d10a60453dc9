//! What a node starts from: its store, and what it routes by. A store that is away is waited for.

use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::watch;
use tokio::time::sleep;
use tracing::{info, warn};

use super::spool::{ReplayError, Spool};
use super::watch::{Versions, read_snapshot};
use crate::config::Config;
use crate::routing::snapshot::Snapshot;
use crate::store::Db;

/// The first pause between two tries; each is twice as long as the one before, up to the longest.
const PAUSE: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(10);

pub struct Opened {
    pub db: Db,
    pub spool: Option<Spool>,
    pub snapshot: Snapshot,
    pub versions: Versions,
}

/// Opens the store, writes what an earlier process could not, and reads the configuration; `tell`
/// hears why that takes longer.
///
/// # Errors
/// Only a person can help: the store is not ours or newer than we are, or its settings are wrong.
pub async fn open(config: &Config, tell: watch::Sender<String>) -> anyhow::Result<Opened> {
    let mut spool = Spool::of(config)?;
    let mut pause = PAUSE;
    loop {
        match attempt(config, spool.as_mut()).await {
            Ok((db, snapshot, versions)) => {
                if pause > PAUSE {
                    info!("the database is there");
                }
                return Ok(Opened { db, spool, snapshot, versions });
            }
            Err(ReplayError::Store(error)) if error.may_retry() => {
                let why = format!("waiting for {} ({error})", config.database);
                warn!("{why}; next try in {} s", pause.as_secs_f32());
                tell.send_replace(why);
            }
            Err(error) => return Err(error).context("opening the store"),
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST);
    }
}

async fn attempt(
    config: &Config,
    spool: Option<&mut Spool>,
) -> Result<(Db, Snapshot, Versions), ReplayError> {
    let db = Db::open(config.database.expose()).await?;
    if let Some(spool) = spool {
        spool.replay(&db, &config.node.name).await?;
    }
    let (snapshot, versions) = read_snapshot(&db, &config.node.master).await?;
    Ok((db, snapshot, versions))
}

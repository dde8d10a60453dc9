//! What a node starts from: its store, and what it routes by. A store that is away is waited for.

use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::DropGuard;
use tracing::{info, warn};

use super::spool::{ReplayError, Spool};
use super::watch::{Versions, read_snapshot};
use crate::config::{Config, DatabaseUrl};
use crate::routing::snapshot::Snapshot;
use crate::store::{Db, StoreError};

/// The first pause between two tries; each is twice as long as the one before, up to the longest.
const PAUSE: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(10);

pub struct Opened {
    pub db: Db,
    pub spool: Option<Spool>,
    pub snapshot: Snapshot,
    pub versions: Versions,
    /// For what else is read at the start.
    pub waiting: Waiting,
}

/// How a node that starts waits for a store that is away. Drop it when nothing is waited for any more.
pub struct Waiting {
    database: DatabaseUrl,
    pause: Duration,
    /// Hears that it takes longer; why, only the log: whoever asks then may be anybody.
    tell: watch::Sender<()>,
    /// Whoever asks meanwhile is answered until this is gone.
    _answering: DropGuard,
}

impl Waiting {
    pub fn new(database: DatabaseUrl, tell: watch::Sender<()>, answering: DropGuard) -> Self {
        Self { database, pause: PAUSE, tell, _answering: answering }
    }

    /// Tries until the store is there.
    ///
    /// # Errors
    /// One that does not pass by itself.
    pub async fn until_there<T, F>(&mut self, attempt: impl Fn() -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        loop {
            match attempt().await {
                Ok(done) => {
                    self.is_there();
                    return Ok(done);
                }
                Err(error) => self.after(error).await?,
            }
        }
    }

    /// Pauses before the next try.
    ///
    /// # Errors
    /// This one, if it does not pass by itself.
    async fn after(&mut self, error: StoreError) -> Result<(), StoreError> {
        if !error.may_retry() {
            return Err(error);
        }
        let why = format!("waiting for {} ({error})", self.database);
        warn!("{why}; next try in {} s", self.pause.as_secs_f32());
        self.tell.send_replace(());
        sleep(self.pause).await;
        self.pause = (self.pause * 2).min(LONGEST);
        Ok(())
    }

    fn is_there(&mut self) {
        if std::mem::replace(&mut self.pause, PAUSE) > PAUSE {
            info!("the database is there");
        }
    }
}

/// Opens the store, writes what an earlier process could not, and reads the configuration.
///
/// # Errors
/// Only a person can help: the store is not ours or newer than we are, or its settings are wrong.
pub async fn open(config: &Config, mut waiting: Waiting) -> anyhow::Result<Opened> {
    let mut spool = Spool::of(config)?;
    loop {
        let error = match attempt(config, spool.as_mut()).await {
            Ok((db, snapshot, versions)) => {
                waiting.is_there();
                return Ok(Opened { db, spool, snapshot, versions, waiting });
            }
            Err(ReplayError::Store(error)) => error,
            Err(error) => return Err(error).context("opening the store"),
        };
        waiting.after(error).await.context("opening the store")?;
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

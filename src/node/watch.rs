//! News of the configuration: read from the store when its version says that it has changed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};

use crate::api::Readiness;
use crate::model::id::AccountId;
use crate::routing::snapshot::Snapshot;
use crate::store::{Db, StoreError, Version};

/// How often the configuration's version is looked at: what another node was told holds here within a
/// second.
const POLL: Duration = Duration::from_millis(250);

/// Of the configuration of each account.
pub type Versions = BTreeMap<AccountId, Version>;

/// Everything a node routes by, and the versions it is of.
///
/// # Errors
/// [`StoreError`] when it cannot be read.
pub async fn load(db: &Db, master: &str) -> Result<(Snapshot, Versions), StoreError> {
    let versions = db.versions().await?;
    let mut accounts = Vec::new();
    for account in versions.keys() {
        accounts.push((*account, db.configuration(*account).await?.0));
    }
    Ok((Snapshot::build(&accounts, Some(master)), versions))
}

/// Looks at the configuration's version again and again, and at once when the API has changed it.
pub struct Watch {
    pub db: Db,
    pub master: String,
    /// The API has changed it.
    pub changed: Arc<Notify>,
    pub readiness: Arc<Mutex<Readiness>>,
}

impl Watch {
    /// Sends each new snapshot until nobody listens.
    pub async fn run(self, mut known: Versions, tell: mpsc::Sender<Arc<Snapshot>>) {
        while !tell.is_closed() {
            let _ = tokio::time::timeout(POLL, self.changed.notified()).await;
            let state = match self.news(&known).await {
                Ok(None) => Ok(()),
                Ok(Some((snapshot, versions))) => {
                    known = versions;
                    let _ = tell.send(Arc::new(snapshot)).await;
                    Ok(())
                }
                Err(error) => Err(format!("the store does not answer: {error}")),
            };
            self.readiness.lock().unwrap_or_else(PoisonError::into_inner).store = state;
        }
    }

    async fn news(&self, known: &Versions) -> Result<Option<(Snapshot, Versions)>, StoreError> {
        if self.db.versions().await? == *known {
            return Ok(None);
        }
        load(&self.db, &self.master).await.map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use crate::model::account::DEFAULT_ACCOUNT;
    use crate::model::configuration::Change;
    use crate::model::forwarding_flow::ForwardingFlow;
    use crate::model::id::{ForwardingFlowId, ServerId};
    use crate::model::server::{Server, ServerRole};

    /// Two nodes have nothing in common but the database.
    #[tokio::test]
    async fn what_another_node_was_told_is_heard_within_a_second() {
        let folder = tempfile::TempDir::new().unwrap();
        let url = format!("sqlite:{}", folder.path().join("divert.sqlite").display());
        let (ours, theirs) = (Db::open(&url).await.unwrap(), Db::open(&url).await.unwrap());
        let (_, known) = load(&ours, "master").await.unwrap();
        let readiness = Arc::new(Mutex::new(Readiness { asterisk: Ok(()), store: Ok(()) }));
        let watch = Watch { db: ours, master: "master".into(), changed: Arc::default(), readiness };
        let (tell, mut heard) = mpsc::channel(1);
        tokio::spawn(watch.run(known, tell));

        let (_, version) = theirs.configuration(DEFAULT_ACCOUNT).await.unwrap();
        let master = ServerId::new(1);
        let server = Server {
            id: master,
            name: "master".into(),
            role: ServerRole::Master,
            trunk: None,
            max_live: None,
        };
        let flow = ForwardingFlow::new(ForwardingFlowId::new(1), "changed", master);
        let changes = [Change::PutServer(server), Change::PutForwardingFlow(flow.into())];
        theirs.change(DEFAULT_ACCOUNT, version, &changes, clock::now()).await.unwrap();
        let told = tokio::time::timeout(Duration::from_secs(1), heard.recv()).await;
        let snapshot = told.expect("nothing was heard within a second").unwrap();
        assert!(snapshot.flows().any(|plan| plan.flow.name == "changed"));
    }
}

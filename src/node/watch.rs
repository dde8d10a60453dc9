//! News of the configuration: read from the store when its version says that it has changed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tracing::{info, warn};

use crate::api::Readiness;
use crate::clock;
use crate::model::billing::Micros;
use crate::model::configuration::Configuration;
use crate::model::id::{AccountId, ForwardingFlowId};
use crate::model::memory::{Remembered, Visit};
use crate::model::number::{CallerKey, Did};
use crate::routing::recall::Recall;
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
pub async fn read_snapshot(db: &Db, master: &str) -> Result<(Snapshot, Versions), StoreError> {
    let (mut accounts, mut versions) = read(db).await?;
    for (account, configuration) in &mut accounts {
        let (owned, numbers) = db.owned_dids(*account).await?;
        let mut dids: BTreeMap<ForwardingFlowId, Vec<Did>> = BTreeMap::new();
        for owner in owned {
            dids.entry(owner.flow).or_default().extend(owner.dids);
        }
        for flow in &mut configuration.forwarding_flows {
            flow.dids = dids.remove(&flow.id).unwrap_or_default();
        }
        // Should they have changed since, the next look sees it.
        if let Some(version) = versions.get_mut(account) {
            version.numbers = numbers;
        }
    }
    Ok((Snapshot::build(&accounts, Some(master)), versions))
}

/// All but the DIDs.
async fn read(db: &Db) -> Result<(Vec<(AccountId, Configuration)>, Versions), StoreError> {
    let (mut accounts, mut versions) = (Vec::new(), Versions::new());
    for account in db.accounts().await? {
        let (configuration, version) = db.configuration_without_numbers(account).await?;
        accounts.push((account, configuration));
        versions.insert(account, version);
    }
    Ok((accounts, versions))
}

/// What is left of every account, of those that were never paid into too.
///
/// # Errors
/// [`StoreError`] when it cannot be read.
pub async fn read_balances(
    db: &Db,
    accounts: impl IntoIterator<Item = AccountId>,
) -> Result<BTreeMap<AccountId, Micros>, StoreError> {
    let mut balances = db.balances().await?;
    for account in accounts {
        balances.entry(account).or_default();
    }
    Ok(balances)
}

/// What the node is told.
pub enum News {
    /// Of every account.
    Balances(BTreeMap<AccountId, Micros>),
    /// With what was remembered of all that is new in it.
    Configuration(Arc<Snapshot>, Recalled),
}

/// What was remembered, by this node earlier or by another.
#[derive(Default)]
pub struct Recalled {
    pub remembered: Vec<Remembered>,
    pub visits: Vec<(ForwardingFlowId, Vec<(CallerKey, Visit)>)>,
}

/// What was remembered of everything that one configuration has and the one before it had not.
///
/// # Errors
/// [`StoreError`] when it cannot be read.
pub async fn recall(db: &Db, before: &Snapshot, after: &Snapshot) -> Result<Recalled, StoreError> {
    let recall = Recall::between(before, after);
    let mut recalled = Recalled::default();
    if recall.is_empty() {
        return Ok(recalled);
    }
    for account in db.accounts().await? {
        let remembered = db.remembered(account).await?.into_iter();
        recalled.remembered.extend(remembered.filter(|what| recall.wants(what)));
    }
    for (account, flow, rule) in recall.rules {
        let since = clock::now().plus_ms(-i64::from(rule.within_sec) * 1_000);
        recalled.visits.push((flow, db.visits(account, flow, since).await?));
    }
    Ok(recalled)
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
    /// Sends what is new until nobody listens; `snapshot` is what the node has, of these versions.
    pub async fn run(
        self,
        mut snapshot: Arc<Snapshot>,
        mut known: Versions,
        tell: mpsc::Sender<News>,
    ) {
        let mut is_away = false;
        while !tell.is_closed() {
            let state = match self.look(&mut snapshot, &mut known, &tell).await {
                Ok(()) => Ok(()),
                Err(error) => Err(format!("the store does not answer: {error}")),
            };
            match &state {
                Err(why) if !is_away => warn!("{why}; calls go on by what is known"),
                Ok(()) if is_away => info!("the store answers again"),
                _ => {}
            }
            is_away = state.is_err();
            self.readiness.lock().unwrap_or_else(PoisonError::into_inner).store = state;
            let _ = tokio::time::timeout(POLL, self.changed.notified()).await;
        }
    }

    async fn look(
        &self,
        snapshot: &mut Arc<Snapshot>,
        known: &mut Versions,
        tell: &mpsc::Sender<News>,
    ) -> Result<(), StoreError> {
        let versions = self.db.versions().await?;
        if versions != *known {
            let (next, versions) = self.next(snapshot, known, &versions).await?;
            let recalled = recall(&self.db, snapshot, &next).await?;
            (*snapshot, *known) = (Arc::new(next), versions);
            let _ = tell.send(News::Configuration(Arc::clone(snapshot), recalled)).await;
        }
        if snapshot.has_prepaid() {
            let balances = read_balances(&self.db, known.keys().copied()).await?;
            let _ = tell.send(News::Balances(balances)).await;
        }
        Ok(())
    }

    /// With a million numbers, reading them takes longer than a pause may take to be obeyed: where
    /// none has changed they are not read again.
    async fn next(
        &self,
        snapshot: &Snapshot,
        known: &Versions,
        versions: &Versions,
    ) -> Result<(Snapshot, Versions), StoreError> {
        let numbers = |versions: &Versions| -> Vec<_> {
            versions.iter().map(|(account, version)| (*account, version.numbers)).collect()
        };
        if numbers(known) == numbers(versions) {
            let (accounts, read) = read(&self.db).await?;
            if numbers(&read) == numbers(known)
                && let Some(next) = snapshot.again(accounts, Some(&self.master))
            {
                return Ok((next, read));
            }
        }
        read_snapshot(&self.db, &self.master).await
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::api::RowCounts;
    use crate::model::change::{Author, diff};
    use crate::model::configuration::Configuration;
    use crate::model::id::{ForwardingFlowId, ServerId};
    use crate::model::objects::account::DEFAULT_ACCOUNT;
    use crate::model::objects::forwarding_flow::ForwardingFlow;
    use crate::model::objects::server::{Server, ServerRole};

    /// Looks until it is so, however slow the machine is.
    async fn eventually(what: &str, is_so: impl Fn() -> bool) {
        let begun = Instant::now();
        while !is_so() {
            assert!(begun.elapsed() < Duration::from_secs(30), "{what}");
            tokio::task::yield_now().await;
        }
    }

    /// How many looks there are in a second. How long each takes is up to the machine.
    const LOOKS: u128 = Duration::from_secs(1).as_millis() / POLL.as_millis();

    /// Two nodes have nothing in common but the database. One look may have begun before the change and
    /// end after it; the one after that sees it.
    #[tokio::test]
    async fn what_another_node_was_told_is_heard_within_a_second() {
        let folder = tempfile::TempDir::new().unwrap();
        let url = format!("sqlite:{}", folder.path().join("divert.sqlite").display());
        let (ours, theirs) = (Db::open(&url).await.unwrap(), Db::open(&url).await.unwrap());
        let (before, known) = read_snapshot(&ours, "master").await.unwrap();
        let not_looked = || Err("nobody has looked yet".to_owned());
        let readiness = Arc::new(Mutex::new(Readiness {
            asterisk: Ok(()),
            store: not_looked(),
            trunks: Ok(()),
            rows: RowCounts::default(),
        }));
        let has_looked = || readiness.lock().unwrap().store.is_ok();
        let watch = Watch {
            db: ours,
            master: "master".into(),
            changed: Arc::default(),
            readiness: Arc::clone(&readiness),
        };
        let (tell, mut heard) = mpsc::channel(1);
        tokio::spawn(watch.run(Arc::new(before), known, tell));
        eventually("the first look", has_looked).await;

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
        let nothing = Configuration::default();
        let next = Configuration {
            servers: vec![server],
            forwarding_flows: vec![flow],
            ..nothing.clone()
        };
        let author = Author { key: None, name: "root".into() };
        let changes = diff(&nothing, &next);
        theirs.change(DEFAULT_ACCOUNT, version, &changes, &author, clock::now()).await.unwrap();
        const { assert!(LOOKS >= 2, "a second is too short for two looks") };
        let mut told = None;
        for _ in 0..2 {
            readiness.lock().unwrap().store = not_looked();
            eventually("the next look", has_looked).await;
            told = told.or(heard.try_recv().ok());
        }
        let Some(News::Configuration(snapshot, _)) = told else {
            panic!("nothing was heard within two looks");
        };
        assert!(snapshot.flows().any(|plan| plan.flow.name == "changed"));
    }
}

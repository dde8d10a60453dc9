//! The loop of a node and the tasks around it, from start to stop.
//!
//! Start: configuration, then the calls an earlier process left open, then Asterisk. Stop: new calls go
//! to the dialplan's fallback, calls that ring may finish for a while, conversations stay up in
//! Asterisk and are taken over by the next process.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::core::{Core, Resync};
use super::lanes::Lanes;
use super::port::{Port, Request};
use super::trunks;
use super::writer::Writer;
use crate::api::{self, Api, Readiness};
use crate::ari::client::Client;
use crate::ari::resync::Snapshot as AsteriskSnapshot;
use crate::ari::socket::{self, SocketEvent};
use crate::ari::translate::translate;
use crate::ari::variable::Global;
use crate::ari::{self, AriError, resync};
use crate::clock;
use crate::config::Config;
use crate::engine::journal::JournalEntry;
use crate::engine::{CallEvent, Input};
use crate::model::id::AccountId;
use crate::model::time::Timestamp;
use crate::routing::snapshot::Snapshot;
use crate::store::{Db, StoreError};

/// The dialplan takes a sign of life older than 8 s for our death.
const BEAT: Duration = Duration::from_secs(2);
/// How often the configuration's version is looked at.
const POLL: Duration = Duration::from_secs(1);
/// How often Asterisk's own list is compared while all is well.
const COMPARE: Duration = Duration::from_secs(15);
const TIDY: Duration = Duration::from_secs(1);
/// How often the dialplan may be told another share of the calls to keep.
const REGULATE: Duration = Duration::from_millis(250);
/// How long calls that ring may go on when divert is asked to stop.
const DRAIN: Duration = Duration::from_secs(10);
const EVENTS: usize = 4_096;

/// What the loop hears from its helpers.
enum Heard {
    Configuration(Arc<Snapshot>),
    Resynced { generation: u64, why: Resync, result: Result<AsteriskSnapshot, AriError> },
}

/// Runs a node until `cancel`.
///
/// # Errors
/// When the store cannot be opened, the API cannot listen, or another divert took over our
/// application in Asterisk.
pub async fn run(
    config: Config,
    metrics: Arc<dyn Fn() -> String + Send + Sync>,
    cancel: CancellationToken,
) -> anyhow::Result<()> {
    let db = Db::open(config.database.expose()).await.context("opening the store")?;
    let settings = settings(&config);
    let client = Client::new(&settings)?;
    let (snapshot, version) = load(&db, &config.node.master).await.context("reading the store")?;
    let snapshot = Arc::new(snapshot);
    if snapshot.flows().next().is_none() {
        warn!(
            "no forwarding flow has the master {:?}: every call goes back to the dialplan",
            config.node.master
        );
    }

    let (writer, writing) = Writer::start(db.clone(), config.node.name.clone());
    let (results, mut inputs) = mpsc::unbounded_channel();
    let lanes = Lanes::new(client.clone(), results);
    let mut core = Core::new(Arc::clone(&snapshot), lanes, writer);
    take_over(&mut core, &db, &config.node.name).await.context("reading open calls")?;

    let changed = Arc::new(Notify::new());
    let (hear, mut heard) = mpsc::channel(16);
    let (ask, mut requests) = mpsc::channel(64);
    let readiness = Arc::new(Mutex::new(Readiness {
        asterisk: Err("not connected to Asterisk yet".to_owned()),
        store: Ok(()),
    }));
    let port = Port {
        requests: ask,
        changed: Arc::clone(&changed),
        readiness: Arc::clone(&readiness),
        client: client.clone(),
        context: config.test_calls.context.clone(),
    };
    let api = Api::new(db.clone(), Arc::new(port), metrics);
    let api_stop = CancellationToken::new();
    let serving = api::serve(config.api.listen, config.api.socket.clone(), api, api_stop.clone());
    let mut serving = tokio::spawn(serving);
    let watching = tokio::spawn(watch_configuration(
        db.clone(),
        config.node.master.clone(),
        version,
        Arc::clone(&changed),
        hear.clone(),
        Arc::clone(&readiness),
    ));

    let (events, mut socket) = mpsc::channel(EVENTS);
    let socket_stop = CancellationToken::new();
    let listening = tokio::spawn(socket::run(settings, events, socket_stop.clone()));
    let trunks = trunks::Trunks::start(client.clone());
    let (door, share) = watch::channel(0);
    tokio::spawn(keep_door(client.clone(), share));

    let mut beat = interval(BEAT);
    let mut compare = interval(COMPARE);
    let mut tidy = interval(TIDY);
    let mut regulate = interval(REGULATE);
    for ticker in [&mut beat, &mut compare, &mut tidy, &mut regulate] {
        ticker.set_missed_tick_behavior(MissedTickBehavior::Delay);
    }
    let mut is_connected = false;
    let mut generation = 0;
    let mut drain_until: Option<Instant> = None;
    let mut snapshot = snapshot;
    let node = Node { client, db: db.clone(), name: config.node.name.clone(), hear };

    let ended = loop {
        let timer = core.engine.next_timeout().map(|at| in_future(clock::now(), at));
        tokio::select! {
            biased;
            () = cancel.cancelled(), if drain_until.is_none() => {
                info!("stopping: new calls go to the dialplan's fallback");
                drain_until = Some(Instant::now() + DRAIN);
                // Read by the dialplan as "nobody is there".
                node.beat(Timestamp(0));
            }
            event = socket.recv() => match event {
                None => break Err(anyhow::anyhow!("the connection to Asterisk ended for good")),
                Some(SocketEvent::Connected) => {
                    info!("connected to Asterisk");
                    is_connected = true;
                    generation += 1;
                    core.hold_back();
                    node.resync(generation, Resync::Connected);
                    trunks.want_anew(Arc::clone(&snapshot));
                }
                Some(SocketEvent::Disconnected { reason }) => {
                    is_connected = false;
                    generation += 1;
                    let text = format!("the connection to Asterisk is cut: {reason}");
                    warn!("{text}; new calls use the dialplan's fallback");
                    readiness.lock().unwrap_or_else(PoisonError::into_inner).asterisk = Err(text);
                    metrics::counter!("divert_disconnects_total").increment(1);
                }
                Some(SocketEvent::Replaced) => {
                    break Err(anyhow::anyhow!(
                        "another divert took over the Stasis application {:?}: give each node its \
                         own name",
                        config.ari.app
                    ));
                }
                Some(SocketEvent::Event(event, _)) => {
                    if let Some(sent_at) = event.sent_at() {
                        core.load.heard(sent_at, clock::now());
                    }
                    if let Some(event) = translate(&event) {
                        core.event(event);
                    }
                }
            },
            Some(input) = inputs.recv() => core.feed(input),
            Some(news) = heard.recv() => match news {
                Heard::Configuration(new) => {
                    info!("the configuration has changed");
                    snapshot = Arc::clone(&new);
                    core.reload(Arc::clone(&new));
                    if is_connected {
                        trunks.want(new);
                    }
                }
                Heard::Resynced { generation: of, .. } if of != generation => {}
                Heard::Resynced { why, result: Ok(asterisk), .. } => {
                    core.resynced(why, asterisk);
                    if why == Resync::Connected {
                        node.remember_startup(core.startup_time());
                        readiness.lock().unwrap_or_else(PoisonError::into_inner).asterisk = Ok(());
                    }
                }
                Heard::Resynced { why: Resync::Periodic, result: Err(error), .. } => {
                    warn!(%error, "Asterisk's state could not be read");
                }
                Heard::Resynced { why, result: Err(error), .. } => {
                    warn!(%error, "Asterisk's state could not be read; trying again");
                    node.resync(generation, why);
                }
            },
            Some(request) = requests.recv() => answer(&mut core, request),
            () = sleep_until(timer.unwrap_or_else(Instant::now)), if timer.is_some() => {
                core.fire_timers();
            }
            _ = beat.tick() => {
                if is_connected && drain_until.is_none() {
                    node.beat(clock::wall());
                }
            }
            _ = compare.tick() => {
                if is_connected && readiness_is_ok(&readiness) {
                    node.resync(generation, Resync::Periodic);
                }
            }
            _ = regulate.tick() => {
                let share = core.regulate();
                door.send_if_modified(|told| std::mem::replace(told, share) != share);
            }
            _ = tidy.tick() => {
                core.tidy();
                let is_drained = core.calls_in_setup() == 0;
                if drain_until.is_some_and(|until| is_drained || Instant::now() >= until) {
                    break Ok(());
                }
            }
            served = &mut serving => {
                break served.context("the API").and_then(|served| served.context("the API"));
            }
        }
    };

    socket_stop.cancel();
    watching.abort();
    api_stop.cancel();
    let talking = core.engine.calls().count();
    info!(calls = talking, "stopped; conversations go on in Asterisk");
    drop(core);
    drop(node);
    if let Err(error) = writing.await {
        error!(%error, "the last rows may be lost");
    }
    listening.abort();
    ended
}

fn settings(config: &Config) -> ari::Settings {
    ari::Settings {
        url: config.ari.url.clone(),
        user: config.ari.user.clone(),
        password: config.ari.password.expose().to_owned(),
        app: config.ari.app.clone(),
    }
}

/// What the loop needs to send others on errands.
struct Node {
    client: Client,
    db: Db,
    name: String,
    hear: mpsc::Sender<Heard>,
}

impl Node {
    /// Tells the dialplan that we live.
    fn beat(&self, at: Timestamp) {
        let client = self.client.clone();
        tokio::spawn(async move {
            let seconds = (at.0 / 1_000).to_string();
            if let Err(error) = client.set_global(Global::Beat, &seconds).await {
                debug!(%error, "the sign of life was not taken");
            }
        });
    }

    /// Reads Asterisk's state and sends it to the loop.
    fn resync(&self, generation: u64, why: Resync) {
        let (client, hear) = (self.client.clone(), self.hear.clone());
        tokio::spawn(async move {
            let result = async {
                if why == Resync::Connected {
                    // First of all, or a stale sign of life turns the first calls away.
                    let seconds = (clock::wall().0 / 1_000).to_string();
                    client.set_global(Global::Beat, &seconds).await?;
                    // An earlier process may have ended in the middle of a rush.
                    client.set_global(Global::Shed, "0").await?;
                    client.event_filter(ari::DISALLOWED).await?;
                }
                resync::snapshot(&client).await
            }
            .await;
            if result.is_err() {
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            let _ = hear.send(Heard::Resynced { generation, why, result }).await;
        });
    }

    /// So that a later process knows a restart of Asterisk when it sees one.
    fn remember_startup(&self, startup_time: Option<&str>) {
        let Some(startup_time) = startup_time.map(str::to_owned) else {
            return;
        };
        let (db, name) = (self.db.clone(), self.name.clone());
        tokio::spawn(async move {
            if let Err(error) = db.remember_startup(&name, &startup_time).await {
                warn!(%error, "the start of Asterisk could not be noted");
            }
        });
    }
}

/// Tells the dialplan how many percent of the calls to keep; only the newest figure counts.
async fn keep_door(client: Client, mut share: watch::Receiver<u32>) {
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

fn answer(core: &mut Core, request: Request) {
    // Who asked may have gone away.
    match request {
        Request::End { account, call, reply } => {
            let is_theirs = core.engine.call(call).is_some_and(|found| found.account == account);
            if is_theirs {
                core.feed(Input::Call { call, event: CallEvent::EndRequested });
            }
            let _ = reply.send(is_theirs);
        }
        Request::ExpectTest { account, flow, did, reply } => {
            let _ = reply.send(core.expect_test(account, flow, did));
        }
    }
}

fn readiness_is_ok(readiness: &Mutex<Readiness>) -> bool {
    readiness.lock().unwrap_or_else(PoisonError::into_inner).asterisk.is_ok()
}

/// A moment of our clock on tokio's.
fn in_future(now: Timestamp, at: Timestamp) -> Instant {
    Instant::now() + Duration::from_millis(u64::try_from(at.since_ms(now)).unwrap_or_default())
}

type Versions = std::collections::BTreeMap<AccountId, i64>;

async fn load(db: &Db, master: &str) -> Result<(Snapshot, Versions), StoreError> {
    let versions = db.versions().await?;
    let mut accounts = Vec::new();
    for account in versions.keys() {
        accounts.push((*account, db.configuration(*account).await?.0));
    }
    Ok((Snapshot::build(&accounts, Some(master)), versions))
}

/// Looks at the configuration's version every second, and at once when the API has changed it.
async fn watch_configuration(
    db: Db,
    master: String,
    mut known: Versions,
    changed: Arc<Notify>,
    hear: mpsc::Sender<Heard>,
    readiness: Arc<Mutex<Readiness>>,
) {
    loop {
        let _ = tokio::time::timeout(POLL, changed.notified()).await;
        let news = async {
            if db.versions().await? == known {
                return Ok(None);
            }
            load(&db, &master).await.map(Some)
        };
        let state = match news.await {
            Ok(None) => Ok(()),
            Ok(Some((snapshot, versions))) => {
                known = versions;
                if hear.send(Heard::Configuration(Arc::new(snapshot))).await.is_err() {
                    return;
                }
                Ok(())
            }
            Err(error) => Err(format!("the store does not answer: {error}")),
        };
        readiness.lock().unwrap_or_else(PoisonError::into_inner).store = state;
    }
}

/// The calls that an earlier process of this node left open.
async fn take_over(core: &mut Core, db: &Db, node: &str) -> anyhow::Result<()> {
    core.remember_startup(db.startup(node).await?);
    for record in db.open_calls(node).await? {
        let lines = db.journal(record.account, record.id).await?;
        let mut journal = Vec::with_capacity(lines.len());
        for line in lines {
            let mut body = line.body;
            body["at"] = line.at.0.into();
            match serde_json::from_value::<JournalEntry>(body) {
                Ok(entry) => journal.push(entry),
                Err(error) => bail!(
                    "the journal of {} cannot be read by this version of divert ({error}); stop \
                     with the version that wrote it and let its calls end",
                    record.id
                ),
            }
        }
        core.restore(&record, &journal);
    }
    core.readopt_slots();
    Ok(())
}

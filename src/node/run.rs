//! The loop of a node and the tasks around it, from start to stop.
//!
//! Start: configuration, then the calls an earlier process left open, then Asterisk. Stop: new calls go
//! to the dialplan's fallback, calls that ring may finish for a while, conversations stay up in
//! Asterisk and are taken over by the next process.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use futures_util::FutureExt as _;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::core::{Core, Resync};
use super::descriptors;
use super::health::{self, Endpoints};
use super::lanes::Lanes;
use super::ledger::{Answer, Ledger};
use super::opening::{self, Opened, Waiting};
use super::outside::{Outside, keep_door};
use super::port::{Port, Request};
use super::restore::{self, Left};
use super::trunks::Trunks;
use super::watch::{News, Recalled, Watch};
use super::writer::{Progress, Writer};
use crate::api::{self, Api, Listeners, Readiness, RowCounts, Telemetry};
use crate::ari::claim::Claim;
use crate::ari::client::Client;
use crate::ari::resync::Snapshot as AsteriskSnapshot;
use crate::ari::socket::{self, SocketEvent};
use crate::ari::translate::translate;
use crate::ari::{self, AriError};
use crate::clock;
use crate::config::{AriConfig, Config, SlotsMode};
use crate::engine::{CallEvent, Input};
use crate::model::id::InstallationId;
use crate::model::time::Timestamp;
use crate::routing::snapshot::Snapshot;
use crate::store::{Db, Record};

/// The dialplan takes a sign of life older than 8 s for our death.
const BEAT: Duration = Duration::from_secs(2);
/// How often Asterisk's own list is compared while all is well.
const COMPARE: Duration = Duration::from_secs(15);
/// How often the store is told that this process runs: some times within [`SERVING_MS`].
///
/// [`SERVING_MS`]: crate::store::nodes::SERVING_MS
const ALIVE: Duration = Duration::from_secs(5);
const TIDY: Duration = Duration::from_secs(1);
/// How often the dialplan may be told another share of the calls to keep.
pub(super) const REGULATE: Duration = Duration::from_millis(250);
/// How long calls that ring may go on when divert is asked to stop.
const DRAIN: Duration = Duration::from_secs(10);
/// Failures on their way back from Asterisk; a lane waits while this is full, the loop never.
const RESULTS: usize = 1_024;
/// How often the shared ledger of live-call limits is compared with what is known here.
const AUDIT: Duration = Duration::from_secs(10);
/// The loop turns some times a second; after so long without a turn it was stopped from outside.
const STALL: Duration = Duration::from_secs(2);
/// What tasks get to end by themselves.
const GOODBYE: Duration = Duration::from_secs(4);

/// What the loop hears from its helpers.
pub(super) enum Heard {
    Resynced { generation: u64, why: Resync, result: Result<AsteriskSnapshot, AriError> },
}

/// Runs a node until `cancel`.
///
/// # Errors
/// When the API cannot listen, the store is not ours to open, or another divert took over our
/// application in Asterisk. A store that is away is waited for.
pub async fn run(
    config: Config,
    takes_over: bool,
    telemetry: Telemetry,
    cancel: CancellationToken,
) -> anyhow::Result<()> {
    // Whoever starts a second one by mistake hears of it before it has done anything.
    let listeners = api::bind(config.api.listen, config.api.socket.clone()).await?;
    let us = whoami(&config.node.name);
    let claim = Claim::new(&ari_settings(&config.ari), us, takes_over)?;
    claim.settle().await.map_err(|by| taken(&config.ari.app, &by))?;
    let (tell, is_late) = watch::channel(());
    let waiting = CancellationToken::new();
    let answering = waiting.clone().drop_guard();
    tokio::spawn(listeners.answer_waiting(descriptors::room(), is_late, waiting)?);
    let waiting = Waiting::new(config.database.clone(), tell, answering);
    let start = async {
        let opened = opening::open(&config, waiting).await?;
        Running::start(&config, claim, opened, listeners, telemetry).await
    };
    let mut running = tokio::select! {
        running = start => running?,
        () = cancel.cancelled() => return Ok(()),
    };
    let ended = running.turn(&cancel).await;
    running.stop().await;
    ended
}

/// A node that is up.
struct Running {
    core: Core,
    outside: Outside,
    snapshot: Arc<Snapshot>,
    trunks: Trunks,
    /// The percentage of calls that the dialplan should keep from us.
    door: watch::Sender<u32>,
    readiness: Arc<Mutex<Readiness>>,
    socket: mpsc::Receiver<SocketEvent>,
    inputs: mpsc::Receiver<Input>,
    heard: mpsc::Receiver<Heard>,
    news: mpsc::Receiver<News>,
    endpoints: mpsc::Receiver<Endpoints>,
    /// Asterisk's endpoints are asked for at once.
    ask_endpoints: Arc<Notify>,
    requests: mpsc::Receiver<Request>,
    /// Silent where the limits are counted by this node alone.
    answers: mpsc::UnboundedReceiver<Answer>,
    serving: JoinHandle<()>,
    listening: JoinHandle<Result<(), AriError>>,
    writing: JoinHandle<()>,
    progress: Arc<Progress>,
    settling: JoinHandle<()>,
    /// Ends the connection to Asterisk and the API.
    stop: CancellationToken,
    is_connected: bool,
    /// One more with every change of the connection: an older reading of Asterisk's state is void.
    generation: u64,
    /// What the store knows of [`Core::heard_at`].
    heard_at: Option<Timestamp>,
    /// When calls that still ring have had time enough.
    drain_until: Option<Instant>,
}

impl Running {
    async fn start(
        config: &Config,
        claim: Claim,
        opened: Opened,
        listeners: Listeners,
        telemetry: Telemetry,
    ) -> anyhow::Result<Self> {
        let Opened { db, spool, snapshot, versions, mut waiting } = opened;
        let settings = ari_settings(&config.ari);
        let client = Client::new(&settings)?;
        let name = config.node.name.clone();
        let master = config.node.master.clone();
        let snapshot = Arc::new(snapshot);
        if snapshot.flows().next().is_none() {
            warn!("no forwarding flow has the master {master:?}: calls go back to the dialplan");
        }

        let (writer, writing) = Writer::start(db.clone(), name.clone(), spool);
        let progress = writer.progress();
        let (results, inputs) = mpsc::channel(RESULTS);
        let lanes = Lanes::new(client.clone(), results);
        let (ledger, answers, settling) = ledger(config, &db, &writer);
        let mut core = Core::new(Arc::clone(&snapshot), lanes, writer, ledger);
        let left = waiting.until_there(|| Left::read(&db, &name, &snapshot)).await;
        let left = left.context("reading what an earlier process left")?;
        let holders = left.take_over(&mut core).context("taking over open calls")?;
        let slots = waiting.until_there(|| restore::set_slots_right(&db, &name, &holders)).await;
        slots.context("setting the ledger right")?;

        let fresh = InstallationId::new(clock::mint());
        let installation = waiting.until_there(|| db.installation(fresh)).await;
        let installation = installation.context("reading which database it is")?;
        drop(waiting);

        let changed = Arc::new(Notify::new());
        let (ask, requests) = mpsc::channel(64);
        let readiness = Arc::new(Mutex::new(Readiness {
            asterisk: Err("not connected to Asterisk yet".to_owned()),
            store: Ok(()),
            trunks: Ok(()),
            rows: RowCounts::default(),
        }));
        let port = Port {
            requests: ask,
            changed: Arc::clone(&changed),
            readiness: Arc::clone(&readiness),
            progress: Arc::clone(&progress),
            client: client.clone(),
            context: config.test_calls.context.clone(),
        };
        let stop = CancellationToken::new();
        let api = Api::new(db.clone(), Arc::new(port), telemetry);
        let serving = api::serve(listeners, descriptors::room(), api, stop.clone());

        let (hear, heard) = mpsc::channel(16);
        let watch = Watch { db: db.clone(), master, changed, readiness: Arc::clone(&readiness) };
        let (tell, news) = mpsc::channel(1);
        tokio::spawn(watch.run(Arc::clone(&snapshot), versions, tell));
        let ask_endpoints = Arc::new(Notify::new());
        let (tell, endpoints) = mpsc::channel(1);
        tokio::spawn(health::ask(client.clone(), Arc::clone(&ask_endpoints), tell));
        let (events, socket) = mpsc::channel(socket::CAPACITY);
        let (door, share) = watch::channel(0);
        tokio::spawn(keep_door(client.clone(), share));
        Ok(Self {
            core,
            trunks: Trunks::start(client.clone(), installation, Arc::clone(&ask_endpoints)),
            door,
            outside: Outside::new(client, name, hear),
            snapshot,
            readiness,
            socket,
            inputs,
            heard,
            news,
            endpoints,
            ask_endpoints,
            requests,
            answers,
            serving: tokio::spawn(serving),
            listening: tokio::spawn(socket::run(settings, claim, events, stop.clone())),
            writing,
            progress,
            settling,
            stop,
            is_connected: false,
            generation: 0,
            heard_at: None,
            drain_until: None,
        })
    }

    /// The loop: one thing after another, none of which waits.
    async fn turn(&mut self, cancel: &CancellationToken) -> anyhow::Result<()> {
        let mut beat = ticker(BEAT);
        let mut compare = ticker(COMPARE);
        let mut alive = ticker(ALIVE);
        let mut tidy = ticker(TIDY);
        let mut regulate = ticker(REGULATE);
        let mut audit = ticker(AUDIT);
        loop {
            let turn = Instant::now();
            let next = self.core.engine.next_timeout().filter(|_| self.core.is_sure());
            let timer = next.map(|at| in_future(clock::now(), at));
            tokio::select! {
                biased;
                () = stood_still(turn), if self.is_connected && self.core.is_sure() => self.awoken(),
                () = cancel.cancelled(), if self.drain_until.is_none() => self.drain(),
                event = self.socket.recv() => self.socket_event(event)?,
                Some(input) = self.inputs.recv() => self.core.result(input),
                Some(answer) = self.answers.recv() => self.core.ledger_heard(answer),
                Some(news) = self.heard.recv() => self.hear(news),
                Some(news) = self.news.recv() => match news {
                    News::Balances(balances) => self.core.balances_are(&balances),
                    News::Configuration(snapshot, recalled) => self.reload(snapshot, recalled),
                },
                Some(endpoints) = self.endpoints.recv() => self.endpoints_are(&endpoints),
                Some(request) = self.requests.recv() => answer(&mut self.core, &self.outside.name, request),
                () = sleep_until(timer.unwrap_or_else(Instant::now)), if timer.is_some() => {
                    self.core.fire_timers();
                }
                // Before the first reading, the sign of the process before tells when that one died.
                _ = beat.tick(), if self.is_connected && !self.core.is_new() => {
                    self.outside.beat(clock::wall());
                }
                _ = compare.tick(), if self.is_ready() && self.core.is_sure() => {
                    self.outside.resync(self.generation, Resync::Periodic, Vec::new(), false);
                }
                _ = alive.tick() => self.core.keep(Record::Alive { at: clock::wall() }),
                _ = regulate.tick(), if self.drain_until.is_none() => {
                    let share = self.core.regulate();
                    self.door.send_if_modified(|told| std::mem::replace(told, share) != share);
                }
                _ = audit.tick() => self.core.ledger.audit(),
                _ = tidy.tick() => {
                    self.core.tidy();
                    self.remember_heard();
                    let is_drained = self.core.calls_in_setup() == 0;
                    if self.drain_until.is_some_and(|until| is_drained || Instant::now() >= until) {
                        return Ok(());
                    }
                }
                served = &mut self.serving => {
                    served.context("the API")?;
                    bail!("the API stopped by itself");
                }
                written = &mut self.writing => {
                    written.context("the writing task")?;
                    bail!("the writing task stopped by itself");
                }
            }
        }
    }

    /// The process was stopped, or the machine asleep: what happened meanwhile waits in the socket at
    /// best, and timers must not judge by the time that went by.
    fn awoken(&mut self) {
        warn!("divert stood still for a while: reading Asterisk's state");
        self.generation += 1;
        self.read_anew();
    }

    /// So that a later process bills no time that nobody watched over.
    fn remember_heard(&mut self) {
        let heard_at = self.core.heard_at();
        if let Some(at) = heard_at.filter(|_| heard_at != self.heard_at) {
            self.heard_at = heard_at;
            self.core.keep(Record::Heard { at });
        }
    }

    /// Asked to stop: no new calls, and some time for those that ring.
    fn drain(&mut self) {
        info!("stopping: new calls go to the dialplan's fallback");
        self.drain_until = Some(Instant::now() + DRAIN);
        self.door.send_replace(100);
    }

    fn socket_event(&mut self, event: Option<SocketEvent>) -> anyhow::Result<()> {
        match event {
            None => bail!("the connection to Asterisk ended for good"),
            Some(SocketEvent::Event(event, _)) => {
                self.core.heard();
                if let Some(sent_at) = event.sent_at() {
                    self.core.load.heard(sent_at, clock::now());
                }
                if let Some(event) = translate(&event) {
                    self.core.event(event);
                }
            }
            Some(SocketEvent::Alive) => self.core.heard(),
            Some(SocketEvent::Connected) => {
                info!("connected to Asterisk");
                self.is_connected = true;
                self.generation += 1;
                self.read_anew();
                self.trunks.want_anew(Arc::clone(&self.snapshot));
            }
            Some(SocketEvent::Disconnected { reason }) => {
                self.is_connected = false;
                self.generation += 1;
                self.core.hold_back();
                let text = format!("no connection to Asterisk: {reason}");
                warn!("{text}; new calls use the dialplan's fallback");
                self.readiness().asterisk = Err(text);
            }
            Some(SocketEvent::Taken { by }) => return Err(taken(self.outside.client.app(), &by)),
            Some(SocketEvent::Replaced) => bail!(
                "another divert took over the Stasis application {:?}: give each node its own",
                self.outside.client.app()
            ),
        }
        Ok(())
    }

    /// Reads Asterisk's state, before anything that happens there is heeded.
    fn read_anew(&mut self) {
        self.core.hold_back();
        let is_first = self.core.is_new();
        self.outside.resync(self.generation, Resync::Connected, self.core.known(), is_first);
    }

    fn reload(&mut self, snapshot: Arc<Snapshot>, recalled: Recalled) {
        info!("the configuration has changed");
        self.snapshot = Arc::clone(&snapshot);
        self.core.reload(Arc::clone(&snapshot));
        self.core.recall(recalled);
        if self.is_connected {
            self.trunks.want(snapshot);
        }
    }

    fn endpoints_are(&mut self, endpoints: &Endpoints) {
        let doubted = self.core.endpoints_are(endpoints);
        self.trunks.doubt(&doubted);
        self.readiness().trunks = self.core.trunks_are_made();
    }

    fn hear(&mut self, news: Heard) {
        match news {
            Heard::Resynced { generation, .. } if generation != self.generation => {}
            Heard::Resynced { why, result: Ok(asterisk), .. } => {
                self.core.resynced(why, &asterisk);
                if why == Resync::Connected {
                    // So that a later process knows a restart of Asterisk when it sees one.
                    self.core.keep(Record::Startup { of: asterisk.startup_time });
                    self.readiness().asterisk = Ok(());
                    self.ask_endpoints.notify_one();
                }
            }
            Heard::Resynced { why: Resync::Periodic, result: Err(error), .. } => {
                warn!(%error, "Asterisk's state could not be read");
            }
            Heard::Resynced { result: Err(error), .. } => {
                warn!(%error, "Asterisk's state could not be read; trying again");
                self.read_anew();
            }
        }
    }

    fn readiness(&self) -> MutexGuard<'_, Readiness> {
        self.readiness.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_ready(&self) -> bool {
        self.is_connected && self.readiness().asterisk.is_ok()
    }

    /// Conversations stay up in Asterisk; every row is written.
    async fn stop(mut self) {
        // Not where another divert has taken the application: the sign is its own by now.
        if self.drain_until.is_some() {
            let goodbye = self.outside.say_goodbye();
            if tokio::time::timeout(GOODBYE, goodbye).await.is_err() {
                debug!("Asterisk did not hear that divert stops");
            }
        }
        self.stop.cancel();
        let left = self.core.engine.calls().count();
        self.core.remember_wheels();
        drop(self.core);
        let ends = [
            ("API", end(self.serving).boxed()),
            ("connection to Asterisk", end(self.listening).boxed()),
            ("ledger", end(self.settling).boxed()),
            ("store", end(self.writing).boxed()),
        ];
        for (what, end) in ends {
            if tokio::time::timeout(GOODBYE, end).await.is_err() {
                warn!("the {what} did not end in time");
            }
        }
        let RowCounts { waiting, spooled, .. } = self.progress.rows();
        if waiting > 0 {
            warn!(waiting, spooled, "stopped while rows wait: the next process writes the spooled");
        }
        info!(calls = left, "stopped; conversations go on in Asterisk");
    }
}

/// Waits for a task, unless the loop has seen its end already: nobody may wait for that twice.
async fn end<T>(task: JoinHandle<T>) {
    if !task.is_finished() {
        let _ = task.await;
    }
}

/// This process, for people.
fn whoami(node: &str) -> String {
    let host = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
    let plain = |text: &str, most| -> String {
        text.trim().chars().filter(char::is_ascii_graphic).take(most).collect()
    };
    let (node, mut host, process) = (plain(node, 30), plain(&host, 30), std::process::id());
    if host.is_empty() {
        "this machine".clone_into(&mut host);
    }
    // Not the process alone, whose number comes again.
    let nonce = clock::mint() & 0xffff_ffff;
    format!("node {node} on {host} (process {process}, {nonce:08x})")
}

fn taken(app: &str, by: &str) -> anyhow::Error {
    anyhow!(
        "the Stasis application {app:?} is connected to {by}: stop that one; or give this one a name \
         of its own, as ari.app and in its dialplan; or push it out by 'divert serve --take-over'"
    )
}

/// Where this node's limits are counted; with what is heard from there, and the task that asks.
fn ledger(
    config: &Config,
    db: &Db,
    writer: &Writer,
) -> (Ledger, mpsc::UnboundedReceiver<Answer>, JoinHandle<()>) {
    let is_shared = match config.node.slots {
        SlotsMode::Auto => matches!(db, Db::Postgres(_)),
        SlotsMode::Memory => false,
        SlotsMode::Shared => true,
    };
    if is_shared {
        info!("live-call limits are counted in the database, for all nodes together");
        return Ledger::shared(db.clone(), config.node.name.clone());
    }
    info!("live-call limits are counted by this node alone");
    (Ledger::memory(writer.clone()), mpsc::unbounded_channel().1, tokio::spawn(async {}))
}

fn ticker(period: Duration) -> Interval {
    let mut ticker = interval(period);
    ticker.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticker
}

fn ari_settings(config: &AriConfig) -> ari::Settings {
    ari::Settings {
        url: config.url.clone(),
        user: config.user.clone(),
        password: config.password.expose().to_owned(),
        app: config.app.clone(),
    }
}

fn answer(core: &mut Core, name: &str, request: Request) {
    // Who asked may have gone away.
    match request {
        Request::End { account, call, reply } => {
            let is_theirs = core.engine.call(call).is_some_and(|found| found.account == account);
            if is_theirs {
                core.feed(Input::Call { call, event: CallEvent::EndRequested });
            }
            let _ = reply.send(is_theirs);
        }
        Request::Explain { account, question, reply } => {
            let _ = reply.send(core.explain(account, &question));
        }
        Request::Live { account, flow, reply } => {
            let _ = reply.send(core.live(account, flow));
        }
        Request::Status { account, reply } => {
            let _ = reply.send(Some(core.status(name.to_owned(), account)));
        }
        Request::ExpectTest { account, flow, did, reply } => {
            let _ = reply.send(core.expect_test(account, flow, did));
        }
    }
}

/// Done when a turn of the loop has taken far longer than the loop ever waits.
async fn stood_still(turn: Instant) {
    std::future::poll_fn(|_| if turn.elapsed() > STALL { Poll::Ready(()) } else { Poll::Pending })
        .await;
}

/// A moment of our clock on tokio's.
fn in_future(now: Timestamp, at: Timestamp) -> Instant {
    Instant::now() + Duration::from_millis(u64::try_from(at.since_ms(now)).unwrap_or_default())
}

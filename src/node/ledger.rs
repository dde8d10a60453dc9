//! Live-call limits: who is asked before a leg may be dialled, and who is told when it has ended.
//!
//! On one node routing's own count in memory decides at once, and the database is only told. With
//! several nodes the database decides, and a decision takes a round trip: routing chooses, the slots
//! of that destination are taken there, and only then does the wheel move. One such question is under
//! way at a time, the others wait in line, so that the wheels turn as exactly as on one node. A
//! destination that is full elsewhere is passed over and the next one is chosen.
//!
//! While the database does not answer, nobody with a limit is called: a limit is never exceeded for
//! the sake of a call. Who has no limit is called at once. What has ended is remembered and given
//! back later, and what this process could not say before its end, the next one sets right.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};
use tracing::{info, warn};

use super::writer::Writer;
use crate::clock;
use crate::model::id::{AccountId, LegId};
use crate::model::slot::{Holding, Limit, Scope};
use crate::model::time::Timestamp;
use crate::routing::choose::{self, Choice, choose};
use crate::routing::decide::{self, Ask, Decision, State};
use crate::routing::snapshot::Snapshot;
use crate::store::{Db, Record, StoreError, Taken};

/// How long the database may take over one question of a call.
const PATIENCE: Duration = Duration::from_secs(1);
/// How often it is tried when it is away.
const RETRY: Duration = Duration::from_millis(250);
/// How much longer than its leg a slot is kept at most, so that clocks of several nodes may differ.
const GRACE_MS: i64 = 10 * 60_000;

/// Who counts.
pub struct Ledger {
    /// What the legs of this node hold.
    held: BTreeMap<LegId, Holding>,
    mode: Mode,
}

enum Mode {
    Memory(Writer),
    Shared(Box<Shared>),
}

/// The questions of this node to the ledger that all nodes share.
struct Shared {
    errands: mpsc::UnboundedSender<Errand>,
    waiting: VecDeque<Asked>,
    in_flight: Option<(Asked, Holding)>,
    /// Of the question under way.
    choice: Choice,
    is_away: bool,
}

impl Shared {
    /// In front of all others but those whose call is under way: its place behind the gate of its flow
    /// is free while it asks, and nobody else may get it.
    fn put_first(&mut self, asked: Asked) {
        let under_way = self.waiting.iter().take_while(|other| other.is_under_way()).count();
        self.waiting.insert(under_way, asked);
    }
}

/// One question of a call.
pub struct Asked {
    ask: Ask,
    account: AccountId,
    /// How long the leg lives at most.
    longest_ms: i64,
    since: Instant,
    /// Scopes that turned out to be full, and how many slots of them all nodes hold.
    full: Vec<(Scope, u32)>,
}

impl Asked {
    #[must_use]
    pub fn new(ask: Ask, account: AccountId, longest_ms: i64) -> Self {
        Self { ask, account, longest_ms, since: Instant::now(), full: Vec::new() }
    }

    /// The call has tried somebody already.
    fn is_under_way(&self) -> bool {
        !self.ask.tried.is_empty()
    }

    /// What the leg has to hold for the way that was chosen; `None` if none was.
    fn holding(&self, snapshot: &Snapshot, choice: &Choice) -> Option<Holding> {
        let plan = snapshot.flow(self.ask.flow)?;
        choice.way(plan)?;
        let limits = choice.limits(snapshot, plan);
        Some(holding(self.account, self.ask.leg, limits, self.longest_ms))
    }
}

/// What `leg` is counted in, whatever the limits there.
#[must_use]
pub fn limits(state: &State, leg: LegId) -> Vec<Limit> {
    state.held(leg).map(|scope| Limit { scope, max: None }).collect()
}

/// What a leg holds that begins now.
#[must_use]
pub fn holding(account: AccountId, leg: LegId, limits: Vec<Limit>, longest_ms: i64) -> Holding {
    // Compared with the clocks of other nodes.
    let taken_at = clock::wall();
    Holding { account, leg, limits, taken_at, expires_at: taken_at.plus_ms(longest_ms + GRACE_MS) }
}

/// What routing decides by.
pub struct Routing<'a> {
    pub snapshot: &'a Snapshot,
    pub state: &'a mut State,
}

/// What is known now, and whose question it answers.
pub type Decided = Vec<(LegId, Decision)>;

/// News from the database.
#[derive(Clone, Copy, Debug)]
pub enum Answer {
    /// The question of this leg was not answered; further ones are of no use for a while.
    Away(LegId),
    /// It answers again.
    Back,
    Taken(LegId, Taken),
}

/// What the clerk is asked to do, in this order.
enum Errand {
    /// So the ledger must look, but for the question under way.
    Audit {
        held: BTreeMap<LegId, Holding>,
        except: Option<LegId>,
    },
    Hold(Holding),
    Release(LegId),
    Take(Holding),
}

impl Ledger {
    /// For a node that counts alone.
    #[must_use]
    pub fn memory(writer: Writer) -> Self {
        Self { held: BTreeMap::new(), mode: Mode::Memory(writer) }
    }

    /// For one node of several. What comes out of the receiver goes into [`Ledger::heard`]; the task
    /// ends when the ledger is dropped and all is written.
    #[must_use]
    pub fn shared(db: Db, node: String) -> (Self, mpsc::UnboundedReceiver<Answer>, JoinHandle<()>) {
        let (errands, inbox) = mpsc::unbounded_channel();
        let (answers, heard) = mpsc::unbounded_channel();
        let clerk = Clerk {
            db,
            node,
            answers,
            pending: BTreeMap::new(),
            doubtful: BTreeSet::new(),
            is_away: false,
        };
        let task = tokio::spawn(clerk.work(inbox));
        let shared = Shared {
            errands,
            waiting: VecDeque::new(),
            in_flight: None,
            choice: Choice::default(),
            is_away: false,
        };
        (Self { held: BTreeMap::new(), mode: Mode::Shared(Box::new(shared)) }, heard, task)
    }

    /// A leg that lives already, as the database was told when this process began.
    pub fn adopt(&mut self, holding: Holding) {
        self.held.insert(holding.leg, holding);
    }

    /// A call asks for a destination. The answer comes at once, or from a later
    /// [`Ledger::heard`].
    pub fn ask(&mut self, routing: Routing<'_>, asked: Asked) -> Decided {
        match &mut self.mode {
            Mode::Memory(writer) => {
                let decision = decide::decide(routing.snapshot, routing.state, &asked.ask);
                if matches!(decision, Decision::Picked { .. }) {
                    let limits = limits(routing.state, asked.ask.leg);
                    let holding = holding(asked.account, asked.ask.leg, limits, asked.longest_ms);
                    writer.push(Record::SlotTaken(holding.clone()));
                    self.held.insert(holding.leg, holding);
                }
                asked.measure();
                vec![(asked.ask.leg, decision)]
            }
            Mode::Shared(shared) => {
                if asked.is_under_way() {
                    shared.put_first(asked);
                } else {
                    shared.waiting.push_back(asked);
                }
                self.advance(routing)
            }
        }
    }

    /// News from the database, with the decisions that follow.
    pub fn heard(&mut self, mut routing: Routing<'_>, answer: Answer) -> Decided {
        let Mode::Shared(shared) = &mut self.mode else {
            return Decided::new();
        };
        let of = |leg: LegId| move |(asked, _): &mut (Asked, _)| asked.ask.leg == leg;
        let mut decided = Decided::new();
        match answer {
            Answer::Back => shared.is_away = false,
            Answer::Away(leg) => {
                shared.is_away = true;
                if let Some((asked, _)) = shared.in_flight.take_if(of(leg)) {
                    shared.put_first(asked);
                }
            }
            Answer::Taken(leg, Taken::Taken) => {
                if let Some((asked, holding)) = shared.in_flight.take_if(of(leg)) {
                    let decision = asked.commit(&mut routing, &shared.choice);
                    if let Some(decision @ Decision::Picked { .. }) = decision {
                        self.held.insert(leg, holding);
                        decided.push((leg, decision));
                    } else {
                        // The configuration is another one now, and so may be the answer.
                        send(&shared.errands, Errand::Release(leg));
                        shared.put_first(asked);
                    }
                }
            }
            Answer::Taken(leg, Taken::Full { scope, live, .. }) => {
                if let Some((mut asked, _)) = shared.in_flight.take_if(of(leg)) {
                    // What was heard of it before may be what it was chosen by.
                    asked.full.retain(|(known, _)| *known != scope);
                    asked.full.push((scope, live));
                    shared.put_first(asked);
                }
            }
        }
        decided.extend(self.advance(routing));
        decided
    }

    /// Answers the waiting questions up to the first that has to be put to the database.
    fn advance(&mut self, mut routing: Routing<'_>) -> Decided {
        let Mode::Shared(shared) = &mut self.mode else {
            return Decided::new();
        };
        let mut decided = Decided::new();
        while shared.in_flight.is_none()
            && let Some(asked) = shared.waiting.pop_front()
        {
            let (leg, choice) = (asked.ask.leg, &mut shared.choice);
            asked.choose(&mut routing, shared.is_away, choice);
            match asked.holding(routing.snapshot, choice) {
                Some(holding) if !holding.is_unlimited() => {
                    send(&shared.errands, Errand::Take(holding.clone()));
                    shared.in_flight = Some((asked, holding));
                }
                holding => {
                    // Directly behind the choice nothing can have come in between.
                    if let Some(decision) = asked.commit(&mut routing, choice) {
                        decided.push((leg, decision));
                    }
                    if let Some(holding) = holding {
                        send(&shared.errands, Errand::Hold(holding.clone()));
                        self.held.insert(leg, holding);
                    }
                }
            }
        }
        decided
    }

    /// The clock was set: questions that wait were asked at the same moment by the new one.
    pub fn clock_set(&mut self, by_ms: i64) {
        if let Mode::Shared(shared) = &mut self.mode {
            let in_flight = shared.in_flight.iter_mut().map(|(asked, _)| asked);
            for asked in shared.waiting.iter_mut().chain(in_flight) {
                asked.ask.at = asked.ask.at.plus_ms(by_ms);
            }
        }
    }

    /// A leg has ended. Never fails and never waits.
    pub fn release(&mut self, state: &mut State, leg: LegId) {
        state.release(leg);
        if self.held.remove(&leg).is_none() {
            return;
        }
        match &self.mode {
            Mode::Memory(writer) => writer.push(Record::SlotReleased { leg }),
            Mode::Shared(shared) => send(&shared.errands, Errand::Release(leg)),
        }
    }

    /// Now and then: whatever the shared ledger has that is not so is set right.
    pub fn audit(&self) {
        if let Mode::Shared(shared) = &self.mode {
            let except = shared.in_flight.as_ref().map(|(asked, ..)| asked.ask.leg);
            send(&shared.errands, Errand::Audit { held: self.held.clone(), except });
        }
    }

    /// What the legs of this node hold.
    #[must_use]
    pub fn held(&self) -> &BTreeMap<LegId, Holding> {
        &self.held
    }

    /// The database does not answer: nobody with a limit is called.
    #[must_use]
    pub fn is_away(&self) -> bool {
        matches!(&self.mode, Mode::Shared(shared) if shared.is_away)
    }
}

/// The clerk lives as long as the ledger does, unless the runtime goes down.
fn send(errands: &mpsc::UnboundedSender<Errand>, errand: Errand) {
    if errands.send(errand).is_err() {
        warn!("the clerk of the ledger is gone: the next process sets its slots right");
    }
}

impl Asked {
    fn choose(&self, routing: &mut Routing<'_>, is_away: bool, choice: &mut Choice) {
        let Routing { snapshot, state } = routing;
        state.prepare(snapshot, self.ask.flow, self.ask.at);
        let ledger = choose::Ledger { live: &self.full, is_away };
        choose(snapshot, state, &self.ask, &ledger, choice);
    }

    /// The decision, and all that follows from it in routing; `None` if it does not hold any more.
    fn commit(&self, routing: &mut Routing<'_>, choice: &Choice) -> Option<Decision> {
        let Routing { snapshot, state } = routing;
        let decision = decide::decision(snapshot, state, &self.ask, choice);
        if matches!(decision, Decision::Picked { .. })
            && !decide::commit(snapshot, state, &self.ask, choice)
        {
            return None;
        }
        self.measure();
        Some(decision)
    }

    fn measure(&self) {
        metrics::histogram!("divert_route_decision_seconds").record(self.since.elapsed());
    }
}

/// Carries the errands of one node to the database, one after another.
struct Clerk {
    db: Db,
    node: String,
    answers: mpsc::UnboundedSender<Answer>,
    /// What has still to be written of each leg: what it holds, or that it holds nothing.
    pending: BTreeMap<LegId, Option<Holding>>,
    /// Those of them of which it is not known what the database has: that is given back first.
    doubtful: BTreeSet<LegId>,
    is_away: bool,
}

impl Clerk {
    async fn work(mut self, mut inbox: mpsc::UnboundedReceiver<Errand>) {
        loop {
            let errand = if self.pending.is_empty() {
                inbox.recv().await
            } else {
                match inbox.try_recv() {
                    Ok(errand) => Some(errand),
                    Err(TryRecvError::Empty) => {
                        self.settle().await;
                        if self.is_away {
                            self.pause(&mut inbox).await;
                        }
                        continue;
                    }
                    Err(TryRecvError::Disconnected) => None,
                }
            };
            match errand {
                Some(errand) => self.run(errand).await,
                None if self.pending.is_empty() => return,
                // The node stops, and waits for us as long as it may.
                None => {
                    self.settle().await;
                    if self.is_away {
                        sleep(RETRY).await;
                    }
                }
            }
        }
    }

    /// Until the next try; errands are not left waiting for it.
    async fn pause(&mut self, inbox: &mut mpsc::UnboundedReceiver<Errand>) {
        let until = Instant::now() + RETRY;
        while let Ok(Some(errand)) = tokio::time::timeout_at(until, inbox.recv()).await {
            self.run(errand).await;
        }
        tokio::time::sleep_until(until).await;
    }

    async fn run(&mut self, errand: Errand) {
        match errand {
            Errand::Hold(holding) => {
                let leg = holding.leg;
                if let Some(None) = self.pending.insert(leg, Some(holding)) {
                    self.doubtful.insert(leg);
                }
            }
            Errand::Release(leg) => drop(self.pending.insert(leg, None)),
            Errand::Take(holding) => self.take(holding).await,
            Errand::Audit { held, except } => self.audit(&held, except).await,
        }
    }

    async fn take(&mut self, wanted: Holding) {
        let leg = wanted.leg;
        if self.is_away {
            self.answer(Answer::Away(leg));
            return;
        }
        let started = Instant::now();
        let taken = {
            // What was given back before may be the very slot.
            let (held, released) = self.unwritten();
            let turn_over = self.db.turn_over_slots(&self.node, &wanted, &held, &released);
            timeout(PATIENCE, turn_over).await
        };
        metrics::histogram!("divert_slot_seconds").record(started.elapsed());
        match taken.map_err(|_| None).and_then(|taken| taken.map_err(Some)) {
            Ok(taken) => {
                if taken == Taken::Taken {
                    self.pending.clear();
                    self.doubtful.clear();
                }
                self.answer(Answer::Taken(leg, taken));
            }
            Err(error) => {
                // Whether they were taken is not known.
                self.pending.insert(leg, None);
                self.doubtful.insert(leg);
                self.lost_contact(error);
                self.answer(Answer::Away(leg));
            }
        }
    }

    /// Writes what is pending; whoever was away is back when that is done.
    async fn settle(&mut self) {
        match timeout(PATIENCE, self.flush()).await.map_err(|_| None) {
            Ok(Ok(())) if self.is_away => {
                self.is_away = false;
                info!("the ledger of live-call limits answers again");
                self.answer(Answer::Back);
            }
            Ok(Ok(())) => {}
            Ok(Err(error)) => self.lost_contact(Some(error)),
            Err(none) => self.lost_contact(none),
        }
    }

    async fn flush(&mut self) -> Result<(), StoreError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let (held, released) = self.unwritten();
        self.db.settle_slots(&self.node, &held, &released).await?;
        self.pending.clear();
        self.doubtful.clear();
        Ok(())
    }

    /// What is pending: who holds, and who gives back before that.
    fn unwritten(&self) -> (Vec<&Holding>, Vec<LegId>) {
        let is_released =
            |(leg, held): &(&LegId, &_)| Option::is_none(held) || self.doubtful.contains(leg);
        let released = self.pending.iter().filter(is_released).map(|(leg, _)| *leg).collect();
        (self.pending.values().flatten().collect(), released)
    }

    fn lost_contact(&mut self, error: Option<StoreError>) {
        if !std::mem::replace(&mut self.is_away, true) {
            let why = error.map_or_else(|| "no answer in time".to_owned(), |e| e.to_string());
            warn!("the ledger is away ({why}): destinations with a limit get no calls");
        }
    }

    /// All that is known of this node's slots was said through us, one thing after another: so what
    /// the ledger has beyond it was taken by a question whose answer got lost.
    async fn audit(&mut self, held: &BTreeMap<LegId, Holding>, except: Option<LegId>) {
        self.settle().await;
        if self.is_away {
            return;
        }
        let now: Timestamp = clock::wall();
        let looked = timeout(PATIENCE, async {
            self.db.expire_slots(now).await?;
            Ok::<_, StoreError>((self.db.slots_of(&self.node).await?, self.db.counts().await?))
        })
        .await;
        let Ok(Ok((found, counts))) = looked else {
            return;
        };
        for count in counts.iter().filter(|count| count.is_overfull()) {
            warn!(scope = %count.scope, live = count.live, max = count.max, "over its limit");
            metrics::counter!("divert_live_violations_total").increment(1);
        }
        for leg in found.keys().filter(|leg| !held.contains_key(leg) && except != Some(**leg)) {
            self.pending.insert(*leg, None);
        }
        for (leg, holding) in held {
            let scopes = holding.limits.iter().map(|limit| limit.scope).collect();
            if found.get(leg) != Some(&scopes) {
                self.pending.insert(*leg, Some(holding.clone()));
                self.doubtful.insert(*leg);
            }
        }
        if !self.pending.is_empty() {
            let legs = self.pending.len();
            warn!(legs, "the ledger of live-call limits is set right");
            metrics::counter!("divert_slots_corrected_total").increment(legs as u64);
        }
    }

    fn answer(&self, answer: Answer) {
        // The node may have stopped.
        let _ = self.answers.send(answer);
    }
}

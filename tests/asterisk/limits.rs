//! A limit of live calls, watched in Asterisk's own list of channels: never one too many, and never
//! one too few while somebody waits.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use divert::model::cause::{CallResult, Outcome};
use divert::model::timeline::{LimitScope, Step, Verdict};
use divert::store::CallDetail;
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::ari::Ari;
use crate::lab::{Lab, eventually, with_divert_in};
use crate::phones::Line;
use crate::stage;

const LIMIT: u32 = 10;
const CALLS: usize = 200;
/// How soon a change holds after the API has confirmed it.
const PROMPT: Duration = Duration::from_secs(1);

/// A limited destination that talks, over a trunk of its own so that its channels can be told from
/// others; behind it one that is busy.
fn configuration(lab: &Lab) -> Value {
    let mut flow = stage::flow("limited", stage::own_did().as_str(), &[]);
    flow["destinations"] = json!([
        { "name": "limited", "trunk": "limited", "number": "1001", "priority": 1,
          "max_live": LIMIT },
        { "name": "next", "trunk": "phones", "number": "1101", "priority": 2 },
    ]);
    let mut document = stage::document(&[flow]);
    stage::add_trunk(&mut document, json!({ "name": "limited", "address": lab.phones_address() }));
    document
}

/// Counts the legs to the limited destination in Asterisk, ten times a second.
struct Observer {
    most: Arc<AtomicUsize>,
    looks: Arc<AtomicUsize>,
    since: Instant,
    goes_on: Arc<AtomicBool>,
}

impl Observer {
    fn start(pbx: Ari) -> Self {
        let (most, looks) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let goes_on = Arc::new(AtomicBool::new(true));
        let observer = Self {
            most: Arc::clone(&most),
            looks: Arc::clone(&looks),
            since: Instant::now(),
            goes_on: Arc::clone(&goes_on),
        };
        tokio::spawn(async move {
            let mut tick = tokio::time::interval(Duration::from_millis(100));
            while goes_on.load(Ordering::Relaxed) {
                tick.tick().await;
                if let Some(legs) = legs(&pbx).await {
                    most.fetch_max(legs, Ordering::Relaxed);
                    looks.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        observer
    }

    /// The most there ever were, if it looked often enough to know.
    fn most(&self) -> usize {
        let (looks, took) = (self.looks.load(Ordering::Relaxed), self.since.elapsed());
        assert!(looks as u128 * 1_000 >= 8 * took.as_millis(), "{looks} looks in {took:?}");
        self.most.load(Ordering::Relaxed)
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.goes_on.store(false, Ordering::Relaxed);
    }
}

/// The channels to the limited destination: its trunk's endpoint is in their names. Asterisk lists a
/// channel twice while it replaces what it knows of it, so only its id counts.
async fn legs(pbx: &Ari) -> Option<usize> {
    let channels = pbx.try_get("/channels").await?;
    let is_leg = |channel: &&Value| {
        channel["name"].as_str().is_some_and(|name| name.starts_with("PJSIP/divert-"))
    };
    let legs = channels.as_array()?.iter().filter(is_leg);
    Some(legs.filter_map(|channel| channel["id"].as_str()).collect::<BTreeSet<_>>().len())
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_talk_and_never_eleven_however_many_arrive() {
    with_divert_in(configuration, async |lab| {
        lab.divert.until_trunk("limited", true).await;
        let limited = lab.divert.destination("limited").await;
        let set = async |max: u32| {
            lab.divert.patch(&limited, &json!({ "max_live": max })).await;
        };
        let observer = Observer::start(lab.pbx.clone());
        let ann = stage::ann();
        let did = stage::own_did();
        join_all((0..CALLS).map(|_| lab.phones.call(&did, &ann))).await;
        until_talking(lab, LIMIT as usize).await;
        let refused = ended(lab, CALLS - LIMIT as usize).await;
        let (busy, shed): (Vec<_>, Vec<_>) =
            refused.iter().partition(|one| one.call.result == Some(CallResult::Busy));
        // The others went back to the dialplan at once: so many are too many for this machine.
        assert!(busy.len() > 3 * LIMIT as usize, "{} were too many at once", shed.len());
        assert!(shed.iter().all(|one| is_passed_on(one)));
        for one in busy {
            let legs: Vec<_> = one.legs.iter().map(|leg| leg.outcome).collect();
            assert_eq!(legs, [Some(Outcome::Busy)], "the next destination was not tried");
            assert_eq!(first_verdict(one), Some(full(LIMIT, LIMIT)));
        }

        // The rush is over, and divert takes every call again.
        lab.divert.until_metric("divert_calls_shed_percent 0").await;
        // Whoever leaves makes room for exactly one.
        for phone in talking(lab).into_iter().take(3) {
            lab.phones.hang_up(&phone).await;
            lab.phones.until_gone(&phone, PROMPT).await;
        }
        until_talking(lab, LIMIT as usize - 3).await;
        join_all((0..6).map(|_| lab.phones.call(&did, &ann))).await;
        until_talking(lab, LIMIT as usize).await;
        assert_eq!(observer.most(), LIMIT as usize);

        // Below what lives: nobody is dropped, and nobody comes in before there is room again.
        let before = talking(lab);
        set(3).await;
        let changed = Instant::now();
        while refusal(lab).await != full(LIMIT, 3) {
            assert!(changed.elapsed() < PROMPT, "the change does not hold");
        }
        assert_eq!(talking(lab), before);
        for phone in before.iter().skip(3) {
            lab.phones.hang_up(phone).await;
        }
        until_talking(lab, 3).await;
        assert_eq!(refusal(lab).await, full(3, 3));
        lab.phones.hang_up(&before[0]).await;
        until_talking(lab, 2).await;
        lab.phones.call(&did, &ann).await;
        until_talking(lab, 3).await;

        // And up again.
        set(4).await;
        admitted(lab, 4).await;
        assert_eq!(refusal(lab).await, full(4, 4));

        // No slot is left behind: with a limit of 1 there is room for one.
        for phone in talking(lab) {
            lab.phones.hang_up(&phone).await;
        }
        until_talking(lab, 0).await;
        set(1).await;
        admitted(lab, 1).await;
        assert_eq!(refusal(lab).await, full(1, 1));
        assert!(observer.most() <= LIMIT as usize);
        for phone in [talking(lab), others(lab)].concat() {
            lab.phones.hang_up(&phone).await;
        }
    })
    .await;
}

fn full(live: u32, max: u32) -> Verdict {
    Verdict::Full { scope: LimitScope::Destination, live, max }
}

/// What was found of the first destination in the first attempt.
fn first_verdict(detail: &CallDetail) -> Option<Verdict> {
    detail.timeline.iter().find_map(|entry| match &entry.step {
        Step::Routed { candidates, .. } | Step::Unroutable { candidates, .. } => {
            candidates.first().map(|candidate| candidate.verdict)
        }
        _ => None,
    })
}

/// A call that the limited destination does not take, and why.
async fn refusal(lab: &Lab) -> Verdict {
    let known = lab.divert.calls().await;
    let line: Line = lab.phones.call(&stage::own_did(), &stage::ann()).await;
    assert_eq!(line.until_gone(Duration::from_secs(5)).await.cause, 17);
    let call = eventually("the call to be in the log", Duration::from_secs(5), async || {
        lab.divert.calls().await.into_iter().find(|call| !known.contains(call))
    })
    .await;
    let (detail, _) = lab.divert.ended(call, Duration::from_secs(5)).await;
    first_verdict(&detail).expect("it was routed")
}

/// Calls until one more is admitted, so that as many talk.
async fn admitted(lab: &Lab, wanted: usize) {
    let since = Instant::now();
    loop {
        let line = lab.phones.call(&stage::own_did(), &stage::ann()).await;
        let is_up = eventually("the call to be taken or not", Duration::from_secs(5), async || {
            let seen = line.seen();
            (seen.up.is_some() || seen.gone.is_some()).then_some(seen.up.is_some())
        })
        .await;
        if is_up {
            return until_talking(lab, wanted).await;
        }
        assert!(since.elapsed() < PROMPT, "the change does not hold");
    }
}

/// The phones behind the limited destination that talk.
fn talking(lab: &Lab) -> Vec<String> {
    let called = lab.phones.called("1001").into_iter();
    let up = called.filter(|(_, seen)| seen.up.is_some() && seen.gone.is_none());
    up.map(|(phone, _)| phone).collect()
}

/// Those that answer what divert did not take.
fn others(lab: &Lab) -> Vec<String> {
    let called = lab.phones.called(crate::lab::FALLBACK).into_iter();
    called.filter(|(_, seen)| seen.gone.is_none()).map(|(phone, _)| phone).collect()
}

async fn until_talking(lab: &Lab, wanted: usize) {
    eventually("so many to talk", Duration::from_secs(10), async || {
        (talking(lab).len() == wanted && legs(&lab.pbx).await == Some(wanted)).then_some(())
    })
    .await;
}

/// A call that the dialplan went on with: divert gave it back, or in a rush did not take care of it within
/// the two seconds that the dialplan leaves it. No caller here hangs up by itself.
fn is_passed_on(call: &CallDetail) -> bool {
    matches!(call.call.result, Some(CallResult::Abandoned | CallResult::Unrouted))
}

/// The calls that are over for divert, once so many are over or left to the dialplan: by divert, or by
/// the dialplan itself in a rush.
async fn ended(lab: &Lab, wanted: usize) -> Vec<CallDetail> {
    let db = lab.divert.db().await;
    eventually("the others to be refused", Duration::from_secs(15), async || {
        let mut ended = Vec::new();
        for call in lab.divert.calls().await {
            let account = divert::model::objects::account::DEFAULT_ACCOUNT;
            let detail = db.call(account, call).await.unwrap()?;
            if detail.call.ended_at.is_some() {
                ended.push(detail);
            }
        }
        let passed_on = ended.iter().filter(|one| is_passed_on(one)).count();
        (ended.len() - passed_on + others(lab).len() == wanted).then_some(ended)
    })
    .await
}

//! What a call costs is what the phones' Asterisk saw of it, and costs once: also when divert is
//! killed at any moment of the call.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use divert::clock;
use divert::model::billing::{Cdr, Micros};
use divert::model::objects::account::DEFAULT_ACCOUNT;
use divert::model::time::Timestamp;
use divert::model::timeline::{Step, Unroutable};
use divert::store::{CdrFilter, Db};
use serde_json::{Value, json};

use crate::connection_faults::{assert_talking, talk};
use crate::gate;
use crate::lab::{Lab, eventually, with_divert};
use crate::phones::Seen;
use crate::stage;

const PER_MINUTE: &str = "0.0137";
const PER_MINUTE_MICROS: i64 = 13_700;

fn billed() -> Value {
    let mut document = stage::one(&["1001"]);
    stage::bill(&mut document, PER_MINUTE, json!({}));
    document
}

/// Every bill there is, the newest call first.
async fn bills(lab: &Lab) -> Vec<Cdr> {
    let db = lab.divert.db().await;
    db.cdrs(DEFAULT_ACCOUNT, &CdrFilter::default(), None, 1_000).await.unwrap()
}

/// The only bill, once it is written and whatever might have been written twice is too.
async fn only_bill(lab: &Lab) -> Cdr {
    let call = lab.divert.call_on(&stage::own_did()).await;
    lab.divert.ended(call, Duration::from_secs(5)).await;
    let bills = bills(lab).await;
    assert_eq!(bills.len(), 1, "{bills:?}");
    bills.into_iter().next().unwrap()
}

/// The cost follows from the times, and is what was taken off the balance.
async fn assert_paid(lab: &Lab, bill: &Cdr) {
    let talk_ms = bill.ended_at.since_ms(bill.answered_at);
    let (billed_sec, amount) = stage::price(PER_MINUTE_MICROS, talk_ms);
    assert_eq!(bill.charge.billed_sec, billed_sec, "{bill:?}");
    assert_eq!(bill.charge.amount, Micros(amount), "{bill:?}");
    assert_eq!(balance(lab).await, -amount);
}

/// In millionths; read through the API.
async fn balance(lab: &Lab) -> i64 {
    let left = lab.divert.get("/v1/account/balance").await;
    assert_eq!(left["currency"], "USD", "{left}");
    let amount: Micros = left["amount"].as_str().unwrap().parse().unwrap();
    amount.0
}

/// How long the phone was off the hook, as its Asterisk told.
fn off_hook(seen: &Seen) -> Duration {
    seen.gone.expect("it was hung up").at.duration_since(seen.up.expect("it was answered"))
}

fn assert_close(bill: &Cdr, truth: Duration, tolerance_ms: i64) {
    let talk_ms = bill.ended_at.since_ms(bill.answered_at);
    let off = talk_ms - i64::try_from(truth.as_millis()).unwrap();
    assert!(off.abs() <= tolerance_ms, "{talk_ms} ms are billed of {truth:?}: {bill:?}");
}

fn phone(lab: &Lab) -> Seen {
    let called = lab.phones.called("1001");
    assert_eq!(called.len(), 1, "{called:?}");
    called.into_iter().next().unwrap().1
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answered_call_costs_what_the_phones_saw() {
    with_divert(&billed(), async |lab| {
        let (line, phone_channel) = talk(lab).await;
        tokio::time::sleep(Duration::from_secs(7)).await;
        assert_eq!(bills(lab).await, [], "billed before it is over");
        line.hang_up().await;
        lab.phones.until_gone(&phone_channel, Duration::from_secs(3)).await;
        let bill = only_bill(lab).await;
        assert_close(&bill, off_hook(&phone(lab)), 1_000);
        assert_eq!(bill.charge.billed_sec, 12, "{bill:?}");
        assert_paid(lab, &bill).await;

        // The API tells the same.
        let listed = lab.divert.get("/v1/cdrs").await;
        let listed = listed["data"].as_array().unwrap();
        assert_eq!(listed.len(), 1);
        assert_eq!(listed[0]["cost"]["amount"], json!(bill.charge.amount), "{listed:?}");
        assert_eq!(listed[0]["cost"]["billed_sec"], 12, "{listed:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_not_answered_costs_nothing() {
    let mut document = stage::one(&["1101"]);
    stage::bill(&mut document, PER_MINUTE, json!({}));
    with_divert(&document, async |lab| {
        let line = lab.phones.call(&stage::own_did(), &stage::ann()).await;
        line.until_gone(Duration::from_secs(5)).await;
        let call = lab.divert.call_on(&stage::own_did()).await;
        lab.divert.ended(call, Duration::from_secs(5)).await;
        assert_eq!(bills(lab).await, []);
        assert_eq!(balance(lab).await, 0);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_outlives_divert_costs_its_whole_length_once() {
    with_divert(&billed(), async |lab| {
        let (line, phone_channel) = talk(lab).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        lab.divert.kill();
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        lab.divert.start().await;
        assert_talking(lab, &line, &phone_channel).await;
        tokio::time::sleep(Duration::from_secs(4)).await;
        line.hang_up().await;
        lab.phones.until_gone(&phone_channel, Duration::from_secs(3)).await;
        let bill = only_bill(lab).await;
        assert_close(&bill, off_hook(&phone(lab)), 1_500);
        assert_paid(lab, &bill).await;

        // Nor is it billed again by the next process, which reads the same journal.
        lab.divert.kill();
        lab.divert.start().await;
        assert_eq!(only_bill(lab).await, bill);
        assert_paid(lab, &bill).await;
    })
    .await;
}

/// Asterisk leaves word of when it ended.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_ends_while_divert_is_dead_costs_what_the_phones_saw() {
    with_divert(&billed(), async |lab| {
        let (line, phone_channel) = talk(lab).await;
        tokio::time::sleep(Duration::from_secs(4)).await;
        lab.divert.kill();
        // Beyond the step that is paid by then.
        tokio::time::sleep(Duration::from_secs(7)).await;
        lab.phones.hang_up(&phone_channel).await;
        lab.phones.until_gone(&phone_channel, Duration::from_secs(3)).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        lab.divert.start().await;
        line.until_gone(Duration::from_secs(3)).await;
        let bill = only_bill(lab).await;
        assert_close(&bill, off_hook(&phone(lab)), 1_000);
        assert_eq!(bill.charge.billed_sec, 12, "{bill:?}");
        assert_paid(lab, &bill).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_time_in_which_asterisk_is_dead_is_not_billed() {
    with_divert(&billed(), async |lab| {
        let (line, phone_channel) = talk(lab).await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        let killed_at = clock::wall();
        lab.kill_asterisk();
        lab.phones.hang_up(&phone_channel).await;
        line.hang_up().await;
        lab.phones.until_gone(&phone_channel, Duration::from_secs(3)).await;
        tokio::time::sleep(Duration::from_secs(4)).await;
        lab.start_asterisk().await;
        lab.divert.until_ready().await;
        let bill = only_bill(lab).await;
        assert_ends_at(&bill, killed_at);
        assert_paid(lab, &bill).await;
    })
    .await;
}

/// A bill ends where divert last knew for sure that they talked: nothing later is billed, and where
/// nothing else happens divert makes sure every 5 s.
fn assert_ends_at(bill: &Cdr, death: Timestamp) {
    let beyond_ms = bill.ended_at.since_ms(death);
    // Two clocks that read the wall at different moments.
    assert!(beyond_ms <= 50, "billed to {beyond_ms} ms after the death: {bill:?}");
    assert!(beyond_ms >= -7_000, "billed only to {beyond_ms} ms before it: {bill:?}");
}

/// When divert dies, by what was seen at the phones.
#[derive(Clone, Copy, Debug)]
enum Death {
    /// So many milliseconds after the caller heard it ring; it is answered after 500.
    Rung(u64),
    /// So many milliseconds after the answer.
    Answered(u64),
}

/// How long before its death divert must have had an answer to bill it for sure.
const SURE: Duration = Duration::from_millis(200);

/// What became of calls in which divert died.
#[derive(Debug, Default)]
struct Toll {
    /// Legs that were answered …
    answered: usize,
    /// … and those that must be billed: so long before the death, or in a call that outlived it.
    sure: usize,
    outlived: usize,
}

impl Toll {
    /// A call in which divert dies; it ends while divert is dead, or when divert lives again.
    async fn call(&mut self, lab: &mut Lab, death: Death, ends_meanwhile: bool) {
        let (before, phones) = (bills(lab).await.len(), lab.phones.called("1001").len());
        let line = lab.phones.call(&stage::own_did(), &stage::ann()).await;
        let up = || lab.phones.called("1001").get(phones).and_then(|(_, seen)| seen.up);
        let (moment, ms) = match death {
            Death::Rung(ms) => (until("the first ring", || line.seen().ringing).await, ms),
            Death::Answered(ms) => (until("the answer", up).await, ms),
        };
        let wait = Duration::from_millis(ms).saturating_sub(moment.elapsed());
        tokio::time::sleep(wait).await;
        let killed = Instant::now();
        lab.divert.kill();
        if ends_meanwhile {
            let (phone, _) = lab.phones.called("1001").swap_remove(phones);
            lab.phones.hang_up(&phone).await;
            line.hang_up().await;
            lab.phones.until_gone(&phone, Duration::from_secs(3)).await;
            line.until_gone(Duration::from_secs(3)).await;
            lab.divert.start().await;
        } else {
            lab.divert.start().await;
            line.until_up(Duration::from_secs(8)).await;
            line.hang_up().await;
        }
        gate::check(lab).await;

        let called = lab.phones.called("1001");
        let answered: Vec<_> = called[phones..].iter().filter_map(|(_, seen)| seen.up).collect();
        // Had divert known nothing of the leg, another would have been dialled in its place.
        let has_outlived = !ends_meanwhile && called.len() == phones + 1;
        let is_sure = |up: &&Instant| has_outlived || **up + SURE <= killed;
        let sure = answered.iter().filter(is_sure).count();
        let new = eventually("the bills to be written", Duration::from_secs(5), async || {
            let new = bills(lab).await.len() - before;
            (new >= sure).then_some(new)
        })
        .await;
        assert!(new <= answered.len(), "{death:?}: {new} bills for {answered:?}");
        self.answered += answered.len();
        self.sure += sure;
        self.outlived += usize::from(has_outlived);
    }

    /// Nothing comes late, no leg has two bills, and every bill was paid once.
    async fn settle(self, lab: &Lab) {
        assert!(self.sure >= 2, "hardly one was answered long enough before: {self:?}");
        tokio::time::sleep(Duration::from_millis(500)).await;
        let bills = bills(lab).await;
        assert!((self.sure..=self.answered).contains(&bills.len()), "{} {self:?}", bills.len());
        let legs: BTreeSet<_> = bills.iter().map(Cdr::id).collect();
        assert_eq!(legs.len(), bills.len(), "a leg has two bills");
        for bill in &bills {
            let is_in_order =
                bill.started_at <= bill.answered_at && bill.answered_at <= bill.ended_at;
            assert!(is_in_order, "{bill:?}");
            let talk_ms = bill.ended_at.since_ms(bill.answered_at);
            let (billed_sec, amount) = stage::price(PER_MINUTE_MICROS, talk_ms);
            assert_eq!((bill.charge.billed_sec, bill.charge.amount.0), (billed_sec, amount));
        }
        let sum: i64 = bills.iter().map(|bill| bill.charge.amount.0).sum();
        assert_eq!(balance(lab).await, -sum);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wherever_divert_dies_a_leg_is_billed_once_and_an_answered_one_for_sure() {
    use Death::{Answered, Rung};
    let deaths = [
        Rung(0),
        Rung(400),
        Rung(460),
        Rung(480),
        Answered(0),
        Answered(20),
        Answered(60),
        Answered(120),
        Answered(210),
        Answered(300),
    ];
    with_divert(&billed(), async |lab| {
        let mut toll = Toll::default();
        for death in deaths {
            toll.call(lab, death, false).await;
        }
        assert!(toll.outlived >= 5, "hardly a call has outlived divert: {toll:?}");
        toll.settle(lab).await;
    })
    .await;
}

/// Nobody is left then who could be asked; only what divert wrote before it died.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_billed_also_when_the_call_ends_before_divert_is_back() {
    with_divert(&billed(), async |lab| {
        let mut toll = Toll::default();
        for ms in [0, 20, 60, 120, 210, 250, 300] {
            toll.call(lab, Death::Answered(ms), true).await;
        }
        toll.settle(lab).await;
    })
    .await;
}

async fn until(what: &str, when: impl Fn() -> Option<Instant>) -> Instant {
    eventually(what, Duration::from_secs(8), async || when()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prepaid_account_calls_as_long_as_something_is_left() {
    let mut document = stage::one(&["1001"]);
    // Six units for the shortest conversation.
    stage::bill(&mut document, "60.00", json!({ "prepaid": true }));
    with_divert(&document, async |lab| {
        assert_eq!(refusal(lab).await, Unroutable::NoCredit);
        credit(lab, "5.00").await;
        let placed = taken(lab).await;
        assert_eq!(balance(lab).await, 5_000_000, "it goes on");
        placed.hang_up().await;
        placed.until_gone(Duration::from_secs(2)).await;
        lab.phones.until_gone(&lab.phones.called("1001")[0].0, Duration::from_secs(2)).await;

        // At once, and for the next process too: more was used than there was, and nothing goes until
        // that is made good for.
        assert_eq!(refusal(lab).await, Unroutable::NoCredit);
        assert_eq!(balance(lab).await, -1_000_000);
        lab.divert.kill();
        lab.divert.start().await;
        assert_eq!(refusal(lab).await, Unroutable::NoCredit);
        credit(lab, "0.50").await;
        tokio::time::sleep(PROMPT).await;
        assert_eq!(refusal(lab).await, Unroutable::NoCredit);
        credit(lab, "10.00").await;
        taken(lab).await.hang_up().await;
    })
    .await;
}

/// How soon a credit holds after the API has confirmed it.
const PROMPT: Duration = Duration::from_secs(1);

async fn credit(lab: &Lab, amount: &str) {
    let body = json!({ "amount": amount, "note": "by a test" });
    lab.divert.post("/v1/account/credits", &body).await;
}

/// Calls until a call is answered, which one that is placed after [`PROMPT`] must be.
async fn taken(lab: &Lab) -> crate::phones::Line {
    let confirmed = Instant::now();
    loop {
        let placed = confirmed.elapsed();
        let line = lab.phones.call(&stage::own_did(), &stage::ann()).await;
        let is_up = eventually("the call to be taken or not", Duration::from_secs(5), async || {
            let seen = line.seen();
            (seen.up.is_some() || seen.gone.is_some()).then_some(seen.up.is_some())
        })
        .await;
        if is_up {
            return line;
        }
        assert!(placed < PROMPT, "a call {placed:?} after the credit was refused");
    }
}

/// Why a call is refused, which its caller is told and no phone rings for.
async fn refusal(lab: &Lab) -> Unroutable {
    let (known, rung) = (lab.divert.calls().await, lab.phones.called("1001").len());
    let line = lab.phones.call(&stage::own_did(), &stage::ann()).await;
    let gone = line.until_gone(Duration::from_secs(5)).await;
    assert!(line.seen().up.is_none(), "{gone:?}");
    assert_eq!(lab.phones.called("1001").len(), rung, "the phone rang");
    let call = lab.divert.newest(known.len() + 1).await;
    let (detail, _) = lab.divert.ended(call, Duration::from_secs(5)).await;
    let reason = detail.timeline.iter().find_map(|entry| match &entry.step {
        Step::Unroutable { reason, .. } => Some(*reason),
        _ => None,
    });
    reason.unwrap_or_else(|| panic!("it was not refused: {:?}", detail.timeline))
}

/// The whole way: nothing of the call has ever reached the database when divert is killed.
#[tokio::test(flavor = "multi_thread")]
async fn a_call_and_its_bill_outlive_a_kill_while_the_database_takes_no_rows() {
    with_divert(&billed(), async |lab| {
        let db = lab.divert.db().await;
        let Db::Sqlite(pool) = &db else { panic!("the lab runs on SQLite") };
        let lock = pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
        let (line, phone_channel) = talk(lab).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        line.hang_up().await;
        lab.phones.until_gone(&phone_channel, Duration::from_secs(3)).await;
        // Its bill is among the rows that wait, and all of those are kept.
        lab.divert.until_metric("divert_calls_live 0").await;
        eventually("the bill to be in the spool", Duration::from_secs(10), async || {
            lab.divert.spool().contains("{\"cdr\":").then_some(())
        })
        .await;
        assert!(!lab.divert.is_ready().await);
        lab.divert.kill();
        let written = db.cdrs(DEFAULT_ACCOUNT, &CdrFilter::default(), None, 1).await.unwrap();
        assert_eq!(written, []);

        lock.rollback().await.unwrap();
        lab.divert.start().await;
        let bill = only_bill(lab).await;
        assert_close(&bill, off_hook(&phone(lab)), 1_000);
        assert_paid(lab, &bill).await;
    })
    .await;
}

//! What Asterisk does by itself while divert is away, and what divert knows of it afterwards.

use std::time::{Duration, Instant};

use divert::model::billing::Cdr;
use divert::model::call::{CallRecord, LegRecord};
use divert::model::cause::{CallResult, EndedBy, Outcome};
use divert::model::id::CallId;
use divert::model::objects::account::DEFAULT_ACCOUNT;
use divert::store::{CallFilter, CdrFilter};
use serde_json::{Value, json};

use crate::connection_faults::talk;
use crate::gate;
use crate::lab::{Lab, eventually, with_divert};
use crate::phones::{Gone, Line, Seen};
use crate::sip::{self, Manner, Peer};
use crate::stage;
use crate::witness::Witness;

/// How soon Asterisk ends the other side.
const LIMIT: Duration = Duration::from_secs(3);
/// How far row and bill may be from the truth.
const TOLERANCE_MS: i64 = 1_000;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Away {
    Cut,
    Frozen,
    Killed,
    Stopped,
}

impl Away {
    async fn begin(self, lab: &mut Lab) {
        match self {
            Self::Cut => lab.proxy.cut(),
            Self::Frozen => lab.divert.signal("STOP"),
            Self::Killed => lab.divert.kill(),
            Self::Stopped => lab.divert.stop().await,
        }
    }

    async fn end(self, lab: &mut Lab) {
        match self {
            Self::Cut => lab.proxy.mend(),
            Self::Frozen => lab.divert.signal("CONT"),
            Self::Killed | Self::Stopped => lab.divert.spawn(),
        }
        lab.divert.until_ready().await;
    }
}

fn billed(numbers: &[&str]) -> Value {
    let mut document = stage::one(numbers);
    stage::bill(&mut document, "0.0137", json!({}));
    document
}

/// The newest of so many calls, its only leg and its bill, once all is written.
async fn newest(lab: &Lab, calls: usize) -> (CallRecord, LegRecord, Option<Cdr>) {
    let call = lab.divert.newest(calls).await;
    let (detail, _) = lab.divert.ended(call, Duration::from_secs(5)).await;
    let replayed = lab.divert.replay(call);
    assert!(replayed.is_empty(), "{replayed}");
    assert_eq!(detail.legs.len(), 1, "{:?}", detail.legs);
    let db = lab.divert.db().await;
    let bills = db.cdrs(DEFAULT_ACCOUNT, &CdrFilter::default(), None, 1_000).await.unwrap();
    let mut bills = bills.into_iter().filter(|bill| bill.call == call);
    let bill = bills.next();
    assert!(bills.next().is_none(), "billed twice");
    (detail.call, detail.legs.into_iter().next().unwrap(), bill)
}

fn assert_close(what: &str, ms: i64, truth: Duration) {
    let off = ms - i64::try_from(truth.as_millis()).unwrap();
    assert!(off.abs() <= TOLERANCE_MS, "{what}: {ms} ms of {truth:?}");
    eprintln!("{what}: {off} ms off");
}

/// The phone's side of the newest call.
fn phone(lab: &Lab, channel: &str) -> Seen {
    let mut called = lab.phones.called("1001").into_iter();
    called.find(|(id, _)| id == channel).unwrap().1
}

async fn one_hangs_up(lab: &Lab, line: &Line, phone: &str, by: EndedBy) -> (Gone, Duration) {
    let since = Instant::now();
    let (first, other) = if by == EndedBy::Caller {
        line.hang_up().await;
        (line.until_gone(LIMIT).await, lab.phones.until_gone(phone, LIMIT).await)
    } else {
        lab.phones.hang_up(phone).await;
        (lab.phones.until_gone(phone, LIMIT).await, line.until_gone(LIMIT).await)
    };
    (first, other.at.duration_since(since))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_that_ends_while_divert_is_away_ends_for_both_and_is_told_to_the_second() {
    with_divert(&billed(&["1001"]), async |lab| {
        let mut calls = 0;
        for away in [Away::Killed, Away::Stopped, Away::Frozen, Away::Cut] {
            for by in [EndedBy::Caller, EndedBy::Destination] {
                let (line, channel) = talk(lab).await;
                tokio::time::sleep(Duration::from_secs(1)).await;
                away.begin(lab).await;
                // They go on talking.
                tokio::time::sleep(Duration::from_secs(3)).await;
                let (first, took) = one_hangs_up(lab, &line, &channel, by).await;
                eprintln!("{away:?}, {by}: the other side ended after {took:?}");
                tokio::time::sleep(Duration::from_secs(1)).await;
                away.end(lab).await;
                calls += 1;
                let (call, leg, bill) = newest(lab, calls).await;
                let what = format!("{away:?}, {by}");
                assert_eq!(call.result, Some(CallResult::Answered), "{what}");
                assert_eq!(call.ended_by, Some(by), "{what}");
                let seen = phone(lab, &channel);
                let talked = first.at.duration_since(line.seen().up.unwrap());
                assert_close(&format!("{what}: talk"), call.talk_ms, talked);
                let off_hook = seen.gone.unwrap().at.duration_since(seen.up.unwrap());
                let (answered, ended) = (leg.answered_at.unwrap(), leg.ended_at.unwrap());
                assert_close(&format!("{what}: leg"), ended.since_ms(answered), off_hook);
                let bill = bill.expect("it was answered");
                let billed_ms = bill.ended_at.since_ms(bill.answered_at);
                assert_close(&format!("{what}: bill"), billed_ms, talked);
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_gives_up_while_divert_is_away_leaves_no_phone_ringing() {
    with_divert(&stage::one(&["1201"]), async |lab| {
        for (at, away) in [Away::Killed, Away::Frozen, Away::Cut].into_iter().enumerate() {
            let line = lab.phones.call(&stage::own_did(), &stage::ann()).await;
            eventually("the phone to ring", Duration::from_secs(5), async || line.seen().ringing)
                .await;
            away.begin(lab).await;
            tokio::time::sleep(Duration::from_secs(2)).await;
            line.hang_up().await;
            let gave_up = line.until_gone(LIMIT).await.at;
            let (phone, _) = lab
                .phones
                .called("1201")
                .into_iter()
                .find(|(id, _)| lab.phones.is_alive(id))
                .unwrap();
            let gone = lab.phones.until_gone(&phone, LIMIT).await;
            eprintln!("{away:?}: the phone rang on for {:?}", gone.at.duration_since(gave_up));
            away.end(lab).await;
            let (call, leg, bill) = newest(lab, at + 1).await;
            assert_eq!(call.result, Some(CallResult::Abandoned), "{away:?}");
            assert_eq!(call.ended_by, Some(EndedBy::Caller), "{away:?}");
            let lasted = call.ended_at.unwrap().since_ms(call.started_at);
            assert_close(&format!("{away:?}"), lasted, gave_up.duration_since(line.since));
            assert_eq!(leg.outcome, Some(Outcome::Abandoned), "{away:?}");
            assert_eq!(bill, None);
        }
    })
    .await;
}

/// Longer than the phone may ring, so that every timer of the call is due when divert is back.
#[tokio::test(flavor = "multi_thread")]
async fn who_answers_while_the_connection_is_cut_is_talked_to_when_it_is_back() {
    with_divert(&billed(&["1001", "1002"]), async |lab| {
        let line = lab.phones.call(&stage::own_did(), &stage::ann()).await;
        eventually("the phone to ring", Duration::from_secs(5), async || line.seen().ringing).await;
        lab.proxy.cut();
        let phone = lab.phones.talking("1001").await;
        tokio::time::sleep(Duration::from_secs(9)).await;
        assert!(line.seen().up.is_none() && line.seen().gone.is_none(), "{:?}", line.seen());
        lab.proxy.mend();
        lab.divert.until_ready().await;
        let ready = Instant::now();
        line.until_up(Duration::from_mins(1)).await;
        assert!(ready.elapsed() < Duration::from_secs(2), "{:?}", ready.elapsed());
        lab.until_bridged().await;
        assert!(lab.phones.is_alive(&phone));
        line.hang_up().await;
        lab.phones.until_gone(&phone, LIMIT).await;
        let (call, leg, bill) = newest(lab, 1).await;
        assert_eq!(call.result, Some(CallResult::Answered));
        assert_eq!((leg.outcome, bill.is_some()), (Some(Outcome::Answered), true));
        assert!(lab.phones.called("1002").is_empty());
    })
    .await;
}

/// What a phone does that nobody answers on is found out after the cut, and the next one rings.
#[tokio::test(flavor = "multi_thread")]
async fn who_declines_while_the_connection_is_cut_is_left_for_the_next_one() {
    with_divert(&stage::one(&["1201", "1002"]), async |lab| {
        let line = lab.phones.call(&stage::own_did(), &stage::ann()).await;
        eventually("the phone to ring", Duration::from_secs(5), async || line.seen().ringing).await;
        lab.proxy.cut();
        let (phone, _) = lab.phones.called("1201").into_iter().next().unwrap();
        lab.phones.hang_up(&phone).await;
        lab.phones.until_gone(&phone, LIMIT).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        lab.proxy.mend();
        lab.divert.until_ready().await;
        let up = line.until_up(Duration::from_mins(1)).await;
        eprintln!("answered {up:?} after the call");
        line.hang_up().await;
        let call = lab.divert.newest(1).await;
        let (detail, _) = lab.divert.ended(call, Duration::from_secs(5)).await;
        let outcomes: Vec<_> = detail.legs.iter().filter_map(|leg| leg.outcome).collect();
        assert_eq!(outcomes, [Outcome::Declined, Outcome::Answered]);
    })
    .await;
}

/// The first phone is busy only after divert was told to stop, which waits for calls that ring.
#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_is_being_connected_while_divert_stops_talks_on() {
    with_divert(&stage::one(&["1401", "1001"]), async |lab| {
        let line = lab.phones.call(&stage::own_did(), &stage::ann()).await;
        eventually("the first phone to be called", Duration::from_secs(5), async || {
            (!lab.phones.called("1401").is_empty()).then_some(())
        })
        .await;
        lab.divert.stop().await;
        line.until_up(Duration::from_secs(1)).await;
        // Longer than the second that Asterisk would leave them.
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert!(line.seen().gone.is_none(), "the caller was hung up: {:?}", line.seen());
        let (phone, _) = lab.phones.called("1001").into_iter().next().unwrap();
        lab.phones.hang_up(&phone).await;
        line.until_gone(LIMIT).await;
        lab.divert.start().await;
        let call = lab.divert.newest(1).await;
        let (detail, _) = lab.divert.ended(call, Duration::from_secs(5)).await;
        let outcomes: Vec<_> = detail.legs.iter().filter_map(|leg| leg.outcome).collect();
        assert_eq!(outcomes, [Outcome::Busy, Outcome::Answered]);
        assert_eq!(detail.call.ended_by, Some(EndedBy::Destination));
    })
    .await;
}

/// From before the answer to after it, in steps in which Asterisk and divert get at most one thing
/// done.
#[tokio::test(flavor = "multi_thread")]
async fn a_caller_who_gives_up_in_the_moment_of_the_answer_ended_the_call() {
    let peer = Peer::start(Manner::Answer).await;
    with_divert(&stage::to_peer(&peer), async |lab| {
        lab.divert.until_trunk("peer", true).await;
        let mut results = Vec::new();
        for ms in (0..24).chain([0, 2, 4, 6, 8, 10]) {
            let known = peer.invites().len();
            let (did, port) = (stage::own_did(), lab.pbx_sip());
            let when = async {
                peer.invite(known).await;
                tokio::time::sleep(Duration::from_millis(ms)).await;
            };
            sip::call_and_cancel(port, &did, "+12025550199", when).await;
            let (call, ..) = newest(lab, results.len() + 1).await;
            assert_eq!(call.ended_by, Some(EndedBy::Caller), "{ms} ms: {call:?}");
            let result = call.result.unwrap();
            let is_answered = call.answered_at.is_some();
            assert_eq!(is_answered, result == CallResult::Answered, "{ms} ms: {call:?}");
            assert!(is_answered || result == CallResult::Abandoned, "{ms} ms: {call:?}");
            results.push(result);
        }
        eprintln!("{results:?}");
    })
    .await;
}

/// The answer is in Asterisk, and not yet written down.
#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_that_begins_as_divert_dies_is_told_from_its_beginning() {
    let peer = Peer::start(Manner::Answer).await;
    let mut document = stage::to_peer(&peer);
    stage::bill(&mut document, "0.0137", json!({}));
    with_divert(&document, async |lab| {
        for (at, ms) in [0, 5, 10, 20, 40].into_iter().enumerate() {
            lab.divert.until_trunk("peer", true).await;
            let did = stage::own_did();
            let (from, patience) = (b"<sip:+12025550199@carrier.example>", Duration::from_secs(10));
            let call = sip::Call { user: did.as_str(), from, headers: b"", patience };
            let talk = sip::Talk::begin(lab.pbx_sip(), &call).await;
            tokio::time::sleep(Duration::from_millis(ms)).await;
            lab.divert.kill();
            // Longer than row and bill may be from the truth.
            tokio::time::sleep(Duration::from_secs(3)).await;
            lab.divert.start().await;
            tokio::time::sleep(Duration::from_millis(500)).await;
            let talked = talk.hang_up().await;
            let (call, _, bill) = newest(lab, at + 1).await;
            assert_eq!(call.result, Some(CallResult::Answered), "{ms} ms");
            assert_close(&format!("{ms} ms: talk"), call.talk_ms, talked);
            let bill = bill.expect("it was answered");
            let billed_ms = bill.ended_at.since_ms(bill.answered_at);
            assert_close(&format!("{ms} ms: bill"), billed_ms, talked);
        }
    })
    .await;
}

/// One caller among many: its number, how it ended, when it gave up.
type Placed = (String, Option<u16>, Instant);

/// The peer answers every call at once, and the callers hang up after up to a second and a half.
#[tokio::test(flavor = "multi_thread")]
async fn a_kill_in_the_middle_of_many_calls_costs_no_row_and_no_bill() {
    const ROUNDS: usize = 6;
    const CALLS: usize = 50;
    const EVERY: Duration = Duration::from_millis(40);
    let peer = Peer::start(Manner::Answer).await;
    let mut document = stage::to_peer(&peer);
    stage::bill(&mut document, "0.0137", json!({}));
    with_divert(&document, async |lab| {
        let port = lab.pbx_sip();
        let witness = Witness::watch(&lab.pbx).await;
        let mut placed = Vec::new();
        for round in 0..ROUNDS {
            lab.divert.until_trunk("peer", true).await;
            let mut callers = tokio::task::JoinSet::new();
            let mut next = tokio::time::interval(EVERY);
            for no in 0..CALLS {
                next.tick().await;
                let hold = Duration::from_millis(u64::try_from(no * 397 % 1_500).unwrap());
                let number = format!("+1202555{:04}", round * CALLS + no);
                callers.spawn(async move {
                    let did = stage::own_did();
                    let when = tokio::time::sleep(hold);
                    let (status, gave_up) = sip::call_and_cancel(port, &did, &number, when).await;
                    (number, status, gave_up)
                });
                if no == CALLS / 2 + round {
                    lab.divert.kill();
                    lab.divert.spawn();
                }
            }
            placed.extend(callers.join_all().await);
            lab.divert.until_ready().await;
            gate::check(lab).await;
        }
        // The last rows are written in a moment.
        let what = "every call to be told as it was";
        let since = Instant::now();
        loop {
            let faults = faults(lab, &peer, &witness, &placed).await;
            if faults.is_empty() {
                break;
            }
            assert!(since.elapsed() < Duration::from_secs(10), "{what}:\n{}", faults.join("\n"));
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
}

/// Where what divert has written differs from what callers, peer and Asterisk saw.
async fn faults(lab: &Lab, peer: &Peer, witness: &Witness, placed: &[Placed]) -> Vec<String> {
    let db = lab.divert.db().await;
    let bills = db.cdrs(DEFAULT_ACCOUNT, &CdrFilter::default(), None, 1_000).await.unwrap();
    let rows = db.calls(DEFAULT_ACCOUNT, &CallFilter::default(), None, 1_000).await.unwrap();
    let mut faults = Vec::new();
    // What each caller was told.
    let paths = witness.callers();
    let (mut abandoned, mut fallen) = (0, 0);
    for (number, status, _) in placed {
        let path = paths.iter().find(|(_, path)| path.number == *number);
        let row = path.and_then(|(channel, _)| rows.iter().find(|row| row.channel == *channel));
        let path = path.map(|(_, path)| path.clone()).unwrap_or_default();
        let is_answered = row.is_some_and(|row| row.result == Some(CallResult::Answered));
        let told = match status {
            Some(200) => is_answered || path.fell_back,
            Some(487) => !is_answered,
            _ => false,
        };
        // Who gave up on the way from one to the other came nowhere.
        let came =
            row.is_some() || !path.entered || path.left && (path.fell_back || *status == Some(487));
        if !told || !came {
            faults.push(format!("{number}: {status:?}, {path:?}, {row:?}"));
        }
        abandoned += usize::from(*status == Some(487));
        fallen += usize::from(path.fell_back);
    }
    // What the peer saw of each call.
    let dialogs = peer.dialogs();
    let mut crossed = 0;
    for dialog in &dialogs {
        let call: CallId = dialog.call.as_ref().expect("a call of divert's").parse().unwrap();
        let bill = bills.iter().filter(|bill| bill.call == call).count();
        let detail = db.call(DEFAULT_ACCOUNT, call).await.unwrap();
        let leg = detail.as_ref().and_then(|detail| detail.legs.first());
        let is_told = leg.is_some_and(|leg| leg.answered_at.is_some());
        let number = detail.as_ref().map(|detail| &*detail.call.caller.number);
        let caller = placed.iter().find(|(placed, ..)| Some(placed.as_str()) == number);
        let is_crossed = caller.is_some_and(|(.., gave_up)| dialog.is_crossed(*gave_up));
        let is_right = match dialog.acked {
            // Asterisk hung up before it knew of the answer: that can only be seen from here.
            Some(_) if is_crossed => is_told == (bill == 1),
            Some(_) => is_told && bill == 1,
            None => !is_told && bill == 0,
        };
        crossed += usize::from(is_crossed);
        if !is_right {
            faults.push(format!(
                "{dialog:?}: {bill} bills, {:?}, {leg:?}",
                detail.as_ref().map(|d| &d.call)
            ));
        }
    }
    eprintln!(
        "{} callers, {abandoned} gave up, {fallen} fell back; {} rows; {} INVITEs, {crossed} of them hung up in the moment of the answer; {} bills",
        placed.len(),
        rows.len(),
        dialogs.len(),
        bills.len(),
    );
    faults
}

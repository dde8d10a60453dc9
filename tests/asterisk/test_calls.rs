//! Test calls are tagged by divert itself, and by nobody else; and they leave nothing behind but a
//! receipt for what an ordinary call would have left.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use divert::clock;
use divert::model::cause::CallResult;
use divert::model::id::CallId;
use divert::model::number::Caller;
use divert::model::objects::account::DEFAULT_ACCOUNT;
use divert::model::throttle::CapCount;
use divert::model::time::Timestamp;
use divert::model::timeline::{Receipt, Step};
use divert::store::CallDetail;
use serde_json::{Value, json};
use sqlx::SqlitePool;

use crate::lab::{Lab, eventually, with_divert};
use crate::phones::at_divert;
use crate::sip::{self, Manner, Peer};
use crate::stage;

#[tokio::test(flavor = "multi_thread")]
async fn a_test_call_rings_the_real_destination_and_is_tagged() {
    with_divert(&stage::one(&["1901"]), async |lab| {
        let flows = lab.divert.get("/v1/forwarding-flows").await;
        let flow = flows["data"][0]["id"].as_str().unwrap().to_owned();
        let path = format!("/v1/forwarding-flows/{flow}/test-calls");
        let placed = lab.divert.post(&path, &json!({})).await;
        let id = placed["id"].as_str().unwrap_or_else(|| panic!("no id in {placed}")).to_owned();
        let path = format!("/v1/calls/{id}");
        let call = eventually("the test call to be over", Duration::from_secs(15), async || {
            lab.divert.try_get(&path).await.filter(|call| call["status"] == "ended")
        })
        .await;
        assert_eq!(call["tags"], json!(["test"]), "{call}");
        assert_eq!(call["result"], "answered", "{call}");
        assert_eq!(call["ended_by"], "destination", "{call}");
        assert_eq!(lab.phones.called("1901").len(), 1, "it rang the real destination once");
        let tests = lab.divert.get("/v1/calls?test=only").await;
        assert_eq!(tests["data"].as_array().unwrap().len(), 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_outside_can_make_a_call_a_test() {
    with_divert(&stage::one(&["1101"]), async |lab| {
        let plain = at_divert(&stage::own_did());
        let variables = json!({
            "DIVERT_TEST": "1",
            "__DIVERT_TEST": "1",
            "PJSIP_HEADER(add,X-Divert-Test)": "1",
            "PJSIP_HEADER(add,DIVERT_TEST)": "1",
        });
        let far = lab.pbx_sip();
        let user = stage::own_did();
        let parameter = format!("PJSIP/divert/sip:{user}@127.0.0.1:{far};x-divert-test=1");
        let header = format!("PJSIP/divert/sip:{user}@127.0.0.1:{far}?X-Divert-Test=1");
        for endpoint in [plain, parameter, header] {
            let line = lab.phones.call_with(&endpoint, &stage::ann(), &variables).await;
            let gone = line.until_gone(Duration::from_secs(10)).await;
            assert_eq!(gone.cause, 17, "{endpoint} {gone:?}");
        }
        let calls = eventually("all calls to be in the log", Duration::from_secs(5), async || {
            let calls = lab.divert.get("/v1/calls").await["data"].as_array().cloned()?;
            (calls.len() == 3).then_some(calls)
        })
        .await;
        let tags: Vec<_> = calls.iter().map(|call| &call["tags"]).collect();
        assert_eq!(tags, [&json!([]), &json!([]), &json!([])]);
    })
    .await;
}

/// Only divert's own test calls are known by the name of their channel, and only while it waits for
/// them.
#[tokio::test(flavor = "multi_thread")]
async fn a_channel_that_is_only_named_like_a_test_is_no_call_at_all() {
    with_divert(&stage::one(&["1001"]), async |lab| {
        let endpoint = format!("Local/{}@from-carrier/n", stage::own_did());
        let forged = format!("tc-{}", CallId::new(clock::mint()).digits());
        let query = [
            ("endpoint", endpoint.as_str()),
            ("context", "nowhere"),
            ("extension", "s"),
            ("channelId", "forged"),
            ("otherChannelId", forged.as_str()),
        ];
        lab.pbx.post("/channels", &query, &json!({})).await;
        eventually("it to be hung up", Duration::from_secs(5), async || {
            lab.pbx.get("/channels").await.as_array().is_some_and(Vec::is_empty).then_some(())
        })
        .await;
        assert_eq!(lab.divert.get("/v1/calls").await["data"], json!([]));
        assert_eq!(lab.phones.called("1001").len(), 0);
    })
    .await;
}

/// Slaves and carriers can tell; the fallback number is told as well.
#[tokio::test(flavor = "multi_thread")]
async fn the_legs_of_a_test_call_say_so_and_no_others() {
    let peer = Peer::start(Manner::Reject(486)).await;
    let mut document = stage::to_peer(&peer);
    document["forwarding_flows"][0]["fallback"] = json!({ "trunk": "peer", "number": "1002" });
    with_divert(&document, async |lab| {
        lab.divert.until_trunk("peer", true).await;
        let watch = Watch::new(lab).await;
        let test = watch.place().await;
        lab.divert.ended(test, Duration::from_secs(5)).await;
        let from = b"\"Ann\" <sip:+12025550199@carrier.example>";
        let headers = b"X-Divert-Test: 1\r\n";
        let (did, patience) = (stage::own_did(), Duration::from_secs(10));
        let call = sip::Call { user: did.as_str(), from, headers, patience };
        assert_eq!(sip::call(lab.pbx_sip(), &call).await, Some(486));
        let invites = peer.invites();
        let said = invites.iter().map(|invite| invite.headers("X-Divert-Test"));
        let said: Vec<Vec<String>> = said.collect();
        assert_eq!(said, [vec!["1".to_owned()], vec!["1".to_owned()], vec![], vec![]]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_call_that_outlives_divert_stays_one() {
    with_divert(&remembering(&["1001", "1002"]), async |lab| {
        let watch = Watch::new(lab).await;
        let number = number_of(&watch.next().await);
        let test = watch.place().await;
        drop(watch);
        let phone = lab.phones.talking(number).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        lab.divert.kill();
        lab.divert.start().await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        assert!(lab.phones.is_alive(&phone), "divert hung up a test call that it takes over");
        lab.phones.hang_up(&phone).await;
        let (detail, _) = lab.divert.ended(test, Duration::from_secs(5)).await;
        assert!(detail.call.is_test);
        assert_eq!(receipts_of(&detail).len(), 1, "{:?}", detail.timeline);
        let db = lab.divert.db().await;
        assert_eq!(db.cdrs_of_call(DEFAULT_ACCOUNT, test).await.unwrap(), []);
    })
    .await;
}

const PER_MINUTE: &str = "0.0137";
const PER_MINUTE_MICROS: i64 = 13_700;
/// Kolkata is ahead of UTC by this, all year.
const AHEAD_MS: i64 = (5 * 60 + 30) * 60_000;
const DAY_MS: i64 = 86_400_000;
/// How soon a slot that was taken is in the database.
const WRITTEN: Duration = Duration::from_millis(200);

/// A flow on which an ordinary call to one of two numbers changes all there is to change.
fn remembering(numbers: &[&str; 2]) -> Value {
    let caps = json!([
        { "per": "day", "count": "attempts", "max": 50 },
        { "per": "day", "count": "answers", "max": 40 },
        { "per": "day", "count": "billable_minutes", "max": 30 },
    ]);
    let mut flow = stage::flow("remembering", stage::own_did().as_str(), numbers);
    flow["time_zone"] = json!("Asia/Kolkata");
    flow["stickiness"] = json!("same_day");
    flow["repeat_caller"] = json!({ "calls": 1, "within_sec": 3600, "then": "tag" });
    flow["caps"] = json!([{ "per": "total", "count": "attempts", "max": 100 }]);
    for (at, (name, weight)) in [("first", 3), ("second", 1)].into_iter().enumerate() {
        let destination = &mut flow["destinations"][at];
        destination["name"] = json!(name);
        destination["weight"] = json!(weight);
        destination["priority"] = json!(1);
        destination["max_live"] = json!(5);
        destination["caps"] = caps.clone();
    }
    let mut document = stage::document(&[flow]);
    stage::bill(&mut document, PER_MINUTE, json!({}));
    document
}

/// Every row of the tables that calls change, by what it is of.
type Dump = BTreeMap<&'static str, Vec<String>>;

const TABLES: [(&str, &str); 7] = [
    ("balance", "SELECT quote(amount) FROM balance ORDER BY account_id"),
    ("binding", "SELECT caller_key || ' ' || destination_id FROM binding ORDER BY 1"),
    ("cdr", "SELECT call_id || ' ' || leg_no || ' ' || amount FROM cdr ORDER BY 1"),
    ("live", "SELECT scope || ' ' || live FROM live WHERE live <> 0 ORDER BY 1"),
    ("slot", "SELECT call_id || ' ' || no || ' ' || scope FROM slot ORDER BY 1"),
    (
        "volume",
        "SELECT throttled_id || ' ' || period || ' ' || counted || ' ' || since || ' ' || used \
         FROM volume ORDER BY 1",
    ),
    ("wheel", "SELECT flow_id || ' ' || priority || ' ' || json(standings) FROM wheel ORDER BY 1"),
];

/// What a test call must leave alone.
struct Observed {
    dump: Dump,
    /// Reports, sessions, bills and who is next, without what they say of the time.
    told: Vec<Value>,
}

struct Watch<'a> {
    lab: &'a Lab,
    db: SqlitePool,
    flow: String,
}

impl<'a> Watch<'a> {
    async fn new(lab: &'a Lab) -> Self {
        let db = SqlitePool::connect(&lab.divert.database()).await.unwrap();
        let flows = lab.divert.get("/v1/forwarding-flows").await;
        let flow = flows["data"][0]["id"].as_str().unwrap().to_owned();
        Self { lab, db, flow }
    }

    async fn dump(&self) -> Dump {
        let mut dump = Dump::new();
        for (table, query) in TABLES {
            let rows: Vec<String> = sqlx::query_scalar(query).fetch_all(&self.db).await.unwrap();
            dump.insert(table, rows);
        }
        dump
    }

    async fn live(&self) -> Value {
        self.lab.divert.get(&format!("/v1/forwarding-flows/{}/live", self.flow)).await
    }

    /// Everything, once nothing is left to be written of calls that are over.
    async fn observe(&self) -> Observed {
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        let mut told = Vec::new();
        let mut live = self.live().await;
        live["at"].take();
        told.push(live);
        for by in ["day", "flow", "destination"] {
            let report = self.lab.divert.get(&format!("/v1/reports/calls?by={by}")).await;
            let mut rows = report["rows"].clone();
            // The last day ends now.
            for row in rows.as_array_mut().unwrap() {
                row["period"].take();
            }
            rows.as_array_mut().unwrap().retain(|row| row["calls"] != 0);
            told.push(rows);
        }
        for path in ["/v1/sessions?test=exclude", "/v1/calls?test=exclude", "/v1/cdrs"] {
            told.push(self.lab.divert.get(path).await["data"].clone());
        }
        Observed { dump: self.dump().await, told }
    }

    /// Places a test call of Ann's.
    async fn place(&self) -> CallId {
        let path = format!("/v1/forwarding-flows/{}/test-calls", self.flow);
        let caller = json!({ "caller": { "number": "+12025550199", "name": "Ann" } });
        let placed = self.lab.divert.post(&path, &caller).await;
        placed["id"].as_str().unwrap_or_else(|| panic!("no id in {placed}")).parse().unwrap()
    }

    /// Who gets the next new caller.
    async fn next(&self) -> String {
        self.live().await["next"]["name"].as_str().unwrap().to_owned()
    }

    /// The number of live calls of a destination, by the flow's live view.
    async fn live_on(&self, name: &str) -> u64 {
        let live = self.live().await;
        let one_of = |list: &Value, key: &str, is: &str| {
            list.as_array().unwrap().iter().find(|one| one[key] == is).unwrap().clone()
        };
        let destination = one_of(&live["destinations"], "name", name);
        one_of(&destination["limits"], "scope", "destination")["live"].as_u64().unwrap()
    }

    /// An ordinary call that talks for a while.
    async fn call(&self, caller: &Caller, talk: Duration) -> CallDetail {
        let known = self.lab.divert.calls().await.len();
        let line = self.lab.phones.call(&stage::own_did(), caller).await;
        line.until_up(Duration::from_secs(5)).await;
        tokio::time::sleep(talk).await;
        line.hang_up().await;
        let call = self.lab.divert.newest(known + 1).await;
        self.lab.divert.ended(call, Duration::from_secs(5)).await.0
    }
}

fn number_of(destination: &str) -> &'static str {
    if destination == "first" { "1001" } else { "1002" }
}

/// The length of the conversation by the log, in milliseconds.
fn talk_ms(detail: &CallDetail) -> i64 {
    let leg = &detail.legs[0];
    leg.ended_at.unwrap().since_ms(leg.answered_at.unwrap())
}

/// The receipts in a timeline.
fn receipts_of(detail: &CallDetail) -> Vec<&Receipt> {
    let steps = detail.timeline.iter().map(|entry| &entry.step);
    steps.filter_map(|step| if let Step::Receipt(one) = step { Some(one) } else { None }).collect()
}

/// When the day ends on which the call was answered.
fn end_of_day(detail: &CallDetail) -> Timestamp {
    let local = detail.legs[0].answered_at.unwrap().0 + AHEAD_MS;
    Timestamp((local / DAY_MS + 1) * DAY_MS - AHEAD_MS)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_call_changes_nothing_and_says_what_it_would_have_changed() {
    with_divert(&remembering(&["1001", "1002"]), async |lab| {
        let watch = Watch::new(lab).await;
        let bob = Caller::clean("+12025550198", "Bob");
        watch.call(&bob, Duration::from_secs(1)).await;
        let before = watch.observe().await;
        for table in ["balance", "binding", "cdr", "volume", "wheel"] {
            assert!(!before.dump[table].is_empty(), "{table} is empty after an ordinary call");
        }
        let next = watch.next().await;

        // It holds one slot of its destination as long as it lives.
        let number = number_of(&next);
        let rung = lab.phones.called(number).len();
        let test = watch.place().await;
        eventually("the phone to ring", Duration::from_secs(5), async || {
            (lab.phones.called(number).len() > rung).then_some(())
        })
        .await;
        let held = eventually("the slot to be written", WRITTEN, async || {
            Some(watch.dump().await["slot"].clone()).filter(|rows| !rows.is_empty())
        })
        .await;
        let phone = lab.phones.talking(number).await;
        let talking = Instant::now();
        let of_destination: Vec<&String> =
            held.iter().filter(|row| row.contains(" dst_")).collect();
        assert_eq!(of_destination.len(), 1, "{held:?}");
        assert!(of_destination[0].starts_with(&format!("{test} 1 ")), "{held:?}");
        assert_eq!(watch.live_on(&next).await, 1);
        let other = if next == "first" { "second" } else { "first" };
        assert_eq!(watch.live_on(other).await, 0);
        let rest = Duration::from_secs(3).saturating_sub(talking.elapsed());
        tokio::time::sleep(rest).await;
        lab.phones.hang_up(&phone).await;
        let (detail, _) = lab.divert.ended(test, Duration::from_secs(5)).await;

        let after = watch.observe().await;
        assert_eq!(after.dump, before.dump);
        assert_eq!(after.told, before.told);
        assert_eq!(watch.next().await, next);
        let db = lab.divert.db().await;
        assert_eq!(db.cdrs_of_call(DEFAULT_ACCOUNT, test).await.unwrap(), []);

        // The receipt.
        assert!(!detail.call.is_repeat, "{:?}", detail.call);
        let receipts = receipts_of(&detail);
        let [receipt] = receipts[..] else { panic!("{} receipts", receipts.len()) };
        let (billed_sec, amount) = stage::price(PER_MINUTE_MICROS, talk_ms(&detail));
        let charge = receipt.charge.expect("it would have cost something");
        assert_eq!((charge.billed_sec, charge.amount.0), (billed_sec, amount));
        assert_eq!(receipt.sticky, Some((next.clone(), Some(end_of_day(&detail)))));
        assert_eq!(receipt.wheel_turns, 1);
        assert!(receipt.counts_as_visit);
        let mut caps = receipt.caps.clone();
        caps.sort_by_key(|(whose, count, _)| (whose.clone(), count.to_string()));
        let of = |whose: &str, count| (whose.to_owned(), count, 1);
        let wanted = [
            of(&next, CapCount::Answers),
            of(&next, CapCount::Attempts),
            of(&next, CapCount::BillableMinutes),
            of("remembering", CapCount::Attempts),
        ];
        assert_eq!(caps, wanted);

        // And an ordinary call of the same caller does just that.
        let ordinary = watch.call(&stage::ann(), Duration::from_secs(3)).await;
        assert_eq!(
            ordinary.legs[0].name, next,
            "the test call moved the wheel or bound the caller"
        );
        assert!(!ordinary.call.is_repeat, "the test call counted as a call of its caller");
        assert!(receipts_of(&ordinary).is_empty(), "{:?}", ordinary.timeline);
        let changed = watch.observe().await;
        let new = |table: &str| -> Vec<&String> {
            changed.dump[table].iter().filter(|row| !before.dump[table].contains(row)).collect()
        };
        let destination = ordinary.legs[0].destination.unwrap();
        assert_eq!(new("binding"), [&format!("12025550199 {destination}")]);
        let (_, amount) = stage::price(PER_MINUTE_MICROS, talk_ms(&ordinary));
        assert_eq!(new("cdr"), [&format!("{} 1 {amount}", ordinary.call.id)]);
        let balance = |dump: &Dump| dump["balance"][0].parse::<i64>().unwrap();
        assert_eq!(balance(&changed.dump), balance(&before.dump) - amount);
        assert_eq!(new("wheel").len(), 1, "{:?}", changed.dump["wheel"]);
        assert_eq!(used(&changed.dump) - used(&before.dump), 4, "{:?}", changed.dump["volume"]);
        assert_eq!(changed.dump["slot"], before.dump["slot"]);
        assert_ne!(changed.told, before.told);

        // That one counted.
        let again = watch.call(&stage::ann(), Duration::from_secs(1)).await;
        assert!(again.call.is_repeat);
        assert_eq!(again.legs[0].name, next);
    })
    .await;
}

/// It rings as long as the flow says, which is longer than Asterisk's own patience.
#[tokio::test(flavor = "multi_thread")]
async fn a_test_call_that_nobody_takes_changes_nothing_either() {
    let mut document = remembering(&["1201", "1202"]);
    let flow = &mut document["forwarding_flows"][0];
    flow["ring_timeout_sec"] = json!(33);
    flow["max_attempts"] = json!(1);
    with_divert(&document, async |lab| {
        let watch = Watch::new(lab).await;
        let before = watch.observe().await;
        let next = watch.next().await;
        let test = watch.place().await;
        let (unanswered, _) = lab.divert.ended(test, Duration::from_secs(40)).await;
        assert_eq!(unanswered.call.result, Some(CallResult::NoAnswer), "{unanswered:?}");
        let leg = &unanswered.legs[0];
        let rang_ms = leg.ended_at.unwrap().since_ms(leg.ringing_at.unwrap());
        assert!((32_000..35_000).contains(&rang_ms), "it rang for {rang_ms} ms");
        let of = |whose: &str| (whose.to_owned(), CapCount::Attempts, 1);
        let wanted = Receipt {
            wheel_turns: 1,
            caps: vec![of(&next), of("remembering")],
            counts_as_visit: true,
            ..Receipt::default()
        };
        assert_eq!(receipts_of(&unanswered), [&wanted]);

        for destination in ["first", "second"] {
            let path = lab.divert.destination(destination).await;
            lab.divert.patch(&path, &json!({ "state": "paused" })).await;
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        let test = watch.place().await;
        let (refused, _) = lab.divert.ended(test, Duration::from_secs(5)).await;
        assert_eq!(refused.legs.len(), 0, "{refused:?}");
        let wanted = Receipt { counts_as_visit: true, ..Receipt::default() };
        assert_eq!(receipts_of(&refused), [&wanted]);
        for destination in ["first", "second"] {
            let path = lab.divert.destination(destination).await;
            lab.divert.patch(&path, &json!({ "state": "active" })).await;
        }

        let after = watch.observe().await;
        assert_eq!(after.dump, before.dump);
        assert_eq!(after.told, before.told);
        let db = lab.divert.db().await;
        for call in [unanswered, refused] {
            assert!(call.call.is_test && !call.call.is_repeat, "{:?}", call.call);
            let bills = db.cdrs_of_call(DEFAULT_ACCOUNT, call.call.id).await.unwrap();
            assert_eq!(bills, []);
        }
    })
    .await;
}

/// The sum of all that is used of caps.
fn used(dump: &Dump) -> i64 {
    let used = |row: &String| row.rsplit_once(' ').unwrap().1.parse::<i64>().unwrap();
    dump["volume"].iter().map(used).sum()
}

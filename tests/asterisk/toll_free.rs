//! Toll-free destinations: a number, and divert chooses among the trunks that carry such calls.

use std::time::Duration;

use divert::model::objects::account::DEFAULT_ACCOUNT;
use divert::model::timeline::Step;
use serde_json::{Value, json};

use crate::lab::{Lab, with_divert};
use crate::sip::{self, Manner, Peer};
use crate::stage;

/// A flow with nothing but a toll-free number, and two trunks that carry such calls beside one that
/// does not.
fn configuration(first: &Peer, second: &Peer) -> Value {
    let mut flow = stage::flow("toll-free", stage::own_did().as_str(), &[]);
    flow["destinations"] = json!([{ "name": "800", "toll_free": "+18005550199" }]);
    let mut document = stage::document(&[flow]);
    document["account"] = json!({ "toll_free_termination": true });
    for (name, peer) in [("a-first", first), ("b-second", second)] {
        let trunk = json!({ "name": name, "address": peer.address(), "carries_toll_free": true });
        stage::add_trunk(&mut document, trunk);
    }
    document
}

async fn call(lab: &Lab) -> Option<u16> {
    sip::call_from_ann(lab.pbx_sip(), &stage::own_did()).await
}

/// The endpoints the newest of so many calls was routed over, attempt by attempt.
async fn routed(lab: &Lab, calls: usize) -> Vec<String> {
    let call = lab.divert.newest(calls).await;
    let (detail, _) = lab.divert.ended(call, Duration::from_secs(5)).await;
    let endpoint = |step: &Step| match step {
        Step::Routed { endpoint, .. } => Some(endpoint.clone()),
        _ => None,
    };
    detail.timeline.iter().filter_map(|entry| endpoint(&entry.step)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_toll_free_number_is_dialled_over_the_first_trunk_that_works() {
    let first = Peer::start(Manner::Reject(486)).await;
    let second = Peer::start(Manner::Reject(486)).await;
    with_divert(&configuration(&first, &second), async |lab| {
        lab.divert.until_trunk("a-first", true).await;
        lab.divert.until_trunk("b-second", true).await;
        assert_eq!(call(lab).await, Some(486));
        let invite = first.invite(0).await;
        assert_eq!(invite.user(), "18005550199");
        let ann = "\"Ann\" <sip:+12025550199@127.0.0.1>";
        assert_eq!(invite.header("From").unwrap().split(";tag=").next(), Some(ann));
        assert_eq!(invite.header("P-Asserted-Identity").as_deref(), Some(ann));
        assert_eq!(second.invites().len(), 0);
        let over_first = routed(lab, 1).await;

        // The first one fails, call after call, until no more are given to it.
        first.behave(Manner::Reject(503));
        for calls in 2..=4 {
            assert_eq!(call(lab).await, Some(486), "the second trunk took it in the same call");
            assert_eq!(second.invites().len(), calls - 1);
            assert_eq!(routed(lab, calls).await.len(), 2);
        }
        let (before, taken) = (first.invites().len(), second.invites().len());
        assert_eq!(call(lab).await, Some(486));
        assert_eq!(first.invites().len(), before, "a trunk that fails got one more");
        assert_eq!(second.invites().len(), taken + 1);
        let over_second = routed(lab, 5).await;
        assert_eq!(over_second.len(), 1);
        assert_ne!(over_first, over_second);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trunk_that_is_away_is_no_way_for_a_toll_free_call() {
    let first = Peer::start(Manner::Silent).await;
    let second = Peer::start(Manner::Reject(486)).await;
    with_divert(&configuration(&first, &second), async |lab| {
        lab.divert.until_trunk("a-first", false).await;
        lab.divert.until_trunk("b-second", true).await;
        assert_eq!(call(lab).await, Some(486));
        assert_eq!(second.invite(0).await.user(), "18005550199");
        assert_eq!(first.invites().len(), 0);
    })
    .await;
}

/// By the deck of the trunk it went over, and the longest beginning of the number there.
#[tokio::test(flavor = "multi_thread")]
async fn a_toll_free_call_costs_what_its_trunk_asks_for_the_number() {
    let first = Peer::start(Manner::Silent).await;
    let second = Peer::start(Manner::Answer).await;
    let mut document = configuration(&first, &second);
    let rate = |prefix: &str, per_minute: &str| json!({ "prefix": prefix, "per_minute": per_minute, "increment": "6/6" });
    let deck = |name: &str, rates: &[Value]| json!({ "name": name, "rates": rates });
    document["rate_decks"] = json!([
        deck("others", &[rate("18005550199", "0.5000")]),
        deck("second", &[rate("", "0.4000"), rate("1", "0.3000"), rate("1800", "0.0200")]),
    ]);
    document["account"]["rate_deck"] = json!("others");
    for trunk in document["trunks"].as_array_mut().unwrap() {
        if trunk["name"] == "b-second" {
            trunk["rate_deck"] = json!("second");
        }
    }
    with_divert(&document, async |lab| {
        lab.divert.until_trunk("a-first", false).await;
        lab.divert.until_trunk("b-second", true).await;
        let line = lab.phones.call(&stage::own_did(), &stage::ann()).await;
        line.until_up(Duration::from_secs(5)).await;
        line.hang_up().await;
        let call = lab.divert.newest(1).await;
        lab.divert.ended(call, Duration::from_secs(5)).await;

        let db = lab.divert.db().await;
        let bills = db.cdrs_of_call(DEFAULT_ACCOUNT, call).await.unwrap();
        let [bill] = &bills[..] else { panic!("{bills:?}") };
        assert_eq!(bill.tariff.prefix.as_str(), "1800");
        let talk_ms = bill.ended_at.since_ms(bill.answered_at);
        let (billed_sec, amount) = stage::price(20_000, talk_ms);
        assert_eq!((bill.charge.billed_sec, bill.charge.amount.0), (billed_sec, amount));
        let trunks = lab.divert.get("/v1/trunks").await;
        let over = trunks["data"].as_array().unwrap().iter().find(|one| one["name"] == "b-second");
        assert_eq!(bill.trunk.unwrap().to_string(), over.unwrap()["id"].as_str().unwrap());
        assert_eq!(second.invite(0).await.user(), "18005550199");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_may_not_is_told_so() {
    with_divert(&stage::one(&["1101"]), async |lab| {
        let flow = lab.divert.get("/v1/forwarding-flows").await["data"][0]["id"].clone();
        let path = format!("/v1/forwarding-flows/{}/destinations", flow.as_str().unwrap());
        let destination = json!({ "name": "800", "toll_free": "8005550199" });
        let (status, problem) = lab.divert.refused(&path, &destination).await;
        assert_eq!(status, 403, "{problem}");
        assert_eq!(problem["title"], "Toll-free termination is not enabled", "{problem}");
        let text = problem.to_string();
        assert!(text.contains("toll-free termination is not enabled on this account"), "{text}");
    })
    .await;
}

//! Trunks that are away or fail: destinations behind them are skipped, their share goes to the
//! others, and they come back by themselves.

use std::time::{Duration, Instant};

use divert::model::timeline::{Down, Step, Verdict};
use serde_json::{Value, json};

use crate::lab::{Lab, with_divert};
use crate::sip::{self, Manner, Peer};
use crate::stage;

/// The peer and a busy phone take turns; behind a third trunk there is no endpoint at all.
fn configuration(peer: &Peer) -> Value {
    let mut flow = stage::flow("outages", stage::own_did().as_str(), &[]);
    flow["spread"] = json!("round_robin");
    flow["max_attempts"] = json!(1);
    flow["destinations"] = json!([
        { "name": "ghost", "trunk": "ghost", "number": "1" },
        { "name": "peer", "trunk": "peer", "number": "1001" },
        { "name": "phone", "trunk": "phones", "number": "1101" },
    ]);
    let mut document = stage::document(&[flow]);
    stage::add_trunk(&mut document, json!({ "name": "ghost", "endpoint": "ghost" }));
    stage::add_trunk(&mut document, json!({ "name": "peer", "address": peer.address() }));
    document
}

/// Places a call; what was found of the destination with this name.
async fn verdict(lab: &Lab, name: &str) -> Verdict {
    let known = lab.divert.calls().await.len();
    assert!(sip::call_from_ann(lab.pbx_sip(), &stage::own_did()).await.is_some());
    let call = lab.divert.newest(known + 1).await;
    let (detail, _) = lab.divert.ended(call, Duration::from_secs(5)).await;
    let candidates = detail.timeline.iter().find_map(|entry| match &entry.step {
        Step::Routed { candidates, .. } => Some(candidates),
        _ => None,
    });
    let found = candidates.unwrap().iter().find(|candidate| candidate.name == name);
    found.unwrap().verdict
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trunk_that_goes_away_leaves_its_share_to_the_others_until_it_is_back() {
    let peer = Peer::start(Manner::Reject(486)).await;
    with_divert(&configuration(&peer), async |lab| {
        lab.divert.until_trunk("peer", true).await;
        lab.divert.until_trunk("ghost", false).await;
        for _ in 0..4 {
            assert_eq!(verdict(lab, "ghost").await, Verdict::Down { why: Down::Offline });
        }
        assert_eq!(peer.invites().len(), 2, "each got every second call");

        peer.behave(Manner::Silent);
        let since = Instant::now();
        lab.divert.until_trunk("peer", false).await;
        assert!(since.elapsed() < Duration::from_secs(10), "seen after {:?}", since.elapsed());
        for _ in 0..3 {
            assert_eq!(verdict(lab, "peer").await, Verdict::Down { why: Down::Offline });
        }
        assert_eq!(peer.invites().len(), 2);

        peer.behave(Manner::Reject(486));
        lab.divert.until_trunk("peer", true).await;
        for _ in 0..2 {
            verdict(lab, "peer").await;
        }
        assert_eq!(peer.invites().len(), 3, "it has its share again");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trunk_that_fails_is_spared_until_one_call_finds_it_well() {
    let peer = Peer::start(Manner::Reject(503)).await;
    with_divert(&configuration(&peer), async |lab| {
        lab.divert.until_trunk("peer", true).await;
        let since = Instant::now();
        let failing = loop {
            if let Verdict::Down { why } = verdict(lab, "peer").await {
                break why;
            }
            assert!(since.elapsed() < Duration::from_secs(5), "503 again and again opens nothing");
        };
        assert_eq!(failing, Down::Failing { failures: 3 });
        let opened = Instant::now();
        assert_eq!(peer.invites().len(), 3);

        peer.behave(Manner::Reject(486));
        while peer.invites().len() == 3 {
            verdict(lab, "peer").await;
            assert!(opened.elapsed() < Duration::from_secs(20), "it was never tried again");
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        assert!(opened.elapsed() > Duration::from_secs(10), "tried after {:?}", opened.elapsed());
        // The one that found out closed the circuit.
        for _ in 0..2 {
            assert!(!matches!(verdict(lab, "peer").await, Verdict::Down { .. }));
        }
        assert_eq!(peer.invites().len(), 5);
    })
    .await;
}

//! Trunks that divert makes in Asterisk itself, and what becomes of them there.

use std::time::Duration;

use serde_json::Value;

use crate::lab::{Lab, eventually, with_divert};
use crate::sip::{self, Manner, Peer};
use crate::stage;

#[tokio::test(flavor = "multi_thread")]
async fn calls_over_a_trunk_of_diverts_own_make_asterisk_warn_of_nothing() {
    let peer = Peer::start(Manner::Reject(486)).await;
    with_divert(&stage::to_peer(&peer), async |lab| {
        lab.divert.until_trunk("peer", true).await;
        for _ in 0..5 {
            assert_eq!(sip::call_from_ann(lab.pbx_sip(), &stage::own_did()).await, Some(486));
        }
        let log = lab.asterisk_log();
        // What it says of itself while it starts is not about calls.
        let log = log.rsplit("Asterisk Ready.").next().unwrap_or_default();
        let is_bad = |line: &&str| ["WARNING[", "ERROR["].iter().any(|word| line.contains(word));
        let warnings: Vec<&str> = log.lines().filter(is_bad).collect();
        assert!(warnings.is_empty(), "{}", warnings.join("\n"));
    })
    .await;
}

/// Where Asterisk keeps an object of the trunk to the peer.
async fn object(lab: &Lab, kind: &str) -> String {
    let trunks = lab.divert.get("/v1/trunks").await;
    let trunk = trunks["data"].as_array().unwrap().iter().find(|one| one["name"] == "peer");
    let id = trunk.unwrap()["id"].as_str().unwrap().trim_start_matches("trk_").to_owned();
    format!("/asterisk/config/dynamic/res_pjsip/{kind}/divert-{id}")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_taken_away_of_a_trunk_in_asterisk_is_made_again() {
    let peer = Peer::start(Manner::Reject(486)).await;
    with_divert(&stage::to_peer(&peer), async |lab| {
        lab.divert.until_trunk("peer", true).await;
        for kind in ["endpoint", "aor"] {
            let object = object(lab, kind).await;
            lab.pbx.delete(&object).await;
            eventually("it to be made again", Duration::from_secs(15), async || {
                lab.pbx.try_get(&object).await
            })
            .await;
            lab.divert.until_trunk("peer", true).await;
            let status = sip::call_from_ann(lab.pbx_sip(), &stage::own_did()).await;
            assert_eq!(status, Some(486), "{kind}");
        }
        assert!(lab.divert.log_tail().contains("is gone from Asterisk"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trunk_that_asterisk_does_not_take_is_down_and_everybody_is_told_why() {
    let peer = Peer::start(Manner::Reject(486)).await;
    with_divert(&stage::to_peer(&peer), async |lab| {
        lab.divert.until_trunk("peer", true).await;
        lab.in_asterisk("sed -i /=memory/d /opt/divert/etc/sorcery.conf");
        lab.kill_asterisk();
        lab.divert.until_unready(Duration::from_secs(12)).await;
        lab.start_asterisk().await;
        lab.divert.until_trunk("peer", false).await;
        let ready = lab.divert.readiness().await;
        let trunks = |check: &&Value| check["name"] == "trunks";
        let check = ready["checks"].as_array().unwrap().iter().find(trunks).unwrap().clone();
        assert_eq!((&check["ok"], &ready["ready"]), (&false.into(), &false.into()), "{ready}");
        assert!(check["reason"].as_str().unwrap().starts_with("Asterisk lacks a trunk"), "{check}");
        let log = lab.divert.log_tail();
        assert!(log.contains("divert print sorcery.conf"), "{log}");
        assert_eq!(log.matches("trunks could not be made").count(), 1, "{log}");
    })
    .await;
}

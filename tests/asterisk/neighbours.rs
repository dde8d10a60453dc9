//! Two diverts on one Asterisk.

use std::time::Duration;

use divert::clock;

use crate::connection_faults::{assert_talking, talk};
use crate::lab::{Lab, with_divert};
use crate::sip::{self, Manner, Peer};
use crate::stage;

async fn assert_answered_with_busy(lab: &Lab) {
    assert_eq!(sip::call_from_ann(lab.pbx_sip(), &stage::own_did()).await, Some(486));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_one_with_the_same_application_ends_and_the_first_goes_on() {
    with_divert(&stage::one(&["1101"]), async |lab| {
        let mut second = lab.neighbour("divert");
        second.apply(&stage::one(&["1101"]));
        second.spawn();
        assert_eq!(second.until_ended().await, Some(1));
        let log = second.log_tail();
        assert!(log.contains("the Stasis application \"divert\" is connected to node a"), "{log}");
        assert!(log.contains("divert serve --take-over"), "{log}");
        assert!(lab.divert.is_ready().await);
        assert_answered_with_busy(lab).await;

        // Told so, it pushes the first one out, which then does not come back by itself.
        second.spawn_as(&["serve", "--take-over"]);
        second.until_ready().await;
        assert_eq!(lab.divert.until_ended().await, Some(1));
        lab.divert.spawn();
        assert_eq!(lab.divert.until_ended().await, Some(1));
        assert!(second.is_ready().await);
        // It may have taken up the call before, of which its own database knows nothing.
        let since = clock::now();
        assert_answered_with_busy(lab).await;
        second.call_since(since).await;

        // Where the one that had it is dead, the next begins at once.
        second.kill();
        lab.divert.start().await;
    })
    .await;
}

/// Its application lives on in Asterisk with the conversation, and nobody is connected to it.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_was_killed_while_people_talk_is_no_hindrance_to_the_next() {
    with_divert(&stage::one(&["1001"]), async |lab| {
        let (line, phone) = talk(lab).await;
        lab.divert.kill();
        lab.divert.start().await;
        assert_talking(lab, &line, &phone).await;
        let log = lab.divert.log_tail();
        assert!(!log.contains("sign of life"), "it was not held for connected: {log}");
        line.hang_up().await;
        lab.phones.until_gone(&phone, Duration::from_secs(2)).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_with_another_application_and_database_leaves_the_trunks_of_the_first_alone() {
    let peer = Peer::start(Manner::Reject(486)).await;
    with_divert(&stage::to_peer(&peer), async |lab| {
        lab.divert.until_trunk("peer", true).await;
        let mut second = lab.neighbour("other");
        second.apply(&stage::to_peer(&peer));
        second.start().await;
        second.until_trunk("peer", true).await;
        // It has looked at all there are. So does the first one with each change.
        assert_answered_with_busy(lab).await;
        let trunks = lab.divert.get("/v1/trunks").await;
        let ours = trunks["data"].as_array().unwrap().iter().find(|one| one["name"] == "peer");
        let path = format!("/v1/trunks/{}", ours.unwrap()["id"].as_str().unwrap());
        let elsewhere = Peer::start(Manner::Reject(480)).await;
        lab.divert.patch(&path, &serde_json::json!({ "address": elsewhere.address() })).await;
        elsewhere.questioned().await;
        let endpoints = lab.pbx.get("/endpoints/PJSIP").await;
        let names = endpoints.as_array().unwrap().iter().filter_map(|one| one["resource"].as_str());
        assert_eq!(names.filter(|name| name.starts_with("divert-")).count(), 2);
    })
    .await;
}

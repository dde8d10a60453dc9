//! Numbers arrive byte for byte as the carrier sent them.

use std::time::Duration;

use divert::model::cause::CallResult;

use crate::lab::with_divert;
use crate::stage;

/// Letters that Asterisk's dialplan gives a meaning, its names for special extensions, and the
/// longest there may be.
const DIDS: &[&str] = &[
    "TF-123.a+b#c*d_e",
    "_X.",
    "_.",
    "--1",
    "#1#",
    "*98",
    "+12025550100",
    "12025550100",
    "h",
    "i",
    "s",
    "t",
    "T",
    "e",
    "o",
    "a",
    "fax",
    "N",
    "XZN.",
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWX",
    "YZ0123456789_-.*#+",
];

#[tokio::test(flavor = "multi_thread")]
async fn every_character_of_a_did_arrives_as_it_was_sent() {
    let flow = |did: &&str| stage::flow(&format!("of {did}"), did, &["1101"]);
    with_divert(&stage::document(&DIDS.iter().map(flow).collect::<Vec<_>>()), async |lab| {
        let mut wrong = Vec::new();
        for did in DIDS {
            let line = lab.phones.call(&stage::did(did), &stage::ann()).await;
            let gone = line.until_gone(Duration::from_secs(10)).await;
            // The store compares byte for byte.
            let call = lab.divert.call_on(&stage::did(did)).await;
            let (detail, _) = lab.divert.ended(call, Duration::from_secs(5)).await;
            let flow = detail.call.flow.map(|(_, name)| name);
            if flow != Some(format!("of {did}")) || gone.cause != 17 {
                wrong.push(format!("{did}: {gone:?} on {flow:?}"));
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn capital_letters_make_another_number() {
    let flows =
        vec![stage::flow("small", "tf-a", &["1101"]), stage::flow("big", "TF-A", &["1701"])];
    with_divert(&stage::document(&flows), async |lab| {
        for (did, cause) in [("tf-a", 17), ("TF-A", 1)] {
            let line = lab.phones.call(&stage::did(did), &stage::ann()).await;
            assert_eq!(line.until_gone(Duration::from_secs(10)).await.cause, cause, "{did}");
        }
        // Nobody owns this one: the dialplan's fallback answers.
        let line = lab.phones.call(&stage::did("Tf-a"), &stage::ann()).await;
        line.until_up(Duration::from_secs(5)).await;
        let call = lab.divert.call_on(&stage::did("Tf-a")).await;
        let (detail, _) = lab.divert.ended(call, Duration::from_secs(5)).await;
        assert_eq!(detail.call.result, Some(CallResult::Unrouted));
        assert_eq!(detail.call.flow, None);
        line.hang_up().await;
    })
    .await;
}

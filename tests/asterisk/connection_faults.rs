//! The connection between divert and Asterisk breaks while people talk.

use std::time::{Duration, Instant};

use divert::model::cause::{CallResult, EndedBy};

use crate::lab::{Lab, with_divert};
use crate::phones::Line;
use crate::stage;

/// How soon the hang-up of one ends the other.
pub const PROMPT: Duration = Duration::from_millis(500);

/// A conversation with 1001.
pub async fn talk(lab: &Lab) -> (Line, String) {
    let line = lab.phones.call(&stage::own_did(), &stage::ann()).await;
    line.until_up(Duration::from_secs(10)).await;
    let phone = lab.phones.talking("1001").await;
    lab.until_bridged().await;
    (line, phone)
}

/// They still talk.
pub async fn assert_talking(lab: &Lab, line: &Line, phone: &str) {
    assert!(line.seen().gone.is_none(), "the caller was hung up: {:?}", line.seen());
    assert!(lab.phones.is_alive(phone), "the phone was hung up");
    assert!(lab.is_bridged().await, "they do not hear each other");
}

/// The caller hangs up and the other side follows, and divert knows who ended the call.
pub async fn assert_caller_ends_it(lab: &Lab, line: &Line, phone: &str) {
    let asked = Instant::now();
    line.hang_up().await;
    let gone = lab.phones.until_gone(phone, Duration::from_secs(10)).await;
    let took = gone.at.duration_since(asked);
    assert!(took < PROMPT, "the other side was hung up {took:?} later");
    let call = lab.divert.call_on(&stage::own_did()).await;
    let (detail, _) = lab.divert.ended(call, Duration::from_secs(5)).await;
    assert_eq!(detail.call.result, Some(CallResult::Answered));
    assert_eq!(detail.call.ended_by, Some(EndedBy::Caller));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_connection_ends_no_conversation() {
    with_divert(&stage::one(&["1001"]), async |lab| {
        let (line, phone) = talk(lab).await;
        for _ in 0..3 {
            lab.proxy.cut();
            lab.divert.until_unready(Duration::from_secs(2)).await;
            assert_talking(lab, &line, &phone).await;
            lab.proxy.mend();
            lab.divert.until_ready().await;
            assert_talking(lab, &line, &phone).await;
        }
        assert_caller_ends_it(lab, &line, &phone).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_swallows_everything_is_noticed_and_ends_no_conversation() {
    with_divert(&stage::one(&["1001"]), async |lab| {
        let (line, phone) = talk(lab).await;
        lab.proxy.swallow();
        lab.divert.until_unready(Duration::from_secs(16)).await;
        assert_talking(lab, &line, &phone).await;
        lab.proxy.mend();
        lab.divert.until_ready().await;
        assert_talking(lab, &line, &phone).await;
        assert_caller_ends_it(lab, &line, &phone).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hang_up_while_the_connection_is_cut_is_caught_up_with() {
    with_divert(&stage::one(&["1001"]), async |lab| {
        let (line, phone) = talk(lab).await;
        lab.proxy.cut();
        lab.divert.until_unready(Duration::from_secs(2)).await;
        line.hang_up().await;
        line.until_gone(Duration::from_secs(2)).await;
        lab.proxy.mend();
        lab.divert.until_ready().await;
        lab.phones.until_gone(&phone, Duration::from_secs(2)).await;
        let call = lab.divert.call_on(&stage::own_did()).await;
        let (detail, _) = lab.divert.ended(call, Duration::from_secs(5)).await;
        assert_eq!(detail.call.result, Some(CallResult::Answered));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_during_a_cut_goes_to_the_fallback() {
    with_divert(&stage::one(&["1001"]), async |lab| {
        lab.proxy.cut();
        lab.divert.until_unready(Duration::from_secs(2)).await;
        let line = lab.phones.call(&stage::own_did(), &stage::ann()).await;
        let took = line.until_up(Duration::from_secs(5)).await;
        assert!(took < Duration::from_secs(3), "answered after {took:?}");
        assert!(lab.phones.called("1001").is_empty());
        line.hang_up().await;
        lab.proxy.mend();
        lab.divert.until_ready().await;
    })
    .await;
}

//! divert dies, freezes, or was never there.

use std::time::Duration;

use divert::model::cause::CallResult;
use tokio::net::TcpListener;

use crate::connection_faults::{assert_caller_ends_it, assert_talking, talk};
use crate::gate;
use crate::lab::{FALLBACK, eventually, with_divert, without_divert};
use crate::stage;

#[tokio::test(flavor = "multi_thread")]
async fn without_divert_the_dialplan_answers_at_once() {
    without_divert(async |lab| {
        let line = lab.phones.call(&stage::own_did(), &stage::ann()).await;
        let took = line.until_up(Duration::from_secs(5)).await;
        // Half a second of it is the ringing of the phone there.
        assert!(took < Duration::from_secs(1), "answered after {took:?}");
        line.hang_up().await;
    })
    .await;
}

/// The entry through FastAGI: nobody listens there, and then somebody who never says a word.
#[tokio::test(flavor = "multi_thread")]
async fn a_router_that_is_away_or_silent_loses_the_call_to_the_fallback() {
    without_divert(async |lab| {
        // Takes connections into its backlog and reads none of them.
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let routers = [
            (closed.local_addr().unwrap(), Duration::from_secs(1)),
            // And half a second of ringing.
            (silent.local_addr().unwrap(), Duration::from_millis(3_500)),
        ];
        drop(closed);
        lab.set_global("DIVERT_ENTRY", "agi").await;
        for (address, limit) in routers {
            lab.set_global("DIVERT_AGI", &address.to_string()).await;
            let line = lab.phones.call(&stage::own_did(), &stage::ann()).await;
            let took = line.until_up(Duration::from_secs(8)).await;
            assert!(took < limit, "answered after {took:?} with {address}");
            line.hang_up().await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_outlives_divert_and_the_next_process_takes_it_over() {
    with_divert(&stage::one(&["1001"]), async |lab| {
        let (line, phone) = talk(lab).await;
        lab.divert.kill();
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_talking(lab, &line, &phone).await;
        lab.divert.start().await;
        assert_talking(lab, &line, &phone).await;
        assert_caller_ends_it(lab, &line, &phone).await;
        assert_eq!(lab.phones.called("1001").len(), 1, "nobody was called twice");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hang_up_while_divert_is_dead_is_caught_up_with() {
    with_divert(&stage::one(&["1001"]), async |lab| {
        let (line, phone) = talk(lab).await;
        lab.divert.kill();
        lab.phones.hang_up(&phone).await;
        lab.phones.until_gone(&phone, Duration::from_secs(2)).await;
        lab.divert.start().await;
        line.until_gone(Duration::from_secs(3)).await;
        let call = lab.divert.call_on(&stage::own_did()).await;
        let (detail, _) = lab.divert.ended(call, Duration::from_secs(5)).await;
        assert_eq!(detail.call.result, Some(CallResult::Answered));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_rings_while_divert_dies_reaches_somebody() {
    with_divert(&stage::one(&["1201", "1001"]), async |lab| {
        let line = lab.phones.call(&stage::own_did(), &stage::ann()).await;
        eventually("the first phone to ring", Duration::from_secs(5), async || line.seen().ringing)
            .await;
        lab.divert.kill();
        lab.divert.start().await;
        // The first one rings on, and is left for the second, or the dialplan took the call back.
        line.until_up(Duration::from_secs(20)).await;
        let answered = [lab.phones.called("1001"), lab.phones.called(FALLBACK)].concat();
        assert!(answered.iter().any(|(_, seen)| seen.up.is_some()), "{answered:?}");
        line.hang_up().await;
        let call = lab.divert.call_on(&stage::own_did()).await;
        lab.divert.ended(call, Duration::from_secs(10)).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wherever_divert_dies_the_caller_reaches_somebody() {
    // From the arrival over ringing (here for half a second) and answering into the conversation.
    const MOMENTS_MS: [u64; 8] = [0, 20, 40, 60, 300, 520, 540, 600];
    with_divert(&stage::one(&["1001"]), async |lab| {
        for ms in MOMENTS_MS {
            let line = lab.phones.call(&stage::own_did(), &stage::ann()).await;
            tokio::time::sleep(Duration::from_millis(ms)).await;
            lab.divert.kill();
            lab.divert.start().await;
            line.until_up(Duration::from_secs(4)).await;
            let is_up = |number| {
                let called = lab.phones.called(number).into_iter();
                called.filter(|(_, seen)| seen.up.is_some() && seen.gone.is_none()).count()
            };
            eventually("exactly one phone to talk", Duration::from_secs(5), async || {
                (is_up("1001") + is_up(FALLBACK) == 1).then_some(())
            })
            .await;
            line.hang_up().await;
            gate::check(lab).await;
        }
        for call in lab.divert.calls().await {
            let replay = lab.divert.replay(call);
            assert!(replay.is_empty(), "{replay}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_divert_loses_the_call_to_the_fallback_and_leaves_it_there() {
    with_divert(&stage::one(&["1001"]), async |lab| {
        lab.divert.signal("STOP");
        let line = lab.phones.call(&stage::own_did(), &stage::ann()).await;
        let took = line.until_up(Duration::from_secs(10)).await;
        assert!(took < Duration::from_secs(3), "answered after {took:?}");
        lab.divert.signal("CONT");
        lab.divert.until_ready().await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert!(line.seen().gone.is_none(), "the caller was hung up: {:?}", line.seen());
        let called = lab.phones.called("1001");
        assert!(called.is_empty(), "somebody else was called as well: {called:?}");
        line.hang_up().await;
    })
    .await;
}

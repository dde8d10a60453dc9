//! Lists of calls: in pages, by any filter, in the order of their ids.

use divert::model::call::{CallRecord, LegRecord};
use divert::model::cause::CallResult;
use divert::model::id::{CallId, DestinationId, ForwardingFlowId};
use divert::model::number::Caller;
use divert::store::{CallFilter, Record};
use rstest::rstest;

use super::calls::{call_of, ended, leg, leg_of, listed, routing};
use super::engine::Engine;
use super::{ACCOUNT, NOW, OTHER};

#[rstest]
#[tokio::test]
async fn paging_meets_every_call_once_whatever_the_filter(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let store = engine.store().await.with_other_account().await;
    let calls: Vec<CallRecord> = (0..120_u32)
        .map(|at| {
            let base = if at % 3 == 0 { ended(at.into()) } else { routing(at.into()) };
            CallRecord {
                did: if at % 4 == 0 { "abc" } else { "ABC" }.parse().unwrap(),
                caller: Caller {
                    number: ["100", "2100", "1000", "1000", "1000"]
                        [usize::try_from(at % 5).unwrap()]
                    .into(),
                    name: String::new(),
                },
                flow: (at % 6 != 0)
                    .then(|| (ForwardingFlowId::new(u128::from(at % 2)), "f".to_owned())),
                is_test: at % 7 == 0,
                result: (at % 3 == 0).then_some(if at % 2 == 0 {
                    CallResult::Answered
                } else {
                    CallResult::Busy
                }),
                started_at: NOW.plus_ms(i64::from(at)),
                ..base
            }
        })
        .collect();
    let mut batch: Vec<Record> = calls.iter().cloned().map(call_of).collect();
    for at in 0..120_u128 {
        let theirs = CallRecord { account: OTHER, ..calls[usize::try_from(at).unwrap()].clone() };
        batch.push(call_of(CallRecord { id: CallId::new(1_000 + at), ..theirs }));
        // Tried twice at one destination is one call there.
        batch.extend((1..=at % 3).map(|no| {
            let destination = Some(DestinationId::new(if at % 9 == 1 { 6 } else { 7 }));
            leg_of(LegRecord { destination, ..leg(at, u16::try_from(no).unwrap()) })
        }));
    }
    store.db.record("n1", &batch).await.unwrap();

    let all = CallFilter::default;
    let check = async |filter: CallFilter, passes: fn(&CallRecord) -> bool| {
        let expected: Vec<CallRecord> =
            calls.iter().rev().filter(|call| passes(call)).cloned().collect();
        assert!(!expected.is_empty(), "{filter:?}");
        let mut found = Vec::new();
        loop {
            let before = found.last().map(|call: &CallRecord| call.id);
            let page = store.db.calls(ACCOUNT, &filter, before, 17).await.unwrap();
            if page.is_empty() {
                break;
            }
            assert!(page.len() <= 17);
            found.extend(page);
        }
        assert_eq!(found, expected, "{filter:?}");
    };
    check(all(), |_| true).await;
    check(CallFilter { flow: Some(ForwardingFlowId::new(1)), ..all() }, |call| {
        call.flow.as_ref().is_some_and(|(id, _)| *id == ForwardingFlowId::new(1))
    })
    .await;
    check(CallFilter { did: Some("abc".parse().unwrap()), ..all() }, |call| {
        call.did.as_str() == "abc"
    })
    .await;
    // Carriers write the same number with a + or without.
    for caller in ["100", "+100"] {
        check(CallFilter { caller: Some(caller.into()), ..all() }, |call| {
            call.caller.number == "100"
        })
        .await;
    }
    let ids = Some((CallId::new(40), CallId::new(49)));
    check(CallFilter { ids, ..all() }, |call| {
        (CallId::new(40)..=CallId::new(49)).contains(&call.id)
    })
    .await;
    check(CallFilter { result: Some(CallResult::Busy), ..all() }, |call| {
        call.result == Some(CallResult::Busy)
    })
    .await;
    check(CallFilter { is_test: Some(true), ..all() }, |call| call.is_test).await;
    check(CallFilter { is_test: Some(false), ..all() }, |call| !call.is_test).await;
    check(CallFilter { live: Some(true), ..all() }, |call| call.ended_at.is_none()).await;
    check(CallFilter { live: Some(false), ..all() }, |call| call.ended_at.is_some()).await;
    check(CallFilter { from: Some(NOW.plus_ms(50)), ..all() }, |call| {
        call.started_at >= NOW.plus_ms(50)
    })
    .await;
    check(CallFilter { session: Some(CallId::new(33)), ..all() }, |call| {
        call.session == CallId::new(33)
    })
    .await;
    check(CallFilter { destination: Some(DestinationId::new(7)), ..all() }, |call| {
        let at = call.started_at.since_ms(NOW);
        at % 3 != 0 && at % 9 != 1
    })
    .await;
    check(CallFilter { to: Some(NOW.plus_ms(50)), ..all() }, |call| {
        call.started_at < NOW.plus_ms(50)
    })
    .await;
    check(
        CallFilter {
            ids: None,
            session: None,
            did: Some("+ABC".parse().unwrap()),
            caller: Some("1000".into()),
            flow: Some(ForwardingFlowId::new(1)),
            destination: None,
            result: Some(CallResult::Busy),
            is_test: Some(false),
            live: Some(false),
            from: Some(NOW.plus_ms(1)),
            to: Some(NOW.plus_ms(119)),
        },
        |call| {
            let at = call.started_at.since_ms(NOW);
            at % 4 != 0 && at % 5 > 1 && at % 6 == 3 && at % 7 != 0 && at < 119
        },
    )
    .await;
    assert!(listed(&store, &all(), None, 0).await.is_empty());
    assert!(listed(&store, &all(), Some(CallId::new(0)), 10).await.is_empty());
}

#[rstest]
#[tokio::test]
async fn ids_sort_by_value_in_any_locale(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let store = engine.store().await;
    // The last digit of each id is one of the 32 that ids are made of, `t` and `z` among them.
    let batch: Vec<Record> = (0..32).map(|id| call_of(routing(id))).collect();
    store.db.record("n1", &batch).await.unwrap();
    let newest_first: Vec<CallId> = (0..32).rev().map(CallId::new).collect();
    assert_eq!(listed(&store, &CallFilter::default(), None, 100).await, newest_first);
    for id in 0..32 {
        let older = listed(&store, &CallFilter::default(), Some(CallId::new(id)), 100).await;
        assert_eq!(older, (0..id).rev().map(CallId::new).collect::<Vec<_>>());
    }
}

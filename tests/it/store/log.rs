//! The call log as people read it: redials collapsed, and reports.

use std::collections::BTreeMap;

use divert::model::billing::Micros;
use divert::model::call::{CallRecord, CallStatus, LegRecord};
use divert::model::cause::{CallResult, Outcome};
use divert::model::id::{CallId, DestinationId, ForwardingFlowId};
use divert::model::time::{Timestamp, Zone};
use divert::store::{By, CallFilter, Cost, Record, ReportQuery, ReportRow, Session};
use rstest::rstest;

use super::billing::cdr;
use super::calls::{call_of, ended, ended_leg, leg, leg_of};
use super::engine::{Engine, TestStore};
use super::{ACCOUNT, NOW, OTHER};

const FLOW: ForwardingFlowId = ForwardingFlowId::new(1);

fn at(text: &str) -> Timestamp {
    Timestamp(text.parse::<jiff::Timestamp>().unwrap().as_millisecond())
}

/// A call of the session `session`, which began so long after [`NOW`].
fn attempt(id: u128, session: u128, ms: i64, result: Option<CallResult>) -> CallRecord {
    let (status, ended_at) = match result {
        Some(_) => (CallStatus::Ended, Some(NOW.plus_ms(ms + 500))),
        None => (CallStatus::Ringing, None),
    };
    let talk_ms = if result == Some(CallResult::Answered) { 400 } else { 0 };
    CallRecord {
        session: CallId::new(session),
        started_at: NOW.plus_ms(ms),
        status,
        ended_at,
        result,
        talk_ms,
        ..ended(id)
    }
}

async fn all_pages(store: &TestStore, filter: &CallFilter, limit: u32) -> Vec<Session> {
    let mut found: Vec<Session> = Vec::new();
    loop {
        let before = found.last().map(|session| session.first.id);
        let page = store.db.sessions(ACCOUNT, filter, before, limit).await.unwrap();
        assert!(page.len() <= limit as usize);
        if page.is_empty() {
            return found;
        }
        found.extend(page);
    }
}

#[rstest]
#[tokio::test]
async fn redials_are_one_row_on_one_page_dated_by_the_first_call(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    use CallResult::{Abandoned, Answered, Busy, Failed, NoAnswer};

    let store = engine.store().await.with_other_account().await;
    let other = |call: CallRecord| CallRecord {
        did: "other".parse().unwrap(),
        is_test: true,
        flow: None,
        ..call
    };
    let calls = [
        // Redials of 1 among calls of others, on both sides of every possible edge of a page.
        attempt(1, 1, 0, Some(Busy)),
        attempt(2, 2, 1_000, Some(Failed)),
        attempt(3, 1, 2_000, Some(Answered)),
        other(attempt(4, 4, 3_000, Some(NoAnswer))),
        CallRecord { is_repeat: true, ..attempt(5, 1, 4_000, Some(Abandoned)) },
        attempt(6, 2, 5_000, None),
        other(attempt(7, 4, 6_000, Some(Busy))),
        attempt(8, 8, 7_000, Some(NoAnswer)),
    ];
    let theirs = CallRecord { account: OTHER, ..attempt(9, 1, 1, Some(Answered)) };
    let mut batch: Vec<_> = calls.iter().cloned().chain([theirs]).map(call_of).collect();
    // Redials of 1 and 2 were sent to 7, one of 1 to 8 after it.
    batch.extend([ended_leg(3, 1), ended_leg(6, 1)].map(leg_of));
    let to_8 = LegRecord { destination: Some(DestinationId::new(8)), ..ended_leg(5, 1) };
    batch.push(leg_of(to_8));
    store.db.record("n1", &batch).await.unwrap();

    let call = |id: u128| calls[usize::try_from(id).unwrap() - 1].clone();
    let ids = |ids: &[u128]| ids.iter().map(|id| CallId::new(*id)).collect::<Vec<_>>();
    let ended = |ms: i64| Some(NOW.plus_ms(ms + 500));
    let eight = Session {
        first: call(8),
        calls: ids(&[8]),
        status: CallStatus::Ended,
        result: Some(NoAnswer),
        ended_at: ended(7_000),
        talk_ms: 0,
        is_repeat: false,
    };
    let four =
        Session { first: call(4), calls: ids(&[4, 7]), ended_at: ended(6_000), ..eight.clone() };
    let two = Session {
        first: call(2),
        calls: ids(&[2, 6]),
        status: CallStatus::Ringing,
        result: Some(Failed),
        ended_at: None,
        ..eight.clone()
    };
    let one = Session {
        first: call(1),
        calls: ids(&[1, 3, 5]),
        result: Some(Answered),
        ended_at: ended(4_000),
        talk_ms: 400,
        is_repeat: true,
        ..eight.clone()
    };
    let all = [eight, four, two, one];
    for limit in 1..=5 {
        assert_eq!(all_pages(&store, &CallFilter::default(), limit).await, all, "{limit} a page");
    }

    let any = CallFilter::default;
    let after = |ms| Some(NOW.plus_ms(ms));
    for (filter, wanted) in [
        (CallFilter { result: Some(Answered), ..any() }, vec![1]),
        (CallFilter { result: Some(Busy), ..any() }, vec![]),
        (CallFilter { result: Some(NoAnswer), ..any() }, vec![8, 4]),
        (CallFilter { result: Some(Failed), ..any() }, vec![2]),
        (CallFilter { live: Some(true), ..any() }, vec![2]),
        (CallFilter { live: Some(false), ..any() }, vec![8, 4, 1]),
        (CallFilter { is_test: Some(true), ..any() }, vec![4]),
        (CallFilter { is_test: Some(false), ..any() }, vec![8, 2, 1]),
        (CallFilter { did: Some("other".parse().unwrap()), ..any() }, vec![4]),
        (CallFilter { flow: Some(FLOW), ..any() }, vec![8, 2, 1]),
        (CallFilter { caller: Some("+12025550199".into()), ..any() }, vec![8, 4, 2, 1]),
        (CallFilter { caller: Some("1".into()), ..any() }, vec![]),
        (CallFilter { destination: Some(DestinationId::new(7)), ..any() }, vec![2, 1]),
        (CallFilter { destination: Some(DestinationId::new(8)), ..any() }, vec![1]),
        // The redial at 2,000 is not listed without the session it belongs to.
        (CallFilter { from: after(1_000), to: after(2_500), ..any() }, vec![2]),
    ] {
        let found = all_pages(&store, &filter, 2).await;
        let found: Vec<CallId> = found.iter().map(|session| session.first.id).collect();
        assert_eq!(found, ids(&wanted), "{filter:?}");
    }
}

fn query(by: By, from: &str, to: &str, zone: &str) -> ReportQuery {
    let zone: Zone = zone.parse().unwrap();
    ReportQuery { by, from: at(from), to: at(to), zone, flow: None, tests: false }
}

fn figures(row: &ReportRow) -> (i64, i64, i64, i64) {
    (row.calls, row.sessions, row.answered, row.talk_ms)
}

#[rstest]
#[tokio::test]
async fn a_day_is_one_of_the_zone_on_the_days_clocks_change_too(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let store = engine.store().await;
    // One call in the middle of every hour of the world for nine days around each change.
    let mut calls = Vec::new();
    for begin in ["2026-03-04T00:30:00Z", "2026-10-28T00:30:00Z"] {
        for hour in 0..9 * 24 {
            let started_at = at(begin).plus_ms(hour * 3_600_000);
            calls.push(call_of(CallRecord { started_at, ..ended(calls.len() as u128) }));
        }
    }
    store.db.record("n1", &calls).await.unwrap();
    for (from, to, hours) in [
        ("2026-03-07T06:00:00Z", "2026-03-10T05:00:00Z", [24, 23, 24]),
        ("2026-10-31T05:00:00Z", "2026-11-03T06:00:00Z", [24, 25, 24]),
    ] {
        let days = query(By::Day, from, to, "America/Chicago");
        let rows = store.db.report(ACCOUNT, &days).await.unwrap();
        assert_eq!(rows.iter().map(|row| row.calls).collect::<Vec<_>>(), hours, "{from}");
        for (row, hours) in rows.iter().zip(hours) {
            let (begin, end) = row.period.unwrap();
            assert_eq!(end.since_ms(begin), hours * 3_600_000);
            assert_eq!(figures(row), (hours, hours, hours, hours * 5_000));
        }
        let hourly = store.db.report(ACCOUNT, &ReportQuery { by: By::Hour, ..days }).await.unwrap();
        let count = usize::try_from(hours.iter().sum::<i64>()).unwrap();
        assert_eq!(hourly.len(), count);
        assert!(hourly.iter().all(|row| row.calls == 1));
    }
    // Parts of days at both ends, an empty one between, and a zone with a half hour.
    let days = query(By::Day, "2026-03-12T23:45:00Z", "2026-03-15T00:00:00Z", "Asia/Kolkata");
    let rows = store.db.report(ACCOUNT, &days).await.unwrap();
    let ends: Vec<String> = rows.iter().map(|row| row.period.unwrap().1.rfc3339()).collect();
    let wanted =
        ["2026-03-13T18:30:00.000Z", "2026-03-14T18:30:00.000Z", "2026-03-15T00:00:00.000Z"];
    assert_eq!(ends, wanted);
    assert_eq!(rows.iter().map(|row| row.calls).collect::<Vec<_>>(), [0, 0, 0]);
    assert_eq!(rows[0].answered_per_mille(), None);
    let many = query(By::Hour, "2026-01-01T00:00:00Z", "2026-03-01T00:00:00Z", "UTC");
    assert!(many.periods().is_none() && store.db.report(ACCOUNT, &many).await.is_err());
}

#[rstest]
#[tokio::test]
async fn reports_count_calls_sessions_and_talk_and_never_a_test(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    use CallResult::{Answered, Busy, NoAnswer};

    let store = engine.store().await.with_other_account().await;
    let on = |flow: u128, name: &str, call: CallRecord| CallRecord {
        flow: Some((ForwardingFlowId::new(flow), name.into())),
        ..call
    };
    let test = CallRecord { is_test: true, ..attempt(6, 6, 0, Some(Answered)) };
    let theirs = CallRecord { account: OTHER, ..attempt(7, 7, 0, Some(Answered)) };
    let early = attempt(8, 8, -1, Some(Answered));
    let late = attempt(9, 9, 60_000, Some(Answered));
    let talking = CallRecord {
        status: CallStatus::Talking,
        answered_at: Some(NOW),
        ..attempt(10, 10, 0, None)
    };
    let calls = [
        on(1, "old name", attempt(1, 1, 0, Some(Busy))),
        on(1, "new name", attempt(2, 1, 59_999, Some(Answered))),
        on(1, "old name", CallRecord { answered_at: None, ..attempt(3, 3, 5, Some(NoAnswer)) }),
        on(2, "two", talking),
        CallRecord { flow: None, ..attempt(5, 5, 0, Some(CallResult::Unrouted)) },
        test,
        theirs,
        early,
        late,
    ];
    let legs = [
        LegRecord { outcome: Some(Outcome::Busy), answered_at: None, ..ended_leg(1, 1) },
        LegRecord { destination: Some(DestinationId::new(8)), name: "b".into(), ..ended_leg(2, 1) },
        LegRecord {
            outcome: Some(Outcome::Busy),
            name: "a".into(),
            started_at: NOW.plus_ms(20),
            ..ended_leg(2, 2)
        },
        LegRecord { destination: None, name: "fallback".into(), ..leg(3, 1) },
        LegRecord { destination: None, name: "fallback".into(), ..leg(10, 1) },
        ended_leg(6, 1),
        ended_leg(8, 1),
    ];
    let bill = |call: u128, leg: u16, destination: Option<u128>, amount: i64, currency: &str| {
        let mut cdr = cdr(call, leg);
        cdr.destination = destination.map(DestinationId::new);
        (cdr.charge.amount, cdr.charge.billed_sec) = (Micros(amount), 60);
        cdr.charge.currency = currency.parse().unwrap();
        cdr.tariff.currency = cdr.charge.currency;
        Record::Cdr(cdr)
    };
    // The currency was changed while the fallback number rang; the last two are of another time.
    let bills = [
        bill(2, 1, Some(8), 42_000, "USD"),
        bill(1, 1, Some(8), 7, "USD"),
        bill(3, 1, None, 1_500_000, "EUR"),
        bill(8, 1, Some(7), 99, "USD"),
        bill(9, 1, Some(7), 99, "USD"),
    ];
    let batch: Vec<_> =
        calls.into_iter().map(call_of).chain(legs.into_iter().map(leg_of)).chain(bills).collect();
    store.db.record("n1", &batch).await.unwrap();

    let mut asked = ReportQuery {
        by: By::Flow,
        from: NOW,
        to: NOW.plus_ms(60_000),
        zone: Zone::UTC,
        flow: None,
        tests: false,
    };
    let rows = store.db.report(ACCOUNT, &asked).await.unwrap();
    let results: Vec<_> = rows.iter().map(|row| row.results.clone()).collect();
    assert_eq!(
        results,
        [
            BTreeMap::from([(Answered, 1), (NoAnswer, 1), (Busy, 1)]),
            BTreeMap::from([(CallResult::Unrouted, 1)]),
            BTreeMap::new(),
        ],
        "one still lives"
    );
    let seen: Vec<_> = rows
        .iter()
        .map(|row| (row.flow, row.flow_name.as_deref(), figures(row), row.answered_per_mille()))
        .collect();
    let flow = |id| Some(ForwardingFlowId::new(id));
    assert_eq!(
        seen,
        [
            (flow(1), Some("support"), (3, 2, 1, 400), Some(333)),
            (None, None, (1, 1, 0, 0), Some(0)),
            (flow(2), Some("two"), (1, 1, 1, 0), Some(1_000)),
        ],
        "the name is that of the newest call, also of another time"
    );
    let cost = |amount, currency: &str| Cost {
        amount: Micros(amount),
        currency: currency.parse().unwrap(),
    };
    let both = [cost(1_500_000, "EUR"), cost(42_007, "USD")];
    assert_eq!((&rows[0].costs[..], rows[0].billed_sec), (&both[..], 180));
    assert_eq!(rows[1].costs, []);

    asked.by = By::Destination;
    let rows = store.db.report(ACCOUNT, &asked).await.unwrap();
    let seen: Vec<_> = rows
        .iter()
        .map(|row| (row.flow, row.destination, row.destination_name.as_deref(), figures(row)))
        .collect();
    let destination = |id| Some(DestinationId::new(id));
    assert_eq!(
        seen,
        [
            (flow(1), destination(7), Some("a"), (2, 1, 0, 0)),
            (flow(1), None, None, (1, 1, 0, 0)),
            (flow(1), destination(8), Some("b"), (1, 1, 1, 400)),
            (flow(2), None, None, (1, 1, 0, 0)),
        ]
    );
    assert!(rows[..3].iter().all(|row| row.flow_name.as_deref() == Some("support")));
    assert_eq!(rows[1].costs, [cost(1_500_000, "EUR")]);

    // Of one destination, whatever the rows are.
    for (by, wanted) in [
        (By::Destination, vec![(1, 1, 1, 400)]),
        (By::Flow, vec![(1, 1, 1, 400)]),
        (By::Day, vec![(1, 1, 1, 400)]),
    ] {
        let asked = ReportQuery { by, ..asked.clone() };
        let rows = store.db.report_of(ACCOUNT, &asked, destination(8)).await.unwrap();
        assert_eq!(rows.iter().map(figures).collect::<Vec<_>>(), wanted, "{by}");
        assert_eq!(rows[0].costs, [cost(42_007, "USD")]);
    }

    asked.by = By::Day;
    let rows = store.db.report(ACCOUNT, &asked).await.unwrap();
    assert_eq!(rows.iter().map(figures).collect::<Vec<_>>(), [(5, 4, 2, 400)]);
    assert_eq!((&rows[0].costs[..], rows[0].billed_sec), (&both[..], 180));
    asked.flow = flow(1);
    let rows = store.db.report(ACCOUNT, &asked).await.unwrap();
    assert_eq!(rows.iter().map(figures).collect::<Vec<_>>(), [(3, 2, 1, 400)]);
    asked.tests = true;
    let rows = store.db.report(ACCOUNT, &asked).await.unwrap();
    assert_eq!(rows.iter().map(figures).collect::<Vec<_>>(), [(1, 1, 1, 400)]);
}

//! Bills and balances: at most one bill for a leg, whoever writes it and how often.

use divert::model::billing::{Cdr, Credit, Currency, Micros, Rounding, Tariff};
use divert::model::id::{
    AccountId, CallId, CreditId, DestinationId, ForwardingFlowId, LegId, RateDeckId, TrunkId,
};
use divert::store::{CdrFilter, Db, Record, StoreError};
use rstest::rstest;
use strum::VariantNames;

use super::engine::Engine;
use super::{ACCOUNT, NOW, OTHER};

pub fn cdr(call: u128, leg: u16) -> Cdr {
    let tariff = Tariff {
        deck: RateDeckId::new(3),
        prefix: "1800".parse().unwrap(),
        per_minute: "0.0125".parse().unwrap(),
        increment: "30/6".parse().unwrap(),
        bills_ring_time: true,
        rounding: Rounding::Nearest,
        decimals: 4,
        currency: Currency::default(),
    };
    let charge = tariff.charge(2_000, 61_000);
    Cdr {
        call: CallId::new(call),
        leg,
        account: ACCOUNT,
        flow: Some(ForwardingFlowId::new(1)),
        destination: Some(DestinationId::new(7)),
        trunk: Some(TrunkId::new(5)),
        endpoint: "PJSIP/18005550199@carrier".into(),
        tariff,
        started_at: NOW,
        answered_at: NOW.plus_ms(2_000),
        ended_at: NOW.plus_ms(63_000),
        charge,
    }
}

fn costing(call: u128, amount: i64) -> Cdr {
    let mut cdr = cdr(call, 1);
    cdr.charge.amount = Micros(amount);
    cdr
}

fn credit(id: u128, amount: i64) -> Credit {
    Credit { id: CreditId::new(id), amount: Micros(amount), note: "wire transfer".into(), at: NOW }
}

async fn listed(db: &Db, filter: &CdrFilter, before: Option<LegId>, limit: u32) -> Vec<LegId> {
    let cdrs = db.cdrs(ACCOUNT, filter, before, limit).await.unwrap();
    cdrs.iter().map(Cdr::id).collect()
}

async fn all(db: &Db) -> Vec<Cdr> {
    db.cdrs(ACCOUNT, &CdrFilter::default(), None, 1_000).await.unwrap()
}

#[rstest]
#[tokio::test]
async fn a_bill_reads_back_as_it_was_written_and_is_taken_from_the_balance(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let store = engine.store().await;
    let db = &store.db;
    assert_eq!(db.balance(ACCOUNT).await.unwrap().amount, Micros(0));
    let nobody = db.balance(OTHER).await;
    assert!(matches!(nobody, Err(StoreError::NoAccount)), "{nobody:?}");
    assert!(db.balances().await.unwrap().is_empty());
    let mut bare = Cdr { flow: None, destination: None, trunk: None, ..cdr(2, 1) };
    bare.tariff.prefix = "".parse().unwrap();
    bare.tariff.bills_ring_time = false;
    bare.charge.amount = Micros(0);
    db.record("n1", &[Record::Cdr(cdr(1, 1)), Record::Cdr(bare.clone())]).await.unwrap();
    assert_eq!(all(db).await, [bare.clone(), cdr(1, 1)]);
    assert_eq!(db.cdrs_of_call(ACCOUNT, CallId::new(1)).await.unwrap(), [cdr(1, 1)]);
    // 63 s by 30/6 are 66 s, at 0.0125 a minute 0.01375, to four digits.
    assert_eq!(cdr(1, 1).charge.amount, Micros(13_800));
    assert_eq!(db.balance(ACCOUNT).await.unwrap().amount, Micros(-13_800));

    for (call, word) in (10..).zip(Rounding::VARIANTS) {
        let mut cdr = cdr(call, 1);
        cdr.tariff.rounding = word.parse().unwrap();
        db.record("n1", &[Record::Cdr(cdr.clone())]).await.unwrap();
        assert_eq!(db.cdrs_of_call(ACCOUNT, cdr.call).await.unwrap(), [cdr]);
    }
}

#[rstest]
#[tokio::test]
async fn a_leg_is_billed_once_however_often_it_is_written(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let store = engine.store().await;
    let db = &store.db;
    let batch = [costing(1, 100), costing(2, 20), costing(1, 999)].map(Record::Cdr);
    for _ in 0..3 {
        db.record("n1", &batch).await.unwrap();
    }
    // Later and dearer, by another node, among new ones.
    db.record("n2", &[costing(2, 7_000), costing(3, 3)].map(Record::Cdr)).await.unwrap();
    assert_eq!(db.balance(ACCOUNT).await.unwrap().amount, Micros(-123));
    assert_eq!(all(db).await, [costing(3, 3), costing(2, 20), costing(1, 100)]);
}

/// Many at once, as two nodes would that both believe to own the calls.
#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writers_at_the_same_time_bill_a_leg_once(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    const CALLS: u128 = 150;
    let store = engine.store().await.with_other_account().await;
    let writer = |node: usize| {
        let db = store.db.clone();
        tokio::spawn(async move {
            for start in (0..CALLS).step_by(10) {
                // Each in another order, and every second one overlapping the batch before it.
                let calls = start..(start + 10 + 5 * (node as u128 % 2)).min(CALLS);
                let mut batch: Vec<Record> = calls
                    .flat_map(|call| {
                        let theirs = Cdr { account: OTHER, ..costing(CALLS + call, 1) };
                        [costing(call, 1_000 + i64::try_from(call).unwrap()), theirs]
                    })
                    .map(Record::Cdr)
                    .collect();
                if node > 1 {
                    batch.reverse();
                }
                db.record("n", &batch).await.unwrap();
            }
        })
    };
    let writers: Vec<_> = (0..4).map(writer).collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let calls = i64::try_from(CALLS).unwrap();
    let billed = 1_000 * calls + calls * (calls - 1) / 2;
    assert_eq!(store.db.balance(ACCOUNT).await.unwrap().amount, Micros(-billed));
    assert_eq!(store.db.balance(OTHER).await.unwrap().amount, Micros(-calls));
    assert_eq!(store.count("cdr").await, 2 * calls);
    assert_eq!(store.db.balances().await.unwrap().len(), 2);
}

#[rstest]
#[tokio::test]
async fn a_batch_that_is_refused_bills_nothing(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let store = engine.store().await;
    // As when the process or the connection dies behind the last insertion.
    store.execute("ALTER TABLE balance RENAME TO away").await;
    assert!(store.db.record("n1", &[Record::Cdr(cdr(1, 1))]).await.is_err());
    store.execute("ALTER TABLE away RENAME TO balance").await;
    assert_eq!(store.count("cdr").await, 0);
    store.db.record("n1", &[Record::Cdr(cdr(1, 1))]).await.unwrap();
    assert_eq!(store.db.balance(ACCOUNT).await.unwrap().amount, Micros(-13_800));
}

#[rstest]
#[tokio::test]
async fn bills_are_found_by_every_filter_and_paged_without_a_gap(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let store = engine.store().await.with_other_account().await;
    let mut batch = Vec::new();
    for call in 0..20_u16 {
        for leg in 1..=3 {
            let mut cdr = cdr(call.into(), leg);
            cdr.flow = (call % 2 == 0).then(|| ForwardingFlowId::new(u128::from(call % 4)));
            cdr.destination = Some(DestinationId::new(leg.into()));
            cdr.trunk = Some(TrunkId::new(u128::from(call % 5)));
            cdr.started_at = NOW.plus_ms(i64::from(call) * 1_000);
            batch.push(cdr);
        }
    }
    let theirs = Cdr { account: OTHER, ..cdr(100, 1) };
    let records: Vec<Record> = batch.iter().cloned().chain([theirs]).map(Record::Cdr).collect();
    store.db.record("n1", &records).await.unwrap();
    batch.reverse();

    let any = CdrFilter::default;
    let check = async |filter: CdrFilter, passes: fn(&Cdr) -> bool| {
        let expected: Vec<LegId> = batch.iter().filter(|c| passes(c)).map(Cdr::id).collect();
        assert!(!expected.is_empty() && expected.len() <= 60);
        let mut found: Vec<LegId> = Vec::new();
        loop {
            // Seven is no multiple of three: pages end inside a call.
            let page = listed(&store.db, &filter, found.last().copied(), 7).await;
            if page.is_empty() {
                break;
            }
            found.extend(page);
        }
        assert_eq!(found, expected, "{filter:?}");
    };
    check(any(), |_| true).await;
    check(CdrFilter { flow: Some(ForwardingFlowId::new(2)), ..any() }, |cdr| {
        cdr.flow == Some(ForwardingFlowId::new(2))
    })
    .await;
    check(CdrFilter { destination: Some(DestinationId::new(2)), ..any() }, |cdr| cdr.leg == 2)
        .await;
    check(CdrFilter { trunk: Some(TrunkId::new(3)), ..any() }, |cdr| {
        cdr.trunk == Some(TrunkId::new(3))
    })
    .await;
    check(CdrFilter { from: Some(NOW.plus_ms(5_000)), ..any() }, |cdr| {
        cdr.started_at >= NOW.plus_ms(5_000)
    })
    .await;
    let both = CdrFilter { from: Some(NOW.plus_ms(5_000)), to: Some(NOW.plus_ms(9_000)), ..any() };
    check(both, |cdr| (5_000..9_000).contains(&cdr.started_at.since_ms(NOW))).await;
    let theirs = store.db.cdrs(OTHER, &any(), None, 10).await.unwrap();
    assert_eq!(theirs.len(), 1);
    assert!(store.db.cdrs_of_call(OTHER, CallId::new(1)).await.unwrap().is_empty());
}

#[rstest]
#[tokio::test]
async fn a_credit_counts_once_for_its_id(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let store = engine.store().await.with_other_account().await;
    let db = &store.db;
    assert_eq!(
        db.add_credit(ACCOUNT, &credit(1, 5_000_000)).await.unwrap().amount,
        Micros(5_000_000)
    );
    let again = credit(1, 9_000_000);
    assert_eq!(db.add_credit(ACCOUNT, &again).await.unwrap().amount, Micros(5_000_000));
    assert_eq!(db.add_credit(OTHER, &credit(2, 70)).await.unwrap().amount, Micros(70));
    db.record("n1", &[Record::Cdr(costing(1, 1_500_000))]).await.unwrap();
    assert_eq!(
        db.add_credit(ACCOUNT, &credit(3, -500_000)).await.unwrap().amount,
        Micros(3_000_000)
    );

    let found = db.credits(ACCOUNT, None, 10).await.unwrap();
    assert_eq!(found, [credit(3, -500_000), credit(1, 5_000_000)]);
    assert_eq!(db.credits(ACCOUNT, None, 1).await.unwrap(), found[..1]);
    assert_eq!(db.credits(ACCOUNT, Some(found[0].id), 10).await.unwrap(), found[1..]);
    let balances = db.balances().await.unwrap();
    assert_eq!(
        balances.into_iter().collect::<Vec<_>>(),
        [(ACCOUNT, Micros(3_000_000)), (OTHER, Micros(70))]
    );
    let nobody = db.add_credit(AccountId::new(9), &credit(4, 1)).await;
    assert!(matches!(nobody, Err(StoreError::NoAccount)), "{nobody:?}");
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn credits_at_the_same_time_are_all_counted(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let store = engine.store().await;
    let db = &store.db;
    let adding = |task: u128| {
        let db = db.clone();
        tokio::spawn(async move {
            for id in 0..20 {
                // Those of the even tasks are the same ones.
                db.add_credit(ACCOUNT, &credit(1_000 * (task % 2) * task + id, 1)).await.unwrap();
            }
        })
    };
    let tasks: Vec<_> = (0..4).map(adding).collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(db.balance(ACCOUNT).await.unwrap().amount, Micros(60));
}

#[rstest]
#[tokio::test]
async fn a_sum_beyond_all_measure_refuses_no_bill(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let store = engine.store().await;
    let db = &store.db;
    let batch = [costing(1, i64::MAX), costing(2, i64::MAX)].map(Record::Cdr);
    db.record("n1", &batch).await.unwrap();
    assert_eq!(db.balance(ACCOUNT).await.unwrap().amount, Micros(-i64::MAX));
    db.record("n1", &[Record::Cdr(costing(3, 5))]).await.unwrap();
    assert_eq!(db.balance(ACCOUNT).await.unwrap().amount, Micros(-i64::MAX));
    assert_eq!(db.add_credit(ACCOUNT, &credit(1, 7)).await.unwrap().amount, Micros(7 - i64::MAX));
    for id in 2..5 {
        db.add_credit(ACCOUNT, &credit(id, i64::MAX)).await.unwrap();
    }
    assert_eq!(db.balance(ACCOUNT).await.unwrap().amount, Micros(i64::MAX));
}

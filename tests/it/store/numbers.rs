//! Numbers by themselves: which flow owns which, and when that last changed.

use std::collections::BTreeSet;

use divert::model::id::{AccountId, ForwardingFlowId, NumberId, ServerId};
use divert::model::objects::number::Number;
use divert::store::{NumberFilter, StoreError, Version};
use rstest::rstest;

use super::configuration::{destination, flow, ground, number, put_flow, server};
use super::edit::{Edit, put};
use super::engine::{Engine, TestStore};
use super::{ACCOUNT, OTHER};

/// Flow, server and DID of every owned number, and the version they have.
async fn owned(
    store: &TestStore,
    account: AccountId,
) -> (BTreeSet<(ForwardingFlowId, ServerId, String)>, i64) {
    let (owned, version) = store.db.owned_dids(account).await.unwrap();
    let each = owned
        .into_iter()
        .flat_map(|of| of.dids.into_iter().map(move |did| (of.flow, of.server, did.to_string())));
    (each.collect(), version)
}

#[rstest]
#[tokio::test]
async fn owned_dids_come_without_everything_else(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let store = engine.store().await.with_other_account().await;
    assert_eq!(owned(&store, ACCOUNT).await, (BTreeSet::new(), 0));
    let mut changes = ground();
    changes.extend([flow(1, "f", vec![]), flow(2, "g", vec![destination(1, "a")])].map(put_flow));
    changes.extend(
        [
            number(1, "+12025550100", 1, Some(1)),
            number(2, "a_-.*#+A", 1, Some(1)),
            number(3, "100", 1, Some(2)),
            number(4, "100", 2, Some(2)),
            number(5, "free", 1, None),
        ]
        .map(Edit::Number),
    );
    put(&store.db, ACCOUNT, &changes).await.unwrap();
    let theirs = [Edit::Server(server(9, "m")), Edit::Number(number(9, "900", 9, None))];
    put(&store.db, OTHER, &theirs).await.unwrap();

    let all = [(1, 1, "+12025550100"), (1, 1, "a_-.*#+A"), (2, 1, "100"), (2, 2, "100")];
    let all = all.map(|(flow, server, did)| {
        (ForwardingFlowId::new(flow), ServerId::new(server), did.to_owned())
    });
    let all = all.into();
    assert_eq!(owned(&store, ACCOUNT).await, (all, 1));
    assert_eq!(owned(&store, OTHER).await, (BTreeSet::new(), 1));
    let nobody = store.db.owned_dids(AccountId::new(77)).await;
    assert!(matches!(nobody, Err(StoreError::NoAccount)), "{nobody:?}");

    // The rest is the whole without them.
    let (mut whole, at) = store.db.configuration(ACCOUNT).await.unwrap();
    whole.numbers.clear();
    whole.forwarding_flows.iter_mut().for_each(|flow| flow.dids.clear());
    let (rest, version) = store.db.configuration_without_numbers(ACCOUNT).await.unwrap();
    assert_eq!((rest, version), (whole, Version { configuration: at, numbers: 1 }));
    let nobody = store.db.configuration_without_numbers(AccountId::new(77)).await;
    assert!(matches!(nobody, Err(StoreError::NoAccount)), "{nobody:?}");
}

#[rstest]
#[tokio::test]
async fn numbers_come_in_pages_newest_first_and_one_by_one(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let store = engine.store().await.with_other_account().await;
    let mut changes = ground();
    changes.extend([flow(1, "f", vec![]), flow(2, "g", vec![])].map(put_flow));
    // The last digit of an id is one of the 32 that ids are made of, of which some locales have
    // another order.
    let at = |no: u128| usize::try_from(no).unwrap();
    let numbers: Vec<Number> = (1..=31)
        .map(|id| {
            let (did, server) = if id % 2 == 0 { ("Abc", 1) } else { ("abc", 2) };
            let flow = (id % 3 > 0).then_some(id % 3);
            let tags = ["", "a-1", "a-1 b", "b"][at(id % 4)];
            Number {
                tags: tags.split_whitespace().map(|tag| tag.parse().unwrap()).collect(),
                ..number(id, &format!("{did}{}", id / 2), server, flow)
            }
        })
        .collect();
    changes.extend(numbers.iter().cloned().map(Edit::Number));
    put(&store.db, ACCOUNT, &changes).await.unwrap();
    let theirs = number(40, "abc3", 9, None);
    let theirs = [Edit::Server(server(9, "m")), Edit::Number(theirs)];
    put(&store.db, OTHER, &theirs).await.unwrap();

    let did = |text: &str| text.parse().ok();
    let tag = |text: &str| text.parse().ok();
    let flow = |id| Some(ForwardingFlowId::new(id));
    for (filter, passes) in [
        (NumberFilter::default(), (|_| true) as fn(&Number) -> bool),
        (NumberFilter { did: did("abc3"), ..NumberFilter::default() }, |it| {
            it.did.as_str() == "abc3"
        }),
        (NumberFilter { flow: flow(2), ..NumberFilter::default() }, |it| {
            it.forwarding_flow == Some(ForwardingFlowId::new(2))
        }),
        (NumberFilter { did: did("abc3"), flow: flow(2), ..NumberFilter::default() }, |_| false),
        (NumberFilter { tag: tag("a-1"), ..NumberFilter::default() }, |it| {
            it.tags.iter().any(|tag| tag.as_str() == "a-1")
        }),
        (NumberFilter { tag: tag("a"), ..NumberFilter::default() }, |_| false),
    ] {
        let wanted: Vec<Number> = numbers.iter().rev().filter(|it| passes(it)).cloned().collect();
        let mut found: Vec<Number> = Vec::new();
        loop {
            let before = found.last().map(|number| number.id);
            let page = store.db.numbers(ACCOUNT, &filter, before, 4).await.unwrap();
            if page.is_empty() {
                break;
            }
            found.extend(page);
        }
        assert_eq!(found, wanted, "{filter:?}");
    }
    let one = store.db.number(ACCOUNT, NumberId::new(7)).await.unwrap();
    assert_eq!(one.as_ref(), Some(&numbers[6]));
    assert_eq!(store.db.number(ACCOUNT, NumberId::new(40)).await.unwrap(), None, "not theirs");

    // What writing one number has to know: those like it, and the flows that own them.
    let around = async |did: &str| {
        let did = did.parse().unwrap();
        store.db.configuration_around(ACCOUNT, &did).await.unwrap().0
    };
    let whole = around("ABC3").await;
    assert_eq!(whole.numbers, [numbers[5].clone(), numbers[6].clone()]);
    let dids: Vec<usize> = whole.forwarding_flows.iter().map(|flow| flow.dids.len()).collect();
    assert_eq!(dids, [1, 0], "number 6 has no owner, number 7 the first");
    let (mut rest, _) = store.db.configuration(ACCOUNT).await.unwrap();
    rest.numbers.clear();
    rest.forwarding_flows.iter_mut().for_each(|flow| flow.dids.clear());
    assert_eq!(around("100").await, rest);
}

#[rstest]
#[tokio::test]
async fn the_version_of_numbers_moves_with_numbers_only(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let store = engine.store().await;
    let mut changes = ground();
    changes.push(put_flow(flow(1, "f", vec![destination(1, "a")])));
    let added = Edit::Number(number(1, "100", 1, Some(1)));
    let steps = [
        (changes, 0),
        (vec![added], 2),
        (vec![put_flow(flow(1, "g", vec![destination(1, "a")]))], 2),
        (vec![], 2),
        (vec![Edit::Delete(NumberId::new(1).into()), Edit::Server(server(1, "m"))], 5),
        (vec![Edit::Delete(ForwardingFlowId::new(1).into())], 5),
        (vec![Edit::Delete(ServerId::new(1).into())], 5),
    ];
    for (configuration, (changes, numbers)) in (1..).zip(steps) {
        put(&store.db, ACCOUNT, &changes).await.unwrap();
        let expected = Version { configuration, numbers };
        assert_eq!(store.db.versions().await.unwrap()[&ACCOUNT], expected, "{changes:?}");
    }
}

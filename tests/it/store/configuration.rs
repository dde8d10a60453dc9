//! Configuration: what is put comes back, all of a change or nothing, and each account its own.

use divert::model::cause::HangupCause;
use divert::model::change::Changes;
use divert::model::configuration::Configuration;
use divert::model::id::{AccountId, DestinationId, ForwardingFlowId, NumberId, ServerId, TrunkId};
use divert::model::objects::destination::{Destination, DestinationState, Landing};
use divert::model::objects::forwarding_flow::{Fallback, ForwardingFlow, Ringback, Spread};
use divert::model::objects::number::Number;
use divert::model::objects::server::{Server, ServerRole};
use divert::model::objects::trunk::{Reach, Trunk};
use divert::store::{Db, StoreError};
use rstest::rstest;

use super::edit::{Edit, author, changes as changes_of, put};
use super::engine::Engine;
use super::{ACCOUNT, NOW, OTHER};

pub fn trunk(id: u128, name: &str) -> Trunk {
    Trunk {
        id: TrunkId::new(id),
        name: name.into(),
        reach: Reach::Address("10.0.0.2:5080".parse().unwrap()),
        max_live: Some(100_000),
        ..Trunk::new(TrunkId::new(0), "", Reach::Endpoint("x".parse().unwrap()))
    }
}

pub fn server(id: u128, name: &str) -> Server {
    Server {
        id: ServerId::new(id),
        name: name.into(),
        role: ServerRole::Master,
        trunk: None,
        max_live: None,
    }
}

pub fn number(id: u128, did: &str, server: u128, flow: Option<u128>) -> Number {
    Number {
        id: NumberId::new(id),
        did: did.parse().unwrap(),
        server: ServerId::new(server),
        forwarding_flow: flow.map(ForwardingFlowId::new),
        tags: Vec::new(),
    }
}

pub fn destination(id: u128, name: &str) -> Destination {
    Destination {
        id: DestinationId::new(id),
        name: name.into(),
        landing: Landing::Trunk { trunk: TrunkId::new(1), number: "+12025550100".parse().unwrap() },
        priority: 1,
        weight: 70,
        max_live: None,
        ring_timeout_sec: None,
        state: DestinationState::Active,
        ..Destination::new(
            DestinationId::new(0),
            "",
            Landing::Trunk { trunk: TrunkId::new(0), number: "0".parse().unwrap() },
        )
    }
}

pub fn flow(id: u128, name: &str, destinations: Vec<Destination>) -> ForwardingFlow {
    ForwardingFlow {
        id: ForwardingFlowId::new(id),
        name: name.into(),
        master: ServerId::new(1),
        dids: Vec::new(),
        destinations,
        spread: Spread::Weighted,
        ringback: Ringback::Ring,
        ring_timeout_sec: 30,
        ring_budget_sec: 120,
        max_attempts: 6,
        max_call_sec: 14_400,
        fallback: Fallback::Dialplan,
        ..ForwardingFlow::new(ForwardingFlowId::new(0), "", ServerId::new(0))
    }
}

pub fn put_flow(flow: ForwardingFlow) -> Edit {
    Edit::Flow(Box::new(flow))
}

/// A trunk and a master, both with id 1, and a slave with id 2.
pub fn ground() -> Vec<Edit> {
    let slave = Server {
        role: ServerRole::Slave,
        trunk: Some(TrunkId::new(1)),
        max_live: Some(20),
        ..server(2, "slave")
    };
    vec![
        // The server comes before the trunk it refers to.
        Edit::Server(slave),
        Edit::Server(server(1, "master")),
        Edit::Trunk(trunk(1, "carrier")),
    ]
}

pub async fn read(db: &Db, account: AccountId) -> Configuration {
    db.configuration(account).await.unwrap().0
}

#[rstest]
#[tokio::test]
async fn what_is_put_comes_back_in_order(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let store = engine.store().await;
    let own = Trunk {
        reach: Reach::Endpoint("my-pjsip_1.x".parse().unwrap()),
        max_live: None,
        ..trunk(2, "Boxes")
    };
    let on_slave = |id, name: &str, state, priority| Destination {
        landing: Landing::Slave { server: ServerId::new(2), did: "TF#1".parse().unwrap() },
        priority,
        weight: 0,
        max_live: Some(10),
        ring_timeout_sec: Some(5),
        state,
        ..destination(id, name)
    };
    let rich = ForwardingFlow {
        spread: Spread::RoundRobin,
        ringback: Ringback::EarlyMedia,
        fallback: Fallback::Number { trunk: TrunkId::new(2), number: "*77".parse().unwrap() },
        dids: ["+1", "A1", "a1"].map(|did| did.parse().unwrap()).into(),
        ..flow(
            1,
            "zeta",
            vec![
                on_slave(3, "zz 'quoted\" ünï", DestinationState::Paused, -100),
                on_slave(1, "b", DestinationState::Disabled, 100),
                destination(2, "a"),
            ],
        )
    };
    let hang_up = |cause| Fallback::HangUp(cause);
    let busy = ForwardingFlow {
        fallback: hang_up(Some(HangupCause::USER_BUSY)),
        ..flow(2, "Tau", vec![])
    };
    let last = ForwardingFlow { fallback: hang_up(None), ..flow(3, "alpha", vec![]) };
    let plain = flow(4, "Alpha", vec![]);

    let mut changes = ground();
    changes.extend([&rich, &busy, &last, &plain].map(|f| put_flow(f.clone())));
    changes.push(Edit::Trunk(own.clone()));
    let numbers =
        [number(5, "a1", 1, Some(1)), number(6, "+1", 1, Some(1)), number(7, "A1", 1, Some(1))];
    changes.extend(numbers.clone().map(Edit::Number));
    changes.push(Edit::Number(number(8, "z", 1, None)));
    assert_eq!(put(&store.db, ACCOUNT, &changes).await.unwrap(), 1);

    let (found, version) = store.db.configuration(ACCOUNT).await.unwrap();
    let [a1, plus, upper] = numbers;
    let expected = Configuration {
        servers: vec![server(1, "master"), {
            let Edit::Server(slave) = ground().remove(0) else { unreachable!() };
            slave
        }],
        trunks: vec![own, trunk(1, "carrier")],
        numbers: vec![plus, upper, a1, number(8, "z", 1, None)],
        forwarding_flows: vec![plain, last, busy, rich],
        ..Configuration::default()
    };
    assert_eq!(found, expected);
    assert_eq!(version, 1);

    // The same again is another version of the same configuration.
    assert_eq!(put(&store.db, ACCOUNT, &changes).await.unwrap(), 2);
    assert_eq!(read(&store.db, ACCOUNT).await, expected);
}

#[rstest]
#[tokio::test]
async fn a_flow_is_put_with_exactly_the_destinations_it_has(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let store = engine.store().await;
    let mut changes = ground();
    let first = flow(1, "f", vec![destination(1, "a"), destination(2, "b"), destination(3, "c")]);
    let second = flow(2, "g", vec![destination(4, "a")]);
    changes.extend([first, second.clone()].map(put_flow));
    changes.push(Edit::Number(number(1, "100", 1, Some(1))));
    put(&store.db, ACCOUNT, &changes).await.unwrap();

    // One goes, one comes, two swap names and places; the DIDs written here are not what counts.
    let mut changed =
        flow(1, "f", vec![destination(5, "d"), destination(3, "a"), destination(1, "c")]);
    changed.dids = vec!["999".parse().unwrap()];
    put(&store.db, ACCOUNT, &[put_flow(changed.clone())]).await.unwrap();
    changed.dids = vec!["100".parse().unwrap()];
    assert_eq!(read(&store.db, ACCOUNT).await.forwarding_flows, [changed, second.clone()]);

    // A flow goes with its destinations, once nothing refers to it.
    let delete = Edit::Delete(ForwardingFlowId::new(1).into());
    let refused = put(&store.db, ACCOUNT, std::slice::from_ref(&delete)).await;
    assert!(matches!(refused, Err(StoreError::Dangling)), "{refused:?}");
    let free = Edit::Number(number(1, "100", 1, None));
    put(&store.db, ACCOUNT, &[delete, free]).await.unwrap();
    assert_eq!(read(&store.db, ACCOUNT).await.forwarding_flows, [second]);
    assert_eq!(store.count("object WHERE kind = 'flw'").await, 1);
}

#[rstest]
#[tokio::test]
async fn names_and_numbers_can_be_swapped_in_one_change(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let store = engine.store().await;
    let pair = |a: &str, b: &str, x: &str, y: &str| {
        [
            Edit::Trunk(trunk(1, a)),
            Edit::Trunk(trunk(2, b)),
            Edit::Server(server(1, a)),
            Edit::Server(server(2, b)),
            put_flow(flow(1, a, vec![])),
            put_flow(flow(2, b, vec![])),
            Edit::Number(number(1, x, 1, Some(1))),
            Edit::Number(number(2, y, 1, Some(2))),
        ]
    };
    put(&store.db, ACCOUNT, &pair("a", "b", "100", "200")).await.unwrap();
    put(&store.db, ACCOUNT, &pair("b", "a", "200", "100")).await.unwrap();
    let found = read(&store.db, ACCOUNT).await;
    assert_eq!(found.trunks, [trunk(2, "a"), trunk(1, "b")]);
    assert_eq!(found.servers, [server(2, "a"), server(1, "b")]);
    let dids = |at: usize| found.forwarding_flows[at].dids[0].as_str();
    assert_eq!((dids(0), dids(1)), ("100", "200"));
}

#[rstest]
#[tokio::test]
async fn a_change_that_fails_in_the_middle_leaves_nothing(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let store = engine.store().await;
    let mut changes = ground();
    changes.push(put_flow(flow(1, "f", vec![destination(1, "a")])));
    put(&store.db, ACCOUNT, &changes).await.unwrap();
    let before = store.db.configuration(ACCOUNT).await.unwrap();

    let renamed = Edit::Server(server(1, "renamed"));
    let deleted = Edit::Delete(ForwardingFlowId::new(1).into());
    let more = Edit::Trunk(trunk(9, "more"));
    let failing = [
        (Edit::Trunk(trunk(8, "carrier")), "name"),
        (Edit::Server(server(3, "slave")), "name"),
        (Edit::Number(number(1, "100", 77, None)), "dangling"),
        (Edit::Number(number(1, "100", 1, Some(77))), "dangling"),
        (Edit::Server(Server { trunk: Some(TrunkId::new(77)), ..server(3, "s") }), "dangling"),
        (
            put_flow(ForwardingFlow { master: ServerId::new(77), ..flow(2, "g", vec![]) }),
            "dangling",
        ),
        (Edit::Delete(TrunkId::new(1).into()), "dangling"),
        (
            put_flow(ForwardingFlow {
                fallback: Fallback::Number {
                    trunk: TrunkId::new(77),
                    number: "1".parse().unwrap(),
                },
                ..flow(2, "g", vec![])
            }),
            "dangling",
        ),
        (
            put_flow(flow(
                2,
                "g",
                vec![Destination {
                    landing: Landing::Slave {
                        server: ServerId::new(77),
                        did: "1".parse().unwrap(),
                    },
                    ..destination(2, "x")
                }],
            )),
            "dangling",
        ),
    ];
    for (change, why) in failing {
        let list = [renamed.clone(), deleted.clone(), change.clone(), more.clone()];
        let refused = put(&store.db, ACCOUNT, &list).await.unwrap_err();
        let as_expected = match &refused {
            StoreError::NameTaken { name } => {
                why == "name" && (name == "carrier" || name == "slave")
            }
            StoreError::Dangling => why == "dangling",
            _ => false,
        };
        assert!(as_expected, "{change:?}: {refused:?}");
        assert_eq!(store.db.configuration(ACCOUNT).await.unwrap(), before, "{change:?}");
    }
    // The connections are as good as before.
    put(&store.db, ACCOUNT, &[more]).await.unwrap();
}

#[rstest]
#[tokio::test]
async fn a_stale_change_is_refused_with_the_version_there_is(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let store = engine.store().await.with_other_account().await;
    let ground = changes_of(&Configuration::default(), &ground());
    let change = async |account, expected, changes: &Changes| {
        store.db.change(account, expected, changes, &author(), NOW).await
    };
    assert_eq!(change(ACCOUNT, 0, &ground).await.unwrap(), 1);
    let nothing = Changes::default();
    for expected in [0, 2] {
        let refused = change(ACCOUNT, expected, &nothing).await;
        assert!(matches!(refused, Err(StoreError::Stale { found: 1 })), "{refused:?}");
    }
    assert_eq!(change(ACCOUNT, 1, &nothing).await.unwrap(), 2);
    let versions = store.db.versions().await.unwrap();
    let versions: Vec<_> = versions.into_iter().map(|(id, at)| (id, at.configuration)).collect();
    assert_eq!(versions, [(ACCOUNT, 2), (OTHER, 0)]);

    let nobody = AccountId::new(77);
    let refused = change(nobody, 0, &nothing).await;
    assert!(matches!(refused, Err(StoreError::NoAccount)), "{refused:?}");
    let refused = store.db.configuration(nobody).await;
    assert!(matches!(refused, Err(StoreError::NoAccount)), "{refused:?}");
}

#[rstest]
#[tokio::test]
async fn a_number_has_one_owner_on_its_server(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let store = engine.store().await.with_other_account().await;
    let mut changes = ground();
    changes.push(Edit::Number(number(1, "abc", 1, None)));
    put(&store.db, ACCOUNT, &changes).await.unwrap();
    put(&store.db, OTHER, &[Edit::Server(server(9, "master"))]).await.unwrap();

    for account in [ACCOUNT, OTHER] {
        let again = [Edit::Number(number(2, "abc", 1, None))];
        match put(&store.db, account, &again).await {
            Err(StoreError::Taken { did }) => assert_eq!(did.as_str(), "abc"),
            other => panic!("{other:?}"),
        }
    }
    // Another server, or another case, is another number.
    let free = [Edit::Number(number(3, "abc", 2, None)), Edit::Number(number(4, "ABC", 1, None))];
    put(&store.db, ACCOUNT, &free).await.unwrap();
    put(&store.db, OTHER, &[Edit::Number(number(5, "abc", 9, None))]).await.unwrap();

    // Freed in the same change, it can be taken.
    let handed_over =
        [Edit::Number(number(6, "abc", 1, None)), Edit::Delete(NumberId::new(1).into())];
    put(&store.db, ACCOUNT, &handed_over).await.unwrap();
}

#[rstest]
#[tokio::test]
async fn no_account_reads_or_touches_what_is_another_s(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let store = engine.store().await.with_other_account().await;
    let mut changes = ground();
    changes.push(put_flow(flow(1, "f", vec![destination(1, "a")])));
    changes.push(Edit::Number(number(1, "100", 1, Some(1))));
    put(&store.db, ACCOUNT, &changes).await.unwrap();
    let before = store.db.configuration(ACCOUNT).await.unwrap();

    assert_eq!(read(&store.db, OTHER).await, Configuration::default());
    // The same names are free there.
    let own = [Edit::Trunk(trunk(11, "carrier")), Edit::Server(server(11, "master"))];
    put(&store.db, OTHER, &own).await.unwrap();

    let theirs = [
        Edit::Trunk(trunk(1, "x")),
        Edit::Server(server(1, "x")),
        put_flow(ForwardingFlow { master: ServerId::new(11), ..flow(1, "x", vec![]) }),
        put_flow(ForwardingFlow {
            master: ServerId::new(11),
            ..flow(12, "x", vec![destination(1, "a")])
        }),
        Edit::Number(number(1, "x", 11, None)),
        // Own rows that point at another account's.
        Edit::Number(number(12, "x", 1, None)),
        Edit::Server(Server { trunk: Some(TrunkId::new(1)), ..server(12, "x") }),
    ];
    for change in theirs {
        let refused = put(&store.db, OTHER, std::slice::from_ref(&change)).await;
        assert!(matches!(refused, Err(StoreError::Dangling)), "{change:?}: {refused:?}");
    }
    let deletions = [
        Edit::Delete(NumberId::new(1).into()),
        Edit::Delete(ForwardingFlowId::new(1).into()),
        Edit::Delete(ServerId::new(1).into()),
        Edit::Delete(TrunkId::new(1).into()),
    ];
    put(&store.db, OTHER, &deletions).await.unwrap();
    assert_eq!(store.db.configuration(ACCOUNT).await.unwrap(), before);

    // Their owner may, in any order.
    put(&store.db, ACCOUNT, &deletions).await.unwrap_err();
    let all: Vec<Edit> =
        deletions.into_iter().rev().chain([Edit::Delete(ServerId::new(2).into())]).collect();
    put(&store.db, ACCOUNT, &all).await.unwrap();
    assert_eq!(read(&store.db, ACCOUNT).await, Configuration::default());
}

#[rstest]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forty_concurrent_changes_all_land(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let store = engine.store().await;
    let changing: Vec<_> = (0..40)
        .map(|id| {
            let db = store.db.clone();
            tokio::spawn(async move {
                let added = [Edit::Server(server(id, &format!("s{id}")))];
                let changes = changes_of(&Configuration::default(), &added);
                let mut version = 0;
                loop {
                    match db.change(ACCOUNT, version, &changes, &author(), NOW).await {
                        Err(StoreError::Stale { found }) => version = found,
                        landed => return landed,
                    }
                }
            })
        })
        .collect();
    let mut versions = Vec::new();
    for landed in changing {
        versions.push(landed.await.unwrap().unwrap());
    }
    versions.sort_unstable();
    assert_eq!(versions, (1..=40).collect::<Vec<i64>>());
    let (found, version) = store.db.configuration(ACCOUNT).await.unwrap();
    assert_eq!((found.servers.len(), version), (40, 40));
}

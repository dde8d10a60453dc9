//! What distribution is made of: every setting of accounts, rate decks, flows and destinations comes
//! back as it was put, and references to rate decks stay within the account.

use divert::model::billing::{Micros, Rounding};
use divert::model::configuration::Configuration;
use divert::model::id::{DestinationId, RateDeckId, TrunkId};
use divert::model::number_plan::NumberPlan;
use divert::model::objects::account::AccountSettings;
use divert::model::objects::destination::{Destination, DestinationState, Landing};
use divert::model::objects::forwarding_flow::{ForwardingFlow, ForwardingFlowState};
use divert::model::objects::rate_deck::{Rate, RateDeck};
use divert::model::objects::trunk::Trunk;
use divert::model::opening_hours::{Hours, OpeningHours};
use divert::model::stickiness::{
    RepeatAction, RepeatCount, RepeatRule, Stickiness, StickyOn, StickyWindow,
};
use divert::model::throttle::{ArrivalRate, CapCount, CapPeriod, RatePeriod, Throttle, VolumeCap};
use divert::store::StoreError;
use rstest::rstest;

use super::configuration::{destination, flow, ground, put_flow, read, trunk};
use super::edit::{Edit, put};
use super::engine::Engine;
use super::{ACCOUNT, OTHER};

pub fn deck(id: u128, name: &str) -> RateDeck {
    let rate = |prefix: &str, micros, increment: &str| Rate {
        prefix: prefix.parse().unwrap(),
        per_minute: Micros(micros),
        increment: increment.parse().unwrap(),
    };
    RateDeck {
        id: RateDeckId::new(id),
        name: name.into(),
        rates: vec![rate("1800", 0, "1/1"), rate("", 12_500, "30/6")].into(),
        bills_ring_time: true,
        rounding: Rounding::Nearest,
        decimals: 6,
    }
}

fn throttle() -> Throttle {
    Throttle {
        rate: Some(ArrivalRate { calls: 10, per: RatePeriod::Minute, burst: 3 }),
        spacing_sec: Some(86_400),
        caps: vec![
            VolumeCap { per: CapPeriod::Day, count: CapCount::Answers, max: 100 },
            VolumeCap { per: CapPeriod::Total, count: CapCount::BillableMinutes, max: 100_000_000 },
        ],
    }
}

fn schedule() -> OpeningHours {
    let mut schedule = OpeningHours::default();
    schedule.weekly[0] = vec!["09:00-12:00".parse().unwrap(), "22:00-02:00".parse().unwrap()];
    schedule.weekly[6] = vec!["00:00-24:00".parse().unwrap()];
    schedule.holidays.insert("2026-12-24".parse().unwrap(), vec!["09:00-12:00".parse().unwrap()]);
    schedule.holidays.insert("2026-12-25".parse().unwrap(), Vec::new());
    schedule
}

fn settings(deck: Option<u128>) -> AccountSettings {
    AccountSettings {
        time_zone: "America/Chicago".parse().unwrap(),
        max_live: Some(100_000),
        toll_free_termination: true,
        prepaid: true,
        currency: "EUR".parse().unwrap(),
        rate_deck: deck.map(RateDeckId::new),
    }
}

fn with_deck(id: u128, name: &str, deck: u128) -> Trunk {
    Trunk { carries_toll_free: true, rate_deck: Some(RateDeckId::new(deck)), ..trunk(id, name) }
}

#[rstest]
#[tokio::test]
async fn every_setting_comes_back_and_can_be_taken_back(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let store = engine.store().await.with_other_account().await;
    let full = ForwardingFlow {
        state: ForwardingFlowState::Paused,
        time_zone: Some("Pacific/Apia".parse().unwrap()),
        schedule: Some(Hours::Own(schedule())),
        throttle: throttle(),
        stickiness: Stickiness {
            window: StickyWindow::Rolling { sec: 600, sliding: true },
            on: StickyOn::Offered,
            rebind: false,
            beats_priority: true,
        },
        repeat_caller: Some(RepeatRule {
            calls: 3,
            within_sec: 2_678_400,
            count: RepeatCount::Answered,
            then: RepeatAction::Destination(DestinationId::new(1)),
        }),
        caller_numbers: NumberPlan {
            country: Some("44".parse().unwrap()),
            national_prefix: Some("0".parse().unwrap()),
            international_prefix: None,
        },
        redial_gap_sec: 0,
        ..flow(
            1,
            "f",
            vec![
                Destination {
                    landing: Landing::TollFree { number: "8005550199".parse().unwrap() },
                    state: DestinationState::Draining,
                    time_zone: Some("Europe/Berlin".parse().unwrap()),
                    schedule: Some(Hours::Own(schedule())),
                    throttle: throttle(),
                    ..destination(1, "toll-free")
                },
                destination(2, "plain"),
            ],
        )
    };
    let mut changes = ground();
    changes.extend([
        put_flow(full.clone()),
        Edit::Trunk(with_deck(2, "b", 2)),
        // Both come before the decks they refer to.
        Edit::Account(settings(Some(1))),
        Edit::RateDeck(deck(2, "Beta")),
        Edit::RateDeck(deck(1, "alpha")),
    ]);
    put(&store.db, ACCOUNT, &changes).await.unwrap();
    let found = read(&store.db, ACCOUNT).await;
    assert_eq!(found.account, settings(Some(1)));
    assert_eq!(found.rate_decks, [deck(1, "alpha"), deck(2, "Beta")]);
    assert_eq!(found.trunks, [with_deck(2, "b", 2), trunk(1, "carrier")]);
    assert_eq!(found.forwarding_flows, [full]);
    assert_eq!(read(&store.db, OTHER).await, Configuration::default());

    // Back to what is the default, and names swapped.
    let one_rate = || {
        let mut deck = deck(2, "alpha");
        deck.rates = vec![deck.rates[0].clone()].into();
        deck
    };
    let plain = flow(1, "f", vec![destination(1, "toll-free"), destination(2, "plain")]);
    let back = [
        put_flow(plain.clone()),
        Edit::Account(AccountSettings::default()),
        Edit::Trunk(trunk(2, "b")),
        Edit::RateDeck(deck(1, "Beta")),
        Edit::RateDeck(one_rate()),
    ];
    put(&store.db, ACCOUNT, &back).await.unwrap();
    let found = read(&store.db, ACCOUNT).await;
    assert_eq!(found.account, AccountSettings::default());
    assert_eq!(found.rate_decks[0], one_rate());
    assert_eq!(found.rate_decks[1], deck(1, "Beta"));
    assert_eq!(found.trunks[0], trunk(2, "b"));
    assert_eq!(found.forwarding_flows, [plain]);
    let gone = [1, 2].map(|id| Edit::Delete(RateDeckId::new(id).into()));
    put(&store.db, ACCOUNT, &gone).await.unwrap();
    assert_eq!(store.count("object WHERE kind = 'rtd'").await, 0);
}

#[rstest]
#[tokio::test]
async fn a_rate_deck_is_the_accounts_own_and_stays_while_it_is_used(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let store = engine.store().await.with_other_account().await;
    let ours = [
        Edit::RateDeck(deck(1, "a")),
        Edit::RateDeck(deck(2, "b")),
        Edit::Account(settings(Some(1))),
        Edit::Trunk(with_deck(1, "t", 2)),
    ];
    put(&store.db, ACCOUNT, &ours).await.unwrap();
    let before = store.db.configuration(ACCOUNT).await.unwrap();

    let delete = |id| Edit::Delete(RateDeckId::new(id).into());
    let refused = [
        (ACCOUNT, delete(1)),
        (ACCOUNT, delete(2)),
        (ACCOUNT, Edit::Account(settings(Some(77)))),
        (ACCOUNT, Edit::Trunk(with_deck(1, "t", 77))),
        (OTHER, Edit::Account(settings(Some(1)))),
        (OTHER, Edit::Trunk(with_deck(9, "t", 1))),
        (OTHER, Edit::RateDeck(deck(1, "mine"))),
    ];
    for (account, change) in refused {
        let answer = put(&store.db, account, std::slice::from_ref(&change)).await;
        assert!(matches!(answer, Err(StoreError::Dangling)), "{change:?}: {answer:?}");
    }
    let twin = [Edit::RateDeck(deck(3, "a"))];
    let answer = put(&store.db, ACCOUNT, &twin).await;
    assert!(matches!(answer, Err(StoreError::NameTaken { .. })), "{answer:?}");
    // The same name is free elsewhere, and deleting what is another's changes nothing.
    put(&store.db, OTHER, &[delete(1), twin[0].clone()]).await.unwrap();
    assert_eq!(store.db.configuration(ACCOUNT).await.unwrap(), before);

    let free =
        [delete(1), delete(2), Edit::Account(settings(None)), Edit::Delete(TrunkId::new(1).into())];
    put(&store.db, ACCOUNT, &free).await.unwrap();
    assert_eq!(read(&store.db, ACCOUNT).await.account, settings(None));
}

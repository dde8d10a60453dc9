//! Objects of every kind are rows of one table: they come back as they were written, what a newer
//! node added to them stays, and what no node can have written is told.

use divert::model::change::diff;
use divert::model::configuration::Configuration;
use divert::model::id::{ForwardingFlowId, RateDeckId, ServerId, TrunkId};
use divert::store::StoreError;
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;
use rstest::rstest;
use serde_json::Value;

use super::configuration::{destination, flow, ground, number, put_flow, read, server, trunk};
use super::distribution::deck;
use super::edit::{Edit, author, put};
use super::engine::{Engine, TestStore};
use super::{ACCOUNT, NOW};
use crate::config::random;

#[rstest]
#[tokio::test]
async fn any_configuration_comes_back_as_it_was_written_over_any_other(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let store = engine.store().await;
    let mut runner = TestRunner::default();
    let mut old = Configuration::default();
    for version in 0..50 {
        let new = random::configuration().new_tree(&mut runner).unwrap().current();
        let changes = diff(&old, &new);
        store.db.change(ACCOUNT, version, &changes, &author(), NOW).await.unwrap();
        let mut found = read(&store.db, ACCOUNT).await;
        found.sort();
        assert_eq!(found, new);
        // As many rows as there are objects, and one row of history for each change.
        let told = store.db.changed_in(ACCOUNT, version + 1).await.unwrap();
        let told: Vec<_> =
            told.into_iter().map(|one| (one.subject, one.before, one.after)).collect();
        let changes = changes.changes.into_iter().map(|one| (one.subject, one.before, one.after));
        assert_eq!(told, changes.collect::<Vec<_>>());
        old = new;
    }
}

#[rstest]
#[tokio::test]
async fn one_object_that_changes_is_one_row(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let store = engine.store().await;
    let mut edits = ground();
    edits.push(put_flow(flow(1, "f", vec![destination(1, "a")])));
    put(&store.db, ACCOUNT, &edits).await.unwrap();
    store.execute("UPDATE object SET changed_at = 0").await;
    let renamed = put_flow(flow(1, "f", vec![destination(1, "b"), destination(2, "c")]));
    put(&store.db, ACCOUNT, &[renamed]).await.unwrap();
    assert_eq!(store.count("object WHERE changed_at > 0").await, 1);
    assert_eq!(store.count("object_change WHERE version = 2").await, 1);
}

/// The body of an object, whatever is in it.
async fn body(store: &TestStore, id: &str) -> Value {
    let text =
        store.text(&format!("SELECT CAST(body AS TEXT) FROM object WHERE id = '{id}'")).await;
    serde_json::from_str(&text).unwrap()
}

#[rstest]
#[tokio::test]
async fn what_a_newer_node_wrote_into_a_destination_survives_this_one(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let store = engine.store().await;
    let mut edits = ground();
    edits.push(put_flow(flow(1, "f", vec![destination(1, "a"), destination(2, "b")])));
    put(&store.db, ACCOUNT, &edits).await.unwrap();
    let id = ForwardingFlowId::new(1).to_string();
    let mut newer = body(&store, &id).await;
    newer["destinations"][1]["colour"] = "green".into();
    store.execute(&format!("UPDATE object SET body = '{newer}' WHERE id = '{id}'")).await;

    // Also where it stands at another place among them.
    let turned = put_flow(flow(1, "g", vec![destination(2, "b"), destination(1, "c")]));
    put(&store.db, ACCOUNT, &[turned]).await.unwrap();
    let found = body(&store, &id).await;
    assert_eq!(found["destinations"][0]["colour"], "green");
    assert_eq!(found["destinations"][1].get("colour"), None);
}

#[rstest]
#[tokio::test]
async fn what_a_newer_node_wrote_into_a_row_survives_this_one(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let store = engine.store().await;
    let mut edits = ground();
    edits.extend([Edit::RateDeck(deck(1, "kept")), Edit::RateDeck(deck(2, "free"))]);
    put(&store.db, ACCOUNT, &edits).await.unwrap();
    let before = store.db.configuration(ACCOUNT).await.unwrap().0;

    // A newer node gave the trunk keys, one of which refers to a rate deck, and made an object of a
    // kind of its own.
    let (carrier, kept) = (TrunkId::new(1).to_string(), RateDeckId::new(1).to_string());
    let mut newer = body(&store, &carrier).await;
    newer["colour"] = "green".into();
    newer["decks"] = serde_json::json!([{ "deck": kept }]);
    store.execute(&format!("UPDATE object SET body = '{newer}' WHERE id = '{carrier}'")).await;
    let account = ACCOUNT;
    store
        .execute(&format!(
            "INSERT INTO object_reference (account_id, from_id, to_id)
                VALUES ('{account}', '{carrier}', '{kept}')"
        ))
        .await;
    store
        .execute(&format!(
            "INSERT INTO object (id, account_id, kind, name, body, changed_at)
                VALUES ('new_1', '{account}', 'new', 'n', '{{}}', 0)"
        ))
        .await;
    assert_eq!(read(&store.db, ACCOUNT).await, before);

    let renamed = Edit::Trunk(trunk(1, "renamed"));
    let version = put(&store.db, ACCOUNT, &[renamed]).await.unwrap();
    let found = body(&store, &carrier).await;
    assert_eq!((&found["colour"], &found["decks"]), (&newer["colour"], &newer["decks"]));
    assert_eq!(found["name"], "renamed");
    let told = store.db.changed_in(ACCOUNT, version).await.unwrap().remove(0);
    assert_eq!(told.before.unwrap(), newer);
    assert_eq!(told.after.unwrap(), found);
    assert_eq!(store.count("object WHERE kind = 'new'").await, 1);

    // What it refers to there is still referred to.
    let refused = put(&store.db, ACCOUNT, &[Edit::Delete(RateDeckId::new(1).into())]).await;
    assert!(matches!(refused, Err(StoreError::Dangling)), "{refused:?}");
    put(&store.db, ACCOUNT, &[Edit::Delete(RateDeckId::new(2).into())]).await.unwrap();
}

#[rstest]
#[tokio::test]
async fn a_row_that_no_node_can_have_written_is_told_by_its_name(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let store = engine.store().await;
    put(&store.db, ACCOUNT, &ground()).await.unwrap();
    let slave = ServerId::new(2).to_string();
    let right = body(&store, &slave).await;
    for (key, wrong, told) in [
        ("role", serde_json::json!("king"), "\"king\" is not a choice here"),
        ("max_live", serde_json::json!("many"), "is text, not a number"),
        ("trunk", serde_json::json!(TrunkId::new(77).to_string()), "there is no trunk"),
    ] {
        let mut body = right.clone();
        body[key] = wrong;
        store.execute(&format!("UPDATE object SET body = '{body}' WHERE id = '{slave}'")).await;
        let refused = store.db.configuration(ACCOUNT).await.unwrap_err();
        assert!(matches!(refused, StoreError::Internal(_)), "{refused:?}");
        let text = refused.to_string();
        let named = format!("\"slave\", /{slave}/{key}: ");
        assert!(text.contains(&named) && text.contains(told), "{text}");
    }
}

#[rstest]
#[tokio::test]
async fn the_database_itself_refuses_to_lose_what_is_referred_to(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let store = engine.store().await.with_other_account().await;
    let mut edits = ground();
    edits.push(put_flow(flow(1, "f", vec![destination(1, "a")])));
    edits.push(Edit::Number(number(1, "100", 1, Some(1))));
    put(&store.db, ACCOUNT, &edits).await.unwrap();
    let other = super::OTHER;
    for wrong in [
        "DELETE FROM object WHERE kind = 'trk'".to_owned(),
        "DELETE FROM object WHERE kind = 'srv'".to_owned(),
        "DELETE FROM object WHERE kind = 'flw'".to_owned(),
        format!("UPDATE object SET account_id = '{other}' WHERE kind = 'trk'"),
        format!("UPDATE number SET account_id = '{other}'"),
        "UPDATE number SET owner_id = 'flw_00000000000000000000000077'".to_owned(),
        "UPDATE object SET name = 'same' WHERE kind = 'srv'".to_owned(),
    ] {
        assert!(store.try_execute(&wrong).await.is_err(), "{wrong}");
    }
}

/// As many as a carrier hands over at once.
#[rstest]
#[tokio::test]
async fn many_numbers_are_written_at_once(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let store = engine.store().await;
    put(&store.db, ACCOUNT, &ground()).await.unwrap();
    put(&store.db, ACCOUNT, &[put_flow(flow(1, "f", vec![destination(1, "a")]))]).await.unwrap();
    let (old, version) = store.db.configuration(ACCOUNT).await.unwrap();
    let mut new = old.clone();
    new.numbers = (0..10_000_u128)
        .map(|no| number(no, &format!("+1202{no:07}"), 1, (no % 2 == 0).then_some(1)))
        .collect();
    let changes = diff(&old, &new);
    store.db.change(ACCOUNT, version, &changes, &author(), NOW).await.unwrap();
    assert_eq!(read(&store.db, ACCOUNT).await.numbers, new.numbers);
    assert_eq!(store.db.changed_in(ACCOUNT, version + 1).await.unwrap().len(), 10_000);

    // Of all that are taken, one is named; and nothing is written.
    let mut more = new.clone();
    more.numbers.extend((0..3_000).map(|no| number(20_000 + no, &format!("{no}"), 1, None)));
    more.numbers.push(number(30_000, "+12020000007", 1, None));
    let refused = store
        .db
        .change(ACCOUNT, version + 1, &diff(&new, &more), &author(), NOW)
        .await
        .unwrap_err();
    let named = matches!(&refused, StoreError::Taken { did } if did.as_str() == "+12020000007");
    assert!(named, "{refused:?}");
    assert_eq!(store.count("number").await, 10_000);

    // All at once they change their owner, and go.
    let mut moved = new.clone();
    moved.numbers.iter_mut().for_each(|number| number.forwarding_flow = None);
    store.db.change(ACCOUNT, version + 1, &diff(&new, &moved), &author(), NOW).await.unwrap();
    assert_eq!(read(&store.db, ACCOUNT).await.numbers, moved.numbers);
    let none = Configuration { numbers: Vec::new(), ..moved.clone() };
    store.db.change(ACCOUNT, version + 2, &diff(&moved, &none), &author(), NOW).await.unwrap();
    assert_eq!(store.count("number").await, 0);
    assert_eq!(server(1, "master"), read(&store.db, ACCOUNT).await.servers[0]);
}

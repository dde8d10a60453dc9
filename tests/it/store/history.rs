//! Who changed what: each change is told with what was before and after it.

use divert::model::change::{Author, Changed, Subject, diff};
use divert::model::id::{KeyId, NumberId, ServerId, TrunkId};
use divert::model::objects::account::AccountSettings;
use divert::store::ChangedFilter;
use rstest::rstest;
use serde_json::{Value, json};

use super::configuration::{ground, number, server, trunk};
use super::edit::{Edit, author, put};
use super::engine::{Engine, TestStore};
use super::{ACCOUNT, NOW, OTHER};

async fn all(store: &TestStore, filter: &ChangedFilter) -> Vec<(i64, u32, String)> {
    let found = store.db.changed(ACCOUNT, filter, None, 1_000).await.unwrap();
    found.into_iter().map(|one| (one.version, one.place, one.name)).collect()
}

#[rstest]
#[tokio::test]
async fn a_change_is_told_with_what_was_before_and_after(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let store = engine.store().await.with_other_account().await;
    let mut changes = ground();
    changes.push(Edit::Number(number(1, "100", 1, None)));
    put(&store.db, ACCOUNT, &changes).await.unwrap();
    let told = store.db.changed_in(ACCOUNT, 1).await.unwrap();
    let places: Vec<u32> = told.iter().map(|one| one.place).collect();
    assert_eq!(places, [0, 1, 2, 3]);
    assert!(told.iter().all(|one| one.before.is_none() && one.after.is_some()));

    // By somebody with a key, all kinds of changes in one version.
    let (old, version) = store.db.configuration(ACCOUNT).await.unwrap();
    let mut new = old.clone();
    new.account.max_live = Some(7);
    new.trunks[0].name = "renamed".to_owned();
    new.numbers.clear();
    let by = Author { key: Some(KeyId::new(3)), name: "dashboard".to_owned() };
    let later = NOW.plus_ms(5);
    store.db.change(ACCOUNT, version, &diff(&old, &new), &by, later).await.unwrap();
    let told = store.db.changed_in(ACCOUNT, 2).await.unwrap();
    let [settings, renamed, gone] = <[Changed; 3]>::try_from(told).unwrap();
    let max_live = |body: &Option<Value>| body.as_ref().unwrap().get("max_live").cloned();
    assert_eq!(settings.subject, Subject::Account);
    assert_eq!((max_live(&settings.before), max_live(&settings.after)), (None, Some(json!(7))));
    let name = |body: &Option<Value>| body.as_ref().unwrap()["name"].clone();
    assert_eq!(renamed.subject, Subject::Object(TrunkId::new(1).into()));
    assert_eq!((name(&renamed.before), name(&renamed.after)), (json!("carrier"), json!("renamed")));
    assert_eq!((&*renamed.name, renamed.version, renamed.at), ("renamed", 2, later));
    assert_eq!(renamed.author, by);
    assert_eq!((gone.subject, &gone.after), (Subject::Number(NumberId::new(1)), &None));
    assert_eq!(gone.before.unwrap()["did"], "100");

    // It is the account's own, and a change that is refused leaves no trace.
    assert_eq!(store.db.changed_in(OTHER, 1).await.unwrap(), []);
    let dangling = [Edit::Delete(TrunkId::new(1).into())];
    put(&store.db, ACCOUNT, &dangling).await.unwrap_err();
    assert_eq!(store.db.changed_in(ACCOUNT, 3).await.unwrap(), []);
}

#[rstest]
#[tokio::test]
async fn changes_come_in_pages_newest_first_and_can_be_narrowed(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let store = engine.store().await;
    put(&store.db, ACCOUNT, &ground()).await.unwrap();
    for no in 2..6 {
        let edits = [
            Edit::Server(server(1, &format!("m{no}"))),
            Edit::Trunk(trunk(no, &format!("t{no}"))),
            Edit::Number(number(no, &format!("{no}00"), 1, None)),
        ];
        put(&store.db, ACCOUNT, &edits).await.unwrap();
    }
    let settings = AccountSettings { max_live: Some(1), ..AccountSettings::default() };
    put(&store.db, ACCOUNT, &[Edit::Account(settings)]).await.unwrap();

    let whole = all(&store, &ChangedFilter::default()).await;
    assert_eq!(whole.len(), 3 + 4 * 3 + 1);
    assert!(whole.is_sorted_by(|a, b| (a.0, a.1) > (b.0, b.1)), "{whole:?}");
    assert_eq!(whole[0], (6, 0, "account".to_owned()));
    let mut paged: Vec<(i64, u32, String)> = Vec::new();
    loop {
        let before = paged.last().map(|(version, place, _)| (*version, *place));
        let page = store.db.changed(ACCOUNT, &ChangedFilter::default(), before, 4).await.unwrap();
        if page.is_empty() {
            break;
        }
        paged.extend(page.into_iter().map(|one| (one.version, one.place, one.name)));
    }
    assert_eq!(paged, whole);

    let none = ChangedFilter::default;
    let names = async |filter: ChangedFilter| {
        let found = all(&store, &filter).await;
        found.into_iter().map(|(.., name)| name).collect::<Vec<_>>()
    };
    let of = |kind| ChangedFilter { kind: Some(kind), ..none() };
    assert_eq!(names(of("trk")).await, ["t5", "t4", "t3", "t2", "carrier"]);
    assert_eq!(names(of("num")).await, ["500", "400", "300", "200"]);
    assert_eq!(names(of("account")).await, ["account"]);
    let of = |object| ChangedFilter { object: Some(object), ..none() };
    let master = ["m5", "m4", "m3", "m2", "master"];
    assert_eq!(names(of(ServerId::new(1).into())).await, master);
    assert_eq!(names(of(NumberId::new(3).into())).await, ["300"]);
    let by = |author: &str| ChangedFilter { author: Some(author.to_owned()), ..none() };
    assert_eq!(names(by(&author().name)).await.len(), whole.len());
    assert_eq!(names(by("nobody")).await.len(), 0);
    let version = ChangedFilter { version: Some(3), kind: Some("srv"), ..none() };
    assert_eq!(names(version).await, ["m3"]);

    // What a newer divert knows more is not told, and in nobody's way.
    store.execute("UPDATE object_change SET kind = 'new', id = 'new_1' WHERE version = 6").await;
    assert_eq!(all(&store, &none()).await, whole[1..]);
}

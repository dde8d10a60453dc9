//! API keys.

use divert::model::id::{AccountId, KeyId};
use divert::model::time::Timestamp;
use divert::store::{ApiKey, StoreError};
use rstest::rstest;

use super::engine::Engine;
use super::{ACCOUNT, NOW, OTHER};

fn key(id: u128) -> ApiKey {
    ApiKey {
        id: KeyId::new(id),
        name: format!("key {id}"),
        sha256: std::array::from_fn(|at| u8::try_from(at).unwrap().wrapping_mul(37)),
        scopes: vec!["calls:read".into(), "flows:write".into()],
        created_at: NOW.plus_ms(i64::try_from(id).unwrap()),
        expires_at: None,
        revoked_at: None,
    }
}

#[rstest]
#[tokio::test]
async fn a_key_reads_back_as_it_was_added(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let store = engine.store().await.with_other_account().await;
    let full = ApiKey {
        expires_at: Some(NOW.plus_ms(86_400_000)),
        revoked_at: Some(NOW),
        scopes: Vec::new(),
        ..key(1)
    };
    store.db.add_key(ACCOUNT, &full).await.unwrap();
    store.db.add_key(ACCOUNT, &key(2)).await.unwrap();
    store.db.add_key(OTHER, &key(3)).await.unwrap();

    assert_eq!(store.db.find_key(full.id).await.unwrap(), Some((ACCOUNT, full.clone())));
    assert_eq!(store.db.find_key(key(3).id).await.unwrap(), Some((OTHER, key(3))));
    assert_eq!(store.db.find_key(KeyId::new(9)).await.unwrap(), None);
    assert_eq!(store.db.keys(ACCOUNT).await.unwrap(), [full, key(2)]);
    assert_eq!(store.db.keys(OTHER).await.unwrap(), [key(3)]);
}

#[rstest]
#[tokio::test]
async fn a_key_is_revoked_once_and_only_by_its_account(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let store = engine.store().await.with_other_account().await;
    store.db.add_key(ACCOUNT, &key(1)).await.unwrap();

    assert!(!store.db.revoke_key(OTHER, key(1).id, NOW).await.unwrap());
    assert!(!store.db.revoke_key(ACCOUNT, KeyId::new(9), NOW).await.unwrap());
    assert_eq!(store.db.keys(ACCOUNT).await.unwrap(), [key(1)]);

    assert!(store.db.revoke_key(ACCOUNT, key(1).id, NOW).await.unwrap());
    assert!(!store.db.revoke_key(ACCOUNT, key(1).id, Timestamp(1)).await.unwrap());
    let (_, revoked) = store.db.find_key(key(1).id).await.unwrap().unwrap();
    assert_eq!(revoked.revoked_at, Some(NOW));
}

#[rstest]
#[tokio::test]
async fn a_key_needs_an_account_and_an_id_of_its_own(
    #[values(Engine::Sqlite, Engine::Postgres)] engine: Engine,
) {
    let store = engine.store().await;
    let nobody = AccountId::new(77);
    assert!(matches!(store.db.add_key(nobody, &key(1)).await, Err(StoreError::NoAccount)));
    store.db.add_key(ACCOUNT, &key(1)).await.unwrap();
    let again = store.db.add_key(ACCOUNT, &key(1)).await;
    assert!(matches!(again, Err(StoreError::NameTaken { .. })), "{again:?}");
}

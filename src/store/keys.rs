//! API keys: only the hash is kept. Whether a key is expired or allowed is for the API to say.

use std::fmt::Write as _;

use sqlx::FromRow;
use sqlx::types::Json;

use super::column::{Int, Text, json};
use super::{Db, StoreError};
use crate::model::id::{AccountId, KeyId};
use crate::model::time::Timestamp;

#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ApiKey {
    pub id: KeyId,
    pub name: String,
    /// Of the whole key as it was shown once. A key has enough entropy to need no slow hash.
    pub sha256: [u8; 32],
    pub scopes: Vec<String>,
    pub created_at: Timestamp,
    pub expires_at: Option<Timestamp>,
    pub revoked_at: Option<Timestamp>,
}

impl Db {
    /// Keeps a new key.
    ///
    /// # Errors
    /// [`StoreError::NoAccount`], [`StoreError::NameTaken`] with the id if that exists already,
    /// [`StoreError::Unavailable`].
    pub async fn add_key(&self, account: AccountId, key: &ApiKey) -> Result<(), StoreError> {
        let scopes = json(&key.scopes)?;
        let added = on!(self, db => {
            sqlx::query(ADD)
                .bind(Text(key.id))
                .bind(Text(account))
                .bind(Text(&key.name))
                .bind(Text(hex(&key.sha256)))
                .bind(scopes)
                .bind(Int(key.created_at))
                .bind(key.expires_at.map(Int))
                .bind(key.revoked_at.map(Int))
                .execute(db)
                .await
                .map(drop)
        });
        let taken = || StoreError::NameTaken { name: key.id.to_string() };
        match added.map_err(|error| StoreError::unless_unique(error, taken)) {
            Err(StoreError::Dangling) => Err(StoreError::NoAccount),
            other => other,
        }
    }

    /// A key by its id, and the account it opens; revoked and expired ones too.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn find_key(&self, id: KeyId) -> Result<Option<(AccountId, ApiKey)>, StoreError> {
        let row: Option<KeyRow> = on!(self, db => {
            sqlx::query_as(FIND).bind(Text(id)).fetch_optional(db).await
        })?;
        row.map(KeyRow::into_key).transpose()
    }

    /// All keys of `account`, the oldest first.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn keys(&self, account: AccountId) -> Result<Vec<ApiKey>, StoreError> {
        let rows: Vec<KeyRow> = on!(self, db => {
            sqlx::query_as(LIST).bind(Text(account)).fetch_all(db).await
        })?;
        rows.into_iter().map(|row| row.into_key().map(|(_, key)| key)).collect()
    }

    /// Revokes a key; `false` if the account has no such key that was not revoked before.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn revoke_key(
        &self,
        account: AccountId,
        id: KeyId,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let revoked = on!(self, db => {
            sqlx::query(REVOKE)
                .bind(Text(account))
                .bind(Text(id))
                .bind(Int(now))
                .execute(db)
                .await
                .map(|done| done.rows_affected())
        })?;
        Ok(revoked > 0)
    }
}

#[derive(FromRow)]
struct KeyRow {
    id: Text<KeyId>,
    account_id: Text<AccountId>,
    name: Text<String>,
    sha256: Text<String>,
    scopes: Json<Vec<String>>,
    created_at: Int<Timestamp>,
    expires_at: Option<Int<Timestamp>>,
    revoked_at: Option<Int<Timestamp>>,
}

impl KeyRow {
    fn into_key(self) -> Result<(AccountId, ApiKey), StoreError> {
        let key = ApiKey {
            id: self.id.0,
            name: self.name.0,
            sha256: unhex(&self.sha256.0).ok_or_else(|| {
                StoreError::Internal(sqlx::Error::Decode("an API key's hash is no SHA-256".into()))
            })?,
            scopes: self.scopes.0,
            created_at: self.created_at.0,
            expires_at: self.expires_at.map(|Int(at)| at),
            revoked_at: self.revoked_at.map(|Int(at)| at),
        };
        Ok((self.account_id.0, key))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 2 * bytes.len() || !text.bytes().all(|c| c.is_ascii_hexdigit()) {
        return None;
    }
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(bytes)
}

const ADD: &str = "INSERT INTO api_key (id, account_id, name, sha256, scopes, created_at, \
    expires_at, revoked_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
const FIND: &str = "SELECT id, account_id, name, sha256, scopes, created_at, expires_at, \
    revoked_at FROM api_key WHERE id = $1";
const LIST: &str = "SELECT id, account_id, name, sha256, scopes, created_at, expires_at, \
    revoked_at FROM api_key WHERE account_id = $1 ORDER BY created_at, id";
const REVOKE: &str = "UPDATE api_key SET revoked_at = $3 \
    WHERE account_id = $1 AND id = $2 AND revoked_at IS NULL";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_reads_back_from_its_text() {
        let hash: [u8; 32] = std::array::from_fn(|at| u8::try_from(at * 8).unwrap());
        assert_eq!(unhex(&hex(&hash)), Some(hash));
        assert_eq!(unhex("00"), None);
        assert_eq!(unhex(&"+1".repeat(32)), None);
    }
}

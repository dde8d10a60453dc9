//! Requests that may be sent twice: the first one with an idempotency key is served, the others
//! get its answer. Which header carries the key and what is fingerprinted is the API's business.

use sqlx::FromRow;

use super::column::{Int, Text};
use super::{Db, StoreError};
use crate::model::id::AccountId;
use crate::model::time::Timestamp;

/// What to do with a request that carries an idempotency key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Begun {
    /// It was served: repeat this answer.
    Done { status: u16, body: String },
    /// Serve it, and finish or forget it afterwards.
    Fresh,
    /// The first one with this key is being served right now.
    InProgress,
    /// The key was used for another request.
    OtherBody,
}

impl Db {
    /// Claims `key` for one request, exactly one of any number that ask at once.
    ///
    /// An answer is kept for [`KEPT_MS`]. A request that was begun but neither finished nor
    /// forgotten within [`SERVED_MS`] died with its node, and the next one takes its place.
    ///
    /// # Errors
    /// [`StoreError::NoAccount`], [`StoreError::Unavailable`].
    pub async fn begin_request(
        &self,
        account: AccountId,
        key: &str,
        fingerprint: &str,
        now: Timestamp,
    ) -> Result<Begun, StoreError> {
        let forgotten = now.plus_ms(-KEPT_MS);
        on!(self, db => {
            let query = sqlx::query(SWEEP).bind(Text(account)).bind(Int(forgotten));
            query.execute(db).await.map(drop)
        })?;
        loop {
            let claimed = on!(self, db => {
                sqlx::query(CLAIM)
                    .bind(Text(account))
                    .bind(Text(key))
                    .bind(Text(fingerprint))
                    .bind(Int(now))
                    .bind(Int(forgotten))
                    .bind(Int(now.plus_ms(-SERVED_MS)))
                    .execute(db)
                    .await
                    .map(|done| done.rows_affected())
            });
            match claimed.map_err(StoreError::from) {
                Ok(0) => {}
                Ok(_) => return Ok(Begun::Fresh),
                Err(StoreError::Dangling) => return Err(StoreError::NoAccount),
                Err(error) => return Err(error),
            }
            let found: Option<Found> = on!(self, db => {
                sqlx::query_as(FIND).bind(Text(account)).bind(Text(key)).fetch_optional(db).await
            })?;
            // Gone again: it was forgotten in between, and the key is free for another claim.
            let Some(found) = found else {
                continue;
            };
            return Ok(match (found.status, found.body) {
                _ if found.fingerprint.0 != fingerprint => Begun::OtherBody,
                (Some(Int(status)), Some(Text(body))) => Begun::Done { status, body },
                _ => Begun::InProgress,
            });
        }
    }

    /// Keeps the answer of a request that was begun. The first answer stays.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn finish_request(
        &self,
        account: AccountId,
        key: &str,
        status: u16,
        body: &str,
    ) -> Result<(), StoreError> {
        on!(self, db => {
            sqlx::query(FINISH)
                .bind(Text(account))
                .bind(Text(key))
                .bind(Int(status))
                .bind(Text(body))
                .execute(db)
                .await
                .map(drop)
        })?;
        Ok(())
    }

    /// Gives up a request that was begun but had no effect, so that the next one is served. An
    /// answer that is kept already stays.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn forget_request(&self, account: AccountId, key: &str) -> Result<(), StoreError> {
        on!(self, db => {
            sqlx::query(FORGET).bind(Text(account)).bind(Text(key)).execute(db).await.map(drop)
        })?;
        Ok(())
    }
}

#[derive(FromRow)]
struct Found {
    fingerprint: Text<String>,
    status: Option<Int<u16>>,
    body: Option<Text<String>>,
}

/// How long an answer is kept.
pub const KEPT_MS: i64 = 24 * 3_600_000;
/// How long a request may take before it counts as dead.
pub const SERVED_MS: i64 = 60_000;

const SWEEP: &str = "DELETE FROM request WHERE account_id = $1 AND started_at < $2";
const CLAIM: &str = "INSERT INTO request (account_id, key, fingerprint, started_at) \
    VALUES ($1, $2, $3, $4) \
    ON CONFLICT (account_id, key) DO UPDATE SET fingerprint = excluded.fingerprint, \
        started_at = excluded.started_at, status = NULL, body = NULL \
    WHERE request.started_at < $5 OR (request.status IS NULL AND request.started_at < $6)";
const FIND: &str =
    "SELECT fingerprint, status, body FROM request WHERE account_id = $1 AND key = $2";
const FINISH: &str = "UPDATE request SET status = $3, body = $4 \
    WHERE account_id = $1 AND key = $2 AND status IS NULL";
const FORGET: &str = "DELETE FROM request WHERE account_id = $1 AND key = $2 AND status IS NULL";

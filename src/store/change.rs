//! Changing the configuration of an account: a list of changes, all of them or none.
//!
//! The version of the account is checked and counted up first. That row also makes the changes of
//! one account wait for each other. References are checked at the end, so their order is free; and
//! names and DIDs are set aside before they are put, so that two rows may swap theirs.

use super::column::{Int, Text};
use super::configuration::VERSION;
use super::record::chunks;
use super::{Db, StoreError, Tx};
use crate::model::change::{Author, Changes, Forgotten, Subject};
use crate::model::id::AccountId;
use crate::model::time::Timestamp;

impl Db {
    /// Writes `changes` if the configuration still has the version `expected`; the new version, under
    /// which each of them can be read again by [`Db::changed`].
    ///
    /// A flow's `dids` are no part of it: whose a number is says the number. Deletions come first,
    /// wherever they stand in the list, and deleting what does not exist changes nothing.
    ///
    /// # Errors
    /// Nothing is written with any of them: [`StoreError::Stale`], [`StoreError::Taken`],
    /// [`StoreError::NameTaken`], [`StoreError::Dangling`] (also for an id that belongs to another
    /// account), [`StoreError::NoAccount`], [`StoreError::Unavailable`].
    pub async fn change(
        &self,
        account: AccountId,
        expected: i64,
        changes: &Changes,
        author: &Author,
        now: Timestamp,
    ) -> Result<i64, StoreError> {
        let (mut gone, mut put, mut gone_numbers, mut numbers) = (vec![], vec![], vec![], vec![]);
        let mut there = Vec::new();
        for change in &changes.changes {
            let id = id_of(account, change.subject);
            let is_number = matches!(change.subject, Subject::Number(_));
            if change.before.is_some() && !is_number {
                there.push(id.clone());
            }
            match &change.after {
                Some(after) if is_number => {
                    if change.before.is_some() {
                        gone_numbers.push(id.clone());
                    }
                    numbers.push((id, after));
                }
                Some(after) => put.push((id, change, after)),
                None if is_number => gone_numbers.push(id),
                None => gone.push(id),
            }
        }
        let mut tx = self.begin().await?;
        let version = tx.count_up(account, expected, changes.has_numbers(), now).await?;
        let unknown = tx.unknown_keys(account, &there).await?;
        tx.delete_objects(account, &gone).await?;
        tx.put_objects(account, &put, &unknown, now).await?;
        // A number that changes is a new row: so many may swap their DIDs.
        tx.for_ids("DELETE FROM number", account, "id", &gone_numbers).await?;
        tx.add_numbers(account, &numbers).await?;
        for forgotten in &changes.forgotten {
            tx.forget(account, *forgotten).await?;
        }
        tx.add_to_history(account, version, &changes.changes, &unknown, author, now).await?;
        tx.commit().await?;
        Ok(version)
    }
}

impl Tx {
    async fn count_up(
        &mut self,
        account: AccountId,
        expected: i64,
        numbers: bool,
        now: Timestamp,
    ) -> Result<i64, StoreError> {
        let version: Option<Int<i64>> = on!(in self, db => {
            sqlx::query_scalar(COUNT_UP)
                .bind(Text(account))
                .bind(Int(expected))
                .bind(Int(now))
                .bind(numbers)
                .fetch_optional(db)
                .await
        })?;
        if let Some(Int(version)) = version {
            return Ok(version);
        }
        let found: Option<Int<i64>> = on!(in self, db => {
            sqlx::query_scalar(VERSION).bind(Text(account)).fetch_optional(db).await
        })?;
        let Int(found) = found.ok_or(StoreError::NoAccount)?;
        Err(StoreError::Stale { found })
    }

    /// What routing remembers goes with what it is of.
    async fn forget(&mut self, account: AccountId, what: Forgotten) -> Result<(), StoreError> {
        let (statements, id, destination): (&[&'static str], String, _) = match what {
            Forgotten::Bindings(flow, destination) => {
                (&[FORGET_BINDINGS], flow.to_string(), Some(destination))
            }
            Forgotten::Flow(flow) => (&FORGET_FLOW, flow.to_string(), None),
            Forgotten::Volumes(of) => (&[FORGET_VOLUMES], of.to_string(), None),
        };
        for &statement in statements {
            on!(in self, db => {
                let mut query = sqlx::query(statement).bind(Text(account)).bind(Text(&id));
                if let Some(destination) = destination {
                    query = query.bind(Text(destination));
                }
                query.execute(db).await.map(drop)
            })?;
        }
        Ok(())
    }
}

/// The settings of the account have the account's own id.
pub(super) fn id_of(account: AccountId, subject: Subject) -> String {
    match subject {
        Subject::Account => account.to_string(),
        Subject::Number(id) => id.to_string(),
        Subject::Object(id) => id.to_string(),
    }
}

/// Cuts `rows` into chunks that may be bound at once; whatever their number, of few sizes.
pub(super) fn pieces<T>(rows: &[T]) -> impl Iterator<Item = &[T]> {
    let (many, few) = rows.split_at(rows.len() - rows.len() % MANY);
    many.chunks(MANY).chain(chunks(few))
}

/// With 12 columns, less than half of the 32,766 values that `SQLite` binds at once.
const MANY: usize = 1_024;

const COUNT_UP: &str = "UPDATE account SET version = version + 1, changed_at = $3, \
        numbers_version = CASE WHEN $4 THEN version + 1 ELSE numbers_version END \
    WHERE id = $1 AND version = $2 RETURNING version";

const FORGET_BINDINGS: &str =
    "DELETE FROM binding WHERE account_id = $1 AND flow_id = $2 AND destination_id = $3";
const FORGET_FLOW: [&str; 2] = [
    "DELETE FROM binding WHERE account_id = $1 AND flow_id = $2",
    "DELETE FROM wheel WHERE account_id = $1 AND flow_id = $2",
];
const FORGET_VOLUMES: &str = "DELETE FROM volume WHERE account_id = $1 AND throttled_id = $2";

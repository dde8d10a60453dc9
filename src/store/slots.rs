//! The ledger of live-call limits: which leg holds which slots, for all nodes of one database.
//!
//! A slot is a row, and the count that a limit is compared with is kept beside the rows under a lock
//! of its own: so a limit is never exceeded, not for an instant, and nothing is given back twice.
//!
//! Every transaction here does two things in this order, on both engines: it adds or removes rows of
//! `slot`, and then moves the counts of `live`, by scope in ascending order. The first makes a repeat
//! harmless, since only rows that really came or went are counted; the second keeps two transactions
//! from waiting for each other in a circle. Counting anew follows the same order: once it has locked
//! a count, whatever changed rows of it either has committed both or still has to move the count.
//!
//! What is not here: which slots a leg needs (routing), and when they are asked for (node).

use std::collections::{BTreeMap, BTreeSet};

use sqlx::{FromRow, QueryBuilder};

use super::column::{Int, Text};
use super::record::chunks;
use super::{Db, StoreError, Tx};
use crate::model::id::{AccountId, CallId, LegId};
use crate::model::slot::{Holding, Limit, Scope};
use crate::model::time::Timestamp;

/// The answer to who asks for slots.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Taken {
    /// All are held.
    Taken,
    /// None was taken, because so many of `scope` are held.
    Full { scope: Scope, live: u32, max: u32 },
}

/// What [`Db::reconcile_slots`] found to do.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Reconciled {
    /// Legs whose slots were given back, because nobody held them.
    pub released: usize,
    /// Legs whose slots were missing.
    pub inserted: usize,
    /// Counts that were not the number of their rows. Always 0 unless somebody else writes here.
    pub miscounted: usize,
}

/// A scope as the ledger counts it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Count {
    pub scope: Scope,
    pub live: u32,
    /// The limit under which a slot was last given out; `None`: without one.
    pub max: Option<u32>,
}

impl Count {
    /// More are held than the limit under which the last was given out. It never comes to that,
    /// unless legs were counted that lived already.
    #[must_use]
    pub fn is_overfull(&self) -> bool {
        self.max.is_some_and(|max| self.live > max)
    }
}

/// How many slots come or go, by scope.
type Moves = BTreeMap<Scope, i64>;

/// One count on its way.
struct Move {
    scope: Scope,
    by: i64,
    /// The limit under which it may move, or [`UNLIMITED`]; `None` where nobody is asked.
    under: Option<u32>,
}

impl Db {
    /// Takes one slot of each of `wanted.limits` for its leg, or none. Asked again for the same leg,
    /// what it holds already is not counted twice.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]; then it is not known whether they are held, and
    /// [`Db::release_slots`] makes sure that they are not.
    pub async fn take_slots(&self, node: &str, wanted: &Holding) -> Result<Taken, StoreError> {
        self.turn_over_slots(node, wanted, &[], &[]).await
    }

    /// [`Db::settle_slots`] and [`Db::take_slots`] in one: the slots that were given back may be
    /// the very ones that are taken. Where the answer is [`Taken::Full`], though, nothing of all
    /// that has happened.
    ///
    /// # Errors
    /// As [`Db::take_slots`].
    pub async fn turn_over_slots(
        &self,
        node: &str,
        wanted: &Holding,
        held: &[&Holding],
        released: &[LegId],
    ) -> Result<Taken, StoreError> {
        let mut tx = self.begin().await?;
        let mut moves = negative(tx.delete_slots(released).await?);
        add(&mut moves, tx.insert_slots(node, held).await?);
        let new = tx.insert_slots(node, &[wanted]).await?;
        let is_new = |limit: &&Limit| new.contains_key(&limit.scope);
        let under = |limit: &Limit| (limit.scope, limit.max.unwrap_or(UNLIMITED));
        let max: BTreeMap<Scope, u32> = wanted.limits.iter().filter(is_new).map(under).collect();
        add(&mut moves, new);
        let moves: Vec<Move> = moves
            .into_iter()
            .map(|(scope, by)| Move { scope, by, under: max.get(&scope).copied() })
            .filter(|one| one.under.map_or(one.by != 0, |max| max > 0))
            .collect();
        let moved = tx.admit(&moves).await?;
        let refused =
            |limit: &&Limit| max.contains_key(&limit.scope) && !moved.contains(&limit.scope);
        let Some(&Limit { scope, max }) = wanted.limits.iter().find(refused) else {
            tx.commit().await?;
            return Ok(Taken::Taken);
        };
        let live = tx.live(scope).await?;
        // Dropped without a commit.
        Ok(Taken::Full { scope, live, max: max.unwrap_or_default() })
    }

    /// Gives back all that those in `released` hold, and then counts legs that live already, whatever
    /// the limits say.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]; it may be repeated.
    pub async fn settle_slots(
        &self,
        node: &str,
        held: &[&Holding],
        released: &[LegId],
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        tx.settle_slots(node, held, released).await?;
        tx.commit().await
    }

    /// Gives back all that `legs` hold. A second time is nothing.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]; it may be repeated.
    pub async fn release_slots(&self, legs: &[LegId]) -> Result<(), StoreError> {
        self.settle_slots("", &[], legs).await
    }

    /// Makes the ledger say what is true of `node`: exactly `holders` hold slots there. What is
    /// missing is added over any limit, since those legs are alive in Asterisk; and all counts are
    /// made anew from the rows. Nobody else may take or release for the node in the meantime.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]; it may be repeated.
    pub async fn reconcile_slots(
        &self,
        node: &str,
        holders: &[Holding],
    ) -> Result<Reconciled, StoreError> {
        let mut tx = self.begin().await?;
        let mut held: BTreeMap<LegId, BTreeSet<Scope>> = BTreeMap::new();
        for (leg, scope) in tx.slots_of(node).await? {
            held.entry(leg).or_default().insert(scope);
        }
        let mut missing = Vec::new();
        for holder in holders {
            let scopes = holder.limits.iter().map(|limit| limit.scope).collect();
            match held.remove(&holder.leg) {
                Some(known) if known == scopes => {}
                Some(known) => {
                    held.insert(holder.leg, known);
                    missing.push(holder);
                }
                None => missing.push(holder),
            }
        }
        let gone: Vec<LegId> = held.into_keys().collect();
        let is_kept = |leg: &&LegId| missing.iter().any(|holder| holder.leg == **leg);
        let released = gone.len() - gone.iter().filter(is_kept).count();
        let inserted = missing.len();
        // As for everybody else: first the rows, then the counts.
        let mut moves = negative(tx.delete_slots(&gone).await?);
        add(&mut moves, tx.insert_slots(node, &missing).await?);
        for scope in tx.scopes().await? {
            moves.entry(scope).or_default();
        }
        tx.move_live(&moves).await?;
        let miscounted = tx.recount().await?;
        tx.commit().await?;
        Ok(Reconciled { released, inserted, miscounted })
    }

    /// Gives back the slots that are past their time, of whichever node: their legs are over, and
    /// nobody was left to say so. Says how many there were.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`]; it may be repeated.
    pub async fn expire_slots(&self, now: Timestamp) -> Result<u64, StoreError> {
        const EXPIRE: &str = "DELETE FROM slot WHERE expires_at <= $1 RETURNING scope";
        let mut tx = self.begin().await?;
        let gone: Vec<Text<Scope>> = on!(in &mut tx, db => {
            sqlx::query_scalar(EXPIRE).bind(Int(now)).fetch_all(db).await
        })?;
        let count = gone.len() as u64;
        tx.move_live(&negative(tally(gone))).await?;
        tx.commit().await?;
        Ok(count)
    }

    /// Gives back all slots of a node and forgets it: only for somebody who knows that none of its
    /// calls lives. Says how many slots there were; `None` for a node that nobody knows.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn forget_node(&self, node: &str) -> Result<Option<u64>, StoreError> {
        const GIVE_BACK: &str = "DELETE FROM slot WHERE node = $1 RETURNING scope";
        const FORGET: &str = "DELETE FROM node WHERE name = $1 RETURNING name";
        let mut tx = self.begin().await?;
        let known: Option<Text<String>> = on!(in &mut tx, db => {
            sqlx::query_scalar(FORGET).bind(Text(node)).fetch_optional(db).await
        })?;
        let gone: Vec<Text<Scope>> = on!(in &mut tx, db => {
            sqlx::query_scalar(GIVE_BACK).bind(Text(node)).fetch_all(db).await
        })?;
        if known.is_none() && gone.is_empty() {
            return Ok(None);
        }
        let count = gone.len() as u64;
        tx.move_live(&negative(tally(gone))).await?;
        tx.commit().await?;
        Ok(Some(count))
    }

    /// How many slots the calls of `account` hold, by scope.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn live_counts(
        &self,
        account: AccountId,
    ) -> Result<BTreeMap<Scope, u32>, StoreError> {
        const COUNT: &str = "SELECT scope, COUNT(*) FROM slot WHERE account_id = $1 GROUP BY scope";
        let rows: Vec<(Text<Scope>, Int<u32>)> = on!(self, db => {
            sqlx::query_as(COUNT).bind(Text(account)).fetch_all(db).await
        })?;
        Ok(rows.into_iter().map(|(Text(scope), Int(live))| (scope, live)).collect())
    }

    /// What each leg of `node` holds.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn slots_of(
        &self,
        node: &str,
    ) -> Result<BTreeMap<LegId, BTreeSet<Scope>>, StoreError> {
        let mut tx = self.snapshot().await?;
        let mut held: BTreeMap<LegId, BTreeSet<Scope>> = BTreeMap::new();
        for (leg, scope) in tx.slots_of(node).await? {
            held.entry(leg).or_default().insert(scope);
        }
        Ok(held)
    }

    /// Every scope of which a slot was ever taken, as the ledger counts it for all accounts.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn counts(&self) -> Result<Vec<Count>, StoreError> {
        const FIND: &str = "SELECT scope, live, max FROM live ORDER BY scope";
        let rows: Vec<CountRow> = on!(self, db => sqlx::query_as(FIND).fetch_all(db).await)?;
        let count = |row: CountRow| Count {
            scope: row.scope.0,
            live: row.live.0,
            max: row.max.map(|Int(max)| max).filter(|max| *max != UNLIMITED),
        };
        Ok(rows.into_iter().map(count).collect())
    }
}

impl Tx {
    /// Removes and adds, and counts what really came and went.
    pub(super) async fn settle_slots(
        &mut self,
        node: &str,
        held: &[&Holding],
        released: &[LegId],
    ) -> Result<(), StoreError> {
        let mut moves = negative(self.delete_slots(released).await?);
        add(&mut moves, self.insert_slots(node, held).await?);
        moves.retain(|_, by| *by != 0);
        self.move_live(&moves).await
    }

    /// Says of which scopes rows were added: those that were there already are not among them.
    async fn insert_slots(&mut self, node: &str, held: &[&Holding]) -> Result<Moves, StoreError> {
        let rows: Vec<(&Holding, Scope)> = held
            .iter()
            .flat_map(|held| held.limits.iter().map(|limit| (*held, limit.scope)))
            .collect();
        let mut added = Vec::with_capacity(rows.len());
        for rows in pieces(&rows) {
            let new: Vec<Text<Scope>> = on!(in self, db => {
                let mut query = QueryBuilder::new(ADD_SLOTS);
                query.push_values(rows, |mut row, (held, scope)| {
                    row.push_bind(Text(held.leg.call))
                        .push_bind(Int(held.leg.no))
                        .push_bind(Text(*scope))
                        .push_bind(Text(held.account))
                        .push_bind(Text(node))
                        .push_bind(Int(held.taken_at))
                        .push_bind(Int(held.expires_at));
                });
                query.push(" ON CONFLICT (call_id, no, scope) DO NOTHING RETURNING scope");
                query.build_query_scalar().fetch_all(db).await
            })?;
            added.extend(new);
        }
        Ok(tally(added))
    }

    async fn delete_slots(&mut self, legs: &[LegId]) -> Result<Moves, StoreError> {
        let mut gone = Vec::new();
        for legs in pieces(legs) {
            let old: Vec<Text<Scope>> = on!(in self, db => {
                let mut query =
                    QueryBuilder::new("DELETE FROM slot WHERE (call_id, no) IN (");
                query.push_values(legs, |mut row, leg| {
                    row.push_bind(Text(leg.call)).push_bind(Int(leg.no));
                });
                query.push(") RETURNING scope");
                query.build_query_scalar().fetch_all(db).await
            })?;
            gone.extend(old);
        }
        Ok(tally(gone))
    }

    /// Moves counts, in ascending order of scope, and returns those that moved: the others have no
    /// room.
    async fn admit(&mut self, moves: &[Move]) -> Result<BTreeSet<Scope>, StoreError> {
        let mut moved = BTreeSet::new();
        for moves in pieces(moves) {
            let rows: Vec<Text<Scope>> = on!(in self, db => {
                let mut query = QueryBuilder::new("INSERT INTO live (scope, live, max) ");
                query.push_values(moves, |mut row, one| {
                    row.push_bind(Text(one.scope))
                        .push_bind(Int(one.by))
                        .push_bind(one.under.map(Int));
                });
                query.push(ADMIT).build_query_scalar().fetch_all(db).await
            })?;
            moved.extend(rows.into_iter().map(|Text(scope)| scope));
        }
        Ok(moved)
    }

    /// Moves counts; a move by 0 only locks one.
    async fn move_live(&mut self, moves: &Moves) -> Result<(), StoreError> {
        let moves: Vec<(Scope, i64)> = moves.iter().map(|(scope, by)| (*scope, *by)).collect();
        for moves in pieces(&moves) {
            on!(in self, db => {
                let mut query = QueryBuilder::new("INSERT INTO live (scope, live) ");
                query.push_values(moves, |mut row, (scope, by)| {
                    row.push_bind(Text(*scope)).push_bind(Int(*by));
                });
                query.push(MOVE_LIVE).build().execute(db).await.map(drop)
            })?;
        }
        Ok(())
    }

    /// Sets every count, all of which must be locked, to the number of its rows; says how many were
    /// wrong.
    async fn recount(&mut self) -> Result<usize, StoreError> {
        const RECOUNT: &str = "UPDATE live \
            SET live = (SELECT COUNT(*) FROM slot WHERE slot.scope = live.scope) \
            WHERE live <> (SELECT COUNT(*) FROM slot WHERE slot.scope = live.scope) \
            RETURNING scope";
        let wrong: Vec<Text<Scope>> =
            on!(in self, db => sqlx::query_scalar(RECOUNT).fetch_all(db).await)?;
        Ok(wrong.len())
    }

    async fn scopes(&mut self) -> Result<Vec<Scope>, StoreError> {
        const SCOPES: &str = "SELECT scope FROM live";
        let rows: Vec<Text<Scope>> =
            on!(in self, db => sqlx::query_scalar(SCOPES).fetch_all(db).await)?;
        Ok(rows.into_iter().map(|Text(scope)| scope).collect())
    }

    async fn slots_of(&mut self, node: &str) -> Result<Vec<(LegId, Scope)>, StoreError> {
        const FIND: &str = "SELECT call_id, no, scope FROM slot WHERE node = $1";
        let rows: Vec<(Text<CallId>, Int<u16>, Text<Scope>)> = on!(in self, db => {
            sqlx::query_as(FIND).bind(Text(node)).fetch_all(db).await
        })?;
        let slot = |(Text(call), Int(no), Text(scope))| (LegId { call, no }, scope);
        Ok(rows.into_iter().map(slot).collect())
    }

    async fn live(&mut self, scope: Scope) -> Result<u32, StoreError> {
        const LIVE: &str = "SELECT live FROM live WHERE scope = $1";
        let live: Option<Int<u32>> = on!(in self, db => {
            sqlx::query_scalar(LIVE).bind(Text(scope)).fetch_optional(db).await
        })?;
        Ok(live.map_or(0, |Int(live)| live))
    }
}

/// What one leg needs goes in one statement, whatever its number; more is cut as everywhere.
fn pieces<T>(rows: &[T]) -> impl Iterator<Item = &[T]> {
    let (whole, rest) = if rows.len() <= ONE_LEG { (rows, &rows[..0]) } else { (&rows[..0], rows) };
    std::iter::once(whole).filter(|rows| !rows.is_empty()).chain(chunks(rest))
}

#[derive(FromRow)]
struct CountRow {
    scope: Text<Scope>,
    live: Int<u32>,
    max: Option<Int<u32>>,
}

fn tally(scopes: Vec<Text<Scope>>) -> Moves {
    let mut moves = Moves::new();
    for Text(scope) in scopes {
        *moves.entry(scope).or_default() += 1;
    }
    moves
}

fn add(moves: &mut Moves, more: Moves) {
    for (scope, by) in more {
        *moves.entry(scope).or_default() += by;
    }
}

fn negative(moves: Moves) -> Moves {
    moves.into_iter().map(|(scope, by)| (scope, -by)).collect()
}

/// No limit, in the column `max`: NULL says that a move asks nobody.
const UNLIMITED: u32 = u32::MAX;
/// More scopes than a leg has.
const ONE_LEG: usize = 8;

const ADD_SLOTS: &str =
    "INSERT INTO slot (call_id, no, scope, account_id, node, taken_at, expires_at) ";
const ADMIT: &str = " ON CONFLICT (scope) DO UPDATE \
    SET live = live.live + excluded.live, max = COALESCE(excluded.max, live.max) \
    WHERE excluded.max IS NULL OR live.live + excluded.live <= excluded.max RETURNING scope";
const MOVE_LIVE: &str = " ON CONFLICT (scope) DO UPDATE SET live = live.live + excluded.live";

//! What a node remembers from one process to the next.

use std::collections::BTreeMap;

use super::column::{Int, Text};
use super::{Db, StoreError, Tx};
use crate::model::id::InstallationId;
use crate::model::time::Timestamp;

/// A node as the database knows it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NodeUse {
    pub name: String,
    /// How many legs hold slots in its name.
    pub legs: u32,
    /// When the last of them is given back by itself, should the node never be heard of again.
    pub until: Option<Timestamp>,
    /// When its process last said that it runs, whether or not Asterisk was there.
    pub alive_at: Option<Timestamp>,
}

impl NodeUse {
    /// It said so lately that it runs that it is taken to do so still: nobody may forget it. `now` is
    /// what the wall clock says, for the node may be on another machine.
    #[must_use]
    pub fn is_serving(&self, now: Timestamp) -> bool {
        self.alive_at.is_some_and(|at| now.since_ms(at) < SERVING_MS)
    }
}

/// How long after its last sign of life a node is taken to run, in milliseconds.
pub const SERVING_MS: i64 = 30_000;

impl Db {
    /// Every node that ever ran on this database or holds slots there, by name.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn nodes(&self) -> Result<Vec<NodeUse>, StoreError> {
        const NAMES: &str = "SELECT name, alive_at FROM node";
        const LEGS: &str = "SELECT node, COUNT(*), MAX(expires_at) \
            FROM (SELECT node, call_id, no, MAX(expires_at) AS expires_at FROM slot \
                  GROUP BY node, call_id, no) AS leg GROUP BY node";
        let names: Vec<(Text<String>, Option<Int<Timestamp>>)> =
            on!(self, db => sqlx::query_as(NAMES).fetch_all(db).await)?;
        let legs: Vec<(Text<String>, Int<u32>, Int<Timestamp>)> =
            on!(self, db => sqlx::query_as(LEGS).fetch_all(db).await)?;
        let mut nodes: BTreeMap<String, NodeUse> = names
            .into_iter()
            .map(|(Text(name), alive_at)| {
                let alive_at = alive_at.map(|Int(at)| at);
                (name.clone(), NodeUse { name, legs: 0, until: None, alive_at })
            })
            .collect();
        for (Text(name), Int(legs), Int(until)) in legs {
            let node = NodeUse { name: name.clone(), legs: 0, until: None, alive_at: None };
            let node = nodes.entry(name).or_insert(node);
            (node.legs, node.until) = (legs, Some(until));
        }
        Ok(nodes.into_values().collect())
    }

    /// Which database this is; `fresh` becomes its id if it has none yet.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn installation(&self, fresh: InstallationId) -> Result<InstallationId, StoreError> {
        const MAKE: &str =
            "INSERT INTO installation (place, id) VALUES (1, $1) ON CONFLICT (place) DO NOTHING";
        const FIND: &str = "SELECT id FROM installation WHERE place = 1";
        on!(self, db => {
            sqlx::query(MAKE).bind(fresh.to_string()).execute(db).await.map(drop)
        })?;
        let Text(id): Text<InstallationId> =
            on!(self, db => sqlx::query_scalar(FIND).fetch_one(db).await)?;
        Ok(id)
    }

    /// When the Asterisk that `node` was connected to last had been started.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn startup(&self, node: &str) -> Result<Option<String>, StoreError> {
        const FIND: &str = "SELECT asterisk_startup FROM node WHERE name = $1";
        let found: Option<Option<String>> = on!(self, db => {
            sqlx::query_scalar(FIND).bind(node).fetch_optional(db).await
        })?;
        Ok(found.flatten())
    }

    /// Up to which moment `node` heard all that happened in its Asterisk.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`].
    pub async fn heard_at(&self, node: &str) -> Result<Option<Timestamp>, StoreError> {
        const FIND: &str = "SELECT heard_at FROM node WHERE name = $1";
        let found: Option<Option<Int<Timestamp>>> = on!(self, db => {
            sqlx::query_scalar(FIND).bind(node).fetch_optional(db).await
        })?;
        Ok(found.flatten().map(|Int(at)| at))
    }
}

impl Tx {
    pub(super) async fn remember_startup(
        &mut self,
        node: &str,
        startup: &str,
    ) -> Result<(), StoreError> {
        const KEEP: &str = "INSERT INTO node (name, asterisk_startup) VALUES ($1, $2) \
            ON CONFLICT (name) DO UPDATE SET asterisk_startup = excluded.asterisk_startup";
        on!(in self, db => {
            sqlx::query(KEEP).bind(Text(node)).bind(Text(startup)).execute(db).await.map(drop)
        })?;
        Ok(())
    }

    /// That the process of `node` ran at that moment, also before it ever reached its Asterisk.
    pub(super) async fn remember_alive(
        &mut self,
        node: &str,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        const KEEP: &str = "INSERT INTO node (name, alive_at) VALUES ($1, $2) \
            ON CONFLICT (name) DO UPDATE SET alive_at = excluded.alive_at";
        on!(in self, db => {
            sqlx::query(KEEP).bind(Text(node)).bind(Int(at)).execute(db).await.map(drop)
        })?;
        Ok(())
    }

    /// Of a node that is known already.
    pub(super) async fn remember_heard(
        &mut self,
        node: &str,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        const KEEP: &str = "UPDATE node SET heard_at = $2 WHERE name = $1";
        on!(in self, db => {
            sqlx::query(KEEP).bind(Text(node)).bind(Int(at)).execute(db).await.map(drop)
        })?;
        Ok(())
    }
}

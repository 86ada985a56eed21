//! What an action holds in its hands while it runs: its part of the group's transaction.

use std::sync::Arc;

use super::link::Link;
use crate::database::{Failure, Limit};
use crate::value::{Rows, Value};

/// See [`crate::database::Transaction`].
pub(in crate::database) struct Transaction<'a> {
    link: &'a mut Link,
    /// Whether it has run a statement. The first comes in time: the action's time has just begun.
    asked: bool,
}

impl<'a> Transaction<'a> {
    pub(super) fn of(link: &'a mut Link) -> Transaction<'a> {
        Transaction { link, asked: false }
    }

    /// See [`crate::database::Transaction::query`].
    pub(in crate::database) fn query(&mut self, sql: &str, binds: &[Value], limit: Limit) -> Result<Rows, Failure> {
        self.ready()?;
        self.link.query(sql, binds, limit)
    }

    /// See [`crate::database::Queries::recall`].
    pub(in crate::database) fn recall(
        &mut self,
        sql: &'static str,
        key: &[u8],
        limit: Limit,
    ) -> Result<Arc<Rows>, Failure> {
        self.is_open()?;
        if let Some(rows) = self.link.recall.get(sql, key) {
            return Ok(rows);
        }
        let rows = Arc::new(self.query(sql, &[Value::Blob(Arc::from(key))], limit)?);
        self.link.recall.keep(sql, key, &rows);
        Ok(rows)
    }

    /// Whether a statement may run.
    fn ready(&mut self) -> Result<(), Failure> {
        self.is_open()?;
        match std::mem::replace(&mut self.asked, true) && self.link.gate.is_late() {
            true => Err(Failure::Deadline),
            false => Ok(()),
        }
    }

    /// Outside of the transaction each statement would commit by itself.
    fn is_open(&self) -> Result<(), Failure> {
        match self.link.is_autocommit() {
            true => Err(Failure::broken("the transaction was rolled back")),
            false => Ok(()),
        }
    }

    /// Runs a statement of the server's own.
    pub(in crate::database) fn own(&mut self, sql: &str) -> Result<(), Failure> {
        self.is_open()?;
        self.link.own(sql).map(drop)
    }
}

//! SQLite, embedded.

use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use super::migrations::{Migration, Status};
use super::*;

/// One read snapshot.
pub struct Snapshot<'a> {
    nothing: PhantomData<&'a ()>,
}

impl Snapshot<'_> {
    /// Runs one query with its placeholders bound to `binds` in their order (a list is bound as a JSON array).
    ///
    /// # Errors
    /// Any [`Failure`]; after [`Failure::Deadline`] every further query fails so, too.
    pub fn query(&mut self, _sql: &str, _binds: &[Value], _limit: impl Into<Limit>) -> Result<Rows, Failure> {
        unimplemented!()
    }

    /// Like [`Snapshot::query`], for work that has this one query only: it saves opening a transaction around it.
    ///
    /// # Errors
    /// As [`Snapshot::query`].
    pub fn only(&mut self, _sql: &str, _binds: &[Value], _limit: impl Into<Limit>) -> Result<Rows, Failure> {
        unimplemented!()
    }

    /// Whether a query of this snapshot asked for the time (`datetime('now')`, `current_timestamp`).
    pub fn read_the_clock(&self) -> bool {
        unimplemented!()
    }
}

/// One action's part of the writer's transaction.
pub struct Transaction<'a> {
    nothing: PhantomData<&'a ()>,
}

impl Transaction<'_> {
    /// Runs one statement, reading or writing, with its placeholders bound to `binds` in their order.
    /// [`Rows::changed`] tells the rows that it changed by itself (not through triggers and cascades).
    ///
    /// # Errors
    /// Any [`Failure`]. After one that ended the transaction every further statement fails.
    pub fn query(&mut self, _sql: &str, _binds: &[Value], _limit: impl Into<Limit>) -> Result<Rows, Failure> {
        unimplemented!()
    }
}

/// The answer of an action to come; a future. Dropping it does not stop the action.
pub struct Written<T, E> {
    nothing: PhantomData<fn() -> (T, E)>,
}

impl<T, E: From<Failure>> Written<T, E> {
    /// Blocks the calling thread until the answer is there; not for threads that drive a runtime.
    ///
    /// # Errors
    /// As the future.
    pub fn wait(self) -> Result<T, E> {
        unimplemented!()
    }
}

impl<T, E: From<Failure>> Future for Written<T, E> {
    type Output = Result<T, E>;
    fn poll(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<Result<T, E>> {
        unimplemented!()
    }
}

pub(super) struct Sqlite {}

impl Sqlite {
    pub(super) fn open(_options: &Options, _keep: Option<()>) -> Result<Sqlite, Problem> {
        unimplemented!()
    }
    pub(super) fn scratch(_clock: &Clock) -> Result<Sqlite, Problem> {
        unimplemented!()
    }
    pub(super) fn describe(&self, _sql: &str) -> Result<Description, SqlFault> {
        unimplemented!()
    }
    pub(super) fn tables(&self) -> Vec<String> {
        unimplemented!()
    }
    pub(super) fn columns_of(&self, _table: &str) -> Vec<String> {
        unimplemented!()
    }
    pub(super) fn here<T, E: From<Failure>>(
        &self,
        _limit: Duration,
        _work: impl FnOnce(&mut Snapshot) -> Result<T, E>,
    ) -> Result<T, E> {
        unimplemented!()
    }
    pub(super) fn apart<T, E, W>(
        &self,
        _limit: Duration,
        _work: W,
    ) -> impl Future<Output = Result<T, E>> + Send + use<T, E, W>
    where
        T: Send + 'static,
        E: From<Failure> + Send + 'static,
        W: FnOnce(&mut Snapshot) -> Result<T, E> + Send + 'static,
    {
        async { unimplemented!() }
    }
    pub(super) fn is_slow(&self, _sql: &str) -> bool {
        unimplemented!()
    }
    pub(super) fn write<T, E>(
        &self,
        _work: impl FnMut(&mut Transaction) -> Result<T, E> + Send + 'static,
    ) -> Written<T, E> {
        unimplemented!()
    }
    pub(super) fn close(&self) {}
    pub(super) fn migration_status(&self, _migrations: &[Migration]) -> Result<Vec<Status>, crate::problem::Fault> {
        unimplemented!()
    }
    pub(super) fn migrate(&self, _migrations: &[Migration]) -> Result<Vec<Status>, crate::problem::Fault> {
        unimplemented!()
    }
}

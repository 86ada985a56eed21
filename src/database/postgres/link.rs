//! A link: one connection with its prepared statements. It sends several steps at once and reads their answers in
//! order.
//!
//! What was sent and not yet answered is known at every moment, so that a link whose user went away in the middle is
//! never used again. Who opens transactions, and when, is not decided here. PostgreSQL documentation, chapter
//! "Frontend/Backend Protocol", "Extended Query" and "Pipelining".

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use bytes::BytesMut;
use fallible_iterator::FallibleIterator;
use postgres_protocol::IsNull;
use postgres_protocol::message::backend::{DataRowBody, Message};
use postgres_protocol::message::frontend::{self, BindError};

use super::connect::{self, CancelKey, unexpected};
use super::decode::Shape;
use super::encode;
use super::failure::Trouble;
use super::statement::{Statement, Statements};
use super::wire::Wire;
use super::{Plan, Role};
use crate::database::{Failure, Limit};
use crate::value::{Declared, Rows, Value};

/// One step of what is sent at once.
pub(super) enum Step<'a> {
    /// A statement of our own without placeholders, such as `begin`; its columns come as text.
    Own(&'a str),
    /// A prepared statement of the site's author.
    Run {
        /// The statement, prepared on this link.
        statement: &'a Statement,
        /// As many values as it has placeholders.
        binds: &'a [Value],
        /// How many rows it may give.
        limit: Limit,
    },
}

/// Why a batch of steps ended early, and what came before. The steps after it were not run.
#[derive(Debug)]
pub(super) struct Stop {
    /// The answers of the steps before the one that ended it.
    pub(super) done: Vec<Result<Rows, Failure>>,
    /// What happened.
    pub(super) trouble: Trouble,
}

/// What the server says about its transaction with each `ReadyForQuery`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// No transaction is open.
    Idle,
    /// One is open.
    Open,
    /// One is open and can only be rolled back.
    Failed,
}

/// One connection and what belongs to it.
pub(super) struct Link {
    pub(super) wire: Wire,
    pub(super) plan: Arc<Plan>,
    pub(super) key: CancelKey,
    pub(super) statements: Statements,
    /// Shapes of types that had to be looked up.
    pub(super) shapes: HashMap<u32, Shape>,
    /// In which life of the server it was opened; empty where that can't be told. See [`Link::ask_life`].
    pub(super) life: Option<Arc<str>>,
    standing: Standing,
    /// `ReadyForQuery` messages that nobody has waited for: of a `commit` whose answer nobody needs.
    owed: usize,
    /// Whether answers are still to come that somebody waited for, and no longer does.
    unanswered: bool,
}

impl Link {
    /// Opens a connection.
    pub(super) async fn open(plan: &Arc<Plan>, role: Role) -> Result<Link, Trouble> {
        let opened = connect::open(plan, role).await?;
        Ok(Link {
            wire: opened.wire,
            key: opened.key,
            plan: Arc::clone(plan),
            statements: Statements::new(plan.limits.statements),
            shapes: HashMap::new(),
            life: None,
            standing: Standing::Idle,
            owed: 0,
            unanswered: false,
        })
    }

    /// Whether the next user finds it as if new: no transaction, nothing that still answers the last one.
    pub(super) fn is_clean(&self) -> bool {
        !self.unanswered && self.standing == Standing::Idle
    }

    /// Whether the server may still work for somebody who no longer waits.
    pub(super) fn is_working(&self) -> bool {
        self.unanswered
    }

    /// What is known about its transaction.
    pub(super) fn standing(&self) -> Standing {
        self.standing
    }

    /// Runs SQL text of our own, also several statements, by the simple protocol; gives the rows of the last query with
    /// all columns as text.
    pub(super) async fn simple(&mut self, sql: &str) -> Result<Rows, Trouble> {
        frontend::query(sql, &mut self.wire.outgoing)?;
        self.send().await?;
        let mut rows = Rows::default();
        let result = loop {
            match self.wire.receive().await {
                Ok(Message::RowDescription(body)) => {
                    let columns = body.fields().map(|field| Ok(Arc::from(field.name()))).collect::<Vec<_>>()?;
                    rows = Rows { columns: columns.into(), ..Rows::default() };
                }
                Ok(Message::DataRow(body)) => read_row(&body, |_, sent| text_cell(sent), &mut rows)?,
                Ok(Message::CommandComplete(body)) => rows.changed = changed(body.tag()?),
                Ok(Message::EmptyQueryResponse) => {}
                Ok(Message::ReadyForQuery(body)) => {
                    self.ready(body.status());
                    return Ok(rows);
                }
                Ok(_) => return Err(unexpected()),
                Err(trouble) => break trouble,
            }
        };
        self.recover(result).await
    }

    /// Learns in which life of the server this link was opened, once. A crash begins a new life, a proper restart
    /// doesn't; neither does a link outlive one. After a crash the numbers of transactions that left no trace on the disk
    /// are given out again. PostgreSQL throws its statistics away then, and tells when it did.
    pub(super) async fn ask_life(&mut self) -> Result<Arc<str>, Trouble> {
        if let Some(life) = &self.life {
            return Ok(Arc::clone(life));
        }
        let life = match self.simple("select stats_reset from pg_catalog.pg_stat_bgwriter").await {
            Ok(rows) => Arc::from(rows.cells.first().and_then(Value::as_str).unwrap_or("")),
            Err(Trouble::Server(_)) => Arc::from(""),
            Err(trouble) => return Err(trouble),
        };
        self.life = Some(Arc::clone(&life));
        Ok(life)
    }

    /// Runs steps in their order, all sent at once; one that fails ends the batch.
    ///
    /// In the rows of [`Step::Own`] all cells are text. A limit of rows that is passed is the answer of its own step
    /// and ends nothing.
    pub(super) async fn run(&mut self, steps: &[Step<'_>]) -> Result<Vec<Result<Rows, Failure>>, Stop> {
        let mut done = Vec::with_capacity(steps.len());
        match self.run_into(steps, &mut done).await {
            Ok(()) => Ok(done),
            Err(trouble) => Err(Stop { done, trouble }),
        }
    }

    async fn run_into(&mut self, steps: &[Step<'_>], done: &mut Vec<Result<Rows, Failure>>) -> Result<(), Trouble> {
        let (sent, refused) = self.write_steps(steps);
        frontend::sync(&mut self.wire.outgoing);
        self.send().await?;
        self.read_answers(&steps[..sent], done).await?;
        refused.map_or(Ok(()), Err)
    }

    /// Reads the answers of steps, and on to where the server takes the next question.
    async fn read_answers(&mut self, steps: &[Step<'_>], done: &mut Vec<Result<Rows, Failure>>) -> Result<(), Trouble> {
        for step in steps {
            match self.answer(step).await {
                Ok(result) => done.push(result),
                Err(trouble) => return self.recover(trouble).await,
            }
        }
        match self.wire.receive().await {
            Ok(Message::ReadyForQuery(body)) => self.ready(body.status()),
            Ok(_) => return Err(unexpected()),
            // A deferred rule that is broken at the end of a statement outside a transaction.
            Err(trouble) => {
                done.pop();
                return self.recover(trouble).await;
            }
        }
        Ok(())
    }

    /// Writes steps up to the first that can't be sent; how many, and why that one can't.
    fn write_steps(&mut self, steps: &[Step<'_>]) -> (usize, Option<Trouble>) {
        for (index, step) in steps.iter().enumerate() {
            let whole = self.wire.outgoing.len();
            if let Err(trouble) = self.write_step(step) {
                self.wire.outgoing.truncate(whole);
                return (index, Some(trouble));
            }
        }
        (steps.len(), None)
    }

    /// Writes steps that are to be run apart from others that are sent with them; whether that could be done.
    pub(super) fn write_apart(&mut self, steps: &[Step<'_>]) -> bool {
        let whole = self.wire.outgoing.len();
        let (_, refused) = self.write_steps(steps);
        match refused {
            None => frontend::sync(&mut self.wire.outgoing),
            Some(_) => self.wire.outgoing.truncate(whole),
        }
        refused.is_none()
    }

    /// Reads the answers of steps that were written by [`Link::write_apart`], in the order in which that was done. After
    /// an error of the server the answers of the others are still to be read.
    pub(super) async fn read_apart(
        &mut self,
        steps: &[Step<'_>],
        is_last: bool,
    ) -> Result<Vec<Result<Rows, Failure>>, Trouble> {
        let mut done = Vec::with_capacity(steps.len());
        let read = self.read_answers(steps, &mut done).await;
        self.unanswered |= !is_last;
        read.map(|()| done)
    }

    /// Sends a statement whose answer nobody needs, such as the `commit` of a snapshot; the next use passes it over.
    pub(super) async fn send_and_forget(&mut self, sql: &str) -> Result<(), Trouble> {
        frontend::query(sql, &mut self.wire.outgoing)?;
        self.unanswered = true;
        self.wire.flush().await?;
        self.owed += 1;
        self.unanswered = false;
        self.standing = Standing::Idle;
        Ok(())
    }

    /// Prepares a statement, or finds it prepared.
    pub(super) async fn prepare(&mut self, sql: &str, kinds: &[Declared]) -> Result<Rc<Statement>, Trouble> {
        match self.statements.get(sql, kinds) {
            Some(statement) => Ok(statement),
            None => super::statement::prepare(self, sql, kinds).await,
        }
    }

    /// Forgets all prepared statements, and rolls back what is open.
    pub(super) async fn forget_statements(&mut self) -> Result<(), Trouble> {
        self.statements.clear();
        self.simple("rollback; deallocate all").await.map(drop)
    }

    /// Sends what was gathered, and reads what the last user left.
    pub(super) async fn send(&mut self) -> Result<(), Trouble> {
        self.unanswered = true;
        self.wire.flush().await?;
        while self.owed > 0 {
            match self.wire.receive().await {
                Ok(Message::ReadyForQuery(body)) if body.status() == b'I' => self.owed -= 1,
                Ok(Message::ReadyForQuery(_)) => return Err(Trouble::Lost("a transaction did not end".to_string())),
                Ok(_) | Err(Trouble::Server(_)) => {}
                Err(trouble) => return Err(trouble),
            }
        }
        Ok(())
    }

    /// After an error of the server: reads on to where it takes the next question. Gives the error back.
    pub(super) async fn recover<T>(&mut self, trouble: Trouble) -> Result<T, Trouble> {
        if matches!(trouble, Trouble::Server(_)) {
            loop {
                if let Message::ReadyForQuery(body) = self.wire.receive().await? {
                    self.ready(body.status());
                    break;
                }
            }
        }
        Err(trouble)
    }

    /// All that was asked has been answered.
    pub(super) fn ready(&mut self, status: u8) {
        self.unanswered = false;
        self.standing = match status {
            b'I' => Standing::Idle,
            b'T' => Standing::Open,
            _ => Standing::Failed,
        };
    }

    fn write_step(&mut self, step: &Step<'_>) -> Result<(), Trouble> {
        let out = &mut self.wire.outgoing;
        match step {
            Step::Own(sql) => {
                frontend::parse("", sql, [], out)?;
                write_bind("", &[], &[], &[], out)?;
                frontend::execute("", 0, out)?;
            }
            Step::Run { statement, binds, limit } => {
                if binds.len() != statement.parameters.len() {
                    let (takes, given) = (statement.parameters.len(), binds.len());
                    let message = format!("the statement takes {takes} values, {given} were given");
                    return Err(Trouble::Refused(Failure::broken(message)));
                }
                write_bind(&statement.name, &statement.parameters, binds, &statement.formats, out)?;
                // One more than wanted tells whether there are more; the server stops there.
                let (Limit::AtMost(rows) | Limit::First(rows)) = *limit;
                frontend::execute("", i32::try_from(rows.saturating_add(1)).unwrap_or(0), out)?;
            }
        }
        Ok(())
    }

    /// Reads the answer of one step.
    async fn answer(&mut self, step: &Step<'_>) -> Result<Result<Rows, Failure>, Trouble> {
        let (most, bytes) = (step.limit(), self.plan.limits.result_bytes);
        let (mut rows, mut size, mut count) = (Rows::default(), 0, 0_usize);
        if let Step::Run { statement, .. } = step {
            rows.columns = Arc::clone(&statement.columns);
        }
        loop {
            match self.wire.receive().await? {
                Message::ParseComplete | Message::BindComplete => {}
                Message::DataRow(_) if most.is_some_and(|(Limit::AtMost(most) | Limit::First(most))| count >= most) => {
                    count += 1;
                }
                Message::DataRow(body) => {
                    count += 1;
                    size += body.buffer().len();
                    if size > bytes {
                        return Err(Trouble::Refused(Failure::TooLarge));
                    }
                    match step {
                        Step::Own(_) => read_row(&body, |_, sent| text_cell(sent), &mut rows)?,
                        Step::Run { statement, .. } => {
                            read_row(&body, |column, sent| statement.shapes[column].read(sent), &mut rows)?;
                        }
                    }
                }
                Message::CommandComplete(body) => {
                    rows.changed = changed(body.tag()?);
                    break;
                }
                Message::PortalSuspended | Message::EmptyQueryResponse => break,
                _ => return Err(unexpected()),
            }
        }
        match most {
            Some(Limit::AtMost(most)) if count > most => return Ok(Err(Failure::TooManyRows(most))),
            Some(Limit::First(most)) => rows.more = count > most,
            _ => {}
        }
        Ok(Ok(rows))
    }
}

impl Step<'_> {
    fn limit(&self) -> Option<Limit> {
        match self {
            Step::Own(_) => None,
            Step::Run { limit, .. } => Some(*limit),
        }
    }
}

fn write_bind(name: &str, types: &[u32], binds: &[Value], formats: &[i16], out: &mut BytesMut) -> Result<(), Trouble> {
    let mut bad = None;
    let values = binds.iter().zip(types).enumerate();
    let written = frontend::bind(
        "",
        name,
        binds.iter().zip(types).map(|(value, type_)| encode::format(value, *type_)),
        values,
        |(index, (value, type_)), out| {
            if value.is_null() {
                return Ok(IsNull::Yes);
            }
            encode::write(value, *type_, out).inspect_err(|message| {
                bad = Some(encode::bad_value(message.clone(), index));
            })?;
            Ok(IsNull::No)
        },
        formats.iter().copied(),
        out,
    );
    match written {
        Ok(()) => Ok(()),
        Err(BindError::Conversion(_)) if bad.is_some() => Err(Trouble::Refused(bad.unwrap_or(Failure::TooLarge))),
        // A value or a message longer than the protocol has numbers for.
        Err(_) => Err(Trouble::Refused(Failure::TooLarge)),
    }
}

fn read_row(
    body: &DataRowBody,
    mut cell: impl FnMut(usize, &[u8]) -> Result<Value, String>,
    rows: &mut Rows,
) -> Result<(), Trouble> {
    let buffer = body.buffer();
    let mut ranges = body.ranges();
    let mut column = 0;
    while let Some(range) = ranges.next()? {
        rows.cells.push(match range {
            None => Value::Null,
            Some(range) => cell(column, &buffer[range]).map_err(Trouble::Lost)?,
        });
        column += 1;
    }
    Ok(())
}

fn text_cell(sent: &[u8]) -> Result<Value, String> {
    Ok(Value::text(String::from_utf8_lossy(sent)))
}

/// The number of rows in `INSERT 0 3` or `UPDATE 3`; a query changes none.
fn changed(tag: &str) -> u64 {
    match tag.split_once(' ') {
        Some(("INSERT" | "UPDATE" | "DELETE" | "MERGE", rest)) => {
            rest.rsplit(' ').next().and_then(|number| number.parse().ok()).unwrap_or(0)
        }
        _ => 0,
    }
}

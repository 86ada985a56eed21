//! Runs the scripts of a page or of data, all in one snapshot of the database.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Tools;
use super::session::{Queries, look_up};
use crate::database::{Constraint, Database, Failure, Limit, Snapshot};
use crate::flow::Visit;
use crate::flow::visitor::Visitor;
use crate::problem::{Kind, Problem};
use crate::sqlfile::{self, Results, Run, Script, ServerValue};
use crate::value::{Declared, Rows, Value};

/// Why a script ended early.
#[derive(Clone, Debug)]
pub(super) enum Ended {
    /// It took longer than its limit.
    Late(Box<Problem>),
    /// A rule of the schema forbids it.
    Constraint(Box<Constraint>),
    /// Anything else.
    Problem(Box<Problem>),
}

impl From<Failure> for Ended {
    fn from(failure: Failure) -> Ended {
        match failure {
            Failure::Deadline => Ended::Late(Box::new(Problem::from(failure))),
            Failure::Constraint(broken) => Ended::Constraint(Box::new(broken)),
            other => Ended::Problem(Box::new(Problem::from(other))),
        }
    }
}

impl From<Problem> for Ended {
    fn from(problem: Problem) -> Ended {
        Ended::Problem(Box::new(problem))
    }
}

impl From<Ended> for Problem {
    fn from(ended: Ended) -> Problem {
        match ended {
            Ended::Late(problem) | Ended::Problem(problem) => *problem,
            Ended::Constraint(broken) => Problem::from(Failure::Constraint(*broken)),
        }
    }
}

/// Whether a script asks who the visitor is, so that the session must be looked up first.
pub(super) fn asks_who(script: &Script) -> bool {
    use ServerValue::{Roles, SessionId, UserId, Visitor};
    script.server.iter().any(|value| matches!(value, UserId | SessionId | Visitor | Roles))
}

/// When each query of a piece of work began, and how long it took.
pub(super) type Times = Vec<(Arc<str>, Instant, Duration)>;

/// Runs a script to its end.
pub(super) async fn drive(queries: &mut impl Queries, mut run: Run, times: &mut Times) -> Result<Results, Ended> {
    let script = run.script().clone();
    while let Some(call) = run.next() {
        let index = call.query;
        let began = Instant::now();
        let limit = match call.limit {
            sqlfile::Limit::AtMost(rows) => Limit::AtMost(rows),
            sqlfile::Limit::First(rows) => Limit::First(rows),
        };
        let rows = queries.run(call.sql, call.kinds, call.binds, limit).await;
        let rows = rows.map_err(|failure| placed(failure, &script, index))?;
        times.push((script.queries[index].name.clone(), began, began.elapsed()));
        run.take(rows)?;
    }
    Ok(run.finish())
}

/// A failure with the place of its statement in the author's file.
pub(super) fn placed(failure: Failure, script: &Script, query: usize) -> Ended {
    let query = &script.queries[query];
    let offset = match &failure {
        Failure::Broken { offset: Some(offset), .. } => Some(*offset),
        _ => None,
    };
    let place = offset.map_or_else(|| query.place.clone(), |offset| query.place_of(offset));
    match Ended::from(failure) {
        Ended::Late(problem) => Ended::Late(Box::new(problem.at(place))),
        Ended::Problem(problem) => Ended::Problem(Box::new(problem.at(place))),
        constraint @ Ended::Constraint(_) => constraint,
    }
}

/// Reads for the scripts whose runs are given. First on this core's own connection; what takes longer starts again on
/// a thread of its own, so that no other visitor of this core waits for it.
pub(super) async fn read(
    tools: &Tools<'_>,
    visit: &mut Visit,
    visitor: &Arc<Visitor>,
    runs: &Arc<[Start]>,
) -> Result<Vec<Results>, Problem> {
    if runs.is_empty() {
        return Ok(Vec::new());
    }
    let database = tools.database()?;
    let began = Instant::now();
    let mut times = Times::new();
    let results = within_time(tools, database, visitor, runs, &mut times).await;
    visit.trace.record("database", "", began);
    for (name, from, took) in times {
        visit.trace.record_span("query", name, from, took);
    }
    results
}

async fn within_time(
    tools: &Tools<'_>,
    database: &Database,
    visitor: &Arc<Visitor>,
    runs: &Arc<[Start]>,
    times: &mut Times,
) -> Result<Vec<Results>, Problem> {
    let settings = &tools.site.settings;
    let slow = runs.iter().flat_map(|start| &start.script.queries).any(|query| database.is_slow(&query.sql));
    if !slow {
        let work = async |snapshot: &mut Snapshot<'_>| all(snapshot, visitor, runs, times).await;
        match database.here(settings.query_inline, work).await {
            Err(Ended::Late(_)) => times.clear(),
            decided => return Ok(decided?),
        }
    }
    let (visitor, runs) = (visitor.clone(), runs.clone());
    let read = database.apart(settings.query_time, async move |snapshot: &mut Snapshot<'_>| {
        let mut times = Times::new();
        Ok((all(snapshot, &visitor, &runs, &mut times).await?, times))
    });
    let read = read.await.map(|(results, apart)| {
        *times = apart;
        results
    });
    match read {
        Err(Ended::Late(problem)) => {
            Err(Problem { kind: Kind::Busy, public: "This takes too long right now.".into(), ..*problem })
        }
        decided => Ok(decided?),
    }
}

/// A script with what it is run with.
#[derive(Clone, Debug)]
pub(super) struct Start {
    /// The script.
    pub(super) script: Arc<Script>,
    /// Its parameters' values.
    pub(super) arguments: sqlfile::Arguments,
    /// Only some of its queries (for a block of a page).
    pub(super) selection: Option<sqlfile::Selection>,
    /// The most rows of a query.
    pub(super) rows: usize,
}

impl Start {
    fn run(&self, visitor: &Visitor) -> Result<Run, Problem> {
        match &self.selection {
            Some(selection) => Run::start_only(&self.script, selection, self.arguments.clone(), visitor, self.rows),
            None => Run::start(&self.script, self.arguments.clone(), visitor, self.rows),
        }
    }
}

async fn all(
    snapshot: &mut Snapshot<'_>,
    visitor: &Visitor,
    runs: &[Start],
    times: &mut Times,
) -> Result<Vec<Results>, Ended> {
    let who = runs.iter().any(|start| asks_who(&start.script))
        && visitor.secret_hash().is_some()
        && !visitor.session_is_known();
    if let ([start], false) = (runs, who)
        && let [_] = start.script.queries[..]
    {
        // A single statement is a snapshot by itself.
        return Ok(vec![drive(&mut Only(snapshot), start.run(visitor)?, times).await?]);
    }
    if who {
        look_up(snapshot, visitor).await?;
    }
    let mut results = Vec::with_capacity(runs.len());
    for start in runs {
        results.push(drive(snapshot, start.run(visitor)?, times).await?);
    }
    Ok(results)
}

/// A snapshot for work of one query.
struct Only<'s, 'd>(&'s mut Snapshot<'d>);

impl Queries for Only<'_, '_> {
    async fn run(&mut self, sql: &str, kinds: &[Declared], binds: &[Value], limit: Limit) -> Result<Rows, Failure> {
        self.0.only(sql, kinds, binds, limit).await
    }
}

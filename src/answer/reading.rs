//! Runs the scripts of a page or of data, all in one snapshot of the database.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::ahead::Ahead;
use super::keep::shows_who;
use super::session::look_up;
use super::shelf::{self, Lent, Taken};
use super::times::Times;
use super::{Tools, parameters};
use crate::database::versions::TableSet;
use crate::database::{Call, CallFailure, Constraint, Database, Failure, Limit, Queries, Snapshot};
use crate::flow::Visit;
use crate::flow::visitor::{Aspect, Visitor};
use crate::problem::{Kind, Problem};
use crate::sqlfile::{self, Levels, Query, Results, Run, Script};
use crate::value::{Declared, Rows, Value};

/// Why a script ended early.
#[derive(Clone, Debug)]
pub(super) enum Ended {
    /// It took longer than its limit.
    Late(Box<Problem>),
    /// A rule of the schema forbids it.
    Constraint(Box<Constraint>),
    /// A visitor's value converts, but the database can't take it: the problem as an action tells it.
    Value(Box<Problem>),
    /// Nobody knows whether it was done.
    Unknown(Box<Problem>),
    /// Anything else.
    Problem(Box<Problem>),
}

impl From<Failure> for Ended {
    fn from(failure: Failure) -> Ended {
        match failure {
            Failure::Deadline => Ended::Late(Box::new(Problem::from(failure))),
            Failure::Constraint(broken) => Ended::Constraint(Box::new(broken)),
            Failure::Unknown => Ended::Unknown(Box::new(Problem::from(failure))),
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
            Ended::Late(problem) | Ended::Value(problem) | Ended::Unknown(problem) | Ended::Problem(problem) => {
                *problem
            }
            Ended::Constraint(broken) => Problem::from(Failure::Constraint(*broken)),
        }
    }
}

/// Runs a script to its end, statement after statement.
pub(super) async fn drive(queries: &mut impl Queries, run: &mut Run, times: &mut Times) -> Result<(), Ended> {
    while let Some(call) = run.next() {
        let index = call.query;
        let rows = queries.run(call.sql, call.kinds, call.binds, limit(call.limit)).await;
        let rows = rows.map_err(|failure| placed(failure, run.script(), index))?;
        times.end(&run.script().queries[index].name);
        run.take(rows)?;
    }
    Ok(())
}

pub(super) fn limit(limit: sqlfile::Limit) -> Limit {
    match limit {
        sqlfile::Limit::AtMost(rows) => Limit::AtMost(rows),
        sqlfile::Limit::First(rows) => Limit::First(rows),
    }
}

/// A failure with the place of its statement in the author's file.
pub(super) fn placed(failure: Failure, script: &Script, query: usize) -> Ended {
    if let Failure::BadValue { message, bind } = failure {
        return Ended::Value(Box::new(script.refused_value(query, bind, message)));
    }
    let query = &script.queries[query];
    let offset = match &failure {
        Failure::Broken { offset: Some(offset), .. } => Some(*offset),
        _ => None,
    };
    let place = offset.map_or_else(|| query.place.clone(), |offset| query.place_of(offset));
    match Ended::from(failure) {
        Ended::Late(problem) => Ended::Late(Box::new(problem.at(place))),
        Ended::Problem(problem) => Ended::Problem(Box::new(problem.at(place))),
        other => other,
    }
}

/// Reads for the scripts whose runs are given. On an embedded database first on this core's own connection; what takes
/// longer starts again on a thread of its own, so that no other visitor of this core waits for it.
pub(super) async fn read(
    tools: &Tools<'_>,
    visit: &mut Visit,
    visitor: &Arc<Visitor>,
    runs: &[Start],
) -> Result<Vec<Results>, Problem> {
    if runs.is_empty() {
        return Ok(Vec::new());
    }
    let database = tools.database()?;
    let began = Instant::now();
    let mut times = Times::since(began);
    let results = within_time(tools, database, visitor, runs, &mut times).await;
    match results {
        Ok(_) => shows_who(database.versions()),
        // Also "it isn't there" tells of what somebody has just committed.
        Err(_) => database.versions().count_marked(&TableSet::all()),
    }
    visit.trace.record_span("database", "", began, times.last.saturating_duration_since(began));
    for (name, from, took) in times.queries {
        visit.trace.record_span("query", name, from, took);
    }
    results
}

/// The results of scripts of which no query ran.
pub(super) fn unread(visitor: &Visitor, runs: &[Start]) -> Result<Vec<Results>, Problem> {
    runs.iter().map(|start| Ok(start.run(visitor)?.finish())).collect()
}

async fn within_time(
    tools: &Tools<'_>,
    database: &Database,
    visitor: &Arc<Visitor>,
    runs: &[Start],
    times: &mut Times,
) -> Result<Vec<Results>, Problem> {
    let settings = &tools.site.settings;
    let began = times.last;
    if database.is_embedded() && !runs.iter().any(|start| start.is_slow(database)) {
        let work = async |snapshot: &mut Snapshot<'_>| {
            let results = in_order(snapshot, visitor, runs, times).await;
            note_clock(snapshot, visitor);
            results
        };
        match database.here_until(began + settings.query_inline, work).await {
            Err(Ended::Late(_)) => times.queries.clear(),
            decided => return decided.map_err(told),
        }
    }
    match Box::pin(apart(database, settings.query_time, visitor, runs, times)).await {
        Err(Ended::Late(problem)) => {
            Err(Problem { kind: Kind::Busy, public: "This takes too long right now.".into(), ..*problem })
        }
        decided => decided.map_err(told),
    }
}

/// Reads without holding up the other visitors of this core.
async fn apart(
    database: &Database,
    limit: Duration,
    visitor: &Arc<Visitor>,
    runs: &[Start],
    times: &mut Times,
) -> Result<Vec<Results>, Ended> {
    let began = Instant::now();
    let runs: Arc<[Start]> = runs.into();
    let read = |levels: bool| {
        let limit = limit.saturating_sub(began.elapsed());
        let (visitor, runs) = (visitor.clone(), runs.clone());
        database.apart(limit, async move |snapshot: &mut Snapshot<'_>| {
            let mut times = Times::since(Instant::now());
            let results = match levels && snapshot.prefers_levels() {
                true => by_levels(snapshot, &visitor, &runs, &mut times).await?,
                false => Some(in_order(snapshot, &visitor, &runs, &mut times).await?),
            };
            note_clock(snapshot, &visitor);
            Ok::<_, Ended>(results.map(|results| (results, times)))
        })
    };
    let results = match read(true).await? {
        // It is rare that a query fails in the database: then a second reading tells what comes first.
        None => read(false).await?,
        results => results,
    };
    let (results, taken) = results.ok_or_else(|| Problem::broken("reading in order came to no end"))?;
    *times = taken;
    Ok(results)
}

/// What asked for the time in SQL is of this moment, like what asks for it elsewhere.
fn note_clock(snapshot: &Snapshot<'_>, visitor: &Visitor) {
    if snapshot.read_the_clock() {
        visitor.reads(Aspect::Moment);
    }
}

/// The problem that a GET answers with.
pub(super) fn told(ended: Ended) -> Problem {
    match ended {
        Ended::Value(problem) => parameters::in_get(*problem),
        other => Problem::from(other),
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
    /// What its statements may be taken from.
    pub(super) lent: Option<Lent>,
    /// What the page's scripts gave the last time.
    pub(super) before: Option<Arc<Vec<Results>>>,
}

impl Start {
    fn is_slow(&self, database: &Database) -> bool {
        self.script.queries.iter().any(|query| database.is_slow(&query.sql))
    }

    /// Runs the script to its end; `taken` allows what is kept of its statements.
    async fn drive(
        &self,
        queries: &mut impl Queries,
        visitor: &Visitor,
        times: &mut Times,
        taken: Option<&mut Taken>,
    ) -> Result<Results, Ended> {
        let mut run = self.run(visitor)?;
        match (&self.lent, taken) {
            (Some(lent), Some(taken)) => shelf::drive(queries, &mut run, lent, taken, times).await?,
            _ => drive(queries, &mut run, times).await?,
        }
        Ok(run.finish())
    }

    fn run(&self, visitor: &Visitor) -> Result<Run, Problem> {
        match &self.selection {
            Some(selection) => Run::start_only(&self.script, selection, self.arguments.clone(), visitor, self.rows),
            None => Run::start(&self.script, self.arguments.clone(), visitor, self.rows),
        }
    }
}

/// Whether the visitor's session must be looked up for these scripts.
fn needs_session(visitor: &Visitor, starts: &[Start]) -> bool {
    !visitor.is_known() && starts.iter().any(|start| start.script.asks_who())
}

/// Runs the scripts one after another, with what is kept of their statements.
async fn in_order(
    snapshot: &mut Snapshot<'_>,
    visitor: &Visitor,
    starts: &[Start],
    times: &mut Times,
) -> Result<Vec<Results>, Ended> {
    if starts.iter().any(|start| start.lent.is_some()) {
        let mut taken = Taken::default();
        let results = one_by_one(snapshot, visitor, starts, times, Some(&mut taken)).await;
        if taken.holds() {
            if results.is_ok() {
                taken.keep();
            }
            return results;
        }
        times.queries.clear();
    }
    one_by_one(snapshot, visitor, starts, times, None).await
}

/// Runs the scripts one after another, statement after statement.
async fn one_by_one(
    snapshot: &mut Snapshot<'_>,
    visitor: &Visitor,
    starts: &[Start],
    times: &mut Times,
    mut taken: Option<&mut Taken>,
) -> Result<Vec<Results>, Ended> {
    let who = needs_session(visitor, starts);
    if let ([start], false) = (starts, who)
        && let [_] = start.script.queries[..]
    {
        // A single statement is a snapshot by itself.
        if let (None, None, Some(query)) = (&start.lent, &start.selection, start.script.lone()) {
            return Ok(vec![lone(snapshot, start, query, times).await?]);
        }
        return Ok(vec![start.drive(&mut Only(snapshot), visitor, times, taken).await?]);
    }
    if who {
        look_up(snapshot, visitor).await?;
        times.begin();
    }
    let mut results = Vec::with_capacity(starts.len());
    for start in starts {
        results.push(start.drive(snapshot, visitor, times, taken.as_deref_mut()).await?);
    }
    Ok(results)
}

/// Runs the only statement of a script that takes its parameters as they stand.
async fn lone(snapshot: &mut Snapshot<'_>, start: &Start, query: &Query, times: &mut Times) -> Result<Results, Ended> {
    let rows = limit(query.limit(start.rows));
    let rows = snapshot.only(&query.sql, &query.kinds, start.arguments.values(), rows).await;
    let rows = rows.map_err(|failure| placed(failure, &start.script, 0))?;
    times.end(&query.name);
    Ok(start.script.lone_results(query, rows)?)
}

/// Runs the scripts level by level: what needs nothing of each other is asked at once. `None` when a query failed while
/// one before it was still to come, which might have decided otherwise; a snapshot is asked nothing after a failure.
async fn by_levels(
    snapshot: &mut Snapshot<'_>,
    visitor: &Visitor,
    starts: &[Start],
    times: &mut Times,
) -> Result<Option<Vec<Results>>, Ended> {
    if needs_session(visitor, starts) {
        look_up(snapshot, visitor).await?;
    }
    let mut runs: Vec<Levels> = Vec::with_capacity(starts.len());
    let mut not_started = None;
    for start in starts {
        match start.run(visitor) {
            Ok(run) => runs.push(Levels::new(run)),
            Err(problem) => {
                not_started = Some(problem);
                break;
            }
        }
    }
    // It is rare that what was asked ahead fails in the database.
    let Some(mut ahead) = Ahead::ask(snapshot, starts, &runs, times).await else { return Ok(None) };
    loop {
        if let Some(failed) = runs.iter().position(Levels::has_failed) {
            // The scripts after it would not have begun.
            runs.truncate(failed + 1);
        }
        let mut goes_on = false;
        for run in &mut runs {
            goes_on |= run.advance();
        }
        if !goes_on {
            break;
        }
        if !ahead.fill(&mut runs) {
            continue;
        }
        if let Some((run, query, failure)) = ask_level(snapshot, &mut runs, times).await {
            return after_failure(runs, run, query, failure);
        }
    }
    let results = runs.into_iter().map(Levels::finish).collect::<Result<Vec<Results>, Problem>>()?;
    not_started.map_or(Ok(Some(results)), |problem| Err(problem.into()))
}

/// Asks one level of all scripts. Gives the statement that failed: its script, its place there, and why.
async fn ask_level(
    snapshot: &mut Snapshot<'_>,
    runs: &mut [Levels],
    times: &mut Times,
) -> Option<(usize, usize, Failure)> {
    let began = Instant::now();
    let last = runs.iter().all(Levels::is_last);
    let calls = runs.iter().enumerate().flat_map(|(run, levels)| levels.calls().map(move |call| (run, call)));
    let (places, calls): (Vec<_>, Vec<_>) = calls
        .map(|(run, sqlfile::Call { query, sql, kinds, binds, limit: rows })| {
            ((run, query), Call { sql, kinds, binds, limit: limit(rows) })
        })
        .unzip();
    let (answers, failed) = match snapshot.level(&calls, last).await {
        Ok(answers) => (answers, None),
        Err(failed) => {
            let CallFailure { call, failure, before } = *failed;
            (before, Some((call, failure)))
        }
    };
    times.last = Instant::now();
    let took = times.last.saturating_duration_since(began);
    for ((run, query), rows) in places.iter().zip(answers) {
        times.add(&runs[*run].script().queries[*query].name, began, took);
        runs[*run].take(*query, rows);
    }
    let (call, failure) = failed?;
    places.get(call).map(|(run, query)| (*run, *query, failure))
}

/// What reading ends with after a query failed in the database.
fn after_failure(
    mut runs: Vec<Levels>,
    run: usize,
    query: usize,
    failure: Failure,
) -> Result<Option<Vec<Results>>, Ended> {
    let script = runs[run].script().clone();
    if matches!(failure, Failure::Deadline | Failure::Busy | Failure::Down) {
        // Any other query would have failed so, too.
        return Err(placed(failure, &script, query));
    }
    runs.truncate(run + 1);
    runs[run].cut(query);
    if runs.iter().any(Levels::is_open) {
        return Ok(None);
    }
    match runs.into_iter().find_map(|run| run.finish().err()) {
        Some(problem) => Err(problem.into()),
        None => Err(placed(failure, &script, query)),
    }
}

/// A snapshot for work of one query.
struct Only<'s, 'd>(&'s mut Snapshot<'d>);

impl Queries for Only<'_, '_> {
    async fn run(&mut self, sql: &str, kinds: &[Declared], binds: &[Value], limit: Limit) -> Result<Rows, Failure> {
        self.0.only(sql, kinds, binds, limit).await
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::clock::Clock;
    use crate::settings::Settings;
    use crate::sqlfile::{Arguments, Dialect, parse};

    /// A statement of a random script.
    #[derive(Clone, Debug)]
    struct Random {
        kind: usize,
        body: usize,
        condition: usize,
        /// The earlier statement that it names.
        earlier: usize,
    }

    const KINDS: [&str; 6] = ["maybe", "one", "value", "many", "list", "require 403 No."];

    fn random() -> impl Strategy<Value = Random> {
        (0..KINDS.len(), 0..8_usize, 0..5_usize, 0..9_usize).prop_map(|(kind, body, condition, earlier)| Random {
            kind,
            body,
            condition,
            earlier,
        })
    }

    /// A query file of random statements, each of which may stand on an earlier one.
    fn source(statements: &[Random]) -> String {
        let mut source = "-- :p int\n".to_string();
        for (index, statement) in statements.iter().enumerate() {
            let earlier = statement.earlier.checked_rem(index);
            let value = match earlier.map(|earlier| (earlier, KINDS[statements[earlier].kind])) {
                Some((earlier, "maybe" | "one")) => format!("@q{earlier}.n"),
                Some((earlier, "value")) => format!("@q{earlier}"),
                _ => ":p".into(),
            };
            let condition = match (earlier, statement.condition) {
                (Some(earlier), 1) => format!(" when=q{earlier}"),
                (Some(earlier), 2) => format!(" unless=q{earlier}"),
                _ => String::new(),
            };
            let body = match statement.body {
                0 => "select 1 as n where 0 = 1".to_string(),
                1 => format!("select 1 as n where {value} is null"),
                2 => format!("select {value} as n where {value} is not null"),
                3 => "select 1 as n union all select 2".into(),
                // Fails, but only when it runs.
                4 => "select abs(-9223372036854775807 - 1) as n".into(),
                5 => format!("select abs(-9223372036854775807 - {value}) as n"),
                _ => format!("select {value} as n"),
            };
            source.push_str(&format!("-- name: q{index} :{}{condition}\n{body};\n", KINDS[statement.kind]));
        }
        source
    }

    fn starts(files: &[Vec<Random>]) -> Vec<Start> {
        let start = |statements: &Vec<Random>| {
            let (file, _) = parse("pages/a.sql", &source(statements), Dialect::Sqlite);
            let (script, faults) = Script::build(&Arc::new(file), &[], &mut |_| None);
            assert_eq!(faults, [], "{}", source(statements));
            let arguments = Arguments::from(vec![Value::Int(7)]);
            Start { script: Arc::new(script), arguments, selection: None, rows: 100, lent: None, before: None }
        };
        files.iter().map(start).collect()
    }

    fn visitor() -> Visitor {
        let (parts, ()) = http::Request::new(()).into_parts();
        let visit = Visit::begin(parts, ([127, 0, 0, 1], 1).into(), false);
        Visitor::new(&visit, None, None, Clock::fixed(0).now(), Arc::new(Settings::default()))
    }

    #[test]
    fn a_get_names_the_parameter_whose_value_the_database_refuses() {
        let (file, _) = parse("pages/a.sql", "-- :n int\n-- name: a :many\nselect :n, :slug", Dialect::Sqlite);
        let (script, _) = Script::build(&Arc::new(file), &["slug".into()], &mut |_| None);
        let kind = |bind| {
            let failure = Failure::BadValue { message: "out of range".into(), bind };
            told(placed(failure, &script, 0)).kind
        };
        assert!(matches!(kind(Some(0)), Kind::BadParameters(errors) if errors.get("n").is_some()));
        assert_eq!(kind(Some(1)), Kind::NotFound);
    }

    #[test]
    fn a_failure_that_may_not_be_the_first_is_looked_at_again() {
        let (file, _) = parse("pages/a.sql", "-- name: a :one\nselect 1\n-- name: b :one\nselect 2", Dialect::Sqlite);
        let (script, _) = Script::build(&Arc::new(file), &[], &mut |_| None);
        let script = Arc::new(script);
        let start =
            Start { script, arguments: Arguments::default(), selection: None, rows: 9, lent: None, before: None };
        let mut levels = Levels::new(start.run(&visitor()).unwrap());
        assert!(levels.advance());
        // The rows of `a` were lost with the failure of `b`.
        let lost = after_failure(vec![levels.clone()], 0, 1, Failure::broken("no"));
        assert!(matches!(lost, Ok(None)), "{lost:?}");
        assert!(matches!(after_failure(vec![levels.clone()], 0, 1, Failure::Deadline), Err(Ended::Late(_))));
        assert!(matches!(after_failure(vec![levels.clone()], 0, 0, Failure::broken("no")), Err(Ended::Problem(_))));
        levels.take(0, Rows::default());
        let missing = after_failure(vec![levels], 0, 1, Failure::broken("no"));
        assert!(matches!(missing, Err(Ended::Problem(problem)) if problem.kind == Kind::NotFound));
    }

    /// The end as text.
    fn ended(end: Result<Vec<Results>, Ended>) -> String {
        end.map_or_else(
            |ended| format!("{ended:?}"),
            |results| {
                let told = results.iter().map(|results| format!("{:?}", results.iter().collect::<Vec<_>>()));
                told.collect::<Vec<_>>().join("; ")
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]

        #[test]
        fn levels_end_as_the_order_of_the_files_does(
            files in proptest::collection::vec(proptest::collection::vec(random(), 0..7), 1..4),
            then in prop_oneof![Just(Value::Int(7)), Just(Value::Int(8)), Just(Value::Null)],
        ) {
            thread_local!(static DATABASE: Database = Database::scratch(&Clock::fixed(0)).unwrap());
            let (starts, visitor) = (starts(&files), visitor());
            let read = |levels: bool, starts: &[Start]| DATABASE.with(|database| {
                let visitor = &visitor;
                now(database.here(Duration::from_secs(60), async move |snapshot| match levels {
                    true => by_levels(snapshot, visitor, starts, &mut Times::since(Instant::now())).await,
                    false => in_order(snapshot, visitor, starts, &mut Times::since(Instant::now())).await.map(Some),
                }))
            });
            let in_order = ended(read(false, &starts).map(Option::unwrap_or_default));
            // What they gave the last time, when perhaps other things were so.
            let with = |change: &dyn Fn(&mut Start)| {
                let mut starts = starts.clone();
                starts.iter_mut().for_each(change);
                starts
            };
            let earlier = with(&|start| start.arguments = Arguments::from(vec![then.clone()]));
            let before = read(false, &earlier).ok().flatten().map(Arc::new);
            let again = with(&|start| start.before = before.clone());
            for starts in [&starts, &again] {
                match read(true, starts) {
                    // Something fails in the database that would not have been reached, or not as the first.
                    Ok(None) => prop_assert!(files.iter().flatten().any(|statement| matches!(statement.body, 4 | 5))),
                    by_levels => prop_assert_eq!(&ended(by_levels.map(Option::unwrap_or_default)), &in_order),
                }
            }
        }
    }

    /// What an embedded database answers at once.
    fn now<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
    }
}

//! Migrations on PostgreSQL: each in one transaction with the line in `_migrations` that says so, under an advisory lock.
//!
//! Beside the site's own there are the server's tables (`system.sql`) and its functions (`functions.sql`), made at each
//! start if they are missing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::failure::Trouble;
use super::identity::rewrite;
use super::keeper::Desk;
use super::link::{Link, Step};
use super::notify::CHANNEL;
use crate::clock::{Clock, datetime_text};
use crate::database::migrations::{Applied, Content, Migration, Own, State, Status, Wanted, judge, refuse, word_at};
use crate::database::{Failure, Limit};
use crate::problem::{Fault, Place};
use crate::sqlfile::tokens::{Token, tokenize};
use crate::sqlfile::{Dialect, split};
use crate::value::{Declared, Kind, Value};

/// The server's own tables.
const OWN: [Own; 3] = [
    Own { number: 1, name: "system.sql", sql: include_str!("system.sql"), accounts: false },
    Own { number: 2, name: "sessions.sql", sql: include_str!("sessions.sql"), accounts: false },
    Own { number: 3, name: "accounts.sql", sql: include_str!("accounts.sql"), accounts: true },
];

/// What [`FUNCTIONS`] are written down as.
const FUNCTIONS_NUMBER: i64 = 0;

/// The functions that PostgreSQL lacks.
const FUNCTIONS: &str = include_str!("functions.sql");

/// Begins a transaction in which nobody else migrates. The lock's number is `tableside` in letters; whoever has it is
/// waited for, up to the limit, and so is whoever uses a table that is to be changed.
pub(super) const BEGIN: &str = "begin isolation level read committed read write; set local lock_timeout = '120s'; \
    select pg_advisory_xact_lock(8386095523106153829)";

/// Ends what a migration has set where its connection lives on; the limit of [`BEGIN`] goes with it, and comes back.
const UNSET: &str = "reset session authorization; reset role; reset all; set local lock_timeout = '120s'";

/// Rows of a CSV file that go to the server at once.
const BATCH: usize = 500;

/// How each migration stands.
pub(super) async fn status(desk: &mut Desk, migrations: &[Migration]) -> Result<Vec<Status>, Box<Fault>> {
    let link = desk.link().await.map_err(nowhere)?;
    Ok(judge(&applied(link).await.map_err(nowhere)?, migrations))
}

/// Applies what is pending.
pub(super) async fn apply(desk: &mut Desk, migrations: Wanted<'_>) -> Result<Vec<Status>, Box<Fault>> {
    let (home, clock) = (desk.home.clone(), desk.clock.clone());
    let now = || datetime_text(clock.now());
    in_transaction(desk, async |link| make_own(link, &home.functions, now(), migrations.accounts).await).await?;
    let mut done = Vec::new();
    while let Some(status) = in_transaction(desk, async |link| apply_next(link, migrations.list, now()).await).await? {
        done.push(status);
    }
    if !done.is_empty()
        && let Ok(link) = desk.link().await
    {
        // Other nodes may be serving; a server that has no NOTIFY has no nodes that would hear it.
        let _ = link.simple(&format!("select pg_catalog.pg_notify({CHANNEL}, '[\"\", 0, null]')")).await;
    }
    Ok(done)
}

/// Applies what is pending inside of the transaction that is open.
pub(super) async fn apply_within(
    link: &mut Link,
    functions: &str,
    clock: &Clock,
    migrations: Wanted<'_>,
) -> Result<(), Box<Fault>> {
    make_own(link, functions, datetime_text(clock.now()), migrations.accounts).await?;
    while apply_next(link, migrations.list, datetime_text(clock.now())).await?.is_some() {
        link.simple(UNSET).await.map_err(nowhere)?;
    }
    Ok(())
}

pub(super) fn nowhere(trouble: Trouble) -> Box<Fault> {
    let waited = matches!(&trouble, Trouble::Server(error) if error.code == "55P03");
    let fault = Fault::everywhere(format!("the database can't be migrated: {}", trouble.message()));
    Box::new(match waited {
        true => fault.help("another process has migrated it, or used a table, for more than two minutes; try again"),
        false => fault,
    })
}

/// Runs `work` in a transaction of its own, on a link of its own: what a migration sets (`set search_path`, `set role`)
/// ends with it.
async fn in_transaction<T>(
    desk: &mut Desk,
    work: impl AsyncFnOnce(&mut Link) -> Result<T, Box<Fault>>,
) -> Result<T, Box<Fault>> {
    desk.hang_up();
    let result = on_link(desk.link().await.map_err(nowhere)?, work).await;
    desk.hang_up();
    result
}

async fn on_link<T>(
    link: &mut Link,
    work: impl AsyncFnOnce(&mut Link) -> Result<T, Box<Fault>>,
) -> Result<T, Box<Fault>> {
    let result = match link.simple(BEGIN).await {
        Ok(_) => work(link).await,
        Err(trouble) => Err(nowhere(trouble)),
    };
    if let Err(fault) = result {
        // Without an answer the connection is gone, and the transaction with it.
        let _ = link.simple("rollback").await;
        return Err(fault);
    }
    link.simple("commit").await.map_err(nowhere)?;
    result
}

/// The server's own tables and functions.
async fn make_own(link: &mut Link, home: &str, now: String, accounts: bool) -> Result<(), Box<Fault>> {
    let known = own(link).await.map_err(nowhere)?;
    for part in OWN.iter().filter(|part| accounts || !part.accounts).filter(|part| !known.contains(&part.number)) {
        link.simple(part.sql).await.map_err(nowhere)?;
        let fingerprint: [u8; 32] = Sha256::digest(part.sql).into();
        write_down(link, "server", part.number, part.name, &fingerprint, now.clone()).await?;
    }
    // What is there already is left alone: several versions of the server may be at work.
    let sql = format!("create schema if not exists {home}; {}", FUNCTIONS.replace("tableside.", &format!("{home}.")));
    let fingerprint: [u8; 32] = Sha256::digest(FUNCTIONS).into();
    let same =
        format!("select 1 from _migrations where source = 'server' and number = {FUNCTIONS_NUMBER} and fingerprint =");
    let hex: String = fingerprint.iter().map(|byte| format!("{byte:02x}")).collect();
    if link.simple(&format!("{same} '\\x{hex}'")).await.map_err(nowhere)?.is_empty() {
        link.simple(&sql).await.map_err(nowhere)?;
        write_down(link, "server", FUNCTIONS_NUMBER, "functions.sql", &fingerprint, now).await?;
    }
    Ok(())
}

/// The numbers of the server's own migrations that were applied.
async fn own(link: &mut Link) -> Result<BTreeSet<i64>, Trouble> {
    let there = link.simple("select to_regclass('_migrations') is not null").await?;
    if there.cells.first().and_then(Value::as_str) != Some("t") {
        return Ok(BTreeSet::new());
    }
    let rows = link.simple("select number from _migrations where source = 'server'").await?;
    Ok(rows.cells.iter().filter_map(|number| number.as_str()?.parse().ok()).collect())
}

/// Whether the server's own tables are all there.
pub(super) async fn has_own(desk: &mut Desk, accounts: bool) -> Result<bool, Box<Fault>> {
    let known = own(desk.link().await.map_err(nowhere)?).await.map_err(nowhere)?;
    Ok(OWN.iter().filter(|part| accounts || !part.accounts).all(|part| known.contains(&part.number)))
}

/// The applied migrations of the site, by number; none before the first start.
pub(super) async fn applied(link: &mut Link) -> Result<BTreeMap<u32, Applied>, Trouble> {
    let known = link.simple("select to_regclass('_migrations') is not null").await?;
    if known.cells.first().and_then(Value::as_str) != Some("t") {
        return Ok(BTreeMap::new());
    }
    let rows = link
        .simple("select number, name, encode(fingerprint, 'hex'), applied_at from _migrations where source = 'site'")
        .await?;
    let read = |row: usize| match rows.row(row) {
        [number, path, fingerprint, at] => {
            let applied = Applied {
                path: path.as_str()?.into(),
                fingerprint: bytes_of(fingerprint.as_str()?),
                at: at.to_string(),
            };
            Some((number.as_str()?.parse().ok()?, applied))
        }
        _ => None,
    };
    Ok((0..rows.len()).filter_map(read).collect())
}

fn bytes_of(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks(2).filter_map(|pair| std::str::from_utf8(pair).ok());
    digits.filter_map(|pair| u8::from_str_radix(pair, 16).ok()).collect()
}

/// Applies the first pending migration, unless something is wrong with any; `None` when nothing is pending.
async fn apply_next(link: &mut Link, migrations: &[Migration], now: String) -> Result<Option<Status>, Box<Fault>> {
    let all = judge(&applied(link).await.map_err(nowhere)?, migrations);
    for status in &all {
        refuse(status, migrations)?;
    }
    let Some(status) = all.into_iter().find(|status| status.state == State::Pending) else { return Ok(None) };
    let Some(migration) = migrations.iter().find(|migration| migration.number == status.number) else {
        return Ok(None);
    };
    let path = link.simple("select current_setting('search_path')").await.map_err(nowhere)?;
    match &migration.content {
        Content::Sql(sql) => run_sql(link, &migration.path, sql).await?,
        Content::Csv { table, text } => fill(link, &migration.path, table, text).await?,
    }
    // As whom it went on, and where, is its own affair.
    let path = path.cells.first().map(ToString::to_string).unwrap_or_default().replace('\'', "''");
    let back = format!("reset role; select pg_catalog.set_config('search_path', '{path}', false)");
    link.simple(&back).await.map_err(nowhere)?;
    // Foreign keys that wait for the commit are looked at here, where it is known which migration broke them.
    settle(link, migration).await?;
    write_down(link, "site", i64::from(migration.number), &migration.path, &migration.fingerprint, now.clone()).await?;
    Ok(Some(Status { state: State::Applied(now), ..status }))
}

async fn write_down(
    link: &mut Link,
    source: &str,
    number: i64,
    path: &str,
    fingerprint: &[u8; 32],
    now: String,
) -> Result<(), Box<Fault>> {
    let sql = "insert into _migrations (source, number, name, fingerprint, applied_at) values ($1, $2, $3, $4, $5) \
               on conflict (source, number) do update set fingerprint = excluded.fingerprint";
    let kinds = [Kind::Text, Kind::Int, Kind::Text, Kind::Bytes, Kind::Text].map(|kind| Declared { kind, list: false });
    let fingerprint = Value::Blob(Arc::from(fingerprint.as_slice()));
    let binds = [Value::from(source), Value::Int(number), Value::from(path), fingerprint, Value::from(now)];
    run(link, sql, &kinds, &binds).await.map(drop).map_err(nowhere)
}

/// Runs one statement with values.
async fn run(link: &mut Link, sql: &str, kinds: &[Declared], binds: &[Value]) -> Result<u64, Trouble> {
    let statement = link.prepare(sql, kinds).await?;
    let step = Step::Run { statement: &statement, binds, limit: Limit::AtMost(0) };
    let mut results = link.run(&[step]).await.map_err(|stop| stop.trouble)?;
    match results.pop() {
        Some(Err(failure)) => Err(Trouble::Refused(failure)),
        Some(Ok(rows)) => Ok(rows.changed),
        None => Ok(0),
    }
}

/// Runs all statements of a file.
async fn run_sql(link: &mut Link, path: &str, sql: &str) -> Result<(), Box<Fault>> {
    for range in split(sql, Dialect::Postgres) {
        let (start, statement) = (range.start, &sql[range]);
        refuse_statement(path, sql, start, statement)?;
        let rewritten = rewrite(statement);
        link.simple(&rewritten.sql).await.map_err(|trouble| {
            let outside = matches!(&trouble, Trouble::Server(error) if error.code == "25001");
            let (message, offset) = match trouble.into_failure(&rewritten.sql, false) {
                Failure::Broken { message, offset } => (message, offset),
                failure => (failure.to_string(), None),
            };
            let place = word_at(path, sql, start + offset.map_or(0, |offset| rewritten.original(offset)));
            let fault = Fault::error(message, place);
            Box::new(match outside {
                true => fault.help(
                    "a migration is one transaction: leave out `concurrently`, or run it by hand beside the migrations",
                ),
                false => fault,
            })
        })?;
    }
    Ok(())
}

/// Refuses what would end the transaction that every migration is.
fn refuse_statement(path: &str, sql: &str, start: usize, statement: &str) -> Result<(), Box<Fault>> {
    const WORDS: [&str; 8] = ["begin", "start", "commit", "end", "rollback", "abort", "savepoint", "release"];
    let first: Option<Token> = tokenize(statement, Dialect::Postgres).into_iter().find(Token::is_significant);
    if !first.is_some_and(|first| WORDS.iter().any(|word| first.is_word(statement, word))) {
        return Ok(());
    }
    let message = "the server itself begins and commits: leave out `begin`, `commit`, `rollback` and `savepoint`";
    Err(Box::new(Fault::error(message, word_at(path, sql, start))))
}

/// What is due at the end of a migration: rules that wait for the commit, and identities that were filled by hand.
async fn settle(link: &mut Link, migration: &Migration) -> Result<(), Box<Fault>> {
    let (Content::Sql(source) | Content::Csv { text: source, .. }) = &migration.content;
    let told = |trouble: Trouble| {
        let place = Place::of_line(migration.path.clone(), source, 1);
        Box::new(Fault::error(trouble.message(), place).label("after all of its statements"))
    };
    link.simple("set constraints all immediate").await.map_err(told)?;
    let identities = link
        .simple(
            "select format('%I.%I', n.nspname, c.relname), quote_ident(a.attname), \
             pg_get_serial_sequence(format('%I.%I', n.nspname, c.relname), a.attname) \
             from pg_catalog.pg_attribute a join pg_catalog.pg_class c on c.oid = a.attrelid \
             join pg_catalog.pg_namespace n on n.oid = c.relnamespace where a.attidentity <> '' and not a.attisdropped \
             and c.relkind in ('r', 'p') and n.nspname = any(current_schemas(false)) \
             and pg_catalog.pg_has_role(c.relowner, 'usage')",
        )
        .await
        .map_err(told)?;
    for row in 0..identities.len() {
        let [table, column, sequence] = identities.row(row) else { continue };
        let (Some(sequence), (table, column)) = (sequence.as_str(), (table, column)) else { continue };
        // Never back: numbers that were given once are not given again.
        let sql = format!(
            "select setval('{}', top) from (select max({column}) as top from {table}) t \
             where top >= (select last_value from {sequence})",
            sequence.replace('\'', "''")
        );
        link.simple(&sql).await.map_err(told)?;
    }
    Ok(())
}

/// Fills a table from a CSV text: the header names the columns, an empty cell is null. The rows go to the server as
/// JSON, of which it makes each column's type.
async fn fill(link: &mut Link, path: &Arc<str>, table: &str, text: &str) -> Result<(), Box<Fault>> {
    let text = text.trim_start_matches('\u{feff}');
    let fault = |message: String, line: u64| {
        Box::new(Fault::error(message, Place::of_line(path.clone(), text, usize::try_from(line).unwrap_or(1))))
    };
    let broken = |error: &csv::Error| {
        fault(format!("this is not CSV: {error}"), error.position().map_or(1, csv::Position::line))
    };
    let mut reader = csv::ReaderBuilder::new().from_reader(text.as_bytes());
    let header: Vec<String> =
        reader.headers().map_err(|error| broken(&error))?.iter().map(|name| name.trim().to_string()).collect();
    let sql = insert_into(table, &header);
    let mut batch = Vec::new();
    let mut records = reader.records();
    loop {
        let record = records.next().transpose().map_err(|error| broken(&error))?;
        let ended = record.is_none();
        if let Some(record) = record {
            let cells = header.iter().zip(&record).map(|(name, cell)| (name.clone(), cell_of(cell)));
            batch.push((record.position().map_or(1, csv::Position::line), cells.collect()));
        }
        if ended || batch.len() == BATCH {
            insert(link, &sql, &batch)
                .await
                .map_err(|(trouble, line)| fault(trouble.into_failure(&sql, false).to_string(), line))?;
            batch.clear();
        }
        if ended {
            return Ok(());
        }
    }
}

/// A record with the number of its line.
type Record = (u64, serde_json::Map<String, serde_json::Value>);

fn cell_of(cell: &str) -> serde_json::Value {
    if cell.is_empty() { serde_json::Value::Null } else { cell.into() }
}

/// Inserts records; when that fails, tells the line of the first that does by itself.
async fn insert(link: &mut Link, sql: &str, batch: &[Record]) -> Result<(), (Trouble, u64)> {
    let first = batch.first().map_or(1, |(line, _)| *line);
    let at_first = |trouble: Trouble| (trouble, first);
    link.simple("savepoint tableside_rows").await.map_err(at_first)?;
    let Err(trouble) = insert_all(link, sql, batch).await else {
        return link.simple("release savepoint tableside_rows").await.map(drop).map_err(at_first);
    };
    link.simple("rollback to savepoint tableside_rows").await.map_err(at_first)?;
    for record in batch {
        if let Err(trouble) = insert_all(link, sql, std::slice::from_ref(record)).await {
            return Err((trouble, record.0));
        }
    }
    Err(at_first(trouble))
}

async fn insert_all(link: &mut Link, sql: &str, batch: &[Record]) -> Result<(), Trouble> {
    let rows: Vec<&serde_json::Map<_, _>> = batch.iter().map(|(_, cells)| cells).collect();
    let rows = serde_json::to_string(&rows).map_err(|error| Trouble::Lost(error.to_string()))?;
    run(link, sql, &[Declared { kind: Kind::Json, list: false }], &[Value::from(rows)]).await.map(drop)
}

fn insert_into(table: &str, header: &[String]) -> String {
    let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    let columns = header.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ");
    let table = quoted(table);
    format!("insert into {table} ({columns}) select {columns} from json_populate_recordset(null::{table}, $1)")
}

//! What of accounts and sessions may go because its time is over: sessions, links, counts of tries, old lines of the
//! security log.
//!
//! Nothing here decides who may do what: a session past its end opens nothing, whether it was swept or not. So several
//! servers may sweep at once, and none has to.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::guessing;
use crate::clock::datetime_text;
use crate::database::{Database, Failure, Limit, Queries, Snapshot, Tables, Transaction};
use crate::settings::Settings;
use crate::value::{Declared, Kind, Value};

/// Rows that go in one transaction.
pub const BATCH: usize = 500;

/// How long finding a batch may take.
const READ_TIME: Duration = Duration::from_secs(10);

const TEXT: Declared = Kind::Text.one();

/// Removes what may go, a batch after the other. Between two it asks whether to go on, which may take its time. Tells how
/// many rows went.
///
/// # Errors
/// The database fails.
pub async fn sweep(database: &Database, rests: &[Rest], go_on: impl Fn() -> bool) -> Result<u64, Failure> {
    let mut removed = 0;
    for rest in rests {
        let mut after: Option<Value> = None;
        loop {
            let (finding, removing) = (rest.clone(), rest.clone());
            let keys: Result<Vec<Value>, Failure> = database
                .apart(READ_TIME, async move |snapshot: &mut Snapshot<'_>| finding.find(snapshot, after.as_ref()).await)
                .await;
            let keys = keys?;
            let Some(last) = keys.last().cloned() else { break };
            let is_full = keys.len() == BATCH;
            let tables = [rest.table, "_invited_roles"].map(String::from);
            let tables = database.versions().tables(&Tables::Known(tables.into()));
            let written: Result<u64, Failure> = database
                .write_to(&tables, async move |transaction: &mut Transaction<'_>| {
                    removing.remove(transaction, &keys).await
                })
                .await;
            removed += written?;
            after = Some(last);
            if !go_on() {
                return Ok(removed);
            }
            if !is_full {
                break;
            }
        }
    }
    Ok(removed)
}

/// Rows of one table that may go.
#[derive(Clone, Debug)]
pub struct Rest {
    /// The table.
    pub table: &'static str,
    /// Its key, and of what kind that is.
    key: (&'static str, Kind),
    /// What makes a row go.
    condition: &'static str,
    /// The values of the condition, all texts.
    binds: Vec<Value>,
}

/// All that may go at a moment. `longest_limit` is the longest time that a `limit:` of the site counts over.
pub fn rests(settings: &Settings, longest_limit: Duration, now: Timestamp) -> Vec<Rest> {
    let before = |span: Duration| {
        let span = SignedDuration::try_from(span).unwrap_or(SignedDuration::MAX);
        Value::from(datetime_text(now.checked_sub(span).unwrap_or(Timestamp::UNIX_EPOCH)))
    };
    let now = || Value::from(datetime_text(now));
    let rest = |table, key, condition, binds| Rest { table, key, condition, binds };
    let mut rests = vec![
        rest(
            "_sessions",
            ("session_id", Kind::Text),
            "(user_id is null and coalesce(seen_at, started_at) < $1 or user_id is not null and \
             (ends_at <= $2 or coalesce(seen_at, started_at) < case remember when 1 then $3 else $4 end))",
            vec![
                before(settings.session_keep),
                now(),
                before(settings.session_remember),
                before(settings.session_idle),
            ],
        ),
        rest("_attempts", ("key_hash", Kind::Text), "since < $1", vec![before(longest_limit.max(guessing::FORGET))]),
    ];
    if settings.has_users() {
        rests.push(rest("_links", ("token_hash", Kind::Text), "expires_at <= $1", vec![now()]));
        rests.push(rest("_security_log", ("id", Kind::Int), "at < $1", vec![before(settings.log_keep)]));
    }
    rests
}

impl Rest {
    /// The keys of the next rows that may go, after the last one of the batch before.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn find(&self, queries: &mut impl Queries, after: Option<&Value>) -> Result<Vec<Value>, Failure> {
        let (key, kind) = self.key;
        let (mut kinds, mut binds) = (vec![TEXT; self.binds.len()], self.binds.clone());
        let mut beyond = String::new();
        if let Some(after) = after {
            kinds.push(kind.one());
            binds.push(after.clone());
            beyond = format!("and {key} > ${}", binds.len());
        }
        let (table, condition) = (self.table, self.condition);
        let sql = format!("select {key} from {table} where {condition} {beyond} order by {key} limit {BATCH}");
        Ok(queries.run(&sql, &kinds, &binds, Limit::AtMost(BATCH)).await?.cells)
    }

    /// Removes those rows that may still go. Tells how many went.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn remove(&self, queries: &mut impl Queries, keys: &[Value]) -> Result<u64, Failure> {
        let (key, kind) = self.key;
        let (mut kinds, mut binds) = (vec![TEXT; self.binds.len()], self.binds.clone());
        let first = binds.len() + 1;
        // One statement for any number: the last key stands for those that are missing.
        let keys = (0..BATCH).map(|place| keys.get(place).or(keys.last()).cloned().unwrap_or_default());
        binds.extend(keys);
        kinds.resize(binds.len(), kind.one());
        let places = (first..first + BATCH).map(|place| format!("${place}")).collect::<Vec<_>>().join(", ");
        let sql = format!("delete from {} where {} and {key} in ({places})", self.table, self.condition);
        Ok(queries.run(&sql, &kinds, &binds, Limit::AtMost(0)).await?.changed)
    }
}

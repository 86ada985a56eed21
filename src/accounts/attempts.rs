//! Counts tries: what growing delays and `limit:` rest on. The counts stand in the database, so that all servers of a site
//! share them, and keep only hashes of whom they count.

use std::time::Duration;

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::guessing::Rule;
use crate::clock::datetime_text;
use crate::database::{Failure, Limit, Queries};
use crate::value::{Kind, Value};

/// Whom a count is about: a purpose and what tells one from another.
pub(crate) fn key(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A count as it stands: how many, and since when.
async fn count(queries: &mut impl Queries, key: &str) -> Result<Option<(u32, Timestamp)>, Failure> {
    let sql = "select count, since from _attempts where key_hash = $1";
    let rows = queries.run(sql, &[Kind::Text.one()], &[Value::from(key)], Limit::AtMost(1)).await?;
    if rows.is_empty() {
        return Ok(None);
    }
    let count = rows.row(0)[0].as_int().and_then(|count| u32::try_from(count).ok()).unwrap_or(u32::MAX);
    Ok(rows.row(0)[1].as_str().and_then(|since| since.parse().ok()).map(|since| (count, since)))
}

async fn set(queries: &mut impl Queries, key: &str, count: u32, since: Timestamp) -> Result<(), Failure> {
    let sql = "insert into _attempts (key_hash, count, since) values ($1, $2, $3) \
        on conflict (key_hash) do update set count = excluded.count, since = excluded.since";
    let kinds = [Kind::Text.one(), Kind::Int.one(), Kind::Text.one()];
    let binds = [Value::from(key), Value::Int(i64::from(count)), Value::from(datetime_text(since))];
    queries.run(sql, &kinds, &binds, Limit::AtMost(0)).await.map(drop)
}

/// Counts a try that may fail under each key by its rule. While any of them asks to wait, nothing is counted, and the
/// longest wait is told.
///
/// # Errors
/// The database fails.
pub(crate) async fn begin(
    queries: &mut impl Queries,
    keys: &[(String, Rule)],
    now: Timestamp,
) -> Result<Option<Duration>, Failure> {
    let mut counted = Vec::with_capacity(keys.len());
    let mut wait = Duration::ZERO;
    for (key, rule) in keys {
        let (failures, last) = count(queries, key).await?.unwrap_or((0, now));
        wait = wait.max(rule.wait(failures, last, now));
        counted.push(rule.remembered(failures, last, now).saturating_add(1));
    }
    if wait > Duration::ZERO {
        return Ok(Some(wait));
    }
    for ((key, _), failures) in keys.iter().zip(counted) {
        set(queries, key, failures, now).await?;
    }
    Ok(None)
}

/// Counts one of at most `times` within `per`, from the first one on. Tells how long to wait when there were as many.
///
/// # Errors
/// The database fails.
pub(crate) async fn within(
    queries: &mut impl Queries,
    key: &str,
    (times, per): (u32, Duration),
    now: Timestamp,
) -> Result<Option<Duration>, Failure> {
    let (done, since) = count(queries, key).await?.unwrap_or((0, now));
    let passed = Duration::try_from(now.duration_since(since)).unwrap_or_default();
    match passed < per {
        true if done >= times => return Ok(Some(per - passed)),
        true => set(queries, key, done + 1, since).await?,
        false => set(queries, key, 1, now).await?,
    }
    Ok(None)
}

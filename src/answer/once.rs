//! `once:` - a second request with the same key gets the first one's answer and runs nothing.
//!
//! The key is kept in the action's own transaction, so that it is there exactly when the action's rows are.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::accounts::Claim;
use crate::clock::{datetime_of, datetime_text};
use crate::database::{Failure, Transaction};
use crate::flow::Visit;
use crate::flow::visitor::{Visitor, secret_hash};
use crate::sqlfile::Script;
use crate::value::{Kind, Value};

/// What a success is answered with, and what is kept for the same key.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Kept {
    /// `status:`
    pub(super) status: Option<u16>,
    /// Where a person is sent.
    pub(super) target: Arc<str>,
    /// The message on the next page.
    pub(super) flash: Option<Arc<str>>,
    /// What a program gets.
    pub(super) json: serde_json::Value,
}

/// A request's key, hashed with all that it belongs to, and how long it counts.
#[derive(Clone, Debug)]
pub(super) struct Key {
    hash: [u8; 32],
    /// The hash before the visitor's secret goes into it.
    unbound: Sha256,
    counts: Duration,
}

/// How long kept answers stay at most; older ones are removed on the way.
const LONGEST: Duration = Duration::from_secs(60 * 24 * 3600);

/// The key of a request for an action that has `once:`. It belongs to the address and the visitor, so that nobody gets
/// another one's answer.
pub(super) fn key(visit: &Visit, visitor: &Visitor, script: &Script, field: Option<&str>) -> Option<Box<Key>> {
    let counts = script.directives.once?;
    let key = visit.header("idempotency-key").or(field).filter(|key| !key.is_empty() && key.len() <= 255)?;
    let mut hash = Sha256::new();
    for part in [visit.method.as_str(), visit.path(), key] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    let key = Key { hash: hash.clone().finalize().into(), unbound: hash, counts: counts.min(LONGEST) };
    Some(Box::new(match visitor.claim() {
        None => key,
        Some(Claim::Session(secret)) => key.of(&secret),
        Some(Claim::Token(token)) => key.of(&secret_hash(&token)),
    }))
}

impl Key {
    /// The same key in the hands of the visitor with this secret.
    pub(super) fn of(&self, secret_hash: &[u8; 32]) -> Key {
        let hash = self.unbound.clone().chain_update(secret_hash);
        Key { hash: hash.finalize().into(), ..self.clone() }
    }
}

/// The answer that was kept for a key, while it counts.
pub(super) async fn find(transaction: &mut Transaction<'_>, key: &Key, now: &str) -> Result<Option<Kept>, Failure> {
    const FIND: &str = "select answer from _once where key_hash = $1 and created_at > $2";
    let kinds = [Kind::Bytes.one(), Kind::Datetime.one()];
    let binds = [Value::Blob(Arc::from(key.hash)), Value::from(before(now, key.counts))];
    let rows = transaction.query(FIND, &kinds, &binds, 1).await?;
    let text = rows.cells.first().and_then(Value::as_str);
    text.map(|text| serde_json::from_str(text).map_err(|error| Failure::broken(format!("_once: {error}")))).transpose()
}

/// Keeps an answer for a key.
pub(super) async fn keep(
    transaction: &mut Transaction<'_>,
    key: &Key,
    kept: &Kept,
    now: &Arc<str>,
) -> Result<(), Failure> {
    const KEEP: &str = "insert into _once (key_hash, answer, created_at) values ($1, $2, $3) \
                        on conflict (key_hash) do update set answer = excluded.answer, created_at = excluded.created_at";
    const FORGET: &str = "delete from _once where created_at < $1";
    let text = serde_json::to_string(kept).map_err(|error| Failure::broken(format!("_once: {error}")))?;
    let binds = [Value::Blob(Arc::from(key.hash)), Value::from(text), Value::Text(now.clone())];
    transaction.query(KEEP, &[Kind::Bytes.one(), Kind::Text.one(), Kind::Datetime.one()], &binds, 1).await?;
    transaction.query(FORGET, &[Kind::Datetime.one()], &[Value::from(before(now, LONGEST))], 1).await?;
    Ok(())
}

/// The datetime text that lies `span` before `now`.
fn before(now: &str, span: Duration) -> String {
    let now = datetime_of(now).unwrap_or_default();
    datetime_text(now.checked_sub(span).unwrap_or(jiff::Timestamp::UNIX_EPOCH))
}

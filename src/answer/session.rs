//! Anonymous sessions: a row per visitor who did something worth remembering, found by a hashed cookie.
//!
//! The cookie carries 128 random bits; the database keeps their hash and an id of its own, which is `@session_id`. So a
//! copy of the database opens no session, and the cookie can be renewed while the id stays.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::HeaderValue;
use jiff::Timestamp;

use crate::accounts::Identity;
use crate::accounts::sessions::Upkeep;
use crate::accounts::sessions::{self, Opening};
use crate::answer::Tools;
use crate::clock::datetime_text;
use crate::database::postgres::BYPASS;
use crate::database::{Failure, Queries, Tables, Transaction};
use crate::flow::Visit;
use crate::flow::visitor::{Visitor, secret_hash};
use crate::settings::{CacheRule, Caching};
use crate::value::Value;

/// The name of the session cookie. `__Host-` ties it to this host and to TLS (RFC 6265bis section 4.1.3.2).
pub fn cookie_name(secure: bool) -> &'static str {
    if secure { "__Host-session" } else { "session" }
}

/// Looks up who the visitor is, once a request and only when something asks for it.
pub(super) async fn look_up(queries: &mut impl Queries, visitor: &Visitor) -> Result<(), Failure> {
    if !visitor.is_known() {
        let identity = find(queries, visitor).await?;
        visitor.identify(identity);
    }
    Ok(())
}

/// Who the visitor is now.
pub(super) async fn find(queries: &mut impl Queries, visitor: &Visitor) -> Result<Identity, Failure> {
    match visitor.claim() {
        Some(claim) => sessions::find(queries, visitor.settings(), &claim, visitor.moment()).await,
        None => Ok(Identity::default()),
    }
}

/// Does what a session needs beside the request: notes the visit, sends the cookie again so that it lives on, renews its
/// secret. `secret` is the one that the cookie has. A failure is none of the visitor's business; the next request tries again.
pub async fn keep_alive(tools: &Tools<'_>, visit: &mut Visit, visitor: &Visitor, secret: Option<String>) {
    let identity = visitor.identity();
    let (Some(database), upkeep) = (tools.database, identity.upkeep) else { return };
    let now: Arc<str> = datetime_text(visitor.moment()).into();
    if let Some(token) = identity.token.as_ref().filter(|token| token.is_unnoted) {
        let (id, day) = (token.id, Value::from(&now[..10]));
        let tables = database.versions().tables(&Tables::Known(["_api_tokens".to_string()].into()));
        let noted = database.write_to(&tables, async move |transaction: &mut Transaction<'_>| {
            sessions::note_token(transaction, id, &day).await
        });
        let _: Result<(), Failure> = noted.await;
    }
    let (Some(session), false) = (identity.session.clone(), upkeep == Upkeep::None) else { return };
    if visit.session_cookie.is_some() {
        return;
    }
    let fresh = Fresh::new(visitor.moment());
    let (renewed, hash) = (fresh.clone(), fresh.secret_hash());
    let tables = database.versions().tables(&Tables::Known(["_sessions".to_string()].into()));
    let kept = database.write_to(&tables, async move |transaction: &mut Transaction<'_>| match upkeep {
        Upkeep::Renew => sessions::renew(transaction, renewed.opening(&session, &hash)).await,
        _ => sessions::touch(transaction, &session, &now).await.map(|()| false),
    });
    let age = sessions::cookie_age(&tools.site.settings, identity.user.is_some(), identity.remember);
    visit.session_cookie = match (kept.await as Result<bool, Failure>, age) {
        (Ok(true), age) => Some(fresh.cookie(visit.secure, age)),
        (Ok(false), Some(age)) if upkeep == Upkeep::Touch => {
            secret.map(|secret| cookie(cookie_name(visit.secure), &secret, visit.secure, age.as_secs()))
        }
        _ => None,
    };
}

/// A session that may begin with an action. Its id and its cookie's secret are made when they are first asked for; clones
/// have the same, so that an action that runs again begins the same session.
#[derive(Clone, Debug)]
pub(super) struct Fresh {
    started: Timestamp,
    made: Arc<OnceLock<Made>>,
}

#[derive(Debug)]
struct Made {
    id: Arc<str>,
    secret: Arc<str>,
    started_at: Arc<str>,
}

impl Fresh {
    /// A session that would begin at this moment.
    pub(super) fn new(started: Timestamp) -> Fresh {
        Fresh { started, made: Arc::default() }
    }

    fn made(&self) -> &Made {
        self.made.get_or_init(|| Made {
            id: random_text().into(),
            secret: random_text().into(),
            started_at: datetime_text(self.started).into(),
        })
    }

    /// Writes the session's row inside the action's transaction, and gives its id.
    pub(super) async fn begin(&self, transaction: &mut Transaction<'_>) -> Result<Arc<str>, Failure> {
        let id = &self.made().id;
        sessions::begin(transaction, self.opening(id, &self.secret_hash())).await?;
        Ok(id.clone())
    }

    /// What opens a session from now on: this secret. `id` is its own, or that of the session that gets the secret.
    pub(super) fn opening<'o>(&'o self, id: &'o Arc<str>, secret_hash: &'o [u8; 32]) -> Opening<'o> {
        Opening { id, secret_hash, now: &self.made().started_at }
    }

    /// By what the session will be found.
    pub(super) fn secret_hash(&self) -> [u8; 32] {
        secret_hash(&self.made().secret)
    }

    /// The `Set-Cookie` that the visitor's browser keeps.
    pub(super) fn cookie(&self, secure: bool, keep: Option<Duration>) -> HeaderValue {
        match keep {
            Some(keep) => cookie(cookie_name(secure), &self.made().secret, secure, keep.as_secs()),
            None => until_closed(cookie_name(secure), &self.made().secret, secure),
        }
    }
}

/// A `Set-Cookie` for this site alone, out of the reach of scripts (RFC 6265). `max_age` in seconds; 0 removes it.
pub(super) fn cookie(name: &str, value: &str, secure: bool, max_age: u64) -> HeaderValue {
    let secure = if secure { "; Secure" } else { "" };
    let age = max_age.to_string();
    // Put together by hand: nearly every action sends one.
    let text = [name, "=", value, "; Path=/; Max-Age=", &age, "; HttpOnly; SameSite=Lax", secure].concat();
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""))
}

/// The name of the cookie that keeps caches out of the way of somebody who has just written something: on several
/// nodes, the others may not have heard of it yet.
pub const FRESH: &str = "fresh";

/// Keeps caches out of the way for a moment.
pub(super) fn fresh_cookie(secure: bool) -> HeaderValue {
    cookie(FRESH, "1", secure, BYPASS.as_secs())
}

/// The name of the cookie of somebody who has written something, where answers may grow old: they get none that has.
pub const WROTE: &str = "wrote";

/// Keeps what has grown old out of the way, as long as there may be something that was current before the write; none
/// where nothing grows old.
pub(super) fn wrote_cookie(secure: bool, rules: &[CacheRule]) -> Option<HeaderValue> {
    let grows = |rule: &CacheRule| match rule.caching {
        Caching::MaxStale(time) => Some(time),
        _ => None,
    };
    let longest = rules.iter().filter_map(grows).max()?;
    Some(cookie(WROTE, "1", secure, (longest + BYPASS).as_secs() + 1))
}

/// What removes the session cookie.
pub(super) fn cookie_removed(secure: bool) -> HeaderValue {
    cookie(cookie_name(secure), "", secure, 0)
}

/// The same until the browser is closed.
fn until_closed(name: &str, value: &str, secure: bool) -> HeaderValue {
    let secure = if secure { "; Secure" } else { "" };
    let text = format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax{secure}");
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static(""))
}

/// 128 random bits as 22 characters that need no escape anywhere (base64url without padding).
pub(super) fn random_text() -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut bytes = [0u8; 16];
    // Without random bytes no secret is safe: stopping this request is the only right answer.
    getrandom::fill(&mut bytes).expect("the system gives random bytes");
    let bits = u128::from_be_bytes(bytes);
    (0..22).map(|index| char::from(LETTERS[(bits >> (index * 6) & 63) as usize])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_long_and_differ() {
        let (a, b) = (random_text(), random_text());
        assert_eq!(a.len(), 22);
        assert_ne!(a, b);
    }

    #[test]
    fn the_cookie_is_tied_down() {
        let value = cookie("session", "abc", true, 60);
        assert_eq!(value, "session=abc; Path=/; Max-Age=60; HttpOnly; SameSite=Lax; Secure");
    }
}

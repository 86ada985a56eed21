//! Sessions: the row that a visitor's cookie opens, what a login makes of it, and when it ends.
//!
//! The cookie carries 128 random bits; the database keeps their hash and an id of its own, which is `@session_id`. So a
//! copy of the database opens no session, and the cookie is renewed at each login while the id stays.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::{User, token};
use crate::clock::{datetime_of, datetime_text};
use crate::database::{Failure, Limit, Queries};
use crate::settings::Settings;
use crate::value::{Declared, Kind, Rows, Value};

/// What opens a session, or speaks for a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// The hash of a session cookie's secret.
    Session([u8; 32]),
    /// The hash of an API token, as text.
    Token(Arc<str>),
}

/// Who sends a request, as far as anybody knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// The session's id.
    pub session: Option<Arc<str>>,
    /// The user who is logged in.
    pub user: Option<Arc<User>>,
    /// Who has told their password, and owes the second factor.
    pub waiting: Option<i64>,
    /// Whether the login is to stay when the browser is closed.
    pub remember: bool,
    /// What an API token allows; `None` for a session.
    pub token: Option<Arc<TokenScope>>,
    /// What is to be done for the session beside the request.
    pub upkeep: Upkeep,
}

impl Identity {
    /// Whether something is to be done for the session or the token beside the request.
    pub fn needs_upkeep(&self) -> bool {
        self.upkeep != Upkeep::None || self.token.as_ref().is_some_and(|token| token.is_unnoted)
    }
}

/// What an API token allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenScope {
    /// Its id.
    pub id: i64,
    /// Whether it may change something.
    pub may_write: bool,
    /// The paths that it is good for, as in an access rule.
    pub paths: Arc<str>,
    /// Whether its use today is still to be noted.
    pub is_unnoted: bool,
}

/// What a session needs beside the request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Upkeep {
    /// Nothing.
    #[default]
    None,
    /// Its last visit is to be noted, and its cookie sent again, so that it lives on.
    Touch,
    /// Its cookie's secret is to be renewed, because the user's roles have changed.
    Renew,
}

/// How long after a renewal the secret before still counts: for requests that were under way.
const GRACE: SignedDuration = SignedDuration::from_secs(60);

/// How long a visitor who told a password has for the second factor.
const WAITING: SignedDuration = SignedDuration::from_mins(10);

/// How often the last visit is noted at most; of short sessions, more often.
const NOTE_EVERY: Duration = Duration::from_secs(3600);

const COLUMNS: &str = "session_id, user_id, coalesce(seen_at, started_at) as seen_at, ends_at, remember, \
    waiting_user_id, waiting_until, renew";

static BY_SECRET: LazyLock<String> =
    LazyLock::new(|| format!("select {COLUMNS} from _sessions where secret_hash = $1"));

static BY_SECRET_BEFORE: LazyLock<String> =
    LazyLock::new(|| format!("select {COLUMNS} from _sessions where secret_before = $1 and renewed_at > $2"));

const USER: &str = "select u.id, u.email, u.name, u.created_at, a.confirmed_at, \
    (select string_agg(role, ' ' order by role) from _roles r where r.user_id = u.id) as roles \
    from users u left join _accounts a on a.user_id = u.id where u.id = $1";

const TOKEN: &str = "select id, user_id, access, paths, expires_at, used_on from _api_tokens where token_hash = $1";

/// Looks up who sends a request. A session that has ended is none.
///
/// # Errors
/// The database fails.
pub(crate) async fn find(
    queries: &mut impl Queries,
    settings: &Settings,
    claim: &Claim,
    now: Timestamp,
) -> Result<Identity, Failure> {
    match claim {
        Claim::Session(hash) => by_secret(queries, settings, hash, now).await,
        Claim::Token(hash) if settings.has_users() => by_token(queries, hash, now).await,
        Claim::Token(_) => Ok(Identity::default()),
    }
}

async fn by_secret(
    queries: &mut impl Queries,
    settings: &Settings,
    hash: &[u8; 32],
    now: Timestamp,
) -> Result<Identity, Failure> {
    let mut rows = queries.recall(&BY_SECRET, hash, Limit::AtMost(1)).await?;
    let mut is_current = true;
    if rows.is_empty() {
        let binds = [Value::Blob(Arc::from(*hash)), Value::from(text(now - GRACE))];
        let kinds = [Kind::Bytes.one(), Kind::Text.one()];
        rows = queries.run(&BY_SECRET_BEFORE, &kinds, &binds, Limit::AtMost(1)).await.map(Arc::new)?;
        is_current = false;
    }
    let Some(found) = Found::of(&rows) else { return Ok(Identity::default()) };
    if found.has_ended(settings, now) {
        return Ok(Identity::default());
    }
    let user = match found.user {
        Some(id) if settings.has_users() => match user(queries, id).await? {
            None => return Ok(Identity::default()),
            some => some,
        },
        _ => None,
    };
    let upkeep = match is_current {
        true if found.renew => Upkeep::Renew,
        true if found.is_long_ago(settings, now) => Upkeep::Touch,
        _ => Upkeep::None,
    };
    let waiting = found.waiting.filter(|_| found.waiting_until.as_ref().is_some_and(|until| **until > *text(now)));
    Ok(Identity { session: Some(found.id), user, waiting, remember: found.remember, token: None, upkeep })
}

async fn by_token(queries: &mut impl Queries, hash: &Arc<str>, now: Timestamp) -> Result<Identity, Failure> {
    let rows = queries.run(TOKEN, &[Kind::Text.one()], &[Value::Text(hash.clone())], Limit::AtMost(1)).await?;
    let Some([id, user_id, access, paths, expires_at, used_on]) = first(&rows) else { return Ok(Identity::default()) };
    if expires_at.as_str().is_some_and(|end| *end <= *text(now)) {
        return Ok(Identity::default());
    }
    let user = user(queries, user_id.as_int().unwrap_or(0)).await?;
    let scope = TokenScope {
        id: id.as_int().unwrap_or(0),
        may_write: access.as_str() == Some("write"),
        paths: paths.as_str().unwrap_or("").into(),
        is_unnoted: used_on.as_str() != Some(&text(now)[..10]),
    };
    Ok(Identity { token: user.is_some().then(|| Arc::new(scope)), user, ..Identity::default() })
}

/// The user of an id.
///
/// # Errors
/// The database fails.
pub(crate) async fn user(queries: &mut impl Queries, id: i64) -> Result<Option<Arc<User>>, Failure> {
    let rows = queries.run(USER, &[Kind::Int.one()], &[Value::Int(id)], Limit::AtMost(1)).await?;
    let Some([id, email, name, created_at, confirmed_at, roles]) = first(&rows) else { return Ok(None) };
    let roles = roles.as_str().unwrap_or("").split_whitespace().map(Arc::from).collect();
    Ok(Some(Arc::new(User {
        id: id.as_int().unwrap_or(0),
        email: email.as_str().unwrap_or("").into(),
        name: name.as_str().map(Arc::from),
        created_at: created_at.as_str().unwrap_or("").into(),
        confirmed: !confirmed_at.is_null(),
        roles,
    })))
}

fn first<const N: usize>(rows: &Rows) -> Option<&[Value; N]> {
    if rows.is_empty() { None } else { rows.row(0).try_into().ok() }
}

fn text(moment: Timestamp) -> String {
    datetime_text(moment)
}

/// A row of `_sessions`.
struct Found {
    id: Arc<str>,
    user: Option<i64>,
    seen_at: Option<Timestamp>,
    ends_at: Option<Arc<str>>,
    remember: bool,
    waiting: Option<i64>,
    waiting_until: Option<Arc<str>>,
    renew: bool,
}

impl Found {
    fn of(rows: &Rows) -> Option<Found> {
        let [id, user, seen_at, ends_at, remember, waiting, waiting_until, renew] = first(rows)?;
        Some(Found {
            id: id.as_shared_text()?.clone(),
            user: user.as_int(),
            seen_at: seen_at.as_str().and_then(datetime_of),
            ends_at: ends_at.as_str().map(Arc::from),
            remember: remember.as_int() == Some(1),
            waiting: waiting.as_int(),
            waiting_until: waiting_until.as_str().map(Arc::from),
            renew: renew.as_int() == Some(1),
        })
    }

    /// How long it lives without a visit.
    fn rest(&self, settings: &Settings) -> Duration {
        rest(settings, self.user.is_some(), self.remember)
    }

    fn has_ended(&self, settings: &Settings, now: Timestamp) -> bool {
        self.ends_at.as_ref().is_some_and(|end| **end <= *text(now)) || self.unseen(now) > self.rest(settings)
    }

    fn is_long_ago(&self, settings: &Settings, now: Timestamp) -> bool {
        self.unseen(now) > NOTE_EVERY.min(self.rest(settings) / 20)
    }

    fn unseen(&self, now: Timestamp) -> Duration {
        self.seen_at.map_or(Duration::ZERO, |seen| now.duration_since(seen).try_into().unwrap_or_default())
    }
}

/// How long a session lives without a visit.
fn rest(settings: &Settings, is_login: bool, remember: bool) -> Duration {
    match (is_login, remember) {
        (false, _) => settings.session_keep,
        (true, true) => settings.session_remember,
        (true, false) => settings.session_idle,
    }
}

/// How long the browser keeps the cookie; `None` until it is closed.
pub fn cookie_age(settings: &Settings, is_login: bool, remember: bool) -> Option<Duration> {
    (!is_login || remember).then(|| rest(settings, is_login, remember))
}

/// A new session, or a session's new secret.
#[derive(Clone, Copy, Debug)]
pub struct Opening<'o> {
    /// `@session_id`.
    pub id: &'o Arc<str>,
    /// The hash of the cookie's secret.
    pub secret_hash: &'o [u8; 32],
    /// Now.
    pub now: &'o Arc<str>,
}

impl Opening<'_> {
    fn secret(&self) -> Value {
        Value::Blob(Arc::from(*self.secret_hash))
    }

    fn id(&self) -> Value {
        Value::Text(self.id.clone())
    }

    fn now(&self) -> Value {
        Value::Text(self.now.clone())
    }
}

const TEXT: Declared = Kind::Text.one();
const BYTES: Declared = Kind::Bytes.one();
const INT: Declared = Kind::Int.one();

/// Begins a session of a visitor who is not logged in.
///
/// # Errors
/// The database fails.
pub(crate) async fn begin(queries: &mut impl Queries, opening: Opening<'_>) -> Result<(), Failure> {
    const BEGIN: &str = "insert into _sessions (session_id, secret_hash, started_at, seen_at) values ($1, $2, $3, $3)";
    let binds = [opening.id(), opening.secret(), opening.now()];
    queries.run(BEGIN, &[TEXT, BYTES, TEXT], &binds, Limit::AtMost(0)).await.map(drop)
}

/// Where a login comes from, for the list of one's own sign-ins.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// The device: "Firefox on Linux".
    pub device: Arc<str>,
    /// The visitor's address.
    pub address: Arc<str>,
}

/// Logs a user in on a session that is there: it gets the new secret, and every other one opens it no more.
///
/// # Errors
/// The database fails.
pub(crate) async fn login(
    queries: &mut impl Queries,
    opening: Opening<'_>,
    (user, remember): (i64, bool),
    ends_at: &str,
    origin: &Origin,
) -> Result<(), Failure> {
    const LOGIN: &str = "update _sessions set secret_hash = $2, secret_before = null, user_id = $4, login_at = $3, \
        seen_at = $3, ends_at = $5, remember = $6, device = $7, address = $8, waiting_user_id = null, \
        waiting_until = null, challenge = null, challenge_until = null, renew = 0, handle = $9 where session_id = $1";
    let kinds = [TEXT, BYTES, TEXT, INT, TEXT, INT, TEXT, TEXT, TEXT];
    let binds = [
        opening.id(),
        opening.secret(),
        opening.now(),
        Value::Int(user),
        Value::from(ends_at),
        Value::Int(i64::from(remember)),
        Value::Text(origin.device.clone()),
        Value::Text(origin.address.clone()),
        // By what the user names this sign-in; `@session_id` never leaves the server.
        Value::from(token::new()),
    ];
    queries.run(LOGIN, &kinds, &binds, Limit::AtMost(0)).await.map(drop)
}

/// Notes on a session that a user has told the password, and owes the second factor. The secret is new from here on.
///
/// # Errors
/// The database fails.
pub(crate) async fn await_factor(
    queries: &mut impl Queries,
    opening: Opening<'_>,
    (user, remember): (i64, bool),
    now: Timestamp,
) -> Result<(), Failure> {
    const WAIT: &str = "update _sessions set secret_hash = $2, secret_before = null, waiting_user_id = $3, \
        waiting_until = $4, remember = $5 where session_id = $1";
    let binds = [
        opening.id(),
        opening.secret(),
        Value::Int(user),
        Value::from(text(now + WAITING)),
        Value::Int(i64::from(remember)),
    ];
    queries.run(WAIT, &[TEXT, BYTES, INT, TEXT, INT], &binds, Limit::AtMost(0)).await.map(drop)
}

/// Ends a session.
///
/// # Errors
/// The database fails.
pub(crate) async fn end(queries: &mut impl Queries, session: &Arc<str>) -> Result<(), Failure> {
    let sql = "delete from _sessions where session_id = $1";
    queries.run(sql, &[TEXT], &[Value::Text(session.clone())], Limit::AtMost(0)).await.map(drop)
}

/// Notes a visit.
///
/// # Errors
/// The database fails.
pub(crate) async fn touch(queries: &mut impl Queries, session: &Arc<str>, now: &Arc<str>) -> Result<(), Failure> {
    let sql = "update _sessions set seen_at = $2 where session_id = $1";
    let binds = [Value::Text(session.clone()), Value::Text(now.clone())];
    queries.run(sql, &[TEXT, TEXT], &binds, Limit::AtMost(0)).await.map(drop)
}

/// Notes the day on which an API token was used last.
///
/// # Errors
/// The database fails.
pub(crate) async fn note_token(queries: &mut impl Queries, id: i64, day: &Value) -> Result<(), Failure> {
    let sql = "update _api_tokens set used_on = $2 where id = $1";
    queries.run(sql, &[INT, TEXT], &[Value::Int(id), day.clone()], Limit::AtMost(0)).await.map(drop)
}

/// Gives a session another secret; the one before counts for a moment more. Tells whether it was this call that did.
///
/// # Errors
/// The database fails.
pub(crate) async fn renew(queries: &mut impl Queries, opening: Opening<'_>) -> Result<bool, Failure> {
    let sql = "update _sessions set secret_before = secret_hash, secret_hash = $2, renewed_at = $3, seen_at = $3, \
        renew = 0 where session_id = $1 and renew = 1";
    let binds = [opening.id(), opening.secret(), opening.now()];
    Ok(queries.run(sql, &[TEXT, BYTES, TEXT], &binds, Limit::AtMost(0)).await?.changed > 0)
}

/// Makes a user of no address, to be taken back.
///
/// # Errors
/// The database fails.
pub(crate) async fn stand_in(queries: &mut impl Queries) -> Result<i64, Failure> {
    let sql = "insert into users (email) values ($1) returning id";
    let nobody = Value::from(format!("{}@nobody.invalid", token::new().to_lowercase()));
    let rows = queries.run(sql, &[TEXT], &[nobody], Limit::AtMost(1)).await?;
    rows.cells.first().and_then(Value::as_int).ok_or_else(|| Failure::broken("a user has no number"))
}

/// Gives a new account its password.
///
/// # Errors
/// The database fails.
pub(crate) async fn set_password(
    queries: &mut impl Queries,
    user: i64,
    hash: &Value,
    now: &Arc<str>,
) -> Result<(), Failure> {
    let sql = "insert into _accounts (user_id, password_hash, password_at) values ($1, $2, $3) \
        on conflict (user_id) do update set password_hash = excluded.password_hash, password_at = excluded.password_at";
    let binds = [Value::Int(user), hash.clone(), Value::Text(now.clone())];
    queries.run(sql, &[INT, TEXT, TEXT], &binds, Limit::AtMost(0)).await.map(drop)
}

/// Gives a session another secret when its own action has asked for that; the one before counts no more. Tells whether
/// it did.
///
/// # Errors
/// The database fails.
pub(crate) async fn renew_at_once(queries: &mut impl Queries, opening: Opening<'_>) -> Result<bool, Failure> {
    let sql = "update _sessions set secret_before = null, secret_hash = $2, renewed_at = $3, seen_at = $3, renew = 0 \
        where session_id = $1 and renew = 1";
    let binds = [opening.id(), opening.secret(), opening.now()];
    Ok(queries.run(sql, &[TEXT, BYTES, TEXT], &binds, Limit::AtMost(0)).await?.changed > 0)
}

/// Whether a user logs in with a second factor.
///
/// # Errors
/// The database fails.
pub(crate) async fn has_second_factor(queries: &mut impl Queries, user: i64) -> Result<bool, Failure> {
    let sql = "select 1 from _accounts where user_id = $1 and totp_at is not null";
    Ok(!queries.run(sql, &[INT], &[Value::Int(user)], Limit::AtMost(1)).await?.is_empty())
}

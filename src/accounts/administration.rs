//! What an operator does to accounts: the statements behind `tableside user`, the same on both databases.
//!
//! Each change writes its line of the security log in the same transaction.

use std::fmt;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::{User, token};
use crate::clock::datetime_text;
use crate::database::{Failure, Limit, Queries};
use crate::value::{Declared, Kind, Rows, Value};

const TEXT: Declared = Kind::Text.one();
const INT: Declared = Kind::Int.one();

/// How long an invitation counts.
pub const INVITATION: SignedDuration = SignedDuration::from_hours(7 * 24);

/// How many accounts are read at once.
const BATCH: usize = 1000;

/// Why nothing was done.
#[derive(Clone, Debug, PartialEq)]
pub enum Refusal {
    /// There is no account with this address.
    Unknown,
    /// There is one already.
    Taken,
    /// Something in the site's own tables still belongs to the account.
    Needed,
    /// The database fails.
    Failure(Failure),
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Refusal {
        Refusal::Failure(failure)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Unknown => out.write_str("there is no account with this address"),
            Refusal::Taken => out.write_str("there is an account with this address already"),
            Refusal::Needed => out.write_str(
                "rows of the site's own tables still refer to this account; remove them first, or have a migration say \
                 `on delete cascade`",
            ),
            Refusal::Failure(failure) => failure.fmt(out),
        }
    }
}

/// An account as an operator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The user.
    pub user: User,
    /// Whether they can log in with a password.
    pub has_password: bool,
    /// Whether a code of an app is asked for.
    pub second_factor: bool,
    /// How many passkeys they have.
    pub passkeys: i64,
    /// How many API tokens they have.
    pub tokens: i64,
    /// How many sign-ins are open.
    pub sign_ins: i64,
    /// When they last logged in, as far as the security log goes back.
    pub last_login: Option<Arc<str>>,
}

const ACCOUNT: &str = "select u.id, u.email, u.name, u.created_at, a.confirmed_at, \
    (select string_agg(role, ' ' order by role) from _roles r where r.user_id = u.id) as roles, \
    a.password_hash is not null as has_password, a.totp_at is not null as second_factor, \
    (select count(*) from _passkeys p where p.user_id = u.id) as passkeys, \
    (select count(*) from _api_tokens t where t.user_id = u.id) as tokens, \
    (select count(*) from _sessions s where s.user_id = u.id and s.ends_at > $1) as sign_ins, \
    (select max(l.at) from _security_log l where l.user_id = u.id and l.event = 'login') as last_login \
    from users u left join _accounts a on a.user_id = u.id";

/// The account with an address.
///
/// # Errors
/// There is none; the database fails.
pub(crate) async fn account(queries: &mut impl Queries, email: &str, now: Timestamp) -> Result<Account, Refusal> {
    let sql = format!("{ACCOUNT} where u.email = $2");
    let binds = [moment(now), Value::from(email)];
    let rows = queries.run(&sql, &[TEXT, TEXT], &binds, Limit::AtMost(1)).await?;
    if rows.is_empty() { Err(Refusal::Unknown) } else { Ok(read(&rows, 0)) }
}

/// The next accounts after the one with this id; none at the end.
///
/// # Errors
/// The database fails.
pub(crate) async fn accounts(queries: &mut impl Queries, after: i64, now: Timestamp) -> Result<Vec<Account>, Failure> {
    let sql = format!("{ACCOUNT} where u.id > $2 order by u.id limit {BATCH}");
    let binds = [moment(now), Value::Int(after)];
    let rows = queries.run(&sql, &[TEXT, INT], &binds, Limit::AtMost(BATCH)).await?;
    Ok((0..rows.len()).map(|row| read(&rows, row)).collect())
}

fn read(rows: &Rows, row: usize) -> Account {
    let cell = |name: &str| rows.cell(row, name).unwrap_or(&Value::Null);
    let text = |name: &str| cell(name).as_str().map(Arc::from);
    let number = |name: &str| cell(name).as_int().unwrap_or(0);
    let roles: Arc<str> = text("roles").unwrap_or_default();
    Account {
        user: User {
            id: number("id"),
            email: text("email").unwrap_or_default(),
            name: text("name"),
            created_at: text("created_at").unwrap_or_default(),
            confirmed: !cell("confirmed_at").is_null(),
            roles: roles.split_whitespace().map(Arc::from).collect(),
        },
        has_password: cell("has_password").holds(),
        second_factor: cell("second_factor").holds(),
        passkeys: number("passkeys"),
        tokens: number("tokens"),
        sign_ins: number("sign_ins"),
        last_login: text("last_login"),
    }
}

fn moment(time: Timestamp) -> Value {
    Value::from(datetime_text(time))
}

async fn id_of(queries: &mut impl Queries, email: &str) -> Result<i64, Refusal> {
    let rows = queries.run("select id from users where email = $1", &[TEXT], &[email.into()], Limit::AtMost(1)).await?;
    rows.cells.first().and_then(Value::as_int).ok_or(Refusal::Unknown)
}

/// An account to be made. The operator vouches for the address, so it counts as confirmed.
#[derive(Clone, Debug)]
pub struct NewAccount {
    /// The address, in lower case.
    pub email: Arc<str>,
    /// The name, if one is known.
    pub name: Option<Arc<str>>,
    /// The hash of the password.
    pub password_hash: Arc<str>,
    /// The roles.
    pub roles: Vec<Arc<str>>,
}

/// Makes an account.
///
/// # Errors
/// The address is taken; the database fails.
pub(crate) async fn add(queries: &mut impl Queries, new: &NewAccount, now: Timestamp) -> Result<(), Refusal> {
    let sql = "insert into users (email, name) values ($1, $2) on conflict (email) do nothing returning id";
    let name = new.name.clone().map_or(Value::Null, Value::Text);
    let rows = queries.run(sql, &[TEXT, TEXT], &[Value::Text(new.email.clone()), name], Limit::AtMost(1)).await?;
    let id = rows.cells.first().and_then(Value::as_int).ok_or(Refusal::Taken)?;
    let sql = "insert into _accounts (user_id, password_hash, password_at, confirmed_at) values ($1, $2, $3, $3)";
    let binds = [Value::Int(id), Value::Text(new.password_hash.clone()), moment(now)];
    queries.run(sql, &[INT, TEXT, TEXT], &binds, Limit::AtMost(0)).await?;
    for role in &new.roles {
        grant(queries, id, role).await?;
    }
    // Whoever was invited has the account now.
    withdraw(queries, &new.email).await?;
    let detail = new.roles.iter().map(|role| format!("+{role}")).collect::<Vec<_>>().join(" ");
    note(queries, now, "account_added", Some(id), &new.email, &detail).await
}

async fn grant(queries: &mut impl Queries, id: i64, role: &Arc<str>) -> Result<bool, Failure> {
    let sql = "insert into _roles (user_id, role) values ($1, $2) on conflict (user_id, role) do nothing";
    let binds = [Value::Int(id), Value::Text(role.clone())];
    Ok(queries.run(sql, &[INT, TEXT], &binds, Limit::AtMost(0)).await?.changed > 0)
}

async fn revoke(queries: &mut impl Queries, id: i64, role: &Arc<str>) -> Result<bool, Failure> {
    let sql = "delete from _roles where user_id = $1 and role = $2";
    let binds = [Value::Int(id), Value::Text(role.clone())];
    Ok(queries.run(sql, &[INT, TEXT], &binds, Limit::AtMost(0)).await?.changed > 0)
}

/// Gives and takes roles. The user stays logged in; each session's cookie is renewed at its next request.
///
/// # Errors
/// There is no such account; the database fails.
pub(crate) async fn change_roles(
    queries: &mut impl Queries,
    email: &str,
    (given, taken): (&[Arc<str>], &[Arc<str>]),
    now: Timestamp,
) -> Result<(), Refusal> {
    let id = id_of(queries, email).await?;
    let mut changes = Vec::new();
    for role in given {
        if grant(queries, id, role).await? {
            changes.push(format!("+{role}"));
        }
    }
    for role in taken {
        if revoke(queries, id, role).await? {
            changes.push(format!("-{role}"));
        }
    }
    if changes.is_empty() {
        return Ok(());
    }
    let sql = "update _sessions set renew = 1 where user_id = $1";
    queries.run(sql, &[INT], &[Value::Int(id)], Limit::AtMost(0)).await?;
    note(queries, now, "roles_changed", Some(id), email, &changes.join(" ")).await
}

/// Sets a password. Every sign-in ends, and links that could set another one count no more.
///
/// # Errors
/// There is no such account; the database fails.
pub(crate) async fn set_password(
    queries: &mut impl Queries,
    email: &str,
    hash: &Arc<str>,
    now: Timestamp,
) -> Result<(), Refusal> {
    let id = id_of(queries, email).await?;
    let sql = "insert into _accounts (user_id, password_hash, password_at, confirmed_at) values ($1, $2, $3, $3) \
        on conflict (user_id) do update set password_hash = excluded.password_hash, password_at = excluded.password_at";
    let binds = [Value::Int(id), Value::Text(hash.clone()), moment(now)];
    queries.run(sql, &[INT, TEXT, TEXT], &binds, Limit::AtMost(0)).await?;
    let sql = "delete from _links where user_id = $1 and purpose in ('reset', 'email')";
    queries.run(sql, &[INT], &[Value::Int(id)], Limit::AtMost(0)).await?;
    end_sessions(queries, id).await?;
    note(queries, now, "password_set", Some(id), email, "").await
}

/// Ends every sign-in of a user, also half a one that still owes the second factor. Tells how many.
async fn end_sessions(queries: &mut impl Queries, id: i64) -> Result<u64, Failure> {
    let sql = "delete from _sessions where user_id = $1 or waiting_user_id = $1";
    Ok(queries.run(sql, &[INT], &[Value::Int(id)], Limit::AtMost(0)).await?.changed)
}

/// Ends every sign-in of a user. Tells how many there were.
///
/// # Errors
/// There is no such account; the database fails.
pub(crate) async fn log_out(queries: &mut impl Queries, email: &str, now: Timestamp) -> Result<u64, Refusal> {
    let id = id_of(queries, email).await?;
    let count = end_sessions(queries, id).await?;
    note(queries, now, "sessions_ended", Some(id), email, "").await?;
    Ok(count)
}

/// Removes the app's secret, the recovery codes and the passkeys, so that the password alone opens the account.
///
/// # Errors
/// There is no such account; the database fails.
pub(crate) async fn reset_second_factor(
    queries: &mut impl Queries,
    email: &str,
    now: Timestamp,
) -> Result<(), Refusal> {
    let id = id_of(queries, email).await?;
    for sql in [
        "update _accounts set totp_secret = null, totp_at = null, totp_step = null where user_id = $1",
        "delete from _recovery_codes where user_id = $1",
        "delete from _passkeys where user_id = $1",
    ] {
        queries.run(sql, &[INT], &[Value::Int(id)], Limit::AtMost(0)).await?;
    }
    note(queries, now, "second_factor_reset", Some(id), email, "").await
}

/// Deletes an account with all that belongs to it. What the site's own tables hold of it goes as their foreign keys say.
///
/// # Errors
/// There is no such account; the site's tables need it; the database fails.
pub(crate) async fn delete(queries: &mut impl Queries, email: &str, now: Timestamp) -> Result<(), Refusal> {
    let id = id_of(queries, email).await?;
    end_sessions(queries, id).await?;
    note(queries, now, "account_deleted", Some(id), email, "").await?;
    match queries.run("delete from users where id = $1", &[INT], &[Value::Int(id)], Limit::AtMost(0)).await {
        Err(Failure::Constraint(_)) => Err(Refusal::Needed),
        other => Ok(other.map(drop)?),
    }
}

/// Takes back what was sent to an address before.
async fn withdraw(queries: &mut impl Queries, email: &str) -> Result<(), Failure> {
    let sql = "delete from _links where purpose = 'invite' and email = $1";
    queries.run(sql, &[TEXT], &[Value::from(email)], Limit::AtMost(0)).await.map(drop)
}

/// An invitation to be sent.
#[derive(Clone, Debug)]
pub struct Invitation {
    /// The address, in lower case.
    pub email: Arc<str>,
    /// The roles that the account will have.
    pub roles: Vec<Arc<str>>,
    /// The secret of the link.
    pub token: Arc<str>,
    /// The link.
    pub link: Arc<str>,
}

/// Writes an invitation and its mail. One that was sent to the address before counts no more.
///
/// # Errors
/// The address has an account; the database fails.
pub(crate) async fn invite(queries: &mut impl Queries, invitation: &Invitation, now: Timestamp) -> Result<(), Refusal> {
    let email = &invitation.email;
    match id_of(queries, email).await {
        Err(Refusal::Unknown) => {}
        Err(refusal) => return Err(refusal),
        Ok(_) => return Err(Refusal::Taken),
    }
    withdraw(queries, email).await?;
    let hash = token::hash(&invitation.token);
    let sql = "insert into _links (token_hash, purpose, email, expires_at) values ($1, 'invite', $2, $3)";
    let binds = [Value::from(&*hash), Value::Text(email.clone()), moment(now + INVITATION)];
    queries.run(sql, &[TEXT, TEXT, TEXT], &binds, Limit::AtMost(0)).await?;
    for role in &invitation.roles {
        let sql = "insert into _invited_roles (token_hash, role) values ($1, $2) on conflict do nothing";
        let binds = [Value::from(&*hash), Value::Text(role.clone())];
        queries.run(sql, &[TEXT, TEXT], &binds, Limit::AtMost(0)).await?;
    }
    let sql = "insert into outbox (channel, recipient, template, data) values ('email', $1, 'invite', $2)";
    let data = serde_json::json!({ "email": &**email, "link": &*invitation.link }).to_string();
    queries.run(sql, &[TEXT, TEXT], &[Value::Text(email.clone()), data.into()], Limit::AtMost(0)).await?;
    let detail = invitation.roles.iter().map(|role| format!("+{role}")).collect::<Vec<_>>().join(" ");
    note(queries, now, "invited", None, email, &detail).await
}

/// A line of the security log that no visitor caused.
async fn note(
    queries: &mut impl Queries,
    now: Timestamp,
    event: &str,
    user: Option<i64>,
    email: &str,
    detail: &str,
) -> Result<(), Refusal> {
    let sql = "insert into _security_log (at, event, user_id, email, detail) values ($1, $2, $3, $4, $5)";
    let detail = format!("tableside user {detail}");
    let user = user.map_or(Value::Null, Value::Int);
    let binds = [moment(now), Value::from(event), user, Value::from(email), Value::from(detail.trim_end())];
    queries.run(sql, &[TEXT, TEXT, INT, TEXT, TEXT], &binds, Limit::AtMost(0)).await?;
    Ok(())
}

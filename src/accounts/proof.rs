//! Proofs: what is worked out before an action's transaction, because it takes long, counts how often it was tried, or
//! looks up what only the server may see. What a proof uses up is used up inside the transaction, or the action fails.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::guessing::{ACCOUNT, ADDRESS, PAIR, Rule, address_key};
use super::oidc::Providers;
use super::password::{self, Busy, Hashing};
use super::{Identity, attempts, passkey, totp};
use crate::clock::datetime_text;
use crate::database::{Database, Failure, Limit, Queries, Snapshot, Transaction};
use crate::problem::{Kind as ProblemKind, Problem};
use crate::settings::Settings;
use crate::sqlfile::Function;
use crate::value::{Declared, Kind, Value};

/// Whom and what proofs are worked out with.
#[derive(Clone, Copy, Debug)]
pub struct Prover<'p> {
    /// The database.
    pub database: &'p Database,
    /// Who hashes.
    pub hashing: &'p Hashing,
    /// Who asks providers.
    pub providers: &'p Providers,
    /// Whether an account can be made by its form alone, because `events/register.sql` asks for something.
    pub register_asks: bool,
    /// The settings.
    pub settings: &'p Settings,
    /// Who the visitor is so far.
    pub identity: &'p Identity,
    /// Where they are.
    pub address: IpAddr,
    /// The address by which the visitor knows the site: `https://shop.example`.
    pub origin: &'p str,
    /// Now.
    pub now: Timestamp,
}

/// What was proven.
#[derive(Clone, Debug, Default)]
pub struct Proven {
    /// The values, by the places of the computed values that they are for.
    pub values: Vec<(usize, Value)>,
    /// The user whose second factor is among it, or what stands for one.
    pub second_factor: Option<i64>,
    /// What the transaction begins with.
    pub uses: Vec<Use>,
    /// Whether the visitor said before that they want to stay logged in.
    pub remember: bool,
    /// Where the visitor is sent instead of `redirect:`: the address of a provider.
    pub away: Option<String>,
}

/// A statement that uses a proof up, or sees to it that what was proven still holds.
#[derive(Clone, Debug)]
pub struct Use {
    sql: &'static str,
    kinds: Vec<Declared>,
    binds: Vec<Value>,
    /// Whether it must find or change one row; else what was proven holds no more.
    must: bool,
}

impl Use {
    /// Runs it inside the action's transaction. Tells whether what was proven still holds.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn run(&self, transaction: &mut Transaction<'_>) -> Result<bool, Failure> {
        let rows = transaction.run(self.sql, &self.kinds, &self.binds, Limit::AtMost(1)).await?;
        Ok(!self.must || rows.changed > 0 || !rows.is_empty())
    }
}

const HOUR: Duration = Duration::from_secs(3600);

/// Somebody who tries many accounts must not fill the operator's mailbox.
const MOST_ALERTS: u32 = 10;

const TEXT: Declared = Kind::Text.one();
const INT: Declared = Kind::Int.one();

impl Prover<'_> {
    /// Works out one proof for the computed value at `place`.
    ///
    /// # Errors
    /// Too many tries, too many visitors at once, a database that fails.
    pub async fn prove(
        &self,
        place: usize,
        function: Function,
        inputs: &[Value],
        proven: &mut Proven,
    ) -> Result<(), Problem> {
        let value = match (function, inputs) {
            (Function::ProviderUser, [provider, state, code, issuer]) if !state.is_null() && !code.is_null() => {
                let inputs = [provider, state, code, issuer].map(Value::clone);
                self.provider_user(&inputs, proven).await?
            }
            (_, inputs) if inputs.iter().any(Value::is_null) => Value::Null,
            (Function::PasswordHash, [password]) => {
                let hash = self.hashing.hash(password.to_string().into()).await;
                Value::from(hash.map_err(busy)?)
            }
            (Function::PasswordOk, [email, password]) => self.password(Some(email), password, proven).await?,
            (Function::PasswordOk, [password]) => self.password(None, password, proven).await?,
            (Function::CodeOk, [code]) => self.code(code, proven).await?,
            (Function::PasskeyOk, [credential]) => self.passkey(credential, proven).await?,
            (Function::AskProvider, [provider]) => self.ask_provider(&provider.to_string(), proven).await?,
            (Function::NewPasskey, [credential]) => self.new_passkey(credential, proven).await?,
            _ => Value::Null,
        };
        proven.values.push((place, value));
        Ok(())
    }

    /// Whether it is the password of an account: of the one with the e-mail address, else of the user who is logged in.
    /// An account that isn't there takes the same work.
    async fn password(&self, email: Option<&Value>, password: &Value, proven: &mut Proven) -> Result<Value, Problem> {
        let email = match (email, &self.identity.user) {
            (Some(email), _) => email.to_string().trim().to_lowercase(),
            (None, Some(user)) => user.email.to_string(),
            (None, None) => return Ok(Value::Bool(false)),
        };
        let place = address_key(self.address);
        let keys = [
            (attempts::key(&["login", &email, &place]), PAIR),
            (attempts::key(&["login", &email]), ACCOUNT),
            (attempts::key(&["login at", &place]), ADDRESS),
        ];
        self.begin_try(&keys, &email).await?;
        let stored = self.stored(&email).await?;
        let hash = stored.as_ref().map(|(_, hash)| hash.clone());
        let password: Arc<str> = password.to_string().into();
        let right = self.hashing.verify(hash, password.clone()).await.map_err(busy)?;
        let Some((user, hash)) = stored.filter(|_| right) else {
            self.note("login_failed", None, &email).await?;
            return Ok(Value::Bool(false));
        };
        let [(pair, _), (account, _), (address, _)] = keys;
        proven.uses.push(Use {
            sql: "select 1 from _accounts where user_id = $1 and password_hash = $2",
            kinds: vec![INT, TEXT],
            binds: vec![Value::Int(user), Value::Text(hash.clone())],
            must: true,
        });
        for key in [pair, account] {
            proven.uses.push(forget(key));
        }
        proven.uses.push(take_back(address));
        if password::is_outdated(&hash) {
            proven.uses.push(Use {
                sql: "update _accounts set password_hash = $2 where user_id = $1",
                kinds: vec![INT, TEXT],
                binds: vec![Value::Int(user), Value::from(self.hashing.hash(password).await.map_err(busy)?)],
                must: false,
            });
        }
        Ok(Value::Bool(true))
    }

    /// The user of an address with the hash of their password.
    async fn stored(&self, email: &str) -> Result<Option<(i64, Arc<str>)>, Problem> {
        let sql = "select u.id, a.password_hash from users u join _accounts a on a.user_id = u.id where u.email = $1";
        let rows = self.read(sql, &[TEXT], &[Value::from(email)]).await?;
        Ok(rows.first().and_then(|row| Some((row[0].as_int()?, row[1].as_str()?.into()))))
    }

    /// Whether a code is the second factor of who has told their password, or of who is logged in. It counts once.
    async fn code(&self, code: &Value, proven: &mut Proven) -> Result<Value, Problem> {
        let user = self.identity.waiting.or(self.identity.user.as_ref().map(|user| user.id));
        let Some(user) = user else { return Ok(Value::Bool(false)) };
        let key = attempts::key(&["code", &user.to_string()]);
        self.begin_try(&[(key.clone(), PAIR)], "").await?;
        let sql = "select totp_secret, totp_step from _accounts where user_id = $1";
        let rows = self.read(sql, &[INT], &[Value::Int(user)]).await?;
        let Some([secret, last]) = rows.first().map(Vec::as_slice) else { return Ok(Value::Bool(false)) };
        let code = code.to_string();
        let step = secret.as_str().and_then(|secret| totp::step_of(secret, &code, self.now, last.as_int()));
        let used = match step {
            Some(step) => Use {
                sql: "update _accounts set totp_step = $2 where user_id = $1 and coalesce(totp_step, 0) < $2",
                kinds: vec![INT, INT],
                binds: vec![Value::Int(user), Value::Int(step)],
                must: true,
            },
            None => {
                let hash = Value::from(totp::recovery_hash(&code));
                let sql = "select 1 from _recovery_codes where user_id = $1 and code_hash = $2";
                if self.read(sql, &[INT, TEXT], &[Value::Int(user), hash.clone()]).await?.is_empty() {
                    self.note("code_failed", Some(user), "").await?;
                    return Ok(Value::Bool(false));
                }
                Use {
                    sql: "delete from _recovery_codes where user_id = $1 and code_hash = $2",
                    kinds: vec![INT, TEXT],
                    binds: vec![Value::Int(user), hash],
                    must: true,
                }
            }
        };
        proven.uses.extend([used, forget(key)]);
        proven.second_factor = Some(user);
        Ok(Value::Bool(true))
    }

    /// The user whose passkey answered the challenge of the session; null when none did.
    async fn passkey(&self, credential: &Value, proven: &mut Proven) -> Result<Value, Problem> {
        let Some((challenge, document)) = self.challenged(credential).await? else { return Ok(Value::Null) };
        let place = address_key(self.address);
        let key = attempts::key(&["login at", &place]);
        self.begin_try(&[(key.clone(), ADDRESS)], "").await?;
        let Some(id) = passkey::credential_id(&document) else { return Ok(Value::Null) };
        let sql = "select user_id, public_key, counter from _passkeys where credential_id = $1";
        let rows = self.read(sql, &[TEXT], &[Value::from(id.as_str())]).await?;
        let Some([user, public_key, counter]) = rows.first().map(Vec::as_slice) else { return Ok(Value::Null) };
        let stored = passkey::Passkey {
            credential_id: id.clone(),
            public_key: public_key.as_str().unwrap_or("").to_string(),
            counter: counter.as_int().unwrap_or(0),
        };
        let Ok(counter) = passkey::asserted(&self.site(), &challenge, &document, &stored) else {
            self.note("passkey_failed", user.as_int(), "").await?;
            return Ok(Value::Null);
        };
        let whose = user.as_int().map(|id| super::token::hash(&id.to_string()));
        if passkey::user_handle(&document).is_some_and(|handle| Some(handle) != whose.map(String::into_bytes)) {
            return Ok(Value::Null);
        }
        proven.uses.extend([self.use_challenge(&challenge), take_back(key)]);
        proven.uses.push(Use {
            sql: "update _passkeys set counter = $2, used_at = $3 where credential_id = $1 and counter <= $2",
            kinds: vec![TEXT, INT, TEXT],
            binds: vec![Value::from(id), Value::Int(counter), Value::from(datetime_text(self.now))],
            must: true,
        });
        // A passkey is something that one has, opened by what one knows or is.
        proven.second_factor = user.as_int();
        Ok(user.clone())
    }

    /// A passkey that was made for the challenge of the session, as a JSON object; null when it wasn't.
    async fn new_passkey(&self, credential: &Value, proven: &mut Proven) -> Result<Value, Problem> {
        let Some((challenge, document)) = self.challenged(credential).await? else { return Ok(Value::Null) };
        let Ok(made) = passkey::registered(&self.site(), &challenge, &document) else { return Ok(Value::Null) };
        proven.uses.push(self.use_challenge(&challenge));
        let json = serde_json::json!({
            "credential_id": made.credential_id,
            "public_key": made.public_key,
            "counter": made.counter,
        });
        Ok(Value::from(json.to_string()))
    }

    /// The challenge of the session, if it still counts, with the browser's answer.
    async fn challenged(&self, credential: &Value) -> Result<Option<(String, serde_json::Value)>, Problem> {
        let Some(session) = &self.identity.session else { return Ok(None) };
        let sql = "select challenge from _sessions where session_id = $1 and challenge_until > $2";
        let binds = [Value::Text(session.clone()), Value::from(datetime_text(self.now))];
        let rows = self.read(sql, &[TEXT, TEXT], &binds).await?;
        let challenge = rows.first().and_then(|row| row[0].as_str()).map(str::to_string);
        Ok(challenge.zip(serde_json::from_str(&credential.to_string()).ok()))
    }

    fn use_challenge(&self, challenge: &str) -> Use {
        let session = self.identity.session.clone().unwrap_or_default();
        Use {
            sql: "update _sessions set challenge = null where session_id = $1 and challenge = $2",
            kinds: vec![TEXT, TEXT],
            binds: vec![Value::Text(session), Value::from(challenge)],
            must: true,
        }
    }

    fn site(&self) -> passkey::Site<'_> {
        let host = self.origin.split_once("://").map_or(self.origin, |(_, host)| host);
        // `[::1]:3000` and `localhost:3000`: the host without its port.
        let id = match host.rfind(':') {
            Some(colon) if !host[colon..].contains(']') => &host[..colon],
            _ => host,
        };
        let name = if self.settings.site_name.is_empty() { id } else { &self.settings.site_name };
        passkey::Site { id, origin: self.origin, name }
    }

    /// Counts a try, or refuses it while somebody has to wait.
    async fn begin_try(&self, keys: &[(String, Rule)], email: &str) -> Result<(), Problem> {
        let (owned, now) = (keys.to_vec(), self.now);
        let wait = self
            .write(async move |transaction: &mut Transaction<'_>| attempts::begin(transaction, &owned, now).await)
            .await?;
        match wait {
            None => Ok(()),
            Some(wait) => {
                self.note("login_delayed", None, email).await?;
                self.alert(email).await?;
                Err(too_many(wait))
            }
        }
    }

    /// A line in the security log.
    async fn note(&self, event: &'static str, user: Option<i64>, email: &str) -> Result<(), Problem> {
        let binds = [
            Value::from(datetime_text(self.now)),
            Value::from(event),
            user.map_or(Value::Null, Value::Int),
            if email.is_empty() { Value::Null } else { Value::from(email) },
            Value::from(self.address.to_string()),
        ];
        self.write(async move |transaction: &mut Transaction<'_>| note(transaction, &binds).await).await
    }

    /// Tells the operator, at most once an hour for an account, and not of each of many.
    async fn alert(&self, email: &str) -> Result<(), Problem> {
        if self.settings.users_alert.is_empty() {
            return Ok(());
        }
        let (keys, now) = ([attempts::key(&["alert", email]), attempts::key(&["alerts"])], self.now);
        let data = serde_json::json!({
            "email": email,
            "address": self.address.to_string(),
            "at": datetime_text(self.now),
        });
        let binds = [Value::from(self.settings.users_alert.as_str()), Value::from(data.to_string())];
        self.write(async move |transaction: &mut Transaction<'_>| {
            let [account, all] = &keys;
            if attempts::within(transaction, account, (1, HOUR), now).await?.is_none()
                && attempts::within(transaction, all, (MOST_ALERTS, HOUR), now).await?.is_none()
            {
                let sql = "insert into outbox (channel, recipient, template, data) values ('email', $1, 'attack', $2)";
                transaction.run(sql, &[TEXT, TEXT], &binds, Limit::AtMost(0)).await?;
            }
            Ok::<_, Failure>(())
        })
        .await
    }

    async fn write<T, W>(&self, work: W) -> Result<T, Problem>
    where
        T: Send + 'static,
        W: AsyncFnMut(&mut Transaction<'_>) -> Result<T, Failure> + Send + 'static,
    {
        let tables = self.database.versions().tables(&own_tables());
        self.database.write_to(&tables, work).await.map_err(Problem::from)
    }

    async fn read(&self, sql: &'static str, kinds: &[Declared], binds: &[Value]) -> Result<Vec<Vec<Value>>, Problem> {
        let (kinds, binds) = (kinds.to_vec(), binds.to_vec());
        let read = async move |snapshot: &mut Snapshot<'_>| {
            let rows = snapshot.only(sql, &kinds, &binds, Limit::AtMost(1)).await?;
            Ok::<_, Failure>((0..rows.len()).map(|row| rows.row(row).to_vec()).collect())
        };
        self.database.here(self.settings.query_time, read).await.map_err(Problem::from)
    }
}

/// The server's own tables that proofs write.
fn own_tables() -> crate::database::Tables {
    crate::database::Tables::Known(["_attempts", "_security_log", "outbox"].map(String::from).into())
}

/// Writes a line of the security log: when, what, the user, the e-mail address, where from.
///
/// # Errors
/// The database fails.
pub(crate) async fn note(transaction: &mut impl Queries, binds: &[Value; 5]) -> Result<(), Failure> {
    let sql = "insert into _security_log (at, event, user_id, email, address) values ($1, $2, $3, $4, $5)";
    transaction.run(sql, &[TEXT, TEXT, INT, TEXT, TEXT], binds, Limit::AtMost(0)).await.map(drop)
}

fn forget(key: String) -> Use {
    Use {
        sql: "delete from _attempts where key_hash = $1",
        kinds: vec![TEXT],
        binds: vec![Value::from(key)],
        must: false,
    }
}

fn take_back(key: String) -> Use {
    Use {
        sql: "update _attempts set count = count - 1 where key_hash = $1 and count > 0",
        kinds: vec![TEXT],
        binds: vec![Value::from(key)],
        must: false,
    }
}

fn busy(_: Busy) -> Problem {
    Problem::new(ProblemKind::Busy, "Too many people log in right now. Please try again in a moment.")
}

/// The refusal of one try too many.
pub fn too_many(wait: Duration) -> Problem {
    let seconds = wait.as_secs_f64().ceil().max(1.0) as u64;
    let wait = match seconds {
        1 => "a second".to_string(),
        seconds if seconds < 120 => format!("{seconds} seconds"),
        seconds => format!("{} minutes", seconds.div_ceil(60)),
    };
    Problem::new(ProblemKind::TooMany(seconds), format!("That was tried too often. Please wait {wait}."))
}

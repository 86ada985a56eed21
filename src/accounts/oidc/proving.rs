//! The proofs of a provider's login: whom to ask, and who it was. What a visitor is sent away with is kept once, for
//! the session that they were sent from, and is gone when they are back, whatever comes of it.

use std::sync::Arc;

use crate::accounts::proof::{Proven, Prover};
use crate::accounts::token;
use crate::clock::datetime_text;
use crate::database::{Failure, Limit, Queries, Tables, Transaction};
use crate::problem::{Kind as ProblemKind, Problem};
use crate::settings::{Provider, Registration};
use crate::value::{Declared, Kind, Rows, Value};

use super::{Failed, Returned, redirect_uri};

const TEXT: Declared = Kind::Text.one();

/// What was kept of a question.
struct Kept {
    nonce: String,
    verifier: String,
    next: Option<Arc<str>>,
    remember: bool,
    /// Who was logged in when the visitor left.
    user: Option<i64>,
}

impl Prover<'_> {
    /// What a visitor is sent to a provider with; they are sent there once it is kept.
    ///
    /// # Errors
    /// There is no such provider, or it doesn't answer.
    pub(in crate::accounts) async fn ask_provider(&self, name: &str, proven: &mut Proven) -> Result<Value, Problem> {
        let provider = self.provider(name)?;
        let question = self.providers.ask(provider, &redirect_uri(self.origin, name), self.now).await;
        let question = question.map_err(problem)?;
        let json = serde_json::json!({
            "state_hash": token::hash(&question.state),
            "nonce": question.nonce,
            "verifier": question.verifier,
        });
        proven.away = Some(question.url);
        Ok(Value::from(json.to_string()))
    }

    /// Who came back from a provider.
    ///
    /// # Errors
    /// They were not sent there, the provider doesn't answer, or what it says is not to be believed.
    pub(in crate::accounts) async fn provider_user(
        &self,
        [name, state, code, issuer]: &[Value; 4],
        proven: &mut Proven,
    ) -> Result<Value, Problem> {
        let name = name.to_string();
        let provider = self.provider(&name)?;
        let kept = self.take(&name, &state.to_string()).await?.ok_or_else(|| stale("no login is under way"))?;
        if kept.user != self.identity.user.as_ref().map(|user| user.id) {
            return Err(stale("somebody else is logged in by now"));
        }
        let redirect_uri = redirect_uri(self.origin, &name);
        let returned = Returned {
            code: &code.to_string(),
            issuer: issuer.as_str(),
            nonce: &kept.nonce,
            verifier: &kept.verifier,
            redirect_uri: &redirect_uri,
        };
        let person = self.providers.person(provider, returned, self.now).await.map_err(problem)?;
        proven.remember = kept.remember;
        let json = serde_json::json!({
            "subject": person.subject,
            "email": person.email,
            "verified": i64::from(person.verified),
            "name": person.name,
            "label": provider.label,
            "next": kept.next.as_deref(),
            "open": i64::from(self.settings.register == Registration::Open),
            "asks": i64::from(self.register_asks),
        });
        Ok(Value::from(json.to_string()))
    }

    fn provider(&self, name: &str) -> Result<&Provider, Problem> {
        self.settings.providers.iter().find(|provider| *provider.name == *name).ok_or_else(Problem::not_found)
    }

    /// Takes what was kept of a question, if this session asked it and it isn't too old.
    async fn take(&self, provider: &str, state: &str) -> Result<Option<Kept>, Problem> {
        // Found by its hash, a state can't be guessed letter by letter from how long that takes.
        const TAKE: &str = "delete from _oidc where state_hash = $1 and session_id = $2 and provider = $3 \
            and expires_at > $4 returning nonce, verifier, next, remember, user_id";
        let Some(session) = self.identity.session.clone() else { return Ok(None) };
        let binds = [
            Value::from(token::hash(state)),
            Value::Text(session),
            Value::from(provider),
            Value::from(datetime_text(self.now)),
        ];
        let tables = self.database.versions().tables(&Tables::Known(["_oidc".to_string()].into()));
        let rows = self.database.write_to(&tables, async move |transaction: &mut Transaction<'_>| {
            transaction.run(TAKE, &[TEXT; 4], &binds, Limit::AtMost(1)).await
        });
        let rows = (rows.await as Result<Rows, Failure>).map_err(Problem::from)?;
        if rows.is_empty() {
            return Ok(None);
        }
        let [nonce, verifier, next, remember, user] = rows.row(0) else { return Ok(None) };
        Ok(Some(Kept {
            nonce: nonce.to_string(),
            verifier: verifier.to_string(),
            next: next.as_str().map(Arc::from),
            remember: remember.holds(),
            user: user.as_int(),
        }))
    }
}

fn problem(failed: Failed) -> Problem {
    Problem::new(ProblemKind::Busy, failed.public).caused_by(failed.cause)
}

fn stale(cause: &str) -> Problem {
    let public = "This login took too long, or was begun somewhere else. Please try again.";
    Problem::new(ProblemKind::Conflict, public).caused_by(format!("a visitor came back from a provider: {cause}"))
}

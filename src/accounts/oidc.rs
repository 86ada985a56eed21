//! Logins through OpenID Connect providers (OpenID Connect Core 1.0, the authorization code flow with PKCE): whom a
//! provider is asked about, and what is made of its answers.
//!
//! What a provider says is judged in `discovery`, `keys` and `token`, which know no network.

mod discovery;
mod fetch;
mod keys;
mod proving;
mod token;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};
use tokio::sync::Semaphore;

use crate::settings::Provider;
pub use discovery::is_safe;
use discovery::{Discovery, way_of};
use fetch::Fetcher;
use keys::Keys;
use token::{Expected, Person};

/// How long one visitor waits for a provider, all its answers together.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long what a provider tells of itself counts.
const KEPT: SignedDuration = SignedDuration::from_hours(1);

/// Visitors for whom providers are asked at once; who comes on top is asked to try again.
const MOST_AT_ONCE: usize = 64;

/// Why a provider's login failed: a text for the visitor, and the cause for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failed {
    /// What the visitor reads.
    pub(crate) public: &'static str,
    /// What happened.
    pub(crate) cause: String,
}

impl Failed {
    /// The provider can't be reached, or says what it mustn't.
    fn provider(cause: impl Into<String>) -> Failed {
        Failed { public: "This login doesn't work at the moment. Please try again later.", cause: cause.into() }
    }
}

/// What a visitor is sent to the provider with, and what is kept of it until they are back.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    /// Where the visitor is sent.
    pub(crate) url: String,
    /// What comes back with them.
    pub(crate) state: String,
    /// What the provider signs.
    pub(crate) nonce: String,
    /// What shows that who asked is who comes back (RFC 7636).
    pub(crate) verifier: String,
}

/// What a visitor comes back with, and what was kept of the question.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Returned<'r> {
    /// The code that the provider gave them.
    pub(crate) code: &'r str,
    /// The provider as it names itself in the address (RFC 9207).
    pub(crate) issuer: Option<&'r str>,
    /// See [`Question::nonce`].
    pub(crate) nonce: &'r str,
    /// See [`Question::verifier`].
    pub(crate) verifier: &'r str,
    /// The address to which they came back.
    pub(crate) redirect_uri: &'r str,
}

/// What providers are asked with; one for a server.
#[derive(Debug)]
pub struct Providers {
    fetcher: Fetcher,
    /// What is known of providers, by their issuers.
    known: Mutex<HashMap<String, Known>>,
    places: Semaphore,
}

/// What a provider told of itself, and until when that counts.
#[derive(Clone, Debug)]
struct Known {
    discovery: Arc<Discovery>,
    keys: Option<Arc<Keys>>,
    until: Timestamp,
}

impl Default for Providers {
    fn default() -> Providers {
        Providers { fetcher: Fetcher::default(), known: Mutex::default(), places: Semaphore::new(MOST_AT_ONCE) }
    }
}

impl Providers {
    /// What a visitor is sent to a provider with.
    ///
    /// # Errors
    /// The provider doesn't tell where.
    pub(crate) async fn ask(
        &self,
        provider: &Provider,
        redirect_uri: &str,
        now: Timestamp,
    ) -> Result<Question, Failed> {
        let discovery = self.in_time(provider, self.discovery(provider, now)).await?;
        Ok(question(&discovery, provider, redirect_uri))
    }

    /// Who somebody is who came back from a provider.
    ///
    /// # Errors
    /// The provider doesn't answer, or what it says is not to be believed.
    pub(crate) async fn person(
        &self,
        provider: &Provider,
        returned: Returned<'_>,
        now: Timestamp,
    ) -> Result<Person, Failed> {
        self.in_time(provider, self.person_of(provider, returned, now)).await
    }

    /// Runs a talk with a provider under its limits.
    async fn in_time<T>(
        &self,
        provider: &Provider,
        talk: impl Future<Output = Result<T, Failed>>,
    ) -> Result<T, Failed> {
        let _place = self.places.try_acquire().map_err(|_| Failed {
            public: "Too many people log in right now. Please try again in a moment.",
            cause: format!("{MOST_AT_ONCE} visitors wait for providers already"),
        })?;
        let told = |failed: Failed| Failed { cause: format!("login `{}`: {}", provider.name, failed.cause), ..failed };
        match tokio::time::timeout(PATIENCE, talk).await {
            Ok(result) => result.map_err(told),
            Err(_) => Err(told(Failed::provider(format!("no answer within {} seconds", PATIENCE.as_secs())))),
        }
    }

    async fn person_of(&self, provider: &Provider, returned: Returned<'_>, now: Timestamp) -> Result<Person, Failed> {
        let discovery = self.discovery(provider, now).await?;
        discovery.check_issuer(returned.issuer).map_err(Failed::provider)?;
        let way = way_of(&discovery, provider);
        let granted = self.fetcher.grant(&discovery.token_endpoint, provider, way, returned).await?;
        let expected = Expected {
            issuer: &discovery.issuer,
            client_id: &provider.client_id,
            nonce: returned.nonce,
            now: now.as_second(),
        };
        let claims = self.claims(&discovery, &granted.id_token, &expected, now).await?;
        let person = Person::of(&claims).map_err(Failed::provider)?;
        match (&person.email, &discovery.userinfo_endpoint, &granted.access_token) {
            // Many tell the address only there (OpenID Connect Core, 5.4).
            (None, Some(endpoint), Some(access)) => {
                let more = self.fetcher.get(endpoint, Some(access)).await?;
                Ok(person.with(&more).map_err(Failed::provider)?)
            }
            _ => Ok(person),
        }
    }

    /// What a token says, once it is known to be the provider's. A key that nobody knows is looked up anew, once.
    async fn claims(
        &self,
        discovery: &Discovery,
        token: &str,
        expected: &Expected<'_>,
        now: Timestamp,
    ) -> Result<token::Claims, Failed> {
        let known = self.known(&discovery.issuer, now).and_then(|known| known.keys);
        let is_fresh = known.is_none();
        let keys = match known {
            Some(keys) => keys,
            None => self.keys(discovery).await?,
        };
        match token::verify(token, &keys, expected) {
            Err(token::Refused::UnknownKey(_)) if !is_fresh => {
                let keys = self.keys(discovery).await?;
                token::verify(token, &keys, expected)
            }
            decided => decided,
        }
        .map_err(|refused| Failed::provider(refused.to_string()))
    }

    async fn keys(&self, discovery: &Discovery) -> Result<Arc<Keys>, Failed> {
        let document = self.fetcher.get(&discovery.jwks_uri, None).await?;
        let keys = Arc::new(Keys::read(&document).map_err(Failed::provider)?);
        let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = all.get_mut(&discovery.issuer) {
            known.keys = Some(keys.clone());
        }
        Ok(keys)
    }

    fn known(&self, issuer: &str, now: Timestamp) -> Option<Known> {
        let all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(issuer).filter(|known| known.until > now).cloned()
    }

    async fn discovery(&self, provider: &Provider, now: Timestamp) -> Result<Arc<Discovery>, Failed> {
        if let Some(known) = self.known(&provider.issuer, now) {
            return Ok(known.discovery);
        }
        if !is_safe(&provider.issuer) {
            return Err(Failed::provider(format!("`{}` is no https address", provider.issuer)));
        }
        let document = self.fetcher.get(&discovery::address(&provider.issuer), None).await?;
        let discovery = Arc::new(Discovery::read(&document, &provider.issuer).map_err(Failed::provider)?);
        let known = Known { discovery: discovery.clone(), keys: None, until: now + KEPT };
        let mut all = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        // Issuers of settings before a reload go with their time.
        all.retain(|_, known| known.until > now);
        all.insert(provider.issuer.clone(), known);
        Ok(discovery)
    }
}

/// The address to which a provider sends visitors back.
pub fn redirect_uri(site_url: &str, provider: &str) -> String {
    format!("{site_url}/login/with/{provider}/callback")
}

/// A question with secrets of its own.
fn question(discovery: &Discovery, provider: &Provider, redirect_uri: &str) -> Question {
    let [state, nonce, verifier] = [(); 3].map(|()| URL_SAFE_NO_PAD.encode(super::token::random::<32>()));
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()));
    let query = form_urlencoded::Serializer::new(String::new())
        .append_pair("response_type", "code")
        .append_pair("client_id", &provider.client_id)
        .append_pair("redirect_uri", redirect_uri)
        .append_pair("scope", "openid email profile")
        .append_pair("state", &state)
        .append_pair("nonce", &nonce)
        .append_pair("code_challenge", &challenge)
        .append_pair("code_challenge_method", "S256")
        .finish();
    // The endpoint may have a query of its own (RFC 6749, 3.1).
    let joint = if discovery.authorization_endpoint.contains('?') { '&' } else { '?' };
    Question { url: format!("{}{joint}{query}", discovery.authorization_endpoint), state, nonce, verifier }
}

#[cfg(test)]
mod tests;

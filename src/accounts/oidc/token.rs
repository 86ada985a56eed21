//! ID tokens: whether one is the provider's word, about this login, for this site (OpenID Connect Core, 3.1.3.7), and
//! whom it is about.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use jsonwebtoken::{Algorithm, Validation, decode, decode_header};
use serde_json::{Map, Value as Json};

use super::keys::Keys;

/// What a token says.
pub(super) type Claims = Map<String, Json>;

/// How far a provider's clock may be off, in seconds.
const LEEWAY: i64 = 60;

/// The most characters of a subject (OpenID Connect Core, 2).
const LONGEST_SUBJECT: usize = 255;

/// The most characters that are kept of a name and of an e-mail address.
const LONGEST_NAME: usize = 100;
const LONGEST_EMAIL: usize = 254;

/// The ways of signing that count. Those with a shared secret, and `none`, are not among them.
const ALGORITHMS: [Algorithm; 3] = [Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA];

/// What a token must say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected<'e> {
    /// Whose word it is.
    pub(super) issuer: &'e str,
    /// For whom.
    pub(super) client_id: &'e str,
    /// About which login.
    pub(super) nonce: &'e str,
    /// Now, in seconds since 1970.
    pub(super) now: i64,
}

/// Why a token doesn't count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// It is signed by a key that isn't known.
    UnknownKey(String),
    /// Anything else.
    Wrong(String),
}

impl fmt::Display for Refused {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refused::UnknownKey(id) => write!(out, "the id_token is signed by a key that is not known: `{id}`"),
            Refused::Wrong(why) => write!(out, "the id_token {why}"),
        }
    }
}

/// What a token says, if it counts.
///
/// # Errors
/// Why it doesn't.
pub(super) fn verify(token: &str, keys: &Keys, expected: &Expected<'_>) -> Result<Claims, Refused> {
    let header =
        decode_header(token).map_err(|error| Refused::Wrong(format!("has a head that can't be read: {error}")))?;
    if !ALGORITHMS.contains(&header.alg) {
        return Err(Refused::Wrong(format!("is signed by {:?}, which doesn't count", header.alg)));
    }
    let Some(key) = keys.find(header.kid.as_deref(), header.alg) else {
        return Err(Refused::UnknownKey(header.kid.unwrap_or_default()));
    };
    // The claims are held against our own clock below.
    let mut validation = Validation::new(header.alg);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_aud = false;
    let data = decode::<Claims>(token, key, &validation)
        .map_err(|error| Refused::Wrong(format!("can't be verified: {error}")))?;
    check(&data.claims, expected).map_err(Refused::Wrong)?;
    Ok(data.claims)
}

/// Whether the claims are about this login.
///
/// # Errors
/// The first that is not.
fn check(claims: &Claims, expected: &Expected<'_>) -> Result<(), String> {
    let text = |name: &str| claims.get(name).and_then(Json::as_str);
    if text("iss") != Some(expected.issuer) {
        return Err(format!("is of `{}`", text("iss").unwrap_or("")));
    }
    check_audience(claims, expected.client_id)?;
    let time = |name: &str| claims.get(name).and_then(Json::as_f64).map(|seconds| seconds as i64);
    match time("exp") {
        Some(end) if end.saturating_add(LEEWAY) > expected.now => {}
        end => return Err(format!("has expired: exp {end:?}, now {}", expected.now)),
    }
    let began = |name: &str| time(name).is_some_and(|moment| moment.saturating_sub(LEEWAY) <= expected.now);
    if !began("iat") || claims.contains_key("nbf") && !began("nbf") {
        return Err(format!("is of the future: iat {:?}, nbf {:?}, now {}", time("iat"), time("nbf"), expected.now));
    }
    let nonce = text("nonce").unwrap_or("");
    match verify_slices_are_equal(nonce.as_bytes(), expected.nonce.as_bytes()) {
        Ok(()) => Ok(()),
        Err(_) => Err("is about another login: its nonce is another one".into()),
    }
}

fn check_audience(claims: &Claims, client_id: &str) -> Result<(), String> {
    let (is_meant, several) = match claims.get("aud") {
        Some(Json::String(one)) => (one == client_id, false),
        Some(Json::Array(all)) => (all.iter().any(|one| one == client_id), all.len() > 1),
        _ => (false, false),
    };
    if !is_meant {
        return Err(format!("is for {}", claims.get("aud").unwrap_or(&Json::Null)));
    }
    match claims.get("azp") {
        None if !several => Ok(()),
        Some(Json::String(party)) if party == client_id => Ok(()),
        party => Err(format!("was given to {}", party.unwrap_or(&Json::Null))),
    }
}

/// Whom a token is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Person {
    /// Their name at the provider, which never changes.
    pub(crate) subject: String,
    /// Their e-mail address, in lower case.
    pub(crate) email: Option<String>,
    /// Whether the provider knows that the address is theirs.
    pub(crate) verified: bool,
    /// What they are called.
    pub(crate) name: Option<String>,
}

impl Person {
    /// Whom the claims are about.
    ///
    /// # Errors
    /// It isn't said.
    pub(super) fn of(claims: &Claims) -> Result<Person, String> {
        let subject = claims.get("sub").and_then(Json::as_str).unwrap_or("");
        if subject.is_empty() || subject.len() > LONGEST_SUBJECT {
            return Err("the id_token doesn't say whom it is about".into());
        }
        Ok(Person { subject: subject.to_string(), ..Person::default() }.told(claims))
    }

    /// The same with what the provider tells beside the token.
    ///
    /// # Errors
    /// It is about somebody else.
    pub(super) fn with(self, document: &Json) -> Result<Person, String> {
        match document.as_object() {
            // OpenID Connect Core, 5.3.2.
            Some(claims) if claims.get("sub").and_then(Json::as_str) == Some(&self.subject) => Ok(self.told(claims)),
            _ => Err("the userinfo is about somebody else".into()),
        }
    }

    /// Adds what is not known yet. Whether an address is theirs is said beside the address.
    fn told(mut self, claims: &Claims) -> Person {
        let text = |name: &str| claims.get(name).and_then(Json::as_str).map(str::trim).filter(|text| !text.is_empty());
        if self.email.is_none() {
            let fits = |email: &&str| email.len() <= LONGEST_EMAIL && email.contains('@');
            self.email = text("email").filter(fits).map(str::to_lowercase);
            // Some write it as a text.
            let verified = claims.get("email_verified");
            self.verified = self.email.is_some() && verified.is_some_and(|said| *said == true || *said == "true");
        }
        if self.name.is_none() {
            self.name = text("name").map(|name| name.chars().take(LONGEST_NAME).collect());
        }
        self
    }
}

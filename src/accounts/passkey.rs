//! Passkeys: the server's side of Web Authentication (W3C, "Web Authentication Level 3", section 7), as a login without
//! a password.
//!
//! A passkey stands for password and second factor together, so the authenticator has to have verified its user each
//! time. Which make it is doesn't matter here: attestation is neither asked for ("none") nor verified, because a site
//! for everybody has no list of makes that it trusts, and certificates of devices say much about people.
//!
//! What fails says why in words for the log. The visitor is told no more than that it didn't work.

mod authenticator;
mod client;
mod key;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use authenticator::AuthenticatorData;
use client::Ceremony;
use key::PublicKey;

/// How long a browser lets its user take, in milliseconds (section 15.1: five minutes for everybody's needs).
const TIMEOUT: u32 = 300_000;

/// Section 7.1: the longest id of a credential, in bytes.
const LONGEST_ID: usize = 1023;

/// Section 5.4.3: the longest user handle, in bytes.
const LONGEST_HANDLE: usize = 64;

/// The most bytes of one part of what a browser sends. Attestation statements with their certificates take a few
/// thousand.
const LONGEST_PART: usize = 64 * 1024;

/// The site, as browsers and authenticators know it.
#[derive(Clone, Copy, Debug)]
pub struct Site<'a> {
    /// The host without a port: the relying party's id, which a passkey is bound to for ever.
    pub id: &'a str,
    /// Scheme, host and port, as the browser writes them: `https://example.org`.
    pub origin: &'a str,
    /// What people call it.
    pub name: &'a str,
}

/// What is kept of a passkey.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passkey {
    /// The credential's id, in base64url.
    pub credential_id: String,
    /// The public key in COSE form, in base64url.
    pub public_key: String,
    /// The authenticator's count of signatures; 0 where it keeps none, as synced passkeys do.
    pub counter: i64,
}

/// The options for making a passkey, as `PublicKeyCredential.parseCreationOptionsFromJSON` takes them (section 5.4).
///
/// `challenge` is a text in base64url, such as [`token::new`](super::token::new) gives. `user_id` is the user handle of
/// 1 to 64 bytes, which comes back with each login. `exclude` are the ids of passkeys that the user has already.
pub fn creation_options(
    site: &Site<'_>,
    challenge: &str,
    user_id: &[u8],
    email: &str,
    name: Option<&str>,
    exclude: &[String],
) -> Value {
    json!({
        "rp": {"id": site.id, "name": site.name},
        "user": {
            "id": URL_SAFE_NO_PAD.encode(user_id),
            "name": email,
            "displayName": name.unwrap_or(email),
        },
        "challenge": challenge,
        "pubKeyCredParams": key::ALGORITHMS.map(|algorithm| json!({"type": "public-key", "alg": algorithm})),
        "timeout": TIMEOUT,
        "excludeCredentials": descriptors(exclude),
        "authenticatorSelection": {
            // A key that can't keep the passkey itself still works for who types an e-mail address first.
            "residentKey": "preferred",
            "requireResidentKey": false,
            "userVerification": "required",
        },
        "attestation": "none",
    })
}

/// The options for a login, as `PublicKeyCredential.parseRequestOptionsFromJSON` takes them (section 5.5). `allow` are
/// the ids of the user's passkeys; without any, the browser offers those that it knows for the site.
pub fn request_options(site: &Site<'_>, challenge: &str, allow: &[String]) -> Value {
    json!({
        "challenge": challenge,
        "timeout": TIMEOUT,
        "rpId": site.id,
        "allowCredentials": descriptors(allow),
        "userVerification": "required",
    })
}

fn descriptors(ids: &[String]) -> Vec<Value> {
    ids.iter().map(|id| json!({"type": "public-key", "id": id})).collect()
}

/// Reads a new passkey (section 7.1) out of the JSON of `credential.toJSON()`. `challenge` is the one of the options,
/// and the caller has seen to it that it is fresh and used once; that no other account has this passkey is the
/// caller's to check, too.
pub fn registered(site: &Site<'_>, challenge: &str, credential: &Value) -> Result<Passkey, String> {
    let id = sent_id(credential)?;
    client::check(&part(credential, "clientDataJSON")?, Ceremony::Create, challenge, site.origin)?;
    let data = authenticator::of_attestation(&part(credential, "attestationObject")?)?;
    check_site_and_user(&data, site)?;
    let made = data.credential.ok_or("the authenticator sent no new credential")?;
    if made.id != id {
        return Err("the credential's id is not the one that the authenticator made".to_string());
    }
    PublicKey::read(&made.key)?;
    Ok(Passkey {
        credential_id: URL_SAFE_NO_PAD.encode(&made.id),
        public_key: URL_SAFE_NO_PAD.encode(&made.key),
        counter: i64::from(data.counter),
    })
}

/// Checks a login with a passkey (section 7.2), out of the JSON of `credential.toJSON()`, and gives the counter that is
/// to be kept. `challenge` is the one of the options, and the caller has seen to it that it is fresh and used once. If
/// the credential brings a user handle, the caller compares it with the passkey's user.
pub fn asserted(site: &Site<'_>, challenge: &str, credential: &Value, stored: &Passkey) -> Result<i64, String> {
    let id = sent_id(credential)?;
    if URL_SAFE_NO_PAD.encode(id) != stored.credential_id {
        return Err("the credential is another one than the stored passkey".to_string());
    }
    let client_data = part(credential, "clientDataJSON")?;
    client::check(&client_data, Ceremony::Get, challenge, site.origin)?;
    let mut signed = part(credential, "authenticatorData")?;
    let data = AuthenticatorData::read(&signed)?;
    check_site_and_user(&data, site)?;
    signed.extend_from_slice(&Sha256::digest(&client_data));
    let key = decode(&stored.public_key, "the stored public key")?;
    if !PublicKey::read(&key)?.verifies(&signed, &part(credential, "signature")?) {
        return Err("the signature is not one of the passkey".to_string());
    }
    next_counter(stored.counter, i64::from(data.counter))
}

/// Section 6.1.1: a counter that doesn't grow speaks of a copied authenticator, unless there is none on both sides.
fn next_counter(stored: i64, sent: i64) -> Result<i64, String> {
    if sent > stored || (sent, stored) == (0, 0) {
        return Ok(sent);
    }
    Err(format!("the counter went from {stored} to {sent}: the authenticator may have been copied"))
}

/// Whether the authenticator signed for this site, with its user there and verified.
fn check_site_and_user(data: &AuthenticatorData, site: &Site<'_>) -> Result<(), String> {
    if data.site_hash != Sha256::digest(site.id.as_bytes())[..] {
        return Err(format!("the authenticator signed for another site than `{}`", site.id));
    }
    if !data.user_present {
        return Err("the authenticator saw no user".to_string());
    }
    if !data.user_verified {
        return Err("the authenticator didn't verify its user".to_string());
    }
    Ok(())
}

/// The id of the credential that was sent, by which its passkey is found. `None` when it can't be one.
pub fn credential_id(credential: &Value) -> Option<String> {
    sent_id(credential).ok().map(|id| URL_SAFE_NO_PAD.encode(id))
}

/// The user handle that came with a login: the `user_id` of the options that the passkey was made with.
pub fn user_handle(credential: &Value) -> Option<Vec<u8>> {
    let handle = part(credential, "userHandle").ok()?;
    (1..=LONGEST_HANDLE).contains(&handle.len()).then_some(handle)
}

/// The bytes of the credential's id.
fn sent_id(credential: &Value) -> Result<Vec<u8>, String> {
    if credential["type"] != "public-key" {
        return Err("the credential is no public key".to_string());
    }
    let id = decode(credential["id"].as_str().ok_or("the credential has no id")?, "the credential's id")?;
    if !(1..=LONGEST_ID).contains(&id.len()) {
        return Err(format!("the credential's id has {} bytes instead of 1 to {LONGEST_ID}", id.len()));
    }
    Ok(id)
}

/// The bytes of a part of the credential's response.
fn part(credential: &Value, name: &str) -> Result<Vec<u8>, String> {
    let text = credential["response"][name].as_str().ok_or_else(|| format!("the response has no `{name}`"))?;
    decode(text, name)
}

fn decode(text: &str, what: &str) -> Result<Vec<u8>, String> {
    if text.len() / 4 * 3 > LONGEST_PART {
        return Err(format!("{what} is longer than {LONGEST_PART} bytes"));
    }
    URL_SAFE_NO_PAD.decode(text).map_err(|error| format!("{what} is not base64url: {error}"))
}

#[cfg(test)]
mod tests;

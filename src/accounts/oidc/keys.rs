//! The keys that a provider signs with (RFC 7517).

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::Value as Json;

/// The keys that are read of one document; no provider has so many.
const MOST_KEYS: usize = 100;

/// A provider's keys.
#[derive(Clone, Debug, Default)]
pub(super) struct Keys(Vec<Key>);

#[derive(Clone, Debug)]
struct Key {
    id: Option<String>,
    algorithm: Algorithm,
    key: DecodingKey,
}

impl Keys {
    /// Reads a key set. Keys for other purposes, and of kinds that nobody here knows, are left out.
    ///
    /// # Errors
    /// It is none.
    pub(super) fn read(document: &Json) -> Result<Keys, String> {
        let Some(keys) = document.get("keys").and_then(Json::as_array) else {
            return Err("the provider's keys are no key set".into());
        };
        Ok(Keys(keys.iter().take(MOST_KEYS).filter_map(Key::read).collect()))
    }

    /// The key that a token's head names. A head without a name means the only key that fits.
    pub(super) fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Option<&DecodingKey> {
        let mut fitting = self.0.iter().filter(|key| key.algorithm == algorithm);
        match id {
            Some(id) => fitting.find(|key| key.id.as_deref() == Some(id)).map(|key| &key.key),
            None => fitting.next().filter(|_| fitting.next().is_none()).map(|key| &key.key),
        }
    }
}

impl Key {
    fn read(key: &Json) -> Option<Key> {
        let jwk: Jwk = serde_json::from_value(key.clone()).ok()?;
        if !matches!(jwk.common.public_key_use, None | Some(PublicKeyUse::Signature)) {
            return None;
        }
        let algorithm = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => Algorithm::RS256,
            AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => Algorithm::ES256,
            AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => Algorithm::EdDSA,
            _ => return None,
        };
        let named = key.get("alg").and_then(Json::as_str);
        if named.is_some_and(|named| named.parse::<Algorithm>().ok() != Some(algorithm)) {
            return None;
        }
        Some(Key { key: DecodingKey::from_jwk(&jwk).ok()?, id: jwk.common.key_id, algorithm })
    }
}

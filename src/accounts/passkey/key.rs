//! Public keys in COSE form (RFC 9052, section 7; RFC 9053; RFC 8230) and their signatures.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents,
};
use ciborium::Value;

use super::authenticator::cbor;

/// The algorithms in the order in which they are wished for: EdDSA with Ed25519, ES256, RS256. Section 5.4 recommends
/// these three to reach many authenticators.
pub(super) const ALGORITHMS: [i64; 3] = [EDDSA, ES256, RS256];

const EDDSA: i64 = -8;
const ES256: i64 = -7;
const RS256: i64 = -257;

/// Labels of a key's members and what they say (RFC 9053, section 7; RFC 8230, section 4).
const KEY_TYPE: i64 = 1;
const ALGORITHM: i64 = 3;
const CURVE: i64 = -1;
const X: i64 = -2;
const Y: i64 = -3;
const MODULUS: i64 = -1;
const EXPONENT: i64 = -2;
const OCTET_PAIR: i64 = 1;
const ELLIPTIC: i64 = 2;
const RSA: i64 = 3;
const P256: i64 = 1;
const CURVE_ED25519: i64 = 6;

/// Both coordinates of P-256, and a key of Ed25519.
const COORDINATE_BYTES: usize = 32;

/// RSA keys of 2048 to 8192 bits, with an exponent of at most 33 bits, as browsers make it.
const MODULUS_BYTES: std::ops::RangeInclusive<usize> = 256..=1024;
const EXPONENT_BYTES: std::ops::RangeInclusive<usize> = 1..=4;

/// A public key of one of the algorithms.
#[derive(Debug)]
pub(super) struct PublicKey(ParsedPublicKey);

impl PublicKey {
    /// Reads a key and checks that it is one (a point on its curve, for example).
    pub(super) fn read(cose: &[u8]) -> Result<PublicKey, String> {
        let mut rest = cose;
        let key = Members(cbor(&mut rest)?.into_map().map_err(|_| "the public key is no map")?);
        if !rest.is_empty() {
            return Err(format!("{} bytes follow the public key", rest.len()));
        }
        let algorithm = key.number(ALGORITHM)?;
        let parsed = match algorithm {
            EDDSA => key.ed25519()?,
            ES256 => key.p256()?,
            RS256 => key.rsa()?,
            other => return Err(format!("the public key is of algorithm {other}, which wasn't asked for")),
        };
        parsed.map(PublicKey).ok_or_else(|| format!("the public key is none of algorithm {algorithm}"))
    }

    /// Whether a signature over a message was made with the private key.
    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.0.verify_sig(message, signature).is_ok()
    }
}

/// The members of a key's map.
struct Members(Vec<(Value, Value)>);

impl Members {
    fn ed25519(&self) -> Result<Option<ParsedPublicKey>, String> {
        self.expect(KEY_TYPE, OCTET_PAIR)?;
        self.expect(CURVE, CURVE_ED25519)?;
        Ok(ParsedPublicKey::new(&ED25519, self.coordinate(X)?).ok())
    }

    fn p256(&self) -> Result<Option<ParsedPublicKey>, String> {
        self.expect(KEY_TYPE, ELLIPTIC)?;
        self.expect(CURVE, P256)?;
        // SEC 1, section 2.3.3: 4 marks a point that is written out.
        let point = [&[4], self.coordinate(X)?, self.coordinate(Y)?].concat();
        Ok(ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point).ok())
    }

    fn rsa(&self) -> Result<Option<ParsedPublicKey>, String> {
        self.expect(KEY_TYPE, RSA)?;
        let (n, e) = (self.bytes(MODULUS)?, self.bytes(EXPONENT)?);
        if !MODULUS_BYTES.contains(&n.len()) || !EXPONENT_BYTES.contains(&e.len()) {
            return Ok(None);
        }
        Ok(RsaPublicKeyComponents { n, e }.to_parsed_public_key(&RSA_PKCS1_2048_8192_SHA256).ok())
    }

    fn expect(&self, label: i64, wanted: i64) -> Result<(), String> {
        match self.number(label)? {
            found if found == wanted => Ok(()),
            found => Err(format!("member {label} of the public key is {found} instead of {wanted}")),
        }
    }

    fn coordinate(&self, label: i64) -> Result<&[u8], String> {
        let bytes = self.bytes(label)?;
        let right = bytes.len() == COORDINATE_BYTES;
        right.then_some(bytes).ok_or_else(|| format!("member {label} of the public key has {} bytes", bytes.len()))
    }

    fn number(&self, label: i64) -> Result<i64, String> {
        let number = self.get(label).and_then(Value::as_integer).and_then(|number| i64::try_from(number).ok());
        number.ok_or_else(|| format!("the public key has no number {label}"))
    }

    fn bytes(&self, label: i64) -> Result<&[u8], String> {
        let bytes = self.get(label).and_then(Value::as_bytes);
        bytes.map(Vec::as_slice).ok_or_else(|| format!("the public key has no bytes {label}"))
    }

    fn get(&self, label: i64) -> Option<&Value> {
        let label = Value::from(label);
        self.0.iter().find(|(key, _)| *key == label).map(|(_, value)| value)
    }
}

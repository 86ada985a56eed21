//! Tokens: secrets that a link, a cookie or a program carries, and what the database keeps of them.
//!
//! A token has so much chance in it that one SHA-256 without salt protects it: nobody can try them all, as they could
//! passwords (OWASP, "Forgot Password Cheat Sheet": random, long, stored hashed, single use).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

/// The bytes of a new token: 192 bits. A multiple of three, so that base64 leaves no spare bits and a token has one
/// spelling.
const TOKEN_BYTES: usize = 24;

/// A new token: 32 letters of base64url (RFC 4648, section 5) that stand for random bytes of the operating system.
pub fn new() -> String {
    URL_SAFE_NO_PAD.encode(random::<TOKEN_BYTES>())
}

/// What is kept of a token: its SHA-256 in lower-case hex.
pub fn hash(token: &str) -> String {
    Sha256::digest(token.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Random bytes of the operating system. Without them nothing secret can be made, so this panics (the request ends
/// with an error) rather than go on with less.
pub(super) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system gives random numbers");
    bytes
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn tokens_are_long_and_never_the_same() {
        let tokens: HashSet<String> = (0..1_000).map(|_| new()).collect();
        assert_eq!(tokens.len(), 1_000);
        let letter = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        assert!(tokens.iter().all(|token| token.len() == 32 && token.chars().all(letter)));
    }

    #[test]
    fn the_hash_is_sha_256_in_hex() {
        // FIPS 180-4, the example "abc".
        assert_eq!(hash("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_ne!(hash("abc"), hash("ABC"));
    }
}

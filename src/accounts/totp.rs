//! The second factor: codes of an authenticator app (RFC 6238), and recovery codes for when it is lost.
//!
//! SHA-1, six digits and steps of 30 seconds, because authenticator apps read nothing else reliably; HMAC is sound with
//! SHA-1 (RFC 6238, section 1.2; RFC 4226, appendix B.2).

use aws_lc_rs::{constant_time, hmac};
use jiff::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::token::{self, random};

/// RFC 4226, section 4: 160 bits of secret are recommended.
const SECRET_BYTES: usize = 20;

/// RFC 6238, section 5.2: the default step in seconds, and one step back and forth for clocks that differ.
const STEP: i64 = 30;
const WINDOW: i64 = 1;

/// The digits of a code.
const DIGITS: usize = 6;

/// A code that is longer than this, spaces included, is none.
const LONGEST_CODE: usize = 32;

/// RFC 4648, section 6.
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";

/// The letters of recovery codes: none that is easily taken for another one of them, so no i, l, o and u.
const CLEAR: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// How many recovery codes a user gets, of how many groups of four letters: 60 bits each.
const RECOVERY_CODES: usize = 10;
const GROUPS: usize = 3;

/// RFC 3986, section 2.3: what needs no encoding.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A new secret, in base32, as authenticator apps take it when it is typed.
pub fn secret() -> String {
    base32(&random::<SECRET_BYTES>())
}

/// The address that stands in the QR code, in the form that authenticator apps share ("Key Uri Format"). A colon parts
/// the issuer from the account there, so those in the issuer become spaces.
pub fn uri(secret: &str, account: &str, issuer: &str) -> String {
    let encoded = |text: &str| utf8_percent_encode(text, RESERVED).to_string();
    let issuer = encoded(&issuer.replace(':', " "));
    let account = encoded(account);
    format!(
        "otpauth://totp/{issuer}:{account}?secret={secret}&issuer={issuer}&algorithm=SHA1&digits={DIGITS}&period={STEP}"
    )
}

/// The time step that a code belongs to, when it is right: of this moment or one step beside it, and after the last
/// step that was used, so that each code opens once (RFC 6238, section 5.2). Whoever lets somebody in keeps the step,
/// in one statement with the condition that it is still later than the kept one.
pub fn step_of(secret: &str, code: &str, now: Timestamp, last_step: Option<i64>) -> Option<i64> {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &from_base32(secret)?);
    let code = digits(code)?;
    let current = now.as_second().div_euclid(STEP);
    let mut found = None;
    // All are compared, so that the time doesn't tell which one it was.
    for step in current - WINDOW..=current + WINDOW {
        let right = constant_time::verify_slices_are_equal(code_at(&key, step).as_bytes(), code.as_bytes()).is_ok();
        if right && last_step.is_none_or(|last| step > last) {
            found = Some(step);
        }
    }
    found
}

/// The code of a step: HOTP with the step as its counter (RFC 4226, section 5.3).
fn code_at(key: &hmac::Key, step: i64) -> String {
    let tag = hmac::sign(key, &step.to_be_bytes());
    let tag = tag.as_ref();
    let offset = usize::from(tag[tag.len() - 1] & 15);
    let four = [tag[offset] & 0x7f, tag[offset + 1], tag[offset + 2], tag[offset + 3]];
    let number = u32::from_be_bytes(four) % 10_u32.pow(DIGITS as u32);
    format!("{number:0DIGITS$}")
}

/// The code without the spaces that apps show and people type.
fn digits(code: &str) -> Option<String> {
    if code.len() > LONGEST_CODE {
        return None;
    }
    let code: String = code.chars().filter(|c| !c.is_whitespace()).collect();
    (code.len() == DIGITS && code.bytes().all(|byte| byte.is_ascii_digit())).then_some(code)
}

/// New recovery codes, such as `k7mq-2xwd-9hfp`. Each opens once, in place of a code of the app.
pub fn recovery_codes() -> Vec<String> {
    (0..RECOVERY_CODES).map(|_| recovery_code()).collect()
}

fn recovery_code() -> String {
    let letters: Vec<u8> = random::<{ GROUPS * 4 }>().map(|byte| CLEAR[usize::from(byte & 31)]).into();
    let groups: Vec<_> = letters.chunks(4).map(String::from_utf8_lossy).collect();
    groups.join("-")
}

/// What is kept of a recovery code, however it is typed: case, dashes and spaces don't matter, and a letter that isn't
/// used counts as the one that it looks like.
pub fn recovery_hash(code: &str) -> String {
    let letters = code.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase);
    let clear = letters.map(|letter| match letter {
        'o' => '0',
        'i' | 'l' => '1',
        other => other,
    });
    token::hash(&clear.collect::<String>())
}

/// Base32 without padding; the bytes are a multiple of five.
fn base32(bytes: &[u8]) -> String {
    let letter = |bits: u64, place: u32| char::from(BASE32[(bits >> (35 - 5 * place) & 31) as usize]);
    let groups = bytes.chunks(5).map(|group| group.iter().fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte)));
    groups.flat_map(|bits| (0..8).map(move |place| letter(bits, place))).collect()
}

/// The bytes of a secret. `None` when it isn't base32 or holds less than 128 bits (RFC 4226, section 4).
fn from_base32(text: &str) -> Option<Vec<u8>> {
    let (mut bytes, mut bits, mut held) = (Vec::with_capacity(SECRET_BYTES), 0_u32, 0_u32);
    for letter in text.trim_end_matches('=').bytes() {
        let value = BASE32.iter().position(|known| *known == letter.to_ascii_uppercase())?;
        bits = bits << 5 | value as u32;
        held += 5;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
            bits &= (1 << held) - 1;
        }
    }
    (bytes.len() >= 16).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// The secret of RFC 6238, appendix B: `12345678901234567890`.
    const SECRET: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// RFC 6238, appendix B, the rows of SHA-1; the codes there have eight digits, of which ours are the last six.
    #[test]
    fn codes_are_those_of_the_standard() {
        for (second, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
            (20_000_000_000, "353130"),
        ] {
            assert_eq!(step_of(SECRET, code, at(second), None), Some(second / 30), "{second}");
        }
    }

    /// RFC 4226, appendix D.
    #[test]
    fn counters_are_those_of_the_standard() {
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, b"12345678901234567890");
        let codes =
            ["755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871", "520489"];
        for (step, code) in codes.iter().enumerate() {
            assert_eq!(code_at(&key, step as i64), *code);
        }
    }

    #[test]
    fn a_code_is_right_for_a_step_before_and_after_its_own() {
        // The code of step 2: the seconds 60 to 89.
        let step = |second| step_of(SECRET, "359152", at(second), None);
        assert_eq!((step(29), step(30), step(60), step(119), step(120)), (None, Some(2), Some(2), Some(2), None));
    }

    #[test]
    fn a_code_opens_once() {
        let now = at(75);
        assert_eq!(step_of(SECRET, "359152", now, Some(1)), Some(2));
        assert_eq!(step_of(SECRET, "359152", now, Some(2)), None);
        assert_eq!(step_of(SECRET, "359152", now, Some(3)), None);
        assert_eq!(step_of(SECRET, "969429", now, Some(2)), Some(3));
    }

    #[test]
    fn spaces_are_ignored_and_nothing_else() {
        let right = |code: &str| step_of(SECRET, code, at(75), None).is_some();
        assert!(right("359152") && right(" 359 152\n"));
        for wrong in ["", "35915", "3591520", "359-152", "359152x", "٣٥٩١٥٢", &" ".repeat(100), "359153"] {
            assert!(!right(wrong), "{wrong}");
        }
    }

    #[test]
    fn a_secret_that_is_none_opens_nothing() {
        for secret in ["", "GEZDGNBV", "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJ1", "é"] {
            assert_eq!(step_of(secret, "359152", at(75), None), None, "{secret}");
        }
        assert_eq!(step_of(&SECRET.to_lowercase(), "359152", at(75), None), Some(2));
        assert_eq!(step_of(SECRET, "359152", Timestamp::MIN, None), None);
    }

    #[test]
    fn secrets_are_long_and_never_the_same() {
        let secrets: HashSet<String> = (0..1_000).map(|_| secret()).collect();
        assert_eq!(secrets.len(), 1_000);
        assert!(secrets.iter().all(|secret| secret.len() == 32 && from_base32(secret).unwrap().len() == 20));
        assert_eq!(base32(b"12345678901234567890"), SECRET);
        assert_eq!(from_base32(SECRET).unwrap(), b"12345678901234567890");
    }

    #[test]
    fn the_address_is_encoded() {
        assert_eq!(
            uri("ABC", "maria+a@example.org", "Müller: Bücher & mehr"),
            "otpauth://totp/M%C3%BCller%20%20B%C3%BCcher%20%26%20mehr:maria%2Ba%40example.org?secret=ABC\
             &issuer=M%C3%BCller%20%20B%C3%BCcher%20%26%20mehr&algorithm=SHA1&digits=6&period=30"
        );
    }

    #[test]
    fn recovery_codes_are_clear_and_never_the_same() {
        let codes: HashSet<String> = (0..100).flat_map(|_| recovery_codes()).collect();
        assert_eq!(codes.len(), 1_000);
        for code in codes {
            assert_eq!(code.split('-').map(str::len).collect::<Vec<_>>(), [4, 4, 4], "{code}");
            assert!(code.bytes().all(|letter| letter == b'-' || CLEAR.contains(&letter)), "{code}");
        }
    }

    #[test]
    fn recovery_codes_are_read_however_they_are_typed() {
        let hash = recovery_hash("k7m0-2x1d-9hfp");
        assert_eq!(hash.len(), 64);
        for typed in ["K7M0-2X1D-9HFP", " k7m02x1d9hfp ", "k7m0 2x1d 9hfp", "k7mo–2xld–9hfp", "k7mO-2xId-9hfp"] {
            assert_eq!(recovery_hash(typed), hash, "{typed}");
        }
        assert_ne!(recovery_hash("k7m0-2x1d-9hfq"), hash);
    }
}

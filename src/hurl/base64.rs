//! Base64 (RFC 4648), both alphabets: Hurl needs it for bodies, filters and basic authentication.

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL_SAFE: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The standard alphabet, with padding.
pub(super) fn encode(bytes: &[u8]) -> String {
    let mut text = encode_with(STANDARD, bytes);
    while !text.len().is_multiple_of(4) {
        text.push('=');
    }
    text
}

/// The alphabet for URLs, without padding.
pub(super) fn encode_url_safe(bytes: &[u8]) -> String {
    encode_with(URL_SAFE, bytes)
}

/// The standard alphabet; padding is required where it belongs.
pub(super) fn decode(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim_end_matches('=');
    let padding = text.len() - digits.len();
    if !text.len().is_multiple_of(4) || padding > 2 {
        return None;
    }
    decode_with(STANDARD, digits)
}

/// The alphabet for URLs; padding is not allowed.
pub(super) fn decode_url_safe(text: &str) -> Option<Vec<u8>> {
    decode_with(URL_SAFE, text)
}

/// The standard alphabet with or without padding, as in a Hurl file.
pub(super) fn decode_lenient(text: &str) -> Option<Vec<u8>> {
    decode_with(STANDARD, text.trim_end_matches('='))
}

fn encode_with(alphabet: &[u8; 64], bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let bits = chunk.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for digit in 0..=chunk.len() {
            text.push(alphabet[(bits >> (18 - 6 * digit) & 63) as usize] as char);
        }
    }
    text
}

fn decode_with(alphabet: &[u8; 64], digits: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(digits.len() * 3 / 4);
    for chunk in digits.as_bytes().chunks(4) {
        if chunk.len() == 1 {
            return None;
        }
        let mut bits = 0u32;
        for digit in chunk {
            bits = bits << 6 | u32::try_from(alphabet.iter().position(|known| known == digit)?).ok()?;
        }
        bits <<= 6 * (4 - chunk.len());
        bytes.extend(&bits.to_be_bytes()[1..chunk.len()]);
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vectors_of_rfc_4648_hold() {
        for (plain, coded) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg=="), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(encode(plain.as_bytes()), coded);
            assert_eq!(decode(coded).as_deref(), Some(plain.as_bytes()));
            let bare = coded.trim_end_matches('=');
            assert_eq!(encode_url_safe(plain.as_bytes()), bare);
            assert_eq!(decode_url_safe(bare).as_deref(), Some(plain.as_bytes()));
        }
    }

    #[test]
    fn what_is_no_base64_is_refused() {
        for text in ["Z", "Zg=", "Zg", "Z===", "Zm9v!", "Zm-_"] {
            assert_eq!(decode(text), None, "{text}");
        }
        assert_eq!(decode_url_safe("-_-_"), Some(vec![0xfb, 0xff, 0xbf]));
        assert_eq!(decode_lenient("Zg"), Some(vec![b'f']));
    }
}

//! Decodes the path of an address, exactly once, and refuses what could mean two things to two readers.

use std::borrow::Cow;

use super::Address;
use super::escape::{self, Escape};
use crate::problem::Problem;

/// Whether a raw path is as nearly all are: visible ASCII without escapes and backslashes, and no segment that is empty or
/// begins with a dot. It is its own decoded form, and its address is canonical.
pub(super) fn is_plain(raw: &str) -> bool {
    // Without branches: a slash is followed by neither a slash nor a dot.
    let (mut before, mut refused) = (0, 0);
    for byte in raw.bytes() {
        let kind = KINDS[usize::from(byte)];
        refused |= kind & (UNFIT | before << 2);
        before = kind & SLASH;
    }
    raw.starts_with('/') && refused == 0
}

/// What can't stand in a plain path.
const UNFIT: u8 = 1;
const SLASH: u8 = 2;
/// A slash or a dot.
const BADLY_BEGUN: u8 = SLASH << 2;

/// What each byte is to a plain path.
const KINDS: [u8; 256] = {
    let mut kinds = [UNFIT; 256];
    let mut byte = b'!';
    while byte <= b'~' {
        kinds[byte as usize] = match byte {
            b'%' | b'\\' => UNFIT,
            b'/' => SLASH | BADLY_BEGUN,
            b'.' => BADLY_BEGUN,
            _ => 0,
        };
        byte += 1;
    }
    kinds
};

/// Decodes a raw path. Borrowed when there was nothing to decode.
///
/// `Malformed`: an escape that is not `%` and two digits; an encoded slash; a backslash or a control character, raw or
/// encoded; bad UTF-8; a `.` or `..` segment, raw or encoded; a path that doesn't begin with a slash.
pub fn decode_path(raw: &str) -> Result<Cow<'_, str>, Problem> {
    if !raw.starts_with('/') {
        return Err(Problem::malformed("The address must begin with a slash."));
    }
    let decoded = if raw.contains('%') { Cow::Owned(unescape(raw)?) } else { Cow::Borrowed(raw) };
    if decoded.bytes().any(may_be_refused) && decoded.contains(|c: char| c == '\\' || c.is_control()) {
        return Err(Problem::malformed("The address contains a backslash or a control character."));
    }
    if decoded.contains("/.") && decoded.split('/').any(|segment| segment == "." || segment == "..") {
        return Err(Problem::malformed("The address contains a segment of dots."));
    }
    Ok(decoded)
}

/// Whether a byte is, or may begin, a character that no path may hold: nearly all paths have none of them.
fn may_be_refused(byte: u8) -> bool {
    !matches!(byte, b' '..=b'~') || byte == b'\\'
}

/// Whether a raw path has empty segments, and if so the address without them.
pub(super) fn collapse(path: &str, query: Option<&str>) -> Address {
    if !path.contains("//") {
        return Address::Canonical;
    }
    let mut collapsed = String::with_capacity(path.len());
    for segment in path.split('/').filter(|segment| !segment.is_empty()) {
        collapsed.push('/');
        collapsed.push_str(segment);
    }
    if path.ends_with('/') {
        collapsed.push('/');
    }
    if let Some(query) = query {
        collapsed.push('?');
        collapsed.push_str(query);
    }
    Address::Collapsed(collapsed)
}

fn unescape(raw: &str) -> Result<String, Problem> {
    let bytes = escape::decode(raw.as_bytes(), Escape::Percent)
        .ok_or_else(|| Problem::malformed("The address contains a broken % escape."))?;
    if bytes.iter().filter(|byte| **byte == b'/').count() != raw.matches('/').count() {
        return Err(Problem::malformed("The address contains an encoded slash."));
    }
    String::from_utf8(bytes).map_err(|_| Problem::malformed("The address is not valid UTF-8."))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_refused() {
        let refused = [
            "",
            "*",
            "a",
            "/a%2fb",
            "/a%2Fb",
            "/a\\b",
            "/a%5cb",
            "/a%00",
            "/a%0a",
            "/a%7f",
            "/%c2%85",
            "/%",
            "/%4",
            "/%zz",
            "/%ff",
            "/%c0%af",
            "/%ed%a0%80",
            "/..",
            "/../etc/passwd",
            "/a/..",
            "/a/../b",
            "/./a",
            "/a/.",
            "/%2e%2e/a",
            "/.%2e/a",
            "/%2e",
            "/a/%2e%2E",
            "/a\u{0}",
            "/a\u{7f}",
        ];
        for raw in refused {
            assert!(decode_path(raw).is_err(), "{raw:?} was accepted");
        }
    }

    #[test]
    fn what_is_decoded() {
        let decoded = [
            ("/", "/"),
            ("/a/b", "/a/b"),
            ("/a%20b", "/a b"),
            ("/%41", "/A"),
            ("/caf%C3%A9", "/café"),
            ("/%252e%252e/a", "/%2e%2e/a"),
            ("/a%252fb", "/a%2fb"),
            ("/...", "/..."),
            ("/..a/b..", "/..a/b.."),
            ("/a+b;c=d", "/a+b;c=d"),
        ];
        for (raw, expected) in decoded {
            assert_eq!(decode_path(raw).unwrap(), expected, "{raw:?}");
        }
    }

    #[test]
    fn empty_segments_collapse() {
        assert_eq!(collapse("/a/b", Some("x")), Address::Canonical);
        assert_eq!(collapse("//a", None), Address::Collapsed("/a".into()));
        assert_eq!(collapse("//evil.example//", Some("q=//")), Address::Collapsed("/evil.example/?q=//".into()));
        assert_eq!(collapse("//", None), Address::Collapsed("/".into()));
    }

    proptest! {
        #[test]
        fn any_text_encoded_comes_back(text in "[^/\\\\\\p{Cc}]{1,40}") {
            prop_assume!(text != "." && text != "..");
            let encoded: String = text.bytes().map(|byte| format!("%{byte:02x}")).collect();
            let raw = format!("/x/{encoded}");
            prop_assert_eq!(decode_path(&raw).unwrap(), format!("/x/{text}"));
        }

        #[test]
        fn what_passes_is_safe(raw in "/[ -~]{0,30}|/([.%/a2efEF5cC]{1,3}){0,10}") {
            if let Ok(path) = decode_path(&raw) {
                prop_assert!(path.starts_with('/'));
                prop_assert_eq!(path.matches('/').count(), raw.matches('/').count());
                prop_assert!(!path.contains('\\') && !path.chars().any(char::is_control));
                prop_assert!(path.split('/').all(|segment| segment != "." && segment != ".."));
            }
        }

        #[test]
        fn a_plain_path_is_decoded_and_canonical(raw in "[ -~é\u{7f}]{0,4}|(/|/a|/[.]|/%41|/b[.]c|\\\\){0,8}") {
            if is_plain(&raw) {
                prop_assert_eq!(decode_path(&raw).unwrap(), raw.as_str());
                prop_assert_eq!(collapse(&raw, None), Address::Canonical);
            }
        }

        #[test]
        fn a_collapsed_address_is_canonical(path in "(/|/a){0,8}") {
            let path = format!("/{path}");
            if let Address::Collapsed(to) = collapse(&path, None) {
                prop_assert_eq!(collapse(&to, None), Address::Canonical);
            }
        }
    }
}

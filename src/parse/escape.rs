//! Undoes `%` escapes strictly: a broken one is an error, never passed through.

/// Which escapes a text uses.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Escape {
    /// `%20` only: paths.
    Percent,
    /// `%20`, and `+` for a space: queries and urlencoded forms.
    Form,
}

/// The bytes that a text stands for; `None` when an escape is broken.
pub(super) fn decode(text: &[u8], escape: Escape) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    while let Some(byte) = rest.next() {
        decoded.push(match byte {
            b'%' => digit(*rest.next()?)? << 4 | digit(*rest.next()?)?,
            b'+' if escape == Escape::Form => b' ',
            other => *other,
        });
    }
    Some(decoded)
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

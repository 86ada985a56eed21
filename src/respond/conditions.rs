//! Conditional requests (RFC 9110, 13): whether the client has the answer already, or asks for another state of it.
//!
//! Pure. An ETag here names bytes; a compressed form of the same bytes has the same tag with `-gzip`, `-br` or `-zstd`
//! added. A client that has any of these forms has the answer.

use std::time::UNIX_EPOCH;

use http::header::{HeaderValue, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE};

use crate::flow::Headers;

/// What an answer's state is known by.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct State<'a> {
    /// The ETag of the answer as it is, with quotes, perhaps weak.
    pub(super) etag: Option<&'a [u8]>,
    /// Time of change in seconds since the epoch.
    pub(super) modified: Option<u64>,
}

/// What a condition comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Answer as if there were no condition.
    Proceed,
    /// 304. The tag that the client named, if it did.
    NotModified(Option<HeaderValue>),
    /// 412.
    Failed,
}

/// Weighs the conditions of a GET or HEAD in the order of RFC 9110, 13.2.2.
pub(super) fn weigh(headers: &Headers, state: State<'_>) -> Outcome {
    if headers.has(IF_MATCH) {
        if state.etag.is_none_or(|tag| find(headers, IF_MATCH, |named| strong(named, tag)).is_none()) {
            return Outcome::Failed;
        }
    } else if let (Some(since), Some(modified)) = (date(headers, IF_UNMODIFIED_SINCE), state.modified)
        && modified > since
    {
        return Outcome::Failed;
    }
    if headers.has(IF_NONE_MATCH) {
        let Some(tag) = state.etag else { return Outcome::Proceed };
        return match find(headers, IF_NONE_MATCH, |named| weak(named, tag)) {
            Some(named) if named == b"*" => Outcome::NotModified(None),
            Some(named) => Outcome::NotModified(HeaderValue::from_bytes(named).ok()),
            None => Outcome::Proceed,
        };
    }
    match (date(headers, IF_MODIFIED_SINCE), state.modified) {
        (Some(since), Some(modified)) if modified <= since => Outcome::NotModified(None),
        _ => Outcome::Proceed,
    }
}

/// Whether `If-Range` lets a part be sent: it is absent, or names exactly this state.
pub(super) fn range_holds(headers: &Headers, state: State<'_>) -> bool {
    let Some(value) = headers.get(IF_RANGE) else { return true };
    if value.contains(&b'"') {
        // A part of one form is no part of another, so the tag must be this very one.
        return state.etag == Some(value) && !value.starts_with(b"W/");
    }
    // A date is exact or it says nothing.
    date(headers, IF_RANGE).is_some() && date(headers, IF_RANGE) == state.modified
}

/// The first tag of a list that fits.
fn find(headers: &Headers, name: impl AsRef<str>, fits: impl Fn(&[u8]) -> bool) -> Option<&[u8]> {
    headers.all(name).flat_map(tags).find(|named| *named == b"*" || fits(named))
}

/// The tags of a list, with their quotes. A tag may contain a comma.
fn tags(list: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = list;
    std::iter::from_fn(move || {
        let start = rest.iter().position(|byte| !matches!(byte, b' ' | b'\t' | b','))?;
        rest = &rest[start..];
        let open = rest.iter().position(|byte| *byte == b'"').filter(|at| *at == 0 || &rest[..*at] == b"W/");
        let end = match open {
            Some(at) => at + 2 + rest[at + 1..].iter().position(|byte| *byte == b'"')?,
            None => rest.iter().position(|byte| *byte == b',').unwrap_or(rest.len()),
        };
        let tag = &rest[..end];
        rest = &rest[end..];
        Some(tag)
    })
}

/// Strong comparison: neither is weak.
fn strong(named: &[u8], tag: &[u8]) -> bool {
    !named.starts_with(b"W/") && !tag.starts_with(b"W/") && same_bytes(named, tag)
}

/// Weak comparison. Proxies that compress by themselves make our strong tags weak.
fn weak(named: &[u8], tag: &[u8]) -> bool {
    let bare = |tag| <[u8]>::strip_prefix(tag, b"W/").unwrap_or(tag);
    same_bytes(bare(named), bare(tag))
}

/// Whether a tag names the bytes of `tag`, as they are or compressed.
fn same_bytes(named: &[u8], tag: &[u8]) -> bool {
    let form = named.strip_prefix(tag.strip_suffix(b"\"").unwrap_or(tag));
    matches!(form, Some(b"\"" | b"-gzip\"" | b"-br\"" | b"-zstd\""))
}

/// A date in seconds since the epoch; a date that can't be read is ignored.
fn date(headers: &Headers, name: impl AsRef<str>) -> Option<u64> {
    let time = httpdate::parse_http_date(headers.text(name)?).ok()?;
    time.duration_since(UNIX_EPOCH).ok().map(|since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use http::header::HeaderName;

    use super::*;

    const STATE: State<'_> = State { etag: Some(b"\"abc\""), modified: Some(784_111_777) };
    const THEN: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";

    fn headers(lines: &[(HeaderName, &'static str)]) -> Headers {
        let mut headers = Headers::default();
        lines.iter().for_each(|(name, value)| headers.push(name.as_str().as_bytes(), value.as_bytes()));
        headers
    }

    fn not_modified(tag: &'static str) -> Outcome {
        Outcome::NotModified(Some(HeaderValue::from_static(tag)))
    }

    #[test]
    fn conditions_are_weighed() {
        let cases = [
            (vec![], Outcome::Proceed),
            (vec![(IF_NONE_MATCH, "\"abc\"")], not_modified("\"abc\"")),
            (vec![(IF_NONE_MATCH, "W/\"abc\"")], not_modified("W/\"abc\"")),
            (vec![(IF_NONE_MATCH, "\"x,y\" , \"abc-br\"")], not_modified("\"abc-br\"")),
            (vec![(IF_NONE_MATCH, "*")], Outcome::NotModified(None)),
            (vec![(IF_NONE_MATCH, "\"ab\", \"abcd\", abc, \"abc-lz\"")], Outcome::Proceed),
            (vec![(IF_NONE_MATCH, "\"abc")], Outcome::Proceed),
            (vec![(IF_NONE_MATCH, "\"x\""), (IF_MODIFIED_SINCE, THEN)], Outcome::Proceed),
            (vec![(IF_MODIFIED_SINCE, THEN)], Outcome::NotModified(None)),
            (vec![(IF_MODIFIED_SINCE, BEFORE)], Outcome::Proceed),
            (vec![(IF_MODIFIED_SINCE, "yesterday")], Outcome::Proceed),
            (vec![(IF_MATCH, "\"abc\"")], Outcome::Proceed),
            (vec![(IF_MATCH, "*")], Outcome::Proceed),
            (vec![(IF_MATCH, "W/\"abc\"")], Outcome::Failed),
            (vec![(IF_MATCH, "\"x\"")], Outcome::Failed),
            (vec![(IF_MATCH, "\"abc\""), (IF_UNMODIFIED_SINCE, BEFORE)], Outcome::Proceed),
            (vec![(IF_UNMODIFIED_SINCE, BEFORE)], Outcome::Failed),
            (vec![(IF_UNMODIFIED_SINCE, THEN)], Outcome::Proceed),
            (vec![(IF_MATCH, "\"abc\""), (IF_NONE_MATCH, "\"abc\"")], not_modified("\"abc\"")),
        ];
        for (lines, expected) in cases {
            assert_eq!(weigh(&headers(&lines), STATE), expected, "{lines:?}");
        }
        assert_eq!(weigh(&headers(&[(IF_MATCH, "*")]), State::default()), Outcome::Failed);
    }

    #[test]
    fn a_part_is_sent_of_the_very_same_state_only() {
        let cases = [
            ("\"abc\"", true),
            ("W/\"abc\"", false),
            ("\"abc-br\"", false),
            ("\"x\"", false),
            (THEN, true),
            (BEFORE, false),
            ("garbage", false),
        ];
        for (value, expected) in cases {
            assert_eq!(range_holds(&headers(&[(IF_RANGE, value)]), STATE), expected, "{value}");
        }
        assert!(range_holds(&Headers::default(), STATE));
        assert!(!range_holds(&headers(&[(IF_RANGE, "W/\"a\"")]), State { etag: Some(b"W/\"a\""), modified: None }));
    }
}

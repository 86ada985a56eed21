//! Lines of a query file as words: `key=value`, values perhaps in double quotes, each with its place.

use std::borrow::Cow;
use std::sync::Arc;

use crate::problem::{Fault, Place};

/// A file being read; finds the place of each of its parts.
#[derive(Clone, Debug)]
pub(super) struct Text<'s> {
    pub(super) path: Arc<str>,
    pub(super) source: &'s str,
}

impl Text<'_> {
    /// The place of a part, which must be a slice of the file's text.
    pub(super) fn place(&self, part: &str) -> Place {
        let from = self.offset(part);
        Place::of(self.path.clone(), self.source, from, from + part.len())
    }

    /// The byte where a part begins.
    pub(super) fn offset(&self, part: &str) -> usize {
        (part.as_ptr() as usize).saturating_sub(self.source.as_ptr() as usize).min(self.source.len())
    }

    /// A fault at a part.
    pub(super) fn fault(&self, message: impl Into<String>, part: &str) -> Fault {
        Fault::error(message, self.place(part))
    }
}

/// A word, or `key=value`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Word<'s> {
    /// All of it, as it stands in the file.
    pub(super) whole: &'s str,
    /// What stands before the first `=`; all of it where there is none.
    pub(super) key: &'s str,
    /// What stands behind it, without its quotes.
    pub(super) value: Option<Cow<'s, str>>,
}

/// Takes the first word off a text; `None` at the end. In quotes, a doubled quote stands for itself.
///
/// # Errors
/// The word that begins a quotation which doesn't end.
pub(super) fn next_word<'s>(text: &mut &'s str) -> Option<Result<Word<'s>, &'s str>> {
    let rest = text.trim_start();
    if rest.is_empty() {
        return None;
    }
    let bare_end = rest.find(char::is_whitespace).unwrap_or(rest.len());
    let (key_end, value_start) = match rest[..bare_end].find('=') {
        Some(at) => (at, at + 1),
        None => (bare_end, bare_end),
    };
    let value = &rest[value_start..];
    let (end, value) = match value.strip_prefix('"') {
        _ if value_start == key_end => (bare_end, None),
        None => (bare_end, Some(Cow::Borrowed(&rest[value_start..bare_end]))),
        Some(inside) => match quotation_end(inside) {
            Some(length) => (value_start + length + 2, Some(Cow::Owned(inside[..length].replace("\"\"", "\"")))),
            None => {
                *text = "";
                return Some(Err(rest));
            }
        },
    };
    *text = &rest[end..];
    Some(Ok(Word { whole: &rest[..end], key: &rest[..key_end], value }))
}

/// The length of what stands before the closing quote.
fn quotation_end(inside: &str) -> Option<usize> {
    let mut at = 0;
    loop {
        at += inside[at..].find('"')?;
        match inside[at + 1..].starts_with('"') {
            true => at += 2,
            false => return Some(at),
        }
    }
}

/// All words of a text; a quotation that doesn't end becomes a fault and ends them.
pub(super) fn words<'s>(file: &Text, mut text: &'s str, faults: &mut Vec<Fault>) -> Vec<Word<'s>> {
    let mut words = Vec::new();
    while let Some(word) = next_word(&mut text) {
        match word {
            Ok(word) => words.push(word),
            Err(part) => faults.push(file.fault("this quotation doesn't end", part).help("close it with `\"`")),
        }
    }
    words
}

/// Whether a text may name a parameter, a query or a computed value.
pub(super) fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// The longest name that a text begins with; empty when it begins with none.
pub(super) fn leading_name(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
    if is_name(&text[..end]) { &text[..end] } else { "" }
}

/// The span of `30s`, `15m`, `24h`, `7d` in seconds; not 0.
pub(super) fn read_span(text: &str) -> Option<u64> {
    let unit = text.chars().last()?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3_600,
        'd' => 86_400,
        _ => return None,
    };
    let count = &text[..text.len() - 1];
    let count: u64 = count.bytes().all(|byte| byte.is_ascii_digit()).then(|| count.parse().ok())??;
    count.checked_mul(seconds).filter(|seconds| *seconds > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_with_and_without_quotes() {
        let source = r#"a min=1 in="x, ""y""" when=:sort=top empty= q="""" z"#;
        let file = Text { path: "a.sql".into(), source };
        let mut faults = Vec::new();
        let found: Vec<_> = words(&file, source, &mut faults)
            .into_iter()
            .map(|word| (word.key.to_string(), word.value.map(Cow::into_owned)))
            .collect();
        let some = |text: &str| Some(text.to_string());
        assert_eq!(faults, []);
        assert_eq!(
            found,
            [
                ("a".to_string(), None),
                ("min".into(), some("1")),
                ("in".into(), some("x, \"y\"")),
                ("when".into(), some(":sort=top")),
                ("empty".into(), some("")),
                ("q".into(), some("\"")),
                ("z".into(), None),
            ]
        );
    }

    #[test]
    fn an_open_quotation_is_a_fault_with_its_place() {
        let source = "a b=\"c d";
        let file = Text { path: "a.sql".into(), source };
        let mut faults = Vec::new();
        assert_eq!(words(&file, source, &mut faults).len(), 1);
        let place = faults[0].place.clone().unwrap();
        assert_eq!((place.line, place.column, place.width), (1, 3, 6));
    }

    #[test]
    fn spans_of_time() {
        assert_eq!(read_span("24h"), Some(86_400));
        for text in ["", "h", "0s", "-1h", "1.5h", "99999999999999999999d", "1w", "+1h"] {
            assert_eq!(read_span(text), None, "{text}");
        }
    }
}

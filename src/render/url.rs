//! The addresses that templates build: a route filled with values.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::value::Value;

/// What stands in a path segment as it is: RFC 3986 "unreserved".
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A text as one segment of a path, or as a name or value of a query string.
pub(super) fn encode(text: &str) -> String {
    utf8_percent_encode(text, SEGMENT).to_string()
}

/// The address of a route: `[name]` is replaced by the argument of that name, `[...rest]` by its segments; arguments
/// that the route doesn't name become the query string (null ones are left out, lists are repeated).
///
/// # Errors
/// A message for the site's author when an argument of the route is missing or empty.
pub(super) fn fill(route: &str, arguments: &[(String, Value)]) -> Result<String, String> {
    let mut used = Vec::new();
    let mut out = String::with_capacity(route.len() + 16);
    let mut rest = route;
    while let Some((before, name, after)) = hole(rest) {
        out.push_str(before);
        let plain = name.trim_start_matches("...");
        let argument = arguments.iter().find(|(known, _)| known == plain).map(|(_, value)| value.to_string());
        let text = argument.filter(|text| !text.is_empty() && text != "." && text != "..");
        let text = text.ok_or_else(|| format!("`{route}` needs a value for `{plain}`"))?;
        match name == plain {
            true => out.push_str(&encode(&text)),
            false => out.push_str(&text.split('/').map(encode).collect::<Vec<_>>().join("/")),
        }
        used.push(plain);
        rest = after;
    }
    out.push_str(rest);
    let query = arguments.iter().filter(|(name, _)| !used.contains(&name.as_str()));
    append_query(&mut out, query);
    Ok(out)
}

/// The text before the next `[name]`, the name, and the text after it.
fn hole(text: &str) -> Option<(&str, &str, &str)> {
    let (before, rest) = text.split_once('[')?;
    let (name, after) = rest.split_once(']')?;
    Some((before, name, after))
}

fn append_query<'a>(out: &mut String, pairs: impl Iterator<Item = &'a (String, Value)>) {
    for (name, value) in pairs {
        let items = match value {
            Value::Null => &[],
            Value::List(items) => &items[..],
            other => std::slice::from_ref(other),
        };
        for item in items {
            out.push(if out.contains('?') { '&' } else { '?' });
            out.push_str(&encode(name));
            out.push('=');
            out.push_str(&encode(&item.to_string()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_are_filled() {
        let given = |pairs: &[(&str, Value)]| -> Vec<(String, Value)> {
            pairs.iter().map(|(name, value)| (name.to_string(), value.clone())).collect()
        };
        let cases = [
            ("/cart", given(&[]), Ok("/cart")),
            ("/p/[slug]", given(&[("slug", "a b/ü".into())]), Ok("/p/a%20b%2F%C3%BC")),
            ("/d/[...path]", given(&[("path", "a/b c".into())]), Ok("/d/a/b%20c")),
            (
                "/s",
                given(&[("q", "x&y".into()), ("page", Value::Int(2)), ("tag", Value::Null)]),
                Ok("/s?q=x%26y&page=2"),
            ),
            ("/s?a=1", given(&[("t", Value::List([Value::Int(1), Value::Int(2)].into()))]), Ok("/s?a=1&t=1&t=2")),
            ("/p/[slug]", given(&[]), Err("`/p/[slug]` needs a value for `slug`")),
            ("/p/[slug]", given(&[("slug", Value::Null)]), Err("`/p/[slug]` needs a value for `slug`")),
            ("/p/[slug]", given(&[("slug", "..".into())]), Err("`/p/[slug]` needs a value for `slug`")),
        ];
        for (route, arguments, expected) in cases {
            let found = fill(route, &arguments);
            assert_eq!(found.as_deref().map_err(String::as_str), expected);
        }
    }
}

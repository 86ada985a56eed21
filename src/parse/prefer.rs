//! What a visitor prefers: the type of an answer and its language (RFC 9110, 12.5).

use http::header::{ACCEPT, ACCEPT_LANGUAGE};

use crate::flow::{Headers, visible};
use crate::weighed::weighed;

/// Which of `offered` the `Accept` header prefers; the first when nothing is asked, `None` when none will do.
///
/// Offered types are full ones such as `text/html`, in the site's order. Of equal weights the one that was named more
/// exactly wins, so that `application/json, */*` gets JSON.
pub fn preferred<'o>(headers: &Headers, offered: impl IntoIterator<Item = &'o str>) -> Option<&'o str> {
    let mut offered = offered.into_iter().peekable();
    if suits_best(headers, offered.peek()?) {
        return offered.next();
    }
    let mut best: Option<(&'o str, (u16, u8))> = None;
    for kind in offered {
        let rank = type_rank(headers, kind);
        if rank.0 > 0 && best.is_none_or(|(_, known)| rank > known) {
            best = Some((kind, rank));
        }
    }
    best.map(|(kind, _)| kind)
}

/// Whether nothing can be preferred to the type that is offered first. It is what browsers and most programs say, and is seen
/// without taking the header apart.
fn suits_best(headers: &Headers, first: &str) -> bool {
    let mut said = headers.all(ACCEPT);
    let (Some(accept), None) = (said.next(), said.next()) else { return !headers.has(ACCEPT) };
    let named = || accept.strip_prefix(first.as_bytes()).is_some_and(|rest| matches!(rest.first(), None | Some(b',')));
    accept == b"*/*" || named()
}

/// Whether a program asks: JSON is preferred to HTML.
pub fn prefers_json(headers: &Headers) -> bool {
    preferred(headers, ["text/html", "application/json"]) == Some("application/json")
}

/// The weight of a type and how exactly it was named; the most exact naming counts.
fn type_rank(headers: &Headers, kind: &str) -> (u16, u8) {
    let group = kind.split_once('/').map_or("", |(group, _)| group);
    let mut rank = (0, 0);
    for (range, weight) in alternatives(headers, ACCEPT) {
        let exactness = match range.split_once('/') {
            _ if range.eq_ignore_ascii_case(kind) => 3,
            Some((name, "*")) if name.eq_ignore_ascii_case(group) => 2,
            Some(("*", "*")) => 1,
            _ => continue,
        };
        if exactness > rank.1 {
            rank = (weight, exactness);
        }
    }
    rank
}

/// Which of a site's `locales` (`de`, `en-GB`) `Accept-Language` prefers; the first when none matches.
///
/// A range matches a locale that equals it, that is more general (`de-AT` takes `de`) or more special (`de` takes
/// `de-CH`), in this order.
pub fn locale<'o>(headers: &Headers, locales: &[&'o str]) -> Option<&'o str> {
    let mut best: Option<(&'o str, u16)> = None;
    for (range, weight) in alternatives(headers, ACCEPT_LANGUAGE) {
        if weight > best.map_or(0, |(_, weight)| weight)
            && let Some(found) = match_language(range, locales)
        {
            best = Some((found, weight));
        }
    }
    best.map(|(found, _)| found).or_else(|| locales.first().copied())
}

fn match_language<'o>(range: &str, locales: &[&'o str]) -> Option<&'o str> {
    let general = |long: &str, short: &str| {
        long.get(..short.len()).is_some_and(|head| head.eq_ignore_ascii_case(short))
            && long.as_bytes().get(short.len()) == Some(&b'-')
    };
    let equal = locales.iter().find(|locale| range.eq_ignore_ascii_case(locale));
    let wider = || locales.iter().filter(|locale| general(range, locale)).max_by_key(|locale| locale.len());
    let narrower = || locales.iter().find(|locale| general(locale, range));
    equal.or_else(wider).or_else(narrower).copied()
}

fn alternatives(headers: &Headers, name: impl AsRef<str>) -> impl Iterator<Item = (&str, u16)> {
    headers.all(name).filter_map(visible).flat_map(weighed)
}

#[cfg(test)]
mod tests {
    use http::header::HeaderName;

    use super::*;

    fn with(name: HeaderName, value: &'static str) -> Headers {
        let mut headers = Headers::default();
        headers.push(name.as_str().as_bytes(), value.as_bytes());
        headers
    }

    #[test]
    fn types_are_chosen_by_weight_then_exactness_then_order() {
        let offered = ["text/html", "application/json"];
        let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
        let cases = [
            (browser, Some("text/html")),
            ("*/*", Some("text/html")),
            ("application/json", Some("application/json")),
            ("application/json, text/plain, */*", Some("application/json")),
            ("text/*;q=0.5, application/json;q=0.4", Some("text/html")),
            ("text/html;q=0, */*", Some("application/json")),
            ("APPLICATION/JSON;charset=utf-8", Some("application/json")),
            ("image/png", None),
            ("text/html;q=0, text/html", None),
            ("text/htmlx, application/json", Some("application/json")),
            ("", None),
        ];
        for (accept, expected) in cases {
            assert_eq!(preferred(&with(ACCEPT, accept), offered), expected, "{accept}");
        }
        assert_eq!(preferred(&Headers::default(), offered), Some("text/html"));
    }

    #[test]
    fn languages_are_matched_both_ways() {
        let locales = ["en", "de", "pt-BR"];
        let cases = [
            ("de-AT, en;q=0.9", "de"),
            ("fr, pt;q=0.5", "pt-BR"),
            ("DE", "de"),
            ("fr", "en"),
            ("de;q=0, en", "en"),
            ("d, *", "en"),
            ("en;q=0.1, de;q=0.2", "de"),
        ];
        for (accept, expected) in cases {
            assert_eq!(locale(&with(ACCEPT_LANGUAGE, accept), &locales), Some(expected), "{accept}");
        }
        assert_eq!(locale(&Headers::default(), &[]), None);
    }
}

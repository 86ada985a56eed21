//! From one text to a value of a declared type. Constraints are not asked here.

use serde_json::Value as Json;
use uuid::Uuid;

use super::dates::{read_date, read_datetime};
use super::parameter::{Parameter, Type};
use super::server::Surroundings;
use crate::clock::datetime_text;
use crate::value::Value;

/// The value of a text that is not empty; `None` when it is not of the parameter's type.
pub(super) fn read(parameter: &Parameter, text: &str, around: &dyn Surroundings) -> Option<Value> {
    match parameter.kind {
        Type::Text => read_text(text),
        Type::Int => read_int(text).map(Value::Int),
        Type::Number => read_number(text).map(Value::Real),
        Type::Decimal => read_decimal(text, parameter.places).map(Value::Int),
        Type::Bool => read_bool(text).map(Value::Bool),
        Type::Date => read_date(text).map(|_| Value::from(text)),
        Type::Datetime => read_datetime(text, &|| around.zone()).map(|time| Value::from(datetime_text(time))),
        Type::Email => is_email(text).then(|| Value::from(text)),
        Type::Url => is_url(text).then(|| Value::from(text)),
        Type::Uuid => read_uuid(text),
        Type::Json => serde_json::from_str(text).ok().and_then(|document| json_text(&document)),
        Type::File | Type::Password => (!text.contains('\0')).then(|| Value::from(text)),
    }
}

/// Browsers send line breaks as CR LF; SQL and lengths count them as one character. PostgreSQL knows no NUL in texts,
/// and SQLite's functions stop at it.
fn read_text(text: &str) -> Option<Value> {
    match text.bytes().any(|byte| byte == b'\r' || byte == 0) {
        false => Some(Value::from(text)),
        true if text.contains('\0') => None,
        true => Some(Value::from(text.replace("\r\n", "\n").replace('\r', "\n"))),
    }
}

fn read_int(text: &str) -> Option<i64> {
    match text.as_bytes() {
        [b'+', ..] => None,
        _ => text.parse().ok(),
    }
}

/// A floating-point number as HTML writes it: no `inf`, no `nan`, no plus sign in front.
fn read_number(text: &str) -> Option<f64> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b'+' | b'e' | b'E'));
    match plain && !text.starts_with('+') {
        // Adding zero turns the negative zero into the other one.
        true => text.parse::<f64>().ok().filter(|number| number.is_finite()).map(|number| number + 0.0),
        false => None,
    }
}

/// `3.5` with two places is 350. Digits beyond the places must be zeros.
fn read_decimal(text: &str, places: u32) -> Option<i64> {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = unsigned.split_once('.').unwrap_or((unsigned, ""));
    let kept = fraction.get(..places as usize).unwrap_or(fraction);
    let all_digits = whole.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit());
    let exact = fraction[kept.len()..].bytes().all(|byte| byte == b'0');
    if !all_digits || !exact || whole.len() + fraction.len() == 0 {
        return None;
    }
    let sign = if unsigned.len() < text.len() { "-" } else { "" };
    format!("{sign}{whole}{kept:0<width$}", width = places as usize).parse().ok()
}

/// A number of smallest units with its point: 350 with two places is `3.50`.
pub(super) fn decimal_text(units: i64, places: u32) -> String {
    let places = places as usize;
    let digits = format!("{:0>width$}", units.unsigned_abs(), width = places + 1);
    let sign = if units < 0 { "-" } else { "" };
    let (whole, fraction) = digits.split_at(digits.len() - places);
    match places {
        0 => format!("{sign}{whole}"),
        _ => format!("{sign}{whole}.{fraction}"),
    }
}

/// What checkboxes, selects and programs send.
fn read_bool(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "on" | "true" | "1" | "yes" => Some(true),
        "off" | "false" | "0" | "no" => Some(false),
        _ => None,
    }
}

/// The HTML standard's "valid email address", with the lengths of RFC 5321.
pub fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.split_once('@') else { return false };
    let local_ok = !local.is_empty()
        && local.len() <= 64
        && local.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".!#$%&'*+/=?^_`{|}~-".contains(&byte));
    local_ok && text.len() <= 254 && domain.split('.').all(is_domain_label)
}

fn is_domain_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// An absolute `http` or `https` address. Others (`javascript:`) would be a trap when a page links to them, and so
/// would be a name before an `@` that looks like the host.
fn is_url(text: &str) -> bool {
    let rest = ["https://", "http://"].iter().find_map(|scheme| {
        let start = text.get(..scheme.len())?;
        start.eq_ignore_ascii_case(scheme).then(|| &text[scheme.len()..])
    });
    let Some(rest) = rest else { return false };
    let clean = rest.chars().all(|c| !c.is_control() && !c.is_whitespace() && !"\"<>\\^`{|}".contains(c));
    let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
    clean && is_authority(authority)
}

/// A host with an optional port.
fn is_authority(authority: &str) -> bool {
    let (host, port) = match authority.rfind(':').filter(|_| !authority.ends_with(']')) {
        Some(at) => (&authority[..at], &authority[at + 1..]),
        None => (authority, "80"),
    };
    let port_ok = port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok();
    let host_ok = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            let name = host.strip_suffix('.').unwrap_or(host);
            !name.is_empty() && name.split('.').all(|label| !label.is_empty() && label.chars().all(is_host_character))
        }
    };
    port_ok && host_ok
}

/// Letters of all languages: browsers write such names in their own way.
fn is_host_character(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '-' | '_') || !c.is_ascii()
}

fn read_uuid(text: &str) -> Option<Value> {
    match text.len() {
        32 | 36 => Uuid::try_parse(text).ok().map(|uuid| Value::from(uuid.hyphenated().to_string())),
        _ => None,
    }
}

/// A JSON document as compact text; `None` when a text in it holds NUL, which PostgreSQL can't keep.
pub(super) fn json_text(document: &Json) -> Option<Value> {
    (!holds_nul(document)).then(|| Value::from(document.to_string()))
}

fn holds_nul(document: &Json) -> bool {
    match document {
        Json::String(text) => text.contains('\0'),
        Json::Array(items) => items.iter().any(holds_nul),
        Json::Object(pairs) => pairs.iter().any(|(name, value)| name.contains('\0') || holds_nul(value)),
        Json::Null | Json::Bool(_) | Json::Number(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlfile::server::tests::Fixed;

    fn value(kind: Type, text: &str) -> Option<Value> {
        let mut parameter = Parameter::new("p", kind);
        parameter.places = 2;
        read(&parameter, text, &Fixed { zone: "Europe/Berlin", ..Fixed::default() })
    }

    fn refuses(kind: Type, texts: &[&str]) {
        for text in texts {
            assert_eq!(value(kind, text), None, "{kind:?} {text:?}");
        }
    }

    #[test]
    fn whole_numbers_fit_64_bits() {
        assert_eq!(value(Type::Int, "-9223372036854775808"), Some(Value::Int(i64::MIN)));
        assert_eq!(value(Type::Int, "007"), Some(Value::Int(7)));
        refuses(Type::Int, &["9223372036854775808", "+1", "1.0", "1e3", "0x1", "١", "--1", "-"]);
    }

    #[test]
    fn numbers_are_finite() {
        assert_eq!(value(Type::Number, "-1.5e3"), Some(Value::Real(-1500.0)));
        assert_eq!(value(Type::Number, ".5"), Some(Value::Real(0.5)));
        assert_eq!(value(Type::Number, "-0").map(|zero| zero.to_string()).as_deref(), Some("0"));
        refuses(Type::Number, &["1e999", "inf", "nan", "+1", "1,5", "e", "-", "1e"]);
    }

    #[test]
    fn decimals_are_exact() {
        for (text, units) in
            [("3.50", 350), ("3.5", 350), ("3", 300), ("-.05", -5), ("0.10000", 10), ("-0", 0), ("5.", 500)]
        {
            assert_eq!(value(Type::Decimal, text), Some(Value::Int(units)), "{text}");
        }
        refuses(
            Type::Decimal,
            &["3.505", "1e2", ".", "-", "1.2.3", "+1", "--1", "-+1", "92233720368547758.08", "1 000"],
        );
        assert_eq!(value(Type::Decimal, "92233720368547758.07"), Some(Value::Int(i64::MAX)));
        for (units, places, text) in
            [(350, 2, "3.50"), (-5, 2, "-0.05"), (7, 0, "7"), (i64::MIN, 3, "-9223372036854775.808")]
        {
            assert_eq!(decimal_text(units, places), text);
        }
    }

    #[test]
    fn texts_have_one_kind_of_line_break_and_no_nul() {
        assert_eq!(value(Type::Text, " a\r\nb\rc\n "), Some(Value::from(" a\nb\nc\n ")));
        refuses(Type::Text, &["a\0b", "\r\0"]);
    }

    #[test]
    fn email_addresses() {
        for text in ["a@b", "first.o'last+tag@sub.example.org", "x@1-2.example"] {
            assert_eq!(value(Type::Email, text), Some(Value::from(text)));
        }
        let long = format!("{}@example.org", "a".repeat(65));
        refuses(Type::Email, &["a", "@b", "a@", "a@b..c", "a@-b", "a b@c", "a@b@c", "a@b\n", "ä@b", "a@b.", &long]);
    }

    #[test]
    fn addresses_of_the_web() {
        for text in [
            "https://example.org",
            "HTTP://example.org:8080/a?b=c#d",
            "http://[::1]/",
            "https://bücher.example/ä",
            "http://localhost",
            "https://example.org./",
            "http://127.0.0.1:3000?x",
        ] {
            assert_eq!(value(Type::Url, text), Some(Value::from(text)), "{text}");
        }
        refuses(
            Type::Url,
            &[
                "example.org",
                "javascript:alert(1)",
                "https://",
                "https:///a",
                "http://a b",
                "http://user@evil.example",
                "http://a:99999",
                "http://a:x",
                "http://a:",
                "ftp://a",
                "http://a\\b",
                "http://..",
                "http://[1]/",
                "//a",
                "é",
                "http://a:+80",
            ],
        );
    }

    #[test]
    fn identifiers_and_documents_are_canonical() {
        let uuid = "0192E4A0-7B1C-7D3E-8F40-123456789ABC";
        let canonical = Some(Value::from(uuid.to_ascii_lowercase()));
        assert_eq!(value(Type::Uuid, uuid), canonical);
        assert_eq!(value(Type::Uuid, &uuid.replace('-', "")), canonical);
        refuses(
            Type::Uuid,
            &["", "0192e4a0", "{0192e4a0-7b1c-7d3e-8f40-123456789ab}", "0192e4a0-7b1c-7d3e-8f40-12345678ééé"],
        );
        assert_eq!(
            value(Type::Json, "{ \"b\" : [1, 2.50],\"a\":null }"),
            Some(Value::from("{\"b\":[1,2.5],\"a\":null}"))
        );
        let deep = "[".repeat(10_000);
        refuses(Type::Json, &["{", "{'a':1}", "[\"\\u0000\"]", "1 2", &deep]);
    }

    #[test]
    fn checkboxes_and_dates() {
        assert_eq!(value(Type::Bool, "on"), Some(Value::Bool(true)));
        assert_eq!(value(Type::Bool, "False"), Some(Value::Bool(false)));
        refuses(Type::Bool, &["2", "maybe"]);
        assert_eq!(value(Type::Date, "2024-02-29"), Some(Value::from("2024-02-29")));
        assert_eq!(value(Type::Datetime, "2024-07-01T10:00"), Some(Value::from("2024-07-01T08:00:00.000Z")));
        refuses(Type::Date, &["2024-02-30"]);
    }
}

//! The forms of values: what a column of PostgreSQL wants, what stands for it on SQLite, and one text for both by which
//! they are compared.
//!
//! PostgreSQL's type decides, because it is the strict side. A value goes through three steps: it is *taken* from its
//! side as a text that PostgreSQL reads, from that its *canonical* text is made, and it is *stored* on the other side.

use std::borrow::Cow;
use std::fmt::Write as _;

use jiff::civil::{Date, DateTime};

/// A value as SQLite keeps it.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::database) enum Stored<'v> {
    Null,
    Int(i64),
    Real(f64),
    /// Bytes that should be UTF-8.
    Text(Cow<'v, [u8]>),
    Blob(Cow<'v, [u8]>),
}

/// What SQLite makes of a value by its column (<https://www.sqlite.org/datatype3.html#determination_of_column_affinity>).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::database) enum Affinity {
    Integer,
    Text,
    Blob,
    Real,
    Numeric,
}

impl Affinity {
    /// The affinity of a declared type.
    pub(in crate::database) fn of(declared: &str) -> Affinity {
        let declared = declared.to_uppercase();
        let has = |words: &[&str]| words.iter().any(|word| declared.contains(word));
        if has(&["INT"]) {
            Affinity::Integer
        } else if has(&["CHAR", "CLOB", "TEXT"]) {
            Affinity::Text
        } else if declared.is_empty() || has(&["BLOB"]) {
            Affinity::Blob
        } else if has(&["REAL", "FLOA", "DOUB"]) {
            Affinity::Real
        } else {
            Affinity::Numeric
        }
    }
}

/// What a column of PostgreSQL takes.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::database) enum Form {
    /// True or false; 1 or 0 on SQLite.
    Bool,
    /// A whole number up to this one, and down to the one below its negative.
    Int(i64),
    /// A float of 4 bytes, or of 8.
    Real {
        short: bool,
    },
    /// An exact number; digits in all and behind the point, where they are limited.
    Numeric(Option<(i64, i64)>),
    /// A text of so many characters at most; `padded` is `char(n)`, whose spaces at the end say nothing. Also any type
    /// that has no form of its own here: PostgreSQL reads the text.
    Text {
        most: Option<usize>,
        padded: bool,
    },
    /// A moment, `2026-01-31T08:09:10.123Z` on SQLite.
    Moment,
    /// `2026-01-31`.
    Date,
    /// `08:09:10`.
    Time,
    Uuid,
    /// A JSON document; `binary` is `jsonb`.
    Json {
        binary: bool,
    },
    Bytes,
}

impl Form {
    /// The form of a type by its name in `pg_type` and its modifier in `pg_attribute`.
    pub(in crate::database) fn of(name: &str, modifier: i64) -> Form {
        let length = (modifier >= 4).then_some(modifier - 4);
        let most = length.and_then(|length| usize::try_from(length).ok());
        match name {
            "bool" => Form::Bool,
            "int2" => Form::Int(i16::MAX.into()),
            "int4" => Form::Int(i32::MAX.into()),
            "int8" => Form::Int(i64::MAX),
            "float4" => Form::Real { short: true },
            "float8" => Form::Real { short: false },
            // `numeric_typmod_scale` in PostgreSQL's source: eleven bits with a sign.
            "numeric" => Form::Numeric(length.map(|bits| (bits >> 16 & 0xffff, ((bits & 0x7ff) ^ 1024) - 1024))),
            "varchar" => Form::Text { most, padded: false },
            "bpchar" => Form::Text { most, padded: true },
            "timestamp" | "timestamptz" => Form::Moment,
            "date" => Form::Date,
            "time" => Form::Time,
            "uuid" => Form::Uuid,
            "json" => Form::Json { binary: false },
            "jsonb" => Form::Json { binary: true },
            "bytea" => Form::Bytes,
            _ => Form::Text { most: None, padded: false },
        }
    }

    /// Takes a value of SQLite; `None` is null.
    ///
    /// # Errors
    /// What is there instead of what belongs there.
    pub(in crate::database) fn take<'v>(&self, stored: Stored<'v>) -> Result<Option<Cow<'v, [u8]>>, String> {
        let owned = |text: String| Ok(Some(Cow::Owned(text.into_bytes())));
        match (self, stored) {
            (_, Stored::Null) => Ok(None),
            (Form::Bytes, Stored::Blob(bytes)) => Ok(Some(bytes)),
            (Form::Bytes, Stored::Text(_)) => Err("a text where bytes belong".into()),
            (_, Stored::Blob(bytes)) => Err(format!("{} bytes where {} belongs", bytes.len(), self.name())),
            (Form::Bool, Stored::Int(number @ (0 | 1))) => owned(if number == 1 { "t" } else { "f" }.into()),
            (Form::Bool, Stored::Int(number)) => Err(format!("{number} where 0 or 1 belongs")),
            (Form::Bool, Stored::Text(text)) if matches!(&*text, b"0" | b"1") => {
                owned(if &*text == b"1" { "t" } else { "f" }.into())
            }
            (Form::Int(_), Stored::Real(number)) if number.fract() == 0.0 && number.abs() < 9e15 => {
                owned(format!("{number:.0}"))
            }
            (Form::Int(_) | Form::Real { .. } | Form::Numeric(_) | Form::Text { .. } | Form::Json { .. }, stored) => {
                match stored {
                    Stored::Int(number) => owned(number.to_string()),
                    Stored::Real(number) => owned(number.to_string()),
                    Stored::Text(text) => self.readable(text).map(Some),
                    _ => Ok(None),
                }
            }
            (_, Stored::Int(number)) => Err(format!("the number {number} where {} belongs", self.name())),
            (_, Stored::Real(number)) => Err(format!("the number {number} where {} belongs", self.name())),
            (_, Stored::Text(text)) => self.readable(text).map(Some),
        }
    }

    /// A text that PostgreSQL can keep.
    fn readable<'v>(&self, text: Cow<'v, [u8]>) -> Result<Cow<'v, [u8]>, String> {
        match std::str::from_utf8(&text) {
            Err(_) => Err("a text that is not UTF-8".into()),
            Ok(good) if good.contains('\0') => Err("the character NUL, which PostgreSQL keeps in no text".into()),
            Ok(_) => Ok(text),
        }
    }

    /// Writes the text by which both sides are compared.
    ///
    /// # Errors
    /// What the value is instead of what belongs there.
    pub(in crate::database) fn canonical(&self, taken: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
        if *self == Form::Bytes {
            out.extend_from_slice(taken);
            return Ok(());
        }
        let text = std::str::from_utf8(taken).map_err(|_| "a text that is not UTF-8")?;
        let wrong = || format!("{} where {} belongs", shown(text), self.name());
        match self {
            Form::Bool => match text {
                "t" | "f" => out.extend_from_slice(taken),
                _ => return Err(wrong()),
            },
            Form::Int(most) => {
                let number: i64 = text.parse().map_err(|_| wrong())?;
                if number > *most || number < -*most - 1 {
                    return Err(format!("{number}, which is out of the range of {}", self.name()));
                }
                push(out, number);
            }
            Form::Real { short } => push(out, float(text, *short).ok_or_else(wrong)?),
            Form::Numeric(limits) => {
                let number = if text == "NaN" { text.to_string() } else { decimal(text).ok_or_else(wrong)? };
                if !limits.is_none_or(|limits| fits(&number, limits)) {
                    return Err(format!("{}, which has too many digits for its column", shown(text)));
                }
                out.extend_from_slice(number.as_bytes());
            }
            Form::Text { most, padded } => {
                let text = if *padded { text.trim_end_matches(' ') } else { text };
                if most.is_some_and(|most| text.chars().count() > most) {
                    return Err(format!("{}, which is longer than its column allows", shown(text)));
                }
                out.extend_from_slice(text.as_bytes());
            }
            Form::Moment => push(out, moment(text).ok_or_else(wrong)?),
            Form::Date => push(out, date(text).ok_or_else(wrong)?),
            Form::Time => push(out, time(text).ok_or_else(wrong)?),
            Form::Uuid => push(out, uuid::Uuid::parse_str(text).map_err(|_| wrong())?.hyphenated()),
            Form::Json { binary } => {
                let document = serde_json::from_str(text).map_err(|error| format!("{} ({error})", wrong()))?;
                let start = out.len();
                write_json(&document, out);
                if *binary && out[start..].windows(6).any(|six| six == b"\\u0000") {
                    return Err("the character NUL in JSON, which PostgreSQL's jsonb can't keep".into());
                }
            }
            Form::Bytes => {}
        }
        Ok(())
    }

    /// What PostgreSQL is sent: the author's own spelling where it is kept, else the canonical text.
    pub(in crate::database) fn sent<'v>(&self, taken: &'v [u8], canonical: &'v [u8]) -> &'v [u8] {
        match self {
            Form::Json { .. } | Form::Numeric(_) | Form::Text { .. } => taken,
            _ => canonical,
        }
    }

    /// What SQLite keeps for a value.
    ///
    /// # Errors
    /// SQLite can't keep it.
    pub(in crate::database) fn store<'v>(
        &self,
        affinity: Affinity,
        taken: &'v [u8],
        canonical: &'v [u8],
    ) -> Result<Stored<'v>, String> {
        let text = || std::str::from_utf8(canonical).unwrap_or("");
        Ok(match self {
            Form::Bool => Stored::Int(i64::from(canonical == b"t")),
            Form::Int(_) => Stored::Int(text().parse().map_err(|_| "no whole number")?),
            Form::Real { .. } => match text().parse::<f64>() {
                Ok(number) if !number.is_nan() => Stored::Real(number),
                _ => return Err("NaN, which SQLite can't keep".into()),
            },
            Form::Bytes => Stored::Blob(Cow::Borrowed(taken)),
            Form::Numeric(_) if affinity == Affinity::Text => Stored::Text(Cow::Borrowed(taken)),
            Form::Numeric(_) => match exact(text()) {
                Some(number) => number,
                None if affinity == Affinity::Blob => Stored::Text(Cow::Borrowed(taken)),
                None => return Err(format!("{}, which is too exact for SQLite's numbers", shown(text()))),
            },
            Form::Text { .. } | Form::Json { .. } => Stored::Text(Cow::Borrowed(taken)),
            _ => Stored::Text(Cow::Borrowed(canonical)),
        })
    }

    /// What belongs there, for messages.
    fn name(&self) -> &'static str {
        match self {
            Form::Bool => "a boolean",
            Form::Int(32_767) => "a smallint",
            Form::Int(2_147_483_647) => "an integer of 32 bits",
            Form::Int(_) => "a whole number",
            Form::Real { .. } => "a number",
            Form::Numeric(_) => "an exact number",
            Form::Text { .. } => "a text",
            Form::Moment => "a datetime",
            Form::Date => "a date",
            Form::Time => "a time",
            Form::Uuid => "a UUID",
            Form::Json { .. } => "JSON",
            Form::Bytes => "bytes",
        }
    }
}

fn push(out: &mut Vec<u8>, value: impl std::fmt::Display) {
    out.extend_from_slice(value.to_string().as_bytes());
}

/// A value as messages show it: its beginning.
fn shown(text: &str) -> String {
    match text.char_indices().nth(40) {
        None => format!("`{text}`"),
        Some((end, _)) => format!("`{}…`", &text[..end]),
    }
}

/// The shortest text that is the same float.
fn float(text: &str, short: bool) -> Option<String> {
    let number: f64 = text.parse().ok()?;
    if !short {
        // The sign of zero is lost on SQLite.
        return Some(format!("{:?}", number + 0.0));
    }
    let small: f32 = text.parse().ok()?;
    (small.is_finite() == number.is_finite()).then(|| format!("{:?}", small + 0.0))
}

/// A number as SQLite keeps it without loss.
fn exact(canonical: &str) -> Option<Stored<'static>> {
    if let Ok(number) = canonical.parse() {
        return Some(Stored::Int(number));
    }
    let number: f64 = canonical.parse().ok()?;
    (decimal(&number.to_string())? == canonical).then_some(Stored::Real(number))
}

/// More digits than PostgreSQL takes anyway.
const MOST_DIGITS: i64 = 150_000;

/// A decimal number without exponent, needless zeros and plus sign.
fn decimal(text: &str) -> Option<String> {
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (number, exponent) = match text.split_once(['e', 'E']) {
        Some((number, exponent)) => (number, exponent.parse::<i64>().ok()?),
        None => (text, 0),
    };
    let (whole, behind) = number.split_once('.').unwrap_or((number, ""));
    let digits = format!("{whole}{behind}");
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) || exponent.abs() > MOST_DIGITS {
        return None;
    }
    let point = i64::try_from(whole.len()).ok()? + exponent;
    let length = i64::try_from(digits.len()).ok()?;
    let zeros = |count: i64| "0".repeat(usize::try_from(count).unwrap_or(0));
    let digits = format!("{}{digits}{}", zeros(-point), zeros(point - length));
    let (whole, behind) = digits.split_at(usize::try_from(point.max(0)).ok()?);
    let (whole, behind) = (whole.trim_start_matches('0'), behind.trim_end_matches('0'));
    let mut out = String::new();
    if negative && !(whole.is_empty() && behind.is_empty()) {
        out.push('-');
    }
    out.push_str(if whole.is_empty() { "0" } else { whole });
    if !behind.is_empty() {
        out.push('.');
        out.push_str(behind);
    }
    Some(out)
}

/// Whether a canonical number fits `numeric(digits, scale)`.
fn fits(number: &str, (digits, scale): (i64, i64)) -> bool {
    let number = number.trim_start_matches('-');
    let (whole, behind) = number.split_once('.').unwrap_or((number, ""));
    let length = |text: &str| i64::try_from(text.len()).unwrap_or(i64::MAX);
    let zeros = length(whole) - length(whole.trim_end_matches('0'));
    let rounded = scale < 0 && whole != "0" && zeros < -scale;
    !rounded && length(behind) <= scale.max(0) && (whole == "0" || length(whole) <= digits - scale)
}

/// A moment in UTC as SQLite keeps it: milliseconds always, microseconds where there are some. A text without a zone is
/// in UTC.
fn moment(text: &str) -> Option<String> {
    let (time, seconds) = without_zone(text)?;
    let time: DateTime = time.parse().ok()?;
    let time = time.checked_sub(jiff::SignedDuration::from_secs(seconds)).ok()?;
    if time.year() < 0 || time.subsec_nanosecond() % 1000 != 0 {
        return None;
    }
    let mut out = format!("{}T{}", civil(time.date())?, clock(time.hour(), time.minute(), time.second()));
    let micros = format!("{:06}", time.subsec_nanosecond() / 1000);
    let digits = micros.trim_end_matches('0').len().max(3);
    write!(out, ".{}Z", &micros[..digits]).ok()?;
    Some(out)
}

/// A datetime, and how many seconds its zone is before UTC.
fn without_zone(text: &str) -> Option<(&str, i64)> {
    if let Some(time) = text.strip_suffix(['Z', 'z']) {
        return Some((time, 0));
    }
    // Behind the date, whose `-` are no sign.
    let Some(at) = text.get(10..)?.rfind(['+', '-']).map(|at| at + 10) else { return Some((text, 0)) };
    let (time, zone) = text.split_at(at);
    let (hours, minutes) = zone[1..].split_once(':').unwrap_or((&zone[1..], "0"));
    let (hours, minutes): (i64, i64) = (hours.parse().ok()?, minutes.parse().ok()?);
    let seconds = hours * 3600 + minutes * 60;
    (hours < 16 && minutes < 60).then_some((time, if zone.starts_with('-') { -seconds } else { seconds }))
}

fn clock(hour: i8, minute: i8, second: i8) -> String {
    format!("{hour:02}:{minute:02}:{second:02}")
}

fn civil(date: Date) -> Option<String> {
    (date.year() >= 0).then(|| format!("{:04}-{:02}-{:02}", date.year(), date.month(), date.day()))
}

fn date(text: &str) -> Option<String> {
    (text.len() == 10).then(|| text.parse().ok()).flatten().and_then(civil)
}

fn time(text: &str) -> Option<String> {
    let time: jiff::civil::Time = text.parse().ok()?;
    let micros = format!("{:06}", time.subsec_nanosecond() / 1000);
    let fraction = micros.trim_end_matches('0');
    let clock = clock(time.hour(), time.minute(), time.second());
    let whole = time.subsec_nanosecond() % 1000 == 0;
    whole.then(|| if fraction.is_empty() { clock } else { format!("{clock}.{fraction}") })
}

/// A document with sorted names and without white space; numbers by their value.
fn write_json(document: &serde_json::Value, out: &mut Vec<u8>) {
    use serde_json::Value;
    match document {
        Value::Array(items) => {
            out.push(b'[');
            for item in items {
                write_json(item, out);
                out.push(b',');
            }
            out.push(b']');
        }
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_by_key(|(name, _)| *name);
            out.push(b'{');
            for (name, value) in fields {
                write_json(&Value::from(name.as_str()), out);
                out.push(b':');
                write_json(value, out);
                out.push(b',');
            }
            out.push(b'}');
        }
        Value::Number(number) => match decimal(&number.to_string()) {
            Some(number) => out.extend_from_slice(number.as_bytes()),
            None => push(out, number),
        },
        other => push(out, other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn canonical(form: &Form, stored: Stored<'_>) -> Result<String, String> {
        let taken = form.take(stored)?.ok_or("null")?;
        let mut out = Vec::new();
        form.canonical(&taken, &mut out)?;
        Ok(String::from_utf8_lossy(&out).into_owned())
    }

    fn text(text: &str) -> Stored<'_> {
        Stored::Text(Cow::Borrowed(text.as_bytes()))
    }

    #[test]
    fn both_sides_have_one_text() {
        let moment = Form::of("timestamptz", -1);
        for (form, stored, expected) in [
            (Form::Bool, Stored::Int(1), "t"),
            (Form::of("int8", -1), Stored::Int(i64::MIN), "-9223372036854775808"),
            (Form::of("int4", -1), Stored::Real(5.0), "5"),
            (Form::of("float8", -1), Stored::Real(-0.0), "0.0"),
            (Form::of("float4", -1), Stored::Real(0.1), "0.1"),
            (Form::of("numeric", -1), Stored::Real(1e21), "1000000000000000000000"),
            (Form::of("numeric", -1), text("-012.500"), "-12.5"),
            (Form::of("numeric", -1), text("1.5e-3"), "0.0015"),
            (Form::of("numeric", (10 << 16 | 2) + 4), text("12.50"), "12.5"),
            (Form::of("bpchar", 9), text("abc  "), "abc"),
            (moment.clone(), text("2026-01-31T08:09:10.123Z"), "2026-01-31T08:09:10.123Z"),
            (moment.clone(), text("2026-01-31 08:09:10.123456+00"), "2026-01-31T08:09:10.123456Z"),
            (moment.clone(), text("2026-01-31 08:09:10.1234"), "2026-01-31T08:09:10.1234Z"),
            (moment.clone(), text("2026-01-31 08:09"), "2026-01-31T08:09:00.000Z"),
            (moment.clone(), text("2026-01-31T00:30:00+02:30"), "2026-01-30T22:00:00.000Z"),
            (Form::Date, text("2026-01-31"), "2026-01-31"),
            (Form::Time, text("08:09"), "08:09:00"),
            (Form::Uuid, text("A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"), "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"),
            (Form::of("jsonb", -1), text("{\"b\": [1e2, 1.50], \"a\": -0}"), "{\"a\":0,\"b\":[100,1.5,],}"),
            (Form::of("jsonb", -1), Stored::Int(5), "5"),
            (Form::of("text", -1), Stored::Int(5), "5"),
        ] {
            assert_eq!(canonical(&form, stored).as_deref(), Ok(expected), "{form:?}");
        }
    }

    #[test]
    fn what_does_not_fit_is_told() {
        for (form, stored, part) in [
            (Form::Bool, Stored::Int(2), "2 where 0 or 1 belongs"),
            (Form::of("int4", -1), Stored::Int(1 << 31), "out of the range"),
            (Form::of("int8", -1), text("many"), "`many` where a whole number belongs"),
            (Form::of("int8", -1), Stored::Real(1.5), "`1.5` where a whole number belongs"),
            (Form::of("numeric", (4 << 16 | 2) + 4), Stored::Real(1.234), "too many digits"),
            (Form::of("numeric", (4 << 16 | 2) + 4), Stored::Int(123), "too many digits"),
            (Form::of("varchar", 7), text("four"), "longer"),
            (Form::of("text", -1), text("a\0b"), "NUL"),
            (Form::of("text", -1), Stored::Text(Cow::Borrowed(b"\xff")), "not UTF-8"),
            (Form::of("jsonb", -1), text("\"\\u0000\""), "NUL"),
            (Form::of("json", -1), text("{"), "where JSON belongs"),
            (Form::Moment, text("tomorrow"), "`tomorrow` where a datetime belongs"),
            (Form::Moment, Stored::Int(0), "the number 0 where a datetime belongs"),
            (Form::Moment, text("2026-01-31 08:00 BC"), "where a datetime belongs"),
            (Form::Date, text("2026-02-30"), "where a date belongs"),
            (Form::Bytes, text("x"), "a text where bytes belong"),
            (Form::Uuid, Stored::Blob(Cow::Borrowed(b"x")), "1 bytes where a UUID belongs"),
        ] {
            let told = canonical(&form, stored).unwrap_err();
            assert!(told.contains(part), "{form:?}: {told}");
        }
    }

    #[test]
    fn sqlite_gets_what_its_columns_keep() {
        let numeric = Form::of("numeric", -1);
        let store = |affinity, taken: &'static str, canonical: &'static str| {
            numeric.store(affinity, taken.as_bytes(), canonical.as_bytes())
        };
        assert_eq!(store(Affinity::Numeric, "12.50", "12.5"), Ok(Stored::Real(12.5)));
        assert_eq!(store(Affinity::Text, "12.50", "12.5"), Ok(text("12.50")));
        assert_eq!(store(Affinity::Integer, "12.00", "12"), Ok(Stored::Int(12)));
        assert!(store(Affinity::Numeric, "", "0.12345678901234567891").is_err());
        assert_eq!(Form::Bool.store(Affinity::Integer, b"t", b"t"), Ok(Stored::Int(1)));
        assert_eq!(Affinity::of("bigint"), Affinity::Integer);
        assert_eq!(Affinity::of("timestamptz"), Affinity::Numeric);
        assert_eq!(Affinity::of("varchar(5)"), Affinity::Text);
    }
}

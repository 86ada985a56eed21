//! `to_char` for SQLite: PostgreSQL's patterns for datetimes and numbers
//! (<https://www.postgresql.org/docs/current/functions-formatting.html>), English names.
//!
//! Datetimes: `YYYY YY Q MM Mon MON mon Month MONTH month DDD DD D Dy DY dy Day DAY day HH24 HH12 HH MI SS MS US IW IYYY
//! AM PM am pm`, the prefix `FM`, and text in double quotes. Numbers: `9 0 . , FM`. What isn't known is an error, not
//! something else than PostgreSQL gives.

use super::time::Moment;

/// What a letter pattern stands for.
type Part = fn(&Fields) -> String;

/// A moment with what patterns need of it.
struct Fields {
    at: jiff::civil::DateTime,
    /// Whether `FM` stood before: no leading zeros, no padding.
    bare: bool,
}

impl Fields {
    fn number(&self, number: i64, width: usize) -> String {
        if self.bare { number.to_string() } else { format!("{number:0width$}") }
    }

    fn name(&self, format: &str) -> String {
        let name = self.at.strftime(format).to_string();
        // The longest names have nine letters; without FM all are padded to that.
        if self.bare || name.len() <= 3 { name } else { format!("{name:<9}") }
    }
}

/// The patterns, longer ones before their beginnings.
const PARTS: &[(&str, Part)] = &[
    ("IYYY", |f| f.number(f.at.date().iso_week_date().year().into(), 4)),
    ("YYYY", |f| f.number(f.at.year().into(), 4)),
    ("YY", |f| f.number(i64::from(f.at.year()) % 100, 2)),
    ("IW", |f| f.number(f.at.date().iso_week_date().week().into(), 2)),
    ("Q", |f| ((f.at.month() - 1) / 3 + 1).to_string()),
    ("MONTH", |f| f.name("%B").to_uppercase()),
    ("Month", |f| f.name("%B")),
    ("month", |f| f.name("%B").to_lowercase()),
    ("MON", |f| f.at.strftime("%b").to_string().to_uppercase()),
    ("Mon", |f| f.at.strftime("%b").to_string()),
    ("mon", |f| f.at.strftime("%b").to_string().to_lowercase()),
    ("MM", |f| f.number(f.at.month().into(), 2)),
    ("MI", |f| f.number(f.at.minute().into(), 2)),
    ("MS", |f| f.number((f.at.subsec_nanosecond() / 1_000_000).into(), 3)),
    ("US", |f| f.number((f.at.subsec_nanosecond() / 1_000).into(), 6)),
    ("DDD", |f| f.number(f.at.date().day_of_year().into(), 3)),
    ("DD", |f| f.number(f.at.day().into(), 2)),
    ("DAY", |f| f.name("%A").to_uppercase()),
    ("Day", |f| f.name("%A")),
    ("day", |f| f.name("%A").to_lowercase()),
    ("DY", |f| f.at.strftime("%a").to_string().to_uppercase()),
    ("Dy", |f| f.at.strftime("%a").to_string()),
    ("dy", |f| f.at.strftime("%a").to_string().to_lowercase()),
    ("D", |f| f.at.weekday().to_sunday_one_offset().to_string()),
    ("HH24", |f| f.number(f.at.hour().into(), 2)),
    ("HH12", |f| f.number(twelve(f.at.hour()), 2)),
    ("HH", |f| f.number(twelve(f.at.hour()), 2)),
    ("SS", |f| f.number(f.at.second().into(), 2)),
    ("AM", |f| half(f.at.hour()).to_uppercase()),
    ("PM", |f| half(f.at.hour()).to_uppercase()),
    ("am", |f| half(f.at.hour()).to_string()),
    ("pm", |f| half(f.at.hour()).to_string()),
];

fn twelve(hour: i8) -> i64 {
    i64::from((hour + 11) % 12 + 1)
}

fn half(hour: i8) -> &'static str {
    if hour < 12 { "am" } else { "pm" }
}

/// A date or datetime by a pattern.
pub(super) fn moment(text: &str, pattern: &str) -> Result<String, String> {
    let mut fields = Fields { at: Moment::parse(text)?.datetime(), bare: false };
    let mut out = String::new();
    let mut rest = pattern;
    while let Some(next) = rest.chars().next() {
        if let Some(after) = rest.strip_prefix("FM") {
            fields.bare = true;
            rest = after;
        } else if let Some(quoted) = rest.strip_prefix('"') {
            let (literal, after) = quoted.split_once('"').ok_or("to_char: a quote is not closed")?;
            out.push_str(literal);
            rest = after;
        } else if let Some((name, part)) = PARTS.iter().find(|(name, _)| rest.starts_with(name)) {
            out.push_str(&part(&fields));
            fields.bare = false;
            rest = &rest[name.len()..];
        } else if next.is_ascii_alphabetic() && next != 'T' && next != 'Z' {
            return Err(format!("to_char knows no pattern at `{rest}`; put plain words in double quotes"));
        } else {
            out.push(next);
            rest = &rest[next.len_utf8()..];
        }
    }
    Ok(out)
}

/// A number by a pattern of `9 0 . ,`, with `FM` for no padding.
pub(super) fn number(number: f64, pattern: &str) -> Result<String, String> {
    let (bare, picture) = match pattern.strip_prefix("FM") {
        Some(picture) => (true, picture),
        None => (false, pattern),
    };
    if picture.is_empty() || picture.chars().any(|c| !"90.,".contains(c)) || picture.matches('.').count() > 1 {
        return Err(format!("to_char knows for numbers only 9 0 . , and FM, not `{pattern}`"));
    }
    let (whole_picture, fraction_picture) = picture.split_once('.').unwrap_or((picture, ""));
    let decimals = fraction_picture.matches(['9', '0']).count();
    let rounded = format!("{:.decimals$}", number.abs());
    let (digits, fraction) = rounded.split_once('.').unwrap_or((&rounded, ""));
    let negative = number < 0.0 && rounded.bytes().any(|byte| matches!(byte, b'1'..=b'9'));
    let places = whole_picture.matches(['9', '0']).count();
    let whole = match digits.trim_start_matches('0') {
        digits if digits.len() > places => "#".repeat(places),
        digits => fill_whole(whole_picture, digits, fraction_picture.is_empty(), bare),
    };
    let mut out = whole;
    if picture.contains('.') {
        out.push('.');
        out.push_str(if bare { trim_fraction(fraction_picture, fraction) } else { fraction });
    }
    let sign = if negative { "-" } else { "" };
    if bare {
        return Ok(format!("{sign}{out}"));
    }
    // The sign stands at the first digit, and a place for it is always kept.
    let body = out.trim_start();
    Ok(format!("{:>width$}", format!("{sign}{body}"), width = out.chars().count() + 1))
}

/// Lays the digits under the part of the picture before the point.
fn fill_whole(picture: &str, digits: &str, alone: bool, bare: bool) -> String {
    let mut places = picture.matches(['9', '0']).count();
    // From the first `0` on, and for the last digit of a number without fraction, zeros are shown.
    let first_zero = picture.find('0').unwrap_or(usize::MAX);
    let mut out = String::new();
    let mut begun = false;
    for (at, place) in picture.char_indices() {
        if place == ',' {
            match (begun, bare) {
                (true, _) => out.push(','),
                (false, false) => out.push(' '),
                (false, true) => {}
            }
            continue;
        }
        let digit = (places <= digits.len()).then(|| digits.as_bytes()[digits.len() - places] as char);
        places -= 1;
        let last = alone && places == 0;
        match digit {
            Some(digit) => out.push(digit),
            None if at >= first_zero || last => out.push('0'),
            None if bare => continue,
            None => {
                out.push(' ');
                continue;
            }
        }
        begun = true;
    }
    out
}

/// With `FM`, zeros at the end go where the picture has a 9.
fn trim_fraction<'a>(picture: &str, fraction: &'a str) -> &'a str {
    let kept = picture.rfind('0').map_or(0, |at| at + 1);
    let mut end = fraction.len();
    while end > kept && fraction[..end].ends_with('0') {
        end -= 1;
    }
    &fraction[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn datetimes_by_pattern() {
        let shown = |pattern| moment("2024-03-05T14:07:09.042Z", pattern).unwrap();
        assert_eq!(shown("YYYY-MM-DD HH24:MI:SS.MS"), "2024-03-05 14:07:09.042");
        assert_eq!(shown("FMDD. FMMonth YYYY"), "5. March 2024");
        assert_eq!(shown("Dy, DD Mon YYYY"), "Tue, 05 Mar 2024");
        assert_eq!(shown("Month|"), "March    |");
        assert_eq!(shown("HH12:MI am"), "02:07 pm");
        assert_eq!(shown("\"week\" IW/IYYY, day DDD"), "week 10/2024, tuesday   065");
        assert_eq!(shown("YYYY-MM-DD\"T\"HH24:MI:SS\"Z\""), "2024-03-05T14:07:09Z");
        assert!(moment("2024-03-05", "X").unwrap_err().contains("`X`"));
        assert!(moment("2024-03-05", "\"open").is_err());
    }

    #[test]
    fn numbers_by_pattern() {
        let cases = [
            (1234.5, "FM999,999.00", "1,234.50"),
            (1234.5, "FM9,990.99", "1,234.5"),
            (0.5, "FM990.00", "0.50"),
            (0.1, "FM9.99", ".1"),
            (5.0, "999", "   5"),
            (-5.0, "999", "  -5"),
            (5.0, "000", " 005"),
            (0.0, "999", "   0"),
            (12345.0, "999", " ###"),
            (-0.001, "FM0.00", "0.00"),
            (1_000_000.0, "FM9,999,999", "1,000,000"),
        ];
        for (value, pattern, shown) in cases {
            assert_eq!(number(value, pattern).unwrap(), shown, "{value} by {pattern}");
        }
        assert!(number(1.0, "9V9").is_err());
    }
}

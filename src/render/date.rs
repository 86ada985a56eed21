//! Dates and datetimes as people and feeds read them.

use jiff::civil::{Date, DateTime, Time};
use jiff::fmt::strtime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

use crate::value::Value;

/// How a date prints when no format is given: `7 November 2026`.
const DATE: &str = "%-d %B %Y";
/// How a datetime prints when no format is given: `7 November 2026, 09:30`.
const DATETIME: &str = "%-d %B %Y, %H:%M";

/// What a text of a date turned out to be.
enum Moment {
    /// A day of the calendar, in no zone.
    Day(Date),
    /// A moment, seen from the site's zone.
    Time(Zoned),
}

/// Writes a date (`2026-11-07`), a datetime (`2026-11-07T09:30:00.000Z`, also with a space, an offset, or without
/// either, which means UTC) or seconds since 1970 in a format of strftime. `rfc3339` and `rfc2822` are what Atom and
/// RSS ask for. Without a format as `7 November 2026`, and with the time for a datetime. Null gives the empty text.
///
/// # Errors
/// A message for the site's author.
pub(super) fn date(value: &Value, format: Option<&str>, zone: &TimeZone) -> Result<String, String> {
    if value.is_null() {
        return Ok(String::new());
    }
    let moment = read(value, zone).ok_or_else(|| format!("`{value}` is not a date or datetime"))?;
    let wrong = |error: jiff::Error| format!("date() can't write this as `{}`: {error}", format.unwrap_or(""));
    match (moment, format) {
        (Moment::Day(day), None) => strtime::format(DATE, day).map_err(wrong),
        (Moment::Time(time), None) => strtime::format(DATETIME, &time).map_err(wrong),
        (Moment::Time(time), Some(format)) => strtime::format(pattern(format), &time).map_err(wrong),
        // A day can be written as a moment, too: as its first in the site's zone.
        (Moment::Day(day), Some(format)) => {
            let start = day.to_datetime(Time::midnight()).to_zoned(zone.clone()).map_err(wrong)?;
            strtime::format(pattern(format), &start).map_err(wrong)
        }
    }
}

fn pattern(format: &str) -> &str {
    match format {
        "rfc3339" => "%Y-%m-%dT%H:%M:%S%:z",
        "rfc2822" => "%a, %d %b %Y %H:%M:%S %z",
        other => other,
    }
}

fn read(value: &Value, zone: &TimeZone) -> Option<Moment> {
    let text = match value {
        Value::Int(seconds) => {
            return Some(Moment::Time(Timestamp::from_second(*seconds).ok()?.to_zoned(zone.clone())));
        }
        Value::Text(text) => text.trim(),
        _ => return None,
    };
    if text.len() == 10 {
        return text.parse().ok().map(Moment::Day);
    }
    let time = match text.parse::<Timestamp>() {
        Ok(time) => time,
        Err(_) => text.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp(),
    };
    Some(Moment::Time(time.to_zoned(zone.clone())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_datetimes_print_in_the_sites_zone() {
        let zone = TimeZone::fixed(jiff::tz::offset(2));
        let cases = [
            ("2026-11-07", None, "7 November 2026"),
            ("2026-11-07", Some("%d.%m.%Y"), "07.11.2026"),
            ("2026-11-07", Some("rfc3339"), "2026-11-07T00:00:00+02:00"),
            ("2026-11-07T23:30:00.000Z", None, "8 November 2026, 01:30"),
            ("2026-11-07 23:30:00", Some("%H:%M"), "01:30"),
            ("2026-11-07 23:30:00+00:00", Some("%H:%M"), "01:30"),
            ("2026-11-07T23:30:00Z", Some("rfc2822"), "Sun, 08 Nov 2026 01:30:00 +0200"),
        ];
        for (text, format, expected) in cases {
            assert_eq!(date(&Value::text(text), format, &zone).as_deref(), Ok(expected), "{text} {format:?}");
        }
        assert_eq!(date(&Value::Int(0), Some("%Y"), &zone).as_deref(), Ok("1970"));
        assert_eq!(date(&Value::Null, None, &zone).as_deref(), Ok(""));
    }

    #[test]
    fn what_is_no_date_or_format_is_an_error() {
        for (text, format) in [("soon", None), ("2026-13-01", None), ("2026-11-07", Some("%!"))] {
            assert!(date(&Value::text(text), format, &TimeZone::UTC).is_err(), "{text} {format:?}");
        }
        assert!(date(&Value::Int(i64::MAX), None, &TimeZone::UTC).is_err());
    }
}

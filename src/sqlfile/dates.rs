//! Dates and datetimes: their texts, and moments counted from now.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{Offset, TimeZone};
use jiff::{Span, Timestamp};

use super::server::Surroundings;
use crate::clock::datetime_text;
use crate::value::Kind;

/// Reads `YYYY-MM-DD`; nothing else, and no year 0.
pub(super) fn read_date(text: &str) -> Option<Date> {
    let [year, month, day] = text.split('-').collect::<Vec<_>>().try_into().ok()?;
    let year = digits(year, 4)?;
    match year {
        0 => None,
        _ => Date::new(year, digits(month, 2)?.try_into().ok()?, digits(day, 2)?.try_into().ok()?).ok(),
    }
}

/// Reads `YYYY-MM-DDTHH:MM[:SS[.fff]][Z|±HH:MM]`, also with a space for the `T`. Without an offset it is the time of
/// `zone`; where clocks skip an hour the later one is meant, where they repeat one the first.
pub(super) fn read_datetime(text: &str, zone: &dyn Fn() -> TimeZone) -> Option<Timestamp> {
    let (date, rest) = (text.get(..10)?, text.get(10..)?);
    let rest = rest.strip_prefix(['T', ' '])?;
    let (time, offset) = match rest.find(['Z', '+', '-']) {
        Some(at) => (&rest[..at], Some(read_offset(&rest[at..])?)),
        None => (rest, None),
    };
    let local = DateTime::from_parts(read_date(date)?, read_time(time)?);
    let time = match offset {
        Some(offset) => offset.to_timestamp(local).ok()?,
        None => zone().to_timestamp(local).ok()?,
    };
    // What is stored has whole milliseconds and four digits of year, in UTC too.
    let time = Timestamp::from_millisecond(time.as_millisecond()).ok()?;
    (time.to_zoned(TimeZone::UTC).year() > 0).then_some(time)
}

/// Reads `HH:MM[:SS[.fff]]` with one to nine digits of a second.
fn read_time(text: &str) -> Option<Time> {
    let mut parts = text.split(':');
    let hour = digits(parts.next()?, 2)?;
    let minute = digits(parts.next()?, 2)?;
    let (second, nanos) = match parts.next() {
        Some(text) => {
            let (second, fraction) = text.split_once('.').unwrap_or((text, "0"));
            let nanos: i32 = match fraction.len() {
                length @ 1..=9 if fraction.bytes().all(|byte| byte.is_ascii_digit()) => {
                    fraction.parse::<i32>().ok()? * 10_i32.pow(9 - u32::try_from(length).ok()?)
                }
                _ => return None,
            };
            (digits(second, 2)?, nanos)
        }
        None => (0, 0),
    };
    match parts.next() {
        None => Time::new(hour.try_into().ok()?, minute.try_into().ok()?, second.try_into().ok()?, nanos).ok(),
        Some(_) => None,
    }
}

/// Reads `Z` or `±HH:MM`.
fn read_offset(text: &str) -> Option<Offset> {
    if text == "Z" {
        return Some(Offset::UTC);
    }
    let (hours, minutes) = text.get(1..)?.split_once(':')?;
    let (hours, minutes) = (digits(hours, 2)?, digits(minutes, 2)?);
    let seconds = i32::from(hours) * 3600 + i32::from(minutes) * 60;
    match (hours < 24 && minutes < 60, text.as_bytes()[0]) {
        (true, b'+') => Offset::from_seconds(seconds).ok(),
        (true, b'-') => Offset::from_seconds(-seconds).ok(),
        _ => None,
    }
}

/// Exactly `count` digits.
fn digits(text: &str, count: usize) -> Option<i16> {
    (text.len() == count && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

/// A moment counted from the time of the request: `today - 30 days`, `now + 2 hours`.
#[derive(Clone, Debug, PartialEq)]
pub struct Moving {
    pub(super) start: Start,
    /// How many units later; negative for earlier.
    amount: i64,
    unit: Unit,
}

/// What a moment is counted from, and the form of its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// `YYYY-MM-DD` in the site's time zone.
    Today,
    /// `YYYY-MM` in the site's time zone.
    Month,
    /// `YYYY-MM-DDTHH:MM` in the site's time zone.
    Minute,
    /// Datetime text in UTC.
    Now,
}

/// The unit of a shift.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    Second,
    Minute,
    Hour,
    Day,
    Week,
    Month,
    Year,
}

const UNITS: [(&str, Unit, i64); 7] = [
    ("second", Unit::Second, 1),
    ("minute", Unit::Minute, 60),
    ("hour", Unit::Hour, 3_600),
    ("day", Unit::Day, 86_400),
    ("week", Unit::Week, 7 * 86_400),
    ("month", Unit::Month, 31 * 86_400),
    ("year", Unit::Year, 366 * 86_400),
];

/// Shifts stay within a thousand years, so that they can't leave the calendar in any time that the server sees.
const LONGEST_SHIFT: i64 = 1000 * 366 * 86_400;

impl Start {
    pub(super) fn named(word: &str) -> Option<Start> {
        match word {
            "today" => Some(Start::Today),
            "month" => Some(Start::Month),
            "minute" => Some(Start::Minute),
            "now" => Some(Start::Now),
            _ => None,
        }
    }

    /// Whether its text is fine enough to show a shift by the unit.
    fn shows(self, unit: Unit) -> bool {
        match self {
            Start::Now => true,
            Start::Minute => unit != Unit::Second,
            Start::Today => matches!(unit, Unit::Day | Unit::Week | Unit::Month | Unit::Year),
            Start::Month => matches!(unit, Unit::Month | Unit::Year),
        }
    }
}

impl Moving {
    /// Reads `today`, `now + 2 hours`, `month - 1 month`. `None` when it doesn't begin with a moment.
    ///
    /// # Errors
    /// A message for the author when it begins with a moment but goes on wrongly.
    pub(super) fn read(text: &str) -> Option<Result<Moving, String>> {
        let text = text.trim();
        let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(text.len());
        let start = Start::named(&text[..end])?;
        Some(Moving::read_shift(start, text[end..].trim_start()))
    }

    /// The kind of its text. Months and minutes are no moment that a database knows by itself.
    pub(super) fn kind(&self) -> Kind {
        match self.start {
            Start::Today => Kind::Date,
            Start::Month | Start::Minute => Kind::Text,
            Start::Now => Kind::Datetime,
        }
    }

    fn read_shift(start: Start, shift: &str) -> Result<Moving, String> {
        let sign = match shift.as_bytes().first() {
            None => return Ok(Moving { start, amount: 0, unit: Unit::Day }),
            Some(b'+') => 1,
            Some(b'-') => -1,
            Some(_) => return Err("a moment is shifted like this: `today - 30 days`, `now + 2 hours`".into()),
        };
        let rest = shift[1..].trim();
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let word = rest[end..].trim();
        let found = UNITS.iter().find(|(name, ..)| *name == word.strip_suffix('s').unwrap_or(word));
        let (Ok(amount), Some((name, unit, seconds))) = (rest[..end].parse::<i64>(), found) else {
            return Err("a shift is a whole number and one of: seconds minutes hours days weeks months years".into());
        };
        if !start.shows(*unit) {
            return Err(format!("this moment has no {name}s"));
        }
        if amount.checked_mul(*seconds).is_none_or(|seconds| seconds > LONGEST_SHIFT) {
            return Err("a shift reaches at most a thousand years".into());
        }
        Ok(Moving { start, amount: sign * amount, unit: *unit })
    }

    /// The text of the moment; `None` when it leaves the calendar.
    pub(super) fn text(&self, around: &dyn Surroundings) -> Option<String> {
        if self.start == Start::Now && self.amount == 0 {
            return Some(datetime_text(around.now()));
        }
        let mut local = around.now().to_zoned(around.zone());
        if self.start == Start::Today || self.start == Start::Month {
            // Days are counted on the calendar: noon exists on each of them, in every zone.
            local = local.date().at(12, 0, 0, 0).to_zoned(local.time_zone().clone()).ok()?;
        }
        let shifted = local.checked_add(self.span()?).ok()?;
        if shifted.year() <= 0 {
            return None;
        }
        Some(match self.start {
            Start::Today => shifted.strftime("%Y-%m-%d").to_string(),
            Start::Month => shifted.strftime("%Y-%m").to_string(),
            Start::Minute => shifted.strftime("%Y-%m-%dT%H:%M").to_string(),
            Start::Now => datetime_text(shifted.timestamp()),
        })
    }

    fn span(&self) -> Option<Span> {
        let span = Span::new();
        match self.unit {
            Unit::Second => span.try_seconds(self.amount),
            Unit::Minute => span.try_minutes(self.amount),
            Unit::Hour => span.try_hours(self.amount),
            Unit::Day => span.try_days(self.amount),
            Unit::Week => span.try_weeks(self.amount),
            Unit::Month => span.try_months(self.amount),
            Unit::Year => span.try_years(self.amount),
        }
        .ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlfile::server::tests::Fixed;

    fn datetime(text: &str) -> Option<String> {
        read_datetime(text, &|| TimeZone::get("Europe/Berlin").unwrap()).map(datetime_text)
    }

    #[test]
    fn dates_are_strict() {
        assert_eq!(read_date("2024-02-29").map(|date| date.to_string()).as_deref(), Some("2024-02-29"));
        for text in ["2023-02-29", "2024-2-29", "24-02-29", "0000-01-01", "2024-02-29 ", "2024-02-29-1", "+024-02-29"] {
            assert_eq!(read_date(text), None, "{text}");
        }
    }

    #[test]
    fn datetimes_become_utc() {
        for (text, expected) in [
            ("2024-07-01T10:00", "2024-07-01T08:00:00.000Z"),
            ("2024-01-01 10:00:05", "2024-01-01T09:00:05.000Z"),
            ("2024-01-01T10:00:05.1234567Z", "2024-01-01T10:00:05.123Z"),
            ("2024-01-01T10:00+05:30", "2024-01-01T04:30:00.000Z"),
            ("2024-01-01T00:00-01:00", "2024-01-01T01:00:00.000Z"),
            ("2024-03-31T02:30", "2024-03-31T01:30:00.000Z"),
        ] {
            assert_eq!(datetime(text).as_deref(), Some(expected), "{text}");
        }
        for text in [
            "2024-01-01",
            "2024-01-01T10",
            "2024-01-01T24:00",
            "2024-01-01T10:60",
            "2024-01-01T10:00:00.",
            "2024-01-01T10:00Zx",
            "2024-01-01T10:00+5:30",
            "2024-01-01T10:00+24:00",
            "0001-01-01T00:00+01:00",
            "2024-01-01T10:00:00:00",
            "2024-01-01é10:00",
            "",
        ] {
            assert_eq!(datetime(text), None, "{text}");
        }
    }

    fn moment(text: &str) -> String {
        // 23:30 in UTC is already tomorrow in Berlin.
        let around = Fixed { now: "2024-01-30T23:30:00Z", zone: "Europe/Berlin", ..Fixed::default() };
        Moving::read(text).unwrap().unwrap().text(&around).unwrap()
    }

    #[test]
    fn moments_follow_the_zone() {
        assert_eq!(moment("today"), "2024-01-31");
        assert_eq!(moment("today - 30 days"), "2024-01-01");
        assert_eq!(moment("today + 1 month"), "2024-02-29");
        assert_eq!(moment("month"), "2024-01");
        assert_eq!(moment("month-1 month"), "2023-12");
        assert_eq!(moment("minute"), "2024-01-31T00:30");
        assert_eq!(moment("now"), "2024-01-30T23:30:00.000Z");
        assert_eq!(moment("now + 2 hours"), "2024-01-31T01:30:00.000Z");
        assert_eq!(moment("now - 1 weeks"), "2024-01-23T23:30:00.000Z");
    }

    #[test]
    fn wrong_moments_are_told() {
        assert!(Moving::read("tomorrow").is_none());
        assert!(Moving::read("todays").is_none());
        for text in
            ["today * 2", "today + days", "today + 3", "today + 2 hours", "now + 2000 years", "today + 1 fortnight"]
        {
            assert!(Moving::read(text).unwrap().is_err(), "{text}");
        }
        assert!(Moving::read("now + 99999999999999999999 days").unwrap().is_err());
        assert!(Moving::read("now + 9223372036854775807 days").unwrap().is_err());
    }
}

//! Moments as SQLite's texts: reading them, cutting them, shifting them. All in UTC.

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};

use crate::clock::datetime_text;

/// A date or datetime that was written as text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Moment {
    /// `2024-07-01`
    Date(Date),
    /// `2024-07-01T12:30:00.000Z`, also with a space, without fraction or zone (then UTC), or with an offset.
    Datetime(DateTime),
}

impl Moment {
    /// Reads a moment.
    pub(super) fn parse(text: &str) -> Result<Moment, String> {
        let trimmed = text.trim();
        let parsed = if trimmed.len() <= 10 {
            trimmed.parse().map(Moment::Date)
        } else {
            match trimmed.parse::<Timestamp>() {
                Ok(time) => Ok(Moment::Datetime(time.to_zoned(TimeZone::UTC).datetime())),
                Err(_) => trimmed.parse().map(Moment::Datetime),
            }
        };
        parsed.map_err(|_| format!("`{text}` is neither a date nor a datetime"))
    }

    /// The moment itself; a date begins at midnight.
    pub(super) fn datetime(self) -> DateTime {
        match self {
            Moment::Date(date) => date.to_datetime(jiff::civil::Time::midnight()),
            Moment::Datetime(datetime) => datetime,
        }
    }

    fn text(self) -> Result<String, String> {
        match self {
            Moment::Date(date) => Ok(date.to_string()),
            Moment::Datetime(datetime) => Ok(datetime_text(timestamp(datetime)?)),
        }
    }
}

fn timestamp(datetime: DateTime) -> Result<Timestamp, String> {
    datetime.to_zoned(TimeZone::UTC).map(|zoned| zoned.timestamp()).map_err(|error| error.to_string())
}

/// `date_trunc(unit, moment)`: the beginning of the unit that the moment lies in.
pub(super) fn truncate(unit: &str, text: &str) -> Result<String, String> {
    let datetime = Moment::parse(text)?.datetime();
    let (date, time) = (datetime.date(), datetime.time());
    let at_midnight = |date: Result<Date, jiff::Error>| {
        date.map(|date| Moment::Date(date).datetime()).map_err(|error| error.to_string())
    };
    let year = date.year();
    let begun = match unit.to_ascii_lowercase().trim_end_matches('s') {
        "millisecond" => datetime,
        "second" => datetime.with().subsec_nanosecond(0).build().map_err(|error| error.to_string())?,
        "minute" => date.at(time.hour(), time.minute(), 0, 0),
        "hour" => date.at(time.hour(), 0, 0, 0),
        "day" => at_midnight(Ok(date))?,
        "week" => at_midnight(date.checked_sub(i32::from(date.weekday().to_monday_zero_offset()).days()))?,
        "month" => at_midnight(Ok(date.first_of_month()))?,
        "quarter" => at_midnight(Date::new(year, (date.month() - 1) / 3 * 3 + 1, 1))?,
        "year" => at_midnight(Ok(date.first_of_year()))?,
        "decade" => at_midnight(Date::new(year.div_euclid(10) * 10, 1, 1))?,
        // Centuries begin with the year 1, not 0.
        "century" | "centurie" => at_midnight(Date::new((year - 1).div_euclid(100) * 100 + 1, 1, 1))?,
        _ => return Err(format!("date_trunc knows no unit `{unit}`: day, week, month, quarter, year, hour …")),
    };
    Moment::Datetime(begun).text()
}

/// `seconds_between(from, to)`: positive when `to` is later.
pub(super) fn seconds_between(from: &str, to: &str) -> Result<f64, String> {
    let from = timestamp(Moment::parse(from)?.datetime())?;
    let to = timestamp(Moment::parse(to)?.datetime())?;
    Ok((to.as_millisecond() - from.as_millisecond()) as f64 / 1000.0)
}

/// `shift(moment, count, unit)`. A date stays a date where the unit is whole days; a day that the month doesn't have
/// becomes its last.
pub(super) fn shift(text: &str, count: i64, unit: &str) -> Result<String, String> {
    let moment = Moment::parse(text)?;
    let datetime = moment.datetime();
    let unit = unit.to_ascii_lowercase();
    let unit = unit.trim_end_matches('s');
    let span = jiff::Span::new();
    let span = match unit {
        "second" => span.try_seconds(count),
        "minute" => span.try_minutes(count),
        "hour" => span.try_hours(count),
        "day" => span.try_days(count),
        "week" => span.try_weeks(count),
        "month" => span.try_months(count),
        "year" => span.try_years(count),
        _ => return Err(format!("shift knows no unit `{unit}`: seconds, minutes, hours, days, weeks, months, years")),
    };
    let shifted = span.and_then(|span| datetime.checked_add(span)).map_err(|_| "shift: out of range".to_string())?;
    let whole_days = matches!(unit, "day" | "week" | "month" | "year");
    match moment {
        Moment::Date(_) if whole_days => Moment::Date(shifted.date()).text(),
        _ => Moment::Datetime(shifted).text(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_in_all_their_forms() {
        let noon = jiff::civil::date(2024, 7, 1).at(12, 30, 0, 0);
        for text in ["2024-07-01T12:30:00.000Z", "2024-07-01 12:30:00", "2024-07-01 12:30", "2024-07-01T14:30:00+02:00"]
        {
            assert_eq!(Moment::parse(text), Ok(Moment::Datetime(noon)), "{text}");
        }
        assert_eq!(Moment::parse("2024-07-01"), Ok(Moment::Date(noon.date())));
        assert!(Moment::parse("yesterday").is_err());
        assert!(Moment::parse("2024-02-30").is_err());
    }

    #[test]
    fn truncation_goes_to_the_beginning_of_the_unit() {
        let begin = |unit| truncate(unit, "2024-08-15T13:45:56.789Z").unwrap();
        assert_eq!(begin("second"), "2024-08-15T13:45:56.000Z");
        assert_eq!(begin("hour"), "2024-08-15T13:00:00.000Z");
        assert_eq!(begin("day"), "2024-08-15T00:00:00.000Z");
        assert_eq!(begin("week"), "2024-08-12T00:00:00.000Z");
        assert_eq!(begin("quarter"), "2024-07-01T00:00:00.000Z");
        assert_eq!(begin("year"), "2024-01-01T00:00:00.000Z");
        assert_eq!(begin("century"), "2001-01-01T00:00:00.000Z");
        assert!(truncate("fortnight", "2024-08-15").unwrap_err().contains("fortnight"));
    }

    #[test]
    fn shifting_keeps_dates_and_clamps_months() {
        assert_eq!(shift("2024-01-31", 1, "months").unwrap(), "2024-02-29");
        assert_eq!(shift("2024-01-31", -1, "day").unwrap(), "2024-01-30");
        assert_eq!(shift("2024-01-31", 1, "hours").unwrap(), "2024-01-31T01:00:00.000Z");
        assert_eq!(shift("2024-01-31 10:00:00", 2, "weeks").unwrap(), "2024-02-14T10:00:00.000Z");
        assert!(shift("2024-01-31", i64::MAX, "years").is_err());
    }

    #[test]
    fn seconds_are_signed_and_keep_the_milliseconds() {
        assert_eq!(seconds_between("2024-01-01", "2024-01-01T00:01:00.500Z"), Ok(60.5));
        assert_eq!(seconds_between("2024-01-02", "2024-01-01"), Ok(-86_400.0));
    }
}

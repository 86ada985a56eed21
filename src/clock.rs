//! The one place that reads the time of day, so that a test can stop it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::SystemTime;

use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};
use jiff::{Timestamp, Zoned};

/// Tells the time: the system's, or a fixed one for tests.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    /// Milliseconds since the epoch when the clock stands still; `None` follows the system.
    fixed: Option<Arc<AtomicI64>>,
}

impl Clock {
    /// The system's clock.
    pub fn system() -> Clock {
        Clock { fixed: None }
    }

    /// A clock that stands at `millis` milliseconds since the epoch until [`Clock::set`] moves it.
    pub fn fixed(millis: i64) -> Clock {
        Clock { fixed: Some(Arc::new(AtomicI64::new(millis))) }
    }

    /// Moves a fixed clock; the system's clock stays as it is.
    pub fn set(&self, millis: i64) {
        if let Some(fixed) = &self.fixed {
            fixed.store(millis, Ordering::SeqCst);
        }
    }

    /// Milliseconds since 1970-01-01T00:00:00Z.
    pub fn millis(&self) -> i64 {
        match &self.fixed {
            Some(fixed) => fixed.load(Ordering::SeqCst),
            None => {
                let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
                i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
            }
        }
    }

    /// Now, in whole milliseconds.
    pub fn now(&self) -> Timestamp {
        Timestamp::from_millisecond(self.millis()).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    /// Now as people of the time zone read it.
    pub fn zoned(&self, zone: &TimeZone) -> Zoned {
        self.now().to_zoned(zone.clone())
    }
}

/// The `Date` of answers (RFC 9110, 6.6.1), as of the moment at which it was last looked at.
#[derive(Debug)]
pub struct HttpDate([u8; 29]);

impl HttpDate {
    /// The system's time as `Sun, 06 Nov 1994 08:49:37 GMT`.
    pub fn now() -> HttpDate {
        let text = httpdate::fmt_http_date(SystemTime::now()).into_bytes();
        HttpDate(text.try_into().unwrap_or(*b"Thu, 01 Jan 1970 00:00:00 GMT"))
    }

    /// Its text.
    pub fn text(&self) -> &[u8; 29] {
        &self.0
    }
}

/// A datetime as query files and SQLite keep it: `YYYY-MM-DDTHH:MM:SS.mmmZ`.
pub fn datetime_text(time: Timestamp) -> String {
    let time = Offset::UTC.to_datetime(time);
    let Ok(year) = u16::try_from(time.year()) else { return time.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string() };
    let mut text = *b"0000-00-00T00:00:00.000Z";
    let mut put = |place: usize, number: u16| {
        let digits = [number / 1000, number / 100, number / 10, number].map(|rest| b'0' + (rest % 10) as u8);
        let size = text[place..].iter().take_while(|byte| **byte == b'0').count();
        text[place..place + size].copy_from_slice(&digits[4 - size..]);
    };
    put(0, year);
    let small = [time.month(), time.day(), time.hour(), time.minute(), time.second()];
    small.iter().zip([5, 8, 11, 14, 17]).for_each(|(number, place)| put(place, number.unsigned_abs().into()));
    put(20, time.millisecond().unsigned_abs());
    str::from_utf8(&text).unwrap_or_default().to_string()
}

/// Reads a datetime as [`datetime_text`] writes it, else as RFC 3339 has it.
pub fn datetime_of(text: &str) -> Option<Timestamp> {
    usual_datetime(text.as_bytes()).or_else(|| text.parse().ok())
}

fn usual_datetime(text: &[u8]) -> Option<Timestamp> {
    const LIKE: &[u8; 24] = b"0000-00-00T00:00:00.000Z";
    let fits = |(byte, like): (&u8, &u8)| if *like == b'0' { byte.is_ascii_digit() } else { byte == like };
    if text.len() != LIKE.len() || !text.iter().zip(LIKE).all(fits) {
        return None;
    }
    let number = |from: usize, size: usize| {
        text[from..from + size].iter().fold(0, |number, digit| 10 * number + i16::from(digit - b'0'))
    };
    let small = |from: usize| number(from, 2) as i8;
    let nanos = i32::from(number(20, 3)) * 1_000_000;
    let time = DateTime::new(number(0, 4), small(5), small(8), small(11), small(14), small(17), nanos).ok()?;
    Offset::UTC.to_timestamp(time).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn datetimes_are_written_and_read_as_the_library_does(millis in -377_705_023_201_000i64..=253_402_207_200_999) {
            let time = Timestamp::from_millisecond(millis).unwrap();
            let text = datetime_text(time);
            prop_assert_eq!(&text, &time.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string());
            prop_assert_eq!(datetime_of(&text), text.parse().ok());
        }
    }

    #[test]
    fn other_datetimes_are_read_by_the_library() {
        for text in ["2026-01-31T08:09:10Z", "2026-01-31T08:09:10.123+01:00", "2026-02-31T08:09:10.123Z", "now", ""] {
            assert_eq!(datetime_of(text), text.parse().ok(), "{text}");
        }
    }
}

//! The one place that reads the time of day, so that a test can stop it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::SystemTime;

use jiff::tz::TimeZone;
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
            None => Timestamp::now().as_millisecond(),
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
    time.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

//! The one place that reads the time of day, so that a test can stop it.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

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

/// The `Date` of answers (RFC 9110, 6.6.1), made once a second.
#[derive(Debug)]
pub struct HttpDate {
    second: u64,
    text: [u8; 29],
}

impl Default for HttpDate {
    fn default() -> HttpDate {
        HttpDate { second: 0, text: *b"Thu, 01 Jan 1970 00:00:00 GMT" }
    }
}

impl HttpDate {
    /// The system's time as `Sun, 06 Nov 1994 08:49:37 GMT`.
    pub fn now(&mut self) -> &[u8; 29] {
        let time = coarse_now();
        let second = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        if second != self.second
            && let Ok(text) = httpdate::fmt_http_date(time).into_bytes().try_into()
        {
            (self.second, self.text) = (second, text);
        }
        &self.text
    }
}

/// The time of day to some milliseconds, for a fraction of what reading it exactly costs.
fn coarse_now() -> SystemTime {
    #[cfg(target_os = "linux")]
    {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse);
        let since = Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0));
        UNIX_EPOCH + since
    }
    #[cfg(not(target_os = "linux"))]
    SystemTime::now()
}

/// A datetime as query files and SQLite keep it: `YYYY-MM-DDTHH:MM:SS.mmmZ`.
pub fn datetime_text(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}

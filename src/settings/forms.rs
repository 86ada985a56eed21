//! What the values of settings look like, and how they are read.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use jiff::tz::TimeZone;

use super::{Bytes, HeaderText, LogFormat, Proxies, Registration};

/// A type that a setting can have.
pub(super) trait Readable: Sized {
    /// What a good value looks like, for messages.
    const FORM: &'static str;
    /// Reads a value from text; `None` when it isn't one.
    fn read(text: &str) -> Option<Self>;
}

impl Readable for String {
    const FORM: &'static str = "text";
    fn read(text: &str) -> Option<String> {
        Some(text.to_string())
    }
}

impl Readable for HeaderText {
    const FORM: &'static str = "text that a header may hold: letters, digits and signs of ASCII";
    fn read(text: &str) -> Option<HeaderText> {
        // A long policy may be written on several lines.
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        text.bytes().all(|byte| (b' '..=b'~').contains(&byte)).then_some(HeaderText(text))
    }
}

impl Readable for bool {
    const FORM: &'static str = "true or false";
    fn read(text: &str) -> Option<bool> {
        text.parse().ok()
    }
}

impl Readable for u32 {
    const FORM: &'static str = "a whole number";
    fn read(text: &str) -> Option<u32> {
        text.parse().ok()
    }
}

impl Readable for Bytes {
    const FORM: &'static str = "a size such as 512, 64KB, 1MiB or 2GB";
    fn read(text: &str) -> Option<Bytes> {
        let text = text.trim();
        let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
        let factor: u64 = match text[digits.len()..].trim() {
            "" | "B" => 1,
            "KB" => 1_000,
            "MB" => 1_000_000,
            "GB" => 1_000_000_000,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            _ => return None,
        };
        digits.parse::<u64>().ok()?.checked_mul(factor).map(Bytes)
    }
}

impl Readable for Duration {
    const FORM: &'static str = "a time such as 500ms, 10s, 5m, 2h or 30d";
    fn read(text: &str) -> Option<Duration> {
        let text = text.trim();
        let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
        let millis: u64 = match text[digits.len()..].trim() {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        digits.parse::<u64>().ok()?.checked_mul(millis).map(Duration::from_millis)
    }
}

impl Readable for SocketAddr {
    const FORM: &'static str = "an address and port such as 127.0.0.1:3000";
    fn read(text: &str) -> Option<SocketAddr> {
        match text.strip_prefix("localhost:") {
            Some(port) => format!("127.0.0.1:{port}").parse().ok(),
            None => text.parse().ok(),
        }
    }
}

impl Readable for TimeZone {
    const FORM: &'static str = "a time zone such as UTC or Europe/Berlin";
    fn read(text: &str) -> Option<TimeZone> {
        match text {
            // The default is there without a look at the system's list of zones.
            "UTC" => Some(TimeZone::UTC),
            name => TimeZone::get(name).ok(),
        }
    }
}

impl Readable for LogFormat {
    const FORM: &'static str = "`text` or `json`";
    fn read(text: &str) -> Option<LogFormat> {
        match text {
            "text" => Some(LogFormat::Text),
            "json" => Some(LogFormat::Json),
            _ => None,
        }
    }
}

impl Readable for Registration {
    const FORM: &'static str = "`off`, `closed`, `invited` or `open`";
    fn read(text: &str) -> Option<Registration> {
        match text {
            "off" => Some(Registration::Off),
            "closed" => Some(Registration::Closed),
            "invited" => Some(Registration::Invited),
            "open" => Some(Registration::Open),
            _ => None,
        }
    }
}

impl Readable for Proxies {
    const FORM: &'static str = "addresses such as 127.0.0.1, 10.0.0.0/8";
    fn read(text: &str) -> Option<Proxies> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        let networks = parts.map(|part| {
            let (address, bits) = part.split_once('/').unwrap_or((part, ""));
            let address: IpAddr = address.trim().parse().ok()?;
            let longest = if address.is_ipv4() { 32 } else { 128 };
            let bits = if bits.is_empty() { longest } else { bits.parse().ok().filter(|bits| *bits <= longest)? };
            match address {
                // `::ffff:10.0.0.0/104` is `10.0.0.0/8`.
                IpAddr::V6(long) if bits >= 96 => Some(match long.to_ipv4_mapped() {
                    Some(short) => (IpAddr::V4(short), bits - 96),
                    None => (address, bits),
                }),
                _ => Some((address, bits)),
            }
        });
        networks.collect::<Option<Vec<_>>>().map(Proxies)
    }
}

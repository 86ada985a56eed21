//! The growing delay before somebody may try again: the rule alone. Where failures are counted is another's business.
//!
//! Delays grow instead of accounts being locked, because a lock lets anybody shut out anybody (OWASP, "Authentication
//! Cheat Sheet", account lockout; NIST SP 800-63B, section 5.2.2, rate limiting).

use std::net::IpAddr;
use std::time::Duration;

use jiff::Timestamp;

/// The longest delay of all rules.
pub const LONGEST: Duration = Duration::from_secs(15 * 60);

/// So long after the last failure all are forgotten.
pub const FORGET: Duration = Duration::from_secs(24 * 60 * 60);

/// One account tried from one address: somebody who forgot a password, or one who guesses.
pub const PAIR: Rule = Rule { free: 5, first: Duration::from_secs(1), longest: LONGEST, forget: FORGET };

/// One address, whatever accounts it tries: many people may share it, so it has more room.
pub const ADDRESS: Rule = Rule { free: 30, first: Duration::from_secs(1), longest: LONGEST, forget: FORGET };

/// One account, from whatever addresses: what is left to slow down somebody who has many of them.
pub const ACCOUNT: Rule = Rule { free: 50, first: Duration::from_secs(1), longest: LONGEST, forget: FORGET };

/// How delays grow with failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// So many failures cost no delay.
    pub free: u32,
    /// The delay after the first failure beyond those; each further one doubles it.
    pub first: Duration,
    /// The longest delay.
    pub longest: Duration,
    /// So long after the last failure all are forgotten.
    pub forget: Duration,
}

impl Rule {
    /// How long nothing is tried after so many failures.
    pub fn wait_after(&self, failures: u32) -> Duration {
        let Some(doublings) = failures.checked_sub(self.free).and_then(|beyond| beyond.checked_sub(1)) else {
            return Duration::ZERO;
        };
        let factor = 2_u32.checked_pow(doublings).unwrap_or(u32::MAX);
        self.first.saturating_mul(factor).min(self.longest)
    }

    /// The failures that still count, when the last one was at `last`.
    pub fn remembered(&self, failures: u32, last: Timestamp, now: Timestamp) -> u32 {
        let passed = Duration::try_from(now.duration_since(last)).unwrap_or(Duration::ZERO);
        if passed >= self.forget { 0 } else { failures }
    }

    /// How long is left to wait at `now`, when the last of the failures was at `last`. A clock that went back makes
    /// nobody wait longer than the whole delay.
    pub fn wait(&self, failures: u32, last: Timestamp, now: Timestamp) -> Duration {
        let whole = self.wait_after(self.remembered(failures, last, now));
        let passed = Duration::try_from(now.duration_since(last)).unwrap_or(Duration::ZERO);
        whole.saturating_sub(passed)
    }
}

/// Whom an address stands for. IPv6 counts by its /64, which one customer has whole (RFC 6177, section 2; RFC 4291,
/// section 2.5.4); an IPv4 address written as IPv6 (RFC 4291, section 2.5.5.2) is that IPv4 address.
pub fn address_key(ip: IpAddr) -> String {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => {
            let network = u128::from(ip) & (u128::MAX << 64);
            format!("{}/64", std::net::Ipv6Addr::from(network))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn delays_double_beyond_the_free_tries() {
        let waits: Vec<u64> = (0..=12).map(|failures| PAIR.wait_after(failures).as_secs()).collect();
        assert_eq!(waits, [0, 0, 0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 64]);
        assert_eq!((ADDRESS.wait_after(30), ADDRESS.wait_after(31)), (seconds(0), seconds(1)));
        assert_eq!((ACCOUNT.wait_after(50), ACCOUNT.wait_after(51)), (seconds(0), seconds(1)));
    }

    #[test]
    fn delays_end_at_the_longest() {
        assert_eq!(PAIR.wait_after(15), seconds(512));
        for failures in [16, 17, 36, 37, 38, 1_000, u32::MAX] {
            assert_eq!(PAIR.wait_after(failures), LONGEST, "{failures}");
        }
    }

    #[test]
    fn failures_are_forgotten_a_day_after_the_last() {
        let day = 24 * 60 * 60;
        assert_eq!(PAIR.remembered(9, at(1_000), at(1_000 + day - 1)), 9);
        assert_eq!(PAIR.remembered(9, at(1_000), at(1_000 + day)), 0);
    }

    #[test]
    fn time_that_passed_counts() {
        assert_eq!(PAIR.wait(9, at(1_000), at(1_000)), seconds(8));
        assert_eq!(PAIR.wait(9, at(1_000), at(1_003)), seconds(5));
        assert_eq!(PAIR.wait(9, at(1_000), at(1_008)), seconds(0));
        assert_eq!(PAIR.wait(9, at(1_000), at(1_900)), seconds(0));
        assert_eq!(PAIR.wait(9, at(1_000), at(0)), seconds(8));
        assert_eq!(PAIR.wait(u32::MAX, Timestamp::MIN, Timestamp::MAX), seconds(0));
        assert_eq!(PAIR.wait(u32::MAX, Timestamp::MAX, Timestamp::MIN), LONGEST);
    }

    #[test]
    fn an_address_stands_for_its_owner() {
        let key = |ip: &str| address_key(ip.parse().unwrap());
        assert_eq!(key("192.0.2.7"), "192.0.2.7");
        assert_eq!(key("::ffff:192.0.2.7"), "192.0.2.7");
        assert_eq!(key("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64");
        assert_eq!(key("2001:db8:1:2:ffff::1"), key("2001:db8:1:2::"));
        assert_ne!(key("2001:db8:1:2::1"), key("2001:db8:1:3::1"));
        assert_eq!(key("::1"), "::/64");
    }
}

//! What the server knows about a request: the closed list of `@names`, and the one accessor that reads them.

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::value::{Kind, Value};

/// A value that the server gives: `@user_id` and its siblings. The list is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ServerValue {
    /// `@user_id`: the user who is logged in, else null.
    UserId,
    /// `@session_id`: the session; null until one begins.
    SessionId,
    /// `@visitor`: the user, else the session.
    Visitor,
    /// `@roles`: the user's roles, a list for `in @roles`.
    Roles,
    /// `@now`: the time of the request as datetime text in UTC.
    Now,
    /// `@path`: the decoded path of the request.
    Path,
    /// `@method`: `GET`, `POST` …
    Method,
    /// `@request_id`: as it stands in the log.
    RequestId,
    /// `@client_ip`: the visitor's address.
    ClientIp,
    /// `@locale`: the site's language, such as `en`.
    Locale,
    /// `@site_url`: the site's address without a slash at its end.
    SiteUrl,
}

impl ServerValue {
    /// All of them, in the order of the handbook.
    pub const ALL: [ServerValue; 11] = [
        ServerValue::UserId,
        ServerValue::SessionId,
        ServerValue::Visitor,
        ServerValue::Roles,
        ServerValue::Now,
        ServerValue::Path,
        ServerValue::Method,
        ServerValue::RequestId,
        ServerValue::ClientIp,
        ServerValue::Locale,
        ServerValue::SiteUrl,
    ];

    /// The name after the `@`.
    pub fn name(self) -> &'static str {
        match self {
            ServerValue::UserId => "user_id",
            ServerValue::SessionId => "session_id",
            ServerValue::Visitor => "visitor",
            ServerValue::Roles => "roles",
            ServerValue::Now => "now",
            ServerValue::Path => "path",
            ServerValue::Method => "method",
            ServerValue::RequestId => "request_id",
            ServerValue::ClientIp => "client_ip",
            ServerValue::Locale => "locale",
            ServerValue::SiteUrl => "site_url",
        }
    }

    /// The kind of its values; of a list, that of its items.
    pub(super) fn kind(self) -> Kind {
        match self {
            ServerValue::Now => Kind::Datetime,
            ServerValue::UserId => Kind::Int,
            _ => Kind::Text,
        }
    }

    /// The value of a name, without its `@`.
    pub fn named(name: &str) -> Option<ServerValue> {
        ServerValue::ALL.into_iter().find(|value| value.name() == name)
    }
}

/// The single way to what belongs to one request and its visitor. Whoever implements it may record what was read, so
/// that an answer is shared only between visitors for whom it is the same.
pub trait Surroundings {
    /// A server value; [`ServerValue::Roles`] gives a [`Value::List`] of texts.
    fn server(&self, value: ServerValue) -> Value;

    /// The time of the request. Asked only by what depends on it (`today`, `now + 2 hours`, `min=today`).
    fn now(&self) -> Timestamp;

    /// The site's time zone, in which days begin and in which visitors write datetimes.
    fn zone(&self) -> TimeZone;

    /// Whether the visitor has the role.
    fn has_role(&self, role: &str) -> bool;
}

/// Nobody, nowhere, at the beginning of time: for converting what stands in a file before any request.
pub(super) struct Nobody;

impl Surroundings for Nobody {
    fn server(&self, _value: ServerValue) -> Value {
        Value::Null
    }

    fn now(&self) -> Timestamp {
        Timestamp::UNIX_EPOCH
    }

    fn zone(&self) -> TimeZone {
        TimeZone::UTC
    }

    fn has_role(&self, _role: &str) -> bool {
        false
    }
}

/// Surroundings for tests.
#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Fixed surroundings: nobody is logged in unless it is said.
    pub(in crate::sqlfile) struct Fixed {
        pub(in crate::sqlfile) now: &'static str,
        pub(in crate::sqlfile) zone: &'static str,
        pub(in crate::sqlfile) user: Value,
        pub(in crate::sqlfile) roles: &'static [&'static str],
    }

    impl Default for Fixed {
        fn default() -> Fixed {
            Fixed { now: "2024-05-06T07:08:09.010Z", zone: "UTC", user: Value::Null, roles: &[] }
        }
    }

    impl Surroundings for Fixed {
        fn server(&self, value: ServerValue) -> Value {
            match value {
                ServerValue::UserId | ServerValue::Visitor => self.user.clone(),
                ServerValue::Roles => Value::List(self.roles.iter().map(|role| Value::from(*role)).collect()),
                ServerValue::Now => Value::text(crate::clock::datetime_text(self.now())),
                ServerValue::Method => Value::from("GET"),
                _ => Value::Null,
            }
        }

        fn now(&self) -> Timestamp {
            self.now.parse().expect("a timestamp")
        }

        fn zone(&self) -> TimeZone {
            TimeZone::get(self.zone).expect("a known zone")
        }

        fn has_role(&self, role: &str) -> bool {
            self.roles.contains(&role)
        }
    }

    #[test]
    fn names_lead_back_to_their_values() {
        for value in ServerValue::ALL {
            assert_eq!(ServerValue::named(value.name()), Some(value));
        }
        assert_eq!(ServerValue::named("users_id"), None);
    }
}

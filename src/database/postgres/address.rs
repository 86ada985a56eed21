//! A connection URL taken apart: `postgres://user:password@host:port,host:port/database?sslmode=verify-full`.
//!
//! The form is libpq's (PostgreSQL documentation, chapter "libpq", "Connection URIs"); what Tableside doesn't know in
//! it is an error, because a misspelt `sslmode` must not mean an open connection.

use std::path::PathBuf;
use std::time::Duration;

use percent_encoding::percent_decode_str;

/// Where the database is and who asks.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Address {
    /// Servers in the order in which they are tried.
    pub(super) hosts: Vec<Host>,
    /// The role.
    pub(super) user: String,
    /// Its password.
    pub(super) password: Option<String>,
    /// The database's name.
    pub(super) database: String,
    /// How much TLS is asked for.
    pub(super) tls: TlsMode,
    /// A file with the certificates that the server's must come from; `None` takes those of the system.
    pub(super) root_certificates: Option<PathBuf>,
    /// The name under which `pg_stat_activity` shows the connections.
    pub(super) application_name: String,
    /// Settings for the server as its command line takes them: `-c search_path=shop`.
    pub(super) options: Option<String>,
    /// How long one server may take to accept.
    pub(super) connect_time: Option<Duration>,
}

/// One server.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Host {
    /// By name or number, and port.
    Tcp(String, u16),
    /// By its socket's file.
    Unix(PathBuf),
}

/// libpq's `sslmode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TlsMode {
    /// None.
    Disable,
    /// If the server can; its certificate is not looked at.
    Prefer,
    /// Always; its certificate is looked at only if `sslrootcert` is given.
    Require,
    /// Always; the certificate must come from a known root.
    VerifyCa,
    /// Always; the certificate must come from a known root and bear the host's name.
    VerifyFull,
}

/// The port where the URL tells none.
const PORT: u16 = 5432;

/// The URL of another database on the same server.
pub(super) fn with_database(url: &str, database: &str) -> String {
    let (before, query) =
        url.split_once('?').map_or((url, String::new()), |(before, query)| (before, format!("?{query}")));
    let authority = before.find("://").map_or(0, |at| at + 3);
    let end = before[authority..].find('/').map_or(before.len(), |at| authority + at);
    format!("{}/{database}{query}", &before[..end])
}

/// The URL of the same database, where names are looked for in one schema.
pub(super) fn with_schema(url: &str, schema: &str) -> String {
    let joint = if url.contains('?') { '&' } else { '?' };
    format!("{url}{joint}options=-c%20search_path%3D{schema}")
}

impl Address {
    /// Takes a URL apart.
    ///
    /// # Errors
    /// A text for the operator; it never holds the password.
    pub(super) fn parse(url: &str) -> Result<Address, String> {
        let rest = url.strip_prefix("postgres://").or_else(|| url.strip_prefix("postgresql://"));
        let rest = rest.ok_or("a database URL begins with postgres://")?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
        let (userinfo, hosts) = authority.rsplit_once('@').unwrap_or(("", authority));
        let (user, password) = match userinfo.split_once(':') {
            Some((user, password)) => (user, Some(decode(password)?)),
            None => (userinfo, None),
        };
        let mut address = Address {
            hosts: parse_hosts(hosts)?,
            user: decode(user)?,
            password,
            database: decode(database)?,
            tls: TlsMode::Prefer,
            root_certificates: None,
            application_name: "tableside".to_string(),
            options: None,
            connect_time: None,
        };
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            address.set(name, decode(value)?)?;
        }
        address.complete()
    }

    fn set(&mut self, name: &str, value: String) -> Result<(), String> {
        let wrong = |allowed: &str| Err(format!("`{name}` in the database URL is {allowed}, not `{value}`"));
        match name {
            "host" => self.hosts = parse_hosts(&value)?,
            "port" => {
                let Ok(port) = value.parse() else { return wrong("a port") };
                for host in &mut self.hosts {
                    match host {
                        Host::Tcp(_, own) => *own = port,
                        Host::Unix(file) => *file = file.with_file_name(socket_name(port)),
                    }
                }
            }
            "user" => self.user = value,
            "password" => self.password = Some(value),
            "dbname" => self.database = value,
            "application_name" => self.application_name = value,
            "options" => self.options = Some(value),
            "connect_timeout" => match value.parse() {
                Ok(seconds) => self.connect_time = Some(Duration::from_secs(seconds)),
                Err(_) => return wrong("a number of seconds"),
            },
            "sslmode" => {
                self.tls = match &*value {
                    "disable" => TlsMode::Disable,
                    "allow" | "prefer" => TlsMode::Prefer,
                    "require" => TlsMode::Require,
                    "verify-ca" => TlsMode::VerifyCa,
                    "verify-full" => TlsMode::VerifyFull,
                    _ => return wrong("disable, prefer, require, verify-ca or verify-full"),
                }
            }
            "sslrootcert" if value != "system" => self.root_certificates = Some(value.into()),
            "sslrootcert" => self.tls = TlsMode::VerifyFull,
            "channel_binding" if matches!(&*value, "disable" | "prefer") => {}
            "target_session_attrs" if matches!(&*value, "any" | "read-write" | "primary") => {}
            _ => {
                let known =
                    "host port user password dbname application_name options connect_timeout sslmode sslrootcert";
                return Err(format!("`{name}={value}` in the database URL is not known; known are: {known}"));
            }
        }
        Ok(())
    }

    /// libpq's defaults for what was left out.
    fn complete(mut self) -> Result<Address, String> {
        if self.user.is_empty() {
            return Err("the database URL names no user: postgres://USER@HOST/DATABASE".to_string());
        }
        if self.database.is_empty() {
            self.database.clone_from(&self.user);
        }
        // As libpq: with a file of roots at hand, `require` looks at the certificate.
        if self.tls == TlsMode::Require && self.root_certificates.is_some() {
            self.tls = TlsMode::VerifyCa;
        }
        Ok(self)
    }
}

fn parse_hosts(text: &str) -> Result<Vec<Host>, String> {
    if text.is_empty() {
        return Ok(vec![Host::Tcp("localhost".to_string(), PORT)]);
    }
    text.split(',').map(parse_host).collect()
}

/// `name`, `name:port`, `[::1]:port`, or a percent-encoded folder of sockets.
fn parse_host(text: &str) -> Result<Host, String> {
    let (name, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((name, rest)) => (name, rest.strip_prefix(':').unwrap_or("")),
        None if text.starts_with('/') => (text, ""),
        None => text.split_once(':').unwrap_or((text, "")),
    };
    let port = match port {
        "" => PORT,
        port => port.parse().map_err(|_| format!("`{port}` in the database URL is no port"))?,
    };
    let name = decode(name)?;
    Ok(match name.starts_with('/') {
        true => Host::Unix(PathBuf::from(name).join(socket_name(port))),
        false => Host::Tcp(name, port),
    })
}

fn socket_name(port: u16) -> String {
    format!(".s.PGSQL.{port}")
}

fn decode(text: &str) -> Result<String, String> {
    let text = percent_decode_str(text).decode_utf8().map_err(|_| "the database URL is no UTF-8")?;
    // Each of its parts ends with a NUL on the wire.
    if text.contains('\0') {
        return Err("the database URL holds a NUL character".to_string());
    }
    Ok(text.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_database_of_the_same_server() {
        assert_eq!(with_database("postgres://a:b@h:1/x?host=/tmp", "y"), "postgres://a:b@h:1/y?host=/tmp");
        assert_eq!(with_database("postgresql://h", "y"), "postgresql://h/y");
        let schema = Address::parse(&with_schema("postgres://a@h/x?sslmode=disable", "s")).unwrap();
        assert_eq!(schema.options.as_deref(), Some("-c search_path=s"));
    }

    #[test]
    fn a_url_is_taken_apart() {
        let address = Address::parse("postgres://me:p%40ss@db.example:6432/shop?sslmode=verify-full").unwrap();
        assert_eq!(address.hosts, [Host::Tcp("db.example".into(), 6432)]);
        assert_eq!((&*address.user, address.password.as_deref()), ("me", Some("p@ss")));
        assert_eq!((&*address.database, address.tls), ("shop", TlsMode::VerifyFull));
    }

    #[test]
    fn hosts_may_be_several_numbers_or_sockets() {
        let hosts = |url| Address::parse(url).unwrap().hosts;
        assert_eq!(hosts("postgres://me@a,[::1]:7/x"), [Host::Tcp("a".into(), 5432), Host::Tcp("::1".into(), 7)]);
        assert_eq!(hosts("postgresql://me@%2Frun%2Fpg:7/x"), [Host::Unix("/run/pg/.s.PGSQL.7".into())]);
        assert_eq!(hosts("postgres://me@/x?host=/run/pg&port=8"), [Host::Unix("/run/pg/.s.PGSQL.8".into())]);
        assert_eq!(hosts("postgres://me@/x"), [Host::Tcp("localhost".into(), 5432)]);
    }

    #[test]
    fn what_is_not_known_is_an_error() {
        for (url, part) in [
            ("mysql://a@b/c", "postgres://"),
            ("postgres://b/c", "no user"),
            ("postgres://a@b:x/c", "no port"),
            ("postgres://a@b/c?ssl_mode=require", "ssl_mode"),
            ("postgres://a@b/c?sslmode=full", "verify-full"),
            ("postgres://a@b/c?channel_binding=require", "channel_binding"),
            ("postgres://a@b/c%00", "NUL"),
        ] {
            let message = Address::parse(url).unwrap_err();
            assert!(message.contains(part), "{url}: {message}");
        }
    }
}

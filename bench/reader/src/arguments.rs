//! The command line: where to ask, what, how often at once and for how long.

use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use crate::Fault;

const USAGE: &str = "usage: reader PORT PATH CONNECTIONS SECONDS ['NAME: VALUE'...]";
/// More would need more open files than systems allow by default.
const MOST_CONNECTIONS: usize = 1000;
/// Each answer's latency is kept until the end.
const MOST_SECONDS: u64 = 600;

/// What the command line asks for.
pub struct Arguments {
    /// The server.
    pub address: SocketAddr,
    /// The whole request, the same each time.
    pub request: Vec<u8>,
    /// How many connections ask at once.
    pub connections: usize,
    /// How long they do so.
    pub length: Duration,
}

impl Arguments {
    /// Reads what stands behind the program's name.
    pub fn parse(given: Vec<String>) -> Result<Self, Fault> {
        let [port, path, connections, seconds, fields @ ..] = &given[..] else {
            return Err(USAGE.into());
        };
        let port = number("PORT", port, 1, u16::MAX)?;
        Ok(Self {
            address: (Ipv4Addr::LOCALHOST, port).into(),
            request: request(port, path, fields)?,
            connections: number("CONNECTIONS", connections, 1, MOST_CONNECTIONS)?,
            length: Duration::from_secs(number("SECONDS", seconds, 1, MOST_SECONDS)?),
        })
    }
}

fn number<N: FromStr + PartialOrd + std::fmt::Display>(name: &str, text: &str, least: N, most: N) -> Result<N, Fault> {
    let number = text.parse().ok().filter(|number| (&least..=&most).contains(&number));
    number.ok_or_else(|| format!("{name} is a number from {least} to {most}, not `{text}`\n{USAGE}"))
}

fn request(port: u16, path: &str, fields: &[String]) -> Result<Vec<u8>, Fault> {
    if !path.starts_with('/') || path.bytes().any(|byte| !byte.is_ascii_graphic()) {
        return Err(format!("PATH begins with `/` and has no spaces, unlike `{path}`\n{USAGE}"));
    }
    let mut text = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n");
    for field in fields {
        if !field.contains(": ") || field.contains(char::is_control) {
            return Err(format!("a header field is written `NAME: VALUE`, not `{field}`\n{USAGE}"));
        }
        text += field;
        text += "\r\n";
    }
    text += "\r\n";
    Ok(text.into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &[&str]) -> Result<Arguments, Fault> {
        Arguments::parse(line.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn the_request_is_made_of_the_arguments() {
        let found = parse(&["80", "/a", "64", "5", "Accept-Encoding: br"]).unwrap();
        let request = b"GET /a HTTP/1.1\r\nHost: 127.0.0.1:80\r\nAccept-Encoding: br\r\n\r\n";
        assert_eq!(found.request, request);
        assert_eq!((found.connections, found.length), (64, Duration::from_secs(5)));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let wrong: [(&[&str], &str); 5] = [
            (&[], "usage"),
            (&["0", "/", "1", "1"], "PORT"),
            (&["80", "/", "many", "1"], "CONNECTIONS"),
            (&["80", "a b", "1", "1"], "PATH"),
            (&["80", "/", "1", "1", "A: b\r\nC: d"], "header field"),
        ];
        for (line, name) in wrong {
            assert!(parse(line).err().is_some_and(|fault| fault.contains(name)), "{line:?}");
        }
    }
}

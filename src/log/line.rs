//! Makes log lines. Whatever a client sent is escaped, so that nobody writes a line of their own into the log.

use std::io::Write;
use std::net::IpAddr;

use http::StatusCode;
use http::header::USER_AGENT;
use jiff::Timestamp;

use super::{Format, Level};
use crate::clock::datetime_text;
use crate::flow::{Sent, Visit};
use crate::octets;
use crate::problem::Problem;
use crate::trace::Detail;

/// The text of a time, remembered: most lines fall into the same few milliseconds.
#[derive(Debug, Default)]
pub(super) struct Stamp {
    millis: i64,
    text: String,
}

impl Stamp {
    /// The time as `2026-01-31T08:09:10.123Z`.
    pub(super) fn at(&mut self, millis: i64) -> &str {
        if self.millis != millis || self.text.is_empty() {
            self.text = datetime_text(Timestamp::from_millisecond(millis).unwrap_or(Timestamp::UNIX_EPOCH));
            self.millis = millis;
        }
        &self.text
    }
}

/// The line of a visit.
pub(super) fn visit(
    format: Format,
    line: &mut Vec<u8>,
    time: &str,
    visit: &Visit,
    status: StatusCode,
    sent: Sent,
    problem: Option<&Problem>,
) {
    let facts = Facts {
        time,
        visit,
        target: &visit.logged(),
        agent: visit.headers.get(USER_AGENT).unwrap_or_default(),
        micros: u64::try_from(visit.trace.elapsed().as_micros()).unwrap_or(u64::MAX),
        status: status.as_u16(),
        sent,
        cause: problem.and_then(cause),
    };
    match format {
        Format::Text => facts.as_text(line),
        Format::Json => facts.as_json(line),
    }
}

/// What a visit's line says.
struct Facts<'a> {
    time: &'a str,
    visit: &'a Visit,
    target: &'a str,
    agent: &'a [u8],
    micros: u64,
    status: u16,
    sent: Sent,
    cause: Option<String>,
}

// Writing to a vector can't fail, so results are let go.
impl Facts<'_> {
    fn as_text(&self, line: &mut Vec<u8>) {
        let Facts { time, visit, status, sent, .. } = self;
        put(line, time);
        line.push(b' ');
        put(line, visit.method.as_str());
        line.push(b' ');
        escape(line, self.target.as_bytes());
        line.push(b' ');
        put_number(line, u64::from(*status));
        line.push(b' ');
        put_number(line, sent.bytes);
        line.extend_from_slice(b"B ");
        put_millis(line, self.micros);
        line.extend_from_slice(b"ms ");
        put_address(line, visit.peer.ip());
        line.extend_from_slice(b" \"");
        escape(line, self.agent);
        line.extend_from_slice(b"\" ");
        line.extend_from_slice(&visit.id.digits());
        if let Some(said) = visit.trace.cache() {
            line.extend_from_slice(b" cache=\"");
            put_said(line, said);
            line.push(b'"');
        }
        if !sent.complete {
            line.extend_from_slice(b" cut-off");
        }
        if let Some(cause) = &self.cause {
            line.extend_from_slice(b" problem=\"");
            escape(line, cause.as_bytes());
            line.push(b'"');
        }
        line.push(b'\n');
    }

    fn as_json(&self, line: &mut Vec<u8>) {
        let Facts { time, visit, status, sent, .. } = self;
        line.extend_from_slice(b"{\"time\":\"");
        put(line, time);
        line.extend_from_slice(b"\",\"method\":\"");
        put(line, visit.method.as_str());
        line.extend_from_slice(b"\",\"path\":\"");
        escape(line, self.target.as_bytes());
        line.extend_from_slice(b"\",\"status\":");
        put_number(line, u64::from(*status));
        line.extend_from_slice(b",\"bytes\":");
        put_number(line, sent.bytes);
        line.extend_from_slice(b",\"ms\":");
        put_millis(line, self.micros);
        line.extend_from_slice(b",\"peer\":\"");
        put_address(line, visit.peer.ip());
        line.extend_from_slice(b"\",\"id\":\"");
        line.extend_from_slice(&visit.id.digits());
        line.extend_from_slice(b"\",\"agent\":\"");
        escape(line, self.agent);
        line.push(b'"');
        if let Some(said) = visit.trace.cache() {
            line.extend_from_slice(b",\"cache\":\"");
            put_said(line, said);
            line.push(b'"');
        }
        if !sent.complete {
            line.extend_from_slice(b",\"complete\":false");
        }
        if let Some(cause) = &self.cause {
            line.extend_from_slice(b",\"problem\":\"");
            escape(line, cause.as_bytes());
            line.push(b'"');
        }
        line.extend_from_slice(b"}\n");
    }
}

fn put(line: &mut Vec<u8>, text: &str) {
    line.extend_from_slice(text.as_bytes());
}

/// Without the formatting machinery: a line is made for every visit.
fn put_number(line: &mut Vec<u8>, number: u64) {
    put(line, itoa::Buffer::new().format(number));
}

/// What the cache said.
fn put_said(line: &mut Vec<u8>, said: &Detail) {
    match said {
        Detail::Word(word) => put(line, word),
        Detail::Name(name) => escape(line, name.as_bytes()),
    }
}

/// Microseconds as milliseconds with three places.
fn put_millis(line: &mut Vec<u8>, micros: u64) {
    put_number(line, micros / 1000);
    let rest = micros % 1000;
    let digit = |value: u64| b'0' + (value % 10) as u8;
    line.extend_from_slice(&[b'.', digit(rest / 100), digit(rest / 10), digit(rest)]);
}

fn put_address(line: &mut Vec<u8>, address: IpAddr) {
    match address {
        IpAddr::V4(address) => {
            let (mut text, mut end) = ([0; 16], 0);
            for octet in address.octets() {
                let (digits, size) = &OCTETS[usize::from(octet)];
                // All four, of which the next one overwrites what is too much.
                text[end..end + 4].copy_from_slice(digits);
                end += usize::from(*size);
            }
            line.extend_from_slice(&text[..end - 1]);
        }
        IpAddr::V6(address) => {
            let _ = write!(line, "{address}");
        }
    }
}

/// Each octet of an address with a dot behind it, and how many bytes that is.
const OCTETS: [([u8; 4], u8); 256] = {
    let (mut octets, mut octet) = ([([b'.'; 4], 0); 256], 0);
    while octet < octets.len() {
        let (mut rest, digits) = (octet, if octet > 99 { 3 } else { 1 + (octet > 9) as usize });
        octets[octet].1 = digits as u8 + 1;
        let mut place = digits;
        while place > 0 {
            place -= 1;
            octets[octet].0[place] = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        octet += 1;
    }
    octets
};

/// What the operator should know of a problem; nothing where status and address say it all.
fn cause(problem: &Problem) -> Option<String> {
    (problem.cause.is_some() || problem.place.is_some()).then(|| problem.to_string())
}

/// The line of a note. In text its own line ends stay, so that a fault's picture of a line can be read; each line is
/// set in, so that none passes for another entry.
pub(super) fn note(format: Format, line: &mut Vec<u8>, time: &str, level: Level, message: &str) {
    let name = match level {
        Level::Info => "info",
        Level::Warning => "warning",
        Level::Error => "error",
    };
    match format {
        Format::Text => {
            let _ = write!(line, "{time} {name}: ");
            for (index, part) in message.lines().enumerate() {
                if index > 0 {
                    line.extend_from_slice(b"\n  ");
                }
                escape(line, part.as_bytes());
            }
            line.push(b'\n');
        }
        Format::Json => {
            let _ = write!(line, "{{\"time\":\"{time}\",\"level\":\"{name}\",\"message\":\"");
            escape(line, message.as_bytes());
            line.extend_from_slice(b"\"}\n");
        }
    }
}

/// Appends text so that it stays one line of UTF-8 and one JSON string: quotes, backslashes and control characters are
/// escaped as JSON does, bytes that are no UTF-8 become U+FFFD.
fn escape(line: &mut Vec<u8>, bytes: &[u8]) {
    // Hardly a text holds anything else.
    if octets::all(bytes, |byte| matches!(byte, b' '..=b'~') & (byte != b'"') & (byte != b'\\')) {
        return line.extend_from_slice(bytes);
    }
    for c in String::from_utf8_lossy(bytes).chars() {
        match c {
            '"' | '\\' => {
                let _ = write!(line, "\\{c}");
            }
            // The C1 controls and the line and paragraph separators end lines too, for some readers.
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') => {
                let _ = write!(line, "\\u{:04x}", u32::from(c));
            }
            c => {
                let _ = write!(line, "{c}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut line = Vec::new();
        write(&mut line);
        String::from_utf8(line).unwrap()
    }

    #[test]
    fn addresses_are_written_as_usual() {
        for octets in [[0, 9, 10, 99], [100, 109, 199, 255], [1, 200, 0, 90]] {
            let address = Ipv4Addr::from(octets);
            assert_eq!(text(|line| put_address(line, address.into())), address.to_string());
        }
        assert_eq!(text(|line| put_address(line, "2001:db8::7".parse().unwrap())), "2001:db8::7");
    }

    #[test]
    fn times_have_three_places() {
        for (micros, expected) in [(0, "0.000"), (7, "0.007"), (1_020, "1.020"), (65_999_999, "65999.999")] {
            assert_eq!(text(|line| put_millis(line, micros)), expected);
        }
    }

    #[test]
    fn nobody_ends_a_line_or_a_string() {
        let cases = [
            (&b"/plain?a=~"[..], "/plain?a=~"),
            (b"a\"b\\c", "a\\\"b\\\\c"),
            (b"a\nb\x7f", "a\\u000ab\\u007f"),
            ("é\u{2028}".as_bytes(), "é\\u2028"),
            (b"\xff", "\u{fffd}"),
        ];
        for (bytes, expected) in cases {
            assert_eq!(text(|line| escape(line, bytes)), expected);
        }
    }
}

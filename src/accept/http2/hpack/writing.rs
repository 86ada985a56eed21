//! Writes header blocks (RFC 7541, 6): numbers of the standard's own table where it has them, else texts, Huffman-coded
//! where that is shorter. Nothing is put into the client's table, so that what is written fits every connection and much
//! of it can be made beforehand.

use http::{HeaderName, HeaderValue, StatusCode};

use super::huffman;

/// A field of the standard's table.
const INDEXED: u8 = 0x80;

/// The client's table takes no bytes: the answer to a client that allows it fewer than usual (RFC 7541, 4.2).
pub(in super::super) const NO_TABLE: u8 = 0x20;

/// Secrets, which nobody on the way may put into a table either (RFC 7541, 6.2.3).
const NEVER_INDEXED: u8 = 0x10;

/// Adds the status.
pub(in super::super) fn put_status(out: &mut Vec<u8>, status: StatusCode) {
    let index = match status.as_u16() {
        200 => 8,
        204 => 9,
        206 => 10,
        304 => 11,
        400 => 12,
        404 => 13,
        500 => 14,
        _ => {
            out.extend_from_slice(&[8, 3]);
            out.extend_from_slice(status.as_str().as_bytes());
            return;
        }
    };
    out.push(INDEXED | index);
}

/// Adds the date.
pub(in super::super) fn put_date(out: &mut Vec<u8>, date: &[u8; 29]) {
    // A literal whose name is field 33.
    out.extend_from_slice(&[15, 33 - 15, 29]);
    out.extend_from_slice(date);
}

/// Adds the length of the body.
pub(in super::super) fn put_length(out: &mut Vec<u8>, length: u64) {
    let mut digits = itoa::Buffer::new();
    let digits = digits.format(length).as_bytes();
    // Twenty at most.
    out.extend_from_slice(&[15, 28 - 15, digits.len() as u8]);
    out.extend_from_slice(digits);
}

/// Adds the tag as it is: to code it each time would cost more than the few bytes are worth.
pub(in super::super) fn put_tag(out: &mut Vec<u8>, tag: &[u8]) {
    put_number(out, 0, 4, 34);
    put_number(out, 0, 7, tag.len());
    out.extend_from_slice(tag);
}

/// Adds a header, unless it speaks of the connection (RFC 9113, 8.2.2) or is the date, which is put by itself.
pub(in super::super) fn put_field(out: &mut Vec<u8>, name: &HeaderName, value: &HeaderValue) {
    let name = name.as_str();
    if is_of_connection(name) || name == "date" {
        return;
    }
    let kind = if name == "set-cookie" { NEVER_INDEXED } else { 0 };
    match index(name) {
        Some(index) => put_number(out, kind, 4, index),
        None => {
            out.push(kind);
            put_text(out, name.as_bytes());
        }
    }
    put_text(out, value.as_bytes());
}

/// Whether a header is about an HTTP/1 connection.
pub(in super::super) fn is_of_connection(name: &str) -> bool {
    matches!(name, "connection" | "keep-alive" | "proxy-connection" | "transfer-encoding" | "upgrade")
}

/// The number of the first field of this name in the standard's table, for the headers of answers.
fn index(name: &str) -> Option<usize> {
    Some(match name {
        "accept-ranges" => 18,
        "access-control-allow-origin" => 20,
        "age" => 21,
        "allow" => 22,
        "cache-control" => 24,
        "content-disposition" => 25,
        "content-encoding" => 26,
        "content-language" => 27,
        "content-length" => 28,
        "content-location" => 29,
        "content-range" => 30,
        "content-type" => 31,
        "etag" => 34,
        "expires" => 36,
        "last-modified" => 44,
        "link" => 45,
        "location" => 46,
        "refresh" => 52,
        "retry-after" => 53,
        "server" => 54,
        "set-cookie" => 55,
        "strict-transport-security" => 56,
        "vary" => 59,
        "via" => 60,
        "www-authenticate" => 61,
        _ => return None,
    })
}

fn put_text(out: &mut Vec<u8>, text: &[u8]) {
    let coded = huffman::coded_length(text);
    if coded < text.len() {
        put_number(out, 0x80, 7, coded);
        huffman::encode(text, out);
    } else {
        put_number(out, 0, 7, text.len());
        out.extend_from_slice(text);
    }
}

/// Adds a number that begins in the last `bits` of a byte (RFC 7541, 5.1).
fn put_number(out: &mut Vec<u8>, first: u8, bits: u32, number: usize) {
    let most = (1 << bits) - 1;
    if number < most {
        out.push(first | number as u8);
        return;
    }
    out.push(first | most as u8);
    let mut rest = number - most;
    while rest >= 0x80 {
        out.push(0x80 | rest as u8);
        rest >>= 7;
    }
    out.push(rest as u8);
}

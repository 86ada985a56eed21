//! What an answer says once its encodings are undone: bytes, text, cookies. Formats it knows: gzip, deflate, Brotli;
//! UTF-8, ASCII and Latin-1.

use std::io::Read;

use http::HeaderValue;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, SET_COOKIE};

use super::client::{MAX_BODY, Reply};
use super::cookie::SetCookie;

impl Reply {
    /// Every value of a header, in the order in which they were sent.
    pub(super) fn header(&self, name: &str) -> Vec<String> {
        self.headers.get_all(name).iter().map(header_text).collect()
    }

    /// Whether XPath reads the body as HTML; else it is XML.
    pub(super) fn is_html(&self) -> bool {
        self.content_type().trim().to_ascii_lowercase().starts_with("text/html")
    }

    /// The cookies that the answer sets.
    pub(super) fn cookies(&self) -> Vec<SetCookie> {
        self.header(SET_COOKIE.as_str()).iter().filter_map(|header| SetCookie::parse(header)).collect()
    }

    /// The body without its compression.
    pub(super) fn bytes(&self) -> Result<Vec<u8>, String> {
        let encoding = self.header(CONTENT_ENCODING.as_str()).join(", ").trim().to_ascii_lowercase();
        match encoding.as_str() {
            "" | "identity" => Ok(self.body.to_vec()),
            "gzip" => unpacked(flate2::read::MultiGzDecoder::new(&self.body[..]), &encoding),
            "deflate" => unpacked(flate2::read::ZlibDecoder::new(&self.body[..]), &encoding),
            "br" => unpacked(brotli::Decompressor::new(&self.body[..], 4096), &encoding),
            other => Err(format!("the body is encoded as `{other}`, which Hurl can't undo")),
        }
    }

    /// The body as text, by the charset of its type.
    pub(super) fn text(&self) -> Result<String, String> {
        let bytes = self.bytes()?;
        let content_type = self.content_type().to_ascii_lowercase();
        let charset = content_type.split(';').skip(1).find_map(|part| part.trim().strip_prefix("charset="));
        match charset.map_or("utf-8", |charset| charset.trim_matches(['"', '\''])) {
            "utf-8" | "utf8" | "us-ascii" | "ascii" => {
                String::from_utf8(bytes).map_err(|error| format!("the body is not text in UTF-8: {error}"))
            }
            "iso-8859-1" | "latin1" => Ok(bytes.iter().map(|byte| char::from(*byte)).collect()),
            other => Err(format!("the body's charset `{other}` is not supported by `tableside test`")),
        }
    }

    /// The first characters of the body, for a message; empty when there are none to show.
    pub(super) fn beginning(&self) -> String {
        let text = self.text().unwrap_or_default();
        let words: Vec<&str> = text.split_whitespace().take(60).collect();
        words.join(" ").chars().take(200).collect()
    }

    fn content_type(&self) -> String {
        self.headers.get(CONTENT_TYPE).map(header_text).unwrap_or_default()
    }
}

/// A header's value as text: UTF-8, or else Latin-1.
pub(super) fn header_text(value: &HeaderValue) -> String {
    match std::str::from_utf8(value.as_bytes()) {
        Ok(text) => text.to_string(),
        Err(_) => value.as_bytes().iter().map(|byte| char::from(*byte)).collect(),
    }
}

/// Reads to the end, but never more than a body may have: a small body can unpack to a huge one.
fn unpacked(reader: impl Read, encoding: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let limit = MAX_BODY as u64 + 1;
    reader.take(limit).read_to_end(&mut bytes).map_err(|error| format!("the body is not valid {encoding}: {error}"))?;
    if bytes.len() > MAX_BODY {
        return Err(format!("the unpacked body is larger than {} MiB", MAX_BODY >> 20));
    }
    Ok(bytes)
}

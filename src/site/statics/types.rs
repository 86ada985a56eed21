//! Header values for files: types by the extension of a name, dates.

use std::borrow::Cow;
use std::time::{Duration, UNIX_EPOCH};

use http::HeaderValue;

/// A time in seconds since the epoch as HTTP writes it (RFC 9110, 5.6.7).
pub fn http_date(seconds: u64) -> Option<HeaderValue> {
    // Years past 9999 have no HTTP date.
    let time = UNIX_EPOCH + Duration::from_secs(seconds.min(253_402_300_799));
    HeaderValue::try_from(httpdate::fmt_http_date(time)).ok()
}

/// The content type of a file as a header.
pub(super) fn content_type_header(name: &str) -> HeaderValue {
    match content_type(name) {
        Cow::Borrowed(known) => HeaderValue::from_static(known),
        Cow::Owned(made) => HeaderValue::try_from(made).unwrap_or(HeaderValue::from_static("application/octet-stream")),
    }
}

/// The content type of a file, with the charset where it is text: `text/css; charset=utf-8`. Unknown extensions and
/// names without one are `application/octet-stream`.
pub fn content_type(name: &str) -> Cow<'static, str> {
    let extension = name.rsplit('/').next().and_then(|last| last.rsplit_once('.')).map_or("", |(_, end)| end);
    let kind = match extension.to_ascii_lowercase().as_str() {
        // What most files of most sites are needs no search.
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        "css" => "text/css",
        "html" => "text/html",
        // Where the table of mime_guess is older than the registry, or has a program's private name.
        "js" | "mjs" | "cjs" => "text/javascript",
        "webmanifest" => "application/manifest+json",
        "md" | "markdown" => "text/markdown",
        "atom" => "application/atom+xml",
        "rss" => "application/rss+xml",
        "xml" => "application/xml",
        "toml" => "application/toml",
        "yaml" | "yml" => "application/yaml",
        "ico" => "image/x-icon",
        "gz" | "tgz" => "application/gzip",
        "ts" => "text/plain",
        other => mime_guess::from_ext(other).first_raw().unwrap_or("application/octet-stream"),
    };
    let is_text =
        kind.starts_with("text/") || matches!(kind, "application/xml" | "application/toml" | "application/yaml");
    if is_text { format!("{kind}; charset=utf-8").into() } else { kind.into() }
}

#[cfg(test)]
mod tests {
    use super::content_type;

    #[test]
    fn types_follow_the_extension() {
        let cases = [
            ("index.html", "text/html; charset=utf-8"),
            ("a/app.CSS", "text/css; charset=utf-8"),
            ("app.js", "text/javascript; charset=utf-8"),
            ("data.json", "application/json"),
            ("logo.svg", "image/svg+xml"),
            ("photo.jpeg", "image/jpeg"),
            ("font.woff2", "font/woff2"),
            ("film.mp4", "video/mp4"),
            ("x.webp", "image/webp"),
            ("x.avif", "image/avif"),
            ("x.wasm", "application/wasm"),
            ("a.b/LICENSE", "application/octet-stream"),
            ("x.unheard-of", "application/octet-stream"),
        ];
        for (name, expected) in cases {
            assert_eq!(content_type(name), expected, "{name}");
        }
    }
}

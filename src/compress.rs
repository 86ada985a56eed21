//! Compresses whole buffers, and reads which encodings a client takes. Never used for streams.

use std::io::Write;

use crate::octets;
use crate::weighed::weighed;

/// A content encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Brotli (RFC 7932).
    Brotli,
    /// Zstandard (RFC 8878).
    Zstd,
    /// Gzip (RFC 1952).
    Gzip,
}

/// How much time compressing may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// While a visitor waits.
    Quick,
    /// Once, in the background, for bytes that are sent many times.
    Thorough,
}

/// The order for answers that are compressed while a visitor waits: the fastest first.
pub const BY_SPEED: [Encoding; 3] = [Encoding::Zstd, Encoding::Brotli, Encoding::Gzip];

/// The order for what is compressed once: the smallest first.
pub const BY_SIZE: [Encoding; 3] = [Encoding::Brotli, Encoding::Zstd, Encoding::Gzip];

impl Encoding {
    /// The name in `Accept-Encoding` and `Content-Encoding`.
    pub const fn name(self) -> &'static str {
        match self {
            Encoding::Brotli => "br",
            Encoding::Zstd => "zstd",
            Encoding::Gzip => "gzip",
        }
    }

    /// The extension of a file compressed beforehand.
    pub fn extension(self) -> &'static str {
        match self {
            Encoding::Brotli => "br",
            Encoding::Zstd => "zst",
            Encoding::Gzip => "gz",
        }
    }

    /// A place in a table of three.
    pub fn index(self) -> usize {
        self as usize
    }

    /// The first of `order` with the greatest weight in an `Accept-Encoding` value; `None` when none of them is taken,
    /// or the client would rather have the bytes as they are.
    pub fn choose(accepted: &str, order: &[Encoding]) -> Option<Encoding> {
        // This runs for nearly every answer, and nearly all clients only list what they take.
        if octets::all(accepted.as_bytes(), |byte| (byte != b';') & (byte != b'*')) {
            let taken = listed(accepted.as_bytes());
            return order.iter().copied().find(|encoding| taken[encoding.index()]);
        }
        let (mut named, mut others, mut plain) = ([None; 3], 0, 0);
        for (name, weight) in weighed(accepted) {
            match order.iter().find(|encoding| name.eq_ignore_ascii_case(encoding.name())) {
                Some(encoding) => named[encoding.index()] = Some(weight),
                None if name == "*" => others = weight,
                None if name.eq_ignore_ascii_case("identity") => plain = weight,
                None => {}
            }
        }
        // At equal weights compressed wins over plain, which is what clients mean that name both.
        let mut most = plain.saturating_sub(1);
        let mut best = None;
        for encoding in order {
            let weight = named[encoding.index()].unwrap_or(others);
            if weight > most {
                (best, most) = (Some(*encoding), weight);
            }
        }
        best
    }

    /// Compresses bytes; `None` when the result would not be smaller.
    pub fn compress(self, bytes: &[u8], effort: Effort) -> Option<Vec<u8>> {
        let packed = match self {
            Encoding::Brotli => brotli(bytes, effort),
            Encoding::Zstd => zstd::bulk::compress(bytes, if effort == Effort::Quick { 3 } else { 17 }),
            Encoding::Gzip => gzip(bytes, effort),
        };
        packed.ok().filter(|packed| packed.len() < bytes.len())
    }
}

/// Which encodings a list without weights names.
fn listed(accepted: &[u8]) -> [bool; 3] {
    // Names as numbers: the last eight letters of each, which no longer name has in common with these.
    const KNOWN: [u64; 3] = [number(Encoding::Brotli), number(Encoding::Zstd), number(Encoding::Gzip)];
    let (mut taken, mut name, mut ended) = ([false; 3], 0, false);
    for byte in accepted.iter().chain(b",") {
        match byte {
            b',' => {
                taken.iter_mut().zip(KNOWN).for_each(|(taken, known)| *taken |= name == known);
                (name, ended) = (0, false);
            }
            b' ' | b'\t' => ended = name != 0,
            _ if ended => name = u64::MAX,
            byte => name = name << 8 | u64::from(byte.to_ascii_lowercase()),
        }
    }
    taken
}

const fn number(encoding: Encoding) -> u64 {
    let (name, mut number, mut at) = (encoding.name().as_bytes(), 0, 0);
    while at < name.len() {
        number = number << 8 | name[at] as u64;
        at += 1;
    }
    number
}

fn gzip(bytes: &[u8], effort: Effort) -> std::io::Result<Vec<u8>> {
    let level = if effort == Effort::Quick { 5 } else { 9 };
    let mut encoder =
        flate2::write::GzEncoder::new(Vec::with_capacity(bytes.len() / 2), flate2::Compression::new(level));
    encoder.write_all(bytes)?;
    encoder.finish()
}

fn brotli(bytes: &[u8], effort: Effort) -> std::io::Result<Vec<u8>> {
    // The highest quality takes about two seconds for each megabyte.
    let quality = match effort {
        Effort::Quick => 4,
        Effort::Thorough if bytes.len() > 256 * 1024 => 9,
        Effort::Thorough => 11,
    };
    let parameters = brotli::enc::BrotliEncoderParams { quality, size_hint: bytes.len(), ..Default::default() };
    let mut packed = Vec::with_capacity(bytes.len() / 2);
    brotli::BrotliCompress(&mut &bytes[..], &mut packed, &parameters)?;
    Ok(packed)
}

/// Whether bytes of a type (`text/html; charset=utf-8`) become smaller by compressing.
pub fn pays(content_type: &str) -> bool {
    let name = content_type.split(';').next().unwrap_or("").trim();
    match name.split_once('/') {
        Some(("text", kind)) => kind != "event-stream",
        Some(("image", kind)) => matches!(kind, "svg+xml" | "bmp" | "x-icon" | "vnd.microsoft.icon"),
        Some(("font", kind)) => matches!(kind, "ttf" | "otf" | "collection"),
        Some(("application", kind)) => {
            kind.ends_with("+json")
                || kind.ends_with("+xml")
                || matches!(
                    kind,
                    "json" | "xml" | "javascript" | "wasm" | "x-ndjson" | "sql" | "rtf" | "vnd.ms-fontobject"
                )
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn the_client_chooses() {
        use Encoding::{Brotli, Gzip, Zstd};
        let cases = [
            ("gzip, deflate, br, zstd", Some(Brotli)),
            ("gzip", Some(Gzip)),
            ("GZIP", Some(Gzip)),
            ("", None),
            ("identity", None),
            ("identity, gzip", Some(Gzip)),
            (" ,BR,gzip\t, ", Some(Brotli)),
            ("deflate, Zstd", Some(Zstd)),
            ("brr, bb, zzip, gztd, zstdx, b r, xxxxxxxxgzip, gzipxxxxxxxx", None),
            ("  br\t , gzip", Some(Brotli)),
            ("identity;q=1, gzip;q=0.5", None),
            ("*", Some(Brotli)),
            ("*;q=0.1, br;q=0", Some(Zstd)),
            ("gzip;q=1.0, br;q=0.5", Some(Gzip)),
            ("br;q=0, zstd;q=0, gzip;q=0", None),
            ("xgzip, gzipx", None),
        ];
        for (accepted, expected) in cases {
            assert_eq!(Encoding::choose(accepted, &BY_SIZE), expected, "{accepted}");
        }
        assert_eq!(Encoding::choose("br, zstd", &BY_SPEED), Some(Zstd));
    }

    #[test]
    fn what_is_compressed_comes_back() {
        let text = "All happy families are alike. ".repeat(200);
        for effort in [Effort::Quick, Effort::Thorough] {
            let mut plain = String::new();
            let packed = Encoding::Gzip.compress(text.as_bytes(), effort).unwrap();
            flate2::read::GzDecoder::new(&packed[..]).read_to_string(&mut plain).unwrap();
            assert_eq!(plain, text);
            let packed = Encoding::Zstd.compress(text.as_bytes(), effort).unwrap();
            assert_eq!(zstd::bulk::decompress(&packed, text.len()).unwrap(), text.as_bytes());
            let (mut plain, packed) = (Vec::new(), Encoding::Brotli.compress(text.as_bytes(), effort).unwrap());
            brotli::BrotliDecompress(&mut &packed[..], &mut plain).unwrap();
            assert_eq!(plain, text.as_bytes());
        }
        assert_eq!(Encoding::Gzip.compress(b"x", Effort::Quick), None);
    }

    #[test]
    fn types_that_pay() {
        for kind in ["text/html; charset=utf-8", "image/svg+xml", "application/json", "application/atom+xml"] {
            assert!(pays(kind), "{kind}");
        }
        for kind in ["image/png", "text/event-stream", "application/zip", "video/mp4", "font/woff2", ""] {
            assert!(!pays(kind), "{kind}");
        }
    }
}

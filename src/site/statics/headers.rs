//! Reads `_headers`: blocks of a path and, indented under it, header lines, as Netlify and Cloudflare Pages write them.
//!
//! All blocks that match count. A header that several blocks name gets all their values; one that is named at all
//! replaces the default of the same name.

use http::header::{self, HeaderName, HeaderValue};

use super::folder::Folder;
use super::pattern::Pattern;
use super::redirects::read_rules;
use crate::fields::Fields;
use crate::problem::{Fault, Place};

const FILE: &str = "_headers";

/// Headers that describe the bytes or the connection; only the server knows them.
const RESERVED: [HeaderName; 10] = [
    header::CONTENT_LENGTH,
    header::CONTENT_ENCODING,
    header::CONTENT_RANGE,
    header::TRANSFER_ENCODING,
    header::CONNECTION,
    header::UPGRADE,
    header::TRAILER,
    header::DATE,
    header::ETAG,
    header::LAST_MODIFIED,
];

/// All blocks.
#[derive(Debug, Default)]
pub(super) struct HeaderRules {
    blocks: Vec<Block>,
}

#[derive(Debug)]
struct Block {
    path: Pattern,
    lines: Vec<(HeaderName, HeaderValue)>,
}

/// Reads the file, if there is one.
pub(super) fn read(folder: &Folder, faults: &mut Vec<Fault>) -> HeaderRules {
    match read_rules(folder, FILE, faults) {
        Some(source) => parse(&source, faults),
        None => HeaderRules::default(),
    }
}

fn parse(source: &str, faults: &mut Vec<Fault>) -> HeaderRules {
    let mut blocks: Vec<Block> = Vec::new();
    for (number, line) in source.lines().enumerate().map(|(index, line)| (index + 1, line)) {
        let text = line.trim();
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        let outcome = match line.starts_with([' ', '\t']) {
            false => Pattern::parse(text).map(|path| blocks.push(Block { path, lines: Vec::new() })),
            true => match blocks.last_mut() {
                Some(block) => header_line(text).map(|pair| block.lines.push(pair)),
                None => Err("a header line needs a path above it".into()),
            },
        };
        if let Err(message) = outcome {
            let help = "A block is a path, and under it indented lines `Name: value`.";
            faults.push(Fault::error(message, Place::of_line(FILE, source, number)).help(help));
        }
    }
    HeaderRules { blocks }
}

fn header_line(text: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = text.split_once(':').ok_or("a header line is `Name: value`")?;
    let name = HeaderName::try_from(name.trim()).map_err(|_| format!("`{}` is not a header's name", name.trim()))?;
    if RESERVED.contains(&name) {
        return Err(format!("`{name}` is set by the server itself"));
    }
    let value = HeaderValue::try_from(value.trim()).map_err(|_| "the value has a character that no header may have")?;
    Ok((name, value))
}

impl HeaderRules {
    /// The lines that apply to a decoded path.
    pub(super) fn of(&self, path: &str) -> Fields {
        let mut headers = Fields::new();
        self.apply(path, &mut headers);
        headers
    }

    /// Puts the lines that apply to a decoded path in place of the defaults.
    pub(super) fn apply(&self, path: &str, headers: &mut Fields) {
        let mut named: Vec<&HeaderName> = Vec::new();
        let matching = self.blocks.iter().filter(|block| block.path.capture(path).is_some());
        for (name, value) in matching.flat_map(|block| &block.lines) {
            if named.contains(&name) {
                headers.append(name.clone(), value.clone());
            } else {
                headers.insert(name.clone(), value.clone());
                named.push(name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_apply_to_their_paths() {
        let mut faults = Vec::new();
        let source = "# all\n/*\n  X-Frame-Options: DENY\n  Link: </a>; rel=x\n\n/fonts/*\n\tCache-Control: max-age=9\n  Link: </b>\n";
        let rules = parse(source, &mut faults);
        assert!(faults.is_empty(), "{faults:?}");
        let mut headers = Fields::from_iter([(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"))]);
        rules.apply("/fonts/a.woff2", &mut headers);
        assert_eq!(headers.get(&header::CACHE_CONTROL).unwrap(), "max-age=9");
        assert_eq!(headers.get_all(&header::LINK).collect::<Vec<_>>(), ["</a>; rel=x", "</b>"]);
        assert_eq!(rules.of("/").len(), 2);
    }

    #[test]
    fn bad_lines_are_faults_at_their_line() {
        for (source, line) in [
            ("  X: y\n", 1),
            ("/a\n  nonsense\n", 2),
            ("/a\n  Content-Length: 5\n", 2),
            ("/a\n  ETag: 5\n", 2),
            ("/a\n  B c: 5\n", 2),
            ("/a*\n", 1),
        ] {
            let mut faults = Vec::new();
            parse(source, &mut faults);
            assert_eq!(
                faults.first().and_then(|fault| fault.place.as_ref()).map(|place| place.line),
                Some(line),
                "{source}"
            );
        }
    }
}

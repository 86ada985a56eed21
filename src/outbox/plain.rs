//! The plain text of a mail that has HTML alone.

/// Elements that begin a line of their own.
const BLOCKS: [&str; 22] = [
    "address",
    "article",
    "blockquote",
    "body",
    "br",
    "div",
    "footer",
    "form",
    "h1",
    "h2",
    "h3",
    "h4",
    "h5",
    "h6",
    "header",
    "hr",
    "li",
    "main",
    "section",
    "table",
    "tr",
    "title",
];
/// Elements with an empty line before and behind them.
const PARAGRAPHS: [&str; 10] = ["p", "h1", "h2", "h3", "h4", "ul", "ol", "table", "blockquote", "pre"];
/// Elements whose text nobody is meant to read.
const HIDDEN: [&str; 4] = ["head", "style", "script", "title"];

/// What a reader of the HTML would see, in lines; each link's address stands behind its words.
pub(super) fn text_of(html: &str) -> String {
    let mut maker = Maker::default();
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        maker.words(&rest[..at]);
        rest = match tag(&rest[at..]) {
            Some((tag, after)) => {
                maker.tag(tag);
                after
            }
            None => {
                maker.words("<");
                &rest[at + 1..]
            }
        };
    }
    maker.words(rest);
    tidy(&maker.text)
}

/// The inside of a tag or comment that begins here, and what follows it.
fn tag(html: &str) -> Option<(&str, &str)> {
    if let Some(comment) = html.strip_prefix("<!--") {
        return Some(("", comment.split_once("-->").map_or("", |(_, after)| after)));
    }
    if !html[1..].starts_with(|first: char| first.is_ascii_alphabetic() || first == '/' || first == '!') {
        return None;
    }
    let mut quote = None;
    for (at, byte) in html.bytes().enumerate().skip(1) {
        match (quote, byte) {
            (None, b'>') => return Some((&html[1..at], &html[at + 1..])),
            (None, b'"' | b'\'') => quote = Some(byte),
            (Some(open), byte) if byte == open => quote = None,
            _ => {}
        }
    }
    None
}

#[derive(Default)]
struct Maker {
    text: String,
    /// The hidden element that is open.
    hidden: Option<String>,
    /// Where the address of the link that is open leads, and where its words begin.
    link: Option<(String, usize)>,
}

impl Maker {
    fn words(&mut self, words: &str) {
        if self.hidden.is_some() {
            return;
        }
        for part in decoded(words).split_inclusive(char::is_whitespace) {
            let word = part.trim();
            self.text.push_str(word);
            if word.len() < part.len() && !self.text.ends_with([' ', '\n']) {
                self.text.push(' ');
            }
        }
    }

    fn tag(&mut self, tag: &str) {
        let closes = tag.starts_with('/');
        let bare = tag.trim_start_matches('/');
        let end = bare.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(bare.len());
        let name = bare[..end].to_ascii_lowercase();
        match &self.hidden {
            Some(open) if closes && *open == name => self.hidden = None,
            Some(_) => return,
            None if !closes && HIDDEN.contains(&name.as_str()) => self.hidden = Some(name.clone()),
            None => {}
        }
        match (name.as_str(), closes) {
            ("a", false) => self.link = attribute(tag, "href").map(|to| (to, self.text.len())),
            ("a", true) => self.close_link(),
            ("img", _) => self.words(&attribute(tag, "alt").unwrap_or_default()),
            _ => {}
        }
        if PARAGRAPHS.contains(&name.as_str()) {
            self.text.push_str("\n\n");
        } else if BLOCKS.contains(&name.as_str()) {
            self.text.push('\n');
        }
        if name == "li" && !closes {
            self.text.push_str("- ");
        }
    }

    fn close_link(&mut self) {
        let Some((to, from)) = self.link.take() else { return };
        let words = self.text.get(from..).unwrap_or("").trim();
        if !to.is_empty() && words != to && to.strip_prefix("mailto:") != Some(words) {
            self.text.push_str(&format!(" ({to})"));
        }
    }
}

/// The value of an attribute.
fn attribute(tag: &str, name: &str) -> Option<String> {
    let lower = tag.to_ascii_lowercase();
    let at = lower.find(&format!(" {name}="))? + name.len() + 2;
    let rest = &tag[at..];
    let value = match rest.chars().next()? {
        quote @ ('"' | '\'') => rest[1..].split(quote).next()?,
        _ => rest.split(|c: char| c.is_whitespace() || c == '>').next()?,
    };
    Some(decoded(value))
}

/// Text without the entities that our own escaping writes, and the commonest others.
fn decoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        match rest.find(';').filter(|end| *end <= 10).and_then(|end| Some((character(&rest[1..end])?, end))) {
            Some((character, end)) => {
                out.push(character);
                rest = &rest[end + 1..];
            }
            None => {
                out.push('&');
                rest = &rest[1..];
            }
        }
    }
    out + rest
}

fn character(entity: &str) -> Option<char> {
    Some(match entity {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        "nbsp" => '\u{a0}',
        "ndash" => '–',
        "mdash" => '—',
        "hellip" => '…',
        "copy" => '©',
        "euro" => '€',
        _ => {
            let number = entity.strip_prefix('#')?;
            let number = match number.strip_prefix(['x', 'X']) {
                Some(digits) => u32::from_str_radix(digits, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(number).filter(|character| !character.is_control())?
        }
    })
}

/// Text without space at the ends of lines, and with no more than one empty line in a row.
pub(super) fn tidy(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut empty = 0;
    for line in text.lines().map(str::trim_end) {
        empty = if line.trim().is_empty() { empty + 1 } else { 0 };
        if empty <= 1 && !(out.is_empty() && empty > 0) {
            out.push_str(if empty > 0 { "" } else { line });
            out.push('\n');
        }
    }
    out.truncate(out.trim_end().len());
    out.push('\n');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn html_becomes_lines_with_its_links() {
        let html = "<!doctype html><html><head><title>No</title><style>p{}</style></head><body>\n<h1>Hello &amp; welcome</h1>\n\
                    <!-- no > -->\n<p>Open\n  <a class=\"b\" href=\"https://x.example/?a=1&amp;b=2\">this <b>page</b></a>, soon.<br>\
                    Or <a href=\"https://x.example/\">https://x.example/</a></p><ul><li>one<li>two</ul>&#8364;5 &lt; 6 & 7 < 8</body>";
        assert_eq!(
            text_of(html),
            "Hello & welcome\n\nOpen this page (https://x.example/?a=1&b=2), soon.\nOr https://x.example/\n\n- one\n- two\n\n\
             €5 < 6 & 7 < 8\n"
        );
    }

    #[test]
    fn whatever_is_broken_ends() {
        for html in [
            "<",
            "<a",
            "<a href='",
            "<style>x",
            "<!--",
            "&",
            "&#x110000;",
            "&#13;",
            "</p",
            "<é",
            "<a href=>x</a>",
            "&é;x",
        ] {
            text_of(html);
        }
    }
}

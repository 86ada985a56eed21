//! Markdown to HTML that is safe even when a visitor wrote the Markdown.
//!
//! HTML in the text is shown as text, and addresses keep only schemes that can't run anything.

use pulldown_cmark::{CowStr, Event, Options, Parser, Tag, html};

/// Schemes that a link or an image may have. An address without a scheme is one of the site.
const SCHEMES: [&str; 5] = ["http", "https", "mailto", "tel", "ftp"];

/// CommonMark with tables, strikethrough, task lists and footnotes, as HTML.
pub(super) fn html(text: &str) -> String {
    let extensions =
        Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_TASKLISTS | Options::ENABLE_FOOTNOTES;
    let mut out = String::with_capacity(text.len() + text.len() / 2);
    html::push_html(&mut out, Parser::new_ext(text, extensions).map(disarm));
    out
}

fn disarm(event: Event<'_>) -> Event<'_> {
    match event {
        Event::Html(raw) | Event::InlineHtml(raw) => Event::Text(raw),
        Event::Start(Tag::Link { link_type, dest_url, title, id }) => {
            Event::Start(Tag::Link { link_type, dest_url: address(dest_url), title, id })
        }
        Event::Start(Tag::Image { link_type, dest_url, title, id }) => {
            Event::Start(Tag::Image { link_type, dest_url: address(dest_url), title, id })
        }
        other => other,
    }
}

/// The address, or `#` when it has a scheme that isn't known. Browsers ignore control characters and spaces in a
/// scheme (URL standard, "basic URL parser"), so these go first.
fn address(address: CowStr<'_>) -> CowStr<'_> {
    let visible: String = address.chars().filter(|c| !c.is_control() && !c.is_whitespace()).collect();
    let scheme =
        visible.find([':', '/', '?', '#']).filter(|at| visible.as_bytes()[*at] == b':').map(|at| &visible[..at]);
    match scheme {
        Some(scheme) if !SCHEMES.iter().any(|known| scheme.eq_ignore_ascii_case(known)) => CowStr::Borrowed("#"),
        _ => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markdown_becomes_html() {
        let cases = [
            ("*a* **b**", "<p><em>a</em> <strong>b</strong></p>\n"),
            ("[x](/y)", "<p><a href=\"/y\">x</a></p>\n"),
            ("[x](https://example.org/?a=1&b=2)", "<p><a href=\"https://example.org/?a=1&amp;b=2\">x</a></p>\n"),
            ("~~a~~", "<p><del>a</del></p>\n"),
            ("1 < 2 & 3", "<p>1 &lt; 2 &amp; 3</p>\n"),
        ];
        for (text, expected) in cases {
            assert_eq!(html(text), expected);
        }
    }

    #[test]
    fn visitors_can_not_smuggle_anything_in() {
        let texts = [
            "<script>alert(1)</script>",
            "a <img src=x onerror=alert(1)> b",
            "[x](javascript:alert(1))",
            "[x](JaVaScRiPt:alert(1))",
            "[x](java&#x09;script:alert(1))",
            "[x](&#1;javascript:alert(1))",
            "![x](data:text/html,<script>)",
            "<javascript:alert(1)>",
            "[x]: vbscript:a\n\n[x]",
            "<a href=\"javascript:alert(1)\">x</a>",
        ];
        for text in texts {
            let out = html(text);
            let harmless = !out.contains("<script") && !out.contains("<img src=x") && !out.contains("<a href=\"java");
            assert!(harmless, "{text:?} gives {out:?}");
            let schemes = ["<a href=\"javascript:", "<img src=\"data:", "<a href=\"vbscript:"];
            assert!(!schemes.iter().any(|scheme| out.to_lowercase().contains(scheme)), "{text:?} gives {out:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_element_of_the_text_survives(text in "[<>a-z/= \"'\\[\\]():&#;!`*\\n]{0,60}") {
            let out = html(&text);
            proptest::prop_assert!(!out.contains("<script") && !out.contains("javascript:a"));
        }
    }
}

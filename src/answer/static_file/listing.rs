//! The list of a folder's files as a page.

use std::fmt::Write;

use jiff::Timestamp;

use crate::flow::{Answer, escape_html};
use crate::site::statics::{Listed, encode_path};

const STYLE: &str = "\
:root{color-scheme:light dark}\
body{font:1rem/1.5 system-ui,sans-serif;max-width:56rem;margin:2.5rem auto;padding:0 1rem}\
h1{font-size:1.4rem;font-weight:600;overflow-wrap:anywhere}\
table{width:100%;border-collapse:collapse}\
th{text-align:start;font-weight:500;font-size:.85rem;opacity:.65}\
th,td{padding:.35rem .6rem;border-bottom:1px solid color-mix(in srgb,currentColor 15%,transparent)}\
td:first-child{overflow-wrap:anywhere}\
td+td,th+th{white-space:nowrap;text-align:end;font-variant-numeric:tabular-nums}\
tbody tr:hover{background:color-mix(in srgb,currentColor 6%,transparent)}\
a{text-decoration:none}a:hover{text-decoration:underline}\
@media(max-width:32rem){td:nth-child(3),th:nth-child(3){display:none}}";

/// The page of a folder (its decoded relative path) and its lines.
pub(super) fn answer(folder: &str, lines: &[Listed]) -> Answer {
    let title = format!("/{}", escape_html(folder));
    let mut rows = String::new();
    if !folder.is_empty() {
        rows.push_str("<tr><td><a href=\"../\">../</a></td><td></td><td></td></tr>\n");
    }
    for line in lines {
        // Writing to a string can't fail.
        let _ = writeln!(rows, "{}", row(line));
    }
    Answer::html(format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{title}</title>\n<style>{STYLE}</style>\n\
         <main>\n<h1>{title}</h1>\n<table>\n<thead><tr><th scope=\"col\">Name</th><th scope=\"col\">Size</th>\
         <th scope=\"col\">Changed</th></tr></thead>\n<tbody>\n{rows}</tbody>\n</table>\n</main>\n</html>\n"
    ))
}

fn row(line: &Listed) -> String {
    let slash = if line.folder { "/" } else { "" };
    // `./` keeps a name such as `a:b` from being read as a scheme.
    let link = format!("./{}{slash}", encode_path(&line.name));
    let size = if line.folder { String::new() } else { size(line.size) };
    format!(
        "<tr><td><a href=\"{}\">{}{slash}</a></td><td>{size}</td><td>{}</td></tr>",
        escape_html(&link),
        escape_html(&line.name),
        changed(line)
    )
}

fn changed(line: &Listed) -> String {
    let seconds = line.changed.and_then(|seconds| i64::try_from(seconds).ok());
    let Some(time) = seconds.and_then(|seconds| Timestamp::from_second(seconds).ok()) else { return String::new() };
    format!("<time datetime=\"{time}\">{}</time>", time.strftime("%Y-%m-%d %H:%M"))
}

/// A size as people read it: `17 B`, `4.2 KB`, `318 MB`.
fn size(bytes: u64) -> String {
    let mut amount = bytes as f64;
    let mut units = ["B", "KB", "MB", "GB", "TB", "PB"].into_iter();
    let mut unit = units.next().unwrap_or("");
    // 999.5 would be shown as 1000.
    for next in units {
        if amount < 999.5 {
            break;
        }
        (amount, unit) = (amount / 1000.0, next);
    }
    match unit {
        "B" => format!("{bytes} B"),
        _ if amount < 9.95 => format!("{amount:.1} {unit}"),
        _ => format!("{amount:.0} {unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::Content;

    #[test]
    fn names_are_escaped_and_sizes_readable() {
        let line = |name: &str, folder, size| Listed { name: name.into(), folder, size, changed: Some(0) };
        let answer = answer("a<b", &[line("x", true, 0), line("\"><script>?#.txt", false, 4_200)]);
        let Content::Bytes(bytes) = answer.content else { panic!() };
        let page = String::from_utf8(bytes.to_vec()).unwrap();
        assert!(page.contains("<h1>/a&lt;b</h1>") && page.contains("<a href=\"./x/\">x/</a>"));
        assert!(page.contains("<a href=\"./%22%3E%3Cscript%3E%3F%23.txt\">&quot;&gt;&lt;script&gt;?#.txt</a>"));
        assert!(page.contains("4.2 KB") && page.contains("1970-01-01 00:00"));
        let sizes = [(0, "0 B"), (999, "999 B"), (1_000, "1.0 KB"), (9_960, "10 KB"), (999_600, "1.0 MB")];
        for (bytes, expected) in sizes {
            assert_eq!(size(bytes), expected);
        }
    }
}

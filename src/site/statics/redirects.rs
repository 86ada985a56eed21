//! Reads `_redirects`: one rule a line, `FROM TO [STATUS]`, as Netlify and Cloudflare Pages write it.
//!
//! `FROM` is a path; it may end in `/*` and have segments `:name`. `TO` is a path or an address with `http`; `:splat`
//! and `:name` in it stand for what was captured. The status is 301 unless it says 302, 303, 307, 308, or 200, which
//! serves the file at `TO` without a redirect. A rule takes effect where no file stands; with `!` after its status it
//! takes effect always. The first that matches counts.

use std::collections::HashMap;
use std::path::Path;

use super::encode_path;
use super::folder::{Folder, read_whole};
use super::pattern::Pattern;
use crate::problem::{Fault, Place};

const FILE: &str = "_redirects";

/// More rules belong into pages and SQL.
const RULES: usize = 10_000;

/// All rules.
#[derive(Debug, Default)]
pub(super) struct Redirects {
    rules: Vec<Rule>,
    /// Rules for one path, by it.
    exact: HashMap<Box<str>, Vec<usize>>,
    /// The others.
    patterns: Vec<usize>,
    forced: bool,
}

#[derive(Debug)]
struct Rule {
    from: Pattern,
    to: Box<str>,
    status: u16,
    force: bool,
}

/// Where a rule leads.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Target {
    Elsewhere {
        /// Encoded, with its query.
        to: String,
        status: u16,
    },
    /// The file at this decoded path is served instead.
    Instead(String),
}

/// Reads the file, if there is one.
pub(super) fn read(folder: &Folder, faults: &mut Vec<Fault>) -> Redirects {
    match read_rules(folder, FILE, faults) {
        Some(source) => parse(&source, faults),
        None => Redirects::default(),
    }
}

/// Reads a file of rules as text; `None` when there is none.
pub(super) fn read_rules(folder: &Folder, name: &str, faults: &mut Vec<Fault>) -> Option<String> {
    let file = folder.file(Path::new(name), |_| true).ok()?;
    let text = file
        .metadata()
        .and_then(|facts| read_whole(&file, facts.len()))
        .and_then(|bytes| String::from_utf8(bytes).map_err(std::io::Error::other));
    text.inspect_err(|error| faults.push(Fault::everywhere(format!("`{name}` can't be read: {error}")))).ok()
}

fn parse(source: &str, faults: &mut Vec<Fault>) -> Redirects {
    let mut redirects = Redirects::default();
    for (number, line) in source.lines().enumerate().map(|(index, line)| (index + 1, line)) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let place = || Place::of_line(FILE, source, number);
        if redirects.rules.len() == RULES {
            faults.push(Fault::error(format!("more than {RULES} rules"), place()));
            break;
        }
        match rule(line) {
            Ok(rule) => redirects.add(line.split_whitespace().next().unwrap_or("/"), rule),
            Err(message) => faults.push(Fault::error(message, place()).help("A rule is `FROM TO [STATUS]`.")),
        }
    }
    redirects
}

fn rule(line: &str) -> Result<Rule, String> {
    let mut words = line.split_whitespace();
    let (Some(from), Some(to)) = (words.next(), words.next()) else { return Err("a rule needs two addresses".into()) };
    let status_word = words.next().filter(|word| !word.starts_with('#'));
    if let Some(extra) = words.next().filter(|word| !word.starts_with('#') && status_word.is_some()) {
        return Err(format!("`{extra}` is not understood: conditions on country, language or role don't exist here"));
    }
    if from.contains('?') {
        return Err("a rule matches paths, not queries".into());
    }
    let from = Pattern::parse(&decoded(from)?)?;
    let (status, force) = match status_word {
        Some(word) => (word.trim_end_matches('!'), word.ends_with('!')),
        None => ("301", false),
    };
    let status: u16 = status.parse().map_err(|_| format!("`{status}` is not a status"))?;
    if !matches!(status, 200 | 301 | 302 | 303 | 307 | 308) {
        return Err(format!("the status {status} is not one of 200, 301, 302, 303, 307, 308"));
    }
    check_target(to, status, &from)?;
    Ok(Rule { from, to: to.into(), status, force })
}

/// `FROM` as it is compared: decoded.
fn decoded(from: &str) -> Result<String, String> {
    let text = percent_encoding::percent_decode_str(from).decode_utf8();
    text.map(std::borrow::Cow::into_owned).map_err(|_| "the path is not UTF-8".into())
}

fn check_target(to: &str, status: u16, from: &Pattern) -> Result<(), String> {
    let absolute = to.strip_prefix("https://").or_else(|| to.strip_prefix("http://"));
    let path = match absolute {
        Some(_) if status == 200 => return Err("only a file of this site can be served instead of another".into()),
        Some(rest) => rest.find('/').map_or("", |at| &rest[at..]),
        None if to.starts_with('/') && !to.starts_with("//") => to,
        None => return Err("the second address is a path or begins with http:// or https://".into()),
    };
    if absolute.is_some_and(|rest| names_in(&rest[..rest.len() - path.len()]).next().is_some_and(|name| !is_port(name)))
    {
        return Err("what a visitor sends can't choose the host of a redirect".into());
    }
    let known = from.names();
    match names_in(path).find(|name| !known.contains(name)) {
        Some(name) => Err(format!("`:{name}` is not captured by the first address")),
        None => Ok(()),
    }
}

fn is_port(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_digit())
}

/// The `:name`s of a target.
fn names_in(target: &str) -> impl Iterator<Item = &str> {
    target.split(':').skip(1).map(|rest| &rest[..name_length(rest)]).filter(|name| !name.is_empty())
}

fn name_length(rest: &str) -> usize {
    rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len())
}

impl Redirects {
    fn add(&mut self, from: &str, rule: Rule) {
        let index = self.rules.len();
        match rule.from.is_exact() {
            true => self.exact.entry(decoded(from).unwrap_or_default().into()).or_default().push(index),
            false => self.patterns.push(index),
        }
        self.forced |= rule.force;
        self.rules.push(rule);
    }

    /// Whether any rule goes before the files.
    pub(super) fn has_forced(&self) -> bool {
        self.forced
    }

    /// Where the first rule that matches leads; `force` asks only for rules that go before the files.
    pub(super) fn find(&self, path: &str, query: &str, force: bool) -> Option<Target> {
        let counts = |index: &usize| !force || self.rules[*index].force;
        let exact = self.exact.get(path).and_then(|rules| rules.iter().copied().find(|index| counts(index)));
        let before = exact.unwrap_or(usize::MAX);
        let mut patterns = self.patterns.iter().copied().take_while(|index| *index < before).filter(|i| counts(i));
        let found = patterns.find_map(|index| self.rules[index].from.capture(path).map(|captured| (index, captured)));
        let (index, captured) = found.or_else(|| exact.map(|index| (index, Vec::new())))?;
        Some(self.rules[index].target(&captured, query))
    }
}

impl Rule {
    fn target(&self, captured: &[(&str, &str)], query: &str) -> Target {
        if self.status == 200 {
            let path = self.to.split(['?', '#']).next().unwrap_or("/");
            return Target::Instead(fill(path, captured, str::to_string));
        }
        let mut to = fill(&self.to, captured, encode_path);
        if !query.is_empty() && !to.contains('?') {
            let at = to.find('#').unwrap_or(to.len());
            to.insert_str(at, &format!("?{query}"));
        }
        Target::Elsewhere { to, status: self.status }
    }
}

/// Puts the captured values in place of their names.
fn fill(to: &str, captured: &[(&str, &str)], encode: impl Fn(&str) -> String) -> String {
    let mut filled = String::with_capacity(to.len());
    let mut rest = to;
    while let Some(at) = rest.find(':') {
        let (before, name) = (&rest[..at], &rest[at + 1..][..name_length(&rest[at + 1..])]);
        filled.push_str(before);
        match captured.iter().find(|(known, _)| *known == name) {
            Some((_, value)) => filled.push_str(&encode(value)),
            None => filled.push_str(&rest[at..at + 1 + name.len()]),
        }
        rest = &rest[at + 1 + name.len()..];
    }
    filled + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES_TEXT: &str = "\
# moved in 2020
/old /new
/gone/ /new?from=gone 302
/blog/:year/:slug /archive/:slug?y=:year 308
/docs/* https://docs.example:8443/:splat 302  # elsewhere
/forced /there 301!
/caf%C3%A9 /coffee
/docs/late /never
/app/* /app.html 200
";

    fn to(path: &str, query: &str) -> String {
        let mut faults = Vec::new();
        let redirects = parse(RULES_TEXT, &mut faults);
        assert!(faults.is_empty(), "{faults:?}");
        match redirects.find(path, query, false) {
            Some(Target::Elsewhere { to, status }) => format!("{status} {to}"),
            Some(Target::Instead(path)) => format!("200 {path}"),
            None => "-".into(),
        }
    }

    #[test]
    fn rules_lead() {
        assert_eq!(to("/old", ""), "301 /new");
        assert_eq!(to("/old", "a=1"), "301 /new?a=1");
        assert_eq!(to("/gone/", "a=1"), "302 /new?from=gone");
        assert_eq!(to("/blog/2020/hello world", ""), "308 /archive/hello%20world?y=2020");
        assert_eq!(to("/docs/a/b", ""), "302 https://docs.example:8443/a/b");
        assert_eq!(to("/docs/late", ""), "302 https://docs.example:8443/late", "the first rule counts");
        assert_eq!(to("/docs/a?b#c\r\n", ""), "302 https://docs.example:8443/a%3Fb%23c%0D%0A");
        assert_eq!(to("/café", ""), "301 /coffee");
        assert_eq!(to("/app/x/y", ""), "200 /app.html");
        assert_eq!(to("/other", ""), "-");
    }

    #[test]
    fn only_forced_rules_go_before_files() {
        let redirects = parse(RULES_TEXT, &mut Vec::new());
        assert!(redirects.has_forced());
        assert_eq!(redirects.find("/old", "", true), None);
        assert!(redirects.find("/forced", "", true).is_some());
    }

    #[test]
    fn bad_rules_are_faults_at_their_line() {
        let bad = [
            "/a",
            "a /b",
            "/a b",
            "/a //evil.example",
            "/a /b 404",
            "/a /b soon",
            "/a /:b",
            "/* https://:splat/",
            "/*/x /y",
            "/a?b=1 /c",
            "/a /b 302 Country=de",
            "/a https://x.example/ 200",
            "/%ff /b",
        ];
        for line in bad {
            let mut faults = Vec::new();
            parse(&format!("/fine /well\n{line}\n"), &mut faults);
            assert_eq!(faults.len(), 1, "{line}");
            assert_eq!(faults[0].place.as_ref().unwrap().line, 2, "{line}");
        }
    }
}

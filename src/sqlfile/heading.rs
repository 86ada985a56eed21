//! Reading a statement's heading: `name: products :many more=20 when=:q`.

use std::sync::Arc;

use super::file::{Condition, Each, QueryKind, Require, Test};
use super::words::{Text, Word, is_name, leading_name, next_word};
use crate::problem::{Fault, suggestion};

/// The kinds, as they are written.
pub(super) const KINDS: [&str; 8] = [":one", ":maybe", ":many", ":value", ":list", ":exec", ":require", ":with"];

/// The options, as they are written.
pub(super) const OPTIONS: [&str; 5] = ["more", "each", "when", "unless", "on"];

/// The statuses that a `:require` may answer.
const REQUIRE_STATUSES: [u16; 5] = [402, 403, 404, 409, 422];

/// The most rows that `more=` keeps.
const MOST_ROWS: u32 = 100_000;

/// A heading, without the SQL below it.
#[derive(Debug)]
pub(super) struct Heading {
    pub(super) name: Arc<str>,
    pub(super) kind: QueryKind,
    pub(super) conditions: Vec<Condition>,
    pub(super) each: Option<Each>,
    pub(super) more: Option<u32>,
}

/// Reads what stands behind `name:`. `None` when name or kind are missing or wrong.
pub(super) fn read_heading(file: &Text, line: &str, faults: &mut Vec<Fault>) -> Option<Heading> {
    let mut rest = line;
    let mut reader = Reader { file, faults };
    let name = reader.word(&mut rest).filter(|word| !word.whole.starts_with(':'));
    let Some(name) = name else {
        reader.fault("this statement has no name", line.trim(), "write `-- name: products :many`");
        return None;
    };
    if !is_name(name.whole) {
        let help = "names have letters, digits and `_`, and begin with a letter";
        reader.fault(&format!("`{}` can't be a statement's name", name.whole), name.whole, help);
        return None;
    }
    let Some(kind) = reader.word(&mut rest) else {
        reader.fault(&format!("`{}` has no kind", name.whole), name.whole, &format!("kinds are {}", KINDS.join(" ")));
        return None;
    };
    let mut heading =
        Heading { name: name.whole.into(), kind: QueryKind::Exec, conditions: Vec::new(), each: None, more: None };
    match plain_kind(kind.whole) {
        Some(plain) => heading.kind = plain,
        None if kind.whole == ":require" => {
            reader.require(kind.whole, rest, &mut heading)?;
            return Some(heading);
        }
        None => {
            let fault = file.fault(format!("`{}` is not a kind", kind.whole), kind.whole);
            let fault = fault.label(suggestion(kind.whole, KINDS));
            reader.faults.push(fault.help(format!("kinds are {}", KINDS.join(" "))));
            return None;
        }
    }
    while let Some(word) = reader.word(&mut rest) {
        reader.option(&word, &mut heading);
    }
    Some(heading)
}

/// The kinds that are one word.
fn plain_kind(word: &str) -> Option<QueryKind> {
    match word {
        ":one" => Some(QueryKind::One),
        ":maybe" => Some(QueryKind::Maybe),
        ":many" => Some(QueryKind::Many),
        ":value" => Some(QueryKind::Value),
        ":list" => Some(QueryKind::List),
        ":exec" => Some(QueryKind::Exec),
        ":with" => Some(QueryKind::With),
        _ => None,
    }
}

/// Reads the words of one heading and keeps its faults.
struct Reader<'a, 's> {
    file: &'a Text<'s>,
    faults: &'a mut Vec<Fault>,
}

impl Reader<'_, '_> {
    fn fault(&mut self, message: &str, part: &str, help: &str) {
        self.faults.push(self.file.fault(message, part).help(help));
    }

    fn word<'t>(&mut self, rest: &mut &'t str) -> Option<Word<'t>> {
        match next_word(rest)? {
            Ok(word) => Some(word),
            Err(part) => {
                self.fault("this quotation doesn't end", part, "close it with `\"`");
                None
            }
        }
    }

    /// `STATUS on=field when=… message`: options stand before the message, which is the rest of the line.
    fn require(&mut self, kind: &str, line: &str, heading: &mut Heading) -> Option<()> {
        let statuses =
            "statuses are 402 (must be paid), 403 (not allowed), 404 (not found), 409 (conflict), 422 (invalid)";
        let line = line.trim();
        let (status, mut rest) = line.split_at(line.find(char::is_whitespace).unwrap_or(line.len()));
        let Some(status) = status.parse::<u16>().ok().filter(|status| REQUIRE_STATUSES.contains(status)) else {
            let part = if status.is_empty() { kind } else { status };
            self.fault("`:require` needs a status", part, statuses);
            return None;
        };
        let mut field: Arc<str> = "".into();
        loop {
            let before = rest;
            // A message may hold quotation marks that no word would: whatever is no option begins it.
            let option = next_word(&mut rest).and_then(Result::ok);
            match option.filter(|word| word.value.is_some() && OPTIONS.contains(&word.key)) {
                Some(word) if word.key == "on" => {
                    field = word.value.as_deref().unwrap_or("").into();
                    if !is_name(&field) {
                        self.fault("`on=` names a field", word.whole, "write the field's name: `on=qty`");
                    } else if status != 422 {
                        self.fault(
                            "only 422 belongs to a field",
                            word.whole,
                            "write `:require 422 on=…`, or leave out `on=`",
                        );
                    }
                }
                Some(word) => self.condition(&word, heading),
                None => {
                    rest = before;
                    break;
                }
            }
        }
        let require = Require { status, field, message: rest.trim().into() };
        heading.kind = QueryKind::Require(Arc::new(require));
        Some(())
    }

    fn option(&mut self, word: &Word, heading: &mut Heading) {
        let value = word.value.as_deref().unwrap_or("");
        match word.key {
            "more" => match value.parse::<u32>().ok().filter(|rows| (1..=MOST_ROWS).contains(rows)) {
                _ if heading.kind != QueryKind::Many => self.fault("`more=` is for `:many`", word.whole, ""),
                None => self.fault("`more=` is a number of rows", word.whole, "write `more=20`"),
                rows => heading.more = rows,
            },
            "each" => match read_each(value) {
                _ if heading.kind != QueryKind::Exec => self.fault("`each=` is for `:exec`", word.whole, ""),
                None => self.fault("`each=` names a list", word.whole, "write `each=:tags` or `each=@tags`"),
                Some((name, server)) => {
                    heading.each = Some(Each { name: name.into(), server, place: self.file.place(word.whole) });
                }
            },
            _ if heading.kind == QueryKind::With => {
                self.fault(
                    "a `:with` statement takes no options",
                    word.whole,
                    "give them to the statements that name it",
                );
            }
            _ => self.condition(word, heading),
        }
    }

    fn condition(&mut self, word: &Word, heading: &mut Heading) {
        let value = word.value.as_deref().unwrap_or("");
        let negated = word.key == "unless";
        if !negated && word.key != "when" {
            let fault = self.file.fault(format!("`{}` is not an option", word.key), word.whole);
            self.faults.push(fault.label(suggestion(word.key, OPTIONS)));
            return;
        }
        match read_test(value) {
            Some(test) => heading.conditions.push(Condition { negated, test, place: self.file.place(word.whole) }),
            None => {
                let help = format!("write `{0}=QUERY`, `{0}=:name`, `{0}=:name=value` or `{0}=@name`", word.key);
                self.fault(&format!("`{}` asks nothing", word.whole), word.whole, &help);
            }
        }
    }
}

/// `:tags` or `@tags`; the name, and whether it is the server's.
fn read_each(value: &str) -> Option<(&str, bool)> {
    let name = value.strip_prefix([':', '@']).filter(|name| is_name(name))?;
    Some((name, value.starts_with('@')))
}

fn read_test(value: &str) -> Option<Test> {
    if let Some(rest) = value.strip_prefix(':') {
        let name = leading_name(rest);
        return match rest[name.len()..].strip_prefix('=') {
            _ if name.is_empty() => None,
            Some(wanted) if !wanted.is_empty() => Some(Test::Equals(name.into(), wanted.into())),
            _ if name == rest => Some(Test::Given(name.into())),
            _ => None,
        };
    }
    if let Some(name) = value.strip_prefix('@') {
        return is_name(name).then(|| Test::Server(name.into()));
    }
    is_name(value).then(|| Test::Query(value.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> (Option<Heading>, Vec<String>) {
        let mut faults = Vec::new();
        let file = Text { path: "pages/a.sql".into(), source: line };
        let heading = read_heading(&file, line, &mut faults);
        (heading, faults.into_iter().map(|fault| fault.message).collect())
    }

    fn sound(line: &str) -> Heading {
        let (heading, faults) = read(line);
        assert_eq!(faults, [""; 0], "{line}");
        heading.expect(line)
    }

    #[test]
    fn headings_with_their_options() {
        let heading = sound(" products :many more=20 when=:sort=top unless=@user_id");
        assert_eq!((&*heading.name, heading.kind, heading.more), ("products", QueryKind::Many, Some(20)));
        assert_eq!(heading.conditions[0].test, Test::Equals("sort".into(), "top".into()));
        assert!(heading.conditions[1].negated);
        assert_eq!(heading.conditions[1].test, Test::Server("user_id".into()));
        let each = sound("tag :exec each=:tags when=article").each.unwrap();
        assert_eq!((&*each.name, each.server), ("tags", false));
    }

    #[test]
    fn a_requirement_keeps_its_message() {
        let heading = sound("stock :require 422 on=qty when=line There's \"one\" left, when=ever.");
        let QueryKind::Require(require) = heading.kind else { panic!("no requirement") };
        assert_eq!((require.status, &*require.field), (422, "qty"));
        assert_eq!(&*require.message, "There's \"one\" left, when=ever.");
        assert_eq!(heading.conditions.len(), 1);
        let QueryKind::Require(require) = sound("mine :require 404").kind else { panic!("no requirement") };
        assert_eq!((require.status, &*require.message), (404, ""));
    }

    #[test]
    fn wrong_headings_are_told() {
        for (line, expected) in [
            ("", "this statement has no name"),
            (" :many", "this statement has no name"),
            ("a-b :many", "`a-b` can't be a statement's name"),
            ("a", "`a` has no kind"),
            ("a :mnay", "`:mnay` is not a kind"),
            ("a :many mroe=2", "`mroe` is not an option"),
            ("a :many more=0", "`more=` is a number of rows"),
            ("a :one more=2", "`more=` is for `:many`"),
            ("a :many each=:x", "`each=` is for `:exec`"),
            ("a :exec each=x", "`each=` names a list"),
            ("a :many when=", "`when=` asks nothing"),
            ("a :many when=:a-b", "`when=:a-b` asks nothing"),
            ("a :require", "`:require` needs a status"),
            ("a :require 500 no", "`:require` needs a status"),
            ("a :require 403 on=x no", "only 422 belongs to a field"),
            ("a :with when=b", "a `:with` statement takes no options"),
            ("a :many when=\"b", "this quotation doesn't end"),
        ] {
            assert_eq!(read(line).1.first().map_or("", String::as_str), expected, "{line}");
        }
    }
}

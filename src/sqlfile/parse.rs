//! Reading one query file: its lines of the four kinds, and the SQL between them.

use super::compute::read_computed;
use super::declare::declare;
use super::dialect::Dialect;
use super::directive_lines::{Keyword, read_directive};
use super::file::{QueryFile, QueryKind, Statement, Use};
use super::heading::{Heading, read_heading};
use super::tokens::{Token, TokenKind, tokenize};
use super::words::{Text, is_name, leading_name};
use crate::problem::{Fault, suggestion};

/// Reads a query file. `path` is relative to the site's folder. Faults come in the order of the lines; what is sound
/// in the file is in the result even then.
pub fn parse(path: &str, source: &str, dialect: Dialect) -> (QueryFile, Vec<Fault>) {
    let file = QueryFile {
        path: path.into(),
        source: source.into(),
        parameters: Vec::new(),
        computed: Vec::new(),
        directives: Default::default(),
        statements: Vec::new(),
        uses: Vec::new(),
        dialect,
    };
    let text = Text { path: file.path.clone(), source };
    let mut parser = Parser { text, file, faults: Vec::new(), seen: Vec::new() };
    parser.read(&tokenize(source, dialect));
    parser.faults.sort_by_key(|fault| fault.place.as_ref().map(|place| (place.line, place.column)));
    (parser.file, parser.faults)
}

/// What a comment line says.
enum Line<'s> {
    /// `:name …`
    Parameter(&'s str),
    /// `@name = …`
    Computed(&'s str),
    /// `name: …`, what stands behind the colon.
    Heading(&'s str),
    /// A directive: its word, all of it, and what stands behind.
    Directive(Keyword, &'s str, &'s str),
    /// A word that is nearly a directive, and the suggestion.
    Misspelt(&'s str, String),
    /// A comment.
    Nothing,
}

/// The keyword of a heading, beside those of the directives.
const NAME: &str = "name";

struct Parser<'s> {
    text: Text<'s>,
    file: QueryFile,
    faults: Vec<Fault>,
    /// Directives that stand once, with their first place.
    seen: Vec<Keyword>,
}

impl<'s> Parser<'s> {
    /// Reads all lines, and the SQL below each heading up to the next one.
    fn read(&mut self, tokens: &[Token]) {
        let mut heading: Option<(&'s str, Option<Heading>)> = None;
        let mut start = 0;
        for (index, token) in tokens.iter().enumerate() {
            let Some(comment) = self.own_line(tokens, index) else { continue };
            if let Line::Heading(rest) = classify(comment) {
                self.statement(heading.take(), &tokens[start..index]);
                let read = read_heading(&self.text, rest, &mut self.faults);
                heading = Some((&self.text.source[token.from..token.to], read));
                start = index + 1;
            } else {
                self.line(comment);
            }
        }
        self.statement(heading, &tokens[start..]);
    }

    /// The text of a `--` comment that has its line for itself, without the dashes.
    fn own_line(&self, tokens: &[Token], index: usize) -> Option<&'s str> {
        let token = tokens[index];
        let source = self.text.source;
        let comment = (token.kind == TokenKind::Comment).then(|| token.text(source).strip_prefix("--"))??;
        let before = tokens[..index].iter().rev().take_while(|token| token.kind == TokenKind::Space);
        let spaces = before.clone().count();
        let alone = spaces == index || before.into_iter().any(|token| token.text(source).contains(['\n', '\r']));
        alone.then_some(comment)
    }

    fn line(&mut self, comment: &'s str) {
        match classify(comment) {
            Line::Parameter(line) => {
                let Some(parameter) = declare(&self.text, line, &mut self.faults) else { return };
                match self.file.parameters.iter().any(|known| known.name == parameter.name) {
                    true => self.fault(format!("`:{}` is declared twice", parameter.name), line.trim_end(), ""),
                    false => self.file.parameters.push(parameter),
                }
            }
            Line::Computed(line) => {
                let Some(computed) = read_computed(&self.text, line, &mut self.faults) else { return };
                match self.file.computed.iter().any(|known| known.name == computed.name) {
                    true => self.fault(format!("`@{}` is computed twice", computed.name), line.trim_end(), ""),
                    false => self.file.computed.push(computed),
                }
            }
            Line::Directive(keyword, whole, rest) => self.directive(keyword, whole, rest),
            Line::Misspelt(word, near) => {
                let fault = self.text.fault(format!("`{word}:` is not a directive"), word).label(near);
                self.faults.push(fault.help("if it is a comment, begin it with another word or a capital letter"));
            }
            Line::Heading(_) | Line::Nothing => {}
        }
    }

    fn directive(&mut self, keyword: Keyword, whole: &'s str, rest: &'s str) {
        match keyword {
            Keyword::Use => self.uses(whole, rest),
            _ => {
                if !keyword.may_repeat() && self.seen.contains(&keyword) {
                    return self.fault(format!("`{}:` stands here twice", keyword.name()), whole, "");
                }
                self.seen.push(keyword);
                read_directive(&self.text, keyword, whole, rest, &mut self.file.directives, &mut self.faults);
            }
        }
    }

    fn uses(&mut self, whole: &'s str, rest: &'s str) {
        if rest.trim().is_empty() {
            self.fault("`use:` names no file", whole, "write `-- use: /_products.sql`");
        }
        for name in rest.split([' ', '\t', ',']).filter(|name| !name.is_empty()) {
            let sound = name.starts_with('/') && name.ends_with(".sql") && !name.contains("..");
            if !sound {
                self.fault(
                    format!("`{name}` is not the path of a query file"),
                    name,
                    "write it from the folder `pages/` on, with a leading slash: `-- use: /_products.sql`",
                );
            } else if self.file.uses.iter().any(|known| &*known.file == name) {
                self.fault(format!("`{name}` is used twice"), name, "");
            } else {
                self.file.uses.push(Use { file: name.into(), place: self.text.place(name) });
            }
        }
    }

    fn fault(&mut self, message: impl Into<String>, part: &str, help: &str) {
        let fault = self.text.fault(message, part).help(help);
        self.faults.push(fault);
    }

    /// The statement below a heading, or what stands before the first one.
    fn statement(&mut self, heading: Option<(&'s str, Option<Heading>)>, tokens: &[Token]) {
        let source = self.text.source;
        let significant: Vec<Token> = tokens.iter().copied().filter(Token::is_significant).collect();
        self.check_tokens(&significant);
        let Some((line, heading)) = heading else {
            if let Some(first) = significant.first() {
                let help = "begin every statement with a line such as `-- name: products :many`";
                self.fault("this SQL stands under no name", first.text(source), help);
            }
            return;
        };
        let end = significant.iter().position(|token| token.kind == TokenKind::Semicolon);
        let (body, after) = significant.split_at(end.unwrap_or(significant.len()));
        let (Some(first), Some(last)) = (body.first(), body.last()) else {
            return self.fault("there is no SQL under this heading", line, "");
        };
        if let Some(second) = after.iter().find(|token| token.kind != TokenKind::Semicolon) {
            let help = "give each statement a heading of its own: `-- name: products :many`";
            self.fault("a second statement under one name", second.text(source), help);
        }
        let Some(heading) = heading else { return };
        self.check_verb(&heading, *first);
        self.file.statements.push(Statement {
            name: heading.name,
            kind: heading.kind,
            conditions: heading.conditions,
            each: heading.each,
            more: heading.more,
            text: first.from..last.to,
            place: self.text.place(line.trim_end()),
        });
    }

    /// Tokens that no statement may hold.
    fn check_tokens(&mut self, tokens: &[Token]) {
        let source = self.text.source;
        for token in tokens {
            let text = token.text(source);
            match token.kind {
                TokenKind::Placeholder => {
                    self.fault(format!("`{text}` is not a value"), text, "use `:name` or `@name`");
                }
                TokenKind::Unfinished => {
                    let opening = text.char_indices().nth(1).map_or(text, |(at, _)| &text[..at]);
                    self.fault("what begins here doesn't end", opening, "");
                }
                TokenKind::Unknown => self.fault(format!("`{}` is not SQL", text.escape_debug()), text, ""),
                TokenKind::Parameter if !is_name(&text[1..]) => {
                    self.fault(format!("`{text}` can't be a parameter's name"), text, "");
                }
                TokenKind::Server if !text[1..].split('.').all(is_name) => {
                    self.fault(format!("`{text}` can't be the name of a value"), text, "");
                }
                _ => {}
            }
        }
    }

    /// Whether a query file may hold a statement that begins so, and whether it fits the kind.
    fn check_verb(&mut self, heading: &Heading, first: Token) {
        let source = self.text.source;
        let verb = first.text(source);
        let word = if first.kind == TokenKind::Word { verb.to_ascii_lowercase() } else { String::new() };
        let reads = matches!(word.as_str(), "select" | "values" | "with");
        match word.as_str() {
            _ if reads => {}
            "insert" | "update" | "delete" | "replace" | "merge" => {
                if heading.kind == QueryKind::With {
                    self.fault("a `:with` statement only reads", verb, "give it a `select`");
                }
            }
            _ => {
                let fault = self.text.fault(format!("`{verb}` is not for query files"), verb);
                self.faults.push(fault.label(near_verb(&word)).help(verb_help(&word)));
            }
        }
    }
}

fn near_verb(word: &str) -> String {
    match verb_help(word).is_empty() {
        true => suggestion(word, ["select", "values", "with", "insert", "update", "delete"]),
        false => String::new(),
    }
}

/// What to do instead of a statement that query files must not hold.
fn verb_help(word: &str) -> &'static str {
    match word {
        "begin" | "commit" | "rollback" | "savepoint" | "release" | "start" | "end" | "abort" => {
            "the statements of an action are one transaction already; a `:require` without a row rolls it back"
        }
        "create" | "alter" | "drop" | "truncate" | "reindex" | "analyze" | "comment" | "grant" | "revoke" => {
            "the schema is changed by a file in `migrations/`"
        }
        "pragma" | "attach" | "detach" | "vacuum" | "set" | "reset" | "listen" | "notify" | "copy" | "load" => {
            "the server sets up the database by itself"
        }
        "explain" => "ask with the database's own shell",
        _ => "",
    }
}

/// What a comment is, without its dashes.
fn classify(comment: &str) -> Line<'_> {
    let line = comment.trim_start();
    if line.starts_with(':') && line[1..].starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_') {
        return Line::Parameter(line.trim_end());
    }
    if let Some(rest) = line.strip_prefix('@') {
        let name = leading_name(rest);
        let assigns = !name.is_empty() && rest[name.len()..].trim_start().starts_with('=');
        return if assigns { Line::Computed(line.trim_end()) } else { Line::Nothing };
    }
    let word = leading_name(line);
    let rest = &line[word.len()..];
    let Some(behind) = rest.strip_prefix(':') else {
        return match Keyword::named(word) {
            // `-- error NAME on=field message` and a bare `-- logout` need no colon.
            Some(Keyword::Error) if has_field(rest) => Line::Directive(Keyword::Error, word, rest),
            Some(Keyword::Logout) if rest.trim().is_empty() => Line::Directive(Keyword::Logout, word, rest),
            _ => Line::Nothing,
        };
    };
    match Keyword::named(word) {
        Some(keyword) => Line::Directive(keyword, word, behind),
        None if word == NAME => Line::Heading(behind),
        None => match nearly(word) {
            Some(near) => Line::Misspelt(word, format!("did you mean `{near}:`?")),
            None => Line::Nothing,
        },
    }
}

/// Whether the second word is `on=…`.
fn has_field(rest: &str) -> bool {
    rest.split_whitespace().nth(1).is_some_and(|word| word.starts_with("on="))
}

/// The directive that a word is one edit away from. Short words and prose with a capital letter are comments.
fn nearly(word: &str) -> Option<&'static str> {
    let lower = word.len() > 2 && word.bytes().all(|byte| byte.is_ascii_lowercase());
    let known = Keyword::ALL.iter().map(|keyword| keyword.name()).chain([NAME]);
    lower.then(|| known.into_iter().find(|name| strsim::damerau_levenshtein(word, name) == 1))?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlfile::Type;

    fn read(source: &str) -> (QueryFile, Vec<Fault>) {
        parse("pages/a.sql", source, Dialect::Sqlite)
    }

    fn sound(source: &str) -> QueryFile {
        let (file, faults) = read(source);
        assert_eq!(faults, [], "{source}");
        file
    }

    fn sql(file: &QueryFile) -> Vec<&str> {
        file.statements.iter().map(|statement| &file.source[statement.text.clone()]).collect()
    }

    #[test]
    fn the_four_kinds_of_lines() {
        let file = sound(
            "-- Products, newest first.\n-- :q     text  maxlength=100\n--:page int default=1\n\
             -- @start = today - 30 days\n-- use: /_products.sql, /_more.sql\n-- use: /_last.sql\n\
             -- redirect: /cart\n-- name: products :many more=20\nselect 1 -- name: x :one\n  ;\n\n\
             -- :late int\n-- name: total :value\nselect ';', 2\n-- the end\n",
        );
        let names: Vec<&str> = file.parameters.iter().map(|parameter| &*parameter.name).collect();
        assert_eq!(names, ["q", "page", "late"]);
        assert_eq!(file.parameters[1].kind, Type::Int);
        assert_eq!(&*file.computed[0].name, "start");
        let uses: Vec<&str> = file.uses.iter().map(|used| &*used.file).collect();
        assert_eq!(uses, ["/_products.sql", "/_more.sql", "/_last.sql"]);
        assert!(file.directives.redirect.is_some());
        assert_eq!(sql(&file), ["select 1", "select ';', 2"]);
        assert_eq!(file.statements[0].place.line, 8);
    }

    #[test]
    fn lines_inside_strings_and_comments_are_not_read() {
        let file = sound("-- name: a :one\nselect '\n-- :q int\n-- name: b :one\n', 1 /*\n-- redirect: x\n*/");
        assert_eq!(file.parameters.len(), 0);
        assert_eq!(file.statements.len(), 1);
    }

    #[test]
    fn line_ends_of_windows_and_a_byte_order_mark() {
        let file = sound("\u{feff} -- :q text\r\n-- flash: Done.\r\n-- name: a :one\r\nselect :q;\r\n");
        assert_eq!(&*file.parameters[0].name, "q");
        assert_eq!(&*file.directives.flash.as_ref().unwrap().text, "Done.");
        assert_eq!(sql(&file), ["select :q"]);
    }

    #[test]
    fn comments_stay_comments() {
        let file = sound(
            "-- Note: use this.\n-- todo: later\n-- :) fine\n-- @author Jane\n-- Page: the first\n\
             -- error in here\n-- logout happens elsewhere\n-- name: a :one\nselect 1",
        );
        assert_eq!(file.directives, Default::default());
    }

    #[test]
    fn directives_without_their_colon() {
        let file = sound("-- error users_key on=email Taken: really.\n-- logout\n-- error: b on=c Again.");
        assert_eq!(&*file.directives.errors[0].message, "Taken: really.");
        assert_eq!(file.directives.errors.len(), 2);
        assert!(file.directives.logout);
    }

    #[test]
    fn faults_are_told_with_their_lines() {
        for (source, line, message) in [
            ("\n-- redirct: /x", 2, "`redirct:` is not a directive"),
            ("-- nmae: a :one\nselect 1", 1, "`nmae:` is not a directive"),
            ("select 1", 1, "this SQL stands under no name"),
            ("-- name: a :one\n", 1, "there is no SQL under this heading"),
            ("-- name: a :one\n;", 1, "there is no SQL under this heading"),
            ("-- name: a :one\nselect 1;\nselect 2", 3, "a second statement under one name"),
            ("-- :a int\n-- :a text", 2, "`:a` is declared twice"),
            ("-- @a = today\n-- @a = now", 2, "`@a` is computed twice"),
            ("-- @a = slgu(:x)", 1, "there is no function `slgu`"),
            ("-- flash: a\n-- flash: b", 2, "`flash:` stands here twice"),
            ("-- use: _a.sql", 1, "`_a.sql` is not the path of a query file"),
            ("-- use:", 1, "`use:` names no file"),
            ("-- use: /_a.sql /_a.sql", 1, "`/_a.sql` is used twice"),
            ("-- name: a :one\nselect $1", 2, "`$1` is not a value"),
            ("-- name: a :one\nselect ?", 2, "`?` is not a value"),
            ("-- name: a :one\nselect #x", 2, "`#x` is not a value"),
            ("-- name: a :one\nselect 'x", 2, "what begins here doesn't end"),
            ("-- name: a :one\nselect \\", 2, "`\\\\` is not SQL"),
            ("-- name: a :one\nselect :1", 2, "`:1` can't be a parameter's name"),
            ("-- name: a :exec\nBEGIN", 2, "`BEGIN` is not for query files"),
            ("-- name: a :exec\n/* x */ create temp table a (b)", 2, "`create` is not for query files"),
            ("-- name: a :exec\npragma foreign_keys = off", 2, "`pragma` is not for query files"),
            ("-- name: a :one\nselcet 1", 2, "`selcet` is not for query files"),
            ("-- name: a :with\ndelete from a returning b", 2, "a `:with` statement only reads"),
        ] {
            let (_, faults) = read(source);
            let first = faults.first().expect(source);
            assert_eq!(first.message, message, "{source}");
            assert_eq!(first.place.as_ref().unwrap().line, line, "{source}");
        }
    }

    #[test]
    fn all_faults_are_told_at_once_in_their_order() {
        let (file, faults) = read("-- :a txt\n-- name: x :one\nselect ?\n-- once: soon\n-- name: y :one\nselect 2");
        let lines: Vec<u32> = faults.iter().map(|fault| fault.place.as_ref().unwrap().line).collect();
        assert_eq!(lines, [1, 3, 4]);
        assert_eq!(file.statements.len(), 2);
    }

    #[test]
    fn postgres_reads_its_own_strings() {
        let source = "-- name: a :one\nselect $$\n-- name: b :one\n$$, E'\\'-- :q'";
        let (file, faults) = parse("pages/a.sql", source, Dialect::Postgres);
        assert_eq!((file.statements.len(), faults), (1, vec![]));
    }
}

//! Writes a statement's SQL for the database: values become placeholders, shared parts are put in front.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use super::Dialect;
use super::build::Builder;
use super::file::{QueryFile, QueryKind, Statement};
use super::resolve::Unresolved;
use super::script::{Bind, Piece, Source, SourceMap};
use super::tables::{plain_name, table_names};
use super::tokens::{Token, TokenKind, tokenize};
use crate::problem::Fault;

/// A shared part: a `:with` statement and its file.
#[derive(Clone, Debug)]
pub(super) struct Part {
    /// Its name in lower case.
    pub(super) name: String,
    pub(super) file: Arc<QueryFile>,
    pub(super) statement: Statement,
}

/// A statement as it was written.
#[derive(Debug, Default)]
pub(super) struct Written {
    pub(super) sql: String,
    pub(super) binds: Vec<Bind>,
    pub(super) map: SourceMap,
}

/// Writes a statement with the parts that it names.
pub(super) fn write(builder: &mut Builder, file: &Arc<QueryFile>, statement: &Statement) -> Written {
    let mut needed = Vec::new();
    let recursive = gather(builder, file, statement, &mut BTreeSet::new(), &mut needed);
    let element = statement.each.as_ref();
    let mut writer = Writer {
        builder,
        file: file.clone(),
        element: element.map(|each| (each.name.clone(), each.server)),
        written: Written::default(),
    };
    if needed.is_empty() {
        writer.statement(statement.text.start, statement.text.end);
        return writer.written;
    }
    let (body, own_recursive) = body_after_with(file, statement);
    let word = if recursive || own_recursive { "with recursive " } else { "with " };
    writer.put(word, statement.text.start, statement.text.start);
    for (index, part) in needed.iter().enumerate() {
        if index > 0 {
            writer.put(", ", part.statement.text.start, part.statement.text.start);
        }
        writer.part(part);
    }
    writer.file = file.clone();
    match body {
        // The statement has parts of its own: they follow the shared ones.
        Some(body) => {
            writer.put(", ", body, body);
            writer.statement(body, statement.text.end);
        }
        None => {
            writer.put(" ", statement.text.start, statement.text.start);
            writer.statement(statement.text.start, statement.text.end);
        }
    }
    writer.written
}

/// Finds the parts that a statement names as tables, and those that they name, each before those that need it. Tells
/// whether one of them names itself.
fn gather(
    builder: &Builder,
    file: &QueryFile,
    statement: &Statement,
    seen: &mut BTreeSet<String>,
    needed: &mut Vec<Part>,
) -> bool {
    let sql = &file.source[statement.text.clone()];
    let tokens = significant(sql, file.dialect);
    let own = own_parts(sql, &tokens);
    let mut recursive = false;
    for index in table_names(sql, &tokens) {
        let qualified = index > 0 && tokens[index - 1].kind == TokenKind::Dot
            || tokens.get(index + 1).is_some_and(|next| next.kind == TokenKind::Dot);
        let name = plain_name(tokens[index].text(sql));
        if qualified || own.contains(&name) {
            continue;
        }
        let Some(part) = builder.parts.iter().find(|part| part.name == name) else { continue };
        recursive |= statement.kind == QueryKind::With && name == statement.name.to_lowercase();
        if seen.insert(name) {
            recursive |= gather(builder, &part.file, &part.statement, seen, needed);
            needed.push(part.clone());
        }
    }
    recursive
}

/// The names that a statement's own `with` gives: `name as (` and `name (column, …) as (`. They win over shared parts.
fn own_parts(sql: &str, tokens: &[Token]) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    if !tokens.first().is_some_and(|token| token.is_word(sql, "with")) {
        return names;
    }
    for (index, _) in tokens.iter().enumerate().filter(|(_, token)| token.is_word(sql, "as")) {
        let opens = tokens[index + 1..].iter().take(3).any(|next| next.kind == TokenKind::Open);
        let before = &tokens[..index];
        let name = match before.last().map(|last| last.kind) {
            Some(TokenKind::Close) => {
                before.iter().rposition(|token| token.kind == TokenKind::Open).and_then(|open| before[..open].last())
            }
            _ => before.last(),
        };
        if let (true, Some(name)) = (opens, name) {
            names.insert(plain_name(name.text(sql)));
        }
    }
    names
}

fn significant(sql: &str, dialect: Dialect) -> Vec<Token> {
    tokenize(sql, dialect).into_iter().filter(Token::is_significant).collect()
}

/// Where a statement goes on after its own `with [recursive]`, if it begins so, and whether it says `recursive`.
fn body_after_with(file: &QueryFile, statement: &Statement) -> (Option<usize>, bool) {
    let sql = &file.source[statement.text.clone()];
    let tokens = significant(sql, file.dialect);
    let Some(first) = tokens.first().filter(|token| token.is_word(sql, "with")) else { return (None, false) };
    let recursive = tokens.get(1).filter(|token| token.is_word(sql, "recursive"));
    let end = recursive.map_or(first.to, |token| token.to);
    (Some(statement.text.start + end), recursive.is_some())
}

/// Writes SQL piece by piece and remembers where each came from.
struct Writer<'b> {
    builder: &'b mut Builder,
    file: Arc<QueryFile>,
    /// The name that `each=` runs over, and whether it is an `@name`.
    element: Option<(Arc<str>, bool)>,
    written: Written,
}

impl Writer<'_> {
    /// Text that stands for a range of the file.
    fn put(&mut self, text: &str, from: usize, to: usize) {
        self.piece(from, to, true);
        self.written.sql.push_str(text);
    }

    /// Text of the file as it stands.
    fn copy(&mut self, from: usize, to: usize) {
        if from < to {
            self.piece(from, to, false);
            let file = self.file.clone();
            self.written.sql.push_str(&file.source[from..to]);
        }
    }

    fn piece(&mut self, from: usize, to: usize, fixed: bool) {
        let at = self.written.sql.len();
        self.written.map.pieces.push(Piece { at, file: self.file.clone(), from, to, fixed });
    }

    /// A shared part as a common table expression.
    fn part(&mut self, part: &Part) {
        self.file = part.file.clone();
        let range = part.statement.text.clone();
        self.put(&format!("{} as (", part.statement.name), range.start, range.start);
        self.statement(range.start, range.end);
        // A comment at the end of the part must not swallow the bracket.
        self.put("\n)", range.end, range.end);
    }

    /// A range of the file with its values as placeholders.
    fn statement(&mut self, from: usize, to: usize) {
        let file = self.file.clone();
        let sql = &file.source[from..to];
        let tokens = tokenize(sql, file.dialect);
        let mut copied = 0;
        for (index, token) in tokens.iter().enumerate() {
            if let Some(next) = glued_name(sql, &tokens[index..]) {
                self.two_readings(token.text(sql), next.text(sql), from + token.from..from + next.to);
            }
            if !matches!(token.kind, TokenKind::Parameter | TokenKind::Server) {
                continue;
            }
            let operator = in_operator(sql, &tokens[..index]);
            let (value, listed) = (from + token.from..from + token.to, operator.is_some());
            let Some(operator) = operator.filter(|_| file.dialect == Dialect::Postgres) else {
                self.copy(from + copied, value.start);
                self.value(token.text(sql), value, listed);
                copied = token.to;
                continue;
            };
            // `x in :ids::bigint[]` becomes `x = any($1::bigint[])`: the cast goes inside of the brackets.
            self.copy(from + copied, from + operator.from);
            let compared = if operator.negated { "<> all(" } else { "= any(" };
            self.put(compared, value.start, value.end);
            self.value(token.text(sql), value.clone(), true);
            copied = cast_end(sql, &tokens[index + 1..]).unwrap_or(token.to);
            self.copy(value.end, from + copied);
            self.put(")", value.start, value.end);
        }
        self.copy(from + copied, to);
    }

    /// `a <@name`: less than a value from the server on SQLite, the operator `<@` before a column on PostgreSQL.
    fn two_readings(&mut self, operator: &str, name: &str, range: Range<usize>) {
        let (first, last) = operator.split_at(operator.len() - 1);
        let help =
            format!("write `{first} {last}{name}` for a value from the server, `{operator} {name}` for the operator");
        let message = format!("`{operator}{name}` can be read in two ways");
        self.builder.faults.push(Fault::error(message, self.file.place(&range)).help(help));
    }

    /// A value as its placeholder. `range` is its place in the file; `listed` is whether `in` stands before it.
    fn value(&mut self, text: &str, range: Range<usize>, listed: bool) {
        let source = match self.source(text) {
            Ok(source) => source,
            Err(unresolved) => {
                self.builder.faults.push(unresolved.at(&self.file.place(&range)));
                // Something must stand here, so that the rest of the statement can still be checked.
                return self.put("null", range.start, range.end);
            }
        };
        let list = self.builder.is_list(&source);
        if list != listed {
            self.list_fault(text, list, &range);
        }
        let number = self.number(source, list);
        let placeholder = match (self.file.dialect, listed) {
            (Dialect::Sqlite, true) => format!("(select value from json_each(?{number}))"),
            (Dialect::Sqlite, false) => format!("?{number}"),
            (Dialect::Postgres, _) => format!("${number}"),
        };
        self.put(&placeholder, range.start, range.end);
    }

    fn source(&mut self, text: &str) -> Result<Source, Unresolved> {
        let name = &text[1..];
        match (&self.element, text.starts_with(':')) {
            (Some((element, false)), true) if **element == *name => Ok(Source::Element),
            (_, true) => self.builder.using(name).map(Source::Parameter),
            (Some((element, true)), false) => self.builder.server_source(name, Some(element)),
            (_, false) => self.builder.server_source(name, None),
        }
    }

    /// A list that stands like a single value, or the other way round.
    fn list_fault(&mut self, text: &str, list: bool, range: &Range<usize>) {
        let (message, help) = match list {
            true => (
                format!("`{text}` is a list"),
                format!("write `column in {text}` without brackets, or run the statement with `each={text}`"),
            ),
            false => (
                format!("`{text}` is not a list"),
                format!("write `= {text}`, declare it with `multiple`, or compute a list with `split`"),
            ),
        };
        self.builder.faults.push(Fault::error(message, self.file.place(range)).help(help));
    }

    /// The number of the placeholder for a value: the same value has one, however often it stands there.
    fn number(&mut self, source: Source, list: bool) -> usize {
        let known = self.written.binds.iter().position(|bind| bind.source == source && bind.list == list);
        known.unwrap_or_else(|| {
            self.written.binds.push(Bind { source, list, at: self.written.sql.len() });
            self.written.binds.len() - 1
        }) + 1
    }
}

/// `in` or `not in` before a value.
#[derive(Debug)]
struct InOperator {
    /// The byte where it begins.
    from: usize,
    negated: bool,
}

/// The `in` or `not in` that a statement's tokens end with, up to a value.
fn in_operator(sql: &str, before: &[Token]) -> Option<InOperator> {
    let mut words = before.iter().rev().filter(|token| token.is_significant());
    let word = words.next().filter(|word| word.is_word(sql, "in"))?;
    let not = words.next().filter(|word| word.is_word(sql, "not"));
    Some(InOperator { from: not.map_or(word.from, |not| not.from), negated: not.is_some() })
}

/// The name that is glued to an operator with an at-sign at its end, so that the two databases read them differently.
/// `tokens` begin with the operator. Behind `@>` or a blank nothing is in doubt.
fn glued_name(sql: &str, tokens: &[Token]) -> Option<Token> {
    let [operator, next, ..] = tokens else { return None };
    let glued = operator.kind == TokenKind::Operator && operator.text(sql).ends_with('@');
    (glued && next.kind == TokenKind::Word).then_some(*next)
}

/// Words that may follow the first one of a type's name.
const TYPE_WORDS: [&str; 6] = ["precision", "varying", "with", "without", "time", "zone"];

/// Where the casts end that a statement goes on with: `::bigint[]`, `::schema.kind[]`, `::numeric(5, 2)[]::text[]`.
fn cast_end(sql: &str, after: &[Token]) -> Option<usize> {
    let mut rest = after.iter().filter(|token| token.is_significant()).peekable();
    let mut end = None;
    while rest.next_if(|token| token.text(sql) == "::").is_some() {
        end = Some(rest.next_if(|token| matches!(token.kind, TokenKind::Word | TokenKind::QuotedName))?.to);
        let mut depth = 0_usize;
        while let Some(token) = rest.next_if(|token| depth > 0 || goes_on(sql, token)) {
            match token.text(sql) {
                "(" | "[" => depth += 1,
                ")" | "]" => depth = depth.saturating_sub(1),
                _ => {}
            }
            end = Some(token.to);
        }
    }
    end
}

/// Whether a type's name goes on with this token.
fn goes_on(sql: &str, token: &Token) -> bool {
    match token.kind {
        TokenKind::Open | TokenKind::Dot => true,
        TokenKind::Operator => token.text(sql) == "[",
        TokenKind::Word | TokenKind::QuotedName => {
            TYPE_WORDS.iter().any(|word| token.is_word(sql, word)) || sql[..token.from].trim_end().ends_with('.')
        }
        _ => false,
    }
}

//! Writes a statement's SQL for the database: values become placeholders, shared parts are put in front.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Dialect;
use super::build::Builder;
use super::file::{QueryFile, Statement};
use super::script::{Bind, Piece, Source, SourceMap};
use super::tables::{plain_name, table_names};
use super::tokens::{Token, TokenKind, tokenize};
use crate::problem::Fault;

/// A shared part: a `:with` statement and its file.
#[derive(Clone, Debug)]
pub(super) struct Part {
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
    let mut recursive = false;
    for index in table_names(sql, &tokens) {
        let qualified = index > 0 && tokens[index - 1].kind == TokenKind::Dot
            || tokens.get(index + 1).is_some_and(|next| next.kind == TokenKind::Dot);
        let name = plain_name(tokens[index].text(sql));
        if qualified {
            continue;
        }
        recursive |= name == statement.name.to_lowercase() && builder.parts.contains_key(&name);
        if let Some(part) = builder.parts.get(&name)
            && seen.insert(name)
        {
            recursive |= gather(builder, &part.file, &part.statement, seen, needed);
            needed.push(part.clone());
        }
    }
    recursive
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

    /// A range of the file with its values as placeholders. Comments go, so that they can't hold a value's name.
    fn statement(&mut self, from: usize, to: usize) {
        let file = self.file.clone();
        let sql = &file.source[from..to];
        let tokens = tokenize(sql, file.dialect);
        let mut copied = 0;
        for (index, token) in tokens.iter().enumerate() {
            match token.kind {
                TokenKind::Comment => {
                    self.copy(from + copied, from + token.from);
                    self.put(" ", from + token.from, from + token.to);
                }
                TokenKind::Parameter | TokenKind::Server => {
                    let start = self.value_start(sql, &tokens[..index], *token);
                    self.copy(from + copied, from + start.at);
                    self.value(sql, *token, from, start);
                }
                _ => continue,
            }
            copied = token.to;
        }
        self.copy(from + copied, to);
    }

    /// What the placeholder replaces: for a list on PostgreSQL also the `in` or `not in` before it.
    fn value_start(&self, sql: &str, before: &[Token], token: Token) -> Start {
        let mut words = before.iter().rev().filter(|token| token.is_significant());
        let after_in = words.next().filter(|word| word.is_word(sql, "in"));
        let not = words.next().filter(|word| word.is_word(sql, "not"));
        match (after_in, self.file.dialect) {
            (None, _) => Start { at: token.from, in_list: false, negated: false },
            (Some(_), Dialect::Sqlite) => Start { at: token.from, in_list: true, negated: false },
            (Some(word), Dialect::Postgres) => {
                Start { at: not.map_or(word.from, |not| not.from), in_list: true, negated: not.is_some() }
            }
        }
    }

    fn value(&mut self, sql: &str, token: Token, from: usize, start: Start) {
        let range = from + token.from..from + token.to;
        let name = &token.text(sql)[1..];
        let source = match token.kind {
            TokenKind::Parameter => match &self.element {
                Some((element, false)) if **element == *name => Ok(Source::Element),
                _ => self.builder.using(name).map(Source::Parameter),
            },
            _ => {
                let element = self.element.as_ref().filter(|(_, server)| *server).map(|(name, _)| name.clone());
                self.builder.server_source(name, element.as_deref())
            }
        };
        let source = match source {
            Ok(source) => source,
            Err(fault) => {
                let fault = Fault { place: Some(self.file.place(&range)), ..fault };
                self.builder.faults.push(fault);
                // Something must stand here, so that the rest of the statement can still be checked.
                return self.put("null", range.start, range.end);
            }
        };
        if self.builder.is_list(&source) && !start.in_list {
            let fault = Fault::error(format!("`{}` is a list", token.text(sql)), self.file.place(&range))
                .help(format!("write `column in {0}`, or run the statement over it with `each={0}`", token.text(sql)));
            self.builder.faults.push(fault);
        }
        let number = self.number(source, start.in_list);
        let text = match (self.file.dialect, start) {
            (Dialect::Sqlite, Start { in_list: true, .. }) => format!("(select value from json_each(?{number}))"),
            (Dialect::Sqlite, _) => format!("?{number}"),
            (Dialect::Postgres, Start { in_list: true, negated: false, .. }) => format!("= any(${number})"),
            (Dialect::Postgres, Start { in_list: true, negated: true, .. }) => format!("<> all(${number})"),
            (Dialect::Postgres, _) => format!("${number}"),
        };
        self.put(&text, range.start, range.end);
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

/// Where a value begins and how it stands.
#[derive(Clone, Copy, Debug)]
struct Start {
    at: usize,
    /// After `in`.
    in_list: bool,
    /// After `not in`, on PostgreSQL.
    negated: bool,
}

//! The reading position in a Hurl file, and what every part of the grammar needs of it. Knows no grammar beyond
//! blanks, comments and line ends.

use crate::hurl::syntax::{Span, Wrong};

/// What a step of the parser gives.
pub(super) type Parsed<T> = Result<T, Wrong>;

/// A position in the source.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'s> {
    pub(super) source: &'s str,
    pub(super) at: usize,
}

impl<'s> Cursor<'s> {
    pub(super) fn new(source: &'s str) -> Cursor<'s> {
        Cursor { source, at: 0 }
    }

    /// The text from here to the end.
    pub(super) fn rest(&self) -> &'s str {
        &self.source[self.at..]
    }

    pub(super) fn is_end(&self) -> bool {
        self.at == self.source.len()
    }

    pub(super) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    pub(super) fn next(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.at += next.len_utf8();
        Some(next)
    }

    /// Whether `text` stands here; takes it.
    pub(super) fn eat(&mut self, text: &str) -> bool {
        let stands = self.rest().starts_with(text);
        if stands {
            self.at += text.len();
        }
        stands
    }

    /// Takes `text` or fails.
    pub(super) fn expect(&mut self, text: &str) -> Parsed<()> {
        if self.eat(text) { Ok(()) } else { Err(self.expected(&format!("`{text}`"))) }
    }

    pub(super) fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'s str {
        let rest = self.rest();
        let length = rest.find(|c| !wanted(c)).unwrap_or(rest.len());
        self.at += length;
        &rest[..length]
    }

    /// A run of ASCII letters and digits: the name of a query, a filter, a predicate.
    pub(super) fn word(&mut self) -> &'s str {
        self.take_while(|c| c.is_ascii_alphanumeric())
    }

    /// Takes blanks and tabs; whether there were any.
    pub(super) fn blanks(&mut self) -> bool {
        !self.take_while(is_blank).is_empty()
    }

    /// Takes at least one blank or fails, naming what must follow it.
    pub(super) fn blanks_before(&mut self, what: &str) -> Parsed<()> {
        if self.blanks() { Ok(()) } else { Err(self.expected(&format!("a blank and {what}"))) }
    }

    /// Takes blank lines, comments, and the blanks before what comes next.
    pub(super) fn skip_blank_lines(&mut self) {
        loop {
            self.blanks();
            if self.peek() == Some('#') {
                self.take_while(|c| c != '\n');
            }
            if !self.newline() {
                return;
            }
        }
    }

    /// Takes the end of a line, a comment before it included, or the end of the file; anything else is a fault.
    pub(super) fn end_of_line(&mut self) -> Parsed<()> {
        self.blanks();
        if self.peek() == Some('#') {
            self.take_while(|c| c != '\n');
        }
        if self.is_end() || self.newline() { Ok(()) } else { Err(self.expected("the end of the line")) }
    }

    /// Takes one line end.
    pub(super) fn newline(&mut self) -> bool {
        self.eat("\r\n") || self.eat("\n")
    }

    pub(super) fn span_from(&self, from: usize) -> Span {
        Span { from, to: self.at }
    }

    /// A fault at the character that stands here.
    pub(super) fn wrong(&self, message: impl Into<String>) -> Wrong {
        let width = self.peek().map_or(0, char::len_utf8);
        Wrong::new(Span { from: self.at, to: self.at + width }, message)
    }

    /// A fault that says what should stand here, and what does.
    pub(super) fn expected(&self, what: &str) -> Wrong {
        self.wrong(format!("expected {what}, found {}", self.found()))
    }

    fn found(&self) -> String {
        match self.peek() {
            None => "the end of the file".to_string(),
            Some('\n' | '\r') => "the end of the line".to_string(),
            Some('\t') => "a tab".to_string(),
            Some(_) => {
                let word: String = self.rest().chars().take_while(|c| !c.is_whitespace()).take(20).collect();
                if word.is_empty() { "a blank".to_string() } else { format!("`{word}`") }
            }
        }
    }
}

/// Hurl's blank: a space or a tab.
pub(super) fn is_blank(c: char) -> bool {
    c == ' ' || c == '\t'
}

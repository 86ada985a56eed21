//! Finds links and form actions in the HTML of a template, and expressions where escaping for HTML is not enough.
//!
//! A small, tolerant scanner that knows tags, attributes, comments and the elements whose content is not HTML
//! (`script`, `style`, `textarea`, `title`). It reads a template's text in source order; where an expression stands in
//! an address there is a hole, and of conditions inside an address only that there is one.

use minijinja::machinery::ast::{Expr, Stmt};

use super::facts::{Link, Part};
use super::{Source, syntax};
use crate::problem::Place;

/// Elements whose content is text, not elements (HTML standard, "raw text" and "escapable raw text").
const TEXT_ELEMENTS: [&str; 4] = ["script", "style", "textarea", "title"];

/// All addresses of a template's HTML, in the order in which their elements end.
pub(super) fn links(source: &Source, tree: &Stmt<'_>) -> Vec<Link> {
    scan(source, tree).links
}

/// Expressions that stand where escaping for HTML does not make a visitor's text harmless.
pub(super) fn hazards(source: &Source, tree: &Stmt<'_>) -> Vec<Hazard> {
    scan(source, tree).hazards
}

fn scan<'a>(source: &'a Source, tree: &Stmt<'_>) -> Scanner<'a> {
    let mut scanner = Scanner { source, at: Position::default(), links: Vec::new(), hazards: Vec::new() };
    scanner.statement(tree);
    scanner.end_form();
    scanner
}

/// An expression in a place where HTML escaping is not enough.
pub(super) struct Hazard {
    pub(super) place: Place,
    pub(super) kind: HazardKind,
}

/// What place that is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum HazardKind {
    /// An attribute's value without quotes: a space in the text would begin another attribute.
    Unquoted,
    /// A script, or an attribute that holds one: the text is read as a program.
    Script,
}

/// Where in the HTML the scanner is.
#[derive(Clone, Default)]
struct Position {
    state: State,
    tag: Tag,
    form: Option<Form>,
}

#[derive(Clone, Default, PartialEq)]
enum State {
    #[default]
    Text,
    /// After `<`.
    Opened,
    /// After `<!`, with what followed.
    Declaration(String),
    Comment(Tail),
    /// In the content of a text element, until its end (`</script`).
    Content(String, Tail),
    TagName,
    BetweenAttributes,
    AttributeName,
    /// After `=`.
    BeforeValue,
    /// In a value, with the quote that ends it.
    Value(Option<char>),
}

/// The last characters, in lower case, to see an end that may be split between pieces.
#[derive(Clone, Default, PartialEq)]
struct Tail(String);

impl Tail {
    fn ends(&mut self, next: char, end: &str) -> bool {
        self.0.push(next.to_ascii_lowercase());
        if self.0.len() > 64 {
            self.0 = self.0.chars().skip(32).collect();
        }
        self.0.ends_with(end)
    }
}

#[derive(Clone, Default)]
struct Tag {
    name: String,
    closing: bool,
    from: usize,
    attributes: Vec<Attribute>,
    /// Whether an expression may give attributes that the text doesn't show.
    open: bool,
}

#[derive(Clone, Default)]
struct Attribute {
    name: String,
    parts: Vec<Part>,
    from: usize,
    to: usize,
}

/// A form that has not ended yet: a hidden `_method` may still change its method.
#[derive(Clone)]
struct Form {
    link: Link,
}

impl Tag {
    fn get(&self, name: &str) -> Option<&Attribute> {
        self.attributes.iter().find(|attribute| attribute.name == name)
    }

    /// A plain text value; `None` when there is no such attribute or an expression in it.
    fn text(&self, name: &str) -> Option<&str> {
        match self.get(name)?.parts.as_slice() {
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }
}

impl Attribute {
    fn push(&mut self, next: char) {
        match self.parts.last_mut() {
            Some(Part::Text(text)) => text.push(next),
            _ => self.parts.push(Part::Text(next.to_string())),
        }
    }

    fn hole(&mut self) {
        if self.parts.last() != Some(&Part::Hole) {
            self.parts.push(Part::Hole);
        }
    }
}

struct Scanner<'a> {
    source: &'a Source,
    at: Position,
    links: Vec<Link>,
    hazards: Vec<Hazard>,
}

impl Scanner<'_> {
    fn statement(&mut self, statement: &Stmt<'_>) {
        match statement {
            Stmt::EmitRaw(node) => self.raw(node.raw, syntax::offset_of(&self.source.text, node.raw)),
            Stmt::EmitExpr(node) => {
                self.hole(node.span().start_offset as usize);
                self.hazard(&node.expr);
            }
            Stmt::Include(node) => self.hole(node.span().start_offset as usize),
            Stmt::Macro(_) | Stmt::SetBlock(_) => self.apart(statement),
            Stmt::Template(_) | Stmt::Block(_) => self.inside(statement),
            _ if matches!(self.at.state, State::Value(_)) => self.condition_in_value(statement),
            _ => self.branches(statement),
        }
    }

    fn inside(&mut self, statement: &Stmt<'_>) {
        for body in syntax::bodies(statement) {
            body.iter().for_each(|inner| self.statement(inner));
        }
    }

    /// A body that is printed elsewhere.
    fn apart(&mut self, statement: &Stmt<'_>) {
        let here = std::mem::take(&mut self.at);
        self.inside(statement);
        self.end_form();
        self.at = here;
    }

    /// Each branch begins where the first one begins; what follows continues the first.
    fn branches(&mut self, statement: &Stmt<'_>) {
        let start = self.at.clone();
        let mut end = None;
        for body in syntax::bodies(statement) {
            self.at = start.clone();
            body.iter().for_each(|inner| self.statement(inner));
            end.get_or_insert_with(|| self.at.clone());
        }
        self.at = end.unwrap_or(start);
    }

    /// A condition or loop inside an address: all that is certain is a hole.
    fn condition_in_value(&mut self, statement: &Stmt<'_>) {
        if syntax::bodies(statement).is_empty() {
            return;
        }
        let start = self.at.clone();
        self.branches(statement);
        let same = self.at.state == start.state && self.at.tag.attributes.len() == start.tag.attributes.len();
        if same {
            self.at = start;
            self.value_hole();
        }
    }

    fn value_hole(&mut self) {
        if let Some(attribute) = self.at.tag.attributes.last_mut() {
            attribute.hole();
        }
    }

    fn hole(&mut self, offset: usize) {
        match self.at.state {
            State::Value(_) => self.value_hole(),
            State::BeforeValue => {
                self.begin_value(None, offset);
                self.value_hole();
            }
            State::TagName | State::BetweenAttributes | State::AttributeName => self.at.tag.open = true,
            _ => {}
        }
    }

    /// Notes an expression where HTML escaping is not enough, unless it is written as JSON.
    fn hazard(&mut self, expression: &Expr<'_>) {
        let json = matches!(expression, Expr::Filter(filter) if matches!(filter.name, "json" | "tojson" | "safe"));
        let script = match &self.at.state {
            State::Content(end, _) => end == "</script",
            State::Value(_) => self.at.tag.attributes.last().is_some_and(|attribute| attribute.name.starts_with("on")),
            _ => false,
        };
        let kind = match self.at.state {
            State::Value(None) => HazardKind::Unquoted,
            _ if script && !json => HazardKind::Script,
            _ => return,
        };
        let place = syntax::place_of_span(self.source, expression.span());
        self.hazards.push(Hazard { place, kind });
    }

    fn raw(&mut self, raw: &str, offset: usize) {
        for (index, next) in raw.char_indices() {
            self.character(next, offset + index);
        }
    }

    fn character(&mut self, next: char, offset: usize) {
        match &mut self.at.state {
            State::Text if next == '<' => {
                self.at.state = State::Opened;
                self.at.tag = Tag { from: offset, ..Tag::default() };
            }
            State::Text => {}
            State::Opened => self.opened(next),
            State::Declaration(_) => self.declaration(next),
            State::Comment(tail) => {
                if tail.ends(next, "-->") {
                    self.at.state = State::Text;
                }
            }
            State::Content(end, tail) => {
                if tail.ends(next, end) {
                    self.at.tag = Tag { name: end[2..].to_string(), closing: true, ..Tag::default() };
                    self.at.state = State::BetweenAttributes;
                }
            }
            State::TagName => match next {
                '>' => self.end_tag(),
                _ if next.is_whitespace() || next == '/' => self.at.state = State::BetweenAttributes,
                _ => self.at.tag.name.push(next.to_ascii_lowercase()),
            },
            State::BetweenAttributes => self.between(next, offset),
            State::AttributeName => self.attribute_name(next, offset),
            State::BeforeValue => self.before_value(next, offset),
            State::Value(quote) => {
                let quote = *quote;
                self.value(next, offset, quote);
            }
        }
    }

    fn opened(&mut self, next: char) {
        self.at.state = match next {
            '!' => State::Declaration(String::new()),
            '?' => State::Declaration("?".to_string()),
            '/' => {
                self.at.tag.closing = true;
                State::TagName
            }
            _ if next.is_ascii_alphabetic() => {
                self.at.tag.name.push(next.to_ascii_lowercase());
                State::TagName
            }
            _ => State::Text,
        };
    }

    fn declaration(&mut self, next: char) {
        let State::Declaration(text) = &mut self.at.state else { return };
        text.push(next);
        if text == "--" {
            self.at.state = State::Comment(Tail::default());
        } else if next == '>' {
            self.at.state = State::Text;
        }
    }

    fn between(&mut self, next: char, offset: usize) {
        match next {
            '>' => self.end_tag(),
            '/' => {}
            // `name = value`.
            '=' if self.at.tag.attributes.last().is_some_and(|last| last.parts.is_empty()) => {
                self.at.state = State::BeforeValue;
            }
            _ if next.is_whitespace() => {}
            _ => {
                let name = next.to_ascii_lowercase().to_string();
                self.at.tag.attributes.push(Attribute { name, from: offset, to: offset, ..Attribute::default() });
                self.at.state = State::AttributeName;
            }
        }
    }

    fn attribute_name(&mut self, next: char, offset: usize) {
        match next {
            '>' => self.end_tag(),
            '=' => self.at.state = State::BeforeValue,
            '/' => self.at.state = State::BetweenAttributes,
            _ if next.is_whitespace() => self.at.state = State::BetweenAttributes,
            _ => {
                if let Some(attribute) = self.at.tag.attributes.last_mut() {
                    attribute.name.push(next.to_ascii_lowercase());
                    attribute.to = offset;
                }
            }
        }
    }

    fn before_value(&mut self, next: char, offset: usize) {
        match next {
            '"' | '\'' => self.begin_value(Some(next), offset + 1),
            '>' => self.end_tag(),
            _ if next.is_whitespace() => {}
            _ => {
                self.begin_value(None, offset);
                self.value(next, offset, None);
            }
        }
    }

    fn begin_value(&mut self, quote: Option<char>, from: usize) {
        self.at.state = State::Value(quote);
        if let Some(attribute) = self.at.tag.attributes.last_mut() {
            (attribute.from, attribute.to) = (from, from);
        }
    }

    fn value(&mut self, next: char, offset: usize, quote: Option<char>) {
        let ends = quote.map_or(next.is_whitespace() || next == '>', |quote| next == quote);
        if let Some(attribute) = self.at.tag.attributes.last_mut() {
            attribute.to = offset;
            if !ends {
                attribute.push(next);
                attribute.to = offset + next.len_utf8();
            }
        }
        if ends {
            self.at.state = State::BetweenAttributes;
            if quote.is_none() && next == '>' {
                self.end_tag();
            }
        }
    }

    fn end_tag(&mut self) {
        let mut tag = std::mem::take(&mut self.at.tag);
        self.at.state = State::Text;
        if tag.closing {
            if tag.name == "form" {
                self.end_form();
            }
            return;
        }
        for attribute in &mut tag.attributes {
            attribute.parts.iter_mut().for_each(resolve_references);
        }
        self.addresses(&tag);
        if TEXT_ELEMENTS.contains(&tag.name.as_str()) {
            self.at.state = State::Content(format!("</{}", tag.name), Tail::default());
        }
    }

    fn addresses(&mut self, tag: &Tag) {
        match tag.name.as_str() {
            "form" => self.begin_form(tag),
            "input" if tag.text("name") == Some("_method") => {
                if let (Some(form), Some(value)) = (&mut self.at.form, tag.text("value")) {
                    form.link.method = method(value);
                }
            }
            _ => {}
        }
        for attribute in &tag.attributes {
            match attribute.name.as_str() {
                "srcset" => self.candidates(tag, attribute),
                name => {
                    if let Some(method) = self.method_of(tag, name) {
                        self.links.push(self.link(tag, attribute, method));
                    }
                }
            }
        }
    }

    /// The method with which an attribute's address is followed (`Some(None)`: an unknown one); `None` when the
    /// attribute is no address.
    fn method_of(&self, tag: &Tag, attribute: &str) -> Option<Option<&'static str>> {
        let plain = attribute.strip_prefix("data-").unwrap_or(attribute);
        match (tag.name.as_str(), plain) {
            ("form", "action") => None,
            (_, "href" | "src" | "poster") | ("object", "data") => Some(Some("GET")),
            (_, "formaction") => Some(match tag.get("formmethod") {
                Some(_) => tag.text("formmethod").and_then(method),
                None => self.at.form.as_ref().and_then(|form| form.link.method),
            }),
            (_, "hx-get") => Some(Some("GET")),
            (_, "hx-post") => Some(Some("POST")),
            (_, "hx-put") => Some(Some("PUT")),
            (_, "hx-patch") => Some(Some("PATCH")),
            (_, "hx-delete") => Some(Some("DELETE")),
            _ => None,
        }
    }

    /// The addresses of a `srcset` that is written out: each up to its first space.
    fn candidates(&mut self, tag: &Tag, attribute: &Attribute) {
        let [Part::Text(text)] = attribute.parts.as_slice() else { return };
        for candidate in text.split(',').filter_map(|candidate| candidate.split_whitespace().next()) {
            let link = self.link(tag, attribute, Some("GET"));
            self.links.push(Link { parts: vec![Part::Text(candidate.to_string())], ..link });
        }
    }

    fn begin_form(&mut self, tag: &Tag) {
        self.end_form();
        let method = match tag.get("method") {
            Some(_) => tag.text("method").and_then(method),
            None if tag.open => None,
            None => Some("GET"),
        };
        let link = match tag.get("action") {
            Some(action) => self.link(tag, action, method),
            // An expression gives the attributes (`{{ f.attrs }}`).
            None if tag.open => return,
            // Without an action a form is sent to its own page.
            None => {
                let nowhere =
                    Attribute { name: "action".into(), from: tag.from, to: tag.from + 5, ..Default::default() };
                self.link(tag, &nowhere, method)
            }
        };
        if tag.text("method").is_none_or(|method| !method.eq_ignore_ascii_case("dialog")) {
            self.at.form = Some(Form { link });
        }
    }

    fn end_form(&mut self) {
        if let Some(form) = self.at.form.take() {
            // Both branches of a condition may end the same form.
            if !self.links.contains(&form.link) {
                self.links.push(form.link);
            }
        }
    }

    fn link(&self, tag: &Tag, attribute: &Attribute, method: Option<&'static str>) -> Link {
        Link {
            method,
            element: tag.name.clone(),
            attribute: attribute.name.clone(),
            parts: attribute.parts.clone(),
            place: Place::of(self.source.file.clone(), &self.source.text, attribute.from, attribute.to),
        }
    }
}

fn method(text: &str) -> Option<&'static str> {
    ["GET", "POST", "PUT", "PATCH", "DELETE"].into_iter().find(|known| known.eq_ignore_ascii_case(text.trim()))
}

/// The few character references that occur in addresses.
fn resolve_references(part: &mut Part) {
    let Part::Text(text) = part else { return };
    if text.contains('&') {
        *text = text.replace("&quot;", "\"").replace("&#39;", "'").replace("&lt;", "<").replace("&gt;", ">");
        *text = text.replace("&amp;", "&");
    }
}

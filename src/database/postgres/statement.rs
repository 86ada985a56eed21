//! Preparing statements: which types their placeholders have, how their columns are read, and keeping them.
//!
//! A statement is first parsed without types. Where the server can't tell one, or takes one that doesn't hold all
//! values of the declared kind, it is parsed again with the declared type. PostgreSQL documentation, chapters "PREPARE"
//! and "Type Conversion".

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;
use std::sync::Arc;

use fallible_iterator::FallibleIterator;
use postgres_protocol::message::backend::Message;
use postgres_protocol::message::frontend;

use super::connect::unexpected;
use super::decode::{self, Shape};
use super::failure::{ServerError, Trouble};
use super::link::{Link, Standing, Step};
use super::types;
use crate::value::{Columns, Declared, Kind};

/// A statement that one link has prepared.
#[derive(Debug)]
pub(super) struct Statement {
    /// Its name on the connection.
    pub(super) name: String,
    /// The names of its columns.
    pub(super) columns: Columns,
    /// How its columns are read.
    pub(super) shapes: Vec<Shape>,
    /// The form in which its columns are asked for.
    pub(super) formats: Vec<i16>,
    /// The types of its placeholders.
    pub(super) parameters: Vec<u32>,
}

/// The statements that one link has prepared, up to a number; the one that was not used for longest goes first.
pub(super) struct Statements {
    kept: HashMap<u64, Kept>,
    most: usize,
    /// Counts uses, and names.
    tick: u64,
}

struct Kept {
    sql: Box<str>,
    kinds: Box<[Declared]>,
    statement: Rc<Statement>,
    used: u64,
}

impl Statements {
    /// None yet; `most` are kept.
    pub(super) fn new(most: usize) -> Statements {
        Statements { kept: HashMap::new(), most: most.max(1), tick: 0 }
    }

    /// The statement, if it is prepared.
    pub(super) fn get(&mut self, sql: &str, kinds: &[Declared]) -> Option<Rc<Statement>> {
        self.tick += 1;
        let kept = self.kept.get_mut(&key(sql, kinds))?;
        if *kept.sql != *sql || *kept.kinds != *kinds {
            return None;
        }
        kept.used = self.tick;
        Some(Rc::clone(&kept.statement))
    }

    /// A name that no statement of the link has had.
    fn new_name(&mut self) -> String {
        self.tick += 1;
        format!("s{}", self.tick)
    }

    /// Keeps a statement; gives back one that must be closed for it.
    fn keep(&mut self, sql: &str, kinds: &[Declared], statement: &Rc<Statement>) -> Option<Rc<Statement>> {
        let oldest = || self.kept.iter().min_by_key(|(_, kept)| kept.used).map(|(key, _)| *key);
        let key = key(sql, kinds);
        let gone = match self.kept.len() < self.most || self.kept.contains_key(&key) {
            true => None,
            false => oldest().and_then(|key| self.kept.remove(&key)),
        };
        let used = self.tick;
        let kept = Kept { sql: sql.into(), kinds: kinds.into(), statement: Rc::clone(statement), used };
        gone.or(self.kept.insert(key, kept)).map(|kept| kept.statement)
    }

    /// Forgets all: the schema has changed.
    pub(super) fn clear(&mut self) {
        self.kept.clear();
    }
}

pub(super) fn key(sql: &str, kinds: &[Declared]) -> u64 {
    let mut hasher = DefaultHasher::new();
    (sql, kinds).hash(&mut hasher);
    hasher.finish()
}

/// What the server makes of a statement.
struct Parsed {
    parameters: Vec<u32>,
    /// Names and types.
    columns: Vec<(Arc<str>, u32)>,
}

/// Prepares a statement on a link and keeps it there. In a transaction it leaves no error behind that would fail it.
pub(super) async fn prepare(link: &mut Link, sql: &str, kinds: &[Declared]) -> Result<Rc<Statement>, Trouble> {
    let name = link.statements.new_name();
    let in_transaction = link.standing() == Standing::Open;
    if in_transaction {
        own(link, "savepoint tableside_prepare").await?;
    }
    let parsed = Attempt { link, name: &name, sql, in_transaction, parsed: false }.resolve(kinds).await?;
    if in_transaction {
        own(link, "release savepoint tableside_prepare").await?;
    }
    let mut shapes = Vec::with_capacity(parsed.columns.len());
    for (_, type_) in &parsed.columns {
        shapes.push(shape(link, *type_).await?);
    }
    let statement = Rc::new(Statement {
        name,
        columns: parsed.columns.iter().map(|(name, _)| Arc::clone(name)).collect(),
        formats: shapes.iter().map(Shape::format).collect(),
        shapes,
        parameters: parsed.parameters,
    });
    if let Some(gone) = link.statements.keep(sql, kinds, &statement) {
        // Goes with the next batch; what it answers is passed over.
        frontend::close(b'S', &gone.name, &mut link.wire.outgoing)?;
    }
    Ok(statement)
}

async fn own(link: &mut Link, sql: &str) -> Result<Option<String>, Trouble> {
    let mut results = link.run(&[Step::Own(sql)]).await.map_err(|stop| stop.trouble)?;
    let rows = results.pop().and_then(Result::ok).unwrap_or_default();
    Ok(rows.cells.first().map(ToString::to_string))
}

/// The shape of a type; that of an array of enums, say, is asked once for each link.
async fn shape(link: &mut Link, type_: u32) -> Result<Shape, Trouble> {
    if let Some(shape) = decode::shape(type_).or_else(|| link.shapes.get(&type_).cloned()) {
        return Ok(shape);
    }
    let question = "select t.typelem || ' ' || e.typdelim::text from pg_catalog.pg_type t \
        join pg_catalog.pg_type e on e.oid = t.typelem where t.typcategory = 'A' and t.oid =";
    let answer = own(link, &format!("{question} {type_}")).await?;
    let element = answer.as_deref().and_then(|answer| {
        let (element, delimiter) = answer.split_once(' ')?;
        Some((element.parse().ok()?, delimiter.chars().next()?))
    });
    let shape = match element {
        Some((element, delimiter)) => Shape::Array(Box::new(decode::shape(element).unwrap_or(Shape::Text)), delimiter),
        None => Shape::Text,
    };
    link.shapes.insert(type_, shape.clone());
    Ok(shape)
}

/// Some operators know only the shorter number.
const INT: Declared = Declared { kind: Kind::Int, list: false };

/// Placeholders that one statement can have by the protocol.
const MOST_PLACEHOLDERS: usize = u16::MAX as usize;

/// The search for the types of a statement's placeholders.
struct Attempt<'a> {
    link: &'a mut Link,
    name: &'a str,
    sql: &'a str,
    in_transaction: bool,
    /// Whether the name is taken by an earlier attempt.
    parsed: bool,
}

impl Attempt<'_> {
    /// Finds types with which the statement parses, as near to the declared ones as may be.
    async fn resolve(mut self, kinds: &[Declared]) -> Result<Parsed, Trouble> {
        let plan = Arc::clone(&self.link.plan);
        if let Some(types) = plan.types.get(self.sql, kinds) {
            match self.parse(&types).await {
                Err(Trouble::Server(_)) => {}
                result => return result,
            }
        }
        let mut types = vec![0; kinds.len()];
        let parsed = match self.parse(&types).await {
            Err(Trouble::Server(error)) if error.is_about_types() => self.help(*error, kinds, &mut types).await?,
            result => result?,
        };
        let parsed = self.widen(parsed, kinds, &mut types).await?;
        plan.types.keep(self.sql, kinds, types);
        Ok(parsed)
    }

    /// After an error about types: tells the server the declared ones, at first only that of the placeholder that it
    /// names.
    async fn help(&mut self, first: ServerError, kinds: &[Declared], types: &mut Vec<u32>) -> Result<Parsed, Trouble> {
        let mut error = first.clone();
        while let Some(index) = error.parameter().map(|number| number - 1) {
            // Where nothing is declared, the length isn't known, either.
            types.resize(types.len().max(index.min(MOST_PLACEHOLDERS) + 1), 0);
            let told = kinds.get(index).map_or(0, |kind| types::declared(*kind));
            match types.get_mut(index) {
                Some(type_) if *type_ == 0 => *type_ = if told == 0 { types::TEXT } else { told },
                _ => break,
            }
            match self.parse(types).await {
                Err(Trouble::Server(next)) if next.is_about_types() => error = *next,
                result => return result,
            }
        }
        let choices: [fn(Declared) -> u32; 4] = [
            types::declared,
            |of| if of.kind == Kind::Text { 0 } else { types::declared(of) },
            |of| if of.kind == Kind::Text { types::declared(of) } else { 0 },
            |of| if of == INT { types::INT4 } else { types::declared(of) },
        ];
        for choice in choices.into_iter().filter(|_| !kinds.is_empty()) {
            *types = kinds.iter().map(|kind| choice(*kind)).collect();
            match self.parse(types).await {
                Err(Trouble::Server(_)) => {}
                result => return result,
            }
        }
        Err(first.into())
    }

    /// Tries types that hold more: for all placeholders at once, else for each by itself.
    async fn widen(&mut self, parsed: Parsed, kinds: &[Declared], types: &mut Vec<u32>) -> Result<Parsed, Trouble> {
        let inferred = parsed.parameters.iter().zip(kinds).enumerate();
        let better = inferred.map(|(index, (type_, kind))| (index, types::better(*kind, *type_)));
        let better: Vec<(usize, Vec<u32>)> = better.filter(|(_, better)| !better.is_empty()).collect();
        if better.is_empty() {
            return Ok(parsed);
        }
        types.resize(types.len().max(kinds.len()), 0);
        let mut all = types.clone();
        for (index, better) in &better {
            all[*index] = better[0];
        }
        let mut last = self.parse_if_it_can(&all).await?;
        if last.is_some() {
            *types = all;
        } else if better.len() > 1 || better[0].1.len() > 1 {
            for (index, type_) in better.iter().flat_map(|(index, better)| better.iter().map(|type_| (*index, *type_)))
            {
                // The last type of a placeholder that fits is the narrowest, so the first one stays.
                if better.iter().any(|(other, better)| *other == index && better.contains(&types[index])) {
                    continue;
                }
                let mut tried = types.clone();
                tried[index] = type_;
                last = self.parse_if_it_can(&tried).await?;
                if last.is_some() {
                    *types = tried;
                }
            }
        }
        match last {
            Some(parsed) => Ok(parsed),
            None => self.parse(types).await,
        }
    }

    /// `None` when the server refuses the types.
    async fn parse_if_it_can(&mut self, types: &[u32]) -> Result<Option<Parsed>, Trouble> {
        match self.parse(types).await {
            Err(Trouble::Server(_)) => Ok(None),
            result => result.map(Some),
        }
    }

    /// Parses the statement under its name, in place of an earlier attempt.
    async fn parse(&mut self, types: &[u32]) -> Result<Parsed, Trouble> {
        let out = &mut self.link.wire.outgoing;
        if self.parsed {
            frontend::close(b'S', self.name, out)?;
        }
        frontend::parse(self.name, self.sql, types.iter().copied(), out)?;
        frontend::describe(b'S', self.name, out)?;
        frontend::sync(out);
        self.link.send().await?;
        let result = self.read().await;
        match result {
            Err(trouble @ Trouble::Server(_)) => {
                // Closing came before the error.
                self.parsed = false;
                let failed = self.link.recover(trouble).await;
                if self.in_transaction {
                    own(self.link, "rollback to savepoint tableside_prepare").await?;
                }
                failed
            }
            result => {
                self.parsed = true;
                result
            }
        }
    }

    async fn read(&mut self) -> Result<Parsed, Trouble> {
        let mut parsed = Parsed { parameters: Vec::new(), columns: Vec::new() };
        loop {
            match self.link.wire.receive().await? {
                Message::ParseComplete | Message::NoData => {}
                Message::ParameterDescription(body) => parsed.parameters = body.parameters().collect()?,
                Message::RowDescription(body) => {
                    let columns = body.fields().map(|field| Ok((Arc::from(field.name()), field.type_oid())));
                    parsed.columns = columns.collect()?;
                }
                Message::ReadyForQuery(body) => {
                    self.link.ready(body.status());
                    return Ok(parsed);
                }
                _ => return Err(unexpected()),
            }
        }
    }
}

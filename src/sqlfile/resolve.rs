//! What the names in statements, conditions and loops stand for.

use super::build::Builder;
use super::compute::Expression;
use super::file::{QueryKind, Statement, Test};
use super::script::{Ask, Bind, Source, When};
use super::server::{Nobody, ServerValue};
use crate::problem::{Fault, Place, suggestion};
use crate::value::{Declared, Kind, Value};

/// A name that stands for nothing: a message and what to do. Whoever asked knows the place.
#[derive(Debug)]
pub(super) struct Unresolved {
    message: String,
    help: String,
}

impl Unresolved {
    fn new(message: impl Into<String>, help: impl Into<String>) -> Unresolved {
        Unresolved { message: message.into(), help: help.into() }
    }

    /// The fault at a place.
    pub(super) fn at(self, place: &Place) -> Fault {
        Fault::error(self.message, place.clone()).help(self.help)
    }
}

impl Builder {
    /// What the conditions of a statement ask.
    pub(super) fn conditions(&mut self, statement: &Statement) -> Vec<When> {
        let mut resolved = Vec::new();
        for condition in &statement.conditions {
            match self.ask(&condition.test) {
                Ok(ask) => resolved.push(When { negated: condition.negated, ask }),
                Err(unresolved) => self.faults.push(unresolved.at(&condition.place)),
            }
        }
        resolved
    }

    fn ask(&mut self, test: &Test) -> Result<Ask, Unresolved> {
        match test {
            Test::Query(name) => match self.result(name) {
                Some((slot, _)) => Ok(Ask::Gave(slot)),
                None => Err(self.no_earlier(name)),
            },
            Test::Given(name) => self.using(name).map(Ask::Given),
            Test::Equals(name, text) => {
                let index = self.using(name)?;
                let parameter = &self.parameters[index];
                let value = parameter.plain(text, &Nobody);
                let value = value.filter(|value| parameter.choices.is_empty() || parameter.choices.contains(value));
                let never = || Unresolved::new(format!("`:{name}` is never `{text}`"), "");
                value.map(|value| Ask::Equals(index, value)).ok_or_else(never)
            }
            Test::Server(name) => self.server_source(name, None).map(Ask::Holds),
        }
    }

    /// The list that a statement runs over.
    pub(super) fn each(&mut self, statement: &Statement) -> Option<Source> {
        let each = statement.each.as_ref()?;
        let source = match each.server {
            true => self.server_source(&each.name, None),
            false => self.using(&each.name).map(Source::Parameter),
        };
        match source {
            Ok(source) if self.is_list(&source) => return Some(source),
            Ok(_) => {
                let help = "declare it with `multiple`, or compute a list with `split`";
                let message = format!("`{}` is not a list", each.name);
                self.faults.push(Unresolved::new(message, help).at(&each.place));
            }
            Err(unresolved) => self.faults.push(unresolved.at(&each.place)),
        }
        None
    }

    /// A parameter by its name, marked as used.
    pub(super) fn using(&mut self, name: &str) -> Result<usize, Unresolved> {
        match self.parameters.iter().position(|parameter| *parameter.name == *name) {
            Some(index) => {
                self.used.insert(index);
                Ok(index)
            }
            None => {
                let near = suggestion(name, self.parameters.iter().map(|parameter| &*parameter.name));
                let declare = format!("declare it in a line of its own: `-- :{name} text`");
                let help = if near.is_empty() { declare } else { near };
                Err(Unresolved::new(format!("`:{name}` is not declared"), help))
            }
        }
    }

    /// Whether an `@name` inside a computed value is known: the server's, or computed before.
    pub(super) fn computed_source(&self, name: &str) -> Result<(), Unresolved> {
        let known = ServerValue::named(name).is_some() || self.computed.iter().any(|value| *value.name == *name);
        match known {
            true => Ok(()),
            false if self.all_names.contains(name.split('.').next().unwrap_or(name)) => {
                Err(Unresolved::new(format!("`@{name}` is not known yet"), "values are computed before any query runs"))
            }
            false => Err(self.unknown_server(name)),
        }
    }

    /// Where an `@name` or `@name.column` of a statement comes from. `element` is the name that `each=@name` runs over.
    pub(super) fn server_source(&mut self, name: &str, element: Option<&str>) -> Result<Source, Unresolved> {
        if element == Some(name) {
            return Ok(Source::Element);
        }
        if let Some((query, column)) = name.split_once('.') {
            return self.column_source(query, column);
        }
        if let Some(index) = self.computed.iter().position(|value| *value.name == *name) {
            return Ok(Source::Computed(index));
        }
        if let Some(value) = ServerValue::named(name) {
            return Ok(Source::Server(self.server_index(value)));
        }
        match self.result(name) {
            Some((slot, QueryKind::Value)) => Ok(Source::Value(slot)),
            Some((_, QueryKind::One | QueryKind::Maybe)) => {
                Err(Unresolved::new(format!("`@{name}` is a row"), format!("name one of its columns: `@{name}.id`")))
            }
            Some((_, QueryKind::Exec)) => {
                let help = format!("the number of changed rows is `@{name}.count`");
                Err(Unresolved::new(format!("`@{name}` gives no value"), help))
            }
            Some(_) => Err(Unresolved::new(format!("`@{name}` is not a single value"), SINGLE_ROWS)),
            None if self.all_names.contains(name) => Err(self.no_earlier(name)),
            None => Err(self.unknown_server(name)),
        }
    }

    fn column_source(&self, query: &str, column: &str) -> Result<Source, Unresolved> {
        match self.result(query) {
            Some((slot, QueryKind::One | QueryKind::Maybe)) => Ok(Source::Column(slot, column.into())),
            Some((slot, QueryKind::Exec)) if column == "count" => Ok(Source::Changed(slot)),
            Some((_, QueryKind::Exec)) => {
                let help = format!("write `@{query}.count`");
                Err(Unresolved::new("an `:exec` gives nothing but its `count`", help))
            }
            Some((_, QueryKind::Value)) => {
                Err(Unresolved::new(format!("`{query}` is a single value"), format!("write `@{query}`")))
            }
            Some(_) => Err(Unresolved::new(format!("`{query}` gives no single row"), SINGLE_ROWS)),
            None => Err(self.no_earlier(query)),
        }
    }

    fn server_index(&mut self, value: ServerValue) -> usize {
        self.server.iter().position(|known| *known == value).unwrap_or_else(|| {
            self.server.push(value);
            self.server.len() - 1
        })
    }

    /// The slot and the kind of an earlier result.
    fn result(&self, name: &str) -> Option<(usize, &QueryKind)> {
        let slot = self.names.iter().position(|known| **known == *name)?;
        Some((slot, &self.kinds[slot]))
    }

    /// Whether a source gives a list.
    pub(super) fn is_list(&self, source: &Source) -> bool {
        match source {
            Source::Parameter(index) => self.parameters[*index].multiple,
            Source::Computed(index) => self.computed[*index].expression.is_list(),
            Source::Server(index) => self.server[*index] == ServerValue::Roles,
            Source::Element | Source::Column(..) | Source::Value(_) | Source::Changed(_) => false,
        }
    }

    /// The kind of value that a placeholder takes. `each` is the list that its statement runs over.
    pub(super) fn declared(&self, bind: &Bind, each: Option<&Source>) -> Declared {
        Declared { kind: self.kind_of(&bind.source, each), list: bind.list }
    }

    /// The kind of a source's value; of a list, that of its items.
    fn kind_of(&self, source: &Source, each: Option<&Source>) -> Kind {
        match source {
            Source::Parameter(index) => self.parameters[*index].kind.of_value(),
            Source::Server(index) => self.server[*index].kind(),
            Source::Computed(index) => self.kind_of_computed(*index),
            Source::Element => each.map_or(Kind::Any, |list| self.kind_of(list, None)),
            Source::Column(..) | Source::Value(_) => Kind::Any,
            Source::Changed(_) => Kind::Int,
        }
    }

    fn kind_of_computed(&self, index: usize) -> Kind {
        match &self.computed[index].expression {
            Expression::Literal(Value::Int(_)) => Kind::Int,
            Expression::Literal(_) => Kind::Text,
            Expression::Moment(moving) => moving.kind(),
            Expression::Call(function, _) => function.kind(),
            Expression::Parameter(name) => {
                let parameter = self.parameters.iter().find(|parameter| parameter.name == *name);
                parameter.map_or(Kind::Any, |parameter| parameter.kind.of_value())
            }
            // A value is computed only of those before it.
            Expression::Server(name) => match self.computed[..index].iter().position(|value| value.name == *name) {
                Some(before) => self.kind_of_computed(before),
                None => ServerValue::named(name).map_or(Kind::Any, ServerValue::kind),
            },
        }
    }

    /// Whether a name inside a computed value is that of a list.
    pub(super) fn names_list(&self, name: &str, server: bool) -> bool {
        match server {
            false => self.parameters.iter().any(|parameter| *parameter.name == *name && parameter.multiple),
            true => {
                name == ServerValue::Roles.name()
                    || self.computed.iter().any(|value| *value.name == *name && value.expression.is_list())
            }
        }
    }

    fn no_earlier(&self, name: &str) -> Unresolved {
        match self.all_names.contains(name) {
            true => Unresolved::new(format!("`{name}` runs later than this"), "move it further up"),
            false => {
                let near = suggestion(name, self.names.iter().map(|name| &**name));
                Unresolved::new(format!("no earlier query is named `{name}`"), near)
            }
        }
    }

    fn unknown_server(&self, name: &str) -> Unresolved {
        let known = ServerValue::ALL.iter().map(|value| value.name());
        let known = known.chain(self.computed.iter().map(|value| &*value.name)).chain(self.names.iter().map(|n| &**n));
        let near = suggestion(name, known);
        let help = match near.is_empty() {
            true => format!("a value from the visitor is `:{name}`, a computed one needs a line `-- @{name} = …`"),
            false => near,
        };
        Unresolved::new(format!("there is no `@{name}`"), help)
    }
}

const SINGLE_ROWS: &str = "only `:one`, `:maybe` and `:value` queries give values to later ones";

/// Whether a value equals the one that a condition names; of a list, whether it is in it.
pub(super) fn equals(value: &Value, wanted: &Value) -> bool {
    match value {
        Value::List(items) => items.contains(wanted),
        value => value == wanted,
    }
}

//! Joining a query file with what it uses, and making its statements ready.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::compute::Computed;
use super::file::{QueryFile, QueryKind, Statement, Test};
use super::parameter::{Parameter, Type};
use super::script::{Ask, Query, Script, Selection, Source, When};
use super::server::{Nobody, ServerValue, Surroundings};
use super::tokens::{TokenKind, tokenize};
use super::write::{Part, write};
use super::{Arguments, Sent};
use crate::problem::{Fault, FieldErrors, Kind, Place, Problem, suggestion};
use crate::value::Value;

/// The most parameters of a script: a bit each tells which were given.
const MOST_PARAMETERS: usize = 128;

impl Script {
    /// Joins a file with the files that it uses. `path_parameters` are the names in the route, in its order; `load`
    /// gives a parsed file by its path in the site, such as `/_products.sql`. Faults of the files on their own were
    /// told by [`parse`](super::parse) and are not repeated.
    pub fn build(
        file: &Arc<QueryFile>,
        path_parameters: &[Arc<str>],
        load: &mut dyn FnMut(&str) -> Option<Arc<QueryFile>>,
    ) -> (Script, Vec<Fault>) {
        let mut faults = Vec::new();
        let files = joined(file, load, &mut faults);
        let parameters = parameters(&files, path_parameters, &mut faults);
        let mut builder = Builder {
            parameters,
            computed: Vec::new(),
            server: server_values(&files),
            names: Vec::new(),
            kinds: Vec::new(),
            parts: parts(&files),
            used: BTreeSet::new(),
            faults,
        };
        builder.compute(&files);
        let queries = builder.queries(&files);
        let own = |parameter: &Parameter| {
            parameter.place.as_ref().is_some_and(|place| place.file == file.path) && !parameter.from_path
        };
        let unused = (0..builder.parameters.len())
            .filter(|index| !builder.used.contains(index) && own(&builder.parameters[*index]))
            .collect();
        let mut directives = file.directives.clone();
        for used in files.iter().filter(|used| used.path != file.path) {
            directives.errors.extend(used.directives.errors.iter().cloned());
        }
        let reads_time = builder.computed.iter().any(|value| value.expression.reads_time());
        let script = Script {
            path: file.path.clone(),
            parameters: builder.parameters,
            computed: builder.computed,
            directives,
            queries,
            names: builder.names,
            server: builder.server,
            reads_time,
            unused,
        };
        (script, builder.faults)
    }

    /// A parameter by its name.
    pub fn parameter(&self, name: &str) -> Option<&Parameter> {
        self.parameters.iter().find(|parameter| &*parameter.name == name)
    }

    /// Declared parameters that no statement, condition, computed value or directive of the script uses, as warnings;
    /// `used_elsewhere` tells which ones a template reads (`params.q`). Those of shared files are left out.
    pub fn unused_parameters(&self, used_elsewhere: &dyn Fn(&str) -> bool) -> Vec<Fault> {
        let unused = self.unused.iter().map(|index| &self.parameters[*index]);
        unused
            .filter(|parameter| !used_elsewhere(&parameter.name))
            .filter_map(|parameter| {
                let place = parameter.place.clone()?;
                let fault = Fault::warning(format!("nothing uses `:{}`", parameter.name), place);
                Some(fault.help("use it in a statement, or remove the line"))
            })
            .collect()
    }

    /// The queries of these names with all that they depend on, and every `:require`. Unknown names are left out.
    pub fn select(&self, names: &[&str]) -> Selection {
        let mut chosen: Vec<bool> = self
            .queries
            .iter()
            .map(|query| names.contains(&&*query.name) || matches!(query.kind, QueryKind::Require(_)))
            .collect();
        // What a statement depends on stands before it, so one way back finds all.
        for index in (0..self.queries.len()).rev().filter(|index| chosen[*index]).collect::<Vec<_>>() {
            self.choose(index, &mut chosen);
        }
        Selection(chosen.into())
    }

    fn choose(&self, index: usize, chosen: &mut [bool]) {
        chosen[index] = true;
        for slot in self.queries[index].depends_on() {
            for (before, query) in self.queries.iter().enumerate().take(index) {
                if query.slot == slot && !chosen[before] {
                    self.choose(before, chosen);
                }
            }
        }
    }

    /// Converts all parameters. `sent` gives what the visitor sent for each.
    ///
    /// # Errors
    /// [`Kind::NotFound`](crate::problem::Kind::NotFound) when a path parameter doesn't convert, else
    /// [`Kind::Invalid`](crate::problem::Kind::Invalid) with a message for each field that doesn't.
    pub fn arguments<'a>(
        &self,
        around: &dyn Surroundings,
        sent: &mut dyn FnMut(&Parameter) -> Sent<'a>,
    ) -> Result<Arguments, Problem> {
        let mut arguments = Arguments::default();
        let mut errors = FieldErrors::default();
        for parameter in &self.parameters {
            let sent = sent(parameter);
            let given = !matches!(sent, Sent::Absent);
            let converted = match sent {
                Sent::Absent => parameter.convert(&[], around),
                Sent::Text(text) => parameter.convert(&[text], around),
                Sent::Texts(texts) => parameter.convert(&texts, around),
                Sent::Json(json) => parameter.convert_json(json, around),
            };
            match converted {
                Ok(value) => arguments.push(value, given),
                Err(_) if parameter.from_path => return Err(Problem::not_found()),
                Err(message) => {
                    errors.add(parameter.name.clone(), message);
                    arguments.push(Value::Null, given);
                }
            }
        }
        match errors.is_empty() {
            true => Ok(arguments),
            false => Err(Problem::new(Kind::Invalid(errors), "Please check what you entered.")),
        }
    }
}

impl Query {
    /// The place in the author's files that a byte of [`Query::sql`] comes from.
    pub fn place_of(&self, offset: usize) -> Place {
        self.map.place(offset).unwrap_or_else(|| self.place.clone())
    }

    /// Whether it runs under a condition, so that its result may be empty although its kind says otherwise.
    pub fn is_conditional(&self) -> bool {
        !self.conditions.is_empty()
    }

    /// The slots of the results that it needs.
    fn depends_on(&self) -> Vec<usize> {
        let slot = |source: &Source| match source {
            Source::Column(slot, _) | Source::Value(slot) | Source::Changed(slot) => Some(*slot),
            _ => None,
        };
        let binds = self.binds.iter().filter_map(|bind| slot(&bind.source));
        let conditions = self.conditions.iter().filter_map(|when| match &when.ask {
            Ask::Gave(slot) => Some(*slot),
            Ask::Holds(source) => slot(source),
            Ask::Given(_) | Ask::Equals(..) => None,
        });
        binds.chain(conditions).chain(self.each.as_ref().and_then(slot)).collect()
    }
}

/// The file and all that it uses, each once, used ones first.
fn joined(
    file: &Arc<QueryFile>,
    load: &mut dyn FnMut(&str) -> Option<Arc<QueryFile>>,
    faults: &mut Vec<Fault>,
) -> Vec<Arc<QueryFile>> {
    fn join(
        file: &Arc<QueryFile>,
        load: &mut dyn FnMut(&str) -> Option<Arc<QueryFile>>,
        files: &mut Vec<Arc<QueryFile>>,
        seen: &mut BTreeSet<Arc<str>>,
        faults: &mut Vec<Fault>,
    ) {
        if !seen.insert(file.path.clone()) {
            return;
        }
        for used in &file.uses {
            match load(&used.file) {
                Some(next) => join(&next, load, files, seen, faults),
                None => faults.push(
                    Fault::error(format!("there is no query file `{}`", used.file), used.place.clone())
                        .help("write its path below pages/, such as /_products.sql"),
                ),
            }
        }
        files.push(file.clone());
    }
    let mut files = Vec::new();
    join(file, load, &mut files, &mut BTreeSet::new(), faults);
    files
}

/// The parameters: those of the path in its order, then the file's own, then those of used files.
fn parameters(files: &[Arc<QueryFile>], path: &[Arc<str>], faults: &mut Vec<Fault>) -> Vec<Parameter> {
    let mut declared: Vec<Parameter> = Vec::new();
    // The file itself stands last; what it declares wins over a used file's line of the same name.
    for parameter in files.iter().rev().flat_map(|file| &file.parameters) {
        if !declared.iter().any(|known| known.name == parameter.name) {
            declared.push(parameter.clone());
        }
    }
    let mut parameters: Vec<Parameter> = path
        .iter()
        .map(|name| {
            let line = declared.iter().position(|parameter| parameter.name == *name).map(|at| declared.remove(at));
            let parameter = line.unwrap_or_else(|| Parameter::new(name.clone(), Type::Text));
            Parameter { from_path: true, required: true, ..parameter }
        })
        .collect();
    parameters.extend(declared);
    if let (true, Some(place)) = (parameters.len() > MOST_PARAMETERS, parameters.iter().find_map(|p| p.place.clone())) {
        faults.push(Fault::error(format!("more than {MOST_PARAMETERS} parameters"), place));
        parameters.truncate(MOST_PARAMETERS);
    }
    parameters
}

/// Every server value that the files name, sorted.
fn server_values(files: &[Arc<QueryFile>]) -> Vec<ServerValue> {
    let mut values = BTreeSet::new();
    let mut see = |name: &str| values.extend(ServerValue::named(name));
    for file in files {
        for statement in &file.statements {
            let sql = &file.source[statement.text.clone()];
            for token in tokenize(sql, file.dialect).iter().filter(|token| token.kind == TokenKind::Server) {
                see(&token.text(sql)[1..]);
            }
            for condition in &statement.conditions {
                if let Test::Server(name) = &condition.test {
                    see(name);
                }
            }
            if let Some(each) = statement.each.as_ref().filter(|each| each.server) {
                see(&each.name);
            }
        }
        for computed in &file.computed {
            computed.expression.names(&mut |name, server| {
                if server {
                    see(name);
                }
            });
            if computed.expression.asks_roles() {
                see("roles");
            }
        }
    }
    values.into_iter().collect()
}

/// The shared parts (`:with`) of all files by name; a later file's wins.
fn parts(files: &[Arc<QueryFile>]) -> BTreeMap<String, Part> {
    let statements = files.iter().flat_map(|file| file.statements.iter().map(move |statement| (file, statement)));
    statements
        .filter(|(_, statement)| statement.kind == QueryKind::With)
        .map(|(file, statement)| {
            (statement.name.to_lowercase(), Part { file: file.clone(), statement: statement.clone() })
        })
        .collect()
}

/// Makes a script's statements, one after another.
pub(super) struct Builder {
    pub(super) parameters: Vec<Parameter>,
    pub(super) computed: Vec<Computed>,
    pub(super) server: Vec<ServerValue>,
    /// The names of the results so far.
    pub(super) names: Vec<Arc<str>>,
    /// The kind of each of them.
    pub(super) kinds: Vec<QueryKind>,
    pub(super) parts: BTreeMap<String, Part>,
    /// The parameters that something uses.
    pub(super) used: BTreeSet<usize>,
    pub(super) faults: Vec<Fault>,
}

impl Builder {
    /// Checks the computed values; each may use those before it.
    fn compute(&mut self, files: &[Arc<QueryFile>]) {
        for computed in files.iter().flat_map(|file| &file.computed) {
            let mut wrong = None;
            computed.expression.names(&mut |name, server| {
                let known = match server {
                    false => self.parameter(name).is_some(),
                    true => ServerValue::named(name).is_some() || self.computed.iter().any(|known| known.name == *name),
                };
                if !known {
                    wrong = Some((name.clone(), server));
                }
            });
            let parameters = &self.parameters;
            let used = &mut self.used;
            computed.expression.names(&mut |name, server| {
                if !server {
                    used.extend(parameters.iter().position(|parameter| parameter.name == *name));
                }
            });
            if let Some((name, server)) = wrong {
                let fault = if server { self.unknown_server(&name) } else { self.undeclared(&name) };
                self.faults.push(Fault { place: Some(computed.place.clone()), ..fault });
            }
            if let Some(before) = self.computed.iter().position(|known| known.name == computed.name) {
                self.computed.remove(before);
            }
            self.computed.push(computed.clone());
        }
    }

    fn queries(&mut self, files: &[Arc<QueryFile>]) -> Vec<Query> {
        let mut queries: Vec<Query> = Vec::new();
        for file in files {
            for statement in file.statements.iter().filter(|statement| statement.kind != QueryKind::With) {
                let query = self.query(file, statement, &queries);
                queries.push(query);
            }
        }
        queries
    }

    fn query(&mut self, file: &Arc<QueryFile>, statement: &Statement, before: &[Query]) -> Query {
        let conditions = self.conditions(statement);
        let each = self.each(statement);
        let written = write(self, file, statement);
        let slot = self.slot(statement, before);
        Query {
            name: statement.name.clone(),
            kind: statement.kind.clone(),
            more: statement.more.and_then(|more| usize::try_from(more).ok()),
            sql: written.sql.into(),
            binds: written.binds,
            slot,
            place: statement.place.clone(),
            conditions,
            each,
            map: written.map,
        }
    }

    /// The place of a statement's result. Statements share a name only when each has a condition.
    fn slot(&mut self, statement: &Statement, before: &[Query]) -> usize {
        let Some(slot) = self.names.iter().position(|name| *name == statement.name) else {
            self.names.push(statement.name.clone());
            self.kinds.push(statement.kind.clone());
            return self.names.len() - 1;
        };
        let require = matches!(statement.kind, QueryKind::Require(_));
        let all_conditional = !statement.conditions.is_empty()
            && before.iter().filter(|query| query.slot == slot).all(Query::is_conditional);
        if !all_conditional && !require {
            self.faults.push(
                Fault::error(format!("there are two statements named `{}`", statement.name), statement.place.clone())
                    .help("rename one of them, or give each a `when=`"),
            );
        }
        slot
    }

    fn conditions(&mut self, statement: &Statement) -> Vec<When> {
        let mut resolved = Vec::new();
        for condition in &statement.conditions {
            match self.ask(&condition.test) {
                Ok(ask) => resolved.push(When { negated: condition.negated, ask }),
                Err(fault) => self.faults.push(Fault { place: Some(condition.place.clone()), ..fault }),
            }
        }
        resolved
    }

    fn ask(&mut self, test: &Test) -> Result<Ask, Fault> {
        match test {
            Test::Query(name) => match self.names.iter().position(|known| known == name) {
                Some(slot) => Ok(Ask::Gave(slot)),
                None => Err(Fault::everywhere(format!("no earlier query is named `{name}`"))
                    .help(suggestion(name, self.names.iter().map(|name| &**name)))),
            },
            Test::Given(name) => self.using(name).map(Ask::Given),
            Test::Equals(name, text) => {
                let index = self.using(name)?;
                match self.parameters[index].plain(text, &Nobody) {
                    Some(value) => Ok(Ask::Equals(index, value)),
                    None => Err(Fault::everywhere(format!("`:{name}` can never be `{text}`"))),
                }
            }
            Test::Server(name) => self.server_source(name, None).map(Ask::Holds),
        }
    }

    /// A parameter by name, marked as used.
    pub(super) fn using(&mut self, name: &str) -> Result<usize, Fault> {
        let index = self.parameter(name).ok_or_else(|| self.undeclared(name))?;
        self.used.insert(index);
        Ok(index)
    }

    fn each(&mut self, statement: &Statement) -> Option<Source> {
        let each = statement.each.as_ref()?;
        let source = match each.server {
            true => self.server_source(&each.name, None),
            false => self.using(&each.name).map(Source::Parameter),
        };
        let source = source.and_then(|source| match self.is_list(&source) {
            true => Ok(source),
            false => Err(Fault::everywhere(format!("`{}` is no list", each.name))
                .help("declare it with `multiple`, or compute a list with `split`")),
        });
        source.map_err(|fault| self.faults.push(Fault { place: Some(each.place.clone()), ..fault })).ok()
    }

    /// Where an `@name` or `@name.column` comes from.
    pub(super) fn server_source(&self, name: &str, element: Option<&str>) -> Result<Source, Fault> {
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
            let index = self.server.binary_search(&value);
            return index.map(Source::Server).map_err(|_| self.unknown_server(name));
        }
        match self.names.iter().position(|known| **known == *name).map(|slot| (slot, &self.kinds[slot])) {
            Some((slot, QueryKind::Value)) => Ok(Source::Value(slot)),
            Some((_, QueryKind::One | QueryKind::Maybe)) => {
                Err(Fault::everywhere(format!("`@{name}` is a row")).help(format!("write `@{name}.column`")))
            }
            Some((_, QueryKind::Exec)) => {
                Err(Fault::everywhere(format!("`@{name}` gives no value")).help(format!("write `@{name}.count`")))
            }
            Some(_) => Err(Fault::everywhere(format!("`@{name}` has many rows"))
                .help("only `:one`, `:maybe` and `:value` queries give values to later ones")),
            None => Err(self.unknown_server(name)),
        }
    }

    fn column_source(&self, query: &str, column: &str) -> Result<Source, Fault> {
        match self.names.iter().position(|known| **known == *query).map(|slot| (slot, &self.kinds[slot])) {
            Some((slot, QueryKind::One | QueryKind::Maybe)) => Ok(Source::Column(slot, column.into())),
            Some((slot, QueryKind::Exec)) if column == "count" => Ok(Source::Changed(slot)),
            Some((_, QueryKind::Exec)) => Err(Fault::everywhere(format!("an `:exec` gives only `@{query}.count`"))),
            Some(_) => Err(Fault::everywhere(format!("`{query}` gives no single row"))
                .help("only `:one` and `:maybe` queries give columns to later ones")),
            None => Err(Fault::everywhere(format!("no earlier query is named `{query}`"))
                .help(suggestion(query, self.names.iter().map(|name| &**name)))),
        }
    }

    pub(super) fn is_list(&self, source: &Source) -> bool {
        match source {
            Source::Parameter(index) => self.parameters[*index].multiple,
            Source::Computed(index) => self.computed[*index].expression.is_list(),
            Source::Server(index) => self.server[*index] == ServerValue::Roles,
            _ => false,
        }
    }

    fn parameter(&self, name: &str) -> Option<usize> {
        self.parameters.iter().position(|parameter| *parameter.name == *name)
    }

    fn undeclared(&self, name: &str) -> Fault {
        let near = suggestion(name, self.parameters.iter().map(|parameter| &*parameter.name));
        let help = if near.is_empty() { format!("declare it at the top of the file: -- :{name}  text") } else { near };
        Fault::everywhere(format!("`:{name}` is not declared")).help(help)
    }

    fn unknown_server(&self, name: &str) -> Fault {
        let known = ServerValue::ALL.iter().map(|value| value.name());
        let known = known.chain(self.computed.iter().map(|value| &*value.name)).chain(self.names.iter().map(|n| &**n));
        let near = suggestion(name, known);
        let help = match near.is_empty() {
            true => format!("a visitor's value is written `:{name}`; a computed one needs a line `-- @{name} = …`"),
            false => near,
        };
        Fault::everywhere(format!("there is no `@{name}`")).help(help)
    }
}

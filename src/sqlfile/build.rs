//! Joining a query file with what it uses, and making its statements ready.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::compute::Computed;
use super::directive_lines::Keyword;
use super::directives::{Directives, LimitBy, Redirect};
use super::file::{QueryFile, QueryKind, Statement};
use super::parameter::{Parameter, Type};
use super::script::{Query, Script};
use super::selection::{Selection, server_values};
use super::server::ServerValue;
use super::write::{Part, write};
use crate::problem::{Fault, Place};

/// The most parameters of a script: a bit each tells which were given.
const MOST_PARAMETERS: usize = 128;

impl Script {
    /// Joins a file with the files that it uses. `path_parameters` are the names in the route, in its order; `load`
    /// gives a parsed file by its path in the site, such as `/_products.sql`. Faults of the files on their own were
    /// told by [`parse`](super::parse()) and are not repeated.
    pub fn build(
        file: &Arc<QueryFile>,
        path_parameters: &[Arc<str>],
        load: &mut dyn FnMut(&str) -> Option<Arc<QueryFile>>,
    ) -> (Script, Vec<Fault>) {
        let mut faults = Vec::new();
        let files = joined(file, load, &mut faults);
        let parameters = parameters(&files, path_parameters, &mut faults);
        let mut builder = Builder::new(parameters, &files, faults);
        builder.compute(&files);
        let queries = builder.queries(&files);
        builder.check_parts();
        let directives = builder.directives(file, &files);
        let unused = builder.unused(file);
        let Builder { parameters, computed, server, names, mut faults, .. } = builder;
        // A part that stands in several statements tells its faults in each.
        let mut told = Vec::new();
        faults.retain(|fault| {
            !told.contains(fault) && {
                told.push(fault.clone());
                true
            }
        });
        let mut script = Script {
            path: file.path.clone(),
            dialect: file.dialect,
            parameters,
            computed,
            directives,
            queries,
            names,
            server,
            reads_time: false,
            unused,
            whole: Selection::default(),
        };
        script.whole = script.select_by(|_| true);
        script.note_what_is_read();
        (script, faults)
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

    /// Adds what the computed values that queries need read beside what is bound.
    fn note_what_is_read(&mut self) {
        let needed = self.computed.iter().enumerate().filter(|(index, _)| self.whole.computed(*index));
        for (_, computed) in needed {
            self.reads_time |= computed.expression.reads_time();
            for value in server_values(computed) {
                if !self.server.contains(&value) {
                    self.server.push(value);
                }
            }
        }
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
    let mut parameters: Vec<Parameter> = Vec::with_capacity(path.len() + declared.len());
    for name in path {
        let line = declared.iter().position(|parameter| parameter.name == *name).map(|at| declared.remove(at));
        let parameter = line.unwrap_or_else(|| Parameter::new(name.clone(), Type::Text));
        let fits = !parameter.multiple && !matches!(parameter.kind, Type::File | Type::Bool | Type::Json);
        if let (false, Some(place)) = (fits, &parameter.place) {
            let help = "give it another type, and leave out `multiple`";
            let message = format!("`:{name}` is a part of the path, which can't hold this");
            faults.push(Fault::error(message, place.clone()).help(help));
        }
        // Nothing can stand in for a part of the path: without it the address is another one.
        parameters.push(Parameter { from_path: true, required: true, default: None, ..parameter });
    }
    parameters.extend(declared);
    if let Some(place) = parameters.get(MOST_PARAMETERS).and_then(|parameter| parameter.place.clone()) {
        faults.push(Fault::error(format!("a script has at most {MOST_PARAMETERS} parameters"), place));
        parameters.truncate(MOST_PARAMETERS);
    }
    parameters
}

/// Makes a script's statements, one after another.
pub(super) struct Builder {
    pub(super) parameters: Vec<Parameter>,
    pub(super) computed: Vec<Computed>,
    /// The server values that are bound or asked so far.
    pub(super) server: Vec<ServerValue>,
    /// The names of the results so far.
    pub(super) names: Vec<Arc<str>>,
    /// The kind of each of them.
    pub(super) kinds: Vec<QueryKind>,
    /// The names of all statements that run, also of those still to come.
    pub(super) all_names: BTreeSet<Arc<str>>,
    /// The shared parts (`:with`) of all files.
    pub(super) parts: Vec<Part>,
    /// The parameters that something uses.
    pub(super) used: BTreeSet<usize>,
    pub(super) faults: Vec<Fault>,
}

impl Builder {
    fn new(parameters: Vec<Parameter>, files: &[Arc<QueryFile>], faults: Vec<Fault>) -> Builder {
        let mut builder = Builder {
            parameters,
            computed: Vec::new(),
            server: Vec::new(),
            names: Vec::new(),
            kinds: Vec::new(),
            all_names: BTreeSet::new(),
            parts: Vec::new(),
            used: BTreeSet::new(),
            faults,
        };
        for file in files {
            for statement in &file.statements {
                match statement.kind {
                    QueryKind::With => builder.part(file, statement),
                    _ => drop(builder.all_names.insert(statement.name.clone())),
                }
            }
        }
        builder
    }

    /// Adds a shared part; databases compare such names without their case.
    fn part(&mut self, file: &Arc<QueryFile>, statement: &Statement) {
        let part = Part { name: statement.name.to_lowercase(), file: file.clone(), statement: statement.clone() };
        match self.parts.iter().any(|known| known.name == part.name) {
            true => {
                self.fault(format!("there are two `:with` statements named `{}`", statement.name), &statement.place)
            }
            false => self.parts.push(part),
        }
    }

    pub(super) fn fault(&mut self, message: String, place: &Place) {
        self.faults.push(Fault::error(message, place.clone()));
    }

    /// Checks the computed values; each may use those before it.
    fn compute(&mut self, files: &[Arc<QueryFile>]) {
        for computed in files.iter().flat_map(|file| &file.computed) {
            computed.expression.names(&mut |name, server| {
                let known = match server {
                    false => self.using(name).map(drop),
                    true => self.computed_source(name),
                };
                if let Err(fault) = known {
                    self.faults.push(fault.at(&computed.place));
                }
            });
            computed.expression.single_names(&mut |name, server| {
                let sign = if server { '@' } else { ':' };
                if self.names_list(name, server) {
                    self.fault(format!("`{sign}{name}` is a list, which no value is computed of"), &computed.place);
                }
            });
            match self.computed.iter().any(|known| known.name == computed.name) {
                true => self.fault(format!("`@{}` is computed in another file, too", computed.name), &computed.place),
                false => self.computed.push(computed.clone()),
            }
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
            kinds: written.binds.iter().map(|bind| self.declared(bind, each.as_ref())).collect(),
            binds: written.binds,
            slot,
            place: statement.place.clone(),
            conditions,
            each,
            map: written.map,
        }
    }

    /// The place of a statement's result. Statements share a name only when each has a condition, and only with
    /// others of their kind, so that a template sees the same thing whichever runs.
    fn slot(&mut self, statement: &Statement, before: &[Query]) -> usize {
        let Some(slot) = self.names.iter().position(|name| *name == statement.name) else {
            self.names.push(statement.name.clone());
            self.kinds.push(statement.kind.clone());
            return self.names.len() - 1;
        };
        let name = &statement.name;
        let others = before.iter().filter(|query| query.slot == slot);
        if statement.conditions.is_empty() || !others.clone().all(Query::is_conditional) {
            let fault = Fault::error(format!("there are two statements named `{name}`"), statement.place.clone());
            self.faults.push(fault.help("rename one of them, or give each a `when=` or `unless=`"));
        } else if std::mem::discriminant(&self.kinds[slot]) != std::mem::discriminant(&statement.kind) {
            self.fault(format!("statements that share the name `{name}` are of one kind"), &statement.place);
        }
        slot
    }

    /// Writes each part by itself, so that the faults of those that no statement names are told, too.
    fn check_parts(&mut self) {
        let bound = self.server.len();
        for part in self.parts.clone() {
            write(self, &part.file, &part.statement);
        }
        // What only such a part would bind is never read.
        self.server.truncate(bound);
    }

    /// The directives: the file's own, and the `error:` messages of used files.
    fn directives(&mut self, file: &QueryFile, files: &[Arc<QueryFile>]) -> Directives {
        let mut directives = file.directives.clone();
        for used in files.iter().filter(|used| used.path != file.path) {
            directives.errors.extend(used.directives.errors.iter().cloned());
            for keyword in only_of_routes(&used.directives) {
                let place = file.uses.iter().find(|line| used.path.ends_with(&*line.file)).or(file.uses.first());
                if let Some(place) = place.map(|line| line.place.clone()) {
                    let message = format!("`{}` has a `{}:`, which does nothing here", used.path, keyword.name());
                    let help = "a shared file gives declarations, queries and `error:` messages";
                    self.faults.push(Fault::warning(message, place).help(help));
                }
            }
        }
        for (keyword, column) in [(Keyword::Login, &directives.login), (Keyword::Register, &directives.register)] {
            let Some(column) = column else { continue };
            let found = self.names.iter().position(|name| *name == column.query).map(|slot| &self.kinds[slot]);
            if !matches!(found, Some(QueryKind::One | QueryKind::Maybe)) {
                let (keyword, query) = (keyword.name(), &column.query);
                self.fault(format!("`{keyword}:` needs a `:one` or `:maybe` query named `{query}`"), &column.place);
            }
            if let Some(name) = &column.password {
                let hashes = |value: &Computed| value.name == *name && value.expression.is_password_hash();
                if !self.computed.iter().any(hashes) {
                    let fault = Fault::error(format!("`@{name}` is no password's hash"), column.place.clone());
                    self.faults.push(fault.help(format!("compute it: -- @{name} = password_hash(:password)")));
                }
            }
            if let Some(name) = &column.remember {
                self.named_in_directive(name, &column.place);
            }
        }
        for limit in &directives.limits {
            if let LimitBy::Parameter(name) = &limit.by {
                self.named_in_directive(name, &limit.place);
            }
        }
        directives
    }

    /// A parameter that a directive names is used, and must be there.
    fn named_in_directive(&mut self, name: &Arc<str>, place: &Place) {
        if let Err(fault) = self.using(name) {
            self.faults.push(fault.at(place));
        }
    }

    /// The places of the file's own parameters that nothing uses.
    fn unused(&self, file: &QueryFile) -> Vec<usize> {
        let phrases = [&file.directives.flash, &file.directives.body].into_iter().flatten();
        let redirect = match &file.directives.redirect {
            Some(Redirect::To(phrase)) => Some(phrase),
            _ => None,
        };
        let words: BTreeSet<&str> = phrases
            .chain(redirect)
            .flat_map(|phrase| phrase.text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_'))
            .collect();
        let own = |parameter: &Parameter| parameter.place.as_ref().is_some_and(|place| place.file == file.path);
        let is_unused = |(index, parameter): &(usize, &Parameter)| {
            own(parameter) && !parameter.from_path && !self.used.contains(index) && !words.contains(&*parameter.name)
        };
        self.parameters.iter().enumerate().filter(is_unused).map(|(index, _)| index).collect()
    }
}

/// The directives that say something of a route, and so mean nothing in a shared file.
fn only_of_routes(directives: &Directives) -> Vec<Keyword> {
    let Directives { redirect, page, flash, status, body, fill, errors: _, once, login, logout, .. } = directives;
    let Directives { register, limits, download, cron, every, batch, .. } = directives;
    [
        (Keyword::Redirect, redirect.is_some()),
        (Keyword::Page, page.is_some()),
        (Keyword::Flash, flash.is_some()),
        (Keyword::Status, status.is_some()),
        (Keyword::Body, body.is_some()),
        (Keyword::Download, download.is_some()),
        (Keyword::Fill, fill.is_some()),
        (Keyword::Once, once.is_some()),
        (Keyword::Login, login.is_some()),
        (Keyword::Logout, *logout),
        (Keyword::Register, register.is_some()),
        (Keyword::Limit, !limits.is_empty()),
        (Keyword::Cron, cron.is_some()),
        (Keyword::Every, every.is_some()),
        (Keyword::Batch, batch.is_some()),
    ]
    .into_iter()
    .filter(|(_, given)| *given)
    .map(|(keyword, _)| keyword)
    .collect()
}

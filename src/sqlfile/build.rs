//! Joining a query file with what it uses, and making its statements ready.

use std::sync::Arc;

use super::file::QueryFile;
use super::parameter::Parameter;
use super::script::{Query, Script, Selection};
use super::server::Surroundings;
use super::{Arguments, Sent};
use crate::problem::{Fault, Place, Problem};

impl Script {
    /// Joins a file with the files that it uses. `path_parameters` are the names in the route, in its order; `load`
    /// gives a parsed file by its path in the site, such as `/_products.sql`. Faults of the files on their own were
    /// told by [`parse`](super::parse) and are not repeated.
    pub fn build(
        file: &Arc<QueryFile>,
        _path_parameters: &[Arc<str>],
        _load: &mut dyn FnMut(&str) -> Option<Arc<QueryFile>>,
    ) -> (Script, Vec<Fault>) {
        let script = Script {
            path: file.path.clone(),
            parameters: Vec::new(),
            computed: Vec::new(),
            directives: file.directives.clone(),
            queries: Vec::new(),
            names: Vec::new(),
            server: Vec::new(),
            reads_time: false,
        };
        (script, Vec::new())
    }

    /// A parameter by its name.
    pub fn parameter(&self, name: &str) -> Option<&Parameter> {
        self.parameters.iter().find(|parameter| &*parameter.name == name)
    }

    /// Declared parameters that no statement, condition, computed value or directive of the script uses, as warnings;
    /// `used_elsewhere` tells which ones a template reads (`params.q`). Those of shared files are left out.
    pub fn unused_parameters(&self, _used_elsewhere: &dyn Fn(&str) -> bool) -> Vec<Fault> {
        Vec::new()
    }

    /// The queries of these names with all that they depend on, and every `:require`. Unknown names are left out.
    pub fn select(&self, _names: &[&str]) -> Selection {
        Selection(Arc::from([]))
    }

    /// Converts all parameters. `sent` gives what the visitor sent for each.
    ///
    /// # Errors
    /// [`Kind::NotFound`](crate::problem::Kind::NotFound) when a path parameter doesn't convert, else
    /// [`Kind::Invalid`](crate::problem::Kind::Invalid) with a message for each field that doesn't.
    pub fn arguments<'a>(
        &self,
        _around: &dyn Surroundings,
        _sent: &mut dyn FnMut(&Parameter) -> Sent<'a>,
    ) -> Result<Arguments, Problem> {
        Ok(Arguments::default())
    }
}

impl Query {
    /// The place in the author's files that a byte of [`Query::sql`] comes from.
    pub fn place_of(&self, _offset: usize) -> Place {
        self.place.clone()
    }

    /// Whether it runs under a condition, so that its result may be empty although its kind says otherwise.
    pub fn is_conditional(&self) -> bool {
        !self.conditions.is_empty()
    }
}

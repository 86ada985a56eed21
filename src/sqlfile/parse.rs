//! Reading one query file.

use super::{Dialect, QueryFile};
use crate::problem::Fault;

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
    (file, Vec::new())
}

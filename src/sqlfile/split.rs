//! Taking a migration apart into its statements.

use std::ops::Range;

use super::dialect::Dialect;

/// The statements of a text, each from its first to its last byte without the semicolon and without comments around
/// it. A `create trigger … begin … end` is one statement.
pub fn split(_sql: &str, _dialect: Dialect) -> Vec<Range<usize>> {
    Vec::new()
}

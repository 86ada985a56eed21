//! Query files: from their text to statements that a database can run, and back from results to what a page shows.
//!
//! Pure text and data: no database, no HTTP, no files. In the order in which a site uses it: [`parse()`] reads one file,
//! [`Script::build`] joins it with the files that it uses and makes each statement ready, [`Script::arguments`]
//! converts what a visitor sent, and a [`Run`] says which statement comes next with which values, or [`Levels`] which
//! statements may run at once.

mod arguments;
mod attributes;
mod build;
mod compute;
mod convert;
mod dates;
mod declare;
mod dialect;
mod directive_lines;
mod directives;
mod file;
mod functions;
mod heading;
mod levels;
mod lone;
mod messages;
mod parameter;
mod parse;
mod read;
mod resolve;
mod run;
mod script;
mod selection;
mod server;
mod split;
mod tables;
#[cfg(test)]
mod tests;
pub mod tokens;
mod vocabulary;
mod words;
mod write;

pub use arguments::{Arguments, Sent};
pub use compute::{Computed, Expression, Function};
pub use dialect::{Dialect, without_dialect};
pub use directives::{Directives, ErrorMessage, LimitBy, Phrase, RateLimit, Redirect, UserColumn};
pub use file::{Condition, Each, QueryFile, QueryKind, Require, Statement, Test, Use};
pub use levels::{Foreseen, Levels};
pub use parameter::{Parameter, Pattern, Preset, Type};
pub use parse::parse;
pub use read::is_email;
pub use run::{Call, Limit, Outcome, Results, Run};
pub use script::{Bind, Query, Script, Source};
pub use selection::Selection;
pub use server::{ServerValue, Surroundings};
pub use split::split;
pub use vocabulary::vocabulary;

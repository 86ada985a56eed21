//! Turns a broken rule of the schema into a message on the field that it is about.

use std::sync::Arc;

use crate::database::{Constraint, ConstraintKind};
use crate::problem::{FieldErrors, Problem};
use crate::sqlfile::Script;

/// What the visitor is told: the message that the site's author gave for the rule, else a general one.
/// `scripts` are that of the action, and those of its events.
pub(super) fn told<'s>(broken: &Constraint, scripts: impl Iterator<Item = &'s Arc<Script>>) -> Problem {
    let scripts: Vec<&Script> = scripts.map(|script| &**script).collect();
    let mut errors = scripts.iter().flat_map(|script| &script.directives.errors);
    let written = errors.find(|error| names(&error.constraint, broken));
    let problem = match written {
        Some(error) => Problem::invalid(error.field.clone(), &*error.message),
        None => {
            let has = |column: &&String| scripts.iter().any(|script| script.parameter(column).is_some());
            let field = broken.columns.iter().find(has);
            let field = field.map_or("", String::as_str);
            Problem::invalid_fields(FieldErrors::one(field, general(broken)))
        }
    };
    problem.caused_by(broken.message.clone())
}

/// Whether `error:` names this rule: by its name, `table.column`, `table.a, table.b`, or the columns alone.
fn names(written: &str, broken: &Constraint) -> bool {
    let same = |text: &str| text.eq_ignore_ascii_case(written);
    if broken.name.as_deref().is_some_and(same) || same(&broken.message) {
        return true;
    }
    let table = broken.table.as_deref().unwrap_or("");
    let full: Vec<String> = broken.columns.iter().map(|column| format!("{table}.{column}")).collect();
    let plain = |list: &[String]| same(&list.join(",")) || same(&list.join(", "));
    !broken.columns.is_empty() && (plain(&full) || plain(&broken.columns))
}

/// A message for a rule that the author gave none for.
fn general(broken: &Constraint) -> String {
    match broken.kind {
        // A trigger's `raise(abort, '…')` speaks in the author's own words.
        ConstraintKind::Raised => return broken.message.clone(),
        ConstraintKind::Unique => "This is taken already.",
        ConstraintKind::NotNull => "Please fill in this field.",
        ConstraintKind::Check => "This value is not allowed.",
        ConstraintKind::ForeignKey => "This refers to something that is not there.",
        _ => "This doesn't fit what is already there.",
    }
    .into()
}

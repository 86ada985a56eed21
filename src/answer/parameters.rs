//! Gives a script's parameters their values from the path and the query text.

use std::sync::Arc;

use crate::flow::visitor::Visitor;
use crate::problem::{Kind, Problem};
use crate::site::Match;
use crate::sqlfile::{Arguments, Parameter, Script, Sent};

/// The pairs of a query text, decoded.
pub(super) type Pairs = [(String, String)];

/// The value of a path parameter of an address that was found.
pub(super) fn from_path<'m>(found: &'m Match, name: &str) -> Option<&'m str> {
    let index = found.endpoint.parameters.iter().position(|known| **known == *name)?;
    found.values.get(index).map(String::as_str)
}

/// What the query text holds for a parameter.
pub(super) fn from_pairs<'p>(pairs: &'p Pairs, parameter: &Parameter) -> Sent<'p> {
    let mut values = pairs.iter().filter(|(name, _)| **name == *parameter.name).map(|(_, value)| value.as_str());
    match (values.next(), values.next()) {
        (None, _) => Sent::Absent,
        (Some(value), None) => Sent::Text(value),
        (Some(first), Some(second)) => Sent::Texts([first, second].into_iter().chain(values).collect()),
    }
}

/// The arguments of a page or of data. A bad value is 404 in the path and 400 in the query text, naming the parameter.
pub(super) fn of_get(
    script: &Arc<Script>,
    found: &Match,
    pairs: &Pairs,
    visitor: &Visitor,
) -> Result<Arguments, Problem> {
    let arguments = script.arguments(visitor, &mut |parameter| match parameter.from_path {
        true => from_path(found, &parameter.name).map_or(Sent::Absent, Sent::Text),
        false => from_pairs(pairs, parameter),
    });
    arguments.map_err(in_get)
}

/// The problem of bad values as a GET tells it: the parameters are named.
pub(super) fn in_get(mut problem: Problem) -> Problem {
    if let Kind::Invalid(errors) = problem.kind {
        let told: Vec<String> = errors.0.iter().map(|(name, message)| format!("{name}: {message}")).collect();
        problem.public = told.join(" ").into();
        problem.kind = Kind::BadParameters(errors);
    }
    problem
}

//! Answers with a static file, a redirect of the static index, or a folder's listing.

use crate::flow::{Answer, Visit};
use crate::problem::Problem;
use crate::site::statics::{Found, Statics};

/// Answers a visit with what the index found at its path; `Ok(None)` when nothing static stands there. Methods other
/// than GET and HEAD on a file: [`crate::problem::Kind::NoSuchMethod`] (the caller may know an action there first).
pub fn answer(_statics: &Statics, _found: Found, _visit: &Visit) -> Result<Option<Answer>, Problem> {
    todo!()
}

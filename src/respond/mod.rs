//! The respond step: makes HTTP responses of answers, and the only place that knows which status a problem has.

use http::{Response, StatusCode};

use crate::flow::{Answer, Sent, Visit};
use crate::problem::{Kind, Problem};

/// The body of a response.
#[derive(Debug)]
pub struct Body {}

impl Body {
    /// Has `ended` called once, when the body was sent or given up.
    pub fn on_end(&mut self, _ended: Box<dyn FnOnce(Sent)>) {
        todo!()
    }
}

/// Makes the response to a visit: conditional requests, ranges, compression, `HEAD`, default headers.
pub fn respond(_visit: &Visit, _answer: Answer) -> Response<Body> {
    todo!()
}

/// The status of a kind of problem.
pub fn status(_kind: &Kind) -> StatusCode {
    todo!()
}

/// The answer to a problem when the site has no page of its own for it: small, and silent about the inside. JSON
/// (`{"errors": {"": ["…"]}}`, or the fields' messages) when `json` is set.
pub fn problem(_problem: &Problem, _json: bool) -> Answer {
    todo!()
}

//! The log step: one line for each visit, and notes for the operator, written by a thread of its own.

use std::time::Duration;

use http::StatusCode;

use crate::flow::{Sent, Visit};
use crate::problem::Problem;

/// How lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// How grave a note is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Good to know.
    Info,
    /// Something is not as it should be.
    Warning,
    /// Something failed.
    Error,
}

/// A handle to the log; cheap to clone. Never blocks its caller: what the writer can't take is dropped and counted.
#[derive(Clone, Debug)]
pub struct Log {}

impl Log {
    /// Starts the writer thread.
    pub fn open(_format: Format, _out: Box<dyn std::io::Write + Send>) -> Log {
        todo!()
    }

    /// Logs a visit at its end.
    pub fn visit(&self, _visit: &Visit, _status: StatusCode, _sent: Sent, _problem: Option<&Problem>) {
        todo!()
    }

    /// Logs something that is not a visit.
    pub fn note(&self, _level: Level, _message: &str) {
        todo!()
    }

    /// Writes what is waiting, within `limit`; call it before the process exits.
    pub fn flush(&self, _limit: Duration) {
        todo!()
    }
}

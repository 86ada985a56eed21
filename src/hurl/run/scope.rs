//! What templates and values of a file may refer to while it runs: the variables, and files beside the Hurl file.

use std::path::Path;

use regex::Regex;

use crate::clock::Clock;
use crate::hurl::parse::literal::regex_message;
use crate::hurl::syntax::{Hole, JsonPiece, Pattern, Piece, Template, Term, Wrong};
use crate::hurl::value::{Value, Variables};
use crate::problem::suggestion;

/// The largest file that a test sends or compares with, in bytes.
const MAX_FILE: u64 = 64 * 1024 * 1024;

/// The variables as they are now, and the folder of the Hurl file.
#[derive(Clone, Copy)]
pub(super) struct Scope<'a> {
    pub(super) variables: &'a Variables,
    pub(super) folder: &'a Path,
}

impl Scope<'_> {
    /// A template with its holes filled.
    pub(super) fn text(&self, template: &Template) -> Result<String, Wrong> {
        let mut text = String::new();
        for piece in &template.pieces {
            match piece {
                Piece::Text(plain) => text.push_str(plain),
                Piece::Hole(hole) => text.push_str(&self.rendered(hole)?),
            }
        }
        Ok(text)
    }

    /// A JSON body with its holes filled.
    pub(super) fn json(&self, pieces: &[JsonPiece]) -> Result<String, Wrong> {
        let mut text = String::new();
        for piece in pieces {
            match piece {
                JsonPiece::Source(source) => text.push_str(source),
                JsonPiece::InString(hole) => text.push_str(&json_escaped(&self.rendered(hole)?)),
                JsonPiece::InPlace(hole) => match self.value(hole)? {
                    Value::Text(_) | Value::Date(_) => {
                        return Err(Wrong::new(hole.span, "a text needs double quotes around it in JSON"));
                    }
                    _ => text.push_str(&self.rendered(hole)?),
                },
            }
        }
        Ok(text)
    }

    /// The value of a hole, of whatever kind.
    pub(super) fn value(&self, hole: &Hole) -> Result<Value, Wrong> {
        match &hole.term {
            Term::NewUuid => Ok(Value::Text(uuid::Uuid::new_v4().to_string())),
            Term::NewDate => Ok(Value::Date(Clock::system().now())),
            Term::Variable(name) => self.variables.get(name).cloned().ok_or_else(|| {
                Wrong::new(hole.span, format!("there is no variable `{name}` yet"))
                    .help(suggestion(name, self.variables.names()))
            }),
        }
    }

    fn rendered(&self, hole: &Hole) -> Result<String, Wrong> {
        let value = self.value(hole)?;
        let refused = || Wrong::new(hole.span, format!("this is {}, which has no text", value.shown()));
        value.rendered().ok_or_else(refused)
    }

    /// A regular expression with its holes filled.
    pub(super) fn pattern(&self, pattern: &Pattern) -> Result<Regex, Wrong> {
        match pattern {
            Pattern::Ready(regex) => Ok(regex.clone()),
            Pattern::Template(template) => {
                Regex::new(&self.text(template)?).map_err(|error| Wrong::new(template.span, regex_message(&error)))
            }
        }
    }

    /// The content of a file, which must lie in the folder of the Hurl file, symlinks resolved.
    pub(super) fn file(&self, name: &Template) -> Result<Vec<u8>, Wrong> {
        let text = self.text(name)?;
        let unreadable = |error: std::io::Error| Wrong::new(name.span, format!("can't read `{text}`: {error}"));
        let folder = self.folder.canonicalize().map_err(unreadable)?;
        let path = folder.join(&text).canonicalize().map_err(unreadable)?;
        if !path.starts_with(&folder) {
            return Err(Wrong::new(name.span, format!("`{text}` lies outside the folder of this test")));
        }
        let metadata = path.metadata().map_err(unreadable)?;
        if !metadata.is_file() {
            return Err(Wrong::new(name.span, format!("`{text}` is not a file")));
        }
        if metadata.len() > MAX_FILE {
            return Err(Wrong::new(name.span, format!("`{text}` is larger than {} MiB", MAX_FILE >> 20)));
        }
        std::fs::read(&path).map_err(unreadable)
    }
}

/// A text as it stands between the quotes of a JSON string.
fn json_escaped(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    quoted[1..quoted.len() - 1].to_string()
}

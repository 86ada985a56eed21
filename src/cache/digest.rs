//! What rows come down to: a hash that tells whether a page was made of the same rows, without keeping them.
//!
//! What is in the rows may come from visitors, and two answers that differ must not be taken for the same. So it is a hash
//! of which nobody can find two texts that fall together.

use sha2::{Digest as _, Sha256};

use crate::sqlfile::{Outcome, Results};
use crate::value::{Rows, Value};

/// The hash of all rows of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest([u8; 32]);

/// Bytes that are gathered before they are hashed.
const GATHERED: usize = 4096;

/// Gathers what is hashed, each part with its kind and its length, so that no two rows of parts are written alike.
struct Writing {
    text: Vec<u8>,
    hash: Sha256,
}

impl Digest {
    /// That of the results of a page's scripts. The same for all that are made into the same.
    pub fn of(results: &[Results]) -> Digest {
        let mut writing = Writing { text: Vec::with_capacity(512), hash: Sha256::new() };
        for results in results {
            writing.part(b'S', b"");
            results.outcomes().for_each(|outcome| writing.outcome(outcome));
        }
        writing.hash.update(&writing.text);
        Digest(writing.hash.finalize().into())
    }
}

impl Writing {
    fn part(&mut self, kind: u8, bytes: &[u8]) {
        self.text.push(kind);
        self.text.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
        self.text.extend_from_slice(bytes);
        if self.text.len() >= GATHERED {
            self.hash.update(&self.text);
            self.text.clear();
        }
    }

    fn outcome(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Row(rows) => self.rows(b'1', rows),
            Outcome::Rows(rows) => self.rows(b'*', rows),
            Outcome::List(rows) => self.rows(b'L', rows),
            Outcome::Value(value) => {
                self.part(b'V', b"");
                self.value(value);
            }
            Outcome::Changed(count) => self.part(b'C', &count.to_le_bytes()),
            Outcome::Passed => self.part(b'P', b""),
        }
    }

    fn rows(&mut self, kind: u8, rows: &Rows) {
        let Rows { columns, cells, more, changed } = rows;
        self.part(kind, &(columns.len() as u64).to_le_bytes());
        columns.iter().for_each(|name| self.part(b'N', name.as_bytes()));
        self.part(b'M', &[u8::from(*more)]);
        self.part(b'C', &changed.to_le_bytes());
        self.part(b'R', &(cells.len() as u64).to_le_bytes());
        cells.iter().for_each(|value| self.value(value));
    }

    fn value(&mut self, value: &Value) {
        match value {
            Value::Null => self.part(b'n', b""),
            Value::Bool(truth) => self.part(b'b', &[u8::from(*truth)]),
            Value::Int(number) => self.part(b'i', &number.to_le_bytes()),
            // `0.0` and `-0.0` are written otherwise.
            Value::Real(number) => self.part(b'r', &number.to_bits().to_le_bytes()),
            Value::Text(text) => self.part(b't', text.as_bytes()),
            Value::Blob(bytes) => self.part(b'x', bytes),
            Value::List(items) => {
                self.part(b'l', &(items.len() as u64).to_le_bytes());
                items.iter().for_each(|item| self.value(item));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(outcomes: &[Outcome]) -> Digest {
        let mut writing = Writing { text: Vec::new(), hash: Sha256::new() };
        outcomes.iter().for_each(|outcome| writing.outcome(outcome));
        writing.hash.update(&writing.text);
        Digest(writing.hash.finalize().into())
    }

    fn row(columns: &[&str], cells: Vec<Value>) -> Outcome {
        let columns = columns.iter().map(|name| (*name).into()).collect();
        Outcome::Row(Rows { columns, cells, ..Rows::default() }.into())
    }

    #[test]
    fn other_rows_have_another_hash() {
        let text = |text: &str| Value::from(text);
        let all = [
            vec![],
            vec![Outcome::Passed],
            vec![Outcome::Changed(0)],
            vec![Outcome::Value(Value::Null)],
            vec![Outcome::Value(Value::Int(0))],
            vec![Outcome::Value(Value::Bool(false))],
            vec![Outcome::Value(Value::Real(0.0))],
            vec![Outcome::Value(Value::Real(-0.0))],
            vec![Outcome::Value(text("ab")), Outcome::Value(text("c"))],
            vec![Outcome::Value(text("a")), Outcome::Value(text("bc"))],
            vec![Outcome::Value(Value::Blob(b"ab".as_slice().into())), Outcome::Value(text("c"))],
            vec![Outcome::Value(Value::List([text("ab"), text("c")].into()))],
            vec![row(&["a"], vec![text("x")])],
            vec![row(&["b"], vec![text("x")])],
            vec![row(&["a"], vec![text("x"), text("x")])],
            vec![row(&["a", "b"], vec![text("x"), text("x")])],
            vec![row(&["a"], vec![text(&"x".repeat(GATHERED))])],
            vec![row(&["a"], vec![text(&"x".repeat(GATHERED - 1))])],
        ];
        for (place, outcomes) in all.iter().enumerate() {
            let same: Vec<usize> = (0..all.len()).filter(|other| digest(&all[*other]) == digest(outcomes)).collect();
            assert_eq!(same, [place]);
        }
        let rows = |more, changed| Outcome::Rows(Rows { more, changed, ..Rows::default() }.into());
        assert_ne!(digest(&[rows(false, 0)]), digest(&[rows(true, 0)]));
        assert_ne!(digest(&[rows(false, 0)]), digest(&[rows(false, 1)]));
    }
}

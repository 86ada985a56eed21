//! Rows that the writer need not ask for again.
//!
//! Nearly every action looks up its visitor's session, and few change one. So what a statement of the server's own gave
//! that reads [`TABLE`] alone is kept, until a statement runs that may write that table, or another connection commits.
//! From such a statement on nothing is kept in its transaction: what it finds may yet be rolled back.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::sync::Arc;

use crate::hash::TextHasher;
use crate::value::{Rows, Value};

/// The table.
pub(super) const TABLE: &str = "_sessions";

/// Rows are kept for so many values; with more, all begin anew.
const MOST: usize = 4_096;

/// What is kept of statements with one value, by their texts' places and the value.
#[derive(Default)]
pub(super) struct Recall {
    rows: HashMap<(usize, Arc<[u8]>), Rows, BuildHasherDefault<TextHasher>>,
    /// The table may have been written in the open transaction.
    in_doubt: bool,
}

impl Recall {
    /// What the statement gave for the value.
    pub(super) fn get(&self, sql: &'static str, binds: &[Value]) -> Option<Rows> {
        self.rows.get(&key(sql, binds)?).filter(|_| !self.in_doubt).cloned()
    }

    /// Keeps what it gave, if it gave any rows: what there are rows of is a hash of what the server itself has drawn, so
    /// nobody can choose values that fall together.
    pub(super) fn keep(&mut self, sql: &'static str, binds: &[Value], rows: &Rows) {
        let Some(key) = key(sql, binds).filter(|_| !self.in_doubt && !rows.is_empty()) else { return };
        if self.rows.len() >= MOST {
            self.rows.clear();
        }
        self.rows.insert(key, rows.clone());
    }

    /// The table may have been written in this transaction.
    pub(super) fn doubt(&mut self) {
        self.rows.clear();
        self.in_doubt = true;
    }

    /// A transaction has begun: what it finds is committed.
    pub(super) fn begin(&mut self) {
        self.in_doubt = false;
    }

    /// Another connection may have written.
    pub(super) fn forget(&mut self) {
        self.rows.clear();
    }
}

fn key(sql: &'static str, binds: &[Value]) -> Option<(usize, Arc<[u8]>)> {
    match binds {
        [Value::Blob(value)] => Some((sql.as_ptr().addr(), value.clone())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SQL: &str = "select 1";

    fn rows(number: i64) -> Rows {
        Rows { cells: vec![Value::Int(number)], ..Rows::default() }
    }

    fn number(recall: &Recall, key: &[u8]) -> Option<i64> {
        recall.get(SQL, &[Value::Blob(key.into())])?.cells.first()?.as_int()
    }

    #[test]
    fn rows_are_kept_until_the_table_may_be_written() {
        let mut recall = Recall::default();
        let binds = [Value::Blob(Arc::from(*b"a"))];
        recall.keep(SQL, &binds, &rows(1));
        recall.keep(SQL, &[Value::Int(1)], &rows(2));
        assert_eq!((number(&recall, b"a"), number(&recall, b"b")), (Some(1), None));
        recall.doubt();
        recall.keep(SQL, &binds, &rows(3));
        assert_eq!(number(&recall, b"a"), None, "what it read may be rolled back");
        recall.begin();
        assert_eq!(number(&recall, b"a"), None);
        recall.keep(SQL, &binds, &rows(4));
        assert_eq!(number(&recall, b"a"), Some(4));
        recall.forget();
        assert_eq!(number(&recall, b"a"), None);
    }

    #[test]
    fn they_are_never_too_many() {
        let mut recall = Recall::default();
        for value in 0..10_000_u32 {
            recall.keep(SQL, &[Value::Blob(Arc::from(value.to_le_bytes()))], &rows(1));
        }
        assert!(recall.rows.len() <= MOST);
    }
}

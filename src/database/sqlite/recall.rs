//! Rows that the writer need not ask for again.
//!
//! Nearly every action looks up its visitor's session, and few change one. So what a statement of the server's own gave
//! that reads [`TABLE`] alone is kept, until a statement runs that may write that table, or another connection commits.
//! From such a statement on nothing is kept in its transaction: what it finds may yet be rolled back.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::sync::Arc;

use crate::hash::TextHasher;
use crate::value::Rows;

/// The table.
pub(super) const TABLE: &str = "_sessions";

/// Rows are kept for so many keys; with more, all begin anew.
const MOST: usize = 4_096;

/// What is kept of statements with one key: for each key, of the statement that was asked last.
#[derive(Default)]
pub(super) struct Recall {
    rows: HashMap<Box<[u8]>, Known, BuildHasherDefault<TextHasher>>,
    /// The table may have been written in the open transaction.
    in_doubt: bool,
}

/// A statement, and what it gave.
type Known = (&'static str, Arc<Rows>);

impl Recall {
    /// What the statement gave for the key.
    pub(super) fn get(&self, sql: &'static str, key: &[u8]) -> Option<Arc<Rows>> {
        let (of, rows) = self.rows.get(key).filter(|_| !self.in_doubt)?;
        std::ptr::eq(*of, sql).then(|| rows.clone())
    }

    /// Keeps what it gave, if it gave any rows: what there are rows of is a hash of what the server itself has drawn, so
    /// nobody can choose keys that fall together.
    pub(super) fn keep(&mut self, sql: &'static str, key: &[u8], rows: &Arc<Rows>) {
        if self.in_doubt || rows.is_empty() {
            return;
        }
        if self.rows.len() >= MOST {
            self.rows.clear();
        }
        self.rows.insert(key.into(), (sql, rows.clone()));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Value;

    const SQL: &str = "select 1";

    fn rows(number: i64) -> Arc<Rows> {
        Arc::new(Rows { columns: Arc::new(["n".into()]), cells: vec![Value::Int(number)], ..Rows::default() })
    }

    fn number(recall: &Recall, key: &[u8]) -> Option<i64> {
        recall.get(SQL, key)?.cells.first()?.as_int()
    }

    #[test]
    fn rows_are_kept_until_the_table_may_be_written() {
        let mut recall = Recall::default();
        recall.keep(SQL, b"a", &rows(1));
        recall.keep(SQL, b"none", &Arc::default());
        assert_eq!((number(&recall, b"a"), number(&recall, b"none")), (Some(1), None));
        assert!(recall.get("select 2", b"a").is_none());
        recall.doubt();
        recall.keep(SQL, b"a", &rows(3));
        assert_eq!(number(&recall, b"a"), None, "what it read may be rolled back");
        recall.begin();
        assert_eq!(number(&recall, b"a"), None);
        recall.keep(SQL, b"a", &rows(4));
        assert_eq!(number(&recall, b"a"), Some(4));
        recall.forget();
        assert_eq!(number(&recall, b"a"), None);
    }

    #[test]
    fn they_are_never_too_many() {
        let mut recall = Recall::default();
        for key in 0..10_000_u32 {
            recall.keep(SQL, &key.to_le_bytes(), &rows(1));
        }
        assert!(recall.rows.len() <= MOST);
    }
}

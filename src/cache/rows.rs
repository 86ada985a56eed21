//! Rows of single statements that are kept: what a page that must be made again, or is made for another visitor, need not
//! ask again.
//!
//! Which statement it is, and everything that is bound to it, stands in the key. Whoever takes rows for a page makes sure
//! at the end that they still hold ([`Versions::holds`](crate::database::versions::Versions::holds)): then they are what
//! the page's snapshot holds.

use std::sync::Arc;

use quick_cache::Weighter;
use quick_cache::sync::Cache as Entries;

use super::{Key, USUAL};
use crate::database::Limit;
use crate::database::versions::Stamp;
use crate::value::{Rows, Value};

/// The rows of a statement.
#[derive(Debug)]
pub struct Shelved {
    /// The rows.
    pub rows: Rows,
    /// The counts of the statement's tables before they were read.
    pub stamp: Stamp,
}

/// The kept rows, bounded by their bytes; those that are asked for least go first.
#[derive(Debug)]
pub struct Shelf(Option<Entries<Box<[u8]>, Arc<Shelved>, Bytes>>);

#[derive(Clone, Debug)]
struct Bytes;

impl Weighter<Box<[u8]>, Arc<Shelved>> for Bytes {
    fn weight(&self, key: &Box<[u8]>, shelved: &Arc<Shelved>) -> u64 {
        256 + key.len() as u64 + shelved.rows.cells.iter().map(Value::bytes).sum::<u64>()
    }
}

impl Shelf {
    /// A shelf of at most so many bytes; 0 keeps nothing.
    pub fn new(bytes: u64) -> Shelf {
        let make = || Entries::with_weighter((bytes / USUAL).clamp(16, 1 << 20) as usize, bytes, Bytes);
        Shelf((bytes > 0).then(make))
    }

    /// Looks rows up; whether they hold is another question.
    pub fn find(&self, key: &Key) -> Option<Arc<Shelved>> {
        self.0.as_ref()?.get(key.bytes())
    }

    /// Keeps rows.
    pub fn keep(&self, key: Key, shelved: Shelved) {
        if let Some(entries) = &self.0 {
            entries.insert(key.bytes().into(), Arc::new(shelved));
        }
    }

    /// Forgets all.
    pub fn clear(&self) {
        if let Some(entries) = &self.0 {
            entries.clear();
        }
    }
}

/// The key of a statement's rows: which one it is, in which snapshot of the site, what is bound to it, and how many rows
/// it may give.
pub fn key(generation: u64, statement: u128, binds: &[Value], limit: Limit) -> Key {
    let mut key = Key::default();
    key.push(&generation.to_le_bytes());
    key.push(&statement.to_le_bytes());
    let (kind, most) = match limit {
        Limit::AtMost(rows) => (0, rows),
        Limit::First(rows) => (1, rows),
    };
    key.push(&[kind]);
    key.push(&(most as u64).to_le_bytes());
    binds.iter().for_each(|value| push(&mut key, value));
    key
}

/// Adds a value with its type: what is equal in one type may differ in another.
fn push(key: &mut Key, value: &Value) {
    match value {
        Value::Null => key.push(b"n"),
        Value::Bool(truth) => key.push(&[b'b', u8::from(*truth)]),
        Value::Int(number) => {
            key.push(b"i");
            key.push(&number.to_le_bytes());
        }
        Value::Real(number) => {
            key.push(b"r");
            key.push(&number.to_bits().to_le_bytes());
        }
        Value::Text(text) => {
            key.push(b"t");
            key.push(text.as_bytes());
        }
        Value::Blob(bytes) => {
            key.push(b"x");
            key.push(bytes);
        }
        Value::List(items) => {
            key.push(b"l");
            key.push(&(items.len() as u64).to_le_bytes());
            items.iter().for_each(|item| push(key, item));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::Tables;
    use crate::database::versions::Versions;

    fn rows(text: &str) -> Rows {
        Rows { columns: [Arc::from("a")].into(), cells: vec![Value::from(text)], ..Rows::default() }
    }

    #[test]
    fn other_values_have_another_key() {
        let most = Limit::AtMost(10);
        let values = [
            vec![],
            vec![Value::Null],
            vec![Value::Int(1)],
            vec![Value::Real(1.0)],
            vec![Value::Bool(true)],
            vec![Value::from("1")],
            vec![Value::Blob(b"1".as_slice().into())],
            vec![Value::List([Value::Int(1)].into())],
            vec![Value::List([Value::Int(1), Value::Int(2)].into())],
            vec![Value::List([Value::Int(1)].into()), Value::Int(2)],
            vec![Value::Real(0.0)],
            vec![Value::Real(-0.0)],
            vec![Value::from("1"), Value::Null],
        ];
        let keys: Vec<Key> = values.iter().map(|binds| key(1, 2, binds, most)).collect();
        for (index, one) in keys.iter().enumerate() {
            assert_eq!(keys.iter().filter(|other| *other == one).count(), 1, "{index}");
        }
        assert_ne!(key(1, 2, &[], Limit::AtMost(10)), key(1, 2, &[], Limit::First(10)));
        assert_ne!(key(1, 2, &[], most), key(1, 3, &[], most));
        assert_ne!(key(1, 2, &[], most), key(2, 2, &[], most));
    }

    #[test]
    fn the_size_is_bounded() {
        let versions = Versions::new();
        let stamp = || versions.current(&versions.tables(&Tables::none()));
        let shelf = Shelf::new(100_000);
        for number in 0..1000 {
            let shelved = Shelved { rows: rows(&"x".repeat(1000)), stamp: stamp() };
            shelf.keep(key(1, number, &[], Limit::First(1)), shelved);
        }
        assert!(shelf.0.as_ref().unwrap().weight() <= 100_000);
        assert!(shelf.find(&key(2, 999, &[], Limit::First(1))).is_none());
        let off = Shelf::new(0);
        off.keep(key(1, 1, &[], Limit::First(1)), Shelved { rows: rows("x"), stamp: stamp() });
        assert!(off.find(&key(1, 1, &[], Limit::First(1))).is_none());
    }
}
